"""The one error family.

Every refusal in safehand is a ``SafehandError`` with a reason from one enum. The text that a
caller sees is the reason's own constant sentence (``reasons.TABLE``); ``detail`` must be a
constant too, or built from numbers and code words of ours, never from what a caller sent.
"""

from __future__ import annotations

from collections.abc import Mapping

from safehand_core.reasons import TABLE, Reason


class SafehandError(Exception):
    """A refusal with a reason.

    Attributes:
        reason: why, from the one enum.
        detail: one constant phrase that narrows it down; may be empty.
        metadata: values safe to show (codes, counts, field paths); never personal data.
        retry_after_s: seconds after which the same request may succeed, or None.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str = "",
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        self.reason = reason
        self.detail = detail
        self.metadata = dict(metadata or {})
        self.retry_after_s = retry_after_s
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)

    @property
    def message(self) -> str:
        """What happened, in one line."""
        text = TABLE[self.reason].message
        return f"{text} ({self.detail})" if self.detail else text

    @property
    def fix(self) -> str:
        """How to mend it, in one line."""
        return TABLE[self.reason].fix
