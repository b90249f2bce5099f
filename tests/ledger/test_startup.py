"""A ledger that is behind what it has shown, or not what was signed, does not start."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.checkpoint import Checkpoint
from safehand_formats.note import NoteSigner
from safehand_ledger import anchor
from safehand_ledger.anchor import SLOT_BYTES, AnchorFile
from safehand_ledger.check import reanchor

from tests.ledger.world import World


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[World]:
    """A ledger of seven entries whose writer is closed."""
    world = World(tmp_path, engine="sqlite").start()
    world.append_keys(7)
    world.writer.close()
    world.engine.dispose()
    yield world
    world.close()


@contextmanager
def tampering(world: World) -> Iterator[sqlite3.Connection]:
    """The database in the hands of its owner: no trigger stands in the way."""
    raw = sqlite3.connect(world.database)
    saved = raw.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in saved:
        raw.execute(f'DROP TRIGGER "{name}"')
    yield raw
    for _, sql in saved:
        raw.execute(sql)
    raw.commit()
    raw.close()


def refused_start(world: World) -> Reason:
    with pytest.raises(SafehandError) as refused:
        world.start()
    return refused.value.reason


def snapshot(world: World, to: Path) -> None:
    shutil.copytree(world.database.parent, to)


def restore(world: World, source: Path) -> None:
    world.engine.dispose()
    shutil.rmtree(world.database.parent)
    shutil.copytree(source, world.database.parent)


def test_what_was_left_whole_starts_again(stopped: World) -> None:
    stopped.start()
    stopped.append_keys(1)
    stopped.check_log(8)


def test_an_old_copy_of_the_database_does_not_start(stopped: World, tmp_path: Path) -> None:
    snapshot(stopped, tmp_path / "old")
    stopped.start()
    stopped.append_keys(1)
    stopped.writer.close()
    restore(stopped, tmp_path / "old")
    assert refused_start(stopped) is Reason.LEDGER_ROLLED_BACK
    assert any(p.code == "LEDGER_ROLLED_BACK" for p in stopped.fsck().problems)


def test_an_old_copy_that_went_its_own_way_does_not_start(stopped: World, tmp_path: Path) -> None:
    snapshot(stopped, tmp_path / "old")
    stopped.start()
    stopped.append_keys(1)
    stopped.writer.close()
    shutil.copy(stopped.anchor, tmp_path / "kept")
    restore(stopped, tmp_path / "old")
    stopped.anchor.unlink()
    reanchor(stopped.database, stopped.anchor, stopped.vkey)
    stopped.start()
    stopped.append_keys(3)
    stopped.writer.close()
    shutil.copy(tmp_path / "kept", stopped.anchor)
    assert refused_start(stopped) is Reason.LEDGER_ROLLED_BACK


def test_a_new_database_beside_an_old_anchor_does_not_start(stopped: World, tmp_path: Path) -> None:
    fresh = World(tmp_path / "fresh", engine="sqlite")
    fresh.anchor = stopped.anchor
    assert refused_start(fresh) is Reason.LEDGER_ROLLED_BACK
    fresh.engine.dispose()


def test_a_missing_anchor_is_not_an_answer(stopped: World) -> None:
    stopped.anchor.unlink()
    assert refused_start(stopped) is Reason.LEDGER_ROLLED_BACK
    assert reanchor(stopped.database, stopped.anchor, stopped.vkey) == 7
    stopped.start()
    with pytest.raises(SafehandError):
        reanchor(stopped.database, stopped.anchor, stopped.vkey)


@pytest.mark.parametrize("content", [b"", b"junk", b"\xff" * 9000, b"\x00" * 8192])
def test_an_anchor_that_is_none_does_not_start(stopped: World, content: bytes) -> None:
    stopped.anchor.write_bytes(content)
    assert refused_start(stopped) is Reason.LEDGER_CORRUPT


def test_an_anchor_of_another_ledger_does_not_start(stopped: World) -> None:
    other = NoteSigner(stopped.signer.name, Ed25519PrivateKey.from_private_bytes(b"\x08" * 32))
    anchor.create(stopped.anchor, Checkpoint(other.name, 1, bytes(32)).sign(other))
    assert refused_start(stopped) is Reason.LEDGER_CORRUPT


def test_another_key_does_not_take_over_a_ledger(stopped: World) -> None:
    stopped.signer = NoteSigner(
        stopped.signer.name, Ed25519PrivateKey.from_private_bytes(b"\x08" * 32)
    )
    assert refused_start(stopped) is Reason.LEDGER_CORRUPT


@pytest.mark.parametrize(
    "change",
    [
        'DELETE FROM ledger_leaf WHERE "index" = 6',
        'UPDATE ledger_leaf SET leaf = zeroblob(104) WHERE "index" = 6',
        "UPDATE ledger_node SET hash = zeroblob(32) WHERE level = 2",
        'UPDATE ledger_node SET hash = zeroblob(32) WHERE level = 0 AND "index" = 6',
        "DELETE FROM ledger_node",
        "DELETE FROM ledger_head",
        "UPDATE ledger_head SET size = 6",
        "UPDATE ledger_head SET root = zeroblob(32)",
        "UPDATE ledger_head SET note = 'x'",
        'UPDATE ledger_opening SET "index" = 9 WHERE "index" = 6',
        "INSERT INTO ledger_leaf VALUES (7, zeroblob(104))",
        "ALTER TABLE ledger_node RENAME TO elsewhere",
    ],
)
def test_tables_that_do_not_agree_with_the_head_do_not_start(stopped: World, change: str) -> None:
    with tampering(stopped) as raw:
        raw.execute(change)
        if "RENAME" in change:
            raw.execute("ALTER TABLE elsewhere RENAME TO ledger_node")
            raw.execute("DROP TABLE ledger_node")
            raw.execute("CREATE TABLE ledger_node (other INTEGER) STRICT")
    assert refused_start(stopped) is Reason.LEDGER_CORRUPT


@pytest.mark.parametrize("table", ["ledger_leaf", "ledger_node"])
@pytest.mark.parametrize("what", ["update", "delete", "replace"])
def test_a_missing_trigger_does_not_start(stopped: World, table: str, what: str) -> None:
    raw = sqlite3.connect(stopped.database)
    raw.execute(f"DROP TRIGGER {table}_no_{what}")
    raw.commit()
    assert refused_start(stopped) is Reason.LEDGER_CORRUPT
    raw.execute(f"CREATE TRIGGER {table}_no_{what} BEFORE UPDATE ON {table} BEGIN SELECT 1; END")
    raw.commit()
    raw.close()
    assert refused_start(stopped) is Reason.LEDGER_CORRUPT


def test_a_refused_start_lets_go_of_the_lock(stopped: World) -> None:
    kept = stopped.anchor.read_bytes()
    stopped.anchor.write_bytes(b"")
    refused_start(stopped)
    stopped.anchor.write_bytes(kept)
    stopped.start()


def test_a_torn_slot_leaves_the_head_before_it(stopped: World) -> None:
    stopped.start()
    verifier = stopped.signer.verifier
    whole = stopped.anchor.read_bytes()
    heads = [anchor.read(stopped.anchor, verifier)]
    for slot in range(2):
        torn = bytearray(whole)
        torn[slot * SLOT_BYTES + 60 : (slot + 1) * SLOT_BYTES] = b"\xff" * (SLOT_BYTES - 60)
        stopped.anchor.write_bytes(bytes(torn))
        heads.append(anchor.read(stopped.anchor, verifier))
    assert [head.size if head else None for head in heads].count(7) == 2


def test_the_anchor_never_goes_back(tmp_path: Path, stopped: World) -> None:
    signer = stopped.signer

    def note(size: int) -> str:
        return Checkpoint(signer.name, size, bytes([size]) * 32).sign(signer)

    path = tmp_path / "other"
    anchor.create(path, note(5))
    file = AnchorFile(path, signer.verifier)
    for size, expected in ((3, 5), (6, 6), (5, 6), (9, 9), (8, 9), (10, 10)):
        file.write(size, note(size))
        head = anchor.read(path, signer.verifier)
        assert head is not None
        assert head.size == file.size == expected
    file.close()
    reopened = AnchorFile(path, signer.verifier)
    reopened.write(11, note(11))
    reopened.close()
    assert path.stat().st_mode & 0o777 == 0o600
    sizes = {head.size for head in anchor._slots(path.read_bytes(), signer.verifier) if head}
    assert sizes == {10, 11}


@pytest.mark.parametrize("how", ["replaced", "taken away"])
def test_an_anchor_that_is_another_file_now_holds_nothing(
    tmp_path: Path, stopped: World, how: str
) -> None:
    """A head in a file that nobody will read is not anchored, and is not called so."""
    signer = stopped.signer
    path = tmp_path / "moved"

    def note(size: int) -> str:
        return Checkpoint(signer.name, size, bytes(32)).sign(signer)

    anchor.create(path, note(5))
    file = AnchorFile(path, signer.verifier)
    if how == "replaced":
        anchor.create(path, note(8))
    else:
        path.unlink()
    with pytest.raises(OSError, match=r"another file|No such file"):
        file.write(9, note(9))
    assert file.size == 5
    file.close()
    seen = anchor.read(path, signer.verifier)
    assert (seen and seen.size) == (8 if how == "replaced" else None)
