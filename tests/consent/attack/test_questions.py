"""Questions as a weapon: about whom, in whose place, wider than asked, twice, or as an oracle."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from safehand.consent.v1 import asks_pb2, narrow_pb2
from safehand.consent.v1 import consent_pb2 as pb
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind

from tests.consent.asking import (
    GIVEN,
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
from tests.consent.world import World

TOGETHER = 8


@pytest.fixture
def world(bare_world: World) -> World:
    """haven, legal and clinic are enrolled; haven and legal have a protocol."""
    return bare_world.settle()


def at_once(*works: Callable[[], object]) -> list[object]:
    """What each returned, or the reason why it was refused; all begun at the same moment."""
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> object:
        barrier.wait()
        try:
            return work()
        except SafehandError as error:
            return error.reason

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def kinds(world: World) -> list[int]:
    return [row[0] for row in world.rows("SELECT kind FROM ledger_opening ORDER BY 1")]


def test_another_agencys_reference_asks_nobody(world: World, her: bytes) -> None:
    """legal saw haven's reference for her on a paper. It is no way to her, and no error either."""
    filed = ask(world, "her-at-haven", "legal")
    assert questions(world, her) == []
    assert filed.state == asks_pb2.ASK_STATE_OPEN
    with refused(Reason.NOT_FOUND):
        answer(world, her, filed.ask, YES)


def test_an_agency_cannot_ask_in_the_name_of_others(world: World, her: bytes) -> None:
    world.register_protocol("clinic", "haven")
    for caller in ("clinic", "stranger"):
        with refused(Reason.NOT_ALLOWED):
            ask(world, "her-at-haven", caller)
    assert asks(world, "clinic") == asks(world, "stranger") == []
    assert questions(world, her) == []


def test_nobody_answers_for_another(world: World, her: bytes) -> None:
    world.register("haven", 2, "other-at-haven")
    other = world.sign_in(2)
    filed = ask(world)
    for decision in (YES, NO, LATER):
        for which in (filed.ask, "0" * 32):
            with refused(Reason.NOT_FOUND):
                answer(world, other, which, decision)
    assert questions(world, other) == []
    answer(world, her, filed.ask, NO)
    with refused(Reason.NOT_FOUND):
        refusal(world, other, filed.ask)


def test_an_agency_cannot_answer_itself(world: World, her: bytes) -> None:
    filed = ask(world)
    with refused(Reason.NOT_ALLOWED):
        world.consent("haven").AnswerQuestion(request(world, her, filed.ask, YES))
    with refused(Reason.NOT_ALLOWED):
        world.consent("haven").ListQuestions(asks_pb2.ListQuestionsRequest(session=her))
    assert [q.state for q in questions(world, her)] == [OPEN]


def test_a_crafted_answer_gives_nothing_that_was_not_asked(world: World, her: bytes) -> None:
    """The answer has no field for who and what for; what it has is held against the question."""
    filed = ask(world, categories=["NAME"], days=5)
    now = world.clock.wall()
    fields = {f.name for f in asks_pb2.AnswerQuestionRequest.DESCRIPTOR.fields}
    fields |= {f.name for f in asks_pb2.Given.DESCRIPTOR.fields}
    assert not fields & {"releasing_agency", "recipient_agency", "purpose", "terms"}
    for crafted, reason in (
        (given("NAME", "LOCATION"), Reason.SCOPE_EXCEEDED),
        (given("CONTACT"), Reason.SCOPE_EXCEEDED),
        (given("NAME", expires_at=now + 5 * 86_400 + 1), Reason.EXPIRY_INVALID),
        (given("NAME", expires_at=now), Reason.EXPIRY_INVALID),
    ):
        with refused(reason):
            answer(world, her, filed.ask, YES, given=crafted)
    assert world.portal.ListGrants(pb.ListGrantsRequest(session=her)).grants == []
    assert int(Kind.GRANT) not in kinds(world)


def test_yes_and_no_at_once_in_two_sessions_is_one_answer(world: World, her: bytes) -> None:
    """And the loser hears so; what holds is what the ledger says."""
    for purpose in ("housing", "legal", "health", "counselling"):
        filed = ask(world, purpose=purpose).ask
        sessions = [world.sign_in(1) for _ in range(TOGETHER)]
        sent = [
            request(world, session, filed, YES if number % 2 else NO)
            for number, session in enumerate(sessions)
        ]
        done = at_once(*(lambda r=one: world.portal.AnswerQuestion(r) for one in sent))
        won = [one for one in done if isinstance(one, asks_pb2.AnswerQuestionResponse)]
        assert len(won) == 1
        assert [one for one in done if one not in won] == [Reason.STATE_CONFLICT] * (TOGETHER - 1)
        state = won[0].question.state
        grants = world.portal.ListGrants(pb.ListGrantsRequest(session=her)).grants
        assert [g.ask for g in grants].count(filed) == (state == GIVEN)
        assert (filed in [q.ask for q in questions(world, her, REFUSED)]) == (state == REFUSED)
    assert kinds(world).count(Kind.GRANT) + kinds(world).count(Kind.REFUSE) == 4


def test_the_same_answer_twice_at_once_is_one_entry(world: World, her: bytes) -> None:
    sent = request(world, her, ask(world).ask, NO)
    done = at_once(*[lambda: world.portal.AnswerQuestion(sent)] * TOGETHER)
    assert len({one.receipt.leaf for one in done}) == 1  # type: ignore[attr-defined]
    assert kinds(world).count(Kind.REFUSE) == 1


def test_asking_many_times_at_once_is_asking_once(world: World, her: bytes) -> None:
    done = at_once(*[lambda: ask(world)] * TOGETHER)
    assert done.count(Reason.QUOTA_EXCEEDED) == TOGETHER - 1
    assert len(questions(world, her)) == 1


def test_the_asker_learns_no_secret_and_no_entry(world: World, her: bytes) -> None:
    """Nothing that legal or haven can call has the question's secret, its REFUSE or its later."""
    filed = ask(world)
    answer(world, her, filed.ask, NO)
    for found in asks(world):
        assert set(found.DESCRIPTOR.fields_by_name) == {
            "ask",
            "subject_ref",
            "releasing_agency",
            "recipient_agency",
            "purpose",
            "categories",
            "days",
            "state",
            "asked_at",
            "ends_at",
            "grant",
        }
        assert found == filed
    for caller in ("haven", "legal"):
        with refused(Reason.NOT_ALLOWED):
            world.consent(caller).GetRefusalReceipt(
                asks_pb2.GetRefusalReceiptRequest(session=her, ask=filed.ask)
            )


@pytest.mark.parametrize("left", [["NAME"], ["CARD"]])
def test_a_narrowing_with_a_stolen_grant_id_needs_her(
    world: World, her: bytes, left: list[str]
) -> None:
    grant = world.grant(her).grant.grant
    world.register("haven", 2, "other-at-haven")
    other = world.sign_in(2)
    message = narrow_pb2.NarrowGrantRequest(
        request_id=world.request_id(), session=other, grant=grant, categories=left
    )
    with refused(Reason.NOT_FOUND):
        world.portal.NarrowGrant(message)
    with refused(Reason.NOT_ALLOWED):
        world.consent("haven").NarrowGrant(message)
    assert list(world.view(her, grant).terms.categories) == ["CARD", "CONTACT", "NAME"]


def test_two_narrowings_at_once_leave_what_both_leave(world: World, her: bytes) -> None:
    """Neither brings back what the other took out; the one that came late is told."""
    for _ in range(4):
        grant = world.grant(her, categories=["CONTACT", "HEALTH", "NAME"]).grant.grant

        def narrow(*left: str, of: str = grant) -> object:
            return world.portal.NarrowGrant(
                narrow_pb2.NarrowGrantRequest(
                    request_id=world.request_id(), session=her, grant=of, categories=left
                )
            )

        done = at_once(lambda n=narrow: n("CONTACT", "NAME"), lambda n=narrow: n("HEALTH", "NAME"))  # type: ignore[misc]
        assert done.count(Reason.SCOPE_EXCEEDED) == 1
        left = list(world.view(her, grant).terms.categories)
        assert left in (["CARD", "CONTACT", "NAME"], ["CARD", "HEALTH", "NAME"])
        rows = world.rows("SELECT category FROM category_key WHERE grant_id = ?", grant)
        assert sorted(row[0] for row in rows) == left
