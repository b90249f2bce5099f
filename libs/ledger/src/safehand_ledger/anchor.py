"""The anchor: the newest signed head, in a small file outside the database's directory.

Restoring an old copy of the database is the one thing that breaks an append-only ledger beyond
repair, and nothing inside the database can tell. The anchor can, because it lies elsewhere.

The file is two slots of one block each; a slot is a signed checkpoint followed by zeros, and the
slot that does not hold the newest is overwritten next. A torn write damages only that slot, whose
head nobody was told to rely on yet. Overwriting blocks that exist costs one ``fdatasync``; a new
file and a rename cost two fsyncs of metadata besides, which every stop would wait for.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.checkpoint import Checkpoint, open_checkpoint
from safehand_formats.note import NoteVerifier, decode_utf8

SLOT_BYTES: Final = 4096
"""One block of the disk, so that writing one slot cannot tear the other."""
SLOTS: Final = 2
FILE_MODE: Final = 0o600


def read(path: Path, verifier: NoteVerifier) -> Checkpoint | None:
    """The newest checkpoint in the anchor file, or None when there is no file.

    Raises LEDGER_CORRUPT when it cannot be read or holds no checkpoint of this ledger.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SafehandError(Reason.LEDGER_CORRUPT, "the anchor file cannot be read") from error
    found = [head for head in _slots(data, verifier) if head is not None]
    if not found:
        raise SafehandError(Reason.LEDGER_CORRUPT, "the anchor file is not of this ledger")
    return max(found, key=lambda head: head.size)


def create(path: Path, note: str) -> None:
    """Write a new anchor file that holds ``note``, replacing any other. Raises OSError.

    A new file, fsync, rename, fsync of the directory: the file is whole from the start.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(path.name + ".new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    descriptor = os.open(fresh, flags, FILE_MODE)
    try:
        _whole(os.write(descriptor, _slot(note) * SLOTS), SLOTS * SLOT_BYTES)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


class AnchorFile:
    """An anchor file that exists, open for writing. Safe to share by threads."""

    def __init__(self, path: Path, verifier: NoteVerifier) -> None:
        """Raises OSError, or LEDGER_CORRUPT as ``read`` does."""
        slots = _slots(path.read_bytes(), verifier)
        sizes = [-1 if head is None else head.size for head in slots]
        self._lock = threading.Lock()
        self._size = max(sizes)
        self._next = sizes.index(min(sizes))
        self._path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        self._file = _identity(os.fstat(self._descriptor))

    @property
    def size(self) -> int:
        """Leaves under the newest head that is on the disk."""
        return self._size

    def write(self, size: int, note: str) -> None:
        """Put ``note`` on the disk before returning, unless a head as large is there.

        Raises OSError; the newest head before it is then still there. So it does where this file
        is the anchor no more: the next writer has put another in its place, or somebody took it.
        """
        with self._lock:
            if size <= self._size:
                return
            offset = self._next * SLOT_BYTES
            _whole(os.pwrite(self._descriptor, _slot(note), offset), SLOT_BYTES)
            os.fdatasync(self._descriptor)
            if _identity(self._path.stat()) != self._file:
                raise OSError("the anchor is another file now")
            self._size = size
            self._next = (self._next + 1) % SLOTS

    def close(self) -> None:
        os.close(self._descriptor)


def _identity(of: os.stat_result) -> tuple[int, int]:
    return of.st_dev, of.st_ino


def _slot(note: str) -> bytes:
    data = note.encode()
    if len(data) >= SLOT_BYTES:
        raise SafehandError(Reason.CONFIG_INVALID, "the checkpoint does not fit the anchor")
    return data.ljust(SLOT_BYTES, b"\x00")


def _whole(written: int, wanted: int) -> None:
    if written != wanted:
        raise OSError("a short write to the anchor file")


def _slots(data: bytes, verifier: NoteVerifier) -> list[Checkpoint | None]:
    """What each slot holds; None for one that is torn or of another ledger."""
    found: list[Checkpoint | None] = [None] * SLOTS
    for number in range(SLOTS):
        slot = data[number * SLOT_BYTES : (number + 1) * SLOT_BYTES]
        with contextlib.suppress(SafehandError):
            found[number] = open_checkpoint(decode_utf8(slot.rstrip(b"\x00")), verifier)
    return found
