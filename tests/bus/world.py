"""A real nats-server with its users, databases with an outbox, and consumers that write down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from cryptography import x509
from safehand.events.v1 import events_pb2
from safehand_bus import dead_letter, envelope, topology
from safehand_bus.backoff import Backoff
from safehand_bus.connection import Connection, Counters, connect
from safehand_bus.consumer import LOOK_EVERY_S, MAX_ATTEMPTS, Consumer
from safehand_bus.link import SERVER_NAME, BusTls, NatsLink
from safehand_bus.loop_thread import LoopThread, Started
from safehand_bus.wake import Waker
from safehand_bus.worker_main import Worker
from safehand_rpc.ca import DevCa
from safehand_rpc.tls import TlsFiles
from safehand_store import inbox, outbox
from safehand_store.engine import begin_read, begin_write, open_engine
from sqlalchemy import Connection as Db
from sqlalchemy import Engine, MetaData

from tests.harness import database
from tests.harness.database import Database
from tests.harness.servers import nats

T = TypeVar("T")
ENDED = events_pb2.EVENT_TYPE_CONSENT_ENDED
CREATED = events_pb2.EVENT_TYPE_REFERRAL_CREATED
NOON = 1_790_000_000


USERS = ("consent", "referral", "notify")


class Bus:
    """A provisioned server with TLS, and everybody's link to it."""

    def __init__(self, directory: Path, authority: DevCa | None = None) -> None:
        self.authority = authority or DevCa.create(directory / "authority")
        self.tls = {
            user: bus_tls(
                self.authority.issue(
                    directory / "tls" / user, f"spiffe://safehand.example/service/{user}"
                )
            )
            for user in USERS
        }
        self.seeds = {user: directory / "seeds" / f"{user}.seed" for user in USERS}
        own = self.authority.issue_raw(directory / "tls" / "nats", [x509.DNSName(SERVER_NAME)])
        self.server = nats(directory / "nats", tls=bus_tls(own))
        self.server.prepare(self.seeds)
        self.server.start()

    def link(self, user: str) -> NatsLink:
        return self.server.link(user, self.seeds[user], self.tls[user])

    def provisioner(self) -> NatsLink:
        return self.server.provisioner()

    def do(self, user: str, work: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
        """Run ``work`` on a connection of ``user``."""
        link = self.provisioner() if user == "provision" else self.link(user)

        async def main() -> T:
            async with connect(link, Counters()) as connection:
                return await work(connection)

        return asyncio.run(main())

    def messages(self, stream: str) -> list[tuple[str, dict[str, str], bytes]]:
        """Subject, headers and body of everything on a stream."""

        async def read(connection: Connection) -> list[tuple[str, dict[str, str], bytes]]:
            state = (await connection.js.stream_info(stream)).state
            found = []
            for sequence in range(max(1, state.first_seq), state.last_seq + 1):
                message = await connection.js.get_msg(stream, sequence)
                found.append((message.subject or "", message.headers or {}, message.data or b""))
            return found

        source = next(found.source for found in topology.STREAMS if found.name == stream)
        return self.do(source, read)

    def ids(self, stream: str) -> list[str]:
        """The message ids on a stream, in order."""
        return [headers["Nats-Msg-Id"] for _, headers, _ in self.messages(stream)]


class Source:
    """A service's database with an outbox, and its worker. ``store`` is fresh unless given."""

    def __init__(
        self, directory: Path, name: str, bus: Bus, *, store: Database | None = None
    ) -> None:
        self.name = name
        self.bus = bus
        self._own = None if store else database.new(directory / f"{name}.sqlite3")
        self.store = store or cast(Database, self._own)
        self.wake_path = directory / f"{name}.wake"
        self.waker = Waker(self.wake_path)
        self.engine = open_engine(self.store.location)
        metadata = MetaData()
        outbox.define(metadata)
        self.store.create(metadata)
        self.worker = self._worker()

    def _worker(self) -> Worker:
        return Worker(
            database=self.store.location,
            source=self.name,
            link=self.bus.link(self.name),
            wake_path=self.wake_path,
        )

    def restart_worker(self) -> None:
        self.worker.stop()
        self.worker = self._worker()
        self.worker.start()

    def write(
        self, count: int = 1, *, audience: str = "agency/b", type: int = 0, wake: bool = True
    ) -> int:
        """Add events and wake the relay; returns the last sequence number."""
        kind = type or (ENDED if self.name == "consent" else CREATED)
        with begin_write(self.engine) as db:
            for number in range(count):
                resource = f"grants/{number:032x}"
                last = outbox.append(db, type=kind, time=NOON, audience=audience, resource=resource)
        if wake:
            self.waker.wake()
        return last

    def cursor(self) -> int:
        with begin_read(self.engine) as db:
            return outbox.cursor(db)

    def set_cursor(self, sequence: int) -> None:
        with begin_write(self.engine) as db:
            outbox.set_cursor(db, sequence)

    def fetch(self, after: int) -> list[events_pb2.Event]:
        """What the source's ListEvents answers."""
        with begin_read(self.engine) as db:
            return [envelope.to_event(self.name, row) for row in outbox.after(db, after, 100)]

    def close(self) -> None:
        self.worker.stop()
        self.waker.close()
        self.engine.dispose()
        if self._own is not None:
            self._own.drop()


@dataclass
class Reader:
    """A consumer that notes what it applied, in its database."""

    engine: Engine
    link: NatsLink
    source: str
    fetch: Callable[[int], Sequence[events_pb2.Event]]
    fail: Callable[[events_pb2.Event], None] = lambda event: None
    applied: list[int] = field(default_factory=list)
    committed: list[int] = field(default_factory=list)
    attempts: int = MAX_ATTEMPTS
    look_every_s: float = LOOK_EVERY_S

    def consumer(self) -> Consumer:
        return Consumer(
            self.engine,
            self.link,
            self.source,
            apply=self._apply,
            fetch=self.fetch,
            applied=lambda events: self.committed.extend(e.sequence for e in events),
            attempts=self.attempts,
            look_every_s=self.look_every_s,
            backoff=Backoff(0.02, 0.1),
        )

    def _apply(self, db: Db, event: events_pb2.Event) -> None:
        self.fail(event)
        self.applied.append(event.sequence)

    @contextmanager
    def running(self) -> Iterator[Consumer]:
        consumer = self.consumer()

        async def program(stopping: asyncio.Event, started: Started) -> None:
            started()
            await consumer.run(stopping)

        thread = LoopThread(program, name="reader")
        thread.start()
        try:
            yield consumer
        finally:
            thread.stop()

    def dead(self) -> int:
        with begin_read(self.engine) as db:
            return dead_letter.count(db)

    def position(self) -> int:
        with begin_read(self.engine) as db:
            return inbox.position(db, self.source)


def bus_tls(files: TlsFiles) -> BusTls:
    return BusTls(files.cert, files.key, files.ca)


@contextmanager
def reader_engine(file: Path) -> Iterator[Engine]:
    """A fresh database of a service that follows others: ``file``, or one of the server's."""
    store = database.new(file)
    metadata = MetaData()
    inbox.define(metadata)
    dead_letter.define(metadata)
    store.create(metadata)
    engine = open_engine(store.location)
    yield engine
    engine.dispose()
    store.drop()


def eventually(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Wait until ``condition`` holds; fails where it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be in time"
        time.sleep(0.01)
