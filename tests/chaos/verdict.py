"""Afterwards: was every promise kept?"""

from __future__ import annotations

from collections import Counter
from typing import Final

from safehand.referral.v1 import referral_pb2
from safehand_formats.kinds import Kind

from tests.chaos.journal import Journal, Story
from tests.fault.test_bus_chaos import AGENCIES, Stage
from tests.flow.following import everything
from tests.harness.world import eventually

HEALED_S: Final = 120.0
"""Seconds after the last trouble in which everything must have arrived everywhere."""
KINDS: Final = (Kind.GRANT, Kind.REFER, Kind.DISCLOSE, Kind.STOP, Kind.RESUME, Kind.REVOKE)


def check(stage: Stage, journal: Journal) -> Counter[str]:
    """Raise AssertionError for the first promise that was not kept; else what was checked."""
    counts: Counter[str] = Counter()
    for story in journal.stories:
        _check_story(stage, story, counts)
    eventually(lambda: _arrived(stage), "every event arrived", within_s=HEALED_S)
    for name in AGENCIES:
        heard = everything(stage.agency(name))
        assert [item.cursor for item in heard] == list(range(1, len(heard) + 1)), "a gap"
        for source, meant in stage.meant_for(name).items():
            mine = [item.event for item in heard if item.event.id.startswith(f"{source}:")]
            assert [e.id for e in mine] == [e.id for e in meant], f"{name} heard {source} otherwise"
            counts["events, each once and in order"] += len(meant)
    report = stage.world.fsck()
    assert report.ok, f"fsck: {report.problems[:3]}"
    counts["ledger entries that fsck read"] = report.size
    return counts


def _check_story(stage: Stage, story: Story, counts: Counter[str]) -> None:
    assert not list(story.broken()), "something was opened after a stop was answered"
    with stage.world.session(story.person) as her:
        lines = {line.index: line.kind for line in her.verified_receipt(story.grant)}
        mine = [view.grant for view in her.grants()]
    assert mine.count(story.grant) == 1, "a grant is there twice, or not at all"
    for promise in story.promises:
        found = lines.get(promise.index)
        assert found is promise.kind, f"{promise.kind.name} was promised at {promise.index}"
        counts[f"{promise.kind.name} kept"] += 1
    counts["times that sharing was off, and stayed off"] += len(story.off)
    for referral in story.accepted:
        state = stage.world.agency_a.status(referral).state
        assert state == referral_pb2.REFERRAL_STATE_ACCEPTED, "an acceptance is lost"


def _arrived(stage: Stage) -> bool:
    return all(
        len(everything(stage.agency(name))) >= sum(map(len, stage.meant_for(name).values()))
        for name in AGENCIES
    )
