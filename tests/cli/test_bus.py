"""``safehand bus`` as an operator uses it, against the running system."""

from __future__ import annotations

import json

import pytest
from safehand.events.v1 import events_pb2
from safehand_bus import dead_letter
from safehand_cli.main import app
from safehand_core.reasons import Reason
from safehand_store.engine import begin_write, open_engine
from typer.testing import CliRunner

from tests.cli.test_commands import ok, run
from tests.flow.following import everything
from tests.harness.world import World, eventually


def add_letter(world: World, sequence: int, service: str = "notify") -> None:
    """Dead letters in a service's database, as a consumer that gave up leaves them."""
    event = events_pb2.Event(
        id=f"consent:{sequence}",
        type=events_pb2.EVENT_TYPE_CONSENT_ENDED,
        sequence=sequence,
        audience="agency/agency-b",
        resource=f"grants/{sequence:032x}",
    )
    event.time.GetCurrentTime()
    engine = open_engine(world.stores[service].location)
    try:
        with begin_write(engine) as db:
            dead_letter.add(
                db,
                source="consent",
                stream_sequence=0,
                code="KeyError",
                data=event.SerializeToString(deterministic=True),
                time=event.time.seconds,
                attempts=8,
                event=event,
            )
            dead_letter.add(
                db,
                source="referral",
                stream_sequence=sequence,
                code="body",
                data=b"no event",
                time=event.time.seconds,
            )
    finally:
        engine.dispose()


def test_referrals_operator_sees_referrals_own(world: World) -> None:
    add_letter(world, 10**9 + 7, "referral")
    first = ok(world, "referral", "bus", "dead", "list")["letters"][0]
    assert first["event"]["id"] == f"consent:{10**9 + 7}"
    assert ok(world, "referral", "bus", "dead", "show", str(first["letter"])) == first
    done = ok(world, "referral", "bus", "dead", "replay", str(first["letter"]))
    assert [item["state"] for item in done["letters"]] == ["applied"]
    ok(world, "referral", "bus", "dead", "replay", "--all")
    assert ok(world, "referral", "bus", "dead", "list") == {"letters": [], "open": 0}
    assert run(world, "notify", "bus", "dead", "show", "999999999").exit_code == 4


def test_dead_letters_are_listed_shown_and_replayed_once(world: World) -> None:
    sequence = 10**9
    assert ok(world, "notify", "bus", "dead", "list") == {"letters": [], "open": 0}
    add_letter(world, sequence)
    found = ok(world, "notify", "bus", "dead", "list")
    assert found["open"] == 2
    first, second = found["letters"]
    assert first["event"]["id"] == f"consent:{sequence}"
    assert (first["error"], first["attempts"], first["state"]) == ("KeyError", 8, "open")
    assert second["event"] is None
    assert ok(world, "notify", "bus", "dead", "show", str(first["letter"])) == first

    shown = CliRunner().invoke(
        app,
        ["--dir", str(world.sandbox.root), "--as", "notify", "bus", "dead", "show",
         str(second["letter"])],
    )  # fmt: skip
    assert shown.exit_code == 0
    assert "its bytes are no event" in shown.stdout
    assert "no event\n" not in shown.stdout

    done = ok(world, "notify", "bus", "dead", "replay", str(first["letter"]))
    assert [item["state"] for item in done["letters"]] == ["applied"]
    done = ok(world, "notify", "bus", "dead", "replay", "--all")
    assert [item["state"] for item in done["letters"]] == ["closed"]
    done = ok(world, "notify", "bus", "dead", "replay", str(first["letter"]))
    assert [item["state"] for item in done["letters"]] == ["applied"]
    heard = [i for i in everything(world.agency_b) if i.event.sequence == sequence]
    assert len(heard) == 1
    # An effect that fails again: the delivery is there already.
    add_letter(world, sequence + 1)
    ok(world, "notify", "bus", "dead", "replay", "--all")


def test_events_are_replayed_and_nobody_hears_them_twice(world: World) -> None:
    sent = world.send(world.grant(world.person()))
    eventually(
        lambda: any(
            item.event.resource == f"referrals/{sent.referral}"
            for item in everything(world.agency_b)
        ),
        "the event arrived",
    )
    heard = len(everything(world.agency_a))
    for service in ("consent", "referral"):
        found = ok(world, service, "bus", "replay", "--service", service, "--from", "1")
        assert found["round"] >= 1
        assert found["last"] >= 1
    world.send(world.grant(world.person()))
    eventually(lambda: len(everything(world.agency_a)) == heard + 1, "the next one arrived")


@pytest.mark.parametrize(
    ("party", "words", "code", "reason"),
    [
        ("notify", ["dead", "show", "4242"], 4, Reason.NOT_FOUND),
        ("notify", ["dead", "replay", "4242"], 4, Reason.NOT_FOUND),
        ("notify", ["dead", "replay"], 2, Reason.MALFORMED),
        ("notify", ["dead", "replay", "1", "--all"], 2, Reason.MALFORMED),
        ("agency-a", ["dead", "list"], 3, Reason.NOT_ALLOWED),
        ("consent", ["dead", "list"], 3, Reason.NOT_ALLOWED),
        ("notify", ["replay", "--service", "consent", "--from", "1"], 3, Reason.NOT_ALLOWED),
        ("referral", ["replay", "--service", "consent", "--from", "1"], 3, Reason.NOT_ALLOWED),
        ("consent", ["replay", "--service", "notify", "--from", "1"], 2, Reason.MALFORMED),
        ("consent", ["replay", "--service", "consent", "--from", "999999999"], 4, Reason.NOT_FOUND),
        ("", ["dead", "list"], 3, Reason.CONFIG_INVALID),
    ],
)
def test_what_is_refused(
    world: World, party: str, words: list[str], code: int, reason: Reason
) -> None:
    done = run(world, party, "bus", *words)
    assert done.exit_code == code, done.output
    error = json.loads(done.stderr)
    assert error["error"] == reason.value
    assert error["fix"]
