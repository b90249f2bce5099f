"""Clients that make calls, each with a connection of its own.

Up to eight are processes of their own, so that no client waits for another's GIL. Sixty-four are
eight processes with eight threads each: sixty-four Pythons would need more memory and more time to
start than the system under test. Either way they share the machine's CPUs with it, and so do the
clients of the echo, which is why only the ratio of the two says something.

Requests are made and signed before the clock runs, and travel as bytes: what is measured is the
call, not the making of it.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final

from safehand_rpc.dial import connect
from safehand_rpc.tls import TlsFiles

DEADLINE_S: Final = 30.0
"""Of one call, seconds: a slow machine is a slow figure, not a failure."""
PROCESSES: Final = 8
"""Processes that share the clients."""


@dataclass(frozen=True, slots=True)
class Target:
    """One method of one server, as one party."""

    address: str
    service: str
    tls: TlsFiles
    path: str


@dataclass(frozen=True, slots=True)
class Call:
    """One call: when it began and ended, in seconds of the machine's monotonic clock, which all
    processes share, and its answer where answers are kept."""

    began: float
    ended: float
    answer: bytes

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass(frozen=True, slots=True)
class Run:
    """What all clients did together. ``calls[i]`` are those of client i, in their order."""

    calls: list[list[Call]]

    @property
    def latencies(self) -> list[float]:
        return [call.seconds for mine in self.calls for call in mine]

    @property
    def rate(self) -> float:
        """Calls per second, from the first call's begin to the last one's end."""
        flat = [call for mine in self.calls for call in mine]
        return len(flat) / (max(c.ended for c in flat) - min(c.began for c in flat))


class Clients:
    """Up to ``count`` clients, started and idle."""

    def __init__(self, count: int) -> None:
        # spawn: gRPC must not be forked.
        context = multiprocessing.get_context("spawn")
        self.count = count
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(min(count, PROCESSES)):
            ours, theirs = context.Pipe()
            process = context.Process(target=_process, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def run(
        self, target: Target, requests: Sequence[Sequence[bytes]], *, keep: bool = False
    ) -> Run:
        """Client i sends ``requests[i]``, one after another, all clients at once.

        With ``keep`` the answers come back too. Raises RuntimeError where a call failed: a figure
        of calls that were refused means nothing.
        """
        assert 0 < len(requests) <= self.count
        used = self._pipes[: len(requests)]
        for number, pipe in enumerate(used):
            pipe.send((target, [list(one) for one in requests[number :: len(used)]], keep))
        for pipe in used:
            pipe.recv()
        for pipe in used:
            pipe.send("go")
        calls: list[list[Call]] = [[] for _ in requests]
        failed = ""
        for number, pipe in enumerate(used):
            answer = pipe.recv()
            if isinstance(answer, str):
                failed = answer
            else:
                calls[number :: len(used)] = answer
        if failed:
            raise RuntimeError(f"a client failed: {failed}")
        return Run(calls)

    def close(self) -> None:
        for pipe in self._pipes:
            pipe.send(None)
        for process in self._processes:
            process.join(10)


class _Client:
    """One client: its connections, kept for the next run."""

    def __init__(self) -> None:
        self._channels: dict[tuple[str, str, TlsFiles], Any] = {}

    def send(self, target: Target, requests: list[bytes], *, keep: bool) -> list[Call]:
        key = (target.address, target.service, target.tls)
        if key not in self._channels:
            self._channels[key] = connect(target.address, target.tls, target.service, retry=False)
        call = self._channels[key].unary_unary(target.path)
        done: list[Call] = []
        for request in requests:
            began = time.monotonic()
            answer = call(request, timeout=DEADLINE_S)
            done.append(Call(began, time.monotonic(), answer if keep else b""))
        return done

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()


def _process(pipe: Connection) -> None:
    clients: list[_Client] = []
    while (order := pipe.recv()) is not None:
        target, batches, keep = order
        while len(clients) < len(batches):
            clients.append(_Client())
        pipe.send("ready")
        pipe.recv()
        pipe.send(_all(clients, target, batches, keep=keep))
    for client in clients:
        client.close()


def _all(
    clients: list[_Client], target: Target, batches: list[list[bytes]], *, keep: bool
) -> list[list[Call]] | str:
    """The calls of every client of this process, or what went wrong."""
    done: list[list[Call]] = [[] for _ in batches]
    errors: list[str] = []

    def work(number: int) -> None:
        try:
            done[number] = clients[number].send(target, batches[number], keep=keep)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, len(batches))]
    for thread in threads:
        thread.start()
    work(0)
    for thread in threads:
        thread.join()
    return errors[0] if errors else done
