""" "Do not show": what she leaves out of her pages, and how she has all of it back.

It changes what is shown and nothing else: what is hidden is shared, stopped and logged like all the
rest. It is no entry of the ledger; it goes through the writer, which is the only one that writes.
"""

from __future__ import annotations

from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_ledger.transaction import WriterTransaction
from safehand_store.engine import begin_read
from safehand_store.prepared import Written
from sqlalchemy import Connection, delete

from safehand_consent_service import portal_seen, portal_shown, portal_steps
from safehand_consent_service.context import Context, Request, earlier, remember
from safehand_consent_service.portal_numbers import ASK, GRANT, LOOK, REFERRAL, Kind, Numbers
from safehand_consent_service.portal_shown import Hidden
from safehand_consent_service.seats import Seat
from safehand_consent_service.tables_portal import hidden_item

HIDE: Final = "HideItem"
SHOW: Final = "ShowEverything"

_HIDE: Final = Written(
    "INSERT INTO hidden_item (subject_id, kind, item_id, hidden_at) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (subject_id, kind, item_id) DO NOTHING"
)


def hide(context: Context, seat: Seat, number: str, request_id: str) -> None:
    """Leave the sharing, question, step or look with this number out from now on.

    Raises NOT_FOUND for what is not shown, as for what is not there; REQUEST_ID_REUSED. The very
    request that hid it finds it hidden, and that is no error.
    """
    caller = context.cards.caller(seat.subject_id)
    with begin_read(context.engine) as connection:
        marked = portal_shown.hidden(connection, seat.subject_id)
        kind, item = _named(connection, seat, number)
        what = context.cards.request_hash(f"{HIDE}\0{kind}\0{item}".encode())
        request = Request(caller, HIDE, request_id, what)
        if earlier(connection, request) is not None:
            return
        if _is_hidden(connection, seat.subject_id, kind, item, marked):
            raise SafehandError(Reason.NOT_FOUND)

    def operation(txn: WriterTransaction) -> None:
        if earlier(txn.connection, request) is not None:
            return
        _HIDE.execute(txn.connection, seat.subject_id, kind, item, txn.now)
        remember(txn, request, {})

    context.writer.submit(operation, housekeeping=True)


def show_everything(context: Context, seat: Seat, request_id: str) -> None:
    """Take every mark back; the same answer after the same work whether there was one.

    The PIN was asked for before. A repeat takes back what was marked since: it is what she asks
    for. Raises REQUEST_ID_REUSED.
    """
    what = context.cards.request_hash(SHOW.encode())
    request = Request(context.cards.caller(seat.subject_id), SHOW, request_id, what)

    def operation(txn: WriterTransaction) -> None:
        found = earlier(txn.connection, request)
        txn.connection.execute(
            delete(hidden_item).where(hidden_item.c.subject_id == seat.subject_id)
        )
        if found is None:
            remember(txn, request, {})

    context.writer.submit(operation, housekeeping=True)


def _named(connection: Connection, seat: Seat, number: str) -> tuple[Kind, str]:
    """What the number is, hidden or not; NOT_FOUND for nothing, and for more than one thing."""
    numbers = Numbers(seat.secret)
    grants = [row.grant_id for row in portal_shown.all_grants(connection, seat.subject_id)]
    all_of_it: dict[Kind, list[str]] = {
        GRANT: grants,
        ASK: [row.ask_id for row in portal_shown.all_asks(connection, seat.subject_id)],
        REFERRAL: portal_steps.all_referrals(connection, grants),
        LOOK: portal_seen.all_items(connection, grants),
    }
    found = [
        (kind, item)
        for kind, items in all_of_it.items()
        for item in numbers.matching(kind, number, items)
    ]
    if len(found) != 1:
        raise SafehandError(Reason.NOT_FOUND)
    return found[0]


def _is_hidden(
    connection: Connection, subject_id: str, kind: Kind, item: str, marked: Hidden
) -> bool:
    """Whether no page shows it: it is marked itself, or what it hangs on is."""
    if marked.has(kind, item) or kind == GRANT:
        return marked.has(kind, item)
    if kind == ASK:
        asks = portal_shown.asks(connection, subject_id, marked)
        return item not in {row.ask_id for row in asks}
    shown = [row.grant_id for row in portal_shown.grants(connection, subject_id, marked)]
    if kind == REFERRAL:
        return item not in portal_steps.all_referrals(connection, shown)
    return item not in portal_seen.all_items(connection, shown)


__all__ = ["hide", "show_everything"]
