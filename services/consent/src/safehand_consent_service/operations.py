"""What consent's own operator does: enrol agencies, replace keys, confirm the clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from safehand_core.canonical import Json
from safehand_formats import signing
from safehand_formats.succession import SignedSuccession
from safehand_ledger.transaction import WriterTransaction
from safehand_store.engine import begin_read

from safehand_consent_service import agencies, kek_roll
from safehand_consent_service.context import Context, Request, earlier, remember
from safehand_consent_service.kek_roll import Rolled
from safehand_consent_service.token_keys import TokenKey


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

    Raises REQUEST_ID_REUSED, STATE_CONFLICT (another roll is under way).
    """
    with begin_read(context.engine) as connection:
        found = earlier(connection, request)
    if found is not None:
        return _rolled(found)
    rolled = kek_roll.roll(context)

    def operation(txn: WriterTransaction) -> Rolled:
        # The same request twice at a time: both rolled, and both say what the first one did.
        first = earlier(txn.connection, request)
        if first is not None:
            return _rolled(first)
        remember(txn, request, {"epoch": rolled.epoch, "rewrapped": rolled.rewrapped})
        return rolled

    return context.writer.submit(operation).value


def rotate_token_key(context: Context, request: Request, *, stolen: bool) -> TokenKey:
    """Make the next token key before its time; ``stolen``: it signs at once, and nothing verifies
    under an older one. A repeated request answers the newest key. Raises REQUEST_ID_REUSED."""
    keys = context.token_keys

    def operation(txn: WriterTransaction) -> TokenKey:
        if earlier(txn.connection, request) is not None:
            return keys.newest(txn.connection)
        made = keys.rotate(txn.connection, txn.now, stolen=stolen)
        remember(txn, request, {"sequence": made.sequence})
        return made

    made = context.writer.submit(operation).value
    keys.load(context.now)
    return made


@dataclass(frozen=True, slots=True)
class NextKey:
    """The operator's word for an agency's next identity key (32 bytes); ``overlap_s``: how long
    the one before holds too; ``signed``: the word of the one before."""

    agency: str
    old_fingerprint: str
    identity_key: bytes
    overlap_s: int = agencies.OVERLAP_S
    signed: SignedSuccession | None = None


def rotate_agency_key(context: Context, wanted: NextKey, request: Request) -> tuple[str, int]:
    """Pin an agency's next identity key; returns its fingerprint (64 hex), and when the old one
    ends. Raises AGENCY_UNKNOWN, SIGNATURE_INVALID, ALREADY_EXISTS, MALFORMED, REQUEST_ID_REUSED.
    """

    def operation(txn: WriterTransaction) -> int:
        found = earlier(txn.connection, request)
        if found is not None:
            return cast(int, found["ends_at"])
        ends_at = agencies.rotate(
            txn.connection,
            wanted.agency,
            wanted.old_fingerprint,
            wanted.identity_key,
            wanted.overlap_s,
            txn.now,
            wanted.signed,
        )
        remember(txn, request, {"ends_at": ends_at})
        return ends_at

    ends_at = context.writer.submit(operation).value
    return signing.identity_key_id(wanted.identity_key), ends_at


def revoke_agency_key(context: Context, agency: str, fingerprint: str, request: Request) -> int:
    """Believe nothing under a key any more; returns how many keys the agency has left.

    Raises AGENCY_UNKNOWN, KEY_UNKNOWN, REQUEST_ID_REUSED.
    """

    def operation(txn: WriterTransaction) -> int:
        repeated = earlier(txn.connection, request) is not None
        left = agencies.revoke(txn.connection, agency, fingerprint, txn.now)
        if not repeated:
            remember(txn, request, {})
        return left

    return context.writer.submit(operation).value


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
