"""``python -m tests.mutants [NAME...] [--list]``: exit 0 only when every guard has its red test."""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from tests.mutants import tree
from tests.mutants.guard import Guard, StaleError
from tests.mutants.guards import GUARDS
from tests.mutants.runner import Result, Verdict, try_guard, unmutated

T = TypeVar("T")
R = TypeVar("R")

PARALLEL: Final = 2
"""Mutants at a time: each is a pytest process and the services that it starts."""
TAIL_LINES: Final = 25
"""Lines of a failed run that are shown."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0: all red. 1: a guard without a red test. 2: no such guard, or a stale list."""
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="guards to try (default: all)")
    parser.add_argument("--list", action="store_true", help="print the guards and end")
    options = parser.parse_args(arguments)
    known = {guard.name: guard for guard in GUARDS}
    unknown = [name for name in options.names if name not in known]
    if unknown:
        say(f"no such guard: {', '.join(unknown)} (--list names them)")
        return 2
    chosen = [known[name] for name in options.names] or list(GUARDS)
    if options.list:
        for guard in chosen:
            say(f"{guard.name}: {guard.protects}\n    {guard.edit.file}\n    {guard.test}")
        return 0
    stale = [problem for guard in chosen if (problem := staleness(guard))]
    if stale:
        say("\n".join(["the list is stale:", *stale]))
        return 2
    with tempfile.TemporaryDirectory(prefix="safehand-mutants-") as folder:
        return try_all(chosen, Path(folder))


def staleness(guard: Guard) -> str:
    """Why the guard cannot be tried, or an empty text."""
    try:
        guard.check()
    except StaleError as error:
        return f"{guard.name}: {error}"
    return ""


def try_all(guards: Sequence[Guard], folder: Path) -> int:
    """Try every guard in copies under ``folder``; prints as it goes; the exit status."""
    started = time.monotonic()
    copies = [folder / f"copy-{number}" for number in range(PARALLEL)]
    for place in copies:
        tree.copy(place / "tree")

    files = sorted({guard.test.partition("::")[0] for guard in guards})
    say(f"{len({g.test for g in guards})} tests, every guard in place")
    groups = [
        [g for g in guards if g.test.partition("::")[0] in files[number::PARALLEL]]
        for number in range(PARALLEL)
    ]
    problems = in_copies(
        copies,
        [group for group in groups if group],
        lambda group, place: unmutated(group, place / "tree", place / "scratch"),
    )
    if any(problems):
        say("a test is red although nothing was switched off:\n" + "\n".join(problems))
        return 1
    say(f"all green, {time.monotonic() - started:.0f} s; now {len(guards)} guards, one at a time")

    progress = Progress(len(guards))
    results = in_copies(
        copies,
        guards,
        lambda guard, place: progress.done(try_guard(guard, place / "tree", place / "scratch")),
    )
    say("\n" + table(results))
    bad = [result for result in results if result.verdict is not Verdict.RED]
    for result in bad:
        say(f"\n{result.guard.name}: {result.verdict}: {result.evidence}")
        say("\n".join(result.output.rstrip().split("\n")[-TAIL_LINES:]))
    red = len(results) - len(bad)
    say(f"\n{red} of {len(results)} guards have a red test, {time.monotonic() - started:.0f} s")
    return 1 if bad else 0


def in_copies(copies: Sequence[Path], work: Iterable[T], do: Callable[[T, Path], R]) -> list[R]:
    """``do`` for each piece of work, one at a time in each copy; results in the order given."""
    free = list(copies)
    lock = threading.Lock()

    def one(item: T) -> R:
        with lock:
            place = free.pop()
        try:
            return do(item, place)
        finally:
            with lock:
                free.append(place)

    pool = ThreadPoolExecutor(len(copies))
    try:
        return list(pool.map(one, work))
    finally:
        # Interrupted, nobody waits for the rest.
        pool.shutdown(cancel_futures=True)


class Progress:
    """One line for each guard when it is done."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._count = 0
        self._lock = threading.Lock()

    def done(self, result: Result) -> Result:
        with self._lock:
            self._count += 1
            say(
                f"[{self._count:3}/{self._total}] {result.seconds:5.1f} s  "
                f"{result.guard.name}: {result.verdict}"
            )
        return result


def table(results: Sequence[Result]) -> str:
    """``guard | test that turned red | seconds``."""
    width = max(len(result.guard.name) for result in results)
    lines = [f"{'guard':{width}} | test that turned red | seconds"]
    for result in results:
        shown = result.evidence if result.verdict is Verdict.RED else f"-- {result.verdict} --"
        lines.append(f"{result.guard.name:{width}} | {shown} | {result.seconds:.1f}")
    return "\n".join(lines)


def say(text: str) -> None:
    """A line for the person who waits."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
