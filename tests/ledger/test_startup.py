"""A ledger that is behind what it has shown, or not what was signed, does not start."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
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

from tests.harness import database, database_owner
from tests.ledger.world import World

TRIGGERS = (
    ("no_update", "no_delete", "no_replace")
    if database.chosen() == database.SQLITE
    else ("no_change", "no_truncate")
)


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[World]:
    """A ledger of seven entries whose writer is closed."""
    world = World(tmp_path).start()
    world.append_keys(7)
    world.writer.close()
    world.engine.dispose()
    yield world
    world.close()


def refused_start(world: World) -> Reason:
    with pytest.raises(SafehandError) as refused:
        world.start()
    return refused.value.reason


def test_what_was_left_whole_starts_again(stopped: World) -> None:
    stopped.start()
    stopped.append_keys(1)
    stopped.check_log(8)


def test_an_old_copy_of_the_database_does_not_start(stopped: World, tmp_path: Path) -> None:
    old = database_owner.copy(stopped.store, tmp_path / "old")
    stopped.start()
    stopped.append_keys(1)
    stopped.writer.close()
    stopped.engine.dispose()
    old.put_back()
    assert refused_start(stopped) is Reason.LEDGER_ROLLED_BACK
    assert any(p.code == "LEDGER_ROLLED_BACK" for p in stopped.fsck().problems)


def test_an_old_copy_that_went_its_own_way_does_not_start(stopped: World, tmp_path: Path) -> None:
    old = database_owner.copy(stopped.store, tmp_path / "old")
    stopped.start()
    stopped.append_keys(1)
    stopped.writer.close()
    shutil.copy(stopped.anchor, tmp_path / "kept")
    stopped.engine.dispose()
    old.put_back()
    stopped.anchor.unlink()
    reanchor(stopped.store.location, stopped.anchor, stopped.vkey)
    stopped.start()
    stopped.append_keys(3)
    stopped.writer.close()
    shutil.copy(tmp_path / "kept", stopped.anchor)
    assert refused_start(stopped) is Reason.LEDGER_ROLLED_BACK


def test_a_new_database_beside_an_old_anchor_does_not_start(stopped: World, tmp_path: Path) -> None:
    fresh = World(tmp_path / "fresh")
    fresh.anchor = stopped.anchor
    assert refused_start(fresh) is Reason.LEDGER_ROLLED_BACK
    fresh.close()


def test_a_missing_anchor_is_not_an_answer(stopped: World) -> None:
    stopped.anchor.unlink()
    assert refused_start(stopped) is Reason.LEDGER_ROLLED_BACK
    assert reanchor(stopped.store.location, stopped.anchor, stopped.vkey) == 7
    stopped.start()
    with pytest.raises(SafehandError):
        reanchor(stopped.store.location, stopped.anchor, stopped.vkey)


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


NOTHING = bytes(32)
CHANGES: dict[str, tuple[str, tuple[bytes, ...]]] = {
    "the last leaf is gone": ('DELETE FROM ledger_leaf WHERE "index" = 6', ()),
    "the last leaf is another": (
        'UPDATE ledger_leaf SET leaf = ? WHERE "index" = 6',
        (bytes(104),),
    ),
    "a subtree is another": ("UPDATE ledger_node SET hash = ? WHERE level = 2", (NOTHING,)),
    "the last hash is another": (
        'UPDATE ledger_node SET hash = ? WHERE level = 0 AND "index" = 6',
        (NOTHING,),
    ),
    "no subtrees": ("DELETE FROM ledger_node", ()),
    "no head": ("DELETE FROM ledger_head", ()),
    "another size": ("UPDATE ledger_head SET size = 6", ()),
    "another root": ("UPDATE ledger_head SET root = ?", (NOTHING,)),
    "another note": ("UPDATE ledger_head SET note = 'x'", ()),
    "an opening of nothing": (
        'UPDATE ledger_opening SET "index" = 9 WHERE "index" = 6',
        (),
    ),
    "a leaf too many": ("INSERT INTO ledger_leaf VALUES (7, ?)", (bytes(104),)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_tables_that_do_not_agree_with_the_head_do_not_start(stopped: World, change: str) -> None:
    with database_owner.tampering(stopped.store) as owner:
        sql, values = CHANGES[change]
        owner.execute(sql, *values)
    assert refused_start(stopped) is Reason.LEDGER_CORRUPT


def test_a_table_of_another_form_does_not_start(stopped: World) -> None:
    with database_owner.tampering(stopped.store) as owner:
        database_owner.replace_table(owner, stopped.store, "ledger_node", "other INTEGER")
    assert refused_start(stopped) is Reason.LEDGER_CORRUPT


@pytest.mark.parametrize("table", ["ledger_leaf", "ledger_node"])
@pytest.mark.parametrize("what", TRIGGERS)
def test_a_missing_trigger_does_not_start(stopped: World, table: str, what: str) -> None:
    database_owner.drop_trigger(stopped.store, table, f"{table}_{what}")
    assert refused_start(stopped) is Reason.LEDGER_CORRUPT
    database_owner.fake_trigger(stopped.store, table, f"{table}_{what}")
    assert refused_start(stopped) is Reason.LEDGER_CORRUPT


def test_a_refused_start_lets_go_of_the_lock(stopped: World) -> None:
    kept = stopped.anchor.read_bytes()
    stopped.anchor.write_bytes(b"")
    refused_start(stopped)
    stopped.anchor.write_bytes(kept)
    stopped.start()


def test_a_torn_slot_leaves_the_head_before_it(stopped: World) -> None:
    stopped.start()
    stopped.append_keys(1)
    stopped.writer.close()
    verifier = stopped.signer.verifier
    whole = stopped.anchor.read_bytes()
    heads = [anchor.read(stopped.anchor, verifier)]
    for slot in range(2):
        torn = bytearray(whole)
        torn[slot * SLOT_BYTES + 60 : (slot + 1) * SLOT_BYTES] = b"\xff" * (SLOT_BYTES - 60)
        stopped.anchor.write_bytes(bytes(torn))
        heads.append(anchor.read(stopped.anchor, verifier))
    assert sorted(head.size if head else 0 for head in heads) == [7, 8, 8]


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
