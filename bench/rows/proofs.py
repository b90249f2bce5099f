"""Row: receipts with their proofs, from ledgers of very different sizes.

Each ledger is real where a proof looks: every node of the tree, a signed head, and whole leaves
with openings at the places that are asked for. The other leaves are hashes of nothing. A receipt
is read by the service's own reader, in process, and every proof is verified.
"""

from __future__ import annotations

import hashlib
import random
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand_formats import merkle
from safehand_formats.bodies import encode_body
from safehand_formats.checkpoint import Checkpoint
from safehand_formats.kinds import Kind, grant_tag
from safehand_formats.leaf import Leaf, body_commitment
from safehand_formats.note import NoteSigner
from safehand_formats.proof import TlogProof
from safehand_ledger import stored, tables
from safehand_ledger.reader import LedgerReader
from safehand_store.engine import begin_read, open_engine
from sqlalchemy import Engine

from bench import bulk, stats
from bench.stand import Effort
from bench.stats import Figure
from bench.system import say
from bench.where import Where
from tests.harness.database import Database

ROW: Final = "proofs from 10³ to 10⁷ leaves"
LEAVES: Final = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
TINY: Final = (100, 1_000)
GOAL: Final = 2.0
WHOLE: Final = 400
"""Leaves of each ledger that are whole, and asked for in turn."""
BY_APPENDING: Final = 1_000_000
"""Up to this size the root is also found by appending leaf by leaf."""
TABLES: Final = tables.TABLES
TIME: Final = 1_790_000_000
"""Of every leaf, seconds since the epoch."""


@dataclass(frozen=True)
class Ledger:
    """A filled database: its size, and the places whose leaves are whole."""

    size: int
    engine: Engine
    store: Database
    signer: NoteSigner
    places: list[int]


def measure(where: Where, sizes: Sequence[int], effort: Effort) -> list[Figure]:
    """Raises AssertionError for a root or a proof that does not hold."""
    ledgers = []
    try:
        for size in sorted(sizes):
            say(f"a ledger of {size:,} leaves")
            ledgers.append(_ledger(where, size))
        return _figures(ledgers, effort)
    finally:
        for ledger in ledgers:
            ledger.engine.dispose()
            ledger.store.drop()


def _figures(ledgers: list[Ledger], effort: Effort) -> list[Figure]:
    took: dict[int, list[float]] = {ledger.size: [] for ledger in ledgers}
    consistent: dict[int, list[float]] = {ledger.size: [] for ledger in ledgers}
    dice = random.Random(1)  # noqa: S311  which are asked for is no secret
    for number in range(effort.rounds + 1):
        for ledger in ledgers:
            reader = LedgerReader(ledger.engine)
            for index in dice.choices(ledger.places, k=effort.singles):
                began = time.perf_counter()
                receipt = reader.receipt(index)
                passed = time.perf_counter() - began
                proof = TlogProof.from_text(receipt.proof)
                assert proof.index == index
                proof.verify(receipt.leaf, ledger.signer.verifier)
                before = dice.randrange(1, ledger.size)
                began = time.perf_counter()
                reader.consistency(before, ledger.size)
                if number:  # the first round warms up
                    took[ledger.size].append(passed)
                    consistent[ledger.size].append(time.perf_counter() - began)
    middles = {size: stats.p50(seconds) for size, seconds in took.items()}
    least, most = min(middles.values()), max(middles.values())
    figures = [
        Figure(
            ROW,
            f"p50, {min(middles):,} to {max(middles):,}",
            f"{stats.milliseconds(least)} to {stats.milliseconds(most)}",
            "the least of them",
            most / least,
            GOAL,
        )
    ]
    for ledger in ledgers:
        size, seconds = ledger.size, took[ledger.size]
        figures.append(
            Figure(
                ROW,
                f"{size:,} leaves, p50, p99",
                f"{stats.milliseconds(stats.p50(seconds))}, "
                f"{stats.milliseconds(stats.p99(seconds))}",
                f"consistency p50 {stats.milliseconds(stats.p50(consistent[size]))}",
                stats.p50(seconds) / least,
                None,
            )
        )
    return figures


# --- a ledger of any size ----------------------------------------------------------------------


def _ledger(where: Where, size: int) -> Ledger:
    dice = random.Random(size)  # noqa: S311  which leaves are whole is no secret
    places = sorted(dice.sample(range(size), min(WHOLE, size)))
    file = where.folder / f"proofs-{size}.sqlite3"
    signer = NoteSigner("bench.safehand.example/ledger", Ed25519PrivateKey.generate())
    local = Database(file, file)
    engine = open_engine(file)  # makes the file as a service does
    local.create(TABLES.leaf.metadata)
    engine.dispose()
    root = _fill(file, size, places, signer)
    store = local
    if where.cluster is not None:
        store = where.fresh(f"proofs-{size}")
        store.create(TABLES.leaf.metadata)
        bulk.copy(file, store, (TABLES.leaf, TABLES.opening, TABLES.node, TABLES.head))
        file.unlink()
    engine = open_engine(store.location)
    with begin_read(engine) as connection:
        head = stored.require_head(connection)
        assert merkle.root_at(size, stored.nodes(connection)) == root == head.root
    return Ledger(size, engine, store, signer, places)


def _fill(file: Path, size: int, places: list[int], signer: NoteSigner) -> bytes:
    with bulk.opened(file) as raw:
        return _tree(raw, size, places, signer)


def _tree(raw: sqlite3.Connection, size: int, places: list[int], signer: NoteSigner) -> bytes:
    """Write leaves, openings, nodes and head; the root."""
    whole = {index: _entry(index) for index in places}
    level = bytearray(b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(size)))
    for index, (leaf, _, _) in whole.items():
        level[32 * index : 32 * index + 32] = merkle.leaf_hash(leaf)
    bulk.fill(raw, TABLES.leaf, ((index, leaf) for index, (leaf, _, _) in whole.items()))
    # The rows are in the order of their index; the newest is there, as a start asks for it.
    openings = ((n, int(Kind.DISCLOSE), salt, body) for n, (_, salt, body) in whole.items())
    bulk.fill(raw, TABLES.opening, openings)
    edge: list[bytes] = []
    found = bytes(level)
    appended = merkle.Frontier()
    if size <= BY_APPENDING:
        for start in range(0, len(found), 32):
            appended.append(found[start : start + 32])
    height = 0
    while found:
        bulk.fill(raw, TABLES.node, _rows(height, found))
        if len(found) // 32 % 2:
            edge.append(found[-32:])
        found = _above(found)
        height += 1
    root = edge[0]
    for left in edge[1:]:
        root = merkle.node_hash(left, root)
    assert size > BY_APPENDING or appended.root() == root
    note = Checkpoint(signer.name, size, root).sign(signer)
    bulk.fill(raw, TABLES.head, [(tables.HEAD_ID, size, root, note, TIME)])
    return root


def _above(level: bytes) -> bytes:
    """The hashes of the pairs of ``level``; one that is alone has no parent yet."""
    sha256 = hashlib.sha256
    pairs = range(0, len(level) - 32, 64)
    return b"".join(sha256(b"\x01" + level[at : at + 64]).digest() for at in pairs)


def _rows(height: int, level: bytes) -> Iterator[tuple[int, int, bytes]]:
    return ((height, at // 32, level[at : at + 32]) for at in range(0, len(level), 32))


def _entry(index: int) -> tuple[bytes, bytes, bytes]:
    """A leaf, its salt and its body: a DISCLOSE."""
    secret = hashlib.sha256(b"secret %d" % index).digest()
    salt = hashlib.sha256(b"salt %d" % index).digest()
    body = encode_body(
        Kind.DISCLOSE,
        {
            "kind": Kind.DISCLOSE.name,
            "grant": secret.hex()[:32],
            "at": TIME,
            "counter": 0,
            "manifest": secret.hex(),
            "part": 0,
            "category": "CARD",
            "stage": "card",
            "recipient": "agency-b",
            "worker_ref": "worker-b-12",
            "request": salt.hex(),
            "accept": "",
        },
    )
    tag = grant_tag(Kind.DISCLOSE, secret, 0)
    leaf = Leaf(Kind.DISCLOSE, tag, body_commitment(salt, body), secret)
    return leaf.encode(), salt, body
