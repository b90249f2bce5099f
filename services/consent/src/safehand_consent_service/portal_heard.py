"""When each agency's system last spoke to this one: so that she knows how complete her list is.

Every call of an agency's own counts, whatever it asked and however it was answered. A note in
memory costs a call nothing; it is written at most once in 15 minutes for each agency, with the
sweeps, so an end of the process forgets 15 minutes at most.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from safehand_core import logs
from safehand_ledger.transaction import WriterTransaction
from safehand_ledger.writer import LedgerWriter
from safehand_rpc.identity import Principal
from safehand_store.prepared import Written
from sqlalchemy import Connection, select

from safehand_consent_service.tables import agency as agency_table
from safehand_consent_service.tables_portal import agency_heard

WRITE_EVERY_S: Final = 15 * 60
"""Seconds between two writes for one agency: her page says the hour, and no disk feels it."""

_WRITE: Final = Written(
    "INSERT INTO agency_heard (agency, at) VALUES (?, ?) "
    "ON CONFLICT (agency) DO UPDATE SET at = excluded.at"
)


class Heard:
    """Who spoke, and when. Safe from any thread."""

    def __init__(self, writer: LedgerWriter) -> None:
        self._writer = writer
        self._last: dict[str, int] = {}
        self._written: dict[str, int] = {}

    def note(self, principal: Principal) -> None:
        """A call was let in. Never waits, never raises."""
        if principal.kind == "agency":
            self._last[principal.name] = self._writer.now

    def at(self, connection: Connection, agencies: Iterable[str]) -> dict[str, int]:
        """Agency → when it was last heard, seconds since the epoch; absent where it never was."""
        wanted = sorted(set(agencies))
        statement = select(agency_heard).where(agency_heard.c.agency.in_(wanted))
        found = {row.agency: int(row.at) for row in connection.execute(statement)}
        for name in wanted:
            if name in self._last:
                found[name] = max(self._last[name], found.get(name, 0))
        return found

    def write(self, every_s: int = WRITE_EVERY_S) -> int:
        """Write down who was not written down for ``every_s`` seconds; how many that were.

        Called by one thread at a time.
        """
        due = {
            name: at
            for name, at in list(self._last.items())
            if at - self._written.get(name, 0) >= every_s
        }
        if not due:
            return 0
        count = self._writer.submit(lambda txn: _write(txn, due), housekeeping=True).value
        self._written |= due
        return count

    def close(self) -> None:
        """Write what is not written yet. Before the writer closes; best effort."""
        try:
            self.write(every_s=1)
        except Exception as error:
            logs.get().warning("heard.dropped", exception=type(error).__name__)


def _write(txn: WriterTransaction, due: dict[str, int]) -> int:
    # A certificate is no enrolment.
    statement = select(agency_table.c.agency).where(agency_table.c.agency.in_(sorted(due)))
    known = [row.agency for row in txn.connection.execute(statement)]
    for name in known:
        _WRITE.execute(txn.connection, name, due[name])
    return len(known)
