"""The ledger heads that this client has seen: they may only grow (PROTOCOL rule 8)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from safehand_core.errors import SafehandError
from safehand_core.keystore import make_private_dir, write_atomic
from safehand_core.reasons import Reason
from safehand_formats import merkle
from safehand_formats.checkpoint import Checkpoint, open_checkpoint
from safehand_formats.note import NoteVerifier

FetchConsistency = Callable[[int, int], Sequence[bytes]]
"""``(from_size, to_size)`` to the hashes of an RFC 6962 consistency proof."""


class SeenHead:
    """The newest checkpoint that this client believed, kept in one file across runs."""

    def __init__(self, path: Path, verifier: NoteVerifier, fetch: FetchConsistency) -> None:
        self._path = path
        self._verifier = verifier
        self._fetch = fetch
        self._lock = threading.Lock()
        self._last: Checkpoint | None = None
        if path.exists():
            self._last = open_checkpoint(path.read_text(), verifier)

    def now(self) -> Checkpoint | None:
        """The head to hold an answer against: take it before asking."""
        with self._lock:
            return self._last

    def accept(self, checkpoint: Checkpoint, note: str, asked_at: Checkpoint | None) -> None:
        """Believe ``checkpoint``; raises PROOF_INVALID if it does not continue ``asked_at``."""
        if asked_at is not None:
            if checkpoint.size < asked_at.size:
                raise SafehandError(Reason.PROOF_INVALID, "the head is older than one seen before")
            if checkpoint.size == asked_at.size:
                if checkpoint.root != asked_at.root:
                    raise SafehandError(Reason.PROOF_INVALID, "two roots for one size")
            else:
                hashes = self._fetch(asked_at.size, checkpoint.size)
                merkle.verify_consistency(
                    asked_at.size, checkpoint.size, hashes, asked_at.root, checkpoint.root
                )
        with self._lock:
            if self._last is None or checkpoint.size > self._last.size:
                self._last = checkpoint
                make_private_dir(self._path.parent)
                write_atomic(self._path, note.encode())
