"""Afterwards: was every promise kept?"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

from safehand.referral.v1 import referral_pb2
from safehand_client import SurvivorClient
from safehand_core.errors import SafehandError
from safehand_core.reasons import TABLE, Reason

from tests.chaos import hearing
from tests.chaos.hearing import AGENCIES
from tests.chaos.journal import Journal, Story
from tests.fault.stage import Stage
from tests.harness.world import Person

HEALED_S: Final = 120.0
"""Seconds after the last trouble in which everything must have arrived everywhere."""
POLL_S: Final = 0.5
THROTTLED_S: Final = 400.0
"""Seconds in which tries of her PIN are earned back that died with their service."""
RETRYABLE: Final = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED"})
"""Status of the reasons after which a caller asks again."""
NO_PROMISE: Final = frozenset({Reason.SESSION_INVALID, Reason.DEADLINE_INVALID})
"""Also: her session was of a service that died, and a deadline that was cut short."""


def check(stage: Stage, journal: Journal, *, within_s: float = HEALED_S) -> dict[str, int]:
    """Raise AssertionError for the first promise that was not kept; else each and its number.

    What was promised must have arrived everywhere ``within_s`` seconds.
    """
    kept: Counter[str] = Counter()
    told: list[hearing.Told] = []
    people: dict[str, tuple[Person, list[Story]]] = {}
    for story in journal.stories:
        people.setdefault(story.person.card, (story.person, []))[1].append(story)
    for person, stories in people.values():
        her = _signed_in(stage, person)
        try:
            for story in stories:
                told.append(_check_story(stage, her, story, kept))
            for refusal in journal.refusals:
                if refusal.person.card == person.card:
                    assert her.verified_refusal(refusal.ask)[0] == refusal.index, "a no is lost"
                    kept["noes that are on record, each at its place"] += 1
        finally:
            her.close()
    kept["people whose receipts show what was answered, and nothing else"] = len(people)
    _check_events(stage, told, within_s, kept)
    _check_reasons(journal, kept)
    report = stage.world.fsck()
    assert report.ok, f"fsck: {report.problems[:3]}"
    kept["ledger entries that fsck read and found whole"] = report.size
    return dict(kept)


def _check_story(
    stage: Stage, her: SurvivorClient, story: Story, kept: Counter[str]
) -> hearing.Told:
    """What her receipt shows, which is what was promised and at most what was on its way."""
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
    return hearing.Told(
        story.grant,
        tuple(kind for kind, _ in lines),
        referral=story.referral,
        accepted=bool(story.accepted),
        completed=bool(story.completed),
    )


def _check_events(
    stage: Stage, told: Sequence[hearing.Told], within_s: float, kept: Counter[str]
) -> None:
    """Each agency heard what the receipts show, and what each source says that it is told."""
    deadline = time.monotonic() + within_s
    while wrong := _unheard(stage, told):
        assert time.monotonic() < deadline, wrong
        time.sleep(POLL_S)
    for name in AGENCIES:
        for source, meant in stage.meant_for(name).items():
            kept[f"events of {source} that {name} heard, each once and in order"] = len(meant)
    kept["consents of which each agency heard all that her receipt shows"] = len(told)


def _unheard(stage: Stage, told: Sequence[hearing.Told]) -> str:
    heard = {name: hearing.of_agency(stage.agency(name)) for name in AGENCIES}
    if wrong := hearing.differs(heard, told):
        return wrong
    for name, events in heard.items():
        for source, meant in stage.meant_for(name).items():
            mine = [event.id for event in events if event.id.startswith(f"{source}:")]
            if mine != [event.id for event in meant]:
                return f"{name} heard {source} otherwise"
    return ""


def _check_reasons(journal: Journal, kept: Counter[str]) -> None:
    for reason, count in journal.reasons.items():
        retryable = reason in NO_PROMISE or TABLE[reason].status in RETRYABLE
        assert retryable, f"told to go on trying by {reason}"
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
