"""What a refusal was: one line for a test that expects one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason


@contextmanager
def refused(reason: Reason) -> Iterator[pytest.ExceptionInfo[SafehandError]]:
    """The block is refused with exactly ``reason``."""
    with pytest.raises(SafehandError) as caught:
        yield caught
    assert caught.value.reason is reason, caught.value
