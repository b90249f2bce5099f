"""A world behind a disturbed bus, and what everybody must have heard in the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from safehand.consent.v1 import consent_pb2, consent_pb2_grpc
from safehand.events.v1.events_pb2 import Event, EventType
from safehand.referral.v1 import referral_pb2, referral_pb2_grpc
from safehand_bus.link import BusTls
from safehand_cli.sandbox import Sandbox
from safehand_client import AgencyClient
from safehand_rpc.dial import connect
from safehand_rpc.tls import TlsFiles

from tests.flow.following import everything
from tests.harness import databases
from tests.harness.database import Database
from tests.harness.proxy import NatsProxy
from tests.harness.world import World, eventually, running

NATS: Final = "nats-server"
HEALED_S: Final = 40.0
"""Seconds after a disturbance in which everything must have arrived; it takes two or three."""
AGENCIES: Final = ("agency-a", "agency-b")
OF_GRANT: Final = {"agency-a": ["GRANTED", "ENDED"], "agency-b": ["ENDED"]}
OF_REFERRAL: Final = {
    "agency-a": ["DELIVERED", "ACKNOWLEDGED", "ACCEPTED", "SHARING_STOPPED"],
    "agency-b": ["CREATED", "SHARING_STOPPED"],
}
"""What each end must hear of one round, in this order."""


@dataclass
class Stage:
    """A world whose services reach the bus through a proxy, and what was done in it."""

    world: World
    proxy: NatsProxy
    done: list[tuple[str, str]] = field(default_factory=list)

    def rounds(self, count: int) -> None:
        """She grants, a referral is sent and accepted, she stops: each answered at once."""
        for _ in range(count):
            person = self.world.person()
            grant = self.world.grant(person)
            fetched = self.world.accepted(grant)
            with self.world.session(person) as her:
                her.stop(grant)
            self.done.append((grant, fetched.referral))

    def agency(self, name: str) -> AgencyClient:
        return self.world.agency_a if name == "agency-a" else self.world.agency_b

    def sequence(self, source: str) -> list[Event]:
        """The whole sequence of a source, as it tells its followers."""
        stub_type, request_type = _SOURCES[source]
        tls = TlsFiles.in_dir(self.world.sandbox.service_tls("notify"))
        found: list[Event] = []
        address = getattr(self.world.system.addresses, source)
        with connect(address, tls, source) as channel:
            stub = stub_type(channel)
            while True:
                page = stub.ListEvents(request_type(after=len(found)), timeout=10).events
                if not page:
                    return found
                found += page

    def meant_for(self, agency: str) -> dict[str, list[Event]]:
        """By source, what an agency must hear, in order."""
        return {
            source: [e for e in self.sequence(source) if e.audience == f"agency/{agency}"]
            for source in _SOURCES
        }

    def settled(self) -> bool:
        """Whether referral has told of every stop, and everybody has heard everything."""
        told = [e.resource for e in self.sequence("referral") if _name(e) == "SHARING_STOPPED"]
        if any(told.count(f"referrals/{referral}") < 2 for _, referral in self.done):
            return False
        return all(
            len(everything(self.agency(name))) >= sum(map(len, self.meant_for(name).values()))
            for name in AGENCIES
        )

    def check(self) -> None:
        """Everything exactly once and in order, whatever happened before."""
        eventually(self.settled, "everything arrived", within_s=HEALED_S)
        for name in AGENCIES:
            heard = everything(self.agency(name))
            assert [item.cursor for item in heard] == list(range(1, len(heard) + 1))
            for source, meant in self.meant_for(name).items():
                mine = [item.event for item in heard if item.event.id.startswith(f"{source}:")]
                assert [event.id for event in mine] == [event.id for event in meant]
            for grant, referral in self.done:
                assert _names(heard, f"grants/{grant}") == OF_GRANT[name]
                assert _names(heard, f"referrals/{referral}") == OF_REFERRAL[name]
        for _, referral in self.done:
            assert self.world.agency_a.status(referral).sharing_stopped
            assert self.world.agency_b.status(referral).sharing_stopped
        assert self.world.fsck().ok


_SOURCES: Final[dict[str, Any]] = {
    "consent": (consent_pb2_grpc.ConsentServiceStub, consent_pb2.ListEventsRequest),
    "referral": (referral_pb2_grpc.ReferralServiceStub, referral_pb2.ListEventsRequest),
}


def _name(event: Event) -> str:
    return EventType.Name(event.type).removeprefix("EVENT_TYPE_").split("_", 1)[1]


def _names(heard: list[Any], resource: str) -> list[str]:
    return [_name(item.event) for item in heard if item.event.resource == resource]


def _port(sandbox: Sandbox) -> int:
    for path in (sandbox.root / "nats" / "ports").glob("*.ports"):
        return int(json.loads(path.read_text())["nats"][0].rpartition(":")[2])
    raise OSError("the bus is away")


@contextmanager
def stage(
    root: Path,
    *,
    seed: int = 1,
    make_stores: Callable[[Sandbox], dict[str, Database]] = databases.of_sandbox,
    environment: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[Stage]:
    """A world with a proxy before its bus. ``environment``: more for processes, by their names."""
    sandbox = Sandbox(root)
    sandbox.create()
    proxy = NatsProxy(lambda: _port(sandbox), tls=BusTls.in_dir(sandbox.nats_tls), seed=seed)
    with proxy:
        through = {
            f"{service}{process}": {f"SAFEHAND_{service.upper()}_NATS_URL": proxy.url}
            for service, process in (
                ("consent", "-worker"),
                ("referral", "-worker"),
                ("notify", ""),
            )
        }
        for process, values in (environment or {}).items():
            through[process] = {**through.get(process, {}), **values}
        with running(root, extra_environment=through, make_stores=make_stores) as world:
            yield Stage(world, proxy)
