"""What consent's own operator does: enrol agencies, roll the release KEK, confirm the clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_ledger.transaction import WriterTransaction
from safehand_store.engine import begin_read
from sqlalchemy import Connection

from safehand_consent_service import agencies
from safehand_consent_service.category_keys import Rolled
from safehand_consent_service.context import Context, Request, earlier, remember


def enrol_agency(
    context: Context, agency: str, identity_key: bytes, display_name: str, request: Request
) -> str:
    """Pin an agency's identity key (32 bytes); returns its fingerprint, 64 hex.

    Raises ALREADY_EXISTS, MALFORMED, REQUEST_ID_REUSED.
    """

    def operation(txn: WriterTransaction) -> str:
        found = earlier(txn.connection, request)
        if found is not None:
            return cast(str, found["fingerprint"])
        fingerprint = agencies.enrol(txn.connection, agency, identity_key, display_name, txn.now)
        remember(txn, request, {"fingerprint": fingerprint})
        return fingerprint

    return context.writer.submit(operation).value


def roll_keys(context: Context, request: Request) -> Rolled:
    """Replace the release KEK (PROTOCOL step 15); a repeated request rolls only once.

    Raises REQUEST_ID_REUSED, STATE_CONFLICT (another roll at the same time).
    """
    with begin_read(context.engine) as connection:
        found = earlier(connection, request)
    if found is not None:
        return _rolled(found)

    def run(rewrap: Callable[[Connection], Rolled]) -> Rolled:
        def operation(txn: WriterTransaction) -> Rolled:
            if earlier(txn.connection, request) is not None:
                raise SafehandError(Reason.STATE_CONFLICT, "this very roll is under way")
            rolled = rewrap(txn.connection)
            remember(txn, request, {"epoch": rolled.epoch, "rewrapped": rolled.rewrapped})
            return rolled

        return context.writer.submit(operation).value

    return context.keks.roll(run, context.now)


def confirm_clock(context: Context, request: Request) -> int:
    """An operator looked at the clock: believe it. Returns ``ledger_now``, seconds.

    The confirmed time is stored with the head, so that a restart does not doubt it again.
    """
    with begin_read(context.engine) as connection:
        repeated = earlier(connection, request) is not None
    if not repeated:
        context.writer.confirm_clock()

    def operation(txn: WriterTransaction) -> int:
        if earlier(txn.connection, request) is None:
            remember(txn, request, {})
        return txn.now

    return context.writer.submit(operation).value


def _rolled(found: dict[str, Json]) -> Rolled:
    return Rolled(cast(int, found["epoch"]), cast(int, found["rewrapped"]))
