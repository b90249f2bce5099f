"""CloudEvents 1.0 in the NATS binary mode: attributes as ``ce-`` headers, the body is the event.

Source: CloudEvents "NATS Protocol Binding" 1.0.2, section 3.1 (binary content mode). There
``datacontenttype`` is an attribute like any other. No header but ``ce-id`` differs between two
events of one type and second: resource and audience are in the body alone. Where tracing is
switched on, ``ce-traceparent`` names the trace of the act: two random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from safehand.events.v1 import events_pb2
from safehand_core import trace
from safehand_store.outbox import OutboxEvent, event_id, parse_event_id

from safehand_bus import topology

SPEC_VERSION: Final = "1.0"
CONTENT_TYPE: Final = "application/protobuf"
TRACE: Final = "ce-traceparent"
"""CloudEvents "Distributed Tracing" extension; there only where a trace is recorded."""
MAX_EVENT_BYTES: Final = 4096
"""An event is about 150 bytes; what is much larger is not one of ours."""


class BadMessageError(Exception):
    """A message that is not an event of ours, now or ever; ``code`` is one constant word."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message as it goes on the bus."""

    subject: str
    headers: dict[str, str]
    data: bytes


def to_event(source: str, row: OutboxEvent) -> events_pb2.Event:
    """The event of an outbox row, for ``ListEvents``."""
    event = _bare(source, row)
    event.trace = row.trace
    return event


def _bare(source: str, row: OutboxEvent) -> events_pb2.Event:
    """As ``to_event``, without its trace: on the bus that is a header."""
    return events_pb2.Event(
        id=event_id(source, row.sequence),
        type=events_pb2.EventType.ValueType(row.type),
        time=Timestamp(seconds=row.time),
        sequence=row.sequence,
        audience=row.audience,
        resource=row.resource,
    )


def encode(source: str, row: OutboxEvent, traceparent: str = "") -> Envelope:
    """The message of an outbox row; raises ValueError for an unknown event type.

    ``traceparent``: of the span in which it is published, where one is recorded.
    """
    subject = topology.subject_of(row.type)
    headers = {
        "ce-specversion": SPEC_VERSION,
        "ce-id": event_id(source, row.sequence),
        "ce-source": source,
        "ce-type": subject,
        "ce-time": datetime.fromtimestamp(row.time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "ce-datacontenttype": CONTENT_TYPE,
    }
    if traceparent:
        headers[TRACE] = traceparent
    return Envelope(subject, headers, _bare(source, row).SerializeToString(deterministic=True))


def decode(
    source: str, subject: str, headers: Mapping[str, str] | None, data: bytes
) -> events_pb2.Event:
    """The event in a message from ``source``'s stream; raises BadMessageError.

    An event type that this release does not know is no error: a newer producer may send it.
    """
    if len(data) > MAX_EVENT_BYTES:
        raise BadMessageError("too_large")
    found = headers or {}
    if found.get("ce-specversion") != SPEC_VERSION or found.get("ce-source") != source:
        raise BadMessageError("attributes")
    try:
        event = events_pb2.Event.FromString(data)
    except DecodeError:
        raise BadMessageError("body") from None
    check(source, event)
    if found.get("ce-id") != event.id or found.get("ce-type") != subject:
        raise BadMessageError("attributes")
    # Only the header counts, and only the shape of one: nothing else of it is ever used.
    place = trace.parse(found.get(TRACE, ""))
    event.trace = place.header() if place is not None else ""
    known = event.type in events_pb2.EventType.values()
    if known and subject != topology.subject_of(event.type):
        raise BadMessageError("subject")
    return event


def check(source: str, event: events_pb2.Event) -> None:
    """Raise BadMessageError unless ``event`` is complete and from ``source``."""
    if parse_event_id(event.id) != (source, event.sequence):
        raise BadMessageError("id")
    if event.type == events_pb2.EVENT_TYPE_UNSPECIFIED or not event.HasField("time"):
        raise BadMessageError("incomplete")
    if not event.audience or not event.resource:
        raise BadMessageError("incomplete")
