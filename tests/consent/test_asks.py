"""An agency asks: its question reaches her, and it learns a yes and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from safehand.consent.v1 import asks_pb2
from safehand_consent_service import asks as use_case
from safehand_consent_service.asks import AGAIN_S, ASK_S, LISTED_S, MOST
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from tests.consent.asking import (
    LATER,
    NO,
    WORKER,
    YES,
    answer,
    ask,
    asks,
    given,
    narrow,
    questions,
)
from tests.consent.helpers import stop_for_her
from tests.consent.refusals import refused
from tests.consent.world import DAY, NOTICE, World

OPEN, GIVEN, ENDED = (
    asks_pb2.ASK_STATE_OPEN,
    asks_pb2.ASK_STATE_GIVEN,
    asks_pb2.ASK_STATE_ENDED,
)
PURPOSES = ("housing", "legal", "health", "counselling", "economic", "children")


def wait_of(world: World, *args: Any, **changed: Any) -> float | None:
    """Ask, be told to wait, and for how long; None where it was filed."""
    try:
        ask(world, *args, **changed)
    except SafehandError as error:
        if error.reason is not Reason.QUOTA_EXCEEDED:
            raise
        return error.retry_after_s
    return None


def test_a_question_reaches_her_with_who_asks_what_why_and_until_when(
    world: World, her: bytes
) -> None:
    filed = ask(world)
    now = world.clock.wall()
    (question,) = questions(world, her)
    assert question.ask == filed.ask
    assert (question.asker, question.asker_name, question.worker_ref) == (
        "haven",
        "The haven",
        WORKER,
    )
    assert (question.releasing_agency, question.recipient_agency) == ("haven", "legal")
    assert (question.releasing_name, question.recipient_name) == ("The haven", "The legal")
    assert question.purpose == "housing"
    assert list(question.categories) == ["CARD", "CONTACT", "NAME"]
    assert (question.days, question.language, question.notice_sha256) == (60, "en", NOTICE)
    assert question.asked_at.seconds == now
    assert question.ends_at.seconds == now + ASK_S == now + 14 * DAY
    assert not question.put_off
    assert not question.HasField("later_at")
    assert not question.HasField("answered_at")


def test_a_recipient_may_ask_too(world: World, her: bytes) -> None:
    world.register("legal", 1, "her-at-legal")
    filed = ask(world, "her-at-legal", "legal")
    assert [q.asker for q in questions(world, her)] == ["legal"]
    assert [one.ask for one in asks(world, "legal")] == [filed.ask]
    assert asks(world) == []


def test_only_one_of_the_two_may_ask(world: World, her: bytes) -> None:
    world.register("clinic", 1, "her-at-clinic")
    with refused(Reason.NOT_ALLOWED):
        ask(world, "her-at-clinic", "clinic")
    with refused(Reason.MALFORMED):
        ask(world, recipient_agency="haven")
    assert questions(world, her) == []


def test_a_question_needs_an_agreement_that_covers_it(world: World, her: bytes) -> None:
    with refused(Reason.PROTOCOL_MISSING):
        ask(world, recipient_agency="clinic")
    with refused(Reason.AGENCY_UNKNOWN):
        ask(world, recipient_agency="nobody")
    with refused(Reason.MALFORMED):
        ask(world, purpose="curiosity")
    with refused(Reason.MALFORMED):
        ask(world, categories=["SHOE_SIZE"])
    with refused(Reason.MALFORMED):
        ask(world, days=181)
    assert questions(world, her) == []


def test_the_same_request_again_is_the_same_question(world: World, her: bytes) -> None:
    request_id = world.request_id()
    first = ask(world, request_id=request_id)
    assert ask(world, request_id=request_id) == first
    with refused(Reason.REQUEST_ID_REUSED):
        ask(world, request_id=request_id, days=61)
    assert len(questions(world, her)) == 1


def test_a_question_lapses_to_the_second(world: World, her: bytes) -> None:
    filed = ask(world)
    world.clock.advance(ASK_S - 1)
    her = world.sign_in(1)
    assert [one.state for one in asks(world)] == [OPEN]
    assert len(questions(world, her)) == 1
    world.clock.advance(1)
    assert [one.state for one in asks(world)] == [ENDED]
    assert questions(world, her) == []
    (lapsed,) = questions(world, her, asks_pb2.QUESTION_STATE_LAPSED)
    assert (lapsed.ask, lapsed.state) == (filed.ask, asks_pb2.QUESTION_STATE_LAPSED)
    with refused(Reason.STATE_CONFLICT):
        answer(world, her, filed.ask, YES)


def test_a_no_a_later_and_a_silence_look_alike_to_the_asker(world: World, her: bytes) -> None:
    """Also to the byte, but for the id and the purpose, before and after its time."""
    filed = {purpose: ask(world, purpose=purpose) for purpose in PURPOSES[:3]}
    answer(world, her, filed["housing"].ask, NO)
    answer(world, her, filed["legal"].ask, LATER)

    def seen() -> set[bytes]:
        found = []
        for one in asks(world):
            one.ClearField("ask")
            one.ClearField("purpose")
            found.append(one.SerializeToString(deterministic=True))
        assert len(found) == 3
        return set(found)

    assert [one.state for one in asks(world)] == [OPEN] * 3
    assert len(seen()) == 1
    world.clock.advance(ASK_S)
    assert [one.state for one in asks(world)] == [ENDED] * 3
    assert len(seen()) == 1


def test_a_yes_is_seen_at_once_and_its_grant_by_the_releasing_agency_alone(
    world: World, her: bytes
) -> None:
    world.register("legal", 1, "her-at-legal")
    by_haven, by_legal = ask(world), ask(world, "her-at-legal", "legal", purpose="legal")
    grant = answer(world, her, by_haven.ask, YES).grant.grant
    answer(world, her, by_legal.ask, YES)
    (mine,), (theirs,) = asks(world), asks(world, "legal")
    assert (mine.state, mine.grant) == (GIVEN, grant)
    assert (theirs.state, theirs.grant) == (GIVEN, "")
    # Not what she gave of it either: that it learns from a referral.
    assert list(theirs.categories) == ["CARD", "CONTACT", "NAME"]
    world.stop_grant(her, grant)
    assert asks(world) == [mine]


def test_the_list_is_in_order_by_reference_and_paged(world: World, her: bytes) -> None:
    world.register("haven", 2, "other-at-haven")
    filed = []
    for purpose in PURPOSES[:3]:
        world.clock.advance(1)
        filed.append(ask(world, purpose=purpose).ask)
    elsewhere = ask(world, "other-at-haven").ask
    assert [one.ask for one in asks(world, subject_ref="her-at-haven")] == filed[::-1]
    request = asks_pb2.ListAsksRequest(page_size=3)
    page = world.consent("haven").ListAsks(request)
    request.page_token = page.next_page_token
    rest = world.consent("haven").ListAsks(request)
    assert rest.next_page_token == ""
    assert {one.ask for one in (*page.asks, *rest.asks)} == {*filed, elsewhere}
    with refused(Reason.PAGE_TOKEN_INVALID):
        world.consent("legal").ListAsks(request)


# --- no nagging -----------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [None, NO, LATER])
def test_what_did_not_end_in_a_yes_is_asked_again_after_30_days_and_no_sooner(
    world: World, her: bytes, said: asks_pb2.Decision.ValueType | None
) -> None:
    """The wait counts from asking, whatever she said and whenever: it tells nothing."""
    filed = ask(world)
    world.clock.advance(60)
    assert wait_of(world) == AGAIN_S - 60
    if said is not None:
        answer(world, her, filed.ask, said)
    assert wait_of(world) == AGAIN_S - 60
    world.clock.advance(ASK_S)
    assert wait_of(world) == AGAIN_S - ASK_S - 60
    world.clock.advance(AGAIN_S - ASK_S - 61)
    assert wait_of(world) == 1
    world.clock.advance(1)
    assert wait_of(world) is None


def test_while_a_yes_holds_it_may_be_asked_again(world: World, her: bytes) -> None:
    answer(world, her, ask(world).ask, YES)
    assert wait_of(world) is None


@pytest.mark.parametrize("how", ["stopped", "destroyed", "stopped for her", "run out"])
def test_a_yes_that_holds_no_more_is_none(world: World, her: bytes, how: str) -> None:
    """Else who asks again at once makes her take back the same thing every day."""
    grant = answer(world, her, ask(world).ask, YES).grant.grant
    if how == "run out":
        narrow(world, her, grant, "NAME", expires_at=world.clock.wall() + 1)
        world.clock.advance(1)
    elif how == "stopped for her":
        stop_for_her(world, grant=grant)
    else:
        world.stop_grant(her, grant, destroy_now=how == "destroyed")
    waited = 1 if how == "run out" else 0
    assert wait_of(world) == AGAIN_S - waited


def test_a_recipient_waits_alike_whatever_became_of_a_yes(world: World, her: bytes) -> None:
    """It hears of an end only where something was sent; its wait must not tell it sooner."""
    world.register("legal", 1, "her-at-legal")
    by_legal = (world, "her-at-legal", "legal")
    grant = answer(world, her, ask(*by_legal).ask, YES).grant.grant
    assert wait_of(*by_legal) == AGAIN_S
    world.stop_grant(her, grant)
    assert wait_of(*by_legal) == AGAIN_S


def test_so_many_questions_in_30_days_and_no_more(world: World, her: bytes) -> None:
    for purpose in PURPOSES[:MOST]:
        ask(world, purpose=purpose)
        world.clock.advance(10)
    last = PURPOSES[MOST]
    assert wait_of(world, purpose=last) == AGAIN_S - MOST * 10
    answer(world, her, questions(world, her)[0].ask, YES)
    assert wait_of(world, purpose=last) == AGAIN_S - MOST * 10
    world.clock.advance(AGAIN_S - MOST * 10)
    assert wait_of(world, purpose=last) is None


def test_another_person_and_another_agency_have_limits_of_their_own(
    world: World, her: bytes
) -> None:
    world.register("haven", 2, "other-at-haven")
    world.register("legal", 1, "her-at-legal")
    for purpose in PURPOSES[:MOST]:
        ask(world, purpose=purpose)
    ask(world, "other-at-haven")
    ask(world, "her-at-legal", "legal")


def test_references_that_nobody_has_do_not_fill_the_disk(
    world: World, her: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(use_case, "MOST_A_DAY", 3)
    for number in range(3):
        ask(world, f"made-up-{number}")
        world.clock.advance(10)
    assert wait_of(world, "made-up-9") == wait_of(world) == DAY - 30
    world.register("legal", 1, "her-at-legal")
    ask(world, "her-at-legal", "legal")
    world.clock.advance(DAY - 30)
    assert wait_of(world) is None


def test_what_nobody_answered_is_forgotten_and_what_she_said_is_kept(
    world: World, her: bytes
) -> None:
    filed = {purpose: ask(world, purpose=purpose) for purpose in PURPOSES[:3]}
    ask(world, "made-up-1")
    answer(world, her, filed["housing"].ask, NO)
    answer(world, her, filed["legal"].ask, YES)
    world.clock.advance(LISTED_S - 1)
    world.sweep()
    assert len(asks(world)) == 4
    world.clock.advance(1)
    world.sweep()
    assert asks(world) == []
    assert {row[0] for row in world.rows("SELECT state FROM ask")} == {"given", "refused"}


# --- where it leads nowhere -----------------------------------------------------------------------


def test_a_question_that_reaches_nobody_is_like_one_that_does(world: World, her: bytes) -> None:
    """legal asks about her and about a woman whom haven does not know: legal sees no difference."""
    world.register("legal", 1, "her-at-legal")
    world.register("legal", 2, "other-at-legal")
    other = world.sign_in(2)

    def tries(reference: str) -> list[Any]:
        found: list[Any] = []
        for _ in range(2):
            for purpose in PURPOSES:
                try:
                    filed = ask(world, reference, "legal", purpose=purpose)
                    filed.ClearField("ask")
                    filed.ClearField("subject_ref")
                    found.append(filed)
                except SafehandError as error:
                    found.append((error.reason, error.detail, error.retry_after_s))
        for one in asks(world, "legal", subject_ref=reference):
            one.ClearField("ask")
            one.ClearField("subject_ref")
            found.append(one)
        return sorted(found, key=repr)

    known, unknown, made_up = (tries(f"{who}-at-legal") for who in ("her", "other", "no-one"))
    assert known == unknown == made_up
    assert len(questions(world, her)) == MOST
    assert questions(world, other) == []
    assert world.rows("SELECT count(*) FROM ask WHERE subject_id IS NULL") == [(2 * MOST,)]
    world.clock.advance(ASK_S)
    assert {one.state for one in asks(world, "legal")} == {ENDED}


def test_it_stays_so_when_the_releasing_agency_comes_to_know_her(world: World) -> None:
    """Else the asker could learn from a yes when somebody registered her."""
    world.register("legal", 1, "her-at-legal")
    her = world.sign_in(1)
    filed = ask(world, "her-at-legal", "legal")
    world.register("haven", 1, "her-at-haven")
    assert questions(world, her) == []
    with refused(Reason.NOT_FOUND):
        answer(world, her, filed.ask, YES)


def test_a_term_beyond_the_question_is_refused(world: World, her: bytes) -> None:
    filed = ask(world, days=10)
    now = world.clock.wall()
    with refused(Reason.EXPIRY_INVALID):
        answer(world, her, filed.ask, YES, given=given(expires_at=now + 10 * DAY + 1))
    done = answer(world, her, filed.ask, YES, given=given(expires_at=now + 10 * DAY))
    assert done.grant.terms.expires_at.seconds == now + 10 * DAY
