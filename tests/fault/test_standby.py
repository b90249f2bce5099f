"""A real primary with a streaming standby: what was answered is there after a failover.

``consent`` runs as processes of its own here, because a writer that loses its session ends its
process. Servers are killed with SIGKILL, all their processes at once.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from safehand.consent.v1 import consent_pb2 as pb
from safehand_core.clock import SystemClock
from safehand_core.errors import SafehandError
from safehand_core.process import EXIT_CONFIG
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from safehand_ledger import tables
from safehand_ledger.fsck import fsck
from safehand_ledger.writer import FATAL_EXIT
from safehand_rpc.tls import TlsFiles
from safehand_store import idempotency, migrate
from safehand_store.engine import begin_read, begin_write
from safehand_store.location import Postgres

from tests.consent.world import World, certificates
from tests.harness import database
from tests.harness.database import Database
from tests.harness.databases import SCHEMAS
from tests.harness.postgres import APP, OWNER, Cluster
from tests.harness.world import eventually
from tests.ledger.world import World as Ledger

VERSION = database.conformance()[-1]
WITHIN_S = 60.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TlsFiles]:
    return certificates(tmp_path_factory.mktemp("standby-tls"))


@pytest.fixture
def servers() -> Iterator[Callable[[Cluster], Cluster]]:
    """Remembers servers, and leaves nothing of them."""
    with contextlib.ExitStack() as stack:

        def remember(cluster: Cluster) -> Cluster:
            stack.callback(cluster.remove)
            return cluster

        yield remember


Servers = Callable[[Cluster], Cluster]


def primary(servers: Servers) -> Cluster:
    database.require(VERSION)
    made = servers(Cluster.create(VERSION)).start()
    made.make_roles()
    return made


def synchronous(server: Cluster) -> bool:
    rows = server.execute("SELECT sync_state FROM pg_stat_replication")
    return bool({state for (state,) in rows} & {"sync", "quorum"})


def with_standby(servers: Servers, server: Cluster) -> Cluster:
    """A running standby, and from now on every commit of ``server`` waits for it."""
    standby = servers(server.standby()).start()
    server.configure(synchronous_standby_names="*")
    eventually(lambda: synchronous(server), "the standby is synchronous", within_s=WITHIN_S)
    return standby


def on_any(store: Database, *clusters: Cluster) -> Database:
    """``store`` on whichever of ``clusters`` takes writes."""
    folders = ",".join(str(c.folder) for c in clusters)
    hosts = f"host={folders}&port={','.join(str(c.port) for c in clusters)}"
    return Database(
        Postgres(f"postgresql://{APP}@/{store.name}?{hosts}"),
        Postgres(f"postgresql://{OWNER}@/{store.name}?{hosts}"),
        clusters[-1],
        store.name,
    )


class Process:
    """An api process of consent and what it says first."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "safehand_consent_service", "api"],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self.said: dict[str, Any] = json.loads(line) if line else {}

    def freeze(self) -> None:
        """It does nothing more, and its kernel goes on answering for it."""
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def ended(self) -> int | None:
        return self._process.poll()

    def errors(self) -> str:
        assert self._process.stderr is not None
        return self._process.stderr.read()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()


@contextlib.contextmanager
def running(world: World, folder: Path, **changed: str) -> Iterator[Process]:
    """A process on the world's database, keys and anchor, with a data directory of its own."""
    environment = {
        **world.environment(),
        "SAFEHAND_CONSENT_DATA_DIR": str(folder),
        "SAFEHAND_CONSENT_REQUIRE_STANDBY": "true",
        **changed,
    }
    made = Process(environment)
    try:
        yield made
    finally:
        made.close()


def health(world: World, port: int) -> int:
    world.port = port
    for channel in world._channels.values():
        channel.close()
    world._channels.clear()
    stub = health_pb2_grpc.HealthStub(world.channel("operator"))
    try:
        return int(stub.Check(health_pb2.HealthCheckRequest(), timeout=5).status)
    except (grpc.RpcError, SafehandError):
        return int(health_pb2.HealthCheckResponse.UNKNOWN)


SERVING = int(health_pb2.HealthCheckResponse.SERVING)
NOT_SERVING = int(health_pb2.HealthCheckResponse.NOT_SERVING)


def test_a_standby_takes_over_and_an_answered_stop_is_still_a_stop(
    tmp_path: Path, tls: dict[str, TlsFiles], servers: Servers
) -> None:
    old = primary(servers)
    store = database.on(old)
    store.migrate(*SCHEMAS["consent"])
    old.execute(f'GRANT pg_read_all_stats TO "{APP}"')
    new = with_standby(servers, old)
    world = World(tmp_path, tls, clock=cast(Any, SystemClock()), store=on_any(store, old, new))
    with (
        running(world, tmp_path / "one") as first,
        running(world, tmp_path / "two") as second,
    ):
        assert first.said.get("event") == "serving", first.errors()
        assert second.said.get("event") == "standing_by", second.errors()
        assert health(world, second.said["port"]) == NOT_SERVING
        with pytest.raises(SafehandError) as refused:
            world.consent("portal").OpenSession(pb.OpenSessionRequest())
        assert refused.value.reason is Reason.UNAVAILABLE
        assert health(world, first.said["port"]) == SERVING
        world.settle()
        world.register("haven", 1, "her-at-haven")
        her = world.sign_in(1)
        grant = world.grant(her).grant.grant
        stopped = world.stop_grant(her, grant)

        old.kill()
        eventually(lambda: first.ended() == FATAL_EXIT, "the writer ends", within_s=WITHIN_S)
        new.promote()
        # What took over has no standby of its own: nobody writes yet, and nobody new starts.
        with running(world, tmp_path / "three") as third:
            assert third.said == {}
            assert "CONFIG_INVALID" in third.errors()
            eventually(lambda: third.ended() == EXIT_CONFIG, "it ends")
        assert health(world, second.said["port"]) == NOT_SERVING
        with_standby(servers, new)
        eventually(
            lambda: health(world, second.said["port"]) == SERVING,
            "the standing process serves",
            within_s=WITHIN_S,
        )
        her = world.sign_in(1)
        assert world.view(her, grant).state == pb.GRANT_STATE_STOPPED
        again = world.stop_grant(her, grant)
        assert again.stop_receipt.index == stopped.stop_receipt.index
        world.resume_grant(her, grant)
        assert world.stop_grant(her, grant).stop_receipt.index > stopped.stop_receipt.index
        vkey = world.vkey
    report = fsck(world.store.location, vkey, world.settings.anchor)
    assert report.ok, report.problems


@pytest.mark.parametrize("ask", ["true", "false"])
def test_an_asynchronous_standby_is_refused_where_one_is_required(
    tmp_path: Path, tls: dict[str, TlsFiles], servers: Servers, ask: str
) -> None:
    server = primary(servers)
    store = database.on(server)
    store.migrate(*SCHEMAS["consent"])
    server.execute(f'GRANT pg_read_all_stats TO "{APP}"')
    servers(server.standby()).start()
    eventually(
        lambda: bool(server.execute("SELECT 1 FROM pg_stat_replication")), "the standby streams"
    )
    world = World(tmp_path, tls, clock=cast(Any, SystemClock()), store=store)
    with running(world, tmp_path / "one", SAFEHAND_CONSENT_REQUIRE_STANDBY=ask) as process:
        if ask == "false":
            assert process.said.get("event") == "serving"
            return
        assert process.said == {}
        assert "CONFIG_INVALID" in process.errors()
        eventually(lambda: process.ended() == EXIT_CONFIG, "it ends")


def test_a_process_that_starts_before_its_standby_waits_for_it(
    tmp_path: Path, tls: dict[str, TlsFiles], servers: Servers
) -> None:
    """As after a failover: it does not end, which would cost one start after the other."""
    server = primary(servers)
    store = database.on(server)
    store.migrate(*SCHEMAS["consent"])
    server.execute(f'GRANT pg_read_all_stats TO "{APP}"')
    standby = servers(server.standby())
    server.configure(synchronous_standby_names="*")
    world = World(tmp_path, tls, clock=cast(Any, SystemClock()), store=store)
    with contextlib.ExitStack() as stack:
        begun: list[Process] = []
        thread = threading.Thread(
            target=lambda: begun.append(stack.enter_context(running(world, tmp_path / "one")))
        )
        thread.start()
        asked = f"SELECT 1 FROM pg_stat_activity WHERE usename = '{APP}'"
        eventually(lambda: bool(server.execute(asked)), "it asks", within_s=WITHIN_S)
        standby.start()
        thread.join()
        assert begun[0].said.get("event") == "serving"


def test_what_an_asynchronous_standby_lost_is_found_by_the_anchor(
    tmp_path: Path, servers: Servers
) -> None:
    old = primary(servers)
    ledger = Ledger(tmp_path, store=_ledger_store(old)).start()
    ledger.append_keys(2)
    new = servers(old.standby()).start()
    eventually(
        lambda: bool(old.execute("SELECT 1 FROM pg_stat_replication")), "the standby streams"
    )
    new.stop()
    ledger.grant().append(Kind.STOP)  # answered by the old server alone
    old.kill()
    ledger.writer.close()
    ledger.engine.dispose()
    new.settings.pop("primary_conninfo")
    new.start()
    new.promote()
    left = Ledger(tmp_path, store=on_any(ledger.store, new))
    with pytest.raises(SafehandError) as refused:
        left.start()
    assert refused.value.reason is Reason.LEDGER_ROLLED_BACK
    left.writer.close()
    left.engine.dispose()


def _ledger_store(cluster: Cluster) -> Database:
    made = database.on(cluster)
    made.create(tables.TABLES.leaf.metadata)
    return made


def test_a_commit_that_an_operator_told_not_to_wait_is_not_answered(
    tmp_path: Path, servers: Servers
) -> None:
    """PostgreSQL answers such a COMMIT with success and a warning."""
    server = primary(servers)
    store = _ledger_store(server)
    assert isinstance(store.location, Postgres)
    waiting = Database(
        Postgres(store.location.url, remote_apply=True), store.owner, server, store.name
    )
    ledger = Ledger(tmp_path, store=waiting).start()
    ledger.append_keys(1)
    server.configure(synchronous_standby_names="*")
    waits = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"

    def cancel() -> bool:
        return bool(server.execute(f"SELECT pg_cancel_backend(pid) {waits}"))

    outcome: list[object] = []

    def stop() -> None:
        try:
            outcome.append(ledger.submit(ledger.key_operation()))
        except SafehandError as error:
            outcome.append(error.reason)

    thread = threading.Thread(target=stop)
    thread.start()
    eventually(cancel, "the commit waits for a standby that is not there")
    thread.join()
    assert outcome == [Reason.UNAVAILABLE]
    with pytest.raises(SafehandError):
        ledger.append_keys(1)
    server.configure(synchronous_standby_names="")
    ledger.keys = 2
    ledger.reload()
    ledger.check_log(2)
    ledger.close()


def test_a_busy_writer_notices_that_its_standby_became_asynchronous(
    tmp_path: Path, servers: Servers
) -> None:
    server = primary(servers)
    store = _ledger_store(server)
    server.execute(f'GRANT pg_read_all_stats TO "{APP}"')
    assert isinstance(store.location, Postgres)
    waiting = Database(
        Postgres(store.location.url, remote_apply=True), store.owner, server, store.name
    )
    standby = with_standby(servers, server)
    ledger = Ledger(tmp_path, store=waiting).start(require_standby=True)
    ledger.append_keys(1)
    server.configure(synchronous_standby_names="")
    standby.kill()

    def refused() -> bool:
        try:
            ledger.append_keys(1)
        except SafehandError as error:
            return error.reason is Reason.UNAVAILABLE
        return False

    eventually(refused, "it asks although there is always something to write")
    assert refused(), "and for good: it ended"
    ledger.close()


def test_a_frozen_process_is_replaced_and_ends_when_it_wakes_up(
    tmp_path: Path, tls: dict[str, TlsFiles], servers: Servers
) -> None:
    """Stopped between two transactions, where nothing but its silence gives it away."""
    server = primary(servers)
    store = database.on(server)
    store.migrate(*SCHEMAS["consent"])
    world = World(tmp_path, tls, clock=cast(Any, SystemClock()), store=store)
    alone = {"SAFEHAND_CONSENT_REQUIRE_STANDBY": "false"}
    with (
        running(world, tmp_path / "one", **alone) as first,
        running(world, tmp_path / "two", **alone) as second,
    ):
        assert first.said.get("event") == "serving", first.errors()
        assert health(world, first.said["port"]) == SERVING
        first.freeze()
        eventually(
            lambda: health(world, second.said["port"]) == SERVING,
            "the other one serves",
            within_s=WITHIN_S,
        )
        first.wake()
        eventually(lambda: first.ended() == FATAL_EXIT, "it is fenced", within_s=WITHIN_S)
        world.settle()
        world.register("haven", 1, "her-at-haven")
        her = world.sign_in(1)
        world.stop_grant(her, world.grant(her).grant.grant)


def test_a_service_without_a_ledger_writes_only_what_its_standby_has(servers: Servers) -> None:
    """Referral and notify: no anchor would find what a failover lost."""
    server = primary(servers)
    store = database.on(server)
    store.migrate(*SCHEMAS["referral"])
    server.execute(f'GRANT pg_read_all_stats TO "{APP}"')
    standby = with_standby(servers, server)
    location = Postgres(store.url, remote_apply=True)
    engine = migrate.open_service(location, *SCHEMAS["referral"], with_standby=True)

    requests = map(str, itertools.count())

    def write() -> None:
        with begin_write(engine) as connection:
            idempotency.remember(connection, "her", "m", next(requests), bytes(32), {}, at=1)

    def refused() -> bool:
        try:
            write()
        except SafehandError as error:
            return error.reason is Reason.UNAVAILABLE
        return False

    write()
    outcome: list[bool] = []
    standby.kill()
    thread = threading.Thread(target=lambda: outcome.append(refused()))
    thread.start()
    eventually(
        lambda: bool(
            server.execute(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            )
        ),
        "the commit waits for the standby that is gone",
    )
    thread.join()
    assert outcome == [True], "told not to wait, it is not answered as done"
    server.configure(synchronous_standby_names="")
    eventually(refused, "nothing more is written")
    with begin_read(engine) as connection:
        assert idempotency.lookup(connection, "her", "m", "0", bytes(32)) == {}
    engine.dispose()
