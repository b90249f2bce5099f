"""The table of states against the same table written a second time, by hand."""

from __future__ import annotations

import pytest
from safehand.events.v1.events_pb2 import EventType
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import URGENCY_ANSWER_S
from safehand_referral_service import states
from safehand_referral_service.states import Action, EndedBy, Side, State

STATES = (
    "SENT", "DELIVERED", "ACKNOWLEDGED", "ACCEPTED", "COMPLETED", "DECLINED", "WITHDRAWN",
)  # fmt: skip

# Per action: who may, then what comes of it in each of STATES. A state: it moves there. "=": it
# stays, nobody is told. "told": it stays, the other side hears. "closed": REFERRAL_CLOSED. "no":
# STATE_CONFLICT.
EXPECTED = {
    "CREATE": ("SENDER", ("no", "no", "no", "no", "no", "closed", "closed")),
    "DELIVER": ("RECIPIENT", ("DELIVERED", "=", "=", "=", "no", "closed", "closed")),
    "ACKNOWLEDGE": (
        "RECIPIENT",
        ("ACKNOWLEDGED", "ACKNOWLEDGED", "=", "=", "no", "closed", "closed"),
    ),
    "ACCEPT": ("RECIPIENT", ("ACCEPTED", "ACCEPTED", "ACCEPTED", "no", "no", "closed", "closed")),
    "DECLINE": (
        "RECIPIENT",
        ("DECLINED", "DECLINED", "DECLINED", "DECLINED", "no", "closed", "closed"),
    ),
    "WITHDRAW": (
        "SENDER",
        ("WITHDRAWN", "WITHDRAWN", "WITHDRAWN", "WITHDRAWN", "no", "closed", "closed"),
    ),
    "COMPLETE": ("RECIPIENT", ("no", "no", "no", "COMPLETED", "no", "closed", "closed")),
    "RESEAL": ("SENDER", ("told", "told", "told", "told", "no", "closed", "closed")),
    "ASK_RESEAL": ("RECIPIENT", ("told", "told", "told", "told", "no", "closed", "closed")),
}
EVENTS = {
    "CREATE": "REFERRAL_CREATED",
    "DELIVER": "REFERRAL_DELIVERED",
    "ACKNOWLEDGE": "REFERRAL_ACKNOWLEDGED",
    "ACCEPT": "REFERRAL_ACCEPTED",
    "DECLINE": "REFERRAL_DECLINED",
    "WITHDRAW": "REFERRAL_WITHDRAWN",
    "COMPLETE": "REFERRAL_COMPLETED",
    "RESEAL": "REFERRAL_RESEALED",
    "ASK_RESEAL": "REFERRAL_RESEAL_ASKED",
}
ENDS = {"DECLINE": "RECIPIENT", "COMPLETE": "RECIPIENT", "WITHDRAW": "REFERRER"}
REASONS = {"no": Reason.STATE_CONFLICT, "closed": Reason.REFERRAL_CLOSED}

MATRIX = [
    (state, action, side)
    for action in EXPECTED
    for state in STATES
    for side in ("SENDER", "RECIPIENT")
]


def test_the_matrix_names_every_state_action_and_side() -> None:
    assert {State(s) for s in STATES} == set(State)
    assert {Action(a) for a in EXPECTED} == set(Action)
    assert len(MATRIX) == len(State) * len(Action) * len(Side)


@pytest.mark.parametrize(("state", "action", "side"), MATRIX)
def test_every_state_action_and_party(state: str, action: str, side: str) -> None:
    by, outcomes = EXPECTED[action]
    outcome = outcomes[STATES.index(state)]
    if side != by or outcome in REASONS:
        with pytest.raises(SafehandError) as caught:
            states.decide(State(state), Action(action), Side(side))
        assert caught.value.reason is (Reason.NOT_ALLOWED if side != by else REASONS[outcome])
        return
    row = states.decide(State(state), Action(action), Side(side))
    stays = outcome in ("=", "told")
    assert row.target == (state if stays else outcome)
    assert row.moves == (not stays)
    assert row.by == by
    if stays:
        heard = None if row.event is None else states.event_name(row.event)
        assert heard == (EVENTS[action] if outcome == "told" else None)
        assert row.tells != row.by
        assert row.ended_by is EndedBy.NOBODY
        return
    assert row.event is not None
    assert states.event_name(row.event) == EVENTS[action]
    assert row.tells != row.by
    assert row.ended_by == ENDS.get(action, "")
    assert row.answers == (action in ("ACCEPT", "DECLINE") and state != "ACCEPTED")


def test_only_creation_begins_and_only_the_sender_can() -> None:
    made = states.decide(None, Action.CREATE, Side.SENDER)
    assert made.target is State.SENT
    assert made.tells is Side.RECIPIENT
    with pytest.raises(SafehandError) as caught:
        states.decide(None, Action.CREATE, Side.RECIPIENT)
    assert caught.value.reason is Reason.NOT_ALLOWED
    for action in set(Action) - {Action.CREATE}:
        with pytest.raises(SafehandError):
            states.decide(None, action, states._BY[action])


def test_a_closed_state_never_moves() -> None:
    assert {row.source for row in states.TABLE if row.moves} == {None, *states.OPEN}


def test_an_ended_grant_stops_sharing_and_a_resumed_one_lets_it_go_on() -> None:
    assert {states.event_name(k): v[0] for k, v in states.SHARING.items()} == {
        "CONSENT_ENDED": True,
        "CONSENT_RESUMED": False,
    }
    told = [states.event_name(event) for _, event in states.SHARING.values()]
    assert told == ["REFERRAL_SHARING_STOPPED", "REFERRAL_SHARING_RESUMED"]


def test_the_documentation_has_a_line_for_every_row() -> None:
    text = states.to_markdown()
    lines = text.splitlines()
    rows = [line for line in lines if line.startswith("| ") and line.count("|") == 8]
    assert len(rows) == len(states.TABLE) + 1
    assert "| ACCEPTED | COMPLETE | recipient | an outcome code | COMPLETED |" in text
    assert "| CONSENT_ENDED | yes | stay | REFERRAL_SHARING_STOPPED |" in lines
    for urgency in URGENCY_ANSWER_S:
        assert any(line.startswith(f"| {urgency} |") for line in lines)


def test_every_event_of_the_table_is_one_of_the_protos() -> None:
    events = {row.event for row in states.TABLE if row.event is not None}
    events |= {event for _, event in states.SHARING.values()}
    named = {v for n, v in EventType.items() if n.startswith("EVENT_TYPE_REFERRAL_")}
    assert events == named
