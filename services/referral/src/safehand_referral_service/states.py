"""The one table of a referral's course: states, who may move it, under which guard, what follows.

The servicer, the console and the documentation read this table and nothing else; the test in
``tests/referral/test_states.py`` repeats it in its own words. Three things are no part of it,
because they are fields of their own: whether sharing is stopped (``SHARING``), whether anything
was opened, and the outcome.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from safehand.events.v1.events_pb2 import EventType
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import URGENCY_ANSWER_S


class State(StrEnum):
    """Where the referral stands between the two agencies."""

    SENT = "SENT"
    DELIVERED = "DELIVERED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    ACCEPTED = "ACCEPTED"
    COMPLETED = "COMPLETED"
    DECLINED = "DECLINED"
    WITHDRAWN = "WITHDRAWN"


class Action(StrEnum):
    """What somebody asks for."""

    CREATE = "CREATE"
    DELIVER = "DELIVER"
    ACKNOWLEDGE = "ACKNOWLEDGE"
    ACCEPT = "ACCEPT"
    DECLINE = "DECLINE"
    WITHDRAW = "WITHDRAW"
    COMPLETE = "COMPLETE"
    RESEAL = "RESEAL"
    ASK_RESEAL = "ASK_RESEAL"


class Side(StrEnum):
    """The two ends of a referral."""

    SENDER = "SENDER"
    RECIPIENT = "RECIPIENT"

    @property
    def other(self) -> Side:
        return Side.RECIPIENT if self is Side.SENDER else Side.SENDER


class EndedBy(StrEnum):
    """Who ended it; empty while it is open."""

    NOBODY = ""
    REFERRER = "REFERRER"
    RECIPIENT = "RECIPIENT"


NEXT: Final = {
    # whose turn it is in an open state, and whether until ``answer_by``
    State.SENT: (Side.RECIPIENT, True),
    State.DELIVERED: (Side.RECIPIENT, True),
    State.ACKNOWLEDGED: (Side.RECIPIENT, True),
    State.ACCEPTED: (Side.RECIPIENT, False),
}
"""Who has to do something next. While the recipient asks for a new seal it is the sender, in every
open state; nobody once it is closed. A stop changes none of it: it ends sharing and not help."""

OPEN: Final = frozenset({State.SENT, State.DELIVERED, State.ACKNOWLEDGED, State.ACCEPTED})
"""States that can still move. The others never reopen."""
REFUSED: Final = frozenset({State.DECLINED, State.WITHDRAWN})
"""Closed without help: nothing more is opened, at referral and at consent alike."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One row.

    Attributes:
        source: the state before; None where there is no referral yet.
        action: what is asked for. by: the only side that may ask.
        target: the state afterwards; the same as ``source`` where the state already says it.
        guard: what must hold besides, in words; the use case checks it.
        event: what the other side hears, or None where nothing changed.
        ended_by: who ended the referral by this.
        answers: whether it sets ``answered_at``.
    """

    source: State | None
    action: Action
    by: Side
    target: State
    guard: str = ""
    event: EventType.ValueType | None = None
    ended_by: EndedBy = EndedBy.NOBODY
    answers: bool = False

    @property
    def moves(self) -> bool:
        return self.source is not self.target

    @property
    def tells(self) -> Side:
        """Who hears of it: the side that did not do it."""
        return self.by.other


_LIVE: Final = "valid consent token, live protocol, service needs, sharing not stopped"
_SIGNED: Final = "signed answer for this manifest, acknowledged by consent"
_CODED: Final = _SIGNED + ", a coded reason"
_OUTCOME: Final = "an outcome code"
_RESEAL: Final = _LIVE + ", a manifest that consent let replace the one that holds"


def _rows() -> tuple[Transition, ...]:
    s, a, to = State, Action, Side.RECIPIENT
    accepted = EventType.EVENT_TYPE_REFERRAL_ACCEPTED
    declined = EventType.EVENT_TYPE_REFERRAL_DECLINED
    withdrawn = EventType.EVENT_TYPE_REFERRAL_WITHDRAWN
    waiting = (s.SENT, s.DELIVERED, s.ACKNOWLEDGED)
    rows = [
        Transition(
            None, a.CREATE, Side.SENDER, s.SENT, _LIVE, EventType.EVENT_TYPE_REFERRAL_CREATED
        ),
        Transition(
            s.SENT, a.DELIVER, to, s.DELIVERED, event=EventType.EVENT_TYPE_REFERRAL_DELIVERED
        ),
    ]
    # A later state already says that the parts arrived and that a person has seen them.
    rows += [Transition(x, a.DELIVER, to, x) for x in (s.DELIVERED, s.ACKNOWLEDGED, s.ACCEPTED)]
    rows += [
        Transition(
            x, a.ACKNOWLEDGE, to, s.ACKNOWLEDGED, event=EventType.EVENT_TYPE_REFERRAL_ACKNOWLEDGED
        )
        for x in (s.SENT, s.DELIVERED)
    ]
    rows += [Transition(x, a.ACKNOWLEDGE, to, x) for x in (s.ACKNOWLEDGED, s.ACCEPTED)]
    rows += [
        Transition(x, a.ACCEPT, to, s.ACCEPTED, _SIGNED, accepted, answers=True) for x in waiting
    ]
    rows += [
        Transition(x, a.DECLINE, to, s.DECLINED, _CODED, declined, EndedBy.RECIPIENT, True)
        for x in waiting
    ]
    # The recipient may end an accepted place with a reason; the time of its answer stays.
    rows.append(
        Transition(s.ACCEPTED, a.DECLINE, to, s.DECLINED, _CODED, declined, EndedBy.RECIPIENT)
    )
    # An accepted place is taken back by the sender only as a referral; what the recipient then
    # does with the place is between it and her.
    rows += [
        Transition(x, a.WITHDRAW, Side.SENDER, s.WITHDRAWN, _CODED, withdrawn, EndedBy.REFERRER)
        for x in (*waiting, s.ACCEPTED)
    ]
    rows.append(
        Transition(
            s.ACCEPTED,
            a.COMPLETE,
            to,
            s.COMPLETED,
            _OUTCOME,
            EventType.EVENT_TYPE_REFERRAL_COMPLETED,
            EndedBy.RECIPIENT,
        )
    )
    # State, place and clocks stay: only what is sealed is new.
    resealed = EventType.EVENT_TYPE_REFERRAL_RESEALED
    asked = EventType.EVENT_TYPE_REFERRAL_RESEAL_ASKED
    rows += [
        Transition(x, a.RESEAL, Side.SENDER, x, _RESEAL, resealed) for x in (*waiting, s.ACCEPTED)
    ]
    rows += [Transition(x, a.ASK_RESEAL, to, x, event=asked) for x in (*waiting, s.ACCEPTED)]
    return tuple(rows)


TABLE: Final = _rows()
_INDEX: Final = {(row.source, row.action): row for row in TABLE}
_BY: Final = {row.action: row.by for row in TABLE}

SHARING: Final = {
    # what consent says: (sharing is stopped, what both sides hear)
    EventType.EVENT_TYPE_CONSENT_ENDED: (True, EventType.EVENT_TYPE_REFERRAL_SHARING_STOPPED),
    EventType.EVENT_TYPE_CONSENT_RESUMED: (False, EventType.EVENT_TYPE_REFERRAL_SHARING_RESUMED),
}
"""Sharing stops and resumes in every state, and moves no state, place or clock."""


def decide(state: State | None, action: Action, side: Side) -> Transition:
    """The row for ``action`` in ``state`` by ``side``.

    Raises NOT_ALLOWED for the wrong side, REFERRAL_CLOSED after a decline or withdrawal,
    STATE_CONFLICT for every other state without a row.
    """
    if _BY[action] is not side:
        raise SafehandError(Reason.NOT_ALLOWED)
    row = _INDEX.get((state, action))
    if row is not None:
        return row
    if state in REFUSED:
        raise SafehandError(Reason.REFERRAL_CLOSED)
    raise SafehandError(Reason.STATE_CONFLICT)


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose turn it is: ``side`` None where it is over. ``by``: seconds since the epoch, None where
    nothing is due or no date is known. ``late``: whether ``by`` is over."""

    side: Side | None
    by: int | None = None
    late: bool = False


def turn(state: State, *, answer_by: int, reseal_asked: bool, now: int) -> Turn:
    """Who has to do something next, by ``NEXT``. Times in seconds since the epoch."""
    if state not in NEXT:
        return Turn(None)
    if reseal_asked:
        return Turn(Side.SENDER)
    side, dated = NEXT[state]
    return Turn(side, answer_by, now > answer_by) if dated else Turn(side)


def answer_by(created_at: int, urgency: str) -> int:
    """Until when the recipient should answer, seconds since the epoch (``URGENCY_ANSWER_S``)."""
    return created_at + URGENCY_ANSWER_S[urgency]


def event_name(event: EventType.ValueType) -> str:
    """The event's word, without the enum's prefix: ``REFERRAL_ACCEPTED``."""
    return EventType.Name(event).removeprefix("EVENT_TYPE_")


def to_markdown() -> str:
    """The table for the documentation: one line per row, then sharing, the answer windows, and
    whose turn it is."""
    lines = [
        "| from | action | who | guard | to | event, to the other side | ended by |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in TABLE:
        cells = (
            row.source or "–",
            row.action,
            row.by.lower(),
            row.guard or "–",
            row.target if row.moves else "stays",
            event_name(row.event) if row.event is not None else "–",
            row.ended_by.lower() or "–",
        )
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "| consent says | sharing stopped | state, place, clocks | event, to both sides |",
        "|---|---|---|---|",
    ]
    for heard, (stopped, told) in SHARING.items():
        said = "yes" if stopped else "no"
        lines.append(f"| {event_name(heard)} | {said} | stay | {event_name(told)} |")
    lines += ["", "| urgency | answer within |", "|---|---|"]
    lines += [f"| {word} | {seconds // 3600} h |" for word, seconds in URGENCY_ANSWER_S.items()]
    lines += ["", "| state | next | by |", "|---|---|---|"]
    for state, (side, dated) in NEXT.items():
        due = "the end of the answer window" if dated else "no date known"
        lines.append(f"| {state} | {side.lower()} | {due} |")
    lines += [
        "| any of these, while a new seal is asked for | sender | no date known |",
        "| every other | nobody | – |",
    ]
    return "\n".join(lines) + "\n"
