"""The system under measurement: every process of the sandbox, on the chosen database."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from safehand_cli import seed
from safehand_cli.sandbox import Sandbox
from safehand_cli.system import System

from bench.where import Where
from tests.harness.database import Database
from tests.harness.world import World

_worlds: Final = itertools.count()
PEOPLE: Final = 100_000
"""People of one world: a sandbox that is started again knows those of before."""


def say(text: str) -> None:
    """What is being done now, on standard error, for a person who watches."""
    if sys.stderr.isatty() or os.environ.get("SAFEHAND_BENCH_TALK"):
        print(f"  · {text}", file=sys.stderr, flush=True)


@contextmanager
def running(
    root: Path,
    where: Where,
    *,
    stores: Mapping[str, Database] | None = None,
    tell: Callable[[str], None] = say,
) -> Iterator[World]:
    """The sandbox under ``root``, with its TEST sample; everything ends with the block.

    ``stores``: the databases of a sandbox that was there before. Raises CONFIG_INVALID where one
    would not survive a power cut: no figure is printed for those.
    """
    sandbox = Sandbox(root)
    found = where.of_sandbox(sandbox) if stores is None else stores
    system = System(sandbox, say=tell)
    try:
        system.start()
        seed.load(sandbox, say=tell)
        world = World(sandbox, system, found)
        world._numbers = itertools.count(PEOPLE * next(_worlds))
        world.connect()
        try:
            yield world
        finally:
            world.disconnect()
    finally:
        system.stop()
