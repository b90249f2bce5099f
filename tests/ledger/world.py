"""A ledger under test, and a check of all of it that shares no tree code with the product."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand_core.canonical import Json
from safehand_core.clock import ManualClock
from safehand_core.entropy import SeededEntropy
from safehand_formats.checkpoint import open_checkpoint
from safehand_formats.kinds import COUNTED, Kind, grant_tag, key_tag
from safehand_formats.note import NoteSigner
from safehand_ledger import tables
from safehand_ledger.check import Report, fsck, verify
from safehand_ledger.receipt import Receipt
from safehand_ledger.transaction import WriterTransaction
from safehand_ledger.writer import Committed, LedgerWriter
from safehand_store.engine import open_engine
from sqlalchemy import Engine

from tests.harness import database
from tests.harness.database import Database

ORIGIN = "ledger.safehand.example/test"
DAY = 24 * 3600
CATEGORIES = ["CARD", "NAME"]


class Died(SystemExit):
    """Stands for the end of the process, where a test must outlive it."""


def die(_why: str) -> NoReturn:
    raise Died


def naive_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


class GrantScript:
    """Bodies and tags of one grant, in a valid order if the test asks for one."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.id = f"{number:032x}"
        self.secret = hashlib.sha256(self.id.encode()).digest()
        self.counters: Counter[Kind] = Counter()
        self.expires_at = 0
        self.stop_index = -1

    def append(self, kind: Kind, **fields: Json) -> Committed[int]:
        return self.world.submit(self.operation(kind, **fields), stop=kind is Kind.STOP)

    def operation(self, kind: Kind, **fields: Json) -> Callable[[WriterTransaction], int]:
        counter = self.counters[kind]
        self.counters[kind] += 1

        def operate(tx: WriterTransaction) -> int:
            body = {**self._defaults(kind, tx.now), **fields}
            if kind is Kind.REFER:
                named = hashlib.sha256(str(body["manifest"]).encode()).hexdigest()
                body.setdefault("referral", named[:32])
            if kind in COUNTED:
                body.setdefault("counter", counter)
            tag = grant_tag(kind, self.secret, counter if kind in COUNTED else 0)
            index = tx.append(kind, tag, body)
            if kind is Kind.GRANT:
                self.expires_at = int(str(body["expires_at"]))
            if kind is Kind.STOP:
                self.stop_index = index
            return index

        return operate

    def _defaults(self, kind: Kind, now: int) -> dict[str, Json]:
        base: dict[str, Json] = {"kind": kind.name, "grant": self.id, "at": now}
        manifest = hashlib.sha256(b"manifest" + self.id.encode()).hexdigest()
        match kind:
            case Kind.GRANT:
                del base["at"]
                return base | {
                    "releasing": "agency-a",
                    "recipient": "agency-b",
                    "purpose": "housing",
                    "categories": list(CATEGORIES),
                    "issued_at": now,
                    "expires_at": now + 90 * DAY,
                    "erase_by": now + 90 * DAY,
                    "redisclosure": "none",
                    "notice": "1" * 64,
                    "language": "pt-BR",
                    "given_how": "read",
                    "present": "alone",
                    "protocol": "2" * 64,
                }
            case Kind.STOP:
                return base | {"by": "self", "strength": "strong", "final_at": now + DAY}
            case Kind.RESUME:
                return base | {"by": "self"}
            case Kind.REVOKE:
                return base | {"cause": "destroy_now", "stop_index": self.stop_index}
            case Kind.EXPIRE:
                return base | {"expires_at": self.expires_at}
            case Kind.REFER:
                return base | {
                    "manifest": manifest,
                    "sender": "agency-a",
                    "recipient": "agency-b",
                    "purpose": "housing",
                    "categories": list(CATEGORIES),
                    "not_after": now + 30 * DAY,
                }
            case Kind.NARROW:
                return base | {
                    "by": "self",
                    "categories": ["CARD"],
                    "expires_at": self.expires_at,
                }
            case Kind.CONFIRM:
                return base | {"by": "self"}
            case Kind.REFUSE:
                del base["grant"]
                return base | {
                    "ask": self.id,
                    "releasing": "agency-a",
                    "recipient": "agency-b",
                    "purpose": "housing",
                    "categories": list(CATEGORIES),
                    "notice": "1" * 64,
                    "language": "pt-BR",
                    "given_how": "read",
                    "present": "alone",
                }
            case Kind.DISCLOSE:
                looks = str(self.counters[kind])
                return base | {
                    "manifest": manifest,
                    "part": 0,
                    "category": "CARD",
                    "stage": "card",
                    "recipient": "agency-b",
                    "worker_ref": "worker-0001",
                    "request": hashlib.sha256(looks.encode()).hexdigest(),
                    "accept": "",
                }
            case _:
                return base


class World:
    """One ledger in ``folder``: its database, its anchor elsewhere, a clock that tests move."""

    def __init__(
        self,
        folder: Path,
        *,
        fatal: Callable[[str], NoReturn] = die,
        engine: str | None = None,
        store: Database | None = None,
    ) -> None:
        file = folder / "db" / "consent.sqlite"
        self.database = file
        """Where it is on SQLite."""
        there = store is not None or file.exists()
        self.store = store or database.new(file, engine)
        self.anchor = folder / "anchor" / "ledger"
        self.clock = ManualClock()
        self.entropy = SeededEntropy()
        self.key = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
        self.signer = NoteSigner(ORIGIN, self.key)
        self.vkey = self.signer.verifier.vkey
        self.fatal = fatal
        if not there:
            self.store.create(tables.TABLES.leaf.metadata)
        self.engine: Engine = open_engine(self.store.location)
        self.receipts: list[Receipt] = []
        self.grants = 0
        self.keys = 0
        self.writer = self.new_writer()

    # --- life ---------------------------------------------------------------------------------

    def new_writer(self, **options: Any) -> LedgerWriter:
        return LedgerWriter(
            self.engine,
            signer=self.signer,
            clock=self.clock,
            entropy=self.entropy,
            anchor=self.anchor,
            fatal=self.fatal,
            **{"start_delay_s": 0.0, **options},
        )

    def start(self, **options: Any) -> World:
        self.writer = self.new_writer(**options)
        self.writer.start()
        return self

    def reload(self, **options: Any) -> World:
        """Stop, and load the ledger again from what is stored."""
        self.writer.close()
        return self.start(**options)

    def close(self) -> None:
        self.writer.close()
        self.engine.dispose()
        self.store.drop()

    # --- appending ----------------------------------------------------------------------------

    def submit(
        self, operation: Callable[[WriterTransaction], Any], *, stop: bool = False
    ) -> Committed[Any]:
        committed = self.writer.submit(operation, stop=stop)
        self.receipts += committed.receipts.values()
        return committed

    def grant(self) -> GrantScript:
        self.grants += 1
        script = GrantScript(self, self.grants)
        script.append(Kind.GRANT)
        return script

    def key_operation(self) -> Callable[[WriterTransaction], int]:
        """A KEY entry of the next sequence; stays valid however submissions interleave."""

        def operate(tx: WriterTransaction) -> int:
            sequence = self.keys
            self.keys += 1
            return tx.append(Kind.KEY, key_tag("agency-a", sequence), key_body(tx, sequence))

        return operate

    def append_keys(self, count: int) -> None:
        for _ in range(count):
            self.submit(self.key_operation())

    def whole_story(self) -> GrantScript:
        """Every built kind at least once, in a valid order."""
        script = self.grant()
        self.append_keys(2)
        script.append(Kind.REFER)
        script.append(Kind.DISCLOSE)
        self.clock.advance(60)
        name: dict[str, Json] = {"part": 1, "category": "NAME", "stage": "identity"}
        script.append(Kind.DISCLOSE, accept="4" * 64, **name)
        script.append(Kind.STOP)
        script.append(Kind.RESUME)
        script.append(Kind.DISCLOSE)
        script.append(Kind.STOP)
        script.append(Kind.REVOKE)
        other = self.grant()
        self.clock.advance(90 * DAY)
        self.writer.confirm_clock()
        other.append(Kind.EXPIRE)
        return script

    # --- checking -----------------------------------------------------------------------------

    def secrets(self) -> Mapping[str, bytes]:
        scripts = [GrantScript(self, number) for number in range(1, self.grants + 1)]
        return {script.id: script.secret for script in scripts}

    def fsck(self, *, anchor: bool = True) -> Report:
        return fsck(
            self.store.location,
            self.vkey,
            self.anchor if anchor else None,
            grant_secrets=self.secrets(),
            clock=self.clock,
        )

    def check_log(self, size: int | None = None) -> None:
        """Verify the entire log, and every receipt that was ever given."""
        rows = self.store.rows('SELECT "index", leaf FROM ledger_leaf ORDER BY 1')
        head = self.store.rows("SELECT size, root, note FROM ledger_head")
        assert [index for index, _ in rows] == list(range(len(rows)))
        assert len(head) == 1
        leaves = [leaf for _, leaf in rows]
        assert head[0][:2] == (len(leaves), naive_root(leaves))
        signed = open_checkpoint(head[0][2], self.signer.verifier)
        assert (signed.size, signed.root) == head[0][:2]
        if size is not None:
            assert len(leaves) == size
        for receipt in self.receipts:
            shown = verify(receipt.proof, receipt.leaf, self.vkey)
            assert shown.index == receipt.index
            assert leaves[receipt.index] == receipt.leaf
            assert shown.root == naive_root(leaves[: shown.size])
        report = self.fsck()
        assert report.ok, report.problems


def key_body(tx: WriterTransaction, sequence: int) -> dict[str, Json]:
    return {
        "kind": "KEY",
        "agency": "agency-a",
        "sequence": sequence,
        "record": "5" * 64,
        "at": tx.now,
    }
