"""What every use case of this service needs, made once by ``app``, and how a repeat is answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.message import Message
from safehand_core.canonical import Json
from safehand_core.clock import Clock
from safehand_core.entropy import Entropy
from safehand_formats.note import NoteVerifier
from safehand_ledger.reader import LedgerReader
from safehand_ledger.transaction import WriterTransaction
from safehand_ledger.writer import Committed, LedgerWriter
from safehand_rpc.paging import Pager
from safehand_store import idempotency
from sqlalchemy import Connection, Engine

from safehand_consent_service.cards import Cards
from safehand_consent_service.category_keys import KekRing
from safehand_consent_service.draft_box import DraftBox
from safehand_consent_service.gate import Gates
from safehand_consent_service.hooks import Hooks
from safehand_consent_service.portal_heard import Heard
from safehand_consent_service.refused_looks import RefusedLooks
from safehand_consent_service.token_keys import TokenKeys


class WokenFor:
    """The ledger transaction for which the relay was woken last. Safe from any thread: at worst
    it says of one twice that it is new."""

    def __init__(self) -> None:
        self._began = -1.0

    def is_new(self, began: float) -> bool:
        """Whether another transaction was the last; ``began``: when its commit did."""
        if began == self._began:
            return False
        self._began = began
        return True


@dataclass(frozen=True, slots=True)
class Context:
    """The service's own things.

    Attributes:
        engine: its database, for reading; everything is written through ``writer``.
        writer, reader: the ledger.
        gates: one release gate per grant, in this process.
        keks: the category keys.
        cards: what needs a pepper.
        drafts: seals what she chose and has not answered.
        pager: page tokens.
        ledger: the ledger's public key, as clients pin it.
        token_keys: sign consent tokens and acknowledgements, one at a time.
        issuer, audience: what a consent token names.
        wake: tells the relay that the outbox has something new; never blocks, never raises.
        refused: the rows of refused looks, written in the background.
        heard: when each agency last spoke to this service.
        hooks: where a test watches the order of answers.
    """

    engine: Engine
    writer: LedgerWriter
    reader: LedgerReader
    clock: Clock
    entropy: Entropy
    gates: Gates
    keks: KekRing
    cards: Cards
    drafts: DraftBox
    pager: Pager
    ledger: NoteVerifier
    token_keys: TokenKeys
    issuer: str
    audience: str
    wake: Callable[[], None]
    refused: RefusedLooks
    heard: Heard
    hooks: Hooks = field(default_factory=Hooks)
    woken: WokenFor = field(default_factory=WokenFor)

    @property
    def now(self) -> int:
        """The ledger's time, seconds since the epoch: it never runs backwards."""
        return self.writer.now

    def wake_behind(self, done: Committed[Any]) -> None:
        """As ``wake``, once for all operations of one ledger transaction: each hint is a system
        call here and a look at the outbox there, and the first finds what all of them wrote."""
        if self.woken.is_new(done.commit_began):
            self.wake()

    @property
    def token_key(self) -> Ed25519PrivateKey:
        """What signs tokens and acknowledgements now."""
        return self.token_keys.signer(self.now)


@dataclass(frozen=True, slots=True)
class Request:
    """One mutation, as idempotency knows it.

    Attributes:
        caller: who asked: a SPIFFE id, or a keyed hash of her subject id.
        method: the method's name.
        request_id: the caller's UUID.
        hash: keyed hash of the whole request, without her session.
    """

    caller: str
    method: str
    request_id: str
    hash: bytes


def request_of(cards: Cards, caller: str, message: Message) -> Request:
    """``message`` (it has a ``request_id``) as idempotency knows it.

    Her session is left out: a repeat may come after she signed in again.
    """
    copy = type(message)()
    copy.CopyFrom(message)
    if "session" in copy.DESCRIPTOR.fields_by_name:
        copy.ClearField("session")
    data = copy.SerializeToString(deterministic=True)
    request_id: str = message.request_id  # type: ignore[attr-defined]
    return Request(caller, copy.DESCRIPTOR.name, request_id, cards.request_hash(data))


def earlier(connection: Connection, request: Request) -> dict[str, Json] | None:
    """What this very request led to before, or None; raises REQUEST_ID_REUSED.

    Inside the writer's transaction it is the last word; elsewhere it saves work.
    """
    return idempotency.lookup(
        connection, request.caller, request.method, request.request_id, request.hash
    )


def earlier_here(txn: WriterTransaction, request: Request) -> dict[str, Json] | None:
    """As ``earlier`` inside the writer's transaction, without writing what it has put off."""
    return idempotency.lookup(
        txn.hot, request.caller, request.method, request.request_id, request.hash, later=txn.later
    )


def remember(txn: WriterTransaction, request: Request, result: dict[str, Json]) -> None:
    """Keep what a new request led to: ids and ledger indexes, never released bytes."""
    idempotency.remember_later(
        txn.later,
        request.caller,
        request.method,
        request.request_id,
        request.hash,
        result,
        at=txn.now,
    )
