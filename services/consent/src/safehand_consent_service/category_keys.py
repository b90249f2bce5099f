"""Category keys: one random key per (grant, category), wrapped under a KEK outside the database.

The database holds wrapped keys and the number of the current epoch; the KEK of an epoch is the
file ``kek-<epoch>`` of the keystore directory, in no backup. Destroying a key takes two steps: its
row is deleted at once, and the next roll destroys the KEK under which every old copy of the row
was wrapped (DESIGN 3.4, PROTOCOL step 15). ``kek_roll`` says when and how a roll goes on.

Functions that take ``connection`` run inside the writer's transaction: which epoch is current is
read there, so a grant made during a roll is wrapped under the epoch that holds when it commits.
Nothing remembers an epoch outside a transaction.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safehand_core import logs
from safehand_core.entropy import Entropy
from safehand_core.errors import SafehandError
from safehand_core.keystore import (
    fsync_directory,
    make_private_dir,
    read_private,
    require_private,
    write_new,
)
from safehand_core.reasons import Reason
from safehand_formats import wraps
from safehand_ledger.transaction import WriterTransaction
from safehand_store.engine import begin_read, begin_write
from safehand_store.later import ManyRows
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, Engine, bindparam, delete, func, insert, select, tuple_, update

from safehand_consent_service.tables import category_key, kek_epoch

FIRST_EPOCH: Final = 1
_CURRENT: Final = "current"
_RETIRED: Final = "retired"
LOST: Final = "kek-lost"
"""An operator's file: the KEK is gone for good, begin a new epoch."""
_FILE: Final = re.compile(r"kek-([1-9][0-9]{0,15})")
_LEFTOVER: Final = ".kek-*.tmp"
"""What a crash while a KEK file was written leaves behind; nothing was ever wrapped under it."""


_WRAPPED: Final = Prepared(
    select(category_key.c.epoch, category_key.c.wrapped).where(
        category_key.c.grant_id == bindparam("grant"),
        category_key.c.category == bindparam("category"),
    )
)
_ROWS: Final = ManyRows(category_key, ("grant_id", "category", "epoch", "wrapped"))
_REWRAP: Final = Prepared(
    # ``before``: a row that is gone, or that another roll has wrapped already, is left alone.
    update(category_key)
    .where(
        category_key.c.grant_id == bindparam("grant"),
        category_key.c.category == bindparam("of"),
        category_key.c.epoch == bindparam("before"),
    )
    .values(epoch=bindparam("fresh"), wrapped=bindparam("again"))
)
_CURRENT_EPOCH: Final = Prepared(
    select(kek_epoch.c.epoch).where(kek_epoch.c.state == bindparam("state"))
)

Place = tuple[str, str]
"""Whose key a row holds: a grant's id and a category."""
_PLACE: Final = (category_key.c.grant_id, category_key.c.category)
BEFORE_ALL: Final[Place] = ("", "")


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """Rows wrapped again under the KEK of ``epoch``, in memory, for ``put_rewrapped``.

    ``lost``: rows that did not open. ``last``: the last one that was looked at.
    """

    epoch: int
    rows: tuple[dict[str, Any], ...]
    lost: frozenset[Place]
    last: Place


class KekRing:
    """The KEKs of this process. Call ``start`` once before anything else; safe for threads.

    ``shared``: several hosts write this database in turn, so ``directory`` must be on a volume
    that all of them mount.
    """

    def __init__(
        self, directory: Path, engine: Engine, entropy: Entropy, *, shared: bool = False
    ) -> None:
        self._directory = directory
        self._engine = engine
        self._entropy = entropy
        self._shared = shared
        self._keks: dict[int, bytes] = {}
        self._lock = threading.Lock()
        self._rolling = threading.Lock()

    def require_volume(self) -> None:
        """Raise CONFIG_INVALID where the database is shared and its current KEK is not here."""
        with begin_read(self._engine) as connection:
            epoch = _current(connection)
        if self._shared and epoch is not None and not self._path(epoch).exists():
            self._require_lost()

    def start(self, now: int) -> None:
        """Find the current epoch's KEK, or make the first epoch.

        After the ledger was checked against its anchor, before anything is served. No crash
        removes the current epoch's own file. Where it is gone from a database of this machine's
        own, the database is a copy from elsewhere or before: its rows open no more, a new epoch
        begins, and nothing is destroyed before the next roll, so that the mistake can be mended.
        Where several hosts share the database, the file is rather on a volume that is not mounted
        here: raises CONFIG_INVALID, because a new epoch would lock the other hosts out. An
        operator who lost it for good says so by an empty file ``kek-lost`` in its place.
        """
        make_private_dir(self._directory)
        require_private(self._directory)
        for leftover in self._directory.glob(_LEFTOVER):
            leftover.unlink(missing_ok=True)
        with begin_read(self._engine) as connection:
            epoch = _current(connection)
        if epoch is not None and epoch in self._on_disk():
            # It is not lost: said once, that would hold for the next one too.
            (self._directory / LOST).unlink(missing_ok=True)
            return
        if epoch is not None:
            logs.get().error("keys.kek_missing")
            if self._shared:
                self._require_lost()
        fresh = self.new_kek()
        with begin_write(self._engine) as connection:
            _begin(connection, fresh, now)
        (self._directory / LOST).unlink(missing_ok=True)

    def _require_lost(self) -> None:
        if not (self._directory / LOST).exists():
            raise SafehandError(
                Reason.CONFIG_INVALID,
                "the release key of the current epoch is not in kek_dir: mount the volume that all"
                " hosts of this database share",
            )

    # --- inside the writer's transaction ---------------------------------------------------

    def make_keys(self, txn: WriterTransaction, grant_id: str, categories: Iterable[str]) -> None:
        """Insert a fresh key for each category of a new grant, under the current epoch."""
        epoch = _require_current(txn.hot)
        kek = self._require_kek(epoch)
        for category in sorted(set(categories)):
            key = wraps.new_category_key(self._entropy)
            wrapped = wraps.seal_category_key(kek, epoch, grant_id, category, key, self._entropy)
            txn.later.add(_ROWS, grant_id, category, epoch, wrapped)

    def delete_keys(self, connection: Connection, grant_id: str) -> int:
        """Delete every key of a grant that has become final; returns how many there were."""
        statement = delete(category_key).where(category_key.c.grant_id == grant_id)
        return connection.execute(statement).rowcount

    def delete_some(self, connection: Connection, grant_id: str, categories: Iterable[str]) -> int:
        """Delete the keys of what she took out of a grant that goes on; returns how many."""
        of = category_key.c.category.in_(sorted(categories))
        statement = delete(category_key).where(category_key.c.grant_id == grant_id, of)
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

    # --- a roll, step by step (``kek_roll``) -----------------------------------------------

    @contextmanager
    def one_roll(self, wait_s: float) -> Iterator[None]:
        """One roll of this process at a time; raises STATE_CONFLICT after ``wait_s``."""
        if not self._rolling.acquire(timeout=wait_s):
            raise SafehandError(Reason.STATE_CONFLICT, "another roll is under way")
        try:
            yield
        finally:
            self._rolling.release()

    def made_at(self) -> int:
        """When the current epoch began, in the ledger's time (seconds)."""
        with begin_read(self._engine) as connection:
            statement = select(kek_epoch.c.made_at).where(kek_epoch.c.state == _CURRENT)
            return int(connection.execute(statement).scalar_one())

    def oldest_made_at(self) -> int:
        """When the oldest epoch began whose KEK still is on the disk, in the ledger's time."""
        with begin_read(self._engine) as connection:
            statement = select(func.min(kek_epoch.c.made_at)).where(
                kek_epoch.c.epoch.in_(self._on_disk())
            )
            oldest = connection.execute(statement).scalar()
        return self.made_at() if oldest is None else int(oldest)

    def new_kek(self) -> int:
        """Write the KEK of an epoch that never was, durably; returns the epoch.

        Never over an existing file: another host may be writing one.
        """
        with begin_read(self._engine) as connection:
            known = connection.execute(select(func.max(kek_epoch.c.epoch))).scalar()
        fresh = max([FIRST_EPOCH - 1, known or 0, *self._on_disk()]) + 1
        kek = self._entropy.bytes(wraps.KEY_BYTES)
        while not write_new(self._path(fresh), kek):
            fresh += 1
        with self._lock:
            self._keks[fresh] = kek
        return fresh

    def begin_epoch(self, connection: Connection, fresh: int, now: int) -> None:
        """Inside the writer: from here on new keys are wrapped under ``fresh``."""
        if fresh <= _require_current(connection):
            raise SafehandError(Reason.STATE_CONFLICT, "another roll came first")
        self._require_kek(fresh)
        _begin(connection, fresh, now)

    def rewrap_some(self, most: int, after: Place = BEFORE_ALL) -> Rewrapped | None:
        """Up to ``most`` keys of older epochs behind ``after``, wrapped under the current one; None
        where there is none behind it. Reads alone: the writer does not wait for it.

        A row that its KEK does not open is in ``lost``: it opens nothing and never will, and one
        such row must not keep the KEK of all others from being destroyed.
        """
        with begin_read(self._engine) as connection:
            epoch = _require_current(connection)
            older = [known for known in self._on_disk() if known < epoch]
            found = connection.execute(
                select(category_key)
                .where(category_key.c.epoch.in_(older), tuple_(*_PLACE) > after)
                .order_by(*_PLACE)
                .limit(most)
            ).all()
        new_kek = self._require_kek(epoch)
        rows: list[dict[str, Any]] = []
        lost: set[Place] = set()
        for row in found:
            place = (row.grant_id, row.category)
            old_kek = self._require_kek(row.epoch)
            try:
                key = wraps.open_category_key(old_kek, row.epoch, *place, row.wrapped)
            except SafehandError:
                lost.add(place)
                continue
            again = wraps.seal_category_key(new_kek, epoch, *place, key, self._entropy)
            rows.append(
                {
                    "grant": row.grant_id,
                    "of": row.category,
                    "before": row.epoch,
                    "fresh": epoch,
                    "again": again,
                }
            )
        if not found:
            return None
        return Rewrapped(epoch, tuple(rows), frozenset(lost), place)

    def put_rewrapped(self, connection: Connection, batch: Rewrapped) -> int:
        """Inside the writer: store what ``rewrap_some`` made; returns how many rows it was."""
        if batch.epoch != _require_current(connection):
            raise SafehandError(Reason.STATE_CONFLICT, "another roll came first")
        if batch.rows:
            _REWRAP.run_many(connection, batch.rows)
        return len(batch.rows)

    def unfinished(self) -> bool:
        """Whether a roll was cut off: the KEK of an epoch that is known to be over is there."""
        return bool(self._over() & set(self._on_disk()))

    def destroy_unused(self, *, unknown: bool, lost: Collection[Place] = ()) -> None:
        """Unlink every KEK before the current one that wraps no row but ``lost`` ones, and forget
        its bytes.

        With ``unknown`` also one of an epoch that this database does not know: what a crash left
        before its epoch began, or, in a restored copy, a mistake that can be mended until the next
        roll. A newer one is always left alone: it may be of a roll that another host has just
        begun. It wraps no committed row unless it becomes current.
        """
        over = self._over()
        with begin_read(self._engine) as connection:
            keep = _require_current(connection)
            older = connection.execute(
                select(*_PLACE, category_key.c.epoch).where(category_key.c.epoch != keep)
            )
            in_use = {row.epoch for row in older if (row.grant_id, row.category) not in lost}
        for epoch in set(self._on_disk()) - in_use:
            if epoch >= keep or not (unknown or epoch in over):
                continue
            with self._lock:
                # Together: nobody finds the file and then cannot read it, or reads it back.
                self._path(epoch).unlink(missing_ok=True)
                self._keks.pop(epoch, None)
        fsync_directory(self._directory)

    # --- pieces ----------------------------------------------------------------------------

    def _over(self) -> set[int]:
        with begin_read(self._engine) as connection:
            statement = select(kek_epoch.c.epoch).where(kek_epoch.c.state == _RETIRED)
            return set(connection.execute(statement).scalars())

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
