"""The store: durable by construction, append-only where promised, repeats answered once."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_store import guard, idempotency, migrate
from safehand_store.engine import begin_read, begin_write, open_engine, require_durable
from sqlalchemy import Column, Integer, MetaData, Table, Text, create_engine, event, text
from sqlalchemy.exc import DBAPIError

from tests.harness import database
from tests.harness.database import Database, sqlite_alone


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    """An empty database."""
    made = database.new(tmp_path / "db")
    yield made
    made.drop()


@sqlite_alone
def test_a_database_is_opened_durable_and_private(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "db.sqlite"
    engine = open_engine(path)
    with begin_write(engine) as connection:
        connection.execute(text("CREATE TABLE t (n INTEGER)"))
    with engine.connect() as connection:
        read = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert read == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 5000,
    }
    for file in path.parent.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600, file.name
    engine.dispose()


@sqlite_alone
def test_a_database_that_is_not_durable_is_refused_by_benchmarks(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "db")
    event.listen(
        engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=NORMAL")
    )
    with pytest.raises(SafehandError) as refused:
        require_durable(engine)
    assert refused.value.reason is Reason.CONFIG_INVALID
    engine.dispose()
    memory = create_engine("sqlite://")
    with pytest.raises(SafehandError):
        require_durable(memory)
    memory.dispose()


@sqlite_alone
def test_a_database_in_memory_is_not_durable() -> None:
    folder = Path("/dev/shm")
    if not os.access(folder, os.W_OK):
        folder.mkdir()  # every Linux has it; elsewhere this fails loudly
    path = folder / f"safehand-test-{os.getpid()}"
    engine = open_engine(path)
    try:
        with pytest.raises(SafehandError):
            require_durable(engine)
    finally:
        engine.dispose()
        for file in folder.glob(f"{path.name}*"):
            file.unlink()


@sqlite_alone
def test_reading_and_then_writing_waits_for_others_and_never_fails(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "db")
    with begin_write(engine) as connection:
        connection.execute(text("CREATE TABLE t (n INTEGER)"))
        connection.execute(text("INSERT INTO t VALUES (0)"))
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(25):
                with begin_write(engine) as connection:
                    n = connection.execute(text("SELECT n FROM t")).scalar_one()
                    connection.execute(text("UPDATE t SET n = :n"), {"n": n + 1})
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    with begin_read(engine) as connection:
        assert connection.execute(text("SELECT n FROM t")).scalar_one() == 100
    engine.dispose()


def test_an_error_rolls_the_whole_transaction_back(store: Database) -> None:
    store.add_table("t", "n INTEGER")
    engine = open_engine(store.location)

    def fail() -> None:
        with begin_write(engine) as connection:
            connection.execute(text("INSERT INTO t VALUES (1)"))
            raise SafehandError(Reason.INTERNAL)

    with pytest.raises(SafehandError):
        fail()
    with begin_read(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM t")).scalar_one() == 0
    engine.dispose()


@sqlite_alone
def test_a_read_is_one_snapshot(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "db")
    with begin_write(engine) as connection:
        connection.execute(text("CREATE TABLE t (n INTEGER)"))
    with begin_read(engine) as reading:
        assert reading.execute(text("SELECT count(*) FROM t")).scalar_one() == 0
        with begin_write(engine) as connection:
            connection.execute(text("INSERT INTO t VALUES (1)"))
        assert reading.execute(text("SELECT count(*) FROM t")).scalar_one() == 0
    engine.dispose()


@sqlite_alone
def test_a_copy_on_a_read_only_medium_can_be_read(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "made")
    with begin_write(engine) as connection:
        connection.execute(text("CREATE TABLE t (n INTEGER)"))
    engine.dispose()
    with sqlite3.connect(tmp_path / "made") as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()
    folder = tmp_path / "medium"
    folder.mkdir()
    (folder / "db").write_bytes((tmp_path / "made").read_bytes())
    folder.chmod(0o500)
    engine = open_engine(folder / "db", read_only=True)
    with begin_read(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM t")).scalar_one() == 0
    engine.dispose()
    folder.chmod(0o700)


@sqlite_alone
def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"hello, world" * 500)
    engine = open_engine(tmp_path / "db")
    with pytest.raises(SafehandError) as refused, begin_read(engine):
        pass
    assert refused.value.reason is Reason.CONFIG_INVALID
    engine.dispose()


# --- append-only --------------------------------------------------------------------------------


@sqlite_alone
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE log SET text = 'x'",
        "DELETE FROM log",
        "INSERT OR REPLACE INTO log VALUES (1, 'x')",
        "REPLACE INTO log VALUES (1, 'x')",
        "INSERT INTO log VALUES (1, 'x') ON CONFLICT DO UPDATE SET text = 'x'",
    ],
)
def test_an_append_only_table_refuses_every_change(tmp_path: Path, change: str) -> None:
    metadata = MetaData()
    table = guard.append_only(
        Table("log", metadata, Column("id", Integer, primary_key=True), Column("text", Text))
    )
    engine = open_engine(tmp_path / "db")
    with begin_write(engine) as connection:
        metadata.create_all(connection)
        connection.execute(table.insert(), {"id": 1, "text": "one"})
    with pytest.raises(DBAPIError, match=guard.MESSAGE), begin_write(engine) as connection:
        connection.execute(text(change))
    with begin_write(engine) as connection:
        guard.require_append_only(connection, table)
        connection.execute(table.insert(), {"id": 2, "text": "two"})
        assert connection.execute(text("SELECT text FROM log ORDER BY id")).scalars().all() == [
            "one",
            "two",
        ]
    engine.dispose()


# --- idempotency --------------------------------------------------------------------------------


def test_a_repeat_gets_the_first_answer_and_a_reuse_is_refused(store: Database) -> None:
    metadata = MetaData()
    idempotency.table(metadata)
    store.create(metadata)
    engine = open_engine(store.location)
    first, other = idempotency.hash_request(b"one"), idempotency.hash_request(b"two")
    who = ("agency-a", "Stop", "1b4e28ba-2fa1-11d2-883f-0016d3cca427")
    with begin_write(engine) as connection:
        assert idempotency.lookup(connection, *who, first) is None
        idempotency.remember(connection, *who, first, {"index": 7}, at=1000)
        assert idempotency.lookup(connection, *who, first) == {"index": 7}
        with pytest.raises(SafehandError) as refused:
            idempotency.lookup(connection, *who, other)
        assert refused.value.reason is Reason.REQUEST_ID_REUSED
        for another in (("agency-b", *who[1:]), (who[0], "Resume", who[2])):
            assert idempotency.lookup(connection, *another, other) is None
        with pytest.raises(SafehandError):
            idempotency.remember(connection, *who, first, {"bytes": "x" * 2000}, at=1000)
        assert idempotency.prune(connection, now=1000 + idempotency.KEEP_S) == 0
        assert idempotency.prune(connection, now=1001 + idempotency.KEEP_S) == 1
        assert idempotency.lookup(connection, *who, other) is None
    engine.dispose()


# --- migrations ---------------------------------------------------------------------------------

ENV = "from safehand_store.migrate import run_env\nrun_env()\n"
REVISION = """
from alembic import op
revision, down_revision, branch_labels, depends_on = "{name}", {down}, None, None
def upgrade():
    {body}
"""


def tree(folder: Path, *bodies: str) -> Path:
    scripts = folder / "migrations"
    (scripts / "versions").mkdir(parents=True, exist_ok=True)
    (scripts / "env.py").write_text(ENV)
    down = "None"
    for number, body in enumerate(bodies, 1):
        name = f"{number:04d}"
        (scripts / "versions" / f"{name}.py").write_text(
            REVISION.format(name=name, down=down, body=body)
        )
        down = repr(name)
    return scripts


def test_a_service_brings_its_own_schema_up(store: Database, tmp_path: Path) -> None:
    """On PostgreSQL its operator does, as the owner."""
    scripts = tree(tmp_path, "op.execute('CREATE TABLE a (n INTEGER)')")
    engine = open_engine(store.owner)
    assert migrate.current(engine) is None
    with pytest.raises(SafehandError) as refused:
        migrate.require_current(engine, scripts)
    assert refused.value.reason is Reason.CONFIG_INVALID
    migrate.upgrade(engine, scripts)
    migrate.upgrade(engine, scripts)
    assert migrate.current(engine) == "0001"
    migrate.require_current(engine, scripts)
    tree(
        tmp_path,
        "op.execute('CREATE TABLE a (n INTEGER)')",
        "op.execute('CREATE TABLE b (n INTEGER)')",
    )
    migrate.upgrade(engine, scripts)
    assert migrate.current(engine) == "0002"
    engine.dispose()


def test_a_migration_that_fails_leaves_nothing_behind(store: Database, tmp_path: Path) -> None:
    scripts = tree(
        tmp_path, "op.execute('CREATE TABLE a (n INTEGER)')", "op.execute('CREATE NONSENSE')"
    )
    engine = open_engine(store.owner)
    with pytest.raises(DBAPIError):
        migrate.upgrade(engine, scripts)
    assert migrate.current(engine) is None
    assert store.tables() == []
    engine.dispose()
