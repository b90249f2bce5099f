"""What a consent is, in the plainest words there are: the service must agree with this.

No storage, no proofs, no order but that of the calls. Times are the ledger's, in seconds since the
epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

HOUR: Final = 3600
DAY: Final = 24 * HOUR
STRONG_WINDOW: Final = 24 * HOUR
WEAK_WINDOW: Final = 72 * HOUR
CONFIRM_WITHIN: Final = 14 * DAY
SENSITIVE: Final = {"LOCATION", "EVENTS", "PAPERS"}
MAYBE: Final = "?"
"""Behind a kind: a sweep may have come before it and left it out."""


@dataclass
class Grant:
    """One consent. ``state`` is what was decided; what the clock ends is asked with a time.

    ``entries``: the kinds of its entries in the ledger, in order, as its receipt must show them.
    """

    id: str
    categories: set[str]
    expires_at: int
    recorder: str = ""
    confirm_by: int | None = None
    seconded: bool = False
    state: str = "active"
    stop_by: str = ""
    final_at: int | None = None
    removed: set[str] = field(default_factory=set)
    entries: list[str] = field(default_factory=lambda: ["GRANT"])

    def ends_at(self) -> int:
        return min(self.expires_at, self.confirm_by or self.expires_at)

    def is_final(self) -> bool:
        return self.state in ("revoked", "expired")

    def is_over(self, now: int) -> bool:
        return self.is_final() or now >= self.ends_at()

    def is_live(self, now: int) -> bool:
        return self.state == "active" and now < self.ends_at()

    def waits(self, now: int) -> bool:
        """Whether somebody has yet to confirm it. What is due to end has ended, swept or not."""
        return self.confirm_by is not None and not self.is_over(now) and not self.due(now)

    def was_stopped(self, now: int) -> bool:
        """Whether a stop of it has an answer: it is on, or was stopped before it ended."""
        return self.is_live(now) or bool(self.stop_by)

    def shares(self, category: str, now: int) -> bool:
        """Whether this kind of information may be opened."""
        vouched = self.confirm_by is None or self.seconded or category not in SENSITIVE
        return self.is_live(now) and category in self.categories and vouched

    def due(self, now: int) -> str:
        """What the clock makes of it: "expired", "revoked", or nothing yet."""
        if self.is_final():
            return ""
        over = self.ends_at() <= now
        if self.final_at is not None and now >= self.final_at:
            return "expired" if over and self.ends_at() < self.final_at else "revoked"
        return "expired" if over else ""

    def settle(self, now: int) -> str:
        """What a sweep does; what it made of it, or nothing."""
        due = self.due(now)
        if due:
            self._end(due)
        return due

    def _end(self, state: str) -> None:
        self.state, self.final_at = state, None
        self.entries.append("EXPIRE" if state == "expired" else "REVOKE")

    # --- what people do -----------------------------------------------------------------------

    def stop(self, now: int, by: str) -> None:
        """A stop that changes something: see ``stop_changes``. Hers replaces anybody else's."""
        self.state, self.stop_by = "stopped", by
        self.final_at = now + (STRONG_WINDOW if by == "self" else WEAK_WINDOW)
        self.entries.append("STOP")

    def weakly_stopped(self, now: int) -> bool:
        return (
            self.state == "stopped"
            and self.stop_by != "self"
            and self.final_at is not None
            and now < self.final_at
            and not self.is_over(now)
        )

    def stop_changes(self, now: int, by: str) -> bool:
        """Whether a stop by ``by`` makes a new entry."""
        return self.is_live(now) or (by == "self" and self.weakly_stopped(now))

    def destroy(self, now: int) -> None:
        """Her *destroy now*, where ``was_stopped``: her stop, and its end."""
        if self.is_final():
            return
        if self.stop_changes(now, "self"):
            self.stop(now, "self")
        self._end("expired" if self.due(now) == "expired" else "revoked")

    def invalidate(self, now: int) -> None:
        """It was no consent, where ``was_stopped``: whoever stopped it, her word ends it."""
        if self.is_final():
            return
        due = self.due(now)
        if due != "expired" and self.stop_by != "self":
            self.entries.append(f"STOP{MAYBE}" if due else "STOP")
            self.stop_by = "self"
        self._end("expired" if due == "expired" else "revoked")

    def narrow(self, left: set[str], end: int) -> None:
        self.removed |= self.categories - left
        self.categories, self.expires_at = left, end
        self.entries.append("NARROW")

    def can_resume(self, now: int) -> bool:
        return (
            self.state == "stopped"
            and not self.is_over(now)
            and self.final_at is not None
            and now < self.final_at
        )

    def resume(self) -> None:
        self.state, self.stop_by, self.final_at = "active", "", None
        self.entries.append("RESUME")

    def shown(self, seen: list[str]) -> bool:
        """Whether a receipt with these kinds of entries is the one that it must have."""
        surely = [kind for kind in self.entries if not kind.endswith(MAYBE)]
        all_of_them = [kind.removesuffix(MAYBE) for kind in self.entries]
        return seen in (surely, all_of_them)


@dataclass
class Referral:
    """What was sent under a grant, as it is sealed now."""

    grant: Grant
    categories: list[str]
    not_after: int
    accepted: bool = False
    closed: bool = False

    def opens(self, category: str, now: int) -> bool:
        return (
            not self.closed
            and now < self.not_after
            and (category == "CARD" or self.accepted)
            and self.grant.shares(category, now)
        )
