"""Her list: where each sharing stands, what was got under it, and what she does with one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from safehand.consent.v1 import consent_pb2, recorded_pb2
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind

from tests.consent.portal.world import (
    DAY,
    HOUR,
    MINUTE,
    NOBODYS,
    A,
    B,
    C,
    Her,
    PortalWorld,
    new_request_id,
    refused,
)

ACTIVE = consent_pb2.GRANT_STATE_ACTIVE
STOPPED = consent_pb2.GRANT_STATE_STOPPED
REVOKED = consent_pb2.GRANT_STATE_REVOKED
EXPIRED = consent_pb2.GRANT_STATE_EXPIRED


def test_a_sharing_says_who_what_why_and_until_when(pages_world: PortalWorld, she: Her) -> None:
    now = pages_world.now
    pages_world.give(she)
    one = pages_world.only(she)
    assert (one.releasing_name, one.recipient_name) == (f"The {A}", f"The {B}")
    assert (one.purpose, list(one.categories)) == ("housing", ["CARD", "CONTACT", "NAME"])
    assert (one.state, one.issued_at.seconds) == (ACTIVE, now)
    assert one.expires_at.seconds == now + 90 * DAY
    assert not one.ends_soon
    for absent in ("stopped_at", "undo_until", "ended_at", "confirm_by", "last_look_at"):
        assert not one.HasField(absent)
    assert one == pages_world.one(she, one.number)


def test_what_a_recipient_got_is_told_by_category(pages_world: PortalWorld, she: Her) -> None:
    sent = pages_world.send(pages_world.give(she))
    assert not pages_world.only(she).got
    pages_world.accept(sent)
    first = pages_world.now
    pages_world.look(sent, "CARD")
    pages_world.look(sent, "NAME")
    pages_world.later(5 * MINUTE)
    pages_world.look(sent, "NAME")
    card, name = pages_world.only(she).got
    assert (card.category, card.looks, card.first_at.seconds) == ("CARD", 1, first)
    assert (name.category, name.looks) == ("NAME", 2)
    assert (name.first_at.seconds, name.last_at.seconds) == (first, first + 5 * MINUTE)
    assert pages_world.only(she).last_look_at.seconds == first + 5 * MINUTE


def test_what_ends_within_fourteen_days_ends_soon(pages_world: PortalWorld, she: Her) -> None:
    pages_world.give(she)
    pages_world.later(76 * DAY - 1)
    she = pages_world.again(she)
    assert not pages_world.only(she).ends_soon
    pages_world.later(1)
    assert pages_world.only(she).ends_soon
    pages_world.stop_one(she, pages_world.only(she).number)
    assert not pages_world.only(she).ends_soon


def test_those_that_are_on_come_before_those_that_ended(pages_world: PortalWorld, she: Her) -> None:
    grants = []
    for _ in range(4):
        grants.append(pages_world.give(she))
        pages_world.later(1)
    pages_world.stop_one(she, pages_world.number(she, grants[3]))
    order = [one.number for one in pages_world.sharing(she).sharings]
    assert order == [pages_world.number(she, grants[place]) for place in (2, 1, 0, 3)]


# --- stop, undo, destroy ---------------------------------------------------------------------


def test_after_the_answer_to_her_stop_the_agency_opens_nothing(
    pages_world: PortalWorld, she: Her
) -> None:
    grant = pages_world.give(she)
    sent = pages_world.send(grant)
    pages_world.look(sent)
    done = pages_world.stop_one(she, pages_world.only(she).number)
    now = pages_world.now
    with refused(Reason.CONSENT_ENDED, by=pages_world):
        pages_world.release(sent)
    one = done.sharing
    assert (one.state, one.stopped_by, one.stopped_at.seconds) == (STOPPED, "self", now)
    assert one.undo_until.seconds == now + DAY
    assert [got.category for got in one.got] == ["CARD"]
    assert one == pages_world.only(she)
    assert pages_world.kinds(grant).count(Kind.STOP) == 1


def test_a_second_press_writes_nothing_more(pages_world: PortalWorld, she: Her) -> None:
    grant = pages_world.give(she)
    number = pages_world.only(she).number
    request_id = new_request_id()
    first = pages_world.stop_one(she, number, request_id)
    size = pages_world.size
    assert pages_world.stop_one(she, number, request_id).sharing == first.sharing
    assert pages_world.stop_one(she, number).sharing == first.sharing
    assert pages_world.size == size
    assert pages_world.kinds(grant).count(Kind.STOP) == 1


def test_two_presses_at_the_same_time_are_one_entry(pages_world: PortalWorld, she: Her) -> None:
    grant = pages_world.give(she)
    number = pages_world.only(she).number
    request_id = new_request_id()
    with ThreadPoolExecutor(4) as pool:
        press = [pool.submit(pages_world.stop_one, she, number, request_id) for _ in range(4)]
        answers = [one.result() for one in press]
    assert len({answer.sharing.SerializeToString() for answer in answers}) == 1
    assert pages_world.kinds(grant).count(Kind.STOP) == 1


def test_a_press_comes_again_from_her_next_session(pages_world: PortalWorld, she: Her) -> None:
    grant = pages_world.give(she)
    request_id = new_request_id()
    pages_world.stop_one(she, pages_world.only(she).number, request_id)
    later = pages_world.again(she)
    pages_world.stop_one(later, pages_world.only(later).number, request_id)
    assert pages_world.kinds(grant).count(Kind.STOP) == 1


def test_a_request_id_is_good_for_one_sharing(pages_world: PortalWorld, she: Her) -> None:
    one, other = pages_world.give(she), pages_world.give(she)
    request_id = new_request_id()
    pages_world.stop_one(she, pages_world.number(she, one), request_id)
    with refused(Reason.REQUEST_ID_REUSED):
        pages_world.stop_one(she, pages_world.number(she, other), request_id)


def test_an_undo_takes_the_pin_and_the_window(pages_world: PortalWorld, she: Her) -> None:
    sent = pages_world.send(pages_world.give(she))
    number = pages_world.only(she).number
    pages_world.stop_one(she, number)
    with refused(Reason.SIGN_IN_FAILED):
        pages_world.undo(she, number, pin="000000")
    assert pages_world.only(she).state == STOPPED
    request_id = new_request_id()
    done = pages_world.undo(she, number, request_id=request_id)
    assert (done.sharing.state, done.sharing.stopped_by) == (ACTIVE, "")
    pages_world.look(sent)
    size = pages_world.size
    pages_world.undo(she, number, request_id=request_id)
    assert pages_world.size == size

    pages_world.stop_one(she, number)
    until = pages_world.only(she).undo_until.seconds
    pages_world.later(until - pages_world.now)
    she = pages_world.again(she)
    one = pages_world.only(she)
    # Not swept yet; told as it is all the same.
    assert (one.state, one.end_cause, one.ended_at.seconds) == (REVOKED, "window", until)
    assert not one.HasField("undo_until")
    with refused(Reason.WINDOW_CLOSED):
        pages_world.undo(she, one.number)
    pages_world.app.sweep()
    assert pages_world.only(she) == one


def test_a_stop_that_outlasts_the_term_can_be_undone_until_the_term(
    pages_world: PortalWorld, she: Her
) -> None:
    end = pages_world.now + 2 * HOUR
    pages_world.grant(she.session, _until(pages_world, end))
    pages_world.stop_one(she, pages_world.only(she).number)
    assert pages_world.only(she).undo_until.seconds == end
    pages_world.later(2 * HOUR)
    she = pages_world.again(she)
    one = pages_world.only(she)
    assert (one.state, one.end_cause, one.ended_at.seconds) == (EXPIRED, "expired", end)
    assert not one.HasField("undo_until")
    pages_world.app.sweep()
    assert pages_world.only(she) == one


@pytest.mark.parametrize("stopped", [False, True])
def test_destroying_ends_it_for_good(pages_world: PortalWorld, she: Her, stopped: bool) -> None:
    grant = pages_world.give(she)
    sent = pages_world.send(grant)
    number = pages_world.only(she).number
    if stopped:
        pages_world.stop_one(she, number)
        pages_world.later(5 * MINUTE)
    request_id = new_request_id()
    one = pages_world.destroy(she, number, request_id).sharing
    assert (one.state, one.end_cause) == (REVOKED, "destroy_now")
    assert one.ended_at.seconds == pages_world.now
    assert not one.HasField("undo_until")
    assert pages_world.category_key(grant, "CARD") is None
    with refused(Reason.CONSENT_ENDED):
        pages_world.release(sent)
    with refused(Reason.CONSENT_ENDED):
        pages_world.undo(she, number)
    size = pages_world.size
    assert pages_world.destroy(she, number, request_id).sharing == one
    assert pages_world.size == size


# --- what a worker wrote down --------------------------------------------------------------------


def test_she_says_whether_what_was_recorded_is_right(pages_world: PortalWorld, she: Her) -> None:
    grant = pages_world.recorded(she)
    one = pages_world.only(she)
    assert (one.recorded_by_name, one.medium) == (f"The {A}", "paper")
    assert one.confirm_by.seconds == pages_world.now + 14 * DAY
    assert not one.ends_soon
    request_id = new_request_id()
    not_sure = pages_world.confirm(she, one.number, recorded_pb2.REPLY_NOT_SURE)
    assert not_sure.HasField("confirm_by")
    for _ in range(2):
        yes = pages_world.confirm(she, one.number, recorded_pb2.REPLY_YES, request_id)
        assert (yes.state, yes.HasField("confirm_by")) == (ACTIVE, False)
    assert pages_world.kinds(grant).count(Kind.CONFIRM) == 1
    with refused(Reason.STATE_CONFLICT):
        pages_world.confirm(she, one.number, recorded_pb2.REPLY_YES)
    no = pages_world.confirm(she, one.number, recorded_pb2.REPLY_NO)
    assert (no.state, no.end_cause) == (REVOKED, "invalidated")


def test_what_she_gave_herself_is_not_hers_to_confirm(pages_world: PortalWorld, she: Her) -> None:
    pages_world.give(she)
    with refused(Reason.STATE_CONFLICT):
        pages_world.confirm(she, pages_world.only(she).number, recorded_pb2.REPLY_YES)


def test_silence_about_what_was_recorded_ends_it(pages_world: PortalWorld, she: Her) -> None:
    pages_world.recorded(she)
    due = pages_world.only(she).confirm_by.seconds
    pages_world.later(14 * DAY)
    she = pages_world.again(she)
    one = pages_world.only(she)
    assert (one.state, one.end_cause, one.ended_at.seconds) == (EXPIRED, "unconfirmed", due)
    assert not one.HasField("confirm_by")


# --- nobody else's -------------------------------------------------------------------------------


def _calls(world: PortalWorld) -> list[Any]:
    return [
        lambda her, number: world.one(her, number),
        lambda her, number: world.stop_one(her, number),
        lambda her, number: world.undo(her, number),
        lambda her, number: world.destroy(her, number),
        lambda her, number: world.confirm(her, number, recorded_pb2.REPLY_NO),
        lambda her, number: world.hide(her, number),
        lambda her, number: world.seen(her, sharing=number),
    ]


def test_a_number_of_another_session_or_of_another_is_nothing(
    pages_world: PortalWorld, she: Her
) -> None:
    grant = pages_world.give(she)
    number = pages_world.only(she).number
    again = pages_world.again(she)
    other = pages_world.her()
    of_other = pages_world.number(other, grant)
    for call in _calls(pages_world):
        for her, wrong in ((again, number), (other, number), (other, of_other), (she, NOBODYS)):
            with refused(Reason.NOT_FOUND, by=pages_world):
                call(her, wrong)
    assert pages_world.only(she).state == ACTIVE


def test_without_a_session_there_is_nothing(pages_world: PortalWorld, she: Her) -> None:
    pages_world.give(she)
    number = pages_world.only(she).number
    nobody = Her(she.card, she.ref, bytes(32))
    for call in _calls(pages_world):
        with refused(Reason.SESSION_INVALID, by=pages_world):
            call(nobody, number)


def test_two_recipients_are_two_sharings(pages_world: PortalWorld, she: Her) -> None:
    for recipient in (B, C):
        pages_world.give(she, recipient)
    names = {one.recipient_name for one in pages_world.sharing(she).sharings}
    assert names == {f"The {B}", f"The {C}"}


def _until(world: PortalWorld, end: int) -> consent_pb2.Terms:
    terms = world.terms()
    terms.expires_at.seconds = end
    return terms
