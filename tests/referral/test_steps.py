"""What is happening: whose turn it is, by when, and what came before. Nothing else goes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from safehand.referral.v1 import referral_pb2 as pb
from safehand_core.words import DECLINE_REASONS, OUTCOMES, URGENCY_ANSWER_S
from sqlalchemy import event

from tests.referral.making import Draft, rid
from tests.referral.test_course import acknowledge, complete, deliver
from tests.referral.test_reseal import newer, send
from tests.referral.test_sharing import resume, stop
from tests.referral.ticketing import Pages
from tests.referral.world import PACKAGE, World

HOUR_S = 3600
DESCRIPTION = "visas and papers"
"""What the package says of the service: free text, and nothing of a step."""


@pytest.fixture(scope="module")
def pages(world: World) -> Pages:
    return Pages(world)


def accept(world: World, draft: Draft) -> Any:
    return world.answer(draft, "ACCEPT")


def decline(world: World, draft: Draft) -> Any:
    return world.answer(draft, "DECLINE")


def withdraw(world: World, draft: Draft) -> Any:
    return world.answer(draft, "WITHDRAW")


def ask_reseal(world: World, draft: Draft) -> Any:
    request = pb.AskResealRequest(request_id=rid(), referral=draft.referral)
    return world.b.referral.AskReseal(request).referral


Deed = Callable[[World, Draft], Any]
# What was done, the state it led to, who is next, whether by the end of the answer window.
COURSES: dict[str, tuple[tuple[Deed, ...], str, str, bool]] = {
    "sent": ((), "SENT", "RECIPIENT", True),
    "delivered": ((deliver,), "DELIVERED", "RECIPIENT", True),
    "seen": ((deliver, acknowledge), "ACKNOWLEDGED", "RECIPIENT", True),
    "accepted": ((deliver, acknowledge, accept), "ACCEPTED", "RECIPIENT", False),
    "completed": ((accept, complete), "COMPLETED", "UNSPECIFIED", False),
    "declined": ((deliver, decline), "DECLINED", "UNSPECIFIED", False),
    "withdrawn": ((withdraw,), "WITHDRAWN", "UNSPECIFIED", False),
    "a place given up": ((accept, decline), "DECLINED", "UNSPECIFIED", False),
    "a new seal asked for": ((ask_reseal,), "SENT", "SENDER", False),
    "a new seal asked for, accepted": ((accept, ask_reseal), "ACCEPTED", "SENDER", False),
    "a new seal asked for, declined": ((ask_reseal, decline), "DECLINED", "UNSPECIFIED", False),
}


@pytest.mark.parametrize("stopped", [False, True], ids=["shared", "stopped"])
@pytest.mark.parametrize("course", COURSES)
def test_whose_turn_it_is(world: World, pages: Pages, course: str, stopped: bool) -> None:
    """A stop is told, and changes neither who is next nor by when."""
    deeds, state, following, dated = COURSES[course]
    draft = world.create()
    answer_by = world.state(draft).answer_by
    for deed in deeds:
        world.clock.advance(60)
        deed(world, draft)
    if stopped:
        stop(world, draft.grant)
    step = pages.step(draft.referral)
    assert pb.ReferralState.Name(step.state) == f"REFERRAL_STATE_{state}"
    assert pb.NextActor.Name(step.next) == f"NEXT_ACTOR_{following}"
    assert step.HasField("next_by") == dated
    if dated:
        assert step.next_by == answer_by
    assert not step.late
    assert step.sharing_stopped == stopped
    assert step.HasField("reseal_asked_at") == (following == "SENDER")


def test_sharing_that_goes_on_is_told_too(world: World, pages: Pages) -> None:
    draft = world.create()
    stop(world, draft.grant)
    resume(world, draft.grant)
    assert not pages.step(draft.referral).sharing_stopped


@pytest.mark.parametrize("urgency", URGENCY_ANSWER_S)
def test_late_only_when_the_date_is_over(world: World, pages: Pages, urgency: str) -> None:
    draft = world.create(world.draft(urgency=urgency))
    world.clock.advance(URGENCY_ANSWER_S[urgency])
    step = pages.step(draft.referral)
    assert (step.urgency, step.late) == (urgency, False)
    assert step.next_by.seconds == world.clock.wall()
    world.clock.advance(1)
    assert pages.step(draft.referral).late
    ask_reseal(world, draft)
    assert not pages.step(draft.referral).late, "the sender's turn has no date"
    accept(world, draft)
    assert not pages.step(draft.referral).late


def test_a_new_seal_gives_the_turn_back(world: World, pages: Pages) -> None:
    draft = world.create()
    asked = ask_reseal(world, draft)
    assert pages.step(draft.referral).reseal_asked_at == asked.reseal_asked_at
    world.clock.advance(HOUR_S)
    send(world, newer(world, draft), 9)
    step = pages.step(draft.referral)
    assert step.next == pb.NEXT_ACTOR_RECIPIENT
    assert step.next_by == asked.answer_by
    assert not step.HasField("reseal_asked_at")


MOMENTS: dict[str, tuple[tuple[Deed, ...], tuple[str, ...]]] = {
    "sent": ((), ()),
    "one after the other": (
        (deliver, acknowledge, accept, complete),
        ("DELIVERED", "ACKNOWLEDGED", "ACCEPTED", "COMPLETED"),
    ),
    "accepted at once": ((accept,), ("ACCEPTED",)),
    "seen without a word of its delivery": ((acknowledge,), ("ACKNOWLEDGED",)),
    "declined": ((deliver, decline), ("DELIVERED", "DECLINED")),
    "a place given up": ((accept, decline), ("ACCEPTED", "DECLINED")),
    "taken back": ((deliver, withdraw), ("DELIVERED", "WITHDRAWN")),
}


@pytest.mark.parametrize("course", MOMENTS)
def test_what_happened_and_when(world: World, pages: Pages, course: str) -> None:
    deeds, states = MOMENTS[course]
    draft = world.create()
    times = [world.clock.wall()]
    for deed in deeds:
        world.clock.advance(HOUR_S)
        deed(world, draft)
        times.append(world.clock.wall())
    moments = pages.step(draft.referral).moments
    expected = zip(("SENT", *states), times, strict=True)
    assert [(pb.ReferralState.Name(m.state), m.at.seconds) for m in moments] == [
        (f"REFERRAL_STATE_{state}", at) for state, at in expected
    ]


def test_what_is_said_again_moves_no_moment(world: World, pages: Pages) -> None:
    draft = world.create()
    deliver(world, draft)
    acknowledge(world, draft)
    before = pages.step(draft.referral)
    world.clock.advance(HOUR_S)
    deliver(world, draft)
    acknowledge(world, draft)
    send(world, newer(world, draft), 9)
    assert pages.step(draft.referral).moments == before.moments


@pytest.mark.parametrize("reason", DECLINE_REASONS)
def test_a_no_is_a_code_and_says_whose_it_is(world: World, pages: Pages, reason: str) -> None:
    for answer, party in (("DECLINE", pb.PARTY_RECIPIENT), ("WITHDRAW", pb.PARTY_REFERRER)):
        draft = world.create()
        world.answer(draft, answer, reason=reason)
        step = pages.step(draft.referral)
        assert (step.reason_code, step.ended_by, step.outcome) == (reason, party, "")


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_an_outcome_is_a_code(world: World, pages: Pages, outcome: str) -> None:
    draft = world.create()
    accept(world, draft)
    complete(world, draft, outcome=outcome)
    step = pages.step(draft.referral)
    assert (step.outcome, step.ended_by) == (outcome, pb.PARTY_RECIPIENT)


def test_those_in_the_ticket_in_its_order_and_no_other(world: World, pages: Pages) -> None:
    first, second, third = (world.create().referral for _ in range(3))
    world.create()
    unknown = world.draft().referral
    assert [s.referral for s in pages.steps(third, unknown, first, second)] == [
        third,
        first,
        second,
    ]
    assert [s.referral for s in pages.steps(second)] == [second]
    assert pages.steps(unknown) == []


def test_a_step_holds_no_more_than_it_says(world: World, pages: Pages) -> None:
    """No agency, no grant, nothing of the seal, and nothing that somebody wrote freely."""
    draft = world.create()
    acknowledge(world, draft)
    accept(world, draft)
    raw = pages.step(draft.referral).SerializeToString()
    header = draft.manifest.header
    for hidden in (
        header.sender, header.recipient, header.grant, header.service, header.purpose,
        DESCRIPTION, "duty desk", draft.signed.digest.hex(), draft.ciphertexts[0],
    ):  # fmt: skip
        assert (hidden if isinstance(hidden, bytes) else hidden.encode()) not in raw


def test_the_name_is_the_directorys_as_long_as_it_lists_the_service(empty: World) -> None:
    world = empty
    world.set_up()
    pages, draft = Pages(world), world.create()
    assert pages.step(draft.referral).service_name == "Immigration help"
    services = PACKAGE["services.csv"]
    renamed = services.replace(b"Immigration help", b"Help with papers")
    world.import_package("sample", {**PACKAGE, "services.csv": renamed})
    assert pages.step(draft.referral).service_name == "Help with papers"
    gone = b"".join(line for line in services.splitlines(True) if b"legal-1" not in line)
    world.import_package("sample", {**PACKAGE, "services.csv": gone})
    step = pages.step(draft.referral)
    assert (step.service_name, step.next) == ("", pb.NEXT_ACTOR_RECIPIENT)


def test_it_is_told_while_consent_is_down_and_after_a_restart(empty: World) -> None:
    world = empty
    world.set_up()
    draft = world.create()
    deliver(world, draft)
    before = Pages(world).steps(draft.referral)
    world.stop_consent()
    assert Pages(world).steps(draft.referral) == before
    world.restart()
    assert Pages(world).steps(draft.referral) == before


@contextmanager
def counted(world: World) -> Iterator[list[str]]:
    """Statements that the service's engine runs meanwhile."""
    seen: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("SELECT"):
            seen.append(statement)

    engine = world.app.context.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_a_hundred_steps_are_one_query(world: World, pages: Pages) -> None:
    referrals = [world.create().referral for _ in range(4)]
    referrals += [world.draft().referral for _ in range(96)]
    with counted(world) as seen:
        assert len(pages.steps(*referrals)) == 4
    assert len(seen) == 1
