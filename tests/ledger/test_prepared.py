"""Prepared statements say the same as the statements that they were made of."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from safehand_store.engine import begin_read, begin_write, open_engine
from safehand_store.prepared import Prepared
from sqlalchemy import (
    Column,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    null,
    select,
    update,
)

METADATA = MetaData()
THING = Table(
    "thing",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("data", LargeBinary),
)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = open_engine(tmp_path / "test.sqlite3")
    with begin_write(made) as connection:
        METADATA.create_all(connection)
    yield made
    made.dispose()


def test_insert_and_select_by_name(engine: Engine) -> None:
    put = Prepared(insert(THING))
    some = Prepared(insert(THING), columns=["name"])
    one = Prepared(select(THING).where(THING.c.id == bindparam("wanted")))
    every = Prepared(select(THING.c.name).order_by(THING.c.name).limit(bindparam("most")))
    with begin_write(engine) as connection:
        assert put.run(connection, name="b", data=b"\x00", id=7) == 1
        put.run_many(connection, [{"id": n, "name": f"a{n}", "data": None} for n in (1, 2)])
        some.run(connection, name="c")
    with begin_read(engine) as connection:
        row = one.first(connection, wanted=7)
        assert (row.id, row.name, row.data) == (7, "b", b"\x00")
        assert one.first(connection, wanted=99) is None
        assert one.scalar(connection, wanted=7) == 7
        assert one.scalar(connection, wanted=99) is None
        assert [row.name for row in every.all(connection, most=3)] == ["a1", "a2", "b"]


def test_values_of_the_statement_itself_stay(engine: Engine) -> None:
    rename = Prepared(
        update(THING)
        .where(THING.c.id == bindparam("wanted"))
        .values(name="fixed", data=null())
        .returning(THING.c.name)
    )
    gone = Prepared(delete(THING).where(THING.c.name == "fixed"))
    with begin_write(engine) as connection:
        Prepared(insert(THING)).run(connection, id=1, name="a", data=b"x")
        assert rename.scalar(connection, wanted=1) == "fixed"
        assert connection.execute(select(THING.c.name, THING.c.data)).one() == ("fixed", None)
        assert gone.run(connection) == 1


def test_it_runs_in_the_callers_transaction(engine: Engine) -> None:
    put = Prepared(insert(THING))

    def twice() -> None:
        with begin_write(engine) as connection:
            put.run(connection, id=1, name="a", data=None)
            put.run(connection, id=1, name="again", data=None)

    with pytest.raises(sqlite3.IntegrityError):
        twice()
    with begin_read(engine) as connection:
        assert Prepared(select(THING.c.id)).all(connection) == []


def test_a_missing_parameter_is_an_error_and_not_a_null(engine: Engine) -> None:
    with begin_write(engine) as connection, pytest.raises(KeyError):
        Prepared(insert(THING)).run(connection, id=1, name="a")
