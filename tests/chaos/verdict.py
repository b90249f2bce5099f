"""Afterwards: was every promise kept?"""

from __future__ import annotations

import time
from collections import Counter
from typing import Final

from safehand.referral.v1 import referral_pb2
from safehand_client import SurvivorClient
from safehand_core.errors import SafehandError
from safehand_core.reasons import TABLE, Reason

from tests.chaos.journal import Journal, Story
from tests.fault.stage import AGENCIES, Stage
from tests.flow.following import everything
from tests.harness.world import Person, eventually

HEALED_S: Final = 120.0
"""Seconds after the last trouble in which everything must have arrived everywhere."""
THROTTLED_S: Final = 400.0
"""Seconds in which tries of her PIN are earned back that died with their service."""
RETRYABLE: Final = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED", "INTERNAL", "INVALID_ARGUMENT"})
"""Status of the reasons after which a caller asks again; the last is a deadline cut short."""


def check(stage: Stage, journal: Journal) -> dict[str, int]:
    """Raise AssertionError for the first promise that was not kept; else each and its number."""
    kept: Counter[str] = Counter()
    people: dict[str, tuple[Person, list[Story]]] = {}
    for story in journal.stories:
        people.setdefault(story.person.card, (story.person, []))[1].append(story)
    for person, stories in people.values():
        her = _signed_in(stage, person)
        try:
            for story in stories:
                _check_story(stage, her, story, kept)
            for refusal in journal.refusals:
                if refusal.person.card == person.card:
                    assert her.verified_refusal(refusal.ask)[0] == refusal.index, "a no is lost"
                    kept["noes that are on record, each at its place"] += 1
        finally:
            her.close()
    kept["people whose receipts show what was answered, and nothing else"] = len(people)
    _check_events(stage, kept)
    _check_reasons(journal, kept)
    report = stage.world.fsck()
    assert report.ok, f"fsck: {report.problems[:3]}"
    kept["ledger entries that fsck read and found whole"] = report.size
    return dict(kept)


def _check_story(stage: Stage, her: SurvivorClient, story: Story, kept: Counter[str]) -> None:
    assert not list(story.broken()), "something was opened after a stop was answered"
    lines = [(line.kind, line.index) for line in her.verified_receipt(story.grant)]
    assert not (wrong := story.differs(lines)), wrong
    mine = [view.grant for view in her.grants()]
    assert mine.count(story.grant) == 1, "a grant is there twice, or not at all"
    for promise in story.promises:
        kept[f"acknowledged {promise.kind.name}, there once and in its order"] += 1
    kept["times that sharing was off: nothing was opened in any of them"] += len(story.off)
    kept["kinds of information taken out: never opened since"] += len(story.taken_out)
    for referral in {*story.accepted, *story.completed}:
        state = stage.world.agency_a.status(referral).state
        done = referral_pb2.REFERRAL_STATE_COMPLETED
        assert state == done or (
            referral not in story.completed and state == referral_pb2.REFERRAL_STATE_ACCEPTED
        ), "an answer to a referral is lost"
        kept["referrals that stand where they were answered to stand"] += 1


def _check_events(stage: Stage, kept: Counter[str]) -> None:
    eventually(lambda: _arrived(stage), "every event arrived", within_s=HEALED_S)
    for name in AGENCIES:
        heard = everything(stage.agency(name))
        assert [item.cursor for item in heard] == list(range(1, len(heard) + 1)), "a gap"
        for source, meant in stage.meant_for(name).items():
            mine = [item.event for item in heard if item.event.id.startswith(f"{source}:")]
            assert [e.id for e in mine] == [e.id for e in meant], f"{name} heard {source} otherwise"
            kept[f"events of {source} that {name} heard, each once and in order"] = len(meant)


def _arrived(stage: Stage) -> bool:
    return all(
        len(everything(stage.agency(name))) >= sum(map(len, stage.meant_for(name).values()))
        for name in AGENCIES
    )


def _check_reasons(journal: Journal, kept: Counter[str]) -> None:
    for reason, count in journal.reasons.items():
        if reason is Reason.SESSION_INVALID:
            continue  # her session was of a service that died: she signs in again
        assert TABLE[reason].status in RETRYABLE, f"told to go on trying by {reason}"
        kept[f"refusals that said why, and that it may be tried again: {reason}"] += count


def _signed_in(stage: Stage, person: Person) -> SurvivorClient:
    her = SurvivorClient(stage.world.party("her"))
    deadline = time.monotonic() + THROTTLED_S
    while True:
        try:
            her.sign_in(person.card, person.pin)
        except SafehandError as error:
            if error.reason is not Reason.THROTTLED or time.monotonic() > deadline:
                her.close()
                raise
            time.sleep(max(1.0, min(error.retry_after_s or 1.0, 10.0)))
        else:
            return her
