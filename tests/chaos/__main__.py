"""``python -m tests.chaos``: load, trouble, and the verdict; exit status 1 for a broken promise."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.chaos.run import run
from tests.harness import database

MINUTES: Final = 10.0
REPORT_EVERY_S: Final = 15.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--actors", type=int, default=4)
    parser.add_argument(
        "--database", choices=database.ENGINES, default=os.environ.get(database.VARIABLE, "sqlite")
    )
    asked = parser.parse_args()
    os.environ[database.VARIABLE] = asked.database
    print(f"chaos: {asked.minutes:g} minutes on {asked.database}, seed {asked.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="safehand-chaos-") as folder:
        try:
            done = run(
                Path(folder) / "sandbox",
                engine=asked.database,
                seconds=asked.minutes * 60,
                seed=asked.seed,
                actors=asked.actors,
                say=lambda text: print(text, flush=True),
                report_every_s=REPORT_EVERY_S,
            )
        except AssertionError as error:
            print(f"chaos: a promise is broken: {error}\n  again with --seed {asked.seed}")
            return 1
    _table("done", done.load)
    _table("trouble", done.trouble)
    _table("told while a disk was full", done.told_while_full)
    _table("kept", done.kept)
    print("chaos: every promise was kept")
    return 0


def _table(title: str, counts: Mapping[str, int]) -> None:
    print(f"\n{title}")
    for name, number in sorted(counts.items()):
        if number:
            print(f"  {number:>8,}  {name}")


if __name__ == "__main__":
    sys.exit(main())
