"""Row: appends to the ledger in process, by one submitter and by several."""

from __future__ import annotations

import hashlib
import multiprocessing
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand_core.clock import SystemClock
from safehand_core.entropy import SystemEntropy
from safehand_formats.kinds import Kind, grant_tag
from safehand_formats.note import NoteSigner
from safehand_ledger import tables
from safehand_ledger.transaction import WriterTransaction
from safehand_ledger.writer import LedgerWriter
from safehand_store.engine import open_engine, require_durable
from safehand_store.location import Location

from bench import stats
from bench.disk import Disk
from bench.stand import Effort, Stand
from bench.stats import Figure

ROW: Final = "ledger append, in process"
GAIN_GOAL: Final = 5.0
SERIAL_GOAL: Final = 3.0
APPENDS_PER_CALL: Final = 4
"""Appends are cheaper than calls: this many for each call of the other rows."""
WARM_UP: Final = 100
"""Appends before anything is measured."""


@dataclass
class Result:
    """Seconds of single appends and of the disk beside them; by submitters, seconds and rates."""

    fsync: list[float] = field(default_factory=list)
    seconds: dict[int, list[float]] = field(default_factory=dict)
    rates: dict[int, list[float]] = field(default_factory=dict)


def measure(stand: Stand) -> list[Figure]:
    """In a process of its own, over an empty ledger on the same disk or server as consent's."""
    store = stand.where.fresh("bench-ledger")
    store.create(tables.TABLES.leaf.metadata)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_process,
        args=(theirs, store.location, stand.where.folder, stand.where.disk, stand.effort),
    )
    process.start()
    theirs.close()
    done: Result = ours.recv()
    process.join()
    store.drop()
    return figures(done.seconds, done.rates, done.fsync)


def figures(
    seconds: Mapping[int, list[float]], rates: Mapping[int, list[float]], disk: list[float]
) -> list[Figure]:
    most = max(seconds)
    serial, fsync = stats.p50(seconds[1]), stats.p50(disk)
    serial_rate = stats.median(rates[1])
    found = [
        Figure(
            ROW,
            "p50, 1 submitter",
            stats.milliseconds(serial),
            f"fsync {stats.milliseconds(fsync)}",
            serial / fsync,
            SERIAL_GOAL,
        )
    ]
    for submitters in sorted(seconds)[1:]:
        rate = stats.median(rates[submitters])
        found.append(
            Figure(
                ROW,
                f"rate, {submitters} submitters",
                stats.rate(rate),
                f"serial {stats.rate(serial_rate)}",
                rate / serial_rate,
                GAIN_GOAL if submitters == most else None,
                at_most=False,
            )
        )
    for submitters, took in sorted(seconds.items()):
        found.append(
            Figure(
                ROW,
                f"p50, p99, {submitters} submitter{'s' if submitters > 1 else ''}",
                f"{stats.milliseconds(stats.p50(took))}, {stats.milliseconds(stats.p99(took))}",
                "",
                0.0,
                None,
            )
        )
    return found


def _process(
    pipe: Connection, location: Location, folder: Path, disk: Path, effort: Effort
) -> None:
    pipe.send(run(location, folder, disk, effort))


def run(location: Location, folder: Path, disk: Path, effort: Effort) -> Result:
    """One submitter and several in turns, with the disk measured in between.

    ``disk``: a directory on the disk that the database lies on; ``folder``: for the anchor.
    """
    engine = open_engine(location)
    require_durable(engine)
    writer = LedgerWriter(
        engine,
        signer=NoteSigner("bench.safehand.example/ledger", Ed25519PrivateKey.generate()),
        clock=SystemClock(),
        entropy=SystemEntropy(),
        anchor=folder / "bench-anchor" / "ledger.anchor",
    )
    floor, result = Disk(disk), Result()
    with writer:
        _submit(writer, min(WARM_UP, effort.singles * APPENDS_PER_CALL))
        for _ in range(effort.rounds):
            for submitters, calls in sorted(effort.each.items()):
                result.fsync += floor.sample(effort.singles)
                took, seconds = _submit_together(writer, submitters, calls * APPENDS_PER_CALL)
                result.seconds.setdefault(submitters, []).extend(took)
                result.rates.setdefault(submitters, []).append(len(took) / seconds)
    floor.close()
    engine.dispose()
    return result


def _submit(writer: LedgerWriter, count: int) -> list[float]:
    took = []
    for _ in range(count):
        began = time.perf_counter()
        writer.submit(_append)
        took.append(time.perf_counter() - began)
    return took


def _submit_together(
    writer: LedgerWriter, submitters: int, count: int
) -> tuple[list[float], float]:
    """Seconds of each append of all submitters, ``count`` each, and of all of it."""
    took: list[list[float]] = []
    start = threading.Barrier(submitters + 1)

    def submitter() -> None:
        start.wait()
        took.append(_submit(writer, count))

    threads = [threading.Thread(target=submitter) for _ in range(submitters)]
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
