"""What whoever appended an entry gets: the leaf, its opening, and the proof that it is in."""

from __future__ import annotations

from dataclasses import dataclass, field

from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import merkle
from safehand_formats.bodies import encode_body
from safehand_formats.opening import Opening
from safehand_formats.proof import TlogProof
from sqlalchemy import Connection

from safehand_ledger import stored


@dataclass(frozen=True, slots=True)
class Receipt:
    """One entry under one signed head.

    ``leaf``: 104 bytes. ``leaf_hash``: 32 bytes. ``proof``: the text of a tlog-proof, checkpoint
    included. ``opening``: None when the body was forgotten. ``encoded``: the body's canonical bytes
    where they are at hand.
    """

    index: int
    leaf: bytes
    leaf_hash: bytes
    proof: str
    opening: Opening | None
    encoded: bytes | None = field(default=None, compare=False)

    @property
    def body_bytes(self) -> bytes:
        """The canonical bytes that the leaf commits to; raises NOT_FOUND when it was forgotten."""
        opening = self._opened()
        if self.encoded is not None:
            return self.encoded
        return encode_body(opening.kind, opening.body)

    @property
    def salt(self) -> bytes:
        """The body's 32-byte salt; raises NOT_FOUND when the body was forgotten."""
        return self._opened().salt

    @property
    def body(self) -> dict[str, Json]:
        """The body; raises NOT_FOUND when it was forgotten."""
        return self._opened().body

    def _opened(self) -> Opening:
        if self.opening is None:
            raise SafehandError(Reason.NOT_FOUND, "the entry's body was forgotten")
        return self.opening


def from_stored(connection: Connection, index: int, size: int, note: str) -> Receipt:
    """The receipt of the entry at ``index`` under the head ``(size, note)``.

    Any head at or below the stored one will do: complete subtrees never change. Raises NOT_FOUND
    when the head does not reach ``index``.
    """
    if not 0 <= index < size:
        raise SafehandError(Reason.NOT_FOUND, "the ledger has no such entry")
    leaf = stored.leaf(connection, index)
    path = merkle.inclusion_proof(index, size, stored.nodes(connection))
    proof = TlogProof(index, tuple(path), note).to_text()
    return Receipt(index, leaf, merkle.leaf_hash(leaf), proof, stored.opening(connection, index))
