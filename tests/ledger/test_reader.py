"""The reader: snapshots, receipts of any entry, and proofs between any two sizes."""

from __future__ import annotations

from pathlib import Path

import pytest
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import merkle
from safehand_formats.checkpoint import open_checkpoint
from safehand_formats.leaf import Leaf
from safehand_ledger import stored, tables
from safehand_ledger.check import verify
from safehand_ledger.reader import LedgerReader
from safehand_ledger.tables import TABLES
from safehand_store.engine import begin_read, begin_write, open_engine
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.ledger.world import World, naive_root


def test_every_entry_has_a_receipt_under_the_newest_head(world: World) -> None:
    world.append_keys(21)
    reader = LedgerReader(world.engine)
    for index in range(21):
        receipt = reader.receipt(index)
        assert verify(receipt.proof, receipt.leaf, world.vkey).size == 21
        assert receipt.opening is not None
        receipt.opening.require_match(Leaf.decode(receipt.leaf))
    for index in (-1, 21):
        with pytest.raises(SafehandError) as refused:
            reader.receipt(index)
        assert refused.value.reason is Reason.NOT_FOUND


def test_any_two_sizes_are_consistent(world: World) -> None:
    world.append_keys(17)
    reader = LedgerReader(world.engine)
    leaves = [leaf for _, leaf in reader.leaves()]
    for first in range(1, 18):
        for second in range(first, 18):
            merkle.verify_consistency(
                first,
                second,
                reader.consistency(first, second),
                naive_root(leaves[:first]),
                naive_root(leaves[:second]),
            )
    for sizes in ((0, 1), (2, 1), (1, 18)):
        with pytest.raises(SafehandError) as refused:
            reader.consistency(*sizes)
        assert refused.value.reason is Reason.MALFORMED


def test_leaves_come_in_pages(world: World) -> None:
    world.append_keys(5)
    reader = LedgerReader(world.engine)
    assert [index for index, _ in reader.leaves(limit=2)] == [0, 1]
    assert [index for index, _ in reader.leaves(after=1, limit=2)] == [2, 3]
    assert reader.leaves(after=4) == []


def test_it_reads_through_an_engine_that_cannot_write(world: World) -> None:
    world.append_keys(2)
    engine = open_engine(world.store.location, read_only=True)
    reader = LedgerReader(engine)
    assert open_checkpoint(reader.checkpoint_note(), world.signer.verifier).size == 2
    assert reader.opening(1) is not None
    assert reader.opening(2) is None
    with pytest.raises(SafehandError) as refused, begin_write(engine):
        pass
    assert refused.value.reason is Reason.CONFIG_INVALID
    with pytest.raises((DBAPIError, SafehandError)), begin_read(engine) as connection:
        connection.execute(text("DELETE FROM ledger_opening"))
    engine.dispose()


def test_a_ledger_that_never_started_says_so(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "db")
    with begin_write(engine) as connection:
        tables.create(connection)
    with pytest.raises(SafehandError) as refused:
        LedgerReader(engine).head()
    assert refused.value.reason is Reason.UNAVAILABLE
    engine.dispose()


def test_a_receipts_forgotten_body_is_said(world: World) -> None:
    world.append_keys(1)
    with begin_write(world.engine) as connection:
        connection.execute(TABLES.opening.delete())
    receipt = LedgerReader(world.engine).receipt(0)
    assert receipt.opening is None
    for read in (lambda: receipt.salt, lambda: receipt.body):
        with pytest.raises(SafehandError) as refused:
            read()
        assert refused.value.reason is Reason.NOT_FOUND


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
def test_a_proof_asks_the_node_table_by_its_key(world: World) -> None:
    world.append_keys(1)
    with begin_read(world.engine) as connection:
        plan = connection.execute(
            text("EXPLAIN QUERY PLAN " + stored._SELECT_NODE.sql.replace("?", "1"))
        ).all()
    assert any("SEARCH ledger_node USING PRIMARY KEY" in row[3] for row in plan), plan
