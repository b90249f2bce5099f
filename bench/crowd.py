"""A consent database in which very many people have a live grant already.

One grant is made through the running service. Then its rows are written again for each of the
others, with what must differ made anew by the same functions: ids, secrets, salts, tags, leaves,
the tree over them, the wrapped keys, the check codes, and one signed head at the end. So the
service starts on it, ``fsck`` finds nothing, and every grant could be stopped. What is left out:
the events of those grants (long delivered) and their people's PINs (nobody signs in as them).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from safehand_consent_service import app, tables
from safehand_consent_service.settings import ConsentSettings
from safehand_core.entropy import SystemEntropy
from safehand_core.keystore import FileKeystore, read_private
from safehand_formats import checkcode, merkle, wraps
from safehand_formats.checkpoint import Checkpoint
from safehand_formats.kinds import Kind, grant_tag
from safehand_formats.leaf import Leaf, body_commitment
from safehand_formats.note import NoteSigner
from sqlalchemy import Table

from bench import bulk
from bench.system import say

EACH: Final = 4
"""Grants of one person."""
TOGETHER: Final = 20_000
"""Grants of one transaction."""
TELL_EVERY: Final = 100_000
LEFT_OUT: Final = frozenset({"outbox_event", "outbox_head", "idempotency", "session"})
LEDGER: Final = tables.LEDGER

Row = dict[str, Any]


def grant_many(environment: Mapping[str, str], grant: str, count: int) -> None:
    """Write ``count`` more like ``grant`` into the SQLite database that ``environment`` names.

    ``environment`` is the service's own; it must not run.
    """
    settings = ConsentSettings.load(dict(environment))
    assert isinstance(settings.database, Path)
    with bulk.opened(settings.database) as raw:
        raw.row_factory = sqlite3.Row
        crowd = _Crowd(raw, settings, grant)
        for start in range(0, count, TOGETHER):
            crowd.add(min(TOGETHER, count - start))
            if (start + TOGETHER) % TELL_EVERY == 0:
                say(f"{start + TOGETHER:,} grants written")
        crowd.sign()


@dataclass
class _Batch:
    """Rows to be written, by table."""

    rows: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)

    def add(self, table: str, row: tuple[Any, ...]) -> None:
        self.rows.setdefault(table, []).append(row)


class _Crowd:
    """The one grant, and the edge of the tree behind which others are written."""

    def __init__(self, raw: sqlite3.Connection, settings: ConsentSettings, grant: str) -> None:
        self._raw = raw
        self._settings = settings
        self._entropy = SystemEntropy()
        (row,) = self._rows(tables.grant, "grant_id", grant)
        self._grant, self._index, self._subject = grant, row["grant_index"], row["subject_id"]
        (self._her,) = self._rows(tables.subject, "subject_id", self._subject)
        (opening,) = self._rows(LEDGER.opening, "index", self._index)
        self._kind, self._body = Kind(opening["kind"]), bytes(opening["body"])
        self._like = self._template()
        (head,) = self._rows(LEDGER.head, "id", 1)
        self._head = head
        hashes = [self._node(*place) for place in merkle.frontier_nodes(head["size"])]
        self._frontier = merkle.Frontier(head["size"], hashes)
        self._people = 0
        ((self._epoch,),) = raw.execute("SELECT epoch FROM kek_epoch WHERE state = 'current'")
        self._kek = read_private(settings.release_dir / f"kek-{self._epoch}")

    def _template(self) -> list[tuple[Table, Row]]:
        """Every row that says something of the one grant, ledger and news left out."""
        found = []
        for table in tables.METADATA.sorted_tables:
            if table.name in LEFT_OUT or table.name.startswith("ledger_"):
                continue
            if "grant_id" in table.c:
                found += [(table, row) for row in self._rows(table, "grant_id", self._grant)]
            elif "leaf_index" in table.c:
                found += [(table, row) for row in self._rows(table, "leaf_index", self._index)]
        return found

    def _rows(self, table: Table, column: str, value: object) -> list[Row]:
        statement = f'SELECT * FROM "{table.name}" WHERE "{column}" = ?'  # noqa: S608  our own
        return [dict(row) for row in self._raw.execute(statement, (value,))]

    def _node(self, level: int, index: int) -> bytes:
        statement = 'SELECT hash FROM ledger_node WHERE level = ? AND "index" = ?'
        ((found,),) = self._raw.execute(statement, (level, index))
        return bytes(found)

    def add(self, count: int) -> None:
        """So many more, in one transaction."""
        batch, subject = _Batch(), ""
        for number in range(count):
            if number % EACH == 0:
                subject = self._person(batch)
            self._one(batch, subject)
        tables_of = {table.name: table for table in tables.METADATA.sorted_tables}
        self._raw.execute("BEGIN")
        for name, rows in batch.rows.items():
            columns = ", ".join(f'"{column.name}"' for column in tables_of[name].columns)
            marks = ", ".join("?" for _ in tables_of[name].columns)
            statement = f'INSERT INTO "{name}" ({columns}) VALUES ({marks})'  # noqa: S608  our own
            self._raw.executemany(statement, rows)
        self._raw.execute("COMMIT")

    def _person(self, batch: _Batch) -> str:
        self._people += 1
        made = os.urandom(48)
        subject, now = made[:16].hex(), self._head["ledger_time"]
        anew: Row = {
            "subject_id": subject,
            "card_hmac": made[16:],
            "pin_hash": "-",
            "created_at": now,
        }
        batch.add("subject", tuple((self._her | anew)[c.name] for c in tables.subject.columns))
        batch.add("subject_ref", ("agency-a", f"bench-{made[16:32].hex()}", subject, now))
        return subject

    def _one(self, batch: _Batch, subject: str) -> None:
        random = os.urandom(16 + 32 + 32 + 32)
        grant, secret = random[:16].hex(), random[16:48]
        salt, aux = random[48:80], random[80:]
        index = self._frontier.size
        body = self._body.replace(self._grant.encode(), grant.encode())
        tag = grant_tag(self._kind, secret, 0)
        leaf = Leaf(self._kind, tag, body_commitment(salt, body), aux).encode()
        leaf_hash = merkle.leaf_hash(leaf)
        batch.add("ledger_leaf", (index, leaf))
        batch.add("ledger_opening", (index, int(self._kind), salt, body))
        for node in self._frontier.append(leaf_hash):
            batch.add("ledger_node", node)
        anew: Row = {
            "grant_id": grant,
            "subject_id": subject,
            "secret": secret,
            "grant_index": index,
            "leaf_index": index,
            "code": checkcode.of_leaf_hash(leaf_hash),
        }
        for table, row in self._like:
            if "wrapped" in row:
                anew["wrapped"] = wraps.seal_category_key(
                    self._kek, self._epoch, grant, row["category"], aux, self._entropy
                )
            batch.add(table.name, tuple(anew.get(c.name, row[c.name]) for c in table.columns))

    def sign(self) -> None:
        """One head over everything, signed with the service's own key."""
        keystore = FileKeystore(self._settings.keys_dir, entropy=self._entropy)
        signer = NoteSigner(self._settings.origin, keystore.ed25519(app.LOG_KEY))
        size, root = self._frontier.size, self._frontier.root()
        note = Checkpoint(signer.name, size, root).sign(signer)
        statement = "UPDATE ledger_head SET size = ?, root = ?, note = ? WHERE id = 1"
        self._raw.execute(statement, (size, root, note))
