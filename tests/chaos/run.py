"""One run: a world behind a proxy, actors, trouble, healing, and the verdict."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.chaos import verdict
from tests.chaos.ground import ground
from tests.chaos.journal import Journal
from tests.chaos.load import Actor
from tests.chaos.trouble import Trouble
from tests.fault.stage import stage

KILO: Final = 1024


@dataclass(frozen=True, slots=True)
class Done:
    """What was asked, what was broken, what was told meanwhile, what was kept: name to count."""

    load: Mapping[str, int]
    trouble: Mapping[str, int]
    told_while_full: Mapping[str, int]
    kept: Mapping[str, int]


def run(
    root: Path,
    *,
    engine: str,
    seconds: float,
    seed: int,
    actors: int = 4,
    say: Callable[[str], None] = lambda _: None,
    report_every_s: float = 15.0,
) -> Done:
    """Load and trouble for ``seconds``; then everything heals, and every promise is checked.

    Raises AssertionError for the first promise that was not kept.
    """
    with (
        ground(engine) as under,
        stage(
            root, seed=seed, make_stores=under.make_stores, environment=under.environment
        ) as scene,
    ):
        say(f"what can be full: {under.disk(scene.world).how}")
        journal, stopping = Journal(), threading.Event()
        cast = [Actor(scene.world, journal, stopping, seed * 100 + n) for n in range(actors)]
        trouble = Trouble(scene.world, scene.proxy, under, journal, seed)
        for actor in cast:
            actor.start()
        trouble.start()
        try:
            _watch(journal, trouble, stopping, seconds, say, report_every_s)
            trouble.stop()
            stopping.set()
            for actor in cast:
                actor.join()
            for failure in (trouble.failure, *(actor.failure for actor in cast)):
                assert failure is None, repr(failure)
            say("the trouble is over; checking every promise")
            kept = verdict.check(scene, journal)
            return Done(journal.counts, trouble.counts, trouble.told_while_full, kept)
        finally:
            stopping.set()
            trouble.stop()
            trouble.release()


def _watch(
    journal: Journal,
    trouble: Trouble,
    stopping: threading.Event,
    seconds: float,
    say: Callable[[str], None],
    every_s: float,
) -> None:
    began = time.monotonic()
    while (left := began + seconds - time.monotonic()) > 0:
        if stopping.wait(min(every_s, left)):
            return
        counts = journal.counts
        stops = sum(count for name, count in counts.items() if name.startswith("stop"))
        troubles = sum(count for name, count in trouble.counts.items() if name[0] != " ")
        say(
            f"  {time.monotonic() - began:>5.0f} s  {len(journal.stories)} consents, "
            f"{counts.get('open', 0)} looks, {stops} stops, "
            f"{counts.get('tried again', 0)} tries again, {troubles} troubles, {_memory_mb()} MB"
        )


def _memory_mb() -> int:
    """What this process holds, megabytes: the load must not grow with its time."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // KILO
    return 0
