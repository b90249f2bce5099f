"""Decisions as lists of rules, so that what decides is also what explains.

Each rule is asked by the path that allows or refuses (``release``, ``authorise``) and by
``explain``, from the same list and in the same order: an explanation cannot drift from the verdict.
A rule raises the reason why it does not hold; the first that does not hold decides.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import CARD, STAGES
from safehand_formats.answer import ACCEPT
from sqlalchemy import Connection

from safehand_consent_service import grant_state, protocols, referred
from safehand_consent_service.grant_row import Grant


class Name(StrEnum):
    """Every rule that ``explain`` can name; ``rule_words`` says each in plain words."""

    PART_THERE = "part_there"
    NEWEST_SEAL = "newest_seal"
    REFERRAL_OPEN = "referral_open"
    REFERRAL_IN_TIME = "referral_in_time"
    ACCEPTED = "accepted"
    CLOCK_RIGHT = "clock_right"
    SHARING_ON = "sharing_on"
    LOOKS_LEFT = "looks_left"
    GRANT_THERE = "grant_there"
    SAME_PURPOSE = "same_purpose"
    INSIDE_GRANT = "inside_grant"
    AGREEMENT = "agreement"
    NOT_STOPPED = "not_stopped"
    NOT_OVER = "not_over"
    SIGNED = "signed"
    ROOM_LEFT = "room_left"
    CONFIRMED = "confirmed"


class Rule(NamedTuple):
    """``check`` raises SafehandError where the rule does not hold, and does nothing else."""

    name: Name
    check: Callable[[], object]


class Outcome(StrEnum):
    HOLDS = "holds"
    FAILS = "fails"
    NOT_ASKED = "not_asked"


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule and what came of it. ``reason`` is set where it fails.

    Behind the first that fails nothing is asked: the verdict did not rest on it, and whoever was
    refused for one reason learns no second one.
    """

    rule: Name
    outcome: Outcome
    reason: Reason | None = None


class Part(Protocol):
    """What the rules ask about the part that is to be opened."""

    @property
    def category(self) -> str | None: ...
    @property
    def stage(self) -> str | None: ...
    @property
    def not_after(self) -> int: ...
    @property
    def replaced_by(self) -> str | None: ...


def require(rules: Iterable[Rule]) -> None:
    """Raise what the first rule raises that does not hold."""
    for rule in rules:
        rule.check()


def findings(rules: Iterable[Rule]) -> list[Finding]:
    """Every rule with its outcome, in order."""
    out: list[Finding] = []
    refused = False
    for rule in rules:
        if refused:
            out.append(Finding(rule.name, Outcome.NOT_ASKED))
            continue
        try:
            rule.check()
        except SafehandError as error:
            refused = True
            out.append(Finding(rule.name, Outcome.FAILS, error.reason))
        else:
            out.append(Finding(rule.name, Outcome.HOLDS))
    return out


# --- opening a part ------------------------------------------------------------------------------


def of_referral(part: Part, on_file: Mapping[str, str], now: int) -> tuple[Rule, ...]:
    """Not sealed again since, not declined or withdrawn, not past its end, and identity only after
    a signed Accept."""
    return (
        Rule(Name.NEWEST_SEAL, lambda: referred.require_current(part)),
        Rule(Name.REFERRAL_OPEN, lambda: referred.require_not_closed(on_file)),
        Rule(Name.REFERRAL_IN_TIME, lambda: _require_in_time(part, now)),
        Rule(Name.ACCEPTED, lambda: _require_accepted(part, on_file)),
    )


def of_consent(
    grant: Grant | None, category: str, now: int, *, clock_suspect: bool
) -> tuple[Rule, ...]:
    """The clock can be believed, and at this point of the order she shares this category."""
    return (
        Rule(Name.CLOCK_RIGHT, lambda: _require_clock(clock_suspect)),
        Rule(Name.SHARING_ON, lambda: _require_sharing(grant, category, now)),
    )


def _require_in_time(part: Part, now: int) -> None:
    if now >= part.not_after:
        raise SafehandError(Reason.CONSENT_ENDED, "the referral's time is over")


def _require_accepted(part: Part, on_file: Mapping[str, str]) -> None:
    if part.stage == STAGES[1] and ACCEPT not in on_file:
        raise SafehandError(Reason.NOT_ACCEPTED)


def _require_clock(suspect: bool) -> None:
    if suspect:
        raise SafehandError(Reason.CLOCK_SUSPECT)


def _require_sharing(grant: Grant | None, category: str, now: int) -> None:
    if grant is None:
        raise SafehandError(Reason.CONSENT_ENDED)
    grant_state.require_shareable(grant, (category,), now)
    if category not in grant_state.categories(grant):
        # She took it out since; a recipient hears one reason, whatever ended it.
        raise SafehandError(Reason.CONSENT_ENDED)


# --- sending -------------------------------------------------------------------------------------


def of_scope(
    connection: Connection, grant: Grant, purpose: str, categories: Collection[str], now: int
) -> tuple[Rule, ...]:
    """What would be sent is inside her grant, and inside a protocol that is live now."""
    return (
        Rule(Name.SAME_PURPOSE, lambda: _require_purpose(grant, purpose)),
        Rule(Name.INSIDE_GRANT, lambda: _require_inside(grant, categories)),
        Rule(Name.AGREEMENT, lambda: _require_agreement(connection, grant, categories, now)),
    )


def of_standing(grant: Grant, categories: Collection[str], now: int) -> tuple[Rule, ...]:
    """The grant is on here, and whoever must stand by it does."""
    return (
        Rule(Name.SHARING_ON, lambda: grant_state.require_live(grant, now)),
        Rule(Name.CONFIRMED, lambda: grant_state.require_shareable(grant, categories, now)),
        # Asked again at this point of the order: she may have narrowed it since.
        Rule(Name.INSIDE_GRANT, lambda: _require_inside(grant, categories)),
    )


def _require_purpose(grant: Grant, purpose: str) -> None:
    if purpose != grant.purpose:
        raise SafehandError(Reason.PURPOSE_MISMATCH)


def _require_inside(grant: Grant, categories: Collection[str]) -> None:
    if not set(categories) <= grant_state.categories(grant):
        raise SafehandError(Reason.SCOPE_EXCEEDED)


def _require_agreement(
    connection: Connection, grant: Grant, categories: Collection[str], now: int
) -> None:
    # Every protocol carries the card: a referral is made of it at the least.
    named = [category for category in categories if category != CARD]
    protocols.require_live(connection, grant.releasing, grant.recipient, grant.purpose, named, now)


# --- what she may ask ----------------------------------------------------------------------------


def of_hers(grant: Grant, category: str, now: int, *, clock_suspect: bool) -> tuple[Rule, ...]:
    """Whether this kind of information may be opened under her grant now, in her own terms.

    The clock comes last: that somebody stopped it says more to her.
    """
    return (
        Rule(Name.INSIDE_GRANT, lambda: _require_inside(grant, (category,))),
        # A stop that is final is one too: its grant is not in the state STOPPED any more.
        Rule(Name.NOT_STOPPED, lambda: _require(grant.stop_index is None)),
        Rule(Name.NOT_OVER, lambda: _require(not grant_state.is_over(grant, now))),
        Rule(Name.SIGNED, lambda: _require(grant.cosign_by is None, Reason.CONSENT_UNCONFIRMED)),
        Rule(Name.CONFIRMED, lambda: grant_state.require_shareable(grant, (category,), now)),
        Rule(Name.CLOCK_RIGHT, lambda: _require_clock(clock_suspect)),
    )


def _require(holds: bool, reason: Reason = Reason.CONSENT_ENDED) -> None:
    if not holds:
        raise SafehandError(reason)
