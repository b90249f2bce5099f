"""Randomness as a constructor argument."""

from __future__ import annotations

import hashlib
import os
import threading
from typing import Protocol


class Entropy(Protocol):
    def bytes(self, n: int) -> bytes:
        """``n`` bytes that nobody can predict."""
        ...


class SystemEntropy:
    """The operating system's generator."""

    def bytes(self, n: int) -> bytes:
        return os.urandom(n)


class SeededEntropy:
    """A repeatable stream for tests and vectors. Never used by a service's entry point."""

    def __init__(self, seed: bytes = b"test") -> None:
        self._lock = threading.Lock()
        self._seed = seed
        self._counter = 0

    def bytes(self, n: int) -> bytes:
        out = b""
        with self._lock:
            while len(out) < n:
                block = self._seed + self._counter.to_bytes(8, "big")
                out += hashlib.sha256(block).digest()
                self._counter += 1
        return out[:n]
