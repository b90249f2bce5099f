"""Notify's operator: dead letters over the wire, and a health that says when nothing new comes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from safehand.notify.v1 import notify_pb2, notify_pb2_grpc
from safehand_bus.consumer import MAX_ATTEMPTS
from safehand_core.clock import SystemClock
from safehand_core.entropy import SystemEntropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_notify_service import app, deliveries
from safehand_notify_service.settings import NotifySettings

from tests.bus.world import eventually
from tests.notify.world import World


@contextmanager
def operator(world: World) -> Iterator[Any]:
    with world.channel("operator", "notify") as channel:
        yield notify_pb2_grpc.NotifyServiceStub(channel)


def broken(monkeypatch: pytest.MonkeyPatch, *sequences: int) -> None:
    """The effect of these events fails until ``monkeypatch`` is undone."""
    real = deliveries.add

    def add(db: Any, event: Any) -> int:
        if event.sequence in sequences:
            raise KeyError(event.sequence)
        return real(db, event)

    monkeypatch.setattr(deliveries, "add", add)
    monkeypatch.setattr("safehand_bus.consumer.LAST_DELAY_S", 0.05)


def replay(stub: Any, *numbers: int) -> notify_pb2.ReplayDeadLettersResponse:
    request = notify_pb2.ReplayDeadLettersRequest(request_id=str(uuid.uuid4()), numbers=numbers)
    answer: notify_pb2.ReplayDeadLettersResponse = stub.ReplayDeadLetters(request, timeout=10)
    return answer


def test_an_event_that_cannot_be_applied_is_listed_shown_and_replayed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, 2, 3)
    world.start()
    harbor = world.follow("harbor")
    world.referral.write(4, audience="agency/harbor")
    harbor.wait_for(2)
    assert harbor.ids() == ["referral:1", "referral:4"]
    with operator(world) as stub:
        page = stub.ListDeadLetters(notify_pb2.ListDeadLettersRequest(page_size=1), timeout=10)
        assert page.open == 2
        second = stub.ListDeadLetters(
            notify_pb2.ListDeadLettersRequest(page_size=1, page_token=page.next_page_token),
            timeout=10,
        )
        assert [i.event.id for i in (*page.letters, *second.letters)] == [
            "referral:2",
            "referral:3",
        ]
        assert second.next_page_token == ""
        first = page.letters[0]
        assert (first.error, first.attempts, first.source) == ("KeyError", MAX_ATTEMPTS, "referral")
        assert first.state == notify_pb2.DEAD_LETTER_STATE_OPEN
        request = notify_pb2.GetDeadLetterRequest(letter=first.letter)
        assert stub.GetDeadLetter(request, timeout=10).letter == first

        again = replay(stub, first.letter).letters[0]
        assert (again.state, again.attempts) == (
            notify_pb2.DEAD_LETTER_STATE_OPEN,
            MAX_ATTEMPTS + 1,
        )
        monkeypatch.undo()
        assert [item.state for item in replay(stub).letters] == [
            notify_pb2.DEAD_LETTER_STATE_APPLIED,
        ] * 2
        harbor.wait_for(4)  # its open stream hears it at once
        assert harbor.ids() == ["referral:1", "referral:4", "referral:2", "referral:3"]
        assert [item.cursor for item in harbor.got] == [1, 2, 3, 4]
        assert list(replay(stub).letters) == []
        assert replay(stub, first.letter).letters[0].state == notify_pb2.DEAD_LETTER_STATE_APPLIED
        assert stub.ListDeadLetters(notify_pb2.ListDeadLettersRequest(), timeout=10).open == 0
    assert len(world.list("harbor").deliveries) == 4


def test_a_number_that_names_none_is_refused_and_nothing_is_replayed(world: World) -> None:
    world.start()
    with operator(world) as stub:
        for ask in (
            lambda: replay(stub, 7),
            lambda: stub.GetDeadLetter(notify_pb2.GetDeadLetterRequest(letter=7), timeout=10),
        ):
            with pytest.raises(SafehandError) as refused:
                ask()
            assert refused.value.reason is Reason.NOT_FOUND


@pytest.mark.parametrize(
    ("kind", "name"), [("agency", "harbor"), ("operator", "consent"), ("service", "referral")]
)
def test_only_notifys_operator_may_look(world: World, kind: Any, name: str) -> None:
    world.start()
    with world.channel(kind, name) as channel:
        stub: Any = notify_pb2_grpc.NotifyServiceStub(channel)
        with pytest.raises(SafehandError) as refused:
            stub.ListDeadLetters(notify_pb2.ListDeadLettersRequest(), timeout=10)
        assert refused.value.reason is Reason.NOT_ALLOWED


def test_health_says_that_nothing_new_comes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "HEALTH_POLL_S", 0.05)
    monkeypatch.setattr(app, "FAILING_S", 0.3)
    settings = NotifySettings.load(world.environment())
    world.app = app.build(settings, clock=SystemClock(), entropy=SystemEntropy())
    world.port = world.app.start()
    world.referral.write(1, audience="agency/harbor")
    harbor = world.follow("harbor")
    harbor.wait_for(1)
    with world.channel("agency", "harbor") as channel:

        def serving() -> bool:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=5
            )
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

        eventually(serving)
        world.bus.server.kill()
        eventually(lambda: not serving())
        assert len(world.list("harbor").deliveries) == 1, "who asks is still answered"
        world.bus.server.start()
        eventually(serving)
    world.referral.write(1, audience="agency/harbor")
    harbor.wait_for(2)
