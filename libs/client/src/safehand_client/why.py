"""What allowed one look, or why one was refused: from her own receipt, as of that moment.

It asks nobody: every line of a verified receipt is proven, so what the entries before the look say
is what was on record when it was allowed. A refused try is no entry: that it was made, and with
which reason it was refused, the service says and nothing proves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, cast

from safehand_core.errors import SafehandError
from safehand_core.reasons import TABLE, Reason
from safehand_core.words import CATEGORIES, SENSITIVE
from safehand_formats.bodies import body_time
from safehand_formats.kinds import Kind

from safehand_client.survivor import ReceiptLine


@dataclass(frozen=True, slots=True)
class Ground:
    """One thing that the look rested on. ``entry`` is the ledger index that shows it."""

    rule: str
    holds: bool
    words: str
    entry: int


@dataclass(slots=True)
class _Before:
    """What the entries in front of the look come to."""

    grant: ReceiptLine
    categories: set[str]
    set_by: int
    expires_at: int
    stop: ReceiptLine | None = None
    resumed: ReceiptLine | None = None
    ended: ReceiptLine | None = None
    confirmed: dict[str, int] = field(default_factory=dict)
    refers: dict[str, ReceiptLine] = field(default_factory=dict)


def look(lines: Sequence[ReceiptLine], index: int) -> list[Ground]:
    """The grounds of the look at ledger entry ``index``, in order.

    ``lines`` are those of a verified receipt. Raises NOT_FOUND where the entry is no look of it.
    """
    place = next(
        (at for at, line in enumerate(lines) if (line.index, line.kind) == (index, Kind.DISCLOSE)),
        None,
    )
    if place is None or lines[0].kind is not Kind.GRANT:
        raise SafehandError(Reason.NOT_FOUND, "the receipt has no such look")
    return _grounds(_before(lines[:place]), lines[place])


TRIED: Final[Mapping[Reason, str]] = {
    Reason.SIGNATURE_INVALID: "nobody of theirs had signed for it",
    Reason.REFERRAL_CLOSED: "the referral had been declined or withdrawn",
    Reason.NOT_ACCEPTED: "they had not said yes to helping you; before that this does not open",
    Reason.WRAP_INVALID: "what they wanted to open is not what was sent for you",
    Reason.CONSENT_ENDED: "the time of the referral was over, or you were just stopping it",
    Reason.SCOPE_EXCEEDED: "you did not say yes to this kind of information",
    Reason.QUOTA_EXCEEDED: "they had looked too often",
}
"""To her, for each reason with which a refused try is kept; CONSENT_ENDED where her receipt does
not say more."""


@dataclass(frozen=True, slots=True)
class Refused:
    """``entry``: the ledger index of her receipt that shows it, or None where none does."""

    words: str
    entry: int | None = None


def tried(lines: Sequence[ReceiptLine], at: int, category: str, reason: Reason) -> Refused:
    """Why a try at ``at`` (seconds since the epoch) to open ``category`` was refused.

    ``lines`` are those of a verified receipt. An entry of the very second counts as before.
    """
    words = TRIED.get(reason, TABLE[reason].message)
    if reason is not Reason.CONSENT_ENDED:
        return Refused(words)
    now = _before(
        [lines[0], *(one for one in lines[1:] if body_time(one.kind, cast(Any, one.body)) <= at)]
    )
    if now.ended is not None:
        return Refused("it was over for good then", now.ended.index)
    if now.stop is not None:
        return Refused("it was stopped then", now.stop.index)
    if category not in now.categories:
        return Refused("you had taken this out", now.set_by)
    if at >= now.expires_at:
        return Refused(f"it was allowed until {_day(now.expires_at)}", now.set_by)
    return Refused(words)


def _before(lines: Sequence[ReceiptLine]) -> _Before:
    grant = lines[0]
    body: Any = grant.body
    now = _Before(grant, set(body["categories"]), grant.index, body["expires_at"])
    for line in lines[1:]:
        said: Any = line.body
        match line.kind:
            case Kind.NARROW:
                now.categories, now.set_by = set(said["categories"]), line.index
                now.expires_at = said["expires_at"]
            case Kind.STOP:
                now.stop, now.resumed = line, None
            case Kind.RESUME:
                now.stop, now.resumed = None, line
            case Kind.REVOKE | Kind.EXPIRE:
                now.ended = line
            case Kind.CONFIRM:
                now.confirmed[said["by"]] = line.index
            case Kind.REFER:
                now.refers[said["manifest"]] = line
            case _:
                pass
    return now


def _grounds(before: _Before, line: ReceiptLine) -> list[Ground]:
    grant: Any = before.grant.body
    seen: Any = line.body
    at, category = seen["at"], seen["category"]
    kind = CATEGORIES.get(category, category)
    first = before.grant.index
    refer = before.refers.get(seen["manifest"])
    off = before.ended or before.stop
    named = refer is not None and category in _categories(refer)
    return [
        Ground(
            "granted",
            grant["recipient"] == seen["recipient"] and category in before.categories,
            f"on {_day(grant['issued_at'])} you let {grant['recipient']} get {kind}",
            before.set_by,
        ),
        Ground(
            "not_stopped",
            off is None,
            "it was not stopped then"
            if before.resumed is None
            else "it had been stopped, and was turned on again before",
            first
            if off is None and before.resumed is None
            else (off or before.resumed or line).index,
        ),
        Ground(
            "in_time",
            at < before.expires_at,
            f"it was allowed until {_day(before.expires_at)}",
            before.set_by,
        ),
        Ground(
            "confirmed",
            _confirmed(grant, before, category),
            "nobody had to confirm it first, or somebody had",
            max(before.confirmed.values(), default=first),
        ),
        Ground(
            "sent",
            named,
            f"{grant['releasing']} had sent it to them for you",
            first if refer is None else refer.index,
        ),
        Ground(
            "accepted",
            seen["stage"] == "card" or bool(seen["accept"]),
            "this part names nobody, or they had accepted to help you",
            line.index,
        ),
    ]


def _categories(line: ReceiptLine) -> list[str]:
    body: Any = line.body
    return list(body["categories"])


def _confirmed(grant: Any, before: _Before, category: str) -> bool:
    if "cosign_by" in grant and "guardian" not in before.confirmed:
        return False
    if "confirm_by" in grant and "self" not in before.confirmed:
        return "second" in before.confirmed or category not in SENSITIVE
    return True


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
