"""Where the public test data lies, and an honest skip where it does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
ROOT = Path(os.environ.get("SAFEHAND_SHARED_DATA", REPO.parent / "shared" / "data"))


def path(relative: str) -> Path:
    """The file or folder ``relative`` of the shared data; skips the test where it is absent."""
    found = ROOT / relative
    if not found.exists():
        pytest.skip(f"shared data absent: {relative}")
    return found
