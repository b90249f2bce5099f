"""A receipt's proof as text: C2SP ``tlog-proof@v1``, without an ``extra`` line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from safehand_formats import merkle, note
from safehand_formats.checkpoint import Checkpoint, open_checkpoint, parse_decimal
from safehand_formats.note import NoteVerifier

HEADER: Final = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class TlogProof:
    """``hashes``: the audit path, leaf to root; ``checkpoint_note``: the signed tree head."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint_note: str

    def to_text(self) -> str:
        """The proof as a file holds it."""
        lines = [HEADER, f"index {self.index}", *map(note.encode_base64, self.hashes), "", ""]
        return "\n".join(lines) + self.checkpoint_note

    @classmethod
    def from_text(cls, text: str) -> TlogProof:
        """Strict: raises MALFORMED unless ``to_text`` gives ``text`` again."""
        head, blank, checkpoint_note = text.partition("\n\n")
        lines = head.split("\n")
        if not blank or len(lines) < 2 or lines[0] != HEADER:
            raise SafehandError(Reason.MALFORMED, "not a tlog-proof")
        word, space, number = lines[1].partition(" ")
        if word != "index" or not space:
            raise SafehandError(Reason.MALFORMED, "not a tlog-proof")
        if len(lines) - 2 > merkle.MAX_PROOF_HASHES:
            raise SafehandError(Reason.MALFORMED, "a proof has at most 63 hashes")
        hashes = tuple(note.decode_base64(line) for line in lines[2:])
        if any(len(value) != merkle.HASH_BYTES for value in hashes):
            raise SafehandError(Reason.MALFORMED, "a hash is 32 bytes")
        note.split(checkpoint_note)
        return cls(parse_decimal(number), hashes, checkpoint_note)

    def verify(self, leaf: bytes, verifier: NoteVerifier) -> Checkpoint:
        """The checkpoint that proves the whole ``leaf`` (104 bytes) to be at ``index``.

        Raises MALFORMED or PROOF_INVALID. What the leaf says is the caller's to check, and that
        the checkpoint is not older than one it has seen.
        """
        checkpoint = open_checkpoint(self.checkpoint_note, verifier)
        merkle.verify_inclusion(
            merkle.leaf_hash(leaf), self.index, checkpoint.size, self.hashes, checkpoint.root
        )
        return checkpoint
