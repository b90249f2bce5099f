"""She answers what she was asked: once, within what was asked, and a no changes nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from safehand.consent.v1 import asks_pb2
from safehand.consent.v1 import consent_pb2 as pb
from safehand_client._internal.questions import read_refusal
from safehand_consent_service.asks import ASK_S
from safehand_consent_service.tables import METADATA
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind, grant_tag
from safehand_formats.leaf import Leaf
from safehand_formats.note import NoteVerifier

from tests.consent.asking import (
    GIVEN,
    LAPSED,
    LATER,
    NO,
    OPEN,
    REFUSED,
    YES,
    answer,
    ask,
    asks,
    given,
    questions,
    refusal,
    request,
)
from tests.consent.refusals import refused
from tests.consent.world import DAY, NOTICE, World


@pytest.fixture
def asked(world: World, her: bytes) -> str:
    """A question to her: CONTACT and NAME, to legal, for housing, 60 days."""
    return ask(world).ask


# --- yes ------------------------------------------------------------------------------------------


def test_a_yes_to_a_part_is_a_grant_of_that_part(world: World, her: bytes, asked: str) -> None:
    done = answer(world, her, asked, YES, given=given("NAME", comprehension="understood"))
    now = world.clock.wall()
    opening = world.opened(done.receipt)
    assert opening.kind is Kind.GRANT
    assert opening.body["ask"] == asked
    assert opening.body["categories"] == ["CARD", "NAME"]
    assert opening.body["language"] == "es"
    assert opening.body["check"] == "understood"
    assert opening.body["expires_at"] == now + 60 * DAY
    view = world.view(her, done.grant.grant)
    assert view == done.grant
    assert (view.ask, view.state) == (asked, pb.GRANT_STATE_ACTIVE)
    assert (view.terms.releasing_agency, view.terms.recipient_agency) == ("haven", "legal")
    assert view.terms.purpose == "housing"
    assert (done.question.state, done.question.grant) == (GIVEN, view.grant)
    assert done.question.answered_at.seconds == now
    assert questions(world, her) == []
    assert [q.ask for q in questions(world, her, GIVEN)] == [asked]
    assert world.key_rows(view.grant) == 2


def test_without_an_end_a_yes_runs_90_days_or_what_was_asked_if_less(
    world: World, her: bytes
) -> None:
    now = world.clock.wall()
    for purpose, days, runs in (("housing", 180, 90), ("legal", 7, 7)):
        done = answer(world, her, ask(world, purpose=purpose, days=days).ask, YES)
        assert done.grant.terms.expires_at.seconds == now + runs * DAY


@pytest.mark.parametrize("more", ["HEALTH", "LOCATION"])
def test_a_yes_cannot_give_what_was_not_asked(
    world: World, her: bytes, asked: str, more: str
) -> None:
    with refused(Reason.SCOPE_EXCEEDED):
        answer(world, her, asked, YES, given=given("NAME", more))
    assert [q.state for q in questions(world, her)] == [OPEN]


def test_a_yes_after_the_agreement_ended_is_refused_and_leaves_the_question(
    bare_world: World,
) -> None:
    world = bare_world
    for name in ("haven", "legal"):
        world.enrol(name)
    world.register_protocol("haven", "legal", not_after=world.clock.wall() + DAY)
    world.register("haven", 1, "her-at-haven")
    asked = ask(world).ask
    world.clock.advance(2 * DAY)
    her = world.sign_in(1)
    with refused(Reason.PROTOCOL_MISSING):
        answer(world, her, asked, YES)
    answer(world, her, asked, NO)


# --- no -------------------------------------------------------------------------------------------


def test_a_no_is_an_entry_with_a_receipt(world: World, her: bytes, asked: str) -> None:
    done = answer(world, her, asked, NO)
    opening = world.opened(done.receipt)
    assert opening.kind is Kind.REFUSE
    assert opening.body == {
        "kind": "REFUSE",
        "ask": asked,
        "releasing": "haven",
        "recipient": "legal",
        "purpose": "housing",
        "categories": ["CARD", "CONTACT", "NAME"],
        "notice": NOTICE,
        "language": "es",
        "given_how": "heard",
        "present": "alone",
        "at": world.clock.wall(),
    }
    assert done.question.state == REFUSED
    assert not done.HasField("grant")
    assert questions(world, her) == []
    assert [q.ask for q in questions(world, her, REFUSED)] == [asked]


def test_she_can_prove_her_no_later(world: World, her: bytes, asked: str) -> None:
    done = answer(world, her, asked, NO)
    world.grant(her)  # the ledger goes on
    found = refusal(world, her, asked)
    assert found.vkey == world.vkey
    assert found.receipt.leaf == done.receipt.leaf
    assert Leaf.decode(found.receipt.leaf).tag == grant_tag(Kind.REFUSE, found.secret, 0)
    verifier = NoteVerifier.from_vkey(world.vkey)
    index, body = read_refusal(found, asked, verifier)
    assert (index, body["ask"]) == (done.receipt.index, asked)
    other = asks_pb2.GetRefusalReceiptResponse()
    other.CopyFrom(found)
    other.secret = bytes(32)
    for wrong, of in ((other, asked), (found, "0" * 32)):
        with refused(Reason.PROOF_INVALID):
            read_refusal(wrong, of, verifier)


def test_there_is_no_proof_of_a_no_that_was_not_said(world: World, her: bytes, asked: str) -> None:
    with refused(Reason.NOT_FOUND):
        refusal(world, her, asked)
    answer(world, her, asked, YES)
    with refused(Reason.NOT_FOUND):
        refusal(world, her, asked)


@pytest.mark.parametrize("decision", [NO, LATER])
def test_a_no_or_a_later_changes_nothing_that_anybody_else_sees(
    world: World, her: bytes, asked: str, decision: asks_pb2.Decision.ValueType
) -> None:
    """Every list that an agency, another service or another page of hers reads is the same."""
    world.register("legal", 1, "her-at-legal")
    world.grant(her)

    def everything() -> list[Any]:
        found: list[Any] = [asks(world), asks(world, "legal"), world.events()]
        for agency in ("haven", "legal"):
            found.append(world.consent(agency).ListAgencyGrants(pb.ListAgencyGrantsRequest()))
        found.append(world.portal.ListGrants(pb.ListGrantsRequest(session=her)))
        found.append(world.portal.ListLooks(pb.ListLooksRequest(session=her)))
        found.append(world.portal.ListSharingOptions(pb.ListSharingOptionsRequest(session=her)))
        for name in sorted(METADATA.tables.keys() - {"ask", "idempotency", "slip_code"}):
            if not name.startswith("ledger_"):
                found.append(sorted(world.rows(f"SELECT * FROM {name}"), key=repr))
        return found

    before = everything()
    answer(world, her, asked, decision)
    assert everything() == before


# --- later ----------------------------------------------------------------------------------------


def test_a_later_stays_open_with_a_day_that_she_alone_sees(
    world: World, her: bytes, asked: str
) -> None:
    size = len(world.rows("SELECT * FROM ledger_leaf"))
    day = Timestamp(seconds=world.clock.wall() + 3 * DAY)
    done = answer(world, her, asked, LATER, later_at=day)
    assert not done.HasField("receipt")
    (question,) = questions(world, her)
    assert (question.state, question.put_off, question.later_at) == (OPEN, True, day)
    assert len(world.rows("SELECT * FROM ledger_leaf")) == size
    answer(world, her, asked, LATER)
    (question,) = questions(world, her)
    assert not question.HasField("later_at")
    answer(world, her, asked, YES)


def test_the_day_is_between_now_and_the_questions_end(world: World, her: bytes, asked: str) -> None:
    now = world.clock.wall()
    for day in (now, now + ASK_S):
        with refused(Reason.MALFORMED):
            answer(world, her, asked, LATER, later_at=Timestamp(seconds=day))
    answer(world, her, asked, LATER, later_at=Timestamp(seconds=now + ASK_S - 1))


# --- once -----------------------------------------------------------------------------------------


def test_a_repeat_is_the_same_answer_and_another_body_is_refused(world: World, her: bytes) -> None:
    for purpose, decision in (("housing", YES), ("legal", NO), ("health", LATER)):
        asked = ask(world, purpose=purpose).ask
        request_id = world.request_id()
        first = answer(world, her, asked, decision, request_id=request_id)
        size = len(world.rows("SELECT * FROM ledger_leaf"))
        again = answer(world, her, asked, decision, request_id=request_id)
        assert again.receipt.leaf == first.receipt.leaf
        assert (again.question, again.grant) == (first.question, first.grant)
        assert len(world.rows("SELECT * FROM ledger_leaf")) == size
        with refused(Reason.REQUEST_ID_REUSED):
            other = NO if decision == YES else YES
            answer(world, her, asked, other, request_id=request_id)


@pytest.mark.parametrize("first", [YES, NO])
@pytest.mark.parametrize("second", [YES, NO, LATER])
def test_what_was_answered_is_not_answered_again(
    world: World,
    her: bytes,
    asked: str,
    first: asks_pb2.Decision.ValueType,
    second: asks_pb2.Decision.ValueType,
) -> None:
    answer(world, her, asked, first)
    with refused(Reason.STATE_CONFLICT):
        answer(world, her, asked, second)
    assert len(questions(world, her, REFUSED if first == NO else GIVEN)) == 1


def test_a_lapsed_question_keeps_its_answer_open_to_nobody(
    world: World, her: bytes, asked: str
) -> None:
    answer(world, her, asked, LATER)
    world.clock.advance(ASK_S)
    her = world.sign_in(1)
    for decision in (YES, NO, LATER):
        with refused(Reason.STATE_CONFLICT):
            answer(world, her, asked, decision)
    (question,) = questions(world, her, LAPSED)
    assert question.put_off


# --- forms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("decision", "missing"), [(YES, "shown"), (YES, "given"), (NO, "shown")])
def test_an_answer_needs_what_belongs_to_it(
    world: World, her: bytes, asked: str, decision: asks_pb2.Decision.ValueType, missing: str
) -> None:
    with refused(Reason.MALFORMED) as caught:
        answer(world, her, asked, decision, **{missing: None})
    assert caught.value.metadata == {"field": missing}


def test_an_answer_has_nothing_that_does_not_belong_to_it(
    world: World, her: bytes, asked: str
) -> None:
    shown = request(world, her, asked, NO).shown
    day = Timestamp(seconds=world.clock.wall() + DAY)
    for decision, extra in (
        (NO, {"given": given()}),
        (NO, {"later_at": day}),
        (YES, {"later_at": day}),
        (LATER, {"given": given()}),
        (LATER, {"shown": shown}),
    ):
        with refused(Reason.MALFORMED):
            answer(world, her, asked, decision, **extra)
    assert len(questions(world, her)) == 1


def test_her_questions_are_newest_first_and_paged(world: World, her: bytes) -> None:
    filed = []
    for purpose in ("housing", "legal", "health"):
        world.clock.advance(1)
        filed.append(ask(world, purpose=purpose).ask)
    wanted = asks_pb2.ListQuestionsRequest(session=her, page_size=2)
    page = world.portal.ListQuestions(wanted)
    assert [q.ask for q in page.questions] == filed[:0:-1]
    wanted.page_token = page.next_page_token
    rest = world.portal.ListQuestions(wanted)
    assert [q.ask for q in rest.questions] == filed[:1]
    assert rest.next_page_token == ""
    wanted.state = REFUSED
    with refused(Reason.PAGE_TOKEN_INVALID):
        world.portal.ListQuestions(wanted)


def test_without_her_session_there_is_nothing(world: World, her: bytes, asked: str) -> None:
    world.portal.CloseSession(pb.CloseSessionRequest(session=her))
    for call in (
        lambda: questions(world, her),
        lambda: answer(world, her, asked, YES),
        lambda: refusal(world, her, asked),
    ):
        with pytest.raises(SafehandError) as caught:
            call()
        assert caught.value.reason is Reason.SESSION_INVALID
