"""Category keys: one random key per (grant, category), wrapped under a KEK outside the database.

The database holds wrapped keys and the number of the current epoch; the KEK of an epoch is the
file ``kek-<epoch>`` of the keystore directory, in no backup. Destroying a key takes two steps: its
row is deleted at once, and the next roll destroys the KEK under which every old copy of the row
was wrapped (DESIGN 3.4, PROTOCOL step 15).

Functions that take ``connection`` run inside the writer's transaction: which epoch is current is
read there, so a grant made during a roll is wrapped under the epoch that holds when it commits.
Nothing remembers an epoch outside a transaction.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from safehand_core import failpoints, logs
from safehand_core.entropy import Entropy
from safehand_core.errors import SafehandError
from safehand_core.keystore import (
    fsync_directory,
    make_private_dir,
    read_private,
    require_private,
    write_atomic,
)
from safehand_core.reasons import Reason
from safehand_formats import wraps
from safehand_store.engine import begin_read, begin_write
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, Engine, bindparam, delete, func, insert, select, update

from safehand_consent_service.tables import category_key, kek_epoch

FIRST_EPOCH: Final = 1
_CURRENT: Final = "current"
_RETIRED: Final = "retired"
_FILE: Final = re.compile(r"kek-([1-9][0-9]{0,15})")
_LEFTOVER: Final = ".kek-*.tmp"
"""What a crash while a KEK file was written leaves behind; nothing was ever wrapped under it."""


_WRAPPED: Final = Prepared(
    select(category_key.c.epoch, category_key.c.wrapped).where(
        category_key.c.grant_id == bindparam("grant"),
        category_key.c.category == bindparam("category"),
    )
)
_INSERT: Final = Prepared(insert(category_key))
_REWRAP: Final = Prepared(
    # A roll is one transaction, which her stop waits for: every row counts.
    update(category_key)
    .where(
        category_key.c.grant_id == bindparam("grant"),
        category_key.c.category == bindparam("of"),
    )
    .values(epoch=bindparam("fresh"), wrapped=bindparam("again"))
)
_CURRENT_EPOCH: Final = Prepared(
    select(kek_epoch.c.epoch).where(kek_epoch.c.state == bindparam("state"))
)


@dataclass(frozen=True, slots=True)
class Rolled:
    """The new epoch, and how many live keys were wrapped again."""

    epoch: int
    rewrapped: int


RunInWriter = Callable[[Callable[[Connection], Rolled]], Rolled]
"""Runs a function in one transaction of the ledger's writer, returns after its commit."""


class KekRing:
    """The KEKs of this process. Call ``start`` once before anything else; safe for threads."""

    def __init__(self, directory: Path, engine: Engine, entropy: Entropy) -> None:
        self._directory = directory
        self._engine = engine
        self._entropy = entropy
        self._keks: dict[int, bytes] = {}
        self._lock = threading.Lock()
        self._rolling = threading.Lock()

    def start(self, now: int) -> None:
        """Make the first epoch, or finish a roll that a crash left open, either way.

        After the ledger was checked against its anchor, before anything is served. A KEK newer
        than the current epoch never wrapped a committed row, and one older wraps no row any more:
        both are destroyed. No crash removes the current epoch's own file: where it is gone the
        database is a copy from elsewhere or before. Then its rows open no more, a new epoch
        begins, and nothing is destroyed before the next roll, so that the mistake can be mended.
        """
        make_private_dir(self._directory)
        require_private(self._directory)
        for leftover in self._directory.glob(_LEFTOVER):
            leftover.unlink()
        with begin_read(self._engine) as connection:
            epoch = _current(connection)
        if epoch is not None and epoch in self._on_disk():
            self._destroy_unused()
            return
        if epoch is not None:
            logs.get().error("keys.kek_missing")
        fresh = self._new_file(epoch)
        with begin_write(self._engine) as connection:
            _begin(connection, fresh, now)

    # --- inside the writer's transaction ---------------------------------------------------

    def make_keys(self, connection: Connection, grant_id: str, categories: Iterable[str]) -> None:
        """Insert a fresh key for each category of a new grant, under the current epoch."""
        epoch = _require_current(connection)
        kek = self._require_kek(epoch)
        for category in sorted(set(categories)):
            key = wraps.new_category_key(self._entropy)
            wrapped = wraps.seal_category_key(kek, epoch, grant_id, category, key, self._entropy)
            _INSERT.run(
                connection, grant_id=grant_id, category=category, epoch=epoch, wrapped=wrapped
            )

    def delete_keys(self, connection: Connection, grant_id: str) -> int:
        """Delete every key of a grant that has become final; returns how many there were."""
        statement = delete(category_key).where(category_key.c.grant_id == grant_id)
        return connection.execute(statement).rowcount

    # --- outside it ------------------------------------------------------------------------

    def open_key(self, connection: Connection, grant_id: str, category: str) -> bytes | None:
        """The category key (32 bytes), or None where its row is gone: final, or never made.

        Raises LEDGER_CORRUPT where the row is there and its KEK is not.
        """
        place = {"grant": grant_id, "category": category}
        row = _WRAPPED.first(connection, **place)
        if row is not None and self._kek(row.epoch) is None:
            # A roll may have destroyed the KEK since this snapshot began: look at what is now.
            with begin_read(self._engine) as newer:
                row = _WRAPPED.first(newer, **place)
        if row is None:
            return None
        kek = self._require_kek(row.epoch)
        return wraps.open_category_key(kek, row.epoch, grant_id, category, row.wrapped)

    def roll(self, run: RunInWriter, now: int) -> Rolled:
        """Replace the KEK: PROTOCOL step 15, in its order. One roll at a time.

        A failure before the commit leaves the old epoch in force; the unused new file goes with
        the next roll or start.
        """
        with self._rolling:
            with begin_read(self._engine) as connection:
                old = _require_current(connection)
            fresh = self._new_file(old)
            failpoints.hit("consent.keys.new_kek")
            rolled = run(lambda connection: self._rewrap(connection, fresh, now))
            failpoints.hit("consent.keys.rewrapped")
            self._destroy_unused()
            return rolled

    # --- pieces ----------------------------------------------------------------------------

    def _rewrap(self, connection: Connection, fresh: int, now: int) -> Rolled:
        if fresh <= _require_current(connection):
            raise SafehandError(Reason.STATE_CONFLICT, "another roll came first")
        new_kek = self._require_kek(fresh)
        _begin(connection, fresh, now)
        count = 0
        rows = connection.execute(select(category_key)).all()
        for row in rows:
            old_kek = self._kek(row.epoch)
            if old_kek is None:
                continue  # lost already, as ``start`` says
            place = (row.grant_id, row.category)
            key = wraps.open_category_key(old_kek, row.epoch, *place, row.wrapped)
            wrapped = wraps.seal_category_key(new_kek, fresh, *place, key, self._entropy)
            _REWRAP.run(connection, grant=row.grant_id, of=row.category, fresh=fresh, again=wrapped)
            count += 1
        return Rolled(fresh, count)

    def _new_file(self, above: int | None) -> int:
        """Write a KEK of an epoch that never was, durably; returns the epoch."""
        with begin_read(self._engine) as connection:
            known = connection.execute(select(func.max(kek_epoch.c.epoch))).scalar()
        fresh = max([FIRST_EPOCH - 1, above or 0, known or 0, *self._on_disk()]) + 1
        kek = self._entropy.bytes(wraps.KEY_BYTES)
        write_atomic(self._path(fresh), kek)
        with self._lock:
            self._keks[fresh] = kek
        return fresh

    def _destroy_unused(self) -> None:
        """Unlink every KEK that is not the current epoch's, and forget its bytes."""
        with begin_read(self._engine) as connection:
            keep = _require_current(connection)
            in_use = set(connection.execute(select(category_key.c.epoch).distinct()).scalars())
        for epoch in set(self._on_disk()) - in_use - {keep}:
            with self._lock:
                # Together: nobody finds the file and then cannot read it, or reads it back.
                self._path(epoch).unlink(missing_ok=True)
                self._keks.pop(epoch, None)
        fsync_directory(self._directory)

    def _kek(self, epoch: int) -> bytes | None:
        with self._lock:
            known = self._keks.get(epoch)
            if known is None and self._path(epoch).exists():
                known = self._keks[epoch] = read_private(self._path(epoch))
            return known

    def _require_kek(self, epoch: int) -> bytes:
        kek = self._kek(epoch)
        if kek is None:
            raise SafehandError(Reason.LEDGER_CORRUPT, "the key-encryption key of a row is gone")
        return kek

    def _path(self, epoch: int) -> Path:
        return self._directory / f"kek-{epoch}"

    def _on_disk(self) -> list[int]:
        return list(_epochs(path.name for path in self._directory.iterdir()))


def _epochs(names: Iterable[str]) -> Iterator[int]:
    for name in names:
        if match := _FILE.fullmatch(name):
            yield int(match[1])


def _current(connection: Connection) -> int | None:
    epoch: int | None = _CURRENT_EPOCH.scalar(connection, state=_CURRENT)
    return epoch


def _require_current(connection: Connection) -> int:
    epoch = _current(connection)
    if epoch is None:
        raise SafehandError(Reason.LEDGER_CORRUPT, "there is no current epoch")
    return epoch


def _begin(connection: Connection, epoch: int, now: int) -> None:
    connection.execute(
        update(kek_epoch)
        .where(kek_epoch.c.state == _CURRENT)
        .values(state=_RETIRED, retired_at=now)
    )
    connection.execute(insert(kek_epoch).values(epoch=epoch, state=_CURRENT, made_at=now))
