"""Clients that make calls, each in a process of its own, so that no client waits for another's GIL.

Requests are made and signed before the clock runs, and travel as bytes: what is measured is the
call, not the making of it.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from safehand_rpc.dial import connect
from safehand_rpc.tls import TlsFiles

DEADLINE_S = 30.0
"""Of one call, seconds: a slow machine is a slow figure, not a failure."""


@dataclass(frozen=True, slots=True)
class Target:
    """One method of one server, as one party."""

    address: str
    service: str
    tls: TlsFiles
    path: str


@dataclass(frozen=True, slots=True)
class Batch:
    """What one client did: seconds of each call, when it began and ended, and the answers."""

    latencies: list[float]
    began: float
    ended: float
    answers: list[bytes]


@dataclass(frozen=True, slots=True)
class Run:
    """What all clients did together."""

    batches: list[Batch]

    @property
    def latencies(self) -> list[float]:
        return [one for batch in self.batches for one in batch.latencies]

    @property
    def rate(self) -> float:
        """Calls per second, from the first call's begin to the last one's end."""
        began = min(batch.began for batch in self.batches)
        ended = max(batch.ended for batch in self.batches)
        return len(self.latencies) / (ended - began)


class Clients:
    """``count`` client processes, started and idle."""

    def __init__(self, count: int) -> None:
        # spawn: gRPC must not be forked.
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_client, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def __len__(self) -> int:
        return len(self._pipes)

    def run(
        self, target: Target, requests: Sequence[Sequence[bytes]], *, keep: bool = False
    ) -> Run:
        """Client i sends ``requests[i]``, one after another, all clients at once.

        Clients without requests stay idle. With ``keep`` the answers come back too.
        """
        used = self._pipes[: len(requests)]
        for pipe, mine in zip(used, requests, strict=True):
            pipe.send((target, list(mine), keep))
        for pipe in used:
            pipe.recv()
        for pipe in used:
            pipe.send("go")
        batches = []
        for pipe in used:
            answer = pipe.recv()
            if isinstance(answer, str):
                raise RuntimeError(f"a client failed: {answer}")
            batches.append(answer)
        return Run(batches)

    def close(self) -> None:
        for pipe in self._pipes:
            pipe.send(None)
        for process in self._processes:
            process.join(10)


def _client(pipe: Connection) -> None:
    channels: dict[tuple[str, str, TlsFiles], Any] = {}
    while (order := pipe.recv()) is not None:
        target, requests, keep = order
        key = (target.address, target.service, target.tls)
        if key not in channels:
            channels[key] = connect(target.address, target.tls, target.service, retry=False)
        call = channels[key].unary_unary(target.path)
        pipe.send("ready")
        pipe.recv()
        try:
            pipe.send(_calls(call, requests, keep=keep))
        except Exception as error:
            pipe.send(f"{type(error).__name__}: {error}")
    for channel in channels.values():
        channel.close()


def _calls(call: Any, requests: list[bytes], *, keep: bool) -> Batch:
    latencies: list[float] = []
    answers: list[bytes] = []
    began = time.monotonic()
    for request in requests:
        start = time.perf_counter()
        answer = call(request, timeout=DEADLINE_S)
        latencies.append(time.perf_counter() - start)
        if keep:
            answers.append(answer)
    return Batch(latencies, began, time.monotonic(), answers)
