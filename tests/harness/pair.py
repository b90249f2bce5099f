"""Two servers that change places: a primary, and a standby that every commit waits for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from safehand_store.location import Postgres

from tests.harness.database import Database
from tests.harness.postgres import APP, OWNER, Cluster
from tests.harness.world import eventually

WITHIN_S: Final = 60.0
"""Seconds in which a fresh standby must follow."""


class Pair:
    """Start it with ``begin``. ``parents``: in which folders the two lie."""

    def __init__(self, primary: Cluster, standby: Cluster) -> None:
        self.primary = primary
        self.standby = standby
        self._addresses = (primary, standby)

    @classmethod
    def begin(cls, version: str, parents: tuple[Path | None, Path | None] = (None, None)) -> Pair:
        """Both running, the standby synchronous. Raises MissingError."""
        primary = Cluster.create(version, parent=parents[0]).start()
        primary.make_roles()
        primary.execute(f'GRANT pg_read_all_stats TO "{APP}"')
        pair = cls(primary, primary.standby(parent=parents[1]))
        pair.standby.start()
        pair._synchronous()
        return pair

    def on_any(self, store: Database) -> Database:
        """``store``, on whichever of the two takes writes."""
        folders = ",".join(str(cluster.folder) for cluster in self._addresses)
        ports = ",".join(str(cluster.port) for cluster in self._addresses)

        def location(role: str) -> Postgres:
            return Postgres(f"postgresql://{role}@/{store.name}?host={folders}&port={ports}")

        return _OnPair(location(APP), location(OWNER), self.primary, store.name, self)

    def fail_over(self) -> None:
        """The primary dies for good; the standby takes over and gets a new one of its own."""
        lost, taking_over = self.primary, self.standby
        lost.kill()
        taking_over.promote()
        self.primary, self.standby = taking_over, lost
        lost.follow(taking_over)
        lost.start()
        self._synchronous()

    def restart(self) -> None:
        """The primary dies and comes back; the standby waits for it."""
        self.primary.kill()
        self.primary.start()

    @property
    def place(self) -> int:
        """Which of the two folders the primary lies in: 0 or 1."""
        return self._addresses.index(self.primary)

    def use_a_log_file(self) -> bool:
        """Let the primary go on to the next file of its log; whether it still lives after that."""
        try:
            self.primary.execute("SELECT pg_logical_emit_message(false, 'test', 'fill')")
            self.primary.execute("SELECT pg_switch_wal()")
        except psycopg.Error:
            return False
        return True

    def revive(self) -> bool:
        """Return when the primary answers; whether it had to be started again for that.

        What an operator does once there is room: after a panic for want of room the server first
        tries to recover by itself, and ends when it cannot.
        """
        started = False

        def answers() -> bool:
            nonlocal started
            if not self.primary.running:
                self.primary.start()
                started = True
            try:
                self.primary.execute("SELECT 1")
            except psycopg.Error:
                return False
            return True

        eventually(answers, "the server answers again", within_s=WITHIN_S)
        return started

    def remove(self) -> None:
        for cluster in self._addresses:
            cluster.remove()

    def _synchronous(self) -> None:
        self.primary.configure(synchronous_standby_names="*")
        eventually(
            lambda: _synchronous(self.primary), "the standby is synchronous", within_s=WITHIN_S
        )


def _synchronous(server: Cluster) -> bool:
    rows = server.execute("SELECT sync_state FROM pg_stat_replication")
    return bool({state for (state,) in rows} & {"sync", "quorum"})


@dataclass(frozen=True)
class _OnPair(Database):
    """A database on whichever of the two is the primary now; it goes with them."""

    pair: Pair | None = None

    def drop(self) -> None:
        """Nothing: both servers are removed."""

    def _superuser(self) -> psycopg.Connection[Any]:
        assert self.pair is not None
        return psycopg.connect(self.pair.primary.url(database=self.name), autocommit=True)
