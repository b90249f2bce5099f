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
from safehand_store.later import Later
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
    """What one batch has put together so far.

    ``size``: leaves of the tree before it. ``entries``: its own, in order. ``later``: the service's
    rows that are put off to its end. ``operations``: how many there are, at most.
    """

    size: int
    operations: int = 1
    entries: list[Entry] = field(default_factory=list)
    later: Later = field(default_factory=Later)

    _random: bytes = b""

    def draw(self, count: int, entropy: Entropy) -> bytes:
        """``count`` fresh random bytes, drawn for several entries at once: each draw is a system
        call, before which the writer lets go of the interpreter's lock."""
        if len(self._random) < count:
            self._random = entropy.bytes(count * self.operations)
        drawn, self._random = self._random[:count], self._random[count:]
        return drawn

    @property
    def next_index(self) -> int:
        return self.size + len(self.entries)


class WriterTransaction:
    """The ledger at this point of its one order. Valid only while its operation runs.

    Attributes:
        hot: the service's database, inside the write transaction, for statements that read no
            table whose rows are put off. Reads see every operation before this one; the ledger's
            own rows are written after the batch's operations, so ask ``append`` for an index, not
            the tables.
        later: where rows are put off to the end of the batch.
        now: ``ledger_now``, seconds since the epoch; never less than any before.
    """

    def __init__(
        self, connection: Connection, now: int, pending: Pending, entropy: Entropy
    ) -> None:
        self.hot = connection
        self.now = now
        self.later = pending.later
        self.appended: list[int] = []
        self.cited: list[int] = []
        self._pending = pending
        self._entropy = entropy

    @property
    def connection(self) -> Connection:
        """As ``hot``, for any statement: rows that were put off are written first. Ask for it anew
        behind whatever may have put off more."""
        self.later.write(self.hot)
        return self.hot

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
        random = self._pending.draw(SALT_BYTES + AUX_BYTES, self._entropy)
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
