"""Why something is allowed or refused now, rule by rule, from the rules that decide it.

Asking changes nothing and is no look. An agency learns no more than the act itself would have told
it: only the parties of a referral or a grant may ask, anybody else hears what they hear about one
that is not there, and behind the rule that decides nothing more is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import CATEGORIES
from safehand_formats.kinds import Kind
from safehand_rpc.identity import Principal
from safehand_store.engine import begin_read
from sqlalchemy import Connection

from safehand_consent_service import (
    agencies,
    decision,
    grant_leaves,
    grant_state,
    referred,
    release,
    sessions,
)
from safehand_consent_service.context import Context
from safehand_consent_service.decision import Finding, Name, Outcome, Rule
from safehand_consent_service.grant_row import Grant


@dataclass(frozen=True, slots=True)
class Explanation:
    """The findings in order; ``reason`` is that of the rule that fails, or None.

    ``of_other``: the act is not the caller's own, but that of the referral's other end.
    """

    findings: list[Finding]
    of_other: bool = False

    @property
    def reason(self) -> Reason | None:
        return next((found.reason for found in self.findings if found.reason is not None), None)

    @property
    def allowed(self) -> bool:
        return all(found.outcome is Outcome.HOLDS for found in self.findings)


def opening(context: Context, principal: Principal, referral: str, part: int) -> Explanation:
    """Whether the recipient could open ``part`` (0..15) of ``referral`` (32 hex) now.

    Raises NOT_ALLOWED unless the caller is one of its two ends.
    """
    with begin_read(context.engine) as connection:
        known = referred.find_referral(connection, referral)
        ends = () if known is None else (known.sender, known.recipient)
        if known is None or principal.kind != "agency" or principal.name not in ends:
            raise SafehandError(Reason.NOT_ALLOWED)
        about = release.about(connection, known.digest, part)
        found = decision.findings(_opening(context, connection, about))
        return Explanation(found, of_other=principal.name == known.sender)


def _opening(context: Context, connection: Connection, about: release.About) -> Iterator[Rule]:
    """In the order of ``release``: the referral, then what may have changed since, then looks."""
    now = context.now
    on_file = referred.answers_to(connection, about.manifest_digest)
    yield Rule(Name.PART_THERE, lambda: release.require_part(about))
    yield from decision.of_referral(about, on_file, now)
    grant = grant_state.find(connection, about.grant_id)
    suspect = context.writer.clock_suspect
    yield from decision.of_consent(grant, about.category, now, clock_suspect=suspect)
    yield Rule(Name.LOOKS_LEFT, lambda: _require_looks_left(connection, about, grant, now))


def _require_looks_left(
    connection: Connection, about: release.About, grant: Grant | None, now: int
) -> None:
    release.require_quota(connection, about, now)
    if grant is not None:
        grant_leaves.require_room(Kind.DISCLOSE, grant.next_disclose)


def sending(
    context: Context, principal: Principal, grant_id: str, purpose: str, categories: tuple[str, ...]
) -> Explanation:
    """Whether the caller could send ``categories`` for ``purpose`` under its grant now.

    What hangs on a manifest, such as its recipient's key, is not asked. For a grant that is not the
    caller's the first rule fails, as it would for none at all. Raises AGENCY_UNKNOWN.
    """
    with begin_read(context.engine) as connection:
        now = context.now
        agencies.require(connection, principal.name)
        grant = grant_state.find(connection, grant_id)
        mine = grant is not None and (principal.kind, principal.name) == ("agency", grant.releasing)
        rules = [Rule(Name.GRANT_THERE, lambda: _require_mine(mine))]
        if grant is not None and mine:
            rules += decision.of_scope(connection, grant, purpose, categories, now)
            rules += decision.of_standing(grant, categories, now)[:-1]  # inside: asked above
            sent = grant.next_refer
            rules += [Rule(Name.ROOM_LEFT, lambda: grant_leaves.require_room(Kind.REFER, sent))]
        return Explanation(decision.findings(rules))


def _require_mine(mine: bool) -> None:
    if not mine:
        raise SafehandError(Reason.CONSENT_MISSING)


def sharing(context: Context, session: bytes, grant_id: str, category: str) -> Explanation:
    """Whether one kind of her information can be opened under one of her grants now.

    Raises SESSION_INVALID, NOT_FOUND, MALFORMED (no such category).
    """
    if category not in CATEGORIES:
        raise SafehandError(
            Reason.MALFORMED, "the category is not on the list", metadata={"field": "category"}
        )
    with begin_read(context.engine) as connection:
        subject_id = sessions.require(connection, session, context.now)
        grant = grant_state.require_hers(connection, grant_id, subject_id)
        suspect = context.writer.clock_suspect
        rules = decision.of_hers(grant, category, context.now, clock_suspect=suspect)
        return Explanation(decision.findings(rules))
