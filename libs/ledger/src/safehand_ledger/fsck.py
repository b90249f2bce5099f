"""Check a ledger database against itself, its key and its anchor, changing nothing.

Everything that is stored twice is derived again from the leaves: the subtrees, the root, the
head. Everything a leaf commits to is compared with its opening, and the bodies with the rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Final

from safehand_core.clock import Clock, SystemClock
from safehand_core.errors import SafehandError
from safehand_formats import merkle
from safehand_formats.bodies import decode_body
from safehand_formats.checkpoint import open_checkpoint
from safehand_formats.kinds import Kind
from safehand_formats.leaf import Leaf, body_commitment
from safehand_formats.merkle import Frontier
from safehand_formats.note import NoteVerifier
from safehand_store import guard
from safehand_store.engine import begin_read, database_errors, is_postgres, open_engine
from safehand_store.location import Location
from sqlalchemy import Connection, Engine, func, select

from safehand_ledger import startup, stored
from safehand_ledger.clockguard import MAX_LEAD_S
from safehand_ledger.report import Problems, Report
from safehand_ledger.rules import Body, Rules
from safehand_ledger.tables import TABLES

_LEAF, _OPENING, _NODE, _HEAD = TABLES.leaf.c, TABLES.opening.c, TABLES.node.c, TABLES.head.c
_ENTRIES: Final = (
    select(_LEAF.index, _LEAF.leaf, _OPENING.kind, _OPENING.salt, _OPENING.body)
    .select_from(TABLES.leaf.outerjoin(TABLES.opening, _LEAF.index == _OPENING.index))
    .order_by(_LEAF.index)
)
_STRAY_OPENINGS: Final = (
    select(func.count())
    .select_from(TABLES.opening.outerjoin(TABLES.leaf, _LEAF.index == _OPENING.index))
    .where(_LEAF.index.is_(None))
)
_LEVELS: Final = select(func.min(_NODE.level), func.max(_NODE.level))


def fsck(
    database: Location | Engine,
    vkey: str,
    anchor: Path | None,
    *,
    grant_secrets: Mapping[str, bytes] | None = None,
    clock: Clock | None = None,
) -> Report:
    """Check the ledger in ``database`` (opened read-only when it is a path or a URL).

    ``vkey``: the pinned verifier key. ``anchor``: the anchor file, None to leave it out.
    ``grant_secrets``: grant id to 32-byte secret, to derive tags again. Works beside a running
    writer: it reads one snapshot. Raises MALFORMED for a bad ``vkey`` and CONFIG_INVALID when
    there is no such file; what is wrong inside becomes problems.
    """
    verifier = NoteVerifier.from_vkey(vkey)
    found = _Fsck(verifier, grant_secrets, (clock or SystemClock()).wall())
    with _opened(database) as engine:
        try:
            with begin_read(engine) as connection:
                found.check(connection, anchor)
        except database_errors(SafehandError, TypeError, ValueError):
            # Damage below the tables, or a value of another type than its column's.
            found.problems.add("DATABASE", "-", "the tables cannot be read")
    return found.report()


@contextmanager
def _opened(database: Location | Engine) -> Iterator[Engine]:
    if isinstance(database, Engine):
        yield database
        return
    engine = open_engine(database, read_only=True)
    try:
        yield engine
    finally:
        engine.dispose()


class _Fsck:
    def __init__(
        self, verifier: NoteVerifier, secrets: Mapping[str, bytes] | None, wall: int
    ) -> None:
        self.problems = Problems()
        self._verifier = verifier
        self._wall = wall
        self._rules = Rules(self.problems, secrets)
        self._frontier = Frontier()
        self._opened = 0
        self._forgotten = 0

    def report(self) -> Report:
        return Report(
            size=self._frontier.size,
            root=self._frontier.root().hex(),
            opened=self._opened,
            forgotten=self._forgotten,
            steps=0,
            problem_count=self.problems.count,
            problems=tuple(self.problems.kept),
        )

    def check(self, connection: Connection, anchor: Path | None) -> None:
        add = self.problems.add
        if not is_postgres(connection):
            for row in connection.exec_driver_sql("PRAGMA quick_check(3)"):
                if row[0] != "ok":
                    add("DATABASE", "-", "the file is damaged")
        for table in (TABLES.leaf, TABLES.node):
            for name in guard.problems(connection, table):
                add("GUARD", name, "an append-only trigger is missing")
        self._entries(connection)
        self._nodes(connection)
        self._head(connection, anchor)

    # --- leaves and openings ------------------------------------------------------------------

    def _entries(self, connection: Connection) -> None:
        for index, data, code, salt, body in connection.execute(_ENTRIES):
            if index != self._frontier.size:
                self.problems.add("LEAF", index, "the indexes have a gap")
            self._frontier.append(merkle.leaf_hash(data))
            try:
                leaf = Leaf.decode(data)
            except SafehandError:
                self.problems.add("LEAF", index, "not a leaf")
                continue
            self._rules.entry(index, leaf, self._opening(index, leaf, code, salt, body))
        self._rules.finish()
        if connection.execute(_STRAY_OPENINGS).scalar_one():
            self.problems.add("OPENING", "-", "an opening without its leaf")

    def _opening(
        self, index: int, leaf: Leaf, code: int | None, salt: bytes | None, data: bytes | None
    ) -> Body | None:
        if code is None or salt is None or data is None:
            self._forgotten += 1
            return None
        self._opened += 1
        try:
            same = body_commitment(salt, data) == leaf.commitment and code == leaf.kind
            self.problems.require(same, "OPENING", index, "not what the leaf commits to")
            return decode_body(Kind(code), data) if code == leaf.kind else None
        except SafehandError:
            self.problems.add("BODY", index, "not a body of its kind")
            return None

    # --- subtrees -----------------------------------------------------------------------------

    def _nodes(self, connection: Connection) -> None:
        """Every level from the one below: two ordered cursors, no level in memory."""
        lowest, highest = connection.execute(_LEVELS).one()
        expected_levels = max(self._frontier.size.bit_length() - 1, 0)
        if self._frontier.size == 0:
            self.problems.require(highest is None, "NODE", "-", "a subtree too many")
            return
        whole = lowest == 0 and highest == expected_levels
        self.problems.require(whole, "NODE", "-", "the levels of the tree are not all there")
        for level in range(max(expected_levels, highest or 0) + 1):
            below = self._leaf_hashes(connection) if level == 0 else self._pairs(connection, level)
            for place, (derived, row) in enumerate(
                zip_longest(below, self._level(connection, level))
            ):
                if (place, derived) != row:
                    self.problems.add("NODE", f"{level}/{place}", "not the hash of what is below")
                    break

    def _leaf_hashes(self, connection: Connection) -> Iterator[bytes]:
        rows = connection.execute(select(_LEAF.leaf).order_by(_LEAF.index))
        return (merkle.leaf_hash(data) for (data,) in rows)

    def _pairs(self, connection: Connection, level: int) -> Iterator[bytes]:
        below = (value for _, value in self._level(connection, level - 1))
        return (merkle.node_hash(left, right) for left, right in zip(below, below, strict=False))

    def _level(self, connection: Connection, level: int) -> Iterator[tuple[int, bytes]]:
        rows = connection.execute(
            select(_NODE.index, _NODE.hash).where(_NODE.level == level).order_by(_NODE.index)
        )
        return ((index, value) for index, value in rows)

    # --- head and anchor ----------------------------------------------------------------------

    def _head(self, connection: Connection, anchor: Path | None) -> None:
        require = self.problems.require
        count = connection.execute(select(func.count()).select_from(TABLES.head)).scalar_one()
        head = stored.head(connection)
        if head is None or count != 1:
            self.problems.add("HEAD", "-", "there is not one head")
            return
        require(head.size == self._frontier.size, "HEAD", "-", "not the number of leaves")
        require(head.root == self._frontier.root(), "HEAD", "-", "not the root of the leaves")
        try:
            signed = open_checkpoint(head.note, self._verifier)
            same = (signed.size, signed.root) == (head.size, head.root)
            require(same, "HEAD", "-", "not what is signed")
        except SafehandError:
            self.problems.add("HEAD", "-", "not signed by the pinned key")
        require(
            head.ledger_time >= self._rules.time, "TIME", "-", "the head is older than its leaf"
        )
        ahead = head.ledger_time <= self._wall + MAX_LEAD_S
        require(ahead, "TIME", "-", "the head is from the future, or this clock is behind")
        if anchor is None:
            return
        try:
            startup.check_anchor(connection, head, anchor, self._verifier)
        except SafehandError as error:
            self.problems.add(error.reason.value, "anchor", error.detail)
