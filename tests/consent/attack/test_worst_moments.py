"""Her stop at the worst moments: just after a start, and when nothing can be read back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from safehand_consent_service import stops
from safehand_consent_service.settings import ConsentSettings
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from tests.consent.release.world import World, refused


def test_just_after_a_start_she_signs_in_and_stops_and_nobody_opens(
    fresh_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = fresh_world
    card = world.register_subject()
    grant = world.grant(world.sign_in(card))
    sent = world.send(grant)
    monkeypatch.setattr(ConsentSettings, "start_delay_s", 3600.0)
    world.restart()
    with refused(Reason.LEDGER_STARTING, by=world):
        world.release(sent)
    session = world.sign_in(card)
    assert world.stop_grant(session, grant).HasField("stop_receipt")
    with refused(Reason.LEDGER_STARTING, by=world):
        world.resume_grant(session, grant)


def test_a_stop_whose_outcome_nobody_can_read_keeps_the_gate_shut(
    fresh_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In force or not: while the process cannot tell, nothing of the grant is handed over."""
    world = fresh_world
    session = world.session()
    grant = world.grant(session)
    sent = world.send(grant)
    context = world.app.context

    def fails(*_: Any, **__: Any) -> Any:
        raise SafehandError(Reason.UNAVAILABLE, "the ledger could not be written")

    @contextmanager
    def unreadable(_engine: Any) -> Iterator[Any]:
        monkeypatch.undo()
        raise OSError("the disk is gone")
        yield

    submit = context.writer.submit

    def break_then_fail(*arguments: Any, stop: bool = False, **keywords: Any) -> Any:
        if not stop:
            return submit(*arguments, **keywords)
        monkeypatch.setattr(stops, "begin_read", unreadable)
        return fails()

    monkeypatch.setattr(context.writer, "submit", break_then_fail)
    with refused(Reason.INTERNAL, by=world):
        world.stop_grant(session, grant)
    assert context.gates.is_up(grant)
    with refused(Reason.CONSENT_ENDED):
        world.release(sent)
    world.stop_grant(session, grant)
    world.resume_grant(session, grant)
