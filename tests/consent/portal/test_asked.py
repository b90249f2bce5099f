"""What somebody asks her, and her answer: yes to all or part, no, or later."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from safehand.consent.v1 import asks_pb2, consent_pb2, portal_pb2
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind

from tests.consent.portal.world import (
    ASK,
    DAY,
    HOUR,
    NOBODYS,
    A,
    B,
    Her,
    PortalWorld,
    new_request_id,
    refused,
)

YES, NO, LATER = asks_pb2.DECISION_YES, asks_pb2.DECISION_NO, asks_pb2.DECISION_LATER


def _asked(world: PortalWorld, her: Her) -> Any:
    (one,) = world.sharing(her).asked
    return one


def _count(world: PortalWorld, kind: Kind) -> int:
    sql = "SELECT count(*) FROM ledger_opening WHERE kind = ?"
    return int(world.store.rows(sql, kind.value)[0][0])


def test_a_question_says_who_asks_for_what(pages_world: PortalWorld, she: Her) -> None:
    pages_world.ask(she)
    one = _asked(pages_world, she)
    assert (one.asker_name, one.releasing_name, one.recipient_name) == (
        f"The {A}",
        f"The {A}",
        f"The {B}",
    )
    assert (one.purpose, list(one.categories), one.days) == (
        "housing",
        ["CARD", "CONTACT", "NAME"],
        60,
    )
    assert one.asked_at.seconds == pages_world.now
    assert one.ends_at.seconds == pages_world.now + 14 * DAY
    assert one.state == asks_pb2.QUESTION_STATE_OPEN
    request = _get(she, one.number)
    assert pages_world.pages.GetAsked(request).asked == one


def test_a_yes_gives_what_she_says_for_as_long_as_she_says(
    pages_world: PortalWorld, she: Her
) -> None:
    pages_world.ask(she)
    number = _asked(pages_world, she).number
    request = pages_world.answer_request(
        she, number, YES, categories=["CONTACT"], days=30, comprehension="explained_again"
    )
    done = pages_world.pages.AnswerAsked(request)
    assert done.asked.state == asks_pb2.QUESTION_STATE_GIVEN
    assert list(done.sharing.categories) == ["CARD", "CONTACT"]
    assert done.sharing.state == consent_pb2.GRANT_STATE_ACTIVE
    assert done.sharing.expires_at.seconds == pages_world.now + 30 * DAY
    assert done.sharing == pages_world.only(she)
    assert not pages_world.sharing(she).asked
    words = pages_world.store.rows("SELECT comprehension FROM consent_grant")
    assert words == [("explained_again",)]
    # A moment later the same press is the same answer.
    pages_world.later(5)
    size = pages_world.size
    assert pages_world.pages.AnswerAsked(request).sharing == done.sharing
    assert pages_world.size == size


def test_without_days_it_is_what_was_asked_for_at_most(pages_world: PortalWorld, she: Her) -> None:
    pages_world.ask(she)
    number = _asked(pages_world, she).number
    for days in (61, 180):
        with refused(Reason.EXPIRY_INVALID, by=pages_world):
            pages_world.answer(she, number, YES, days=days)
    done = pages_world.answer(she, number, YES)
    assert done.sharing.expires_at.seconds == pages_world.now + 60 * DAY


def test_two_presses_at_the_same_time_are_one_consent(pages_world: PortalWorld, she: Her) -> None:
    pages_world.ask(she)
    request = pages_world.answer_request(she, _asked(pages_world, she).number, YES, days=7)
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(pages_world.pages.AnswerAsked, request) for _ in range(4)]
        numbers = {job.result().sharing.number for job in jobs}
    assert len(numbers) == 1
    assert _count(pages_world, Kind.GRANT) == 1


def test_a_press_comes_again_from_her_next_session(pages_world: PortalWorld, she: Her) -> None:
    ask = pages_world.ask(she)
    request_id = new_request_id()
    pages_world.answer(she, _asked(pages_world, she).number, NO, request_id=request_id)
    again = pages_world.again(she)
    number = pages_world.number(again, ask, ASK)
    pages_world.answer(again, number, NO, request_id=request_id)
    assert _count(pages_world, Kind.REFUSE) == 1


def test_a_no_and_a_later_give_nothing(pages_world: PortalWorld, she: Her) -> None:
    pages_world.ask(she)
    number = _asked(pages_world, she).number
    later = pages_world.answer(she, number, LATER, comprehension="understood")
    assert later.asked.put_off
    assert not later.HasField("sharing")
    assert _asked(pages_world, she).put_off
    no = pages_world.answer(she, number, NO, comprehension="wants_person")
    assert no.asked.state == asks_pb2.QUESTION_STATE_REFUSED
    assert not no.HasField("sharing")
    assert not pages_world.sharing(she).sharings
    assert pages_world.pages.GetAsked(_get(she, number)).asked == no.asked
    with refused(Reason.STATE_CONFLICT, by=pages_world):
        pages_world.answer(she, number, YES)


@pytest.mark.parametrize(
    ("decision", "changed", "reason"),
    [
        (YES, {"categories": []}, Reason.MALFORMED),
        (YES, {"categories": ["HEALTH"]}, Reason.SCOPE_EXCEEDED),
        (YES, {"shown": None}, Reason.MALFORMED),
        (YES, {"days": 181}, Reason.MALFORMED),
        (NO, {"categories": ["NAME"]}, Reason.MALFORMED),
        (NO, {"days": 7}, Reason.MALFORMED),
        (LATER, {"categories": ["NAME"]}, Reason.MALFORMED),
        (LATER, {"shown": asks_pb2.Shown(notice_sha256="ab" * 32, language="en",
                                         given_how="read", present="alone")}, Reason.MALFORMED),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_changes_nothing(
    pages_world: PortalWorld, she: Her, decision: Any, changed: dict[str, Any], reason: Reason
) -> None:
    pages_world.ask(she)
    before = _asked(pages_world, she)
    with refused(reason, by=pages_world):
        pages_world.answer(she, before.number, decision, **changed)
    assert _asked(pages_world, she) == before


def test_a_question_that_is_over_is_asked_no_more(pages_world: PortalWorld, she: Her) -> None:
    ask = pages_world.ask(she)
    pages_world.later(14 * DAY)
    she = pages_world.again(she)
    assert not pages_world.sharing(she).asked
    number = pages_world.number(she, ask, ASK)
    found = pages_world.pages.GetAsked(_get(she, number)).asked
    assert found.state == asks_pb2.QUESTION_STATE_LAPSED
    with refused(Reason.STATE_CONFLICT):
        pages_world.answer(she, number, YES)


def test_nobody_elses_question_is_there(pages_world: PortalWorld, she: Her) -> None:
    ask = pages_world.ask(she)
    number = _asked(pages_world, she).number
    other, again = pages_world.her(), pages_world.again(she)
    wrong = (
        (other, number),
        (other, pages_world.number(other, ask, ASK)),
        (again, number),
        (she, NOBODYS),
        (she, pages_world.number(she, ask)),
    )
    for her, of in wrong:
        with refused(Reason.NOT_FOUND, by=pages_world):
            pages_world.pages.GetAsked(_get(her, of))
        for decision in (YES, NO, LATER):
            with refused(Reason.NOT_FOUND, by=pages_world):
                pages_world.answer(her, of, decision)
    nobody = Her(she.card, she.ref, bytes(32))
    with refused(Reason.SESSION_INVALID):
        pages_world.pages.GetAsked(_get(nobody, number))
    with refused(Reason.SESSION_INVALID):
        pages_world.answer(nobody, number, NO)
    assert not _asked(pages_world, she).put_off


def test_a_hidden_question_can_be_neither_read_nor_answered(
    pages_world: PortalWorld, she: Her
) -> None:
    pages_world.ask(she)
    number = _asked(pages_world, she).number
    pages_world.hide(she, number)
    assert not pages_world.sharing(she).asked
    with refused(Reason.NOT_FOUND):
        pages_world.pages.GetAsked(_get(she, number))
    with refused(Reason.NOT_FOUND, by=pages_world):
        pages_world.answer(she, number, NO)
    pages_world.show_all(she)
    pages_world.later(HOUR // 12)
    assert _asked(pages_world, she).number == number


def test_with_a_hidden_sharing_goes_the_question_that_it_answers(
    pages_world: PortalWorld, she: Her
) -> None:
    pages_world.ask(she)
    number = _asked(pages_world, she).number
    given = pages_world.answer(she, number, YES).sharing
    pages_world.hide(she, given.number)
    with refused(Reason.NOT_FOUND):
        pages_world.pages.GetAsked(_get(she, number))


def _get(her: Her, number: str) -> Any:
    return portal_pb2.GetAskedRequest(session=her.session, number=number)
