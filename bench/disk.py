"""What the disk takes to make something durable, in the directory of the database."""

from __future__ import annotations

import os
import time
from pathlib import Path

BLOCK = b"\x5a" * 4096
"""Bytes of one append: about what a commit of one entry adds to the write-ahead log."""


class Disk:
    """Appends to one file in ``directory``, each made durable before the next."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "bench-fsync"
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        self.samples: list[float] = []

    def sample(self, count: int) -> list[float]:
        """Seconds of each of ``count`` appends with ``fdatasync``; also kept in ``samples``."""
        took = []
        for _ in range(count):
            began = time.perf_counter()
            os.write(self._file, BLOCK)
            os.fdatasync(self._file)
            took.append(time.perf_counter() - began)
        self.samples += took
        return took

    def close(self) -> None:
        os.close(self._file)
        self._path.unlink(missing_ok=True)
