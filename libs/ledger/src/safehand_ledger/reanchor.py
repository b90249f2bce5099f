"""Make a new anchor for a ledger whose anchor is lost: an operator's decision, never automatic."""

from __future__ import annotations

from pathlib import Path

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_store.engine import open_engine
from safehand_store.location import Location

from safehand_ledger import anchor
from safehand_ledger.fsck import fsck
from safehand_ledger.reader import LedgerReader


def reanchor(database: Location, anchor_path: Path, vkey: str) -> int:
    """Write the anchor file of ``database`` anew, after a whole fsck; returns the size in it.

    It gives up what the old anchor knew, so it refuses while one is there, readable or not.
    Raises CONFIG_INVALID, or LEDGER_CORRUPT when fsck finds anything.
    """
    if anchor_path.exists():
        raise SafehandError(Reason.CONFIG_INVALID, "there is an anchor file")
    if not fsck(database, vkey, None).ok:
        raise SafehandError(Reason.LEDGER_CORRUPT, "fsck finds problems")
    engine = open_engine(database, read_only=True)
    try:
        head = LedgerReader(engine).head()
    finally:
        engine.dispose()
    anchor.create(anchor_path, head.note)
    return head.size
