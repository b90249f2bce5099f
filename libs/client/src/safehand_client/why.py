"""What allowed one look: read from her own receipt, rule by rule, as of that entry.

It asks nobody: every line of a verified receipt is proven, so what the entries before the look say
is what was on record when it was allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import CATEGORIES, SENSITIVE
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
