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
        """Believe ``checkpoint``; raises PROOF_INVALID if it does not continue ``asked_at``.

        It must also be of one history with the newest head of now, which another thread may have
        seen since: two answers at the same time must not show two ledgers.
        """
        if asked_at is not None and checkpoint.size < asked_at.size:
            raise SafehandError(Reason.PROOF_INVALID, "the head is older than one seen before")
        while True:
            newest = self.now()
            if newest is not None:
                self._require_one_history(newest, checkpoint)
                if checkpoint.size <= newest.size:
                    return
            with self._lock:
                if self._last is newest:
                    self._last = checkpoint
                    make_private_dir(self._path.parent)
                    write_atomic(self._path, note.encode())
                    return

    def _require_one_history(self, one: Checkpoint, other: Checkpoint) -> None:
        first, second = sorted((one, other), key=lambda head: head.size)
        if first.size == second.size:
            if first.root != second.root:
                raise SafehandError(Reason.PROOF_INVALID, "two roots for one size")
        elif first.size > 0:
            hashes = self._fetch(first.size, second.size)
            merkle.verify_consistency(first.size, second.size, hashes, first.root, second.root)
