"""The envelope and the outbox's own rules."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from safehand.events.v1 import events_pb2
from safehand_bus import envelope, topology
from safehand_bus.envelope import BadMessageError
from safehand_store import inbox, outbox
from safehand_store.engine import begin_read, begin_write, open_engine
from safehand_store.outbox import OutboxEvent
from sqlalchemy import MetaData

from tests.harness import database

TYPES = [value.name for value in events_pb2.EventType.DESCRIPTOR.values if value.number]
ROW = OutboxEvent(7, events_pb2.EVENT_TYPE_CONSENT_ENDED, 1_790_000_000, "agency/b", "grants/x")


@pytest.mark.parametrize("name", TYPES)
def test_every_type_has_a_subject_on_its_own_stream(name: str) -> None:
    subject = topology.subject_of(events_pb2.EventType.Value(name))
    service, kind = subject.removeprefix("safehand.v1.").split(".")
    assert service in {stream.source for stream in topology.STREAMS}
    assert f"EVENT_TYPE_{service}_{kind}".upper() == name


def test_the_names_are_the_documented_ones() -> None:
    subject_of = topology.subject_of
    assert subject_of(events_pb2.EVENT_TYPE_CONSENT_ENDED) == "safehand.v1.consent.ended"
    stopped = events_pb2.EVENT_TYPE_REFERRAL_SHARING_STOPPED
    assert subject_of(stopped) == "safehand.v1.referral.sharing_stopped"
    for number in (0, 9999):
        with pytest.raises(ValueError):  # noqa: PT011  protobuf's own text
            subject_of(number)


def test_an_event_survives_the_wire() -> None:
    message = envelope.encode("consent", ROW)
    event = envelope.decode("consent", message.subject, message.headers, message.data)
    assert event == envelope.to_event("consent", ROW)
    assert (event.id, event.sequence, event.time.seconds) == ("consent:7", 7, 1_790_000_000)


def test_a_type_from_the_future_is_no_error() -> None:
    message = envelope.encode("consent", ROW)
    event = events_pb2.Event.FromString(message.data)
    event.type = 77  # type: ignore[assignment]
    headers = {**message.headers, "ce-type": "safehand.v1.consent.new"}
    data = event.SerializeToString()
    assert envelope.decode("consent", "safehand.v1.consent.new", headers, data).type == 77


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("ce-id", "consent:8"),
        ("ce-source", "referral"),
        ("ce-type", "safehand.v1.consent.granted"),
        ("ce-specversion", "0.3"),
    ],
)
def test_a_wrong_header_is_refused(header: str, value: str) -> None:
    message = envelope.encode("consent", ROW)
    with pytest.raises(BadMessageError):
        envelope.decode(
            "consent", message.subject, {**message.headers, header: value}, message.data
        )


def test_a_wrong_subject_is_refused() -> None:
    message = envelope.encode("consent", ROW)
    wrong = "safehand.v1.consent.granted"
    with pytest.raises(BadMessageError):
        envelope.decode("consent", wrong, {**message.headers, "ce-type": wrong}, message.data)
    with pytest.raises(BadMessageError):
        envelope.decode("consent", message.subject, None, message.data)


@pytest.mark.parametrize("field", ["id", "sequence", "time", "audience", "resource", "type"])
def test_an_incomplete_event_is_refused(field: str) -> None:
    event = envelope.to_event("consent", ROW)
    event.ClearField(field)  # type: ignore[arg-type]
    with pytest.raises(BadMessageError):
        envelope.check("consent", event)


@pytest.mark.parametrize(
    "text", ["consent", "consent:", ":1", "consent:0", "consent:-1", "consent:01", "consent:1 "]
)
def test_what_is_no_event_id_is_not_taken_for_one(text: str) -> None:
    assert outbox.parse_event_id(text) is None


def test_the_sequence_has_no_gaps_and_a_rollback_leaves_none(tmp_path: Path) -> None:
    store = database.new(tmp_path / "x.sqlite3")
    metadata = MetaData()
    outbox.define(metadata)
    inbox.define(metadata)
    store.create(metadata)
    engine = open_engine(store.location)

    def add(db: object) -> int:
        return outbox.append(db, type=2, time=5, audience="agency/a", resource="grants/x")  # type: ignore[arg-type]

    with begin_write(engine) as db:
        assert [add(db), add(db)] == [1, 2]
    with suppress(RuntimeError), begin_write(engine) as db:
        assert add(db) == 3
        raise RuntimeError
    with begin_write(engine) as db:
        assert add(db) == 3
    with begin_read(engine) as db:
        assert [row.sequence for row in outbox.after(db, 1, 10)] == [2, 3]
        assert outbox.head(db) == 3
    with begin_write(engine) as db:
        assert inbox.first_time(db, "consent", 1) is True
        assert inbox.first_time(db, "consent", 1) is False
        with pytest.raises(inbox.GapError) as gap:
            inbox.first_time(db, "consent", 3)
        assert gap.value.last == 1
        assert inbox.position(db, "referral") == 0
    engine.dispose()
    store.drop()
