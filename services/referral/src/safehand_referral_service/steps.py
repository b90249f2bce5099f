"""ListSteps: what is happening with her referrals, for whoever holds a ticket of consent's.

Consent knows that these referrals are hers, and does not say whose; this service knows where they
stand, and answers for the ids in the ticket alone. Nothing that an agency wrote freely goes out, no
agency's name and nothing sealed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from safehand_formats import steps_ticket
from safehand_formats.token import certificate_thumbprint
from safehand_store.engine import begin_read
from sqlalchemy import Connection, select

from safehand_referral_service import states
from safehand_referral_service.context import Context
from safehand_referral_service.directory_tables import TABLES
from safehand_referral_service.referral_store import REACHED_AT
from safehand_referral_service.states import EndedBy, State, Turn
from safehand_referral_service.tables import REFERRAL

_COLUMNS: Final = (
    "referral", "state", "urgency", "sharing_stopped", "ended_by", "reason_code", "outcome",
    "created_at", "answer_by", "delivered_at", "acknowledged_at", "accepted_at", "ended_at",
    "reseal_asked_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """Where one referral stands; times are seconds since the epoch.

    Attributes:
        service_name: as the directory lists it now; "" where it does not any more.
        turn: who has to do something next.
        moments: each state that it reached and when, oldest first.
    """

    referral: str
    state: State
    service_name: str
    urgency: str
    turn: Turn
    sharing_stopped: bool
    ended_by: EndedBy
    reason_code: str
    outcome: str
    moments: tuple[tuple[State, int], ...]
    reseal_asked_at: int | None


def of_ticket(context: Context, ticket: str, cert_der: bytes) -> list[Step]:
    """The referrals of ``ticket`` that are known here, in its order.

    ``cert_der`` is the caller's certificate on this connection. Raises TOKEN_INVALID and
    TOKEN_EXPIRED.
    """
    now = context.clock.wall()
    referrals = steps_ticket.verify(
        ticket,
        context.token_keys,
        issuer=context.issuer,
        audience=context.audience,
        certificate_sha256=certificate_thumbprint(cert_der),
        now=now,
    )
    with begin_read(context.engine) as connection:
        rows = _rows(connection, referrals)
    return [_step(rows[referral], now) for referral in referrals if referral in rows]


def _rows(connection: Connection, referrals: Sequence[str]) -> dict[str, Any]:
    """One query, whatever the number: at most 100 ids are in a ticket."""
    service = TABLES.service
    query = (
        select(*(REFERRAL.c[name] for name in _COLUMNS), service.c.name.label("service_name"))
        .select_from(REFERRAL.outerjoin(service, service.c.id == REFERRAL.c.service))
        .where(REFERRAL.c.referral.in_(referrals))
    )
    return {row.referral: row for row in connection.execute(query)}


def _step(row: Any, now: int) -> Step:
    state = State(row.state)
    asked = row.reseal_asked_at is not None
    return Step(
        referral=row.referral,
        state=state,
        service_name=row.service_name or "",
        urgency=row.urgency,
        turn=states.turn(state, answer_by=row.answer_by, reseal_asked=asked, now=now),
        sharing_stopped=bool(row.sharing_stopped),
        ended_by=EndedBy(row.ended_by),
        reason_code=row.reason_code,
        outcome=row.outcome,
        moments=_moments(row, state),
        reseal_asked_at=row.reseal_asked_at if state in states.OPEN else None,
    )


def _moments(row: Any, state: State) -> tuple[tuple[State, int], ...]:
    """In the order of a referral's life, which is the order of time. Only one closed state is
    reached: the one that holds."""
    return tuple(
        (reached, at)
        for reached, column in REACHED_AT.items()
        if (reached in states.OPEN or reached is state) and (at := getattr(row, column)) is not None
    )
