"""One run: a world behind a proxy, actors, trouble, healing, and the verdict."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import verdict
from tests.chaos.journal import Journal
from tests.chaos.load import Actor
from tests.chaos.trouble import Trouble
from tests.fault.test_bus_chaos import Stage, stage
from tests.harness.database import Database


@dataclass(frozen=True, slots=True)
class Done:
    """What was asked, what was broken, what was kept: name to count."""

    load: Mapping[str, int]
    trouble: Mapping[str, int]
    kept: Mapping[str, int]


def run(
    root: Path,
    *,
    seconds: float,
    seed: int,
    actors: int = 4,
    say: Callable[[str], None] = lambda _: None,
    report_every_s: float = 15.0,
) -> Done:
    """Load and trouble for ``seconds``; then everything heals, and every promise is checked.

    Raises AssertionError for the first promise that was not kept.
    """
    with stage(root, seed=seed) as scene:
        journal, stopping = Journal(), threading.Event()
        cast = [Actor(scene.world, journal, stopping, seed * 100 + n) for n in range(actors)]
        trouble = Trouble(scene.world, scene.proxy, seed, _server_of(scene))
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
            kept: Counter[str] = verdict.check(scene, journal)
            return Done(journal.counts, trouble.counts, kept)
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
        say(
            f"  {time.monotonic() - began:>5.0f} s  {counts.get('grant', 0)} grants, "
            f"{counts.get('open', 0)} looks, {counts.get('stop', 0)} stops, "
            f"{counts.get('tried again', 0)} tries again, {sum(trouble.counts.values())} troubles"
        )


def _server_of(scene: Stage) -> Callable[[], None] | None:
    """Kills the database server and starts it again, where there is one."""
    stores: Mapping[str, Database] = scene.world.stores
    clusters = {id(store.cluster): store.cluster for store in stores.values() if store.cluster}
    if not clusters:
        return None

    def kill() -> None:
        for cluster in clusters.values():
            cluster.kill()
            cluster.start()

    return kill
