"""A writer that waits for a database that is not there any more ends its process, and no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_ledger import watch as module
from safehand_ledger.watch import ASK_AFTER_S, SILENT_S, Watch
from safehand_store.location import Postgres

from tests.harness import database
from tests.harness.dark import Dark
from tests.harness.database import Database
from tests.harness.postgres import APP
from tests.harness.world import eventually
from tests.ledger.world import World

PG = tuple(engine for engine in database.conformance() if engine != database.SQLITE)


class Stage:
    """A watch whose time the test moves, and a database that answers as the test says."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.holds: bool | None = True
        self.questions = 0
        self.gave_up: list[str] = []
        self.watch = Watch(self._held, self.gave_up.append, lambda: self.now)

    def _held(self) -> bool:
        self.questions += 1
        if self.holds is None:
            raise SafehandError(Reason.UNAVAILABLE, "the database cannot be used now")
        return self.holds

    def look(self, later: float) -> None:
        self.now += later
        self.watch.look()
        asking = self.watch._asking
        if asking is not None:
            asking.join()


def test_what_is_answered_in_time_is_not_asked_for() -> None:
    stage = Stage()
    stage.look(SILENT_S)
    stage.watch.asked()
    stage.look(ASK_AFTER_S - 0.1)
    stage.watch.answered()
    stage.look(SILENT_S)
    assert (stage.questions, stage.gave_up) == (0, [])


def test_a_commit_that_waits_for_a_standby_may_wait_for_ever() -> None:
    stage = Stage()
    stage.watch.asked()
    for _ in range(100):
        stage.look(ASK_AFTER_S)
    assert stage.gave_up == []
    assert stage.questions == 100


def test_a_lock_that_is_gone_ends_it_at_the_first_question() -> None:
    stage = Stage()
    stage.holds = False
    stage.watch.asked()
    stage.look(ASK_AFTER_S)
    assert stage.gave_up == ["another process may be the writer"]
    stage.look(SILENT_S)
    assert len(stage.gave_up) == 1, "once"


def test_silence_on_both_ways_ends_it() -> None:
    stage = Stage()
    stage.watch.asked()
    stage.look(ASK_AFTER_S)
    stage.holds = None
    stage.look(SILENT_S - 0.1)
    assert stage.gave_up == []
    stage.look(0.1)
    assert stage.gave_up == ["the database does not answer"]


def test_an_answer_that_came_meanwhile_or_a_close_is_no_reason() -> None:
    """The lock is let go of at a close, and a question may still be on its way."""
    for end in ("answered", "stop"):
        stage = Stage()
        go, asked = threading.Event(), threading.Event()

        def held(go: threading.Event = go, asked: threading.Event = asked) -> bool:
            asked.set()
            go.wait()
            return False

        stage.watch._held = held
        stage.watch.asked()
        stage.now += ASK_AFTER_S
        stage.watch.look()
        assert asked.wait(30)
        getattr(stage.watch, end)()
        go.set()
        assert stage.watch._asking is not None
        stage.watch._asking.join()
        assert stage.gave_up == []


@pytest.fixture(params=PG)
def behind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[World, Dark]]:
    """A ledger whose writer reaches its server through something that can go dark."""
    first = World(tmp_path, engine=request.param)
    cluster = first.store.cluster
    assert cluster is not None
    assert isinstance(first.store.location, Postgres)
    with Dark(cluster.folder / f".s.PGSQL.{cluster.port}") as dark:
        url = f"postgresql://{APP}@127.0.0.1:{dark.port}/{first.store.name}"
        store = Database(Postgres(url), first.store.owner, cluster, first.store.name)
        made = World(tmp_path, store=store).start()
        made.append_keys(1)
        yield made, dark
    made.writer.close()
    made.engine.dispose()
    first.close()


def test_a_writer_whose_way_to_the_server_went_dark_ends_and_another_takes_over(
    behind: tuple[World, Dark], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is reset, and the transport acknowledges whatever is sent."""
    first, dark = behind
    assert first.store.cluster is not None
    monkeypatch.setattr(module, "SILENT_S", ASK_AFTER_S)
    direct = Postgres(first.store.cluster.url(APP, first.store.name))
    second = World(
        tmp_path, store=Database(direct, first.store.owner, first.store.cluster, first.store.name)
    )
    dark.begin()
    eventually(lambda: first.writer._dead, "it ends by itself", within_s=60)
    with pytest.raises(SafehandError) as refused:
        first.append_keys(1)
    assert refused.value.reason is Reason.UNAVAILABLE
    eventually(second.writer.elect, "the server ends the silent session", within_s=60)
    second.writer.start()
    second.keys = 1
    second.append_keys(1)
    second.check_log(2)
    second.writer.close()
    second.engine.dispose()
