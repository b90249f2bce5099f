"""What an operation sees while it runs inside the writer's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from safehand_core.canonical import Json
from safehand_core.entropy import Entropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import merkle
from safehand_formats.bodies import body_time, encode_body
from safehand_formats.kinds import Kind
from safehand_formats.leaf import SALT_BYTES, Leaf, body_commitment
from safehand_formats.opening import Opening
from sqlalchemy import Connection

AUX_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry to be written: the leaf's bytes and hash, and what it commits to."""

    leaf: bytes
    leaf_hash: bytes
    opening: Opening
    body: bytes


@dataclass(slots=True)
class Pending:
    """The entries of one batch, in order; ``size`` is that of the tree before it."""

    size: int
    entries: list[Entry] = field(default_factory=list)

    @property
    def next_index(self) -> int:
        return self.size + len(self.entries)


class WriterTransaction:
    """The ledger at this point of its one order. Valid only while its operation runs.

    Attributes:
        connection: the service's database, inside the write transaction. Reads see every
            operation before this one; the ledger's own rows are written after the batch's
            operations, so ask ``append`` for an index, not the tables.
        now: ``ledger_now``, seconds since the epoch; never less than any before.
    """

    def __init__(
        self, connection: Connection, now: int, pending: Pending, entropy: Entropy
    ) -> None:
        self.connection = connection
        self.now = now
        self.appended: list[int] = []
        self.cited: list[int] = []
        self._pending = pending
        self._entropy = entropy

    def append(self, kind: Kind, tag: bytes, body: Mapping[str, Json] | None) -> int:
        """Append one entry; returns its index, which holds if the operation succeeds.

        ``tag`` is 32 bytes (``kinds.grant_tag``, ``kinds.key_tag``). The body's own time must be
        ``now``. Raises NOT_BUILT for a reserved kind, MALFORMED for a wrong shape.
        """
        if not kind.built:
            raise SafehandError(Reason.NOT_BUILT, "entries of this kind are not built")
        if body is None:
            raise SafehandError(Reason.MALFORMED, "an entry of this kind has a body")
        data = encode_body(kind, body)
        if body_time(kind, body) != self.now:
            raise SafehandError(Reason.MALFORMED, "an entry carries the ledger's own time")
        random = self._entropy.bytes(SALT_BYTES + AUX_BYTES)
        salt, aux = random[:SALT_BYTES], random[SALT_BYTES:]
        leaf = Leaf(kind, tag, body_commitment(salt, data), aux).encode()
        index = self._pending.next_index
        opening = Opening(index, kind, salt, dict(body))
        self._pending.entries.append(Entry(leaf, merkle.leaf_hash(leaf), opening, data))
        self.appended.append(index)
        return index

    def leaf_hash(self, index: int) -> bytes:
        """The hash (32 bytes) of an entry that this batch has appended; raises NOT_FOUND."""
        place = index - self._pending.size
        if not 0 <= place < len(self._pending.entries):
            raise SafehandError(Reason.NOT_FOUND, "not an entry of this transaction")
        return self._pending.entries[place].leaf_hash

    def cite(self, index: int) -> None:
        """Ask for the receipt of an older entry too, as for a repeated request."""
        if not 0 <= index < self._pending.next_index:
            raise SafehandError(Reason.NOT_FOUND, "the ledger has no such entry")
        self.cited.append(index)
