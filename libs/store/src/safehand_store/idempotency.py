"""A repeated request gets its first answer (PROTOCOL rule 3).

Keyed by (caller, method, request_id) with a hash of the request, looked up and stored inside the
transaction that does the work. What is stored is a small result, such as a ledger index; bytes
that were released to a caller are never among it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from safehand_core import canonical
from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from sqlalchemy import (
    Column,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    select,
)

from safehand_store.columns import Whole
from safehand_store.later import Later, ManyRows
from safehand_store.prepared import Prepared

TABLE_NAME: Final = "idempotency"
KEEP_S: Final = 7 * 24 * 3600
"""How long an answer is kept, seconds: longer than any client retries one request."""
MAX_RESULT_BYTES: Final = 1024
"""A result is a reference to what was done, not what was sent back."""


def table(metadata: MetaData) -> Table:
    """The table, for a service's own metadata; the functions below use it by its name."""
    made = Table(
        TABLE_NAME,
        metadata,
        Column("caller", Text, primary_key=True),
        Column("method", Text, primary_key=True),
        Column("request_id", Text, primary_key=True),
        Column("request_hash", LargeBinary, nullable=False),
        Column("result", LargeBinary, nullable=False),
        Column("at", Whole, nullable=False),
        sqlite_with_rowid=False,
        sqlite_strict=True,
    )
    Index(f"{TABLE_NAME}_at", made.c.at)
    return made


_T: Final = table(MetaData())
_LOOKUP: Final = Prepared(
    select(_T.c.request_hash, _T.c.result).where(
        _T.c.caller == bindparam("caller"),
        _T.c.method == bindparam("method"),
        _T.c.request_id == bindparam("request_id"),
    )
)
_REMEMBER: Final = Prepared(insert(_T))
_ROWS: Final = ManyRows(_T, key=3)
_PRUNE: Final = delete(_T).where(_T.c.at < bindparam("before"))


def hash_request(data: bytes) -> bytes:
    """The hash that tells a repeat from another request: SHA-256 of its deterministic bytes."""
    return hashlib.sha256(data).digest()


def lookup(
    connection: Connection,
    caller: str,
    method: str,
    request_id: str,
    request_hash: bytes,
    *,
    later: Later | None = None,
) -> dict[str, Json] | None:
    """What ``remember`` stored for this request, or None for a new one.

    ``later``: what the same transaction has put off. Raises REQUEST_ID_REUSED when the same id
    came with another request.
    """
    put_off = None if later is None else later.find(_ROWS, caller, method, request_id)
    if put_off is not None:
        _, _, _, stored_hash, result, _ = put_off
    else:
        row = _LOOKUP.first(connection, caller=caller, method=method, request_id=request_id)
        if row is None:
            return None
        stored_hash, result = row.request_hash, row.result
    if stored_hash != request_hash:
        raise SafehandError(Reason.REQUEST_ID_REUSED)
    return canonical.decode_object(result, max_bytes=MAX_RESULT_BYTES)


def remember(
    connection: Connection,
    caller: str,
    method: str,
    request_id: str,
    request_hash: bytes,
    result: Mapping[str, Json],
    *,
    at: int,
) -> None:
    """Store the result of a new request (call ``lookup`` first, in the same transaction).

    ``at``: seconds since the epoch, for ``prune``. Raises TOO_LARGE above 1 KiB.
    """
    _REMEMBER.run(
        connection,
        caller=caller,
        method=method,
        request_id=request_id,
        request_hash=request_hash,
        result=_result(result),
        at=at,
    )


def remember_later(
    later: Later,
    caller: str,
    method: str,
    request_id: str,
    request_hash: bytes,
    result: Mapping[str, Json],
    *,
    at: int,
) -> None:
    """As ``remember``, written with the other rows of the transaction.

    Raises TOO_LARGE, and INTERNAL for a request that this transaction has answered already.
    """
    if later.find(_ROWS, caller, method, request_id) is not None:
        raise SafehandError(Reason.INTERNAL, "a request was answered twice")
    later.add(_ROWS, caller, method, request_id, request_hash, _result(result), at)


def _result(result: Mapping[str, Json]) -> bytes:
    data = canonical.encode(dict(result))
    if len(data) > MAX_RESULT_BYTES:
        raise SafehandError(Reason.TOO_LARGE, "an idempotent result is a reference, not a copy")
    return data


def prune(connection: Connection, *, now: int) -> int:
    """Forget results older than ``KEEP_S``; returns how many."""
    return connection.execute(_PRUNE, {"before": now - KEEP_S}).rowcount
