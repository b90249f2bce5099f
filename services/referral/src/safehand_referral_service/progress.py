"""Delivery, acknowledgement, completion: what the recipient says without a signature."""

from __future__ import annotations

from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import OUTCOMES
from sqlalchemy import Connection

from safehand_referral_service import fetch, referral_store, states
from safehand_referral_service.context import Context, Request, once
from safehand_referral_service.referral_store import Referral
from safehand_referral_service.states import Action


def deliver(context: Context, request: Request, agency: str, referral: str) -> Referral:
    """The recipient's system holds the parts.

    Raises NOT_ALLOWED, REFERRAL_CLOSED, STATE_CONFLICT, REQUEST_ID_REUSED.
    """
    return _move(context, request, agency, referral, Action.DELIVER)


def acknowledge(context: Context, request: Request, agency: str, referral: str) -> Referral:
    """The recipient has confirmed it, as a tool may do by itself. Raises as ``deliver``."""
    return _move(context, request, agency, referral, Action.ACKNOWLEDGE)


def complete(
    context: Context, request: Request, agency: str, referral: str, outcome: str
) -> Referral:
    """The accepted service is over. Raises as ``deliver``, MALFORMED for no outcome code."""
    if outcome not in OUTCOMES:
        raise SafehandError(Reason.MALFORMED, "not an outcome code", metadata={"field": "outcome"})
    return _move(context, request, agency, referral, Action.COMPLETE, outcome=outcome)


def ask_reseal(context: Context, request: Request, agency: str, referral: str) -> Referral:
    """The recipient cannot open it any more, such as when its key is lost: the sender is asked to
    seal it again. Raises as ``deliver``."""

    def work(connection: Connection) -> dict[str, Json]:
        found, side = referral_store.require(connection, referral, agency)
        row, now = states.decide(found.state, Action.ASK_RESEAL, side), context.clock.wall()
        if referral_store.ask_reseal(connection, found, now):
            referral_store.tell(connection, found, row, now)
        return {"referral": referral}

    once(context, request, work)
    return fetch.state(context, agency, referral)


def _move(
    context: Context, request: Request, agency: str, referral: str, action: Action, **values: str
) -> Referral:
    def work(connection: Connection) -> dict[str, Json]:
        found, side = referral_store.require(connection, referral, agency)
        row = states.decide(found.state, action, side)
        referral_store.move(connection, found, row, context.clock.wall(), **values)
        return {"referral": referral}

    once(context, request, work)
    return fetch.state(context, agency, referral)
