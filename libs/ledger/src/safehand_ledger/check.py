"""Everything that can be checked offline, in one place for the command line and for tests."""

from __future__ import annotations

from dataclasses import dataclass

from safehand_core.canonical import Json
from safehand_formats import note
from safehand_formats.kinds import Kind
from safehand_formats.leaf import Leaf
from safehand_formats.note import NoteVerifier
from safehand_formats.proof import TlogProof

from safehand_ledger.audit import audit
from safehand_ledger.bundle import Step
from safehand_ledger.export import export
from safehand_ledger.fsck import fsck
from safehand_ledger.reanchor import reanchor
from safehand_ledger.report import Problem, Report
from safehand_ledger.vectors import VectorsReport, run_vectors

__all__ = [
    "Problem",
    "Report",
    "Step",
    "VectorsReport",
    "Verified",
    "audit",
    "export",
    "fsck",
    "reanchor",
    "run_vectors",
    "verify",
]


@dataclass(frozen=True, slots=True)
class Verified:
    """What a proof shows: an entry of ``kind`` at ``index`` of the ``origin`` ledger's ``size``
    entries under ``root`` (32 bytes)."""

    origin: str
    index: int
    size: int
    root: bytes
    kind: Kind

    def to_json(self) -> dict[str, Json]:
        return {
            "origin": self.origin,
            "index": self.index,
            "size": self.size,
            "root": self.root.hex(),
            "kind": self.kind.name,
        }


def verify(proof: bytes | str, leaf: bytes, vkey: str) -> Verified:
    """Check a receipt: ``proof`` is the text of a tlog-proof, ``leaf`` the 104 bytes.

    ``vkey``: the pinned verifier key, one line without its newline. Raises MALFORMED or
    PROOF_INVALID.
    """
    verifier = NoteVerifier.from_vkey(vkey)
    text = note.decode_utf8(proof) if isinstance(proof, bytes) else proof
    parsed = TlogProof.from_text(text)
    checkpoint = parsed.verify(leaf, verifier)
    kind = Leaf.decode(leaf).kind
    return Verified(checkpoint.origin, parsed.index, checkpoint.size, checkpoint.root, kind)
