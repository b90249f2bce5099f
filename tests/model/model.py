"""What a consent is, in the plainest words there are: the service must agree with this.

No storage, no proofs, no order but that of the calls. Times are the ledger's, in seconds since the
epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, field

HOUR = 3600
DAY = 24 * HOUR
STRONG_WINDOW = 24 * HOUR
WEAK_WINDOW = 72 * HOUR
CONFIRM_WITHIN = 14 * DAY
SENSITIVE = {"LOCATION", "EVENTS", "PAPERS"}


@dataclass
class Grant:
    """One consent. ``state`` is what was decided; what the clock ends is asked with a time."""

    id: str
    categories: set[str]
    expires_at: int
    recorder: str = ""
    confirm_by: int | None = None
    seconded: bool = False
    state: str = "active"
    stop_by: str = ""
    final_at: int | None = None
    looks: int = 0
    removed: set[str] = field(default_factory=set)

    def ends_at(self) -> int:
        return min(self.expires_at, self.confirm_by or self.expires_at)

    def is_final(self) -> bool:
        return self.state in ("revoked", "expired")

    def is_over(self, now: int) -> bool:
        return self.is_final() or now >= self.ends_at()

    def is_live(self, now: int) -> bool:
        return self.state == "active" and now < self.ends_at()

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

    def settle(self, now: int) -> None:
        """What a sweep does."""
        due = self.due(now)
        if due:
            self.end(due)

    def end(self, state: str) -> None:
        self.state, self.final_at = state, None

    # --- what people do -----------------------------------------------------------------------

    def stop(self, now: int, by: str) -> None:
        """A stop that is heard: see ``can_stop``. Hers takes the place of anybody else's."""
        self.state, self.stop_by = "stopped", by
        self.final_at = now + (STRONG_WINDOW if by == "self" else WEAK_WINDOW)

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

    def can_resume(self, now: int) -> bool:
        return (
            self.state == "stopped"
            and not self.is_over(now)
            and self.final_at is not None
            and now < self.final_at
        )

    def resume(self) -> None:
        self.state, self.stop_by, self.final_at = "active", "", None


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
