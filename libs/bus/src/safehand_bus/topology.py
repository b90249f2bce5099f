"""What is on the bus: one stream per producing service, who consumes it, who may do what.

Subjects carry service, version and type and nothing else (DESIGN 4). One table, from which
provisioning and the server's permissions are both made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from safehand.events.v1 import events_pb2

SUBJECT_PREFIX: Final = "safehand.v1."
"""Before service and type in every subject; the version is the events package's."""
_ENUM_PREFIX: Final = "EVENT_TYPE_"


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream: its name, the one service that publishes to it, its durable consumers."""

    name: str
    source: str
    durables: tuple[str, ...]

    @property
    def subjects(self) -> str:
        """The filter for everything of this source."""
        return f"{SUBJECT_PREFIX}{self.source}.>"


STREAMS: Final = (
    Stream("CONSENT", "consent", ("notify", "referral")),
    Stream("REFERRAL", "referral", ("notify",)),
)
"""A durable consumer is named after the service that reads it."""

ACCOUNT: Final = "APP"
"""The account of everyone in ``USERS``; streams live in it."""
SYSTEM_ACCOUNT: Final = "SYS"
"""The server's own account. It has no user, so nobody can reach it."""
PROVISIONER: Final = "provision"
"""The user who makes streams and consumers; no service may."""
USERS: Final = ("consent", "referral", "notify", PROVISIONER)
"""Everyone who may connect."""


def stream_of(source: str) -> Stream:
    """The stream to which ``source`` publishes; KeyError for a service that publishes nothing."""
    return {stream.source: stream for stream in STREAMS}[source]


def subject_of(event_type: int) -> str:
    """``safehand.v1.consent.ended`` for EVENT_TYPE_CONSENT_ENDED.

    Raises ValueError for a number that has no name here, and for UNSPECIFIED.
    """
    if event_type == events_pb2.EVENT_TYPE_UNSPECIFIED:
        raise ValueError("an event without a type has no subject")
    name = events_pb2.EventType.Name(events_pb2.EventType.ValueType(event_type))
    return SUBJECT_PREFIX + name.removeprefix(_ENUM_PREFIX).lower().replace("_", ".", 1)


def inbox_prefix(user: str) -> str:
    """Where a user's replies arrive: nobody else may listen there."""
    return f"_INBOX_{user}"


def may_publish(user: str) -> list[str]:
    """The subjects that ``user`` may publish to, requests and acknowledgements included."""
    if user == PROVISIONER:
        return [subject for stream in STREAMS for subject in _may_provision(stream)]
    allowed: list[str] = []
    for stream in STREAMS:
        if stream.source == user:
            allowed += [
                stream.subjects,
                f"$JS.API.STREAM.INFO.{stream.name}",
                f"$JS.API.STREAM.MSG.GET.{stream.name}",
            ]
        if user in stream.durables:
            allowed += [
                f"$JS.API.CONSUMER.MSG.NEXT.{stream.name}.{user}",
                f"$JS.ACK.{stream.name}.{user}.>",
            ]
    return allowed


def _may_provision(stream: Stream) -> list[str]:
    """Make, change and look at a stream of ours and its consumers; delete or read nothing."""
    name = stream.name
    return [
        f"$JS.API.STREAM.INFO.{name}",
        f"$JS.API.STREAM.CREATE.{name}",
        f"$JS.API.STREAM.UPDATE.{name}",
        f"$JS.API.CONSUMER.LIST.{name}",
        *(
            f"$JS.API.CONSUMER.{verb}.{name}.{durable}"
            for durable in stream.durables
            for verb in ("CREATE", "DURABLE.CREATE", "INFO")
        ),
    ]


def may_subscribe(user: str) -> list[str]:
    """The subjects that ``user`` may listen to: its own replies."""
    return [f"{inbox_prefix(user)}.>"]
