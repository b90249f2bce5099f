"""Each measuring command, with numbers so small that its figures mean nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import page
from bench.where import ENGINES, EXIT_REFUSED
from tests.harness import database
from tests.shared_data import REPO

COMMANDS = {
    "rows": ("bench", "--tiny"),
    "growth": ("bench.growth", "--tiny", "--grants", "40", "80"),
    "takeover": ("bench.takeover", "--times", "1", "--failovers", "1"),
    "drain": ("bench.drain", "--events", "60"),
    "memory": ("bench.memory", "--minutes", "0.1", "--rate", "1"),
}
"""Name of the file to what writes it."""
TIMEOUT_S = 400


def run(module: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=REPO,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_S + 20)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_runs_and_what_it_printed_is_kept(name: str, tmp_path: Path) -> None:
    engine = database.require(database.chosen())
    module, *arguments = COMMANDS[name]
    file = tmp_path / f"{name}.json"
    done = run(module, *arguments, "--database", engine, "--json", str(file))
    assert done.returncode == 0, done.stderr[-3000:]
    kept = json.loads(file.read_text("utf-8"))
    assert kept["output"] == done.stdout
    assert str(tmp_path) not in kept["output"], "how to repeat it names no place"
    assert kept["data"]
    told = f"<!-- output {name} -->\nas it was before\n<!-- end -->\n"
    filled, missing = page.filled(told, tmp_path)
    assert missing == []
    assert done.stdout.rstrip() in filled
    assert "as it was before" not in filled


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_S + 20)
def test_the_drain_ends_on_a_server_too() -> None:
    """Its relay is a process that has to be told which database the source writes."""
    engine = database.require("pg18")
    done = run("bench.drain", "--events", "60", "--database", engine)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "notify away: all delivered" in done.stdout


@pytest.mark.slow  # it starts everything that a bench starts
@pytest.mark.parametrize("engine", database.QUICK)
def test_memory_is_no_place_for_a_database_that_is_measured(engine: str) -> None:
    database.require(engine)
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("there is no file system in memory here")
    done = run("bench.drain", "--events", "1", "--database", engine, "--dir", "/dev/shm")
    assert done.returncode == EXIT_REFUSED, done.stderr[-2000:]
    assert "CONFIG_INVALID" in done.stderr
    assert "events/s" not in done.stdout


def test_what_was_not_measured_is_left_as_it_is_and_named(tmp_path: Path) -> None:
    text = "before\n<!-- output rows -->\nas it was\n<!-- end -->\nbehind\n"
    assert page.filled(text, tmp_path) == (text, ["rows"])


def test_every_output_on_the_page_has_a_command_that_writes_it() -> None:
    names = page.BLOCK.findall(page.PAGE.read_text("utf-8"))
    known = {*COMMANDS, "proofs", "portal", "chaos"}  # two rows, and tests.chaos
    for _, name, _ in names:
        command, _, engine = name.partition("-")
        assert command in known, name
        assert engine in ("", *ENGINES), name
