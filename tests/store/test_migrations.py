"""A migration that makes an append-only table anew: its triggers are silently gone.

``batch_alter_table`` is how alembic changes a table of SQLite: a copy, whose triggers nobody made.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_ledger.tables import TABLES
from safehand_store import guard, migrate
from safehand_store.engine import begin_read, begin_write, open_engine
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from tests.harness import database
from tests.harness.database import Database
from tests.harness.postgres import APP
from tests.ledger.world import World

METADATA = TABLES.leaf.metadata
ENV = "from safehand_store.migrate import run_env\nrun_env()\n"
REVISION = """
from alembic import op
import sqlalchemy as sa
from safehand_ledger import tables
from safehand_store import guard
from safehand_store.columns import Whole
revision, down_revision, branch_labels, depends_on = "{name}", {down}, None, None
def upgrade():
    {body}
"""
FIRST = "tables.create(op.get_bind())"
BATCH = """with op.batch_alter_table(
        "ledger_leaf", recreate="always", copy_from=tables.TABLES.leaf
    ) as batch:
        batch.add_column(sa.Column("extra", Whole))"""
MENDED = f"""{BATCH}
    guard.create_triggers(op.get_bind(), tables.TABLES.leaf)"""


@pytest.fixture(params=database.conformance())
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database."""
    made = database.new(tmp_path / "db" / "consent.sqlite", request.param)
    yield made
    made.drop()


def tree(folder: Path, *bodies: str) -> Path:
    scripts = folder / "migrations"
    (scripts / "versions").mkdir(parents=True, exist_ok=True)
    (scripts / "env.py").write_text(ENV)
    down = "None"
    for number, body in enumerate(bodies, 1):
        name = f"{number:04d}"
        source = REVISION.format(name=name, down=down, body=body)
        (scripts / "versions" / f"{name}.py").write_text(source)
        down = repr(name)
    return scripts


def with_entries(store: Database, folder: Path) -> None:
    """A ledger of three entries at the first revision; its writer is closed."""
    migrated(store, tree(folder, FIRST))
    world = World(folder, store=store).start()
    world.append_keys(3)
    world.writer.close()
    world.engine.dispose()


def migrated(store: Database, scripts: Path) -> None:
    """As its operator does on PostgreSQL, and the service at its start on SQLite."""
    store.migrate(scripts, METADATA)
    migrate.open_service(store.location, scripts, METADATA).dispose()


def refused(store: Database, scripts: Path) -> SafehandError:
    with pytest.raises(SafehandError) as error:
        migrated(store, scripts)
    return error.value


def revision(store: Database) -> str | None:
    engine = open_engine(store.owner)
    try:
        return migrate.current(engine)
    finally:
        engine.dispose()


def test_a_migration_that_drops_the_triggers_is_refused_and_changes_nothing(
    store: Database, tmp_path: Path
) -> None:
    with_entries(store, tmp_path)
    error = refused(store, tree(tmp_path, FIRST, BATCH))
    assert (error.reason, error.detail) == (Reason.LEDGER_CORRUPT, guard.MISSING)
    assert revision(store) == "0001"
    assert store.columns("ledger_leaf") == ["index", "leaf"]
    world = World(tmp_path, store=store).start()
    world.append_keys(1)
    world.writer.close()
    world.engine.dispose()


def test_a_ledger_whose_triggers_a_migration_dropped_does_not_start(
    store: Database, tmp_path: Path
) -> None:
    """One that asked nobody: the writer asks by itself, on every start."""
    with_entries(store, tmp_path)
    scripts = tree(tmp_path, FIRST, BATCH)
    engine = open_engine(store.owner)
    migrate.upgrade(engine, scripts)
    engine.dispose()
    if store.cluster is not None:
        store.execute(f'GRANT SELECT, INSERT ON ledger_leaf TO "{APP}"')
    world = World(tmp_path, store=store)
    with pytest.raises(SafehandError) as error:
        world.start()
    assert (error.value.reason, error.value.detail) == (Reason.LEDGER_CORRUPT, guard.MISSING)
    world.writer.close()
    world.engine.dispose()
    with pytest.raises(SafehandError) as again:
        migrate.open_service(store.location, scripts, METADATA)
    assert (again.value.reason, again.value.detail) == (Reason.LEDGER_CORRUPT, guard.MISSING)


def test_a_migration_that_makes_the_triggers_anew_is_taken(store: Database, tmp_path: Path) -> None:
    with_entries(store, tmp_path)
    migrated(store, tree(tmp_path, FIRST, MENDED))
    assert revision(store) == "0002"
    world = World(tmp_path, store=store).start()
    world.append_keys(1)
    for change in ("UPDATE ledger_leaf SET leaf = leaf", "DELETE FROM ledger_leaf"):
        owner = open_engine(store.owner)
        with pytest.raises(DBAPIError, match=guard.MESSAGE), begin_write(owner) as connection:
            connection.execute(text(change))
        owner.dispose()
    with begin_read(world.engine) as connection:
        assert len(connection.execute(select(TABLES.leaf.c.index)).all()) == 4
    world.writer.close()
    world.engine.dispose()
