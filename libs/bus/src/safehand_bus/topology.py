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
"""The account of the streams, and of the provisioner who makes them."""
SYSTEM_ACCOUNT: Final = "SYS"
"""The server's own account. It has no user, so nobody can reach it."""
PROVISIONER: Final = "provision"
"""The user who makes streams and consumers; no service may."""
USERS: Final = ("consent", "referral", "notify", PROVISIONER)
"""Everyone who may connect."""
API: Final = "$JS.API"
"""Where the streams' account is asked about them."""
IMPORTED_API: Final = "bus"
"""Where a service asks instead, in its own account. A server answers to the subject that the asker
names, and does not look whether the asker might publish there: in one account for all, a reply to
``$JS.API.STREAM.DELETE.CONSENT`` would delete the stream, and one to a subject of another service
would be its message. What is answered over an import stays in the asker's account."""


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


def account(user: str) -> str:
    """The account that ``user`` lives in: each service has its own."""
    return ACCOUNT if user == PROVISIONER else user.upper()


def may_publish(user: str) -> list[str]:
    """The subjects that ``user`` may publish to in its account, requests and acknowledgements
    included."""
    if user == PROVISIONER:
        return [subject for stream in STREAMS for subject in _may_provision(stream)]
    return [seen_by_service(subject) for subject in exported(user)]


def seen_by_service(subject: str) -> str:
    """What ``subject`` of the streams' account is called in a service's own."""
    return IMPORTED_API + subject.removeprefix(API) if subject.startswith(API) else subject


def answers_with_many(subject: str) -> bool:
    """Whether one request to ``subject`` has many answers: the messages of a consumer."""
    return subject.startswith(f"{API}.CONSUMER.MSG.NEXT.")


def exported(user: str) -> list[str]:
    """What the service ``user`` may publish to, as the streams' account calls it."""
    allowed: list[str] = []
    for stream in STREAMS:
        if stream.source == user:
            allowed += [
                stream.subjects,
                f"{API}.STREAM.INFO.{stream.name}",
                f"{API}.STREAM.MSG.GET.{stream.name}",
            ]
        if user in stream.durables:
            allowed += [
                f"{API}.CONSUMER.MSG.NEXT.{stream.name}.{user}",
                f"$JS.ACK.{stream.name}.{user}.>",
            ]
    return allowed


def _may_provision(stream: Stream) -> list[str]:
    """Make, change and look at a stream of ours and its consumers; delete or read nothing."""
    name = stream.name
    return [
        f"{API}.STREAM.INFO.{name}",
        f"{API}.STREAM.CREATE.{name}",
        f"{API}.STREAM.UPDATE.{name}",
        f"{API}.CONSUMER.LIST.{name}",
        *(
            f"{API}.CONSUMER.{verb}.{name}.{durable}"
            for durable in stream.durables
            for verb in ("CREATE", "DURABLE.CREATE", "INFO")
        ),
    ]


def may_subscribe(user: str) -> list[str]:
    """The subjects that ``user`` may listen to: its own replies."""
    return [f"{inbox_prefix(user)}.>"]
