"""What every use case of this service needs, made once by ``app``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from safehand_core.canonical import Json
from safehand_core.clock import Clock
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.note import NoteVerifier
from safehand_store import idempotency
from safehand_store.engine import begin_write
from sqlalchemy import Connection, Engine

from safehand_referral_service.token_keys import TokenKeys


@dataclass(frozen=True, slots=True)
class Context:
    """The service's own things.

    Attributes:
        engine: its database.
        clock: its only source of time.
        token_keys: consent's token keys by ``kid`` (32 bytes each), as it lists them now.
        issuer, audience: what a consent token must name.
        ledger: the pinned ledger key, under which receipts of key records are verified.
        wake: tells the relay that the outbox has something new; never blocks, never raises.
        followed: set while this process has applied, or set aside and denies, every event of
            consent's that it was told of (PROTOCOL rule 7).
    """

    engine: Engine
    clock: Clock
    token_keys: TokenKeys
    issuer: str
    audience: str
    ledger: NoteVerifier
    wake: Callable[[], None]
    followed: threading.Event = field(default_factory=threading.Event)

    def require_followed(self) -> None:
        """Raise UNAVAILABLE while an event of consent's is not dealt with: it may be a stop."""
        if not self.followed.is_set():
            raise SafehandError(Reason.UNAVAILABLE, "consent's events are not read yet")


@dataclass(frozen=True, slots=True)
class Request:
    """One mutation, as idempotency knows it.

    Attributes:
        caller: the SPIFFE id. method: ``/package.Service/Method``.
        request_id: the caller's UUID. hash: of the whole request.
    """

    caller: str
    method: str
    request_id: str
    hash: bytes


def earlier(connection: Connection, request: Request) -> dict[str, Json] | None:
    """What this very request was answered before, or None; raises REQUEST_ID_REUSED."""
    return idempotency.lookup(
        connection, request.caller, request.method, request.request_id, request.hash
    )


def once(
    context: Context, request: Request, work: Callable[[Connection], dict[str, Json]]
) -> dict[str, Json]:
    """Do ``work`` in one write transaction unless it was done before, and say what it said.

    ``work`` returns a reference to what it did. Its effect, its events and the memory of the
    request are committed together or not at all. Raises REQUEST_ID_REUSED and what ``work`` raises.
    """
    with begin_write(context.engine) as connection:
        found = earlier(connection, request)
        if found is not None:
            return found
        result = work(connection)
        idempotency.remember(
            connection,
            request.caller,
            request.method,
            request.request_id,
            request.hash,
            result,
            at=context.clock.wall(),
        )
    context.wake()
    return result
