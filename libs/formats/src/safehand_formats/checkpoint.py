"""The tree head as text: C2SP ``tlog-checkpoint``, exactly three lines, no extension lines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from safehand_formats import note
from safehand_formats.merkle import EMPTY_ROOT, HASH_BYTES, MAX_SIZE
from safehand_formats.note import NoteSigner, NoteVerifier

_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """``origin`` names the ledger (and its key), ``size`` counts leaves, ``root`` is 32 bytes."""

    origin: str
    size: int
    root: bytes

    def to_text(self) -> str:
        """The three lines, each with its newline."""
        return f"{self.origin}\n{self.size}\n{note.encode_base64(self.root)}\n"

    @classmethod
    def from_text(cls, text: str) -> Checkpoint:
        """Strict: raises MALFORMED unless ``to_text`` gives ``text`` again."""
        lines = text.split("\n")
        if len(lines) != 4 or lines[3]:
            raise SafehandError(Reason.MALFORMED, "a checkpoint has exactly three lines")
        origin = note.check_name(lines[0])
        size = parse_decimal(lines[1])
        root = note.decode_base64(lines[2])
        if len(root) != HASH_BYTES:
            raise SafehandError(Reason.MALFORMED, "a root is 32 bytes")
        if size == 0 and root != EMPTY_ROOT:
            raise SafehandError(Reason.MALFORMED, "an empty tree has one root")
        return cls(origin, size, root)

    def sign(self, signer: NoteSigner) -> str:
        """The signed note. The signer's name must be the origin."""
        if signer.name != self.origin:
            raise SafehandError(Reason.CONFIG_INVALID, "the origin is not the signing key's name")
        return note.sign(self.to_text(), signer)


def open_checkpoint(text: str, verifier: NoteVerifier) -> Checkpoint:
    """The checkpoint in the signed note ``text``, of the ledger that ``verifier`` names.

    Raises MALFORMED or PROOF_INVALID.
    """
    checkpoint = Checkpoint.from_text(note.open_note(text, verifier))
    if checkpoint.origin != verifier.name:
        raise SafehandError(Reason.PROOF_INVALID, "the checkpoint is of another ledger")
    return checkpoint


def parse_decimal(text: str) -> int:
    """A size or index below 2^63 in decimal without leading zeros; raises MALFORMED."""
    if not _DECIMAL.fullmatch(text) or int(text) > MAX_SIZE:
        raise SafehandError(Reason.MALFORMED, "not a size or an index")
    return int(text)
