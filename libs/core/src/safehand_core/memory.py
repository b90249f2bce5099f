"""Memory that a process gives back when it is done with it."""

from __future__ import annotations

import ctypes
from typing import Final

LARGE_BYTES: Final = 1024 * 1024
"""What is larger is asked of the system for itself, and goes back to it when it is freed."""
_M_MMAP_THRESHOLD: Final = -3
"""The number of the option in glibc's <malloc.h>."""


def give_back_large(at_least: int = LARGE_BYTES) -> bool:
    """Let freed blocks of ``at_least`` bytes go back to the system at once; True where it is so.

    Without it glibc learns from the first large block that is freed, and from then on keeps such
    blocks for the thread that had them: each thread that ever checked a PIN (19 MiB of Argon2)
    would hold them for good, some 200 MiB in a busy process. Other C libraries do as they like.
    """
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, at_least))
    except (AttributeError, OSError):
        return False
