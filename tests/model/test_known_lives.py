"""Lives that are worth keeping: each found a fault once, or is the shortest that would find one.

The machine of ``test_consent_life`` finds such lives by itself, given time. These run every time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from safehand_core.errors import SafehandError

from tests.harness import database
from tests.model.model import DAY, HOUR
from tests.model.test_consent_life import ConsentLife


@pytest.fixture(params=database.conformance(), autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each life on each database."""
    chosen: str = database.require(request.param)
    monkeypatch.setenv(database.VARIABLE, chosen)
    return chosen


@contextmanager
def life(*categories: str) -> Iterator[ConsentLife]:
    """A life that begins with a yes, and what must hold at the end of every one."""
    made = ConsentLife()
    try:
        made.says_yes(categories=set(categories or ("CONTACT", "NAME")), days=90)
        yield made
        made.time_never_runs_backwards()
        made.a_key_is_there_exactly_while_it_may_be_needed()
    except BaseException:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(made, "_at_the_end", lambda: None)
            made.teardown()
        raise
    made.teardown()


def test_the_last_wish_of_a_day_is_repeated() -> None:
    """Its answer was lost; the repeat was refused as one too many."""
    with life() as lived:
        lived.answers_are_lost(lost=True)
        for _ in range(3):
            lived.her_representative_stops()
            lived.she_resumes(number=0)


def test_a_weak_stop_can_be_undone_until_its_last_second_and_not_in_the_next() -> None:
    with life() as lived:
        lived.a_worker_stops_for_her(by="card", agency="agency-a", number=0, coercion=False)
        lived.time_passes(seconds=10 * HOUR)
        lived.her_representative_stops()
        lived.a_deadline_comes(number=0, what="final_at", seconds=-1)
        lived.she_resumes(number=0)
        lived.a_worker_stops_for_her(by="card", agency="agency-b", number=0, coercion=False)
        lived.a_deadline_comes(number=0, what="final_at", seconds=0)
        lived.she_resumes(number=0)
        lived.it_is_swept()


def test_her_own_stop_takes_the_place_of_a_weak_one() -> None:
    with life() as lived:
        lived.her_representative_stops()
        lived.she_stops(number=0, mode="stop")
        lived.staff_resume(number=0, right=True)
        lived.a_deadline_comes(number=0, what="final_at", seconds=0)
        lived.she_resumes(number=0)
        lived.it_is_swept()


def test_what_nobody_confirms_lapses_to_the_second() -> None:
    with life() as lived:
        lived.a_worker_records(categories={"NAME"})
        lived.a_deadline_comes(number=1, what="confirm_by", seconds=-1)
        lived.a_referral_is_sent(number=1, categories={"NAME"})
        lived.a_deadline_comes(number=1, what="confirm_by", seconds=0)
        lived.a_part_is_opened(number=0, part=0)
        lived.she_is_asked_if_it_is_right(number=0, reply="yes")
        lived.it_is_swept()


def test_what_a_weak_stop_ended_is_confirmed_by_nobody() -> None:
    """Whether it was confirmed depended on whether a sweep had passed."""
    with life() as lived:
        lived.a_worker_records(categories={"NAME"})
        lived.her_representative_stops()
        lived.a_deadline_comes(number=1, what="final_at", seconds=0)
        lived.she_is_asked_if_it_is_right(number=0, reply="yes")
        lived.a_second_person(number=0, worker="worker-0002")
        lived.it_is_swept()


def test_a_sensitive_kind_waits_for_a_second_person() -> None:
    with life() as lived:
        lived.a_worker_records(categories={"EVENTS", "NAME"})
        lived.a_referral_is_sent(number=1, categories={"EVENTS"})
        lived.a_second_person(number=0, worker="worker-0001")
        lived.a_second_person(number=0, worker="worker-0002")
        lived.a_referral_is_sent(number=1, categories={"EVENTS"})
        lived.it_is_answered(number=0, word="accept")
        lived.a_part_is_opened(number=0, part=1)


def test_what_was_taken_out_opens_no_more_and_its_key_is_gone() -> None:
    with life("CONTACT", "NAME") as lived:
        lived.a_referral_is_sent(number=0, categories={"CONTACT", "NAME"})
        lived.it_is_answered(number=0, word="accept")
        lived.a_part_is_opened(number=0, part=1)
        lived.she_narrows(number=0, keep=0, days=None)
        lived.a_part_is_opened(number=0, part=1)
        lived.a_part_is_opened(number=0, part=0)


def test_an_end_that_has_come_does_not_go_when_the_clock_is_set_back() -> None:
    with life() as lived:
        lived.a_referral_is_sent(number=0, categories={"NAME"})
        lived.it_is_answered(number=0, word="accept")
        lived.she_narrows(number=0, keep=3, days=1)
        lived.a_deadline_comes(number=0, what="expires_at", seconds=0)
        lived.says_yes(categories={"NAME"}, days=5)
        lived.somebody_sets_the_clock(seconds=-3 * DAY)
        lived.a_part_is_opened(number=0, part=0)
        lived.it_is_restarted()
        lived.a_part_is_opened(number=0, part=0)
        lived.it_is_swept()


def test_a_no_stays_proven_whatever_comes_behind_it() -> None:
    with life("NAME") as lived:
        lived.answers_are_lost(lost=True)
        lived.an_agency_asks(categories={"CONTACT", "NAME"})
        lived.she_answers(decision="no")
        lived.time_passes(seconds=40 * DAY)
        lived.an_agency_asks(categories={"HEALTH"})
        lived.she_answers(decision="no")
        lived.says_yes(categories={"NAME"}, days=20)
        lived.it_is_restarted()
        lived.it_is_swept()
        assert len(lived.refused) == 2


def test_a_clock_that_leaps_ahead_destroys_nothing_and_stops_go_on() -> None:
    with life() as lived:
        lived.a_referral_is_sent(number=0, categories={"NAME"})
        lived.she_stops(number=0, mode="stop")
        lived.somebody_sets_the_clock(seconds=3 * DAY)
        assert lived.suspect
        lived.it_is_swept()
        lived.a_key_is_there_exactly_while_it_may_be_needed()
        lived.a_part_is_opened(number=0, part=0)
        lived.says_yes(categories={"NAME"}, days=5)
        lived.she_stops(number=1, mode="stop")


def test_sealed_again_it_goes_on_and_the_old_seal_stays_shut() -> None:
    with life() as lived:
        lived.a_referral_is_sent(number=0, categories={"NAME"})
        lived.it_is_answered(number=0, word="accept")
        lived.she_stops(number=0, mode="destroy")
        lived.keys_roll()
        lived.says_yes(categories={"NAME"}, days=20)
        lived.it_is_sealed_again(number=0, onto=1)
        lived.a_part_is_opened(number=0, part=1)
        lived.it_is_restarted()
        lived.a_part_is_opened(number=0, part=1)


def test_the_model_itself_says_no() -> None:
    """What it does not allow and happens is seen, and so is what it allows and does not happen."""
    with life() as lived:
        with pytest.raises(AssertionError, match="does not allow"):
            lived.does("", False, lambda: None)

        def refused() -> None:
            lived.world.resume_grant(lived.hers(), lived.grants[0].id)

        with pytest.raises(AssertionError, match="allows it"):
            lived.does("", True, refused)
        with pytest.raises(SafehandError):
            refused()
