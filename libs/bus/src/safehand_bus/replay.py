"""Asking a service's relay to publish its events again, from any place of its sequence on.

For what lies behind the bus and lost its place. Our own followers do not need it: they ask the
source for what they miss, and a stream that lost its store is filled again without being asked.
"""

from __future__ import annotations

from collections.abc import Callable

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_store import outbox
from safehand_store.engine import begin_write
from sqlalchemy import Engine


def ask(
    engine: Engine, first: int, *, request_id: str, wake: Callable[[], None]
) -> tuple[int, int]:
    """Ask for everything from ``first`` on; returns the replay's number, and the last event's.

    The same ``request_id`` again is the same replay. Raises NOT_FOUND where there is no such
    event yet.
    """
    with begin_write(engine) as db:
        head = outbox.head(db)
        if not 1 <= first <= head:
            raise SafehandError(
                Reason.NOT_FOUND,
                "there is no event of that number",
                metadata={"last_sequence": str(head)},
            )
        number = outbox.ask_replay(db, first, request_id)
    wake()
    return number, head
