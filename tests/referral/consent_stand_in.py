"""A small ConsentService over real gRPC: consent's event sequence, and nothing else of consent."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from safehand.consent.v1 import consent_pb2, consent_pb2_grpc
from safehand.events.v1 import events_pb2
from safehand_core.clock import ManualClock
from safehand_rpc.policy import methods_of
from safehand_rpc.server import RunningServer, build_server
from safehand_rpc.tls import TlsFiles


@dataclass
class ConsentStandIn(consent_pb2_grpc.ConsentServiceServicer):
    """Serves consent's event sequence, and nothing else of consent."""

    events: list[events_pb2.Event] = field(default_factory=list)
    page: int = 500
    asked: list[int] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ListEvents(  # noqa: N802
        self, request: consent_pb2.ListEventsRequest, context: Any
    ) -> consent_pb2.ListEventsResponse:
        with self.lock:
            self.asked.append(request.after)
            found = [e for e in self.events if e.sequence > request.after]
        return consent_pb2.ListEventsResponse(events=found[: self.page])

    def say(self, type_: int, resource: str, *, audience: str = "service/referral") -> None:
        """One event, as consent would list it."""
        with self.lock:
            sequence = len(self.events) + 1
            event = events_pb2.Event(
                id=f"consent:{sequence}",
                type=events_pb2.EventType.ValueType(type_),
                sequence=sequence,
                audience=audience,
                resource=resource,
            )
            event.time.FromSeconds(1_790_000_000)
            self.events.append(event)

    def ended(self, grant: str) -> None:
        """As consent does it: one event for each agency, then the one for referral."""
        for audience in ("agency/a", "agency/b", "service/referral"):
            self.say(events_pb2.EVENT_TYPE_CONSENT_ENDED, f"grants/{grant}", audience=audience)

    def resumed(self, grant: str) -> None:
        for audience in ("agency/a", "agency/b", "service/referral"):
            self.say(events_pb2.EVENT_TYPE_CONSENT_RESUMED, f"grants/{grant}", audience=audience)

    def disclosed(self, referral: str) -> None:
        for audience in ("agency/a", "service/referral"):
            self.say(
                events_pb2.EVENT_TYPE_CONSENT_DISCLOSED,
                f"referrals/{referral}",
                audience=audience,
            )


def serve_consent(stand_in: ConsentStandIn, tls: TlsFiles, address: str) -> RunningServer:
    """A real gRPC server in consent's place."""
    descriptor = consent_pb2.DESCRIPTOR.services_by_name["ConsentService"]
    policy = {path: frozenset({"service:referral"}) for path in methods_of(descriptor)}
    server = build_server(
        services=[(consent_pb2_grpc.add_ConsentServiceServicer_to_server, stand_in, descriptor)],
        policy=policy,
        tls=tls,
        clock=ManualClock(),
        address=address,
        threads=2,
    )
    server.start()
    return server
