"""The database server is killed under load: whatever was acknowledged is there, once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from safehand.events.v1.events_pb2 import Event
from safehand_client import SurvivorClient
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from safehand_ledger import tables

from tests.chaos.hearing import AGENCIES, Told, differs, of_agency
from tests.fault.crash import persist
from tests.harness import database, databases
from tests.harness.postgres import Cluster
from tests.harness.world import World, eventually, running
from tests.ledger.world import World as Ledger

T = TypeVar("T")

VERSION = database.conformance()[-1]
KILLS = 3
CALLERS = 4

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def server() -> Iterator[Cluster]:
    """A server of this test's own, on the disk."""
    database.require(VERSION)
    made = Cluster.create(VERSION)
    try:
        made.start().make_roles()
        yield made
    finally:
        made.remove()


def test_a_ledger_whose_server_is_killed_again_and_again_loses_nothing(
    tmp_path: Path, server: Cluster
) -> None:
    """In process: the writer is loaded again after each kill, as a supervisor does."""
    store = database.on(server)
    store.create(tables.TABLES.leaf.metadata)
    ledger = Ledger(tmp_path, store=store).start()
    stopped: list[int] = []
    for _ in range(KILLS):
        done = threading.Event()

        def load(ledger: Ledger = ledger, done: threading.Event = done) -> None:
            try:
                while True:
                    script = ledger.grant()
                    stopped.append(script.append(Kind.STOP).value)
                    if len(stopped) % 10 == 9:
                        done.set()
            except SafehandError:
                done.set()

        thread = threading.Thread(target=load)
        thread.start()
        assert done.wait(60)
        server.kill()
        thread.join()
        grants, receipts = ledger.grants, ledger.receipts
        ledger.writer.close()
        ledger.engine.dispose()
        server.start()
        ledger = Ledger(tmp_path, store=store)
        ledger.grants, ledger.receipts = grants, receipts
        ledger.start()
        ledger.check_log()
    assert len(set(stopped)) == len(stopped) > 0
    kinds = dict(store.rows('SELECT "index", kind FROM ledger_opening'))
    assert all(kinds[index] == int(Kind.STOP) for index in stopped)
    ledger.close()


def again(attempt: Callable[[], T]) -> T:
    """``persist``, to which an error that nobody thought of is a failure."""

    def once() -> T:
        try:
            return attempt()
        except SafehandError as error:
            if error.reason is Reason.INTERNAL:
                raise AssertionError("an error that nobody handled") from error
            raise

    return persist(once)


class Caller:
    """Grants and stops as one person, each asked until answered, and remembers the answers."""

    def __init__(self, world: World) -> None:
        self.person = world.person()
        self.her = SurvivorClient(world.party("her"))
        self.her.sign_in(self.person.card, self.person.pin)
        self.granted: list[str] = []
        self.stopped: list[str] = []
        self.error: BaseException | None = None
        self._world = world
        self._thread = threading.Thread(target=self._run)
        self.ending = threading.Event()

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self.ending.set()
        self._thread.join()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            while not self.ending.is_set():
                grant = again(lambda: self._world.grant(self.person))
                self.granted.append(grant)
                again(lambda grant=grant: self.her.stop(grant))  # type: ignore[misc]
                self.stopped.append(grant)
        except BaseException as error:
            self.error = error


def test_all_services_outlive_a_killed_server(tmp_path: Path, server: Cluster) -> None:
    """Real processes, all on one server, which dies and comes back while people grant and stop."""
    with running(
        tmp_path / "sandbox", make_stores=lambda sandbox: databases.of_sandbox(sandbox, server)
    ) as world:
        callers = [Caller(world) for _ in range(CALLERS)]
        for caller in callers:
            caller.start()

        def answered() -> int:
            return sum(len(caller.stopped) for caller in callers)

        def more(than: int) -> Callable[[], bool]:
            return lambda: answered() > than or any(caller.error for caller in callers)

        for _ in range(2):
            eventually(more(answered() + CALLERS), "stops are answered", within_s=60)
            server.kill()
            server.start()
        eventually(more(answered() + CALLERS), "stops are answered again", within_s=90)
        for caller in callers:
            caller.end()
        for caller in callers:
            again(lambda caller=caller: caller.her.sign_in(*credentials(caller)))  # type: ignore[misc]
            views = {view.grant: view for view in again(caller.her.grants)}
            assert set(caller.granted) <= views.keys()
            for grant in caller.stopped:
                kinds = [line.kind.name for line in caller.her.verified_receipt(grant)]
                assert kinds == ["GRANT", "STOP"], "each is there once"
            caller.her.close()
        # The other services are well too.
        grant = again(lambda: world.grant(world.person()))
        sent = again(lambda: world.send(grant))
        assert again(lambda: world.agency_b.fetch(sent.referral))
        report = world.fsck()
        assert report.ok, report.problems
        promised = [
            Told(grant, (Kind.GRANT, Kind.STOP)) for caller in callers for grant in caller.stopped
        ]
        promised.append(Told(grant, (Kind.GRANT, Kind.REFER), sent.referral))
        eventually(
            lambda: not differs(heard(world), promised),
            "each agency heard what was promised",
            within_s=60,
        )


def heard(world: World) -> dict[str, list[Event]]:
    agencies = zip(AGENCIES, (world.agency_a, world.agency_b), strict=True)
    return {name: of_agency(agency) for name, agency in agencies}


def credentials(caller: Caller) -> tuple[str, str]:
    return caller.person.card, caller.person.pin
