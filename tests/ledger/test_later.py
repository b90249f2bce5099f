"""Rows that are put off to the end of a transaction: there when they are asked for, gone with the
operation that put them off, and never in the way of another one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind, key_tag
from safehand_ledger.transaction import WriterTransaction
from safehand_store import idempotency
from safehand_store.columns import Whole
from safehand_store.engine import begin_write
from safehand_store.later import SHAPES, Later, ManyRows
from sqlalchemy import Column, MetaData, Table, Text, text

from tests.harness.world import eventually
from tests.ledger.world import World, key_body

MINE = Table("mine", MetaData(), Column("n", Whole, primary_key=True), Column("word", Text))
ROWS = ManyRows(MINE, key=1)
COUNT = text("SELECT count(*) FROM mine")
DUPLICATE = ("IntegrityError", "UniqueViolation")


@pytest.fixture
def mine(world: World) -> World:
    world.store.add_table("mine", "n INTEGER PRIMARY KEY, word TEXT")
    return world


def stored(world: World) -> list[tuple[Any, ...]]:
    return world.store.rows("SELECT n, word FROM mine ORDER BY n")


def _waiting(world: World, count: int) -> bool:
    return world.writer.waiting == (0, count)


def together(world: World, operations: Sequence[Callable[[WriterTransaction], Any]]) -> list[Any]:
    """Submit all of them for one transaction; what each returned, or the error that it got."""
    inside, go = threading.Event(), threading.Event()

    def hold(_: WriterTransaction) -> None:
        inside.set()
        assert go.wait(20)

    outcomes: list[Any] = [None] * len(operations)

    def submit(place: int) -> None:
        try:
            outcomes[place] = world.writer.submit(operations[place]).value
        except Exception as error:
            outcomes[place] = error

    holder = threading.Thread(target=lambda: world.writer.submit(hold))
    holder.start()
    assert inside.wait(20)
    threads = []
    for place in range(len(operations)):
        thread = threading.Thread(target=submit, args=(place,))
        thread.start()
        threads.append(thread)
        # One after another, so that their order is known.
        eventually(partial(_waiting, world, place + 1), "it waits for the writer")
    go.set()
    for thread in [holder, *threads]:
        thread.join()
    return outcomes


@pytest.mark.parametrize("count", [0, 1, 2, 9, max(SHAPES), max(SHAPES) * 2 + 7])
def test_many_rows_are_all_there_in_their_order(mine: World, count: int) -> None:
    rows = [(n, None if n % 3 else f"w{n}") for n in range(count)]
    with begin_write(mine.engine) as connection:
        ROWS.insert(connection, rows)
    assert stored(mine) == rows


def test_a_row_that_was_put_off_is_found_before_it_is_written(mine: World) -> None:
    later = Later()
    later.add(ROWS, 1, "one")
    with begin_write(mine.engine) as connection:
        assert connection.execute(COUNT).scalar_one() == 0
        assert later.find(ROWS, 1) == (1, "one")
        assert later.find(ROWS, 2) is None
        later.write(connection)
        later.write(connection)
        assert later.find(ROWS, 1) == (1, "one")
    assert stored(mine) == [(1, "one")]


def test_what_was_put_off_behind_a_savepoint_goes_with_it(mine: World) -> None:
    later = Later()
    with begin_write(mine.engine) as connection:
        later.add(ROWS, 1, "before")
        mark = later.mark()
        savepoint = connection.begin_nested()
        later.add(ROWS, 2, "inside")
        later.write(connection)
        savepoint.rollback()
        later.undo(mark)
        assert later.find(ROWS, 2) is None
        later.add(ROWS, 3, "behind")
        later.write(connection)
    assert stored(mine) == [(1, "before"), (3, "behind")]


def test_a_transaction_writes_what_its_operations_put_off(mine: World) -> None:
    def operation(number: int) -> Callable[[WriterTransaction], int]:
        def run(tx: WriterTransaction) -> int:
            tx.later.add(ROWS, number, f"w{number}")
            return tx.append(Kind.KEY, key_tag("agency-a", number), key_body(tx, number))

        return run

    assert together(mine, [operation(n) for n in range(10)]) == list(range(10))
    assert stored(mine) == [(n, f"w{n}") for n in range(10)]
    mine.check_log(10)


def test_an_operation_sees_what_others_put_off_before_it(mine: World) -> None:
    def look(tx: WriterTransaction) -> int:
        return int(tx.connection.execute(COUNT).scalar_one())

    assert together(mine, [lambda tx: tx.later.add(ROWS, 1, "one"), look]) == [None, 1]


def test_a_refusal_that_changed_nothing_runs_nobody_twice(mine: World) -> None:
    ran: list[int] = []

    def operation(number: int) -> Callable[[WriterTransaction], None]:
        def run(tx: WriterTransaction) -> None:
            ran.append(number)
            tx.later.add(ROWS, number, "w")
            if number == 1:
                raise SafehandError(Reason.CONSENT_ENDED)

        return run

    outcomes = together(mine, [operation(n) for n in range(3)])
    assert isinstance(outcomes[1], SafehandError)
    assert [row[0] for row in stored(mine)] == [0, 2]
    if mine.engine.dialect.name == "sqlite":
        assert ran == [0, 1, 2]


def test_a_refusal_that_changed_something_is_undone_alone(mine: World) -> None:
    def refused(tx: WriterTransaction) -> None:
        # Asks for the others' rows to be written, changes something, and goes.
        tx.connection.execute(text("INSERT INTO mine VALUES (7, 'gone')"))
        tx.later.add(ROWS, 8, "gone")
        raise SafehandError(Reason.CONSENT_ENDED)

    def put(number: int) -> Callable[[WriterTransaction], None]:
        return lambda tx: tx.later.add(ROWS, number, "stays")

    for begin in (0, 10):  # the second time the writer is careful from the start
        outcomes = together(mine, [put(begin + 1), refused, put(begin + 2)])
        assert [type(one) for one in outcomes] == [type(None), SafehandError, type(None)]
    assert stored(mine) == [(n, "stays") for n in (1, 2, 11, 12)]


def test_a_row_that_cannot_be_inserted_is_its_operations_error_alone(mine: World) -> None:
    def put(number: int, word: str) -> Callable[[WriterTransaction], None]:
        return lambda tx: tx.later.add(ROWS, number, word)

    outcomes = together(mine, [put(1, "first"), put(1, "again"), put(2, "other")])
    assert [outcomes[0], outcomes[2]] == [None, None]
    assert type(outcomes[1]).__name__ in DUPLICATE
    assert stored(mine) == [(1, "first"), (2, "other")]


def test_whoever_has_the_others_rows_written_is_not_blamed_for_them(mine: World) -> None:
    def put(tx: WriterTransaction) -> None:
        tx.later.add(ROWS, 1, "w")

    def look(tx: WriterTransaction) -> int:
        return int(tx.connection.execute(COUNT).scalar_one())

    outcomes = together(mine, [put, put, look])
    assert (outcomes[0], outcomes[2]) == (None, 1)
    assert type(outcomes[1]).__name__ in DUPLICATE
    assert stored(mine) == [(1, "w")]


def test_a_row_that_no_database_takes_ends_nothing_but_its_operation(mine: World) -> None:
    def put(number: int) -> Callable[[WriterTransaction], None]:
        return lambda tx: tx.later.add(ROWS, number, "w")

    # The drivers name it otherwise; SQLite's does not even call it an error of a database.
    outcomes = together(mine, [put(1), put(2**70), put(2)])
    assert [outcomes[0], outcomes[2]] == [None, None]
    assert isinstance(outcomes[1], Exception)
    assert stored(mine) == [(1, "w"), (2, "w")]


def test_a_row_that_cannot_be_inserted_is_the_same_error_for_one_alone(mine: World) -> None:
    mine.writer.submit(lambda tx: tx.later.add(ROWS, 1, "first"))
    (outcome,) = together(mine, [lambda tx: tx.later.add(ROWS, 1, "again")])
    assert type(outcome).__name__ in DUPLICATE
    mine.writer.submit(lambda tx: tx.later.add(ROWS, 2, "other"))
    assert stored(mine) == [(1, "first"), (2, "other")]


def test_what_ran_twice_is_there_once(mine: World) -> None:
    ran: list[int] = []

    def operation(number: int) -> Callable[[WriterTransaction], int]:
        def run(tx: WriterTransaction) -> int:
            ran.append(number)
            tx.later.add(ROWS, number, "w")
            return tx.append(Kind.KEY, key_tag("agency-a", number), key_body(tx, number))

        return run

    def refused(tx: WriterTransaction) -> None:
        operation(9)(tx)
        tx.connection.execute(COUNT)
        raise SafehandError(Reason.CONSENT_ENDED)

    outcomes = together(mine, [operation(0), refused, operation(1), operation(2)])
    assert ran.count(0) == 2, "it was run again"
    assert [outcomes[0], *outcomes[2:]] == [0, 1, 2]
    assert isinstance(outcomes[1], SafehandError)
    assert [row[0] for row in stored(mine)] == [0, 1, 2]
    mine.check_log(3)


def test_of_two_rows_of_one_name_the_first_is_found(mine: World) -> None:
    later = Later()
    later.add(ROWS, 1, "first")
    mark = later.mark()
    later.add(ROWS, 1, "again")
    later.add(ROWS, 1, "once more")
    assert later.find(ROWS, 1) == (1, "first")
    later.undo(mark)
    assert later.find(ROWS, 1) == (1, "first")


def test_a_repeat_within_one_transaction_gets_the_first_answer(world: World) -> None:
    blob = "BLOB" if world.engine.dialect.name == "sqlite" else "bytea"
    columns = "caller TEXT, method TEXT, request_id TEXT"
    rest = f"request_hash {blob}, result {blob}, at INTEGER, PRIMARY KEY (caller, request_id)"
    world.store.add_table(idempotency.TABLE_NAME, f"{columns}, {rest}")
    who = ("agency-a", "Stop", "1b4e28ba-2fa1-11d2-883f-0016d3cca427")
    first, other = idempotency.hash_request(b"one"), idempotency.hash_request(b"two")

    def request(hashed: bytes) -> Callable[[WriterTransaction], Any]:
        def run(tx: WriterTransaction) -> Any:
            found = idempotency.lookup(tx.hot, *who, hashed, later=tx.later)
            if found is None:
                found = {"index": tx.append(Kind.KEY, key_tag("agency-a", 0), key_body(tx, 0))}
                idempotency.remember_later(tx.later, *who, hashed, found, at=tx.now)
            return found

        return run

    outcomes = together(world, [request(first), request(first), request(other)])
    assert outcomes[:2] == [{"index": 0}, {"index": 0}]
    assert outcomes[2].reason is Reason.REQUEST_ID_REUSED
    assert together(world, [request(first)]) == [{"index": 0}]
    world.check_log(1)


def test_a_request_is_not_answered_twice(world: World) -> None:
    later, who = Later(), ("agency-a", "Stop", "1b4e28ba-2fa1-11d2-883f-0016d3cca427")
    hashed = idempotency.hash_request(b"one")
    idempotency.remember_later(later, *who, hashed, {"index": 1}, at=1)
    with pytest.raises(SafehandError) as refused:
        idempotency.remember_later(later, *who, hashed, {"index": 2}, at=1)
    assert refused.value.reason is Reason.INTERNAL
    with pytest.raises(SafehandError) as large:
        idempotency.remember_later(later, "other", *who[1:], hashed, {"b": "x" * 2000}, at=1)
    assert large.value.reason is Reason.TOO_LARGE
