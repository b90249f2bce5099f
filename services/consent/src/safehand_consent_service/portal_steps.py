"""What is happening: her referrals as consent knows them, and the ticket with which referral tells.

Consent knows who she is and which referrals are hers; referral knows where each stands and not
whose it is. The ticket names the referrals, for one minute and one certificate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from safehand_core import ids
from safehand_formats import signing, steps_ticket, token
from sqlalchemy import Connection, select

from safehand_consent_service.context import Context
from safehand_consent_service.grant_row import Grant
from safehand_consent_service.portal_numbers import REFERRAL
from safehand_consent_service.portal_shown import Hidden
from safehand_consent_service.tables import refer

MOST: Final = steps_ticket.MAX_REFERRALS


@dataclass(frozen=True, slots=True)
class Step:
    """One referral. ``sent_at``: when it was first allowed to be sent, as far as that is shown."""

    referral: str
    grant: Grant
    sender: str
    recipient: str
    sent_at: int


def steps(connection: Connection, grants: Mapping[str, Grant], marked: Hidden) -> list[Step]:
    """Referrals under ``grants`` (id → row), newest first, at most 100.

    One that was sealed again stands where its newest manifest does.
    """
    c = refer.c
    statement = (
        select(c.referral, c.grant_id, c.sender, c.recipient, c.referred_at, c.replaced_by)
        .where(c.grant_id.in_(list(grants)))
        .order_by(c.refer_index.desc())
    )
    found: list[Step] = []
    first: dict[str, int] = {}
    for row in connection.execute(statement):
        if marked.has(REFERRAL, row.referral):
            continue
        first[row.referral] = min(row.referred_at, first.get(row.referral, row.referred_at))
        if row.replaced_by is None:
            grant = grants[row.grant_id]
            found.append(Step(row.referral, grant, row.sender, row.recipient, row.referred_at))
    return [
        Step(one.referral, one.grant, one.sender, one.recipient, first[one.referral])
        for one in found[:MOST]
    ]


def all_referrals(connection: Connection, grants: Sequence[str]) -> list[str]:
    """Every referral that now stands under one of these grants, hidden or not."""
    c = refer.c
    statement = select(c.referral).where(c.grant_id.in_(grants), c.replaced_by.is_(None))
    return [row.referral for row in connection.execute(statement)]


def ticket(context: Context, found: Sequence[Step], certificate_der: bytes) -> str:
    """What lets the holder of the certificate (DER) ask referral about these, for one minute; empty
    where there is nothing to ask about."""
    if not found:
        return ""
    key = context.token_key
    return steps_ticket.mint(
        key,
        token.token_key_id(signing.public_bytes(key)),
        issuer=context.issuer,
        audience=context.audience,
        certificate_sha256=token.certificate_thumbprint(certificate_der),
        referrals=[step.referral for step in found],
        now=context.now,
        jti=ids.new_id(context.entropy),
    )
