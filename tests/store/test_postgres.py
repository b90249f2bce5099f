"""PostgreSQL as a service's database: what it must be, whose rights, and what only grows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_notify_service import app as notify
from safehand_notify_service.settings import NotifySettings
from safehand_referral_service import app as referral
from safehand_referral_service.settings import ReferralSettings
from safehand_store import guard, migrate, outbox, postgres, roles
from safehand_store.columns import Whole
from safehand_store.engine import (
    begin_read,
    begin_write,
    driver,
    open_engine,
    require_durable,
    require_standby,
)
from safehand_store.location import Postgres, locate, of_service
from sqlalchemy import BigInteger, Column, Engine, MetaData, Table, Text, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError

from tests.harness import database
from tests.harness.database import Database
from tests.harness.databases import SCHEMAS
from tests.harness.postgres import APP, OWNER, SUPERUSER

PG = tuple(engine for engine in database.conformance() if engine != database.SQLITE)

METADATA = MetaData()
LOG = guard.append_only(
    Table("log", METADATA, Column("id", Whole, primary_key=True), Column("text", Text))
)
NOTE = Table("note", METADATA, Column("id", Whole, primary_key=True), Column("text", Text))


@pytest.fixture(params=PG)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with an append-only table ``log`` and another, ``note``."""
    made = database.new(tmp_path / "unused", request.param)
    made.create(METADATA)
    made.execute("INSERT INTO log VALUES (1, 'one')")
    yield made
    made.drop()


@pytest.fixture
def engine(store: Database) -> Iterator[Engine]:
    made = open_engine(store.location)
    yield made
    made.dispose()


def refused(reason: Reason, engine: Engine) -> None:
    with pytest.raises(SafehandError) as error:
        roles.require(engine, METADATA)
    assert error.value.reason is reason


# --- where it is --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:secret@/db",
        "postgresql://app@/db?password=secret",
        "postgresql://app@/db?passfile=/tmp/x",
        "postgresql://app@host/db?options=-csynchronous_commit%3Doff",
        "postgresql://app@host/db?target_session_attrs=any",
        "postgresql://app@host/db?tcp_user_timeout=0",
        "postgresql://app@host",
        "mysql://app@host/db",
    ],
)
def test_a_url_with_a_password_or_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(SafehandError) as error:
        of_service(Path("file"), url, None, prefix="SAFEHAND_X_")
    assert error.value.reason is Reason.CONFIG_INVALID
    assert error.value.metadata["settings"] == "SAFEHAND_X_DATABASE_URL"
    assert "secret" not in str(error.value)


REMOTE = (
    "postgresql://app@db1.example/db",
    "postgresql://app@db1.example/db?sslmode=require",
    "postgresql://app@127.0.0.1,db2.example/db",
    "postgresql://app@localhost/db?hostaddr=192.0.2.1",
)


@pytest.mark.parametrize("url", REMOTE)
def test_production_sends_nothing_in_clear_over_a_network(url: str) -> None:
    with pytest.raises(SafehandError) as error:
        of_service(Path("file"), url, None, prefix="SAFEHAND_X_")
    assert error.value.reason is Reason.CONFIG_INVALID
    assert "verify-full" in str(error.value)
    assert of_service(Path("file"), url, None, prefix="SAFEHAND_X_", profile="sandbox")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app@db1.example,db2.example/db?sslmode=verify-full",
        "postgresql://app@/db?host=/run/postgresql",
        "postgresql://app@/db",
        "postgresql://app@[::1],localhost/db",
    ],
)
def test_production_takes_a_checked_server_and_this_machine(url: str) -> None:
    assert of_service(Path("file"), url, None, prefix="SAFEHAND_X_")


def test_a_word_is_a_file_and_a_url_is_not() -> None:
    assert locate("some/file") == Path("some/file")
    assert isinstance(locate("postgresql://app@/db"), Postgres)
    with pytest.raises(SafehandError):
        locate("http://host/db")


def test_the_password_is_read_from_its_file_for_every_connection(tmp_path: Path) -> None:
    file = tmp_path / "password"
    where = Postgres("postgresql://app@host/db", file)
    with pytest.raises(SafehandError):
        where.parameters()
    file.touch(mode=0o640)
    for word in ("one", "two"):
        file.write_text(word + "\n")
        assert where.parameters()["password"] == word


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604, 0o602])
def test_a_password_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "password"
    file.write_text("word")
    file.chmod(mode)
    with pytest.raises(SafehandError) as error:
        Postgres("postgresql://app@host/db", file).parameters()
    assert error.value.reason is Reason.CONFIG_INVALID


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    engine = open_engine(Postgres(f"postgresql://app@/db?host={tmp_path}"))
    with pytest.raises(SafehandError) as error, begin_read(engine):
        pass
    assert error.value.reason is Reason.UNAVAILABLE
    engine.dispose()


# --- whole numbers, text, bytes -----------------------------------------------------------------


@pytest.mark.parametrize("service", SCHEMAS)
def test_every_whole_number_of_every_service_has_64_bits(service: str) -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    for table in SCHEMAS[service][1].sorted_tables:
        for column in table.columns:
            kind = column.type.dialect_impl(dialect)
            assert column.type.python_type is not int or isinstance(kind, BigInteger), column


# --- transactions -------------------------------------------------------------------------------


def test_write_transactions_are_one_after_the_other(engine: Engine) -> None:
    with begin_write(engine) as connection:
        connection.execute(NOTE.insert(), {"id": 1, "text": "0"})
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(10):
                with begin_write(engine) as connection:
                    n = int(connection.execute(text("SELECT text FROM note")).scalar_one())
                    connection.execute(text("UPDATE note SET text = :n"), {"n": str(n + 1)})
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    with begin_read(engine) as connection:
        assert connection.execute(text("SELECT text FROM note")).scalar_one() == "40"


def test_a_read_is_one_snapshot_and_writes_nothing(engine: Engine) -> None:
    with begin_read(engine) as reading:
        assert reading.execute(text("SELECT count(*) FROM note")).scalar_one() == 0
        with begin_write(engine) as connection:
            connection.execute(NOTE.insert(), {"id": 1, "text": "x"})
        assert reading.execute(text("SELECT count(*) FROM note")).scalar_one() == 0
    with pytest.raises(SafehandError), begin_read(engine) as reading:
        reading.execute(NOTE.insert(), {"id": 2, "text": "x"})


def test_a_transaction_that_went_on_after_an_error_does_not_look_committed(engine: Engine) -> None:
    def swallow() -> None:
        with begin_write(engine) as connection:
            connection.execute(NOTE.insert(), {"id": 1, "text": "x"})
            with pytest.raises(DBAPIError):
                connection.execute(text("SELECT 1 FROM nowhere"))

    with pytest.raises(SafehandError) as error:
        swallow()
    assert error.value.reason is Reason.INTERNAL
    with begin_read(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM note")).scalar_one() == 0


def test_connections_that_the_server_ended_are_replaced(store: Database, engine: Engine) -> None:
    for begin in (begin_read, begin_write):
        with begin(engine) as connection:
            assert driver(connection) is not None
        end_sessions(store)
        with begin(engine) as connection:
            assert connection.execute(text("SELECT 1")).scalar_one() == 1


def end_sessions(store: Database) -> None:
    """End every session of the service, as a server that goes down does."""
    store.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


def test_a_session_that_ends_in_the_middle_is_unavailable(store: Database, engine: Engine) -> None:
    def interrupted() -> None:
        with begin_write(engine) as connection:
            connection.execute(NOTE.insert(), {"id": 1, "text": "x"})
            end_sessions(store)
            connection.execute(text("SELECT 1"))

    with pytest.raises(SafehandError) as error:
        interrupted()
    assert error.value.reason is Reason.UNAVAILABLE
    with begin_read(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM note")).scalar_one() == 0


# --- durable ------------------------------------------------------------------------------------


def test_a_durable_server_is_accepted(engine: Engine) -> None:
    require_durable(engine)


@pytest.mark.parametrize("commits", ["off", "local"])
def test_commits_that_wait_for_nothing_are_refused(
    store: Database, engine: Engine, commits: str
) -> None:
    store.execute(
        f'ALTER ROLE "{APP}" IN DATABASE "{store.name}" SET synchronous_commit = {commits}'
    )
    with pytest.raises(SafehandError) as error:
        require_durable(engine)
    assert error.value.reason is Reason.CONFIG_INVALID


# --- roles and what only grows ------------------------------------------------------------------

CHANGES = [
    "UPDATE log SET text = 'x'",
    "DELETE FROM log",
    "TRUNCATE log",
    "INSERT INTO log VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET text = 'x'",
    "ALTER TABLE log DISABLE TRIGGER ALL",
    "DROP TABLE log",
]


@pytest.mark.parametrize("change", CHANGES)
def test_the_services_role_cannot_change_what_only_grows(engine: Engine, change: str) -> None:
    with (
        pytest.raises(DBAPIError, match=r"permission denied|must be owner"),
        begin_write(engine) as connection,
    ):
        connection.execute(text(change))


@pytest.mark.parametrize("change", CHANGES[:4])
@pytest.mark.parametrize("role", ["origin", "replica"])
def test_the_triggers_stop_the_owner_too(store: Database, change: str, role: str) -> None:
    """Also where triggers are told to sleep, as for replication."""
    assert store.cluster is not None
    with psycopg.connect(store.cluster.url(database=store.name), autocommit=True) as raw:
        raw.execute(f"SET session_replication_role = {role}")
        with pytest.raises(psycopg.Error, match=guard.MESSAGE):
            raw.execute(change)


def test_it_grows(engine: Engine) -> None:
    with begin_write(engine) as connection:
        connection.execute(LOG.insert(), {"id": 2, "text": "two"})
        guard.require_append_only(connection, LOG)
    roles.require(engine, METADATA)


def test_a_services_role_with_more_rights_does_not_start(store: Database, engine: Engine) -> None:
    roles.require(engine, METADATA)
    for give, take in (
        (f'GRANT UPDATE ON log TO "{APP}"', f'REVOKE UPDATE ON log FROM "{APP}"'),
        (f'GRANT UPDATE (text) ON log TO "{APP}"', f'REVOKE UPDATE (text) ON log FROM "{APP}"'),
        (f'GRANT DELETE ON log TO "{APP}"', f'REVOKE DELETE ON log FROM "{APP}"'),
        (f'GRANT TRUNCATE ON log TO "{APP}"', f'REVOKE TRUNCATE ON log FROM "{APP}"'),
        ("GRANT UPDATE ON log TO PUBLIC", "REVOKE UPDATE ON log FROM PUBLIC"),
        (
            f'GRANT CREATE ON SCHEMA public TO "{APP}"',
            f'REVOKE CREATE ON SCHEMA public FROM "{APP}"',
        ),
        (f'ALTER ROLE "{APP}" CREATEROLE', f'ALTER ROLE "{APP}" NOCREATEROLE'),
        (f'GRANT "{OWNER}" TO "{APP}"', f'REVOKE "{OWNER}" FROM "{APP}"'),
        (f'GRANT "{SUPERUSER}" TO "{APP}"', f'REVOKE "{SUPERUSER}" FROM "{APP}"'),
        (
            f'ALTER ROLE "{APP}" NOINHERIT; GRANT "{SUPERUSER}" TO "{APP}"',
            f'REVOKE "{SUPERUSER}" FROM "{APP}"; ALTER ROLE "{APP}" INHERIT',
        ),
        (
            f'GRANT pg_execute_server_program TO "{APP}"',
            f'REVOKE pg_execute_server_program FROM "{APP}"',
        ),
        (f'GRANT pg_write_all_data TO "{APP}"', f'REVOKE pg_write_all_data FROM "{APP}"'),
    ):
        store.execute(give)
        try:
            refused(Reason.CONFIG_INVALID, engine)
        finally:
            store.execute(take)
    roles.require(engine, METADATA)


def test_the_owner_and_the_superuser_do_not_start_a_service(store: Database) -> None:
    assert store.cluster is not None
    for where in (store.owner, Postgres(store.cluster.url(database=store.name))):
        engine = open_engine(where)
        refused(Reason.CONFIG_INVALID, engine)
        engine.dispose()


@pytest.mark.parametrize(
    "ruin",
    [
        "DROP TRIGGER log_no_change ON log",
        "DROP TRIGGER log_no_truncate ON log",
        "ALTER TABLE log DISABLE TRIGGER log_no_change",
        "ALTER TABLE log ENABLE TRIGGER log_no_change",
        "ALTER TABLE log ENABLE REPLICA TRIGGER log_no_truncate",
        "DROP TRIGGER log_no_change ON log; CREATE TRIGGER log_no_change BEFORE DELETE ON log "
        "FOR EACH ROW EXECUTE FUNCTION safehand_refuse_change(); "
        "ALTER TABLE log ENABLE ALWAYS TRIGGER log_no_change",
        "DROP TRIGGER log_no_change ON log; CREATE TRIGGER log_no_change BEFORE UPDATE OR DELETE "
        "ON log FOR EACH ROW WHEN (OLD.id < 0) EXECUTE FUNCTION safehand_refuse_change(); "
        "ALTER TABLE log ENABLE ALWAYS TRIGGER log_no_change",
        "CREATE OR REPLACE FUNCTION safehand_refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN RETURN NEW; END$$",
    ],
)
def test_a_trigger_that_is_missing_asleep_or_another_is_found(
    store: Database, engine: Engine, ruin: str
) -> None:
    store.execute(ruin)
    refused(Reason.LEDGER_CORRUPT, engine)


def test_a_role_that_is_not_there_or_owns_the_tables_gets_no_rights(store: Database) -> None:
    engine = open_engine(store.owner)
    for role in ("nobody-there", OWNER, 'a"; DROP TABLE log; --'):
        with pytest.raises(SafehandError) as error, begin_write(engine) as connection:
            roles.grant(connection, METADATA, role)
        assert error.value.reason is Reason.CONFIG_INVALID
    engine.dispose()


# --- migrations ---------------------------------------------------------------------------------


@pytest.mark.parametrize("service", SCHEMAS)
@pytest.mark.parametrize("version", PG)
def test_a_service_starts_only_on_a_migrated_database(
    tmp_path: Path, service: str, version: str
) -> None:
    scripts, metadata = SCHEMAS[service]
    store = database.new(tmp_path / "unused", version)
    with pytest.raises(SafehandError) as error:
        migrate.open_service(store.location, scripts, metadata)
    assert error.value.reason is Reason.CONFIG_INVALID
    store.migrate(scripts, metadata)
    store.migrate(scripts, metadata)
    migrate.open_service(store.location, scripts, metadata).dispose()
    assert set(metadata.tables) | {roles.VERSIONS} == set(store.tables())
    owner = open_engine(store.owner)
    assert migrate.current(owner) == "0001"
    owner.dispose()
    store.drop()


def test_the_outbox_counts_on(store: Database) -> None:
    metadata = MetaData()
    outbox.define(metadata)
    store.create(metadata)
    engine = open_engine(store.location)
    for n in range(1, 4):
        with begin_write(engine) as connection:
            at = 2**40 + n
            assert outbox.append(connection, type=1, time=at, audience="a", resource="r") == n
    with begin_read(engine) as connection:
        assert [event.time - 2**40 for event in outbox.after(connection, 0, 9)] == [1, 2, 3]
        assert outbox.head(connection) == 3
    engine.dispose()


# --- a standby of every commit (with a real one: tests/fault/test_standby.py) --------------------


@pytest.mark.parametrize(
    ("settings", "open_database"),
    [
        (ReferralSettings, referral.open_database),
        (NotifySettings, notify.open_database),
    ],
)
def test_a_service_that_requires_a_standby_does_not_start_without(
    tmp_path: Path, settings: Any, open_database: Any
) -> None:
    service = settings.service
    made = database.new(tmp_path / "unused", PG[0])
    made.migrate(*SCHEMAS[service])
    told = {"data_dir": tmp_path, "database_url": made.url, "profile": "test"}
    open_database(settings.model_construct(**told)).dispose()
    for where in (told, {**told, "database_url": ""}):
        with pytest.raises(SafehandError) as error:
            open_database(settings.model_construct(**where, require_standby=True))
        assert error.value.reason is Reason.CONFIG_INVALID
    made.drop()


def test_what_requires_a_standby_writes_nothing_without_and_reads_on(
    store: Database, engine: Engine
) -> None:
    with pytest.raises(SafehandError) as error:
        require_standby(engine)
    assert error.value.reason is Reason.CONFIG_INVALID
    engine.update_execution_options(**{postgres.REQUIRE_STANDBY: True})
    for _ in range(2):
        with pytest.raises(SafehandError) as error, begin_write(engine) as connection:
            connection.execute(NOTE.insert(), {"id": 1, "text": "one"})
        assert error.value.reason is Reason.UNAVAILABLE
        with begin_read(engine) as connection:
            assert connection.execute(NOTE.select()).all() == []
    other = open_engine(store.location)
    with begin_write(other) as connection:
        assert connection.execute(NOTE.select()).all() == [], "no lock is left behind"
    other.dispose()
