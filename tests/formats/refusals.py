"""What a call was refused with: for tests that feed anything and allow refusals alone."""

from __future__ import annotations

from collections.abc import Callable

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason


def refusal(call: Callable[[], object]) -> Reason | None:
    """The reason of the SafehandError that ``call`` raises, None when it returns."""
    try:
        call()
    except SafehandError as error:
        return error.reason
    return None
