"""fsck: every column of every table matters, and every rule about the order of entries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind, grant_tag, key_tag
from safehand_ledger.check import fsck
from safehand_ledger.transaction import WriterTransaction
from safehand_store.engine import open_engine

from tests.harness import database, database_owner
from tests.harness.database import sqlite_alone
from tests.ledger.world import DAY, GrantScript, World, key_body

LATER = 10**6
NOTHING = bytes(32)
COLUMNS: dict[str, dict[str, str | bytes | None]] = {
    "ledger_leaf": {"index": '"index" + 1000', "leaf": None},
    "ledger_opening": {
        "index": '"index" + 1000',
        "kind": "kind + 1",
        "salt": NOTHING,
        "body": None,
    },
    "ledger_node": {"level": "level + 10", "index": '"index" + 1000', "hash": NOTHING},
    "ledger_head": {
        "id": "id + 1",
        "size": "size + 1",
        "root": NOTHING,
        "note": "replace(note, '1', '2')",
        "ledger_time": "ledger_time - 1",
    },
}
"""Each column and what it becomes: an expression, other bytes, or (None) its own with a bit
changed."""
KEYS = {
    "ledger_leaf": ("index",),
    "ledger_opening": ("index",),
    "ledger_node": ("level", "index"),
    "ledger_head": ("id",),
}
EVERY = 1 if database.chosen() == database.SQLITE else 5
"""Every row on SQLite, a fifth of them on a server, where putting it back takes much longer."""
TRIGGER = "no_update" if database.chosen() == database.SQLITE else "no_change"


@pytest.fixture
def told(tmp_path: Path) -> Iterator[World]:
    """A ledger with every built kind; its writer is closed."""
    world = World(tmp_path).start()
    world.whole_story()
    world.writer.close()
    world.engine.dispose()
    yield world
    world.close()


def test_a_whole_ledger_has_no_problems(told: World) -> None:
    report = told.fsck()
    assert report.ok
    assert (report.size, report.opened, report.forgotten) == (13, 13, 0)
    assert report.to_json()["ok"] is True


def test_it_works_beside_a_running_writer_and_on_a_read_only_engine(world: World) -> None:
    world.append_keys(3)
    engine = open_engine(world.store.location, read_only=True)
    assert fsck(engine, world.vkey, None, clock=world.clock).ok
    engine.dispose()


def stored(world: World) -> list[list[tuple[Any, ...]]]:
    """Every row of every table."""
    tables = world.store.tables()
    return [world.store.rows(f'SELECT * FROM "{table}"') for table in tables]


def test_it_changes_nothing(told: World) -> None:
    before = stored(told)
    assert told.fsck().ok
    assert stored(told) == before


@sqlite_alone
def test_it_changes_no_byte_of_the_file(told: World) -> None:
    before = told.database.read_bytes()
    assert told.fsck().ok
    assert told.database.read_bytes() == before


def keys_of(world: World, table: str) -> list[tuple[Any, ...]]:
    """The primary key of each row, in order."""
    names = ", ".join(f'"{name}"' for name in KEYS[table])
    return world.store.rows(f"SELECT {names} FROM {table} ORDER BY {names}")


def where(table: str) -> str:
    return " AND ".join(f'"{name}" = ?' for name in KEYS[table])


@pytest.mark.parametrize(
    ("table", "column"), [(table, column) for table in COLUMNS for column in COLUMNS[table]]
)
def test_every_column_changed_in_any_row_is_found(told: World, table: str, column: str) -> None:
    becomes = COLUMNS[table][column]
    put_back = database_owner.keep(told.store)
    keys = keys_of(told, table)
    for row, key in list(enumerate(keys))[::EVERY]:
        with database_owner.tampering(told.store) as owner:
            change = f'UPDATE {table} SET "{column}" = {{}} WHERE {where(table)}'
            if isinstance(becomes, str):
                owner.execute(change.format(becomes), *key)
            else:
                new = becomes
                if new is None:
                    query = f'SELECT "{column}" FROM {table} WHERE {where(table)}'
                    ((old,),) = owner.rows(query, *key)
                    changed = bytearray(old)
                    changed[len(changed) * row // len(keys)] ^= 1
                    new = bytes(changed)
                owner.execute(change.format("?"), new, *key)
        report = told.fsck(anchor=False)
        assert not report.ok, f"row {row}"
        put_back()
    assert told.fsck().ok, "the copy was put back"


@pytest.mark.parametrize("table", ["ledger_leaf", "ledger_node", "ledger_head"])
def test_every_row_that_is_removed_is_found(told: World, table: str) -> None:
    put_back = database_owner.keep(told.store)
    for key in keys_of(told, table)[::EVERY]:
        with database_owner.tampering(told.store) as owner:
            owner.execute(f"DELETE FROM {table} WHERE {where(table)}", *key)
        assert not told.fsck(anchor=False).ok
        put_back()
    assert told.fsck().ok, "the copy was put back"


def test_a_forgotten_body_is_no_problem_and_is_counted(told: World) -> None:
    for row in range(13):
        told.store.execute('DELETE FROM ledger_opening WHERE "index" = ?', row)
        report = told.fsck()
        assert report.ok, report.problems
        assert report.forgotten == row + 1


def test_a_missing_trigger_is_found(told: World) -> None:
    database_owner.drop_trigger(told.store, "ledger_leaf", f"ledger_leaf_{TRIGGER}")
    assert [problem.code for problem in told.fsck().problems] == ["GUARD"]


def test_a_head_from_the_future_is_found(told: World) -> None:
    told.store.execute("UPDATE ledger_head SET ledger_time = ledger_time + 601")
    assert [problem.code for problem in told.fsck().problems] == ["TIME"]


@sqlite_alone
@pytest.mark.parametrize("cut", [0, 100, 4096, 20000])
def test_a_damaged_file_is_a_problem_and_no_traceback(told: World, cut: int) -> None:
    data = told.database.read_bytes()
    told.database.write_bytes(data[:cut] + b"\x55" * 300 + data[cut + 300 :])
    assert not told.fsck().ok


def test_a_file_that_is_not_there_is_said(told: World, tmp_path: Path) -> None:
    with pytest.raises(SafehandError) as refused:
        fsck(tmp_path / "nothing", told.vkey, None)
    assert refused.value.reason is Reason.CONFIG_INVALID
    assert not (tmp_path / "nothing").exists()


def test_another_key_is_found(told: World) -> None:
    other = told.vkey.split("+")[0] + "2"
    from safehand_formats.note import NoteSigner

    vkey = NoteSigner(other, told.key).verifier.vkey
    assert any(
        p.code == "HEAD" for p in fsck(told.store.location, vkey, None, clock=told.clock).problems
    )


# --- the rules: each scenario is appended by the real writer, which knows no rule of order --------


def _codes(world: World) -> set[str]:
    return {problem.code for problem in world.fsck().problems}


def _live(world: World) -> GrantScript:
    script = world.grant()
    script.append(Kind.REFER)
    return script


def _stopped(world: World) -> GrantScript:
    script = _live(world)
    script.append(Kind.STOP)
    return script


def _ended(world: World) -> GrantScript:
    script = _stopped(world)
    script.append(Kind.REVOKE)
    return script


def _wrong_tag(world: World) -> None:
    script = _live(world)
    good = script.operation(Kind.STOP)

    def operate(tx: WriterTransaction) -> int:
        append = tx.append
        tx.append = lambda kind, tag, body: append(kind, bytes(32), body)  # type: ignore[method-assign]
        return good(tx)

    world.submit(operate)


def _key(world: World, sequence: int, tag: int | None = None) -> None:
    place = sequence if tag is None else tag
    world.submit(lambda tx: tx.append(Kind.KEY, key_tag("agency-a", place), key_body(tx, sequence)))


def _key_twice(world: World) -> None:
    _key(world, 0)
    _key(world, 0)


def _revoke_early(world: World) -> None:
    _stopped(world).append(Kind.REVOKE, cause="window")


def _late(kind: Kind) -> Callable[[World], object]:
    def run(world: World) -> None:
        script = _live(world)
        world.clock.advance(90 * DAY)
        world.writer.confirm_clock()
        script.append(kind)

    return run


def _resume_late(world: World) -> None:
    script = _stopped(world)
    world.clock.advance(DAY + 1)
    script.append(Kind.RESUME)


def _skip(kind: Kind) -> Callable[[World], object]:
    def run(world: World) -> None:
        script = _live(world)
        script.counters[kind] += 1
        script.append(kind)

    return run


OTHER: dict[str, Json] = {"manifest": "9" * 64}
IDENTITY: dict[str, Json] = {"category": "NAME", "stage": "identity", "part": 1}
SCENARIOS: dict[str, tuple[str, Callable[[World], object]]] = {
    "disclose after a stop": ("ORDER", lambda w: _stopped(w).append(Kind.DISCLOSE)),
    "refer after a stop": ("ORDER", lambda w: _stopped(w).append(Kind.REFER, **OTHER)),
    "disclose after the end": ("ORDER", lambda w: _ended(w).append(Kind.DISCLOSE)),
    "refer after the end": ("ORDER", lambda w: _ended(w).append(Kind.REFER, **OTHER)),
    "resume after the end": ("ORDER", lambda w: _ended(w).append(Kind.RESUME)),
    "stop after the end": ("ORDER", lambda w: _ended(w).append(Kind.STOP)),
    "end twice": ("ORDER", lambda w: _ended(w).append(Kind.REVOKE)),
    "expire after the end": ("ORDER", lambda w: _ended(w).append(Kind.EXPIRE)),
    "stop twice": ("ORDER", lambda w: _stopped(w).append(Kind.STOP)),
    "resume without a stop": ("ORDER", lambda w: _live(w).append(Kind.RESUME)),
    "revoke without a stop": ("ORDER", lambda w: _live(w).append(Kind.REVOKE, stop_index=0)),
    "revoke another stop": ("ORDER", lambda w: _stopped(w).append(Kind.REVOKE, stop_index=0)),
    "revoke inside the window": ("TIME", _revoke_early),
    "resume after the window": ("TIME", _resume_late),
    "disclose at the expiry": ("TIME", _late(Kind.DISCLOSE)),
    "expire early": ("TIME", lambda w: _live(w).append(Kind.EXPIRE)),
    "expire at another time": (
        "SCOPE",
        lambda w: _live(w).append(Kind.EXPIRE, expires_at=1),
    ),
    "grant twice": (
        "ORDER",
        lambda w: _live(w).append(Kind.GRANT),
    ),
    "grant for too long": (
        "TERM",
        lambda w: GrantScript(w, 77).append(Kind.GRANT, expires_at=2**40, erase_by=2**40),
    ),
    "grant that ended before": (
        "TERM",
        lambda w: GrantScript(w, 77).append(Kind.GRANT, expires_at=1, erase_by=1),
    ),
    "grant to itself": (
        "SCOPE",
        lambda w: GrantScript(w, 77).append(Kind.GRANT, recipient="agency-a"),
    ),
    "no grant": ("ORDER", lambda w: GrantScript(w, 77).append(Kind.STOP)),
    "refer twice": ("ORDER", lambda w: _live(w).append(Kind.REFER)),
    "refer from another sender": (
        "SCOPE",
        lambda w: _live(w).append(Kind.REFER, sender="agency-c", **OTHER),
    ),
    "refer to another recipient": (
        "SCOPE",
        lambda w: _live(w).append(Kind.REFER, recipient="agency-c", **OTHER),
    ),
    "refer for another purpose": (
        "SCOPE",
        lambda w: _live(w).append(Kind.REFER, purpose="legal", **OTHER),
    ),
    "refer more than granted": (
        "SCOPE",
        lambda w: _live(w).append(Kind.REFER, categories=["CARD", "HEALTH"], **OTHER),
    ),
    "refer beyond the grant": (
        "TIME",
        lambda w: _live(w).append(Kind.REFER, not_after=2**40, **OTHER),
    ),
    "refer in the past": ("TIME", lambda w: _live(w).append(Kind.REFER, not_after=1, **OTHER)),
    "disclose without a referral": (
        "ORDER",
        lambda w: _live(w).append(Kind.DISCLOSE, **OTHER),
    ),
    "disclose to another recipient": (
        "SCOPE",
        lambda w: _live(w).append(Kind.DISCLOSE, recipient="agency-c"),
    ),
    "disclose another category": (
        "SCOPE",
        lambda w: _live(w).append(
            Kind.DISCLOSE, category="HEALTH", stage="identity", accept="8" * 64
        ),
    ),
    "disclose a part too many": ("SCOPE", lambda w: _live(w).append(Kind.DISCLOSE, part=2)),
    "identity before acceptance": (
        "ORDER",
        lambda w: _live(w).append(Kind.DISCLOSE, **IDENTITY),
    ),
    "identity dressed as card": (
        "SCOPE",
        lambda w: _live(w).append(Kind.DISCLOSE, **{**IDENTITY, "stage": "card"}),
    ),
    "a gap in the stops": ("COUNTER", _skip(Kind.STOP)),
    "a gap in the looks": ("COUNTER", _skip(Kind.DISCLOSE)),
    "a repeat in the looks": (
        "COUNTER",
        lambda w: (
            (s := _live(w)).append(Kind.DISCLOSE)
            and s.append(Kind.DISCLOSE, counter=0, request="7" * 64)
        ),
    ),
    "one request, two looks": (
        "ORDER",
        lambda w: (
            (s := _live(w)).append(Kind.DISCLOSE, request="7" * 64)
            and s.append(Kind.DISCLOSE, request="7" * 64)
        ),
    ),
    "one part, two categories": (
        "SCOPE",
        lambda w: (
            (s := _live(w)).append(Kind.DISCLOSE)
            and s.append(Kind.DISCLOSE, **{**IDENTITY, "part": 0, "accept": "8" * 64})
        ),
    ),
    "a tag of nobody": ("TAG", _wrong_tag),
    "a key's tag of another place": ("TAG", lambda w: _key(w, 0, 1)),
    "a gap in the keys": ("COUNTER", lambda w: _key(w, 1)),
    "a key twice": ("COUNTER", _key_twice),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_rule_of_the_order_is_checked(world: World, name: str) -> None:
    code, scenario = SCENARIOS[name]
    scenario(world)
    assert code in _codes(world)


def test_entries_between_a_resume_and_the_next_stop_are_lawful(world: World) -> None:
    script = _stopped(world)
    script.append(Kind.RESUME)
    script.append(Kind.DISCLOSE)
    world.clock.advance(DAY)
    script.append(Kind.STOP)
    world.clock.advance(DAY)
    script.append(Kind.REVOKE, cause="window")
    world.check_log(7)


def test_time_that_runs_backwards_in_the_bodies_is_found(world: World) -> None:
    world.clock.advance(100)
    world.append_keys(1)
    world.writer._guard._now = 0
    world.clock.jump_wall(-50)
    world.append_keys(1)
    world.clock.jump_wall(50)
    assert _codes(world) == {"TIME"}


def test_tags_are_believed_where_no_secret_is_given(world: World) -> None:
    _wrong_tag(world)
    assert fsck(world.store.location, world.vkey, world.anchor, clock=world.clock).ok
    assert grant_tag(Kind.STOP, bytes(32), 0) != bytes(32)


def test_a_forgotten_resume_excuses_nothing_after_a_later_stop(world: World) -> None:
    other = _stopped(world)
    other.append(Kind.RESUME)
    script = _stopped(world)
    script.append(Kind.DISCLOSE)
    world.store.execute('DELETE FROM ledger_opening WHERE "index" = 3')
    assert _codes(world) == {"ORDER"}
