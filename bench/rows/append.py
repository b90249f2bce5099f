"""Row: appends to the ledger in process, one submitter and sixty-four."""

from __future__ import annotations

import hashlib
import multiprocessing
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand_core.clock import SystemClock
from safehand_core.entropy import SystemEntropy
from safehand_formats.kinds import Kind, grant_tag
from safehand_formats.note import NoteSigner
from safehand_ledger import tables
from safehand_ledger.transaction import WriterTransaction
from safehand_ledger.writer import LedgerWriter
from safehand_store.engine import begin_write, open_engine, require_durable

from bench import stats
from bench.disk import Disk
from bench.stand import Stand
from bench.stats import Figure

ROW: Final = "ledger append, in process"
SUBMITTERS: Final = 64
GAIN_GOAL: Final = 5.0
SERIAL_GOAL: Final = 3.0
APPENDS_PER_CALL: Final = 4
"""Appends are cheaper than calls: this many for each call of the other rows."""


class Result(NamedTuple):
    """Seconds of single appends and of the disk beside them; appends per second."""

    serial: list[float]
    fsync: list[float]
    serial_rates: list[float]
    many_rates: list[float]
    many: list[float]


def measure(stand: Stand) -> list[Figure]:
    """In a process of its own, over an empty ledger beside consent's."""
    folder = stand.world.sandbox.data("consent") / "bench-ledger"
    count = stand.effort.each * APPENDS_PER_CALL
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_process, args=(theirs, folder, stand.effort.rounds, count))
    process.start()
    theirs.close()
    done: Result = ours.recv()
    process.join()
    serial, fsync = stats.p50(done.serial), stats.p50(done.fsync)
    serial_rate, many_rate = stats.median(done.serial_rates), stats.median(done.many_rates)
    return [
        Figure(
            ROW,
            "p50, one submitter",
            stats.milliseconds(serial),
            f"fsync {stats.milliseconds(fsync)}",
            serial / fsync,
            SERIAL_GOAL,
        ),
        Figure(
            ROW,
            f"rate, {SUBMITTERS} submitters",
            stats.rate(many_rate),
            f"serial {stats.rate(serial_rate)}",
            many_rate / serial_rate,
            GAIN_GOAL,
            at_most=False,
        ),
        Figure(
            ROW,
            f"p50 and p99, {SUBMITTERS} submitters",
            f"{stats.milliseconds(stats.p50(done.many))}, "
            f"{stats.milliseconds(stats.p99(done.many))}",
            "",
            0.0,
            None,
        ),
    ]


def _process(pipe: Connection, folder: Path, rounds: int, count: int) -> None:
    pipe.send(run(folder, rounds, count))


def run(folder: Path, rounds: int, count: int) -> Result:
    """Alternate between one submitter and many, with the disk measured in between."""
    engine = open_engine(folder / "ledger.sqlite3")
    require_durable(engine)
    with begin_write(engine) as connection:
        tables.TABLES.leaf.metadata.create_all(connection)
    writer = LedgerWriter(
        engine,
        signer=NoteSigner("bench.safehand.example/ledger", Ed25519PrivateKey.generate()),
        clock=SystemClock(),
        entropy=SystemEntropy(),
        anchor=folder / "anchor" / "ledger.anchor",
    )
    disk = Disk(folder)
    result = Result([], [], [], [], [])
    with writer:
        _submit(writer, 100)
        for _ in range(rounds):
            result.fsync.extend(disk.sample(count))
            began = time.perf_counter()
            result.serial.extend(_submit(writer, count))
            result.serial_rates.append(count / (time.perf_counter() - began))
            took, seconds = _submit_together(writer, count)
            result.many.extend(took)
            result.many_rates.append(len(took) / seconds)
    disk.close()
    engine.dispose()
    return result


def _submit(writer: LedgerWriter, count: int) -> list[float]:
    took = []
    for _ in range(count):
        began = time.perf_counter()
        writer.submit(_append)
        took.append(time.perf_counter() - began)
    return took


def _submit_together(writer: LedgerWriter, count: int) -> tuple[list[float], float]:
    """Seconds of each append of all submitters, and of all of it."""
    took: list[list[float]] = []
    start = threading.Barrier(SUBMITTERS + 1)

    def submitter() -> None:
        start.wait()
        took.append(_submit(writer, count // 4))

    threads = [threading.Thread(target=submitter) for _ in range(SUBMITTERS)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return [one for mine in took for one in mine], time.perf_counter() - began


_SECRET: Final = hashlib.sha256(b"bench").digest()
_HEX: Final = _SECRET.hex()
_TAG: Final = grant_tag(Kind.DISCLOSE, _SECRET, 0)


def _append(transaction: WriterTransaction) -> int:
    """A DISCLOSE, the commonest entry and one of the longest."""
    return transaction.append(
        Kind.DISCLOSE,
        _TAG,
        {
            "kind": Kind.DISCLOSE.name,
            "grant": _HEX[:32],
            "at": transaction.now,
            "counter": 0,
            "manifest": _HEX,
            "part": 0,
            "category": "CARD",
            "stage": "card",
            "recipient": "agency-b",
            "worker_ref": "worker-b-12",
            "request": _HEX,
            "accept": "",
        },
    )
