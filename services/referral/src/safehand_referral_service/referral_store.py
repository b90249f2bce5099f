"""Statements on referrals: read, insert, move along the table of states. No decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from safehand.events.v1.events_pb2 import EventType
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_store import outbox
from safehand_store.prepared import Prepared, Written
from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update

from safehand_referral_service.states import EndedBy, Side, State, Transition
from safehand_referral_service.tables import (
    DISCLOSURE,
    GRANT_SHARING,
    PART,
    REFERRAL,
    SEALED_BEFORE,
)

_CREATED: Final = (
    "referral", "consent_grant", "sender", "recipient", "service", "purpose", "urgency", "state",
    "disclosed", "created_at", "answer_by", "not_after", "manifest", "signature", "manifest_digest",
    "refer_index",
)  # fmt: skip
"""The columns that a new referral says; the others begin at their defaults."""
REACHED_AT: Final = {
    State.SENT: "created_at",
    State.DELIVERED: "delivered_at",
    State.ACKNOWLEDGED: "acknowledged_at",
    State.ACCEPTED: "accepted_at",
    State.COMPLETED: "ended_at",
    State.DECLINED: "ended_at",
    State.WITHDRAWN: "ended_at",
}
"""The column that says when a state was reached: none is reached twice, and only one ends it."""
_BY_ID: Final = Prepared(select(REFERRAL).where(REFERRAL.c.referral == bindparam("wanted")))
_OF_GRANT: Final = Prepared(
    select(REFERRAL)
    .where(REFERRAL.c.consent_grant == bindparam("wanted"))
    .order_by(REFERRAL.c.position)
)
_INSERT: Final = Prepared(insert(REFERRAL), columns=_CREATED)
_INSERT_PART: Final = Prepared(insert(PART))
_PARTS: Final = Prepared(
    select(PART.c.ciphertext, PART.c.outer_wrap)
    .where(PART.c.referral == bindparam("wanted"))
    .order_by(PART.c.part)
)
_DISCLOSED: Final = Prepared(
    select(DISCLOSURE.c.referral).where(DISCLOSURE.c.referral == bindparam("wanted"))
)
_STOPPED: Final = Written(
    "SELECT 1 FROM grant_sharing WHERE consent_grant = ? AND stopped = 1"
    " UNION ALL SELECT 1 FROM grant_hold WHERE consent_grant = ?"
)
_SAID_AT: Final = Prepared(
    select(GRANT_SHARING.c.sequence).where(GRANT_SHARING.c.consent_grant == bindparam("wanted"))
)
_SET_SHARING: Final = Prepared(
    update(REFERRAL)
    .where(REFERRAL.c.position == bindparam("row"))
    .values(sharing_stopped=bindparam("stopped"))
)
_SET_GRANT: Final = Prepared(
    update(GRANT_SHARING)
    .where(GRANT_SHARING.c.consent_grant == bindparam("wanted"))
    .values(stopped=bindparam("now_stopped"), sequence=bindparam("said_at"))
)
_INSERT_GRANT: Final = Prepared(insert(GRANT_SHARING))


@dataclass(frozen=True, slots=True)
class Referral:
    """A row of ``referral``; times are seconds since the epoch."""

    position: int
    referral: str
    consent_grant: str
    sender: str
    recipient: str
    service: str
    purpose: str
    urgency: str
    state: State
    sharing_stopped: bool
    disclosed: bool
    ended_by: EndedBy
    reason_code: str
    outcome: str
    created_at: int
    answer_by: int
    delivered_at: int | None
    acknowledged_at: int | None
    accepted_at: int | None
    answered_at: int | None
    ended_at: int | None
    not_after: int
    manifest: bytes
    signature: bytes
    manifest_digest: str
    refer_index: int
    resealed_at: int | None
    reseal_asked_at: int | None

    def side_of(self, agency: str) -> Side:
        """Which end ``agency`` is; raises NOT_ALLOWED for anybody else."""
        if agency == self.sender:
            return Side.SENDER
        if agency == self.recipient:
            return Side.RECIPIENT
        raise SafehandError(Reason.NOT_ALLOWED)

    def agency(self, side: Side) -> str:
        return self.sender if side is Side.SENDER else self.recipient


@dataclass(frozen=True, slots=True)
class SealedPart:
    """Ciphertext and outer wrap of one part; this service can open neither."""

    ciphertext: bytes
    outer_wrap: bytes


def find(connection: Connection, referral: str) -> Referral | None:
    row = _BY_ID.first(connection, wanted=referral)
    return None if row is None else _referral(row)


def require(connection: Connection, referral: str, agency: str) -> tuple[Referral, Side]:
    """The referral and the end of it that ``agency`` is.

    Raises NOT_ALLOWED alike for one that is not there and for one of other agencies.
    """
    found = find(connection, referral)
    if found is None:
        raise SafehandError(Reason.NOT_ALLOWED)
    return found, found.side_of(agency)


def page(connection: Connection, agency: str, before: int | None, limit: int) -> Sequence[Referral]:
    """At most ``limit`` referrals of which ``agency`` is an end, newest first."""
    query = select(REFERRAL).where(or_(REFERRAL.c.sender == agency, REFERRAL.c.recipient == agency))
    if before is not None:
        query = query.where(REFERRAL.c.position < before)
    rows = connection.execute(query.order_by(REFERRAL.c.position.desc()).limit(limit))
    return [_referral(row) for row in rows]


def of_grant(connection: Connection, grant: str) -> Sequence[Referral]:
    return [_referral(row) for row in _OF_GRANT.all(connection, wanted=grant)]


def parts(connection: Connection, referral: str) -> Sequence[SealedPart]:
    """The sealed parts in order of part id."""
    rows = _PARTS.all(connection, wanted=referral)
    return [SealedPart(row.ciphertext, row.outer_wrap) for row in rows]


def add(connection: Connection, values: dict[str, Any], sealed: Sequence[SealedPart]) -> Referral:
    """Insert a referral (``values``: the columns ``_CREATED``) with its parts, ids from 0."""
    _INSERT.run(connection, **values)
    referral = values["referral"]
    _insert_parts(connection, referral, sealed)
    made = find(connection, referral)
    assert made is not None  # noqa: S101  inserted above, in this transaction
    return made


def _insert_parts(connection: Connection, referral: str, sealed: Sequence[SealedPart]) -> None:
    _INSERT_PART.run_many(
        connection,
        [
            {
                "referral": referral,
                "part": number,
                "ciphertext": part.ciphertext,
                "outer_wrap": part.outer_wrap,
            }
            for number, part in enumerate(sealed)
        ],
    )


def reseal(
    connection: Connection,
    referral: Referral,
    sealed: dict[str, Any],
    parts: Sequence[SealedPart],
    now: int,
) -> None:
    """Put a newer manifest and its parts (``sealed``: the columns that it says) in their place.

    Sharing is on again: the grant that it is under now is not stopped.
    """
    connection.execute(
        insert(SEALED_BEFORE).values(digest=referral.manifest_digest, referral=referral.referral)
    )
    connection.execute(delete(PART).where(PART.c.referral == referral.referral))
    values = {**sealed, "sharing_stopped": 0, "resealed_at": now, "reseal_asked_at": None}
    _update(connection, referral, values)
    _insert_parts(connection, referral.referral, parts)


def is_manifest_of(connection: Connection, referral: Referral, digest: str) -> bool:
    """Whether ``digest`` (64 hex) is the manifest of the referral, or one before it."""
    if digest == referral.manifest_digest:
        return True
    return (
        connection.execute(
            select(SEALED_BEFORE.c.digest).where(
                SEALED_BEFORE.c.digest == digest, SEALED_BEFORE.c.referral == referral.referral
            )
        ).first()
        is not None
    )


def ask_reseal(connection: Connection, referral: Referral, now: int) -> bool:
    """Note that the recipient cannot open it any more; False where that was noted already."""
    if referral.reseal_asked_at is not None:
        return False
    _update(connection, referral, {"reseal_asked_at": now})
    return True


def move(
    connection: Connection, referral: Referral, row: Transition, now: int, **values: Any
) -> None:
    """Apply a row of the table of states, and tell the other side.

    ``values``: further columns to set (``reason_code``, ``outcome``). A row that stays changes
    nothing and tells nobody.
    """
    if not row.moves:
        return
    values["state"] = row.target
    if row.ended_by is not EndedBy.NOBODY:
        values["ended_by"] = row.ended_by
    if row.answers:
        values["answered_at"] = now
    values[REACHED_AT[row.target]] = now
    _update(connection, referral, values)
    tell(connection, referral, row, now)


def tell(connection: Connection, referral: Referral, row: Transition, now: int) -> None:
    """The event of ``row``, for the side that did not do it."""
    if row.event is not None:
        _event(connection, referral, row.event, row.tells, now)


def set_sharing(
    connection: Connection,
    referral: Referral,
    stopped: bool,
    event: EventType.ValueType,
    now: int,
) -> bool:
    """Stop or resume sharing and tell both ends; False where it was so already."""
    if referral.sharing_stopped == stopped:
        return False
    _SET_SHARING.run(connection, row=referral.position, stopped=int(stopped))
    for side in Side:
        _event(connection, referral, event, side, now)
    return True


_DISCLOSE: Final = Written(
    "INSERT INTO disclosure (referral) VALUES (?) ON CONFLICT (referral) DO NOTHING"
)


def set_disclosed(connection: Connection, referral: str) -> None:
    """A part was or may have been opened: remembered even before the referral exists here."""
    _DISCLOSE.execute(connection, referral)
    connection.execute(update(REFERRAL).where(REFERRAL.c.referral == referral).values(disclosed=1))


def was_disclosed(connection: Connection, referral: str) -> bool:
    return _DISCLOSED.first(connection, wanted=referral) is not None


def set_grant(connection: Connection, grant: str, stopped: bool, sequence: int) -> None:
    """Remember what consent said last of a grant (``sequence``: in consent's own order)."""
    known = _SET_GRANT.run(connection, wanted=grant, now_stopped=int(stopped), said_at=sequence)
    if known == 0:
        _INSERT_GRANT.run(connection, consent_grant=grant, stopped=int(stopped), sequence=sequence)


def grant_stopped(connection: Connection, grant: str) -> bool:
    """Whether consent's last word on this grant was that sharing ended, or is set aside."""
    return _STOPPED.scalar(connection, grant, grant) is not None


def said_at(connection: Connection, grant: str) -> int:
    """Where in consent's sequence its last word on this grant is; 0 where there was none."""
    return int(_SAID_AT.scalar(connection, wanted=grant) or 0)


def _event(
    connection: Connection,
    referral: Referral,
    event: EventType.ValueType,
    side: Side,
    now: int,
) -> None:
    outbox.append(
        connection,
        type=event,
        time=now,
        audience=f"agency/{referral.agency(side)}",
        resource=f"referrals/{referral.referral}",
    )


def _update(connection: Connection, referral: Referral, values: dict[str, Any]) -> None:
    connection.execute(
        update(REFERRAL).where(REFERRAL.c.position == referral.position).values(values)
    )


def _referral(row: Any) -> Referral:
    values = row._asdict()
    values["state"] = State(values["state"])
    values["ended_by"] = EndedBy(values["ended_by"])
    values["sharing_stopped"] = bool(values["sharing_stopped"])
    values["disclosed"] = bool(values["disclosed"])
    return Referral(**values)
