"""A look as her pages show it, and how complete the list of looks is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from markupsafe import Markup
from safehand.common.v1 import reason_pb2
from safehand.consent.v1 import portal_pb2

from safehand_portal_service.words import Words

QUIET_S: Final = 3 * 24 * 3600
"""Seconds of silence from an organisation's system after which the page says so: a weekend and a
day on which nobody works are no news."""


_BY: Final = {"yes": "", "record": ".record", "void": ".void"}
"""What allowed it, as the end of its text's key: what consent does not call her yes is not called
so."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One look, or one refused try, in her language; ``reason`` is empty for a look."""

    number: str
    what: Markup
    did: Markup
    when: Markup
    why: Markup
    refused: bool
    reason: Markup
    sharing: str
    allowed: Markup


@dataclass(frozen=True, slots=True)
class Heard:
    """One organisation, and when its system last spoke to this one."""

    number: str
    name: str
    line: Markup
    quiet: Markup


def shown(words: Words, seen: portal_pb2.Seen) -> Shown:
    """``seen`` in her language."""
    refused = seen.refused != reason_pb2.REASON_UNSPECIFIED
    allowed = Markup()
    if seen.HasField("allowed_at"):
        key = ("seen.under" if refused else "seen.allowed") + _BY.get(seen.allowed_by, ".record")
        allowed = words.t(key, date=words.date(seen.allowed_at.seconds))
    return Shown(
        number=seen.number,
        what=words.category(seen.category),
        did=words.t("seen.tried" if refused else "seen.looked", name=seen.organisation_name),
        when=words.when(seen.at.seconds),
        why=words.purpose(seen.purpose),
        refused=refused,
        reason=_reason(words, seen.refused) if refused else Markup(),
        sharing=seen.sharing,
        allowed=allowed,
    )


def heard(words: Words, organisation: portal_pb2.Organisation, now: float) -> Heard:
    """When ``organisation`` was last heard of; ``now`` in seconds since the epoch."""
    if not organisation.HasField("heard_at"):
        line, quiet = words.t("seen.heard.never"), Markup()
    else:
        at = organisation.heard_at.seconds
        line = words.t("seen.heard", when=words.when(at))
        quiet = Markup()
        if now - at > QUIET_S:
            quiet = words.t("seen.heard.old", name=organisation.name, date=words.date(at))
    return Heard(organisation.number, organisation.name, line, quiet)


def _reason(words: Words, reason: reason_pb2.Reason.ValueType) -> Markup:
    known = reason_pb2.Reason.values()
    name = reason_pb2.Reason.Name(reason).removeprefix("REASON_") if reason in known else "other"
    key = f"seen.refused.{name}"
    return words.t(key if words.has(key) else "seen.refused.other")
