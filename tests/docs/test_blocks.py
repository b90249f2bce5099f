"""Every block of code on the pages is run, and what it prints is what the page says.

The ``sh`` blocks of one page run in order in one shell, in a folder of their own. There
``.venv/bin`` holds stand-ins for three commands: ``make`` looks its target up in the real Makefile
and runs it only for the story with ``--once``; ``safehand up`` without ``--once`` does nothing,
because a sandbox runs already; everything else is the real thing. A block ``sh exit=N`` must end
with that code. A ``text`` block right behind is its output: each line is found in order, with "…"
for anything.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from safehand_consent_service.settings import ConsentSettings
from safehand_core.settings import CONFIG_VARIABLE

from tests.docs.pages import Fence, fences, name_of, pages
from tests.harness.world import World, running
from tests.shared_data import REPO

TIMEOUT_S = 240
"""For all blocks of a page together: a command takes 0.6 s, on a busy machine 3."""
BIN = Path(sys.executable).parent
ALONE = ("README.md",)
"""Pages whose blocks start a sandbox of their own."""
FIRST = ("quickstart.md",)
"""Pages that tell of a sandbox in which nothing has happened yet: what an agency hears first is
what the page made happen."""
SHELL = [page for page in pages() if any(f.language == "sh" for f in fences(page))]
PYTHON = [page for page in pages() if any(f.language == "python" for f in fences(page))]

SAFEHAND = f"""#!/bin/sh
case "$*" in
  "up --story --once "*) exec {BIN}/safehand "$@" ;;
  up*) exec {BIN}/safehand "$@" --help >/dev/null ;;
esac
exec {BIN}/safehand "$@"
"""
MAKE = f"""#!/bin/sh
recipe=$(MAKEFLAGS= {{make}} --no-print-directory -n -C {REPO} "$@") || exit 1
case "$*" in
  *--once*) eval "$(printf '%s\\n' "$recipe" | tail -n 1)" ;;
esac
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """One block that ran: what it printed, and the code of its last failing command, or 0."""

    output: str
    code: int


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder like a fresh clone that was set up, as far as the pages look at it."""
    stand_ins = tmp_path / ".venv" / "bin"
    stand_ins.mkdir(parents=True)
    real = subprocess.run(["which", "make"], check=True, capture_output=True, text=True).stdout
    for name, text in (("safehand", SAFEHAND), ("make", MAKE.replace("{make}", real.strip()))):
        (stand_ins / name).write_text(text)
        (stand_ins / name).chmod(0o755)
    for name in ("python", "python3"):
        (stand_ins / name).symlink_to(BIN / "python")
    (tmp_path / "libs").symlink_to(REPO / "libs")
    return tmp_path


@pytest.fixture
def fresh_world(tmp_path: Path) -> Iterator[World]:
    with running(tmp_path / "sandbox") as found:
        yield found


def run_shell(blocks: list[Fence], place: Path) -> list[Ran]:
    """Run the blocks in one shell. A failing command is noted and the block goes on."""
    lines = ["set -u -o pipefail", "trap 'failed=$?' ERR"]
    for number, block in enumerate(blocks):
        (place / f"block-{number}.sh").write_text(block.code)
        lines += [
            "failed=0",
            f". ./block-{number}.sh >block-{number}.out 2>&1",
            f'printf "%s" "$failed" >block-{number}.code',
        ]
    environment = {
        "PATH": f"{place / '.venv' / 'bin'}:{BIN}:{os.environ['PATH']}",
        "HOME": str(place),
        "LC_ALL": "C.UTF-8",
    }
    subprocess.run(
        ["bash", "-c", "\n".join(lines)],
        cwd=place,
        env=environment,
        check=True,
        timeout=TIMEOUT_S,
        stdin=subprocess.DEVNULL,
    )
    return [
        Ran((place / f"block-{n}.out").read_text(), int((place / f"block-{n}.code").read_text()))
        for n in range(len(blocks))
    ]


def expected_output(page: Path, block: Fence) -> str:
    """The ``text`` block right behind ``block``, or nothing."""
    behind = [fence for fence in fences(page) if fence.line > block.line][:1]
    adjacent = behind and behind[0].language == "text" and not block.after.strip()
    return behind[0].code if adjacent else ""


def require_lines(expected: str, output: str) -> None:
    """Each expected line is in the output, in order; "…" stands for anything within a line."""
    rest = output.splitlines()
    for line in expected.splitlines():
        pattern = ".*".join(re.escape(piece.strip()) for piece in line.split("…"))
        for number, found in enumerate(rest):
            if re.search(pattern, found):
                rest = rest[number + 1 :]
                break
        else:
            raise AssertionError(f"not printed: {line!r}\nin:\n{output}")


@pytest.mark.timeout(TIMEOUT_S + 60)
@pytest.mark.slow  # minutes of commands
@pytest.mark.parametrize("page", SHELL, ids=name_of)
def test_shell_blocks(page: Path, place: Path, request: pytest.FixtureRequest) -> None:
    if page.name not in ALONE:
        shared = "fresh_world" if page.name in FIRST else "world"
        world: World = request.getfixturevalue(shared)
        (place / "run").symlink_to(world.sandbox.root)
        world.grant(world.person())  # a page may look at what has happened
    blocks = [fence for fence in fences(page) if fence.language == "sh"]
    for block, ran in zip(blocks, run_shell(blocks, place), strict=True):
        where = f"{name_of(page)}, line {block.line}:\n{ran.output}"
        wanted = re.fullmatch(r"(?:exit=(\d+))?", block.info)
        assert wanted is not None, where
        assert ran.code == int(wanted[1] or 0), where
        require_lines(expected_output(page, block), ran.output)


@pytest.mark.parametrize("page", PYTHON, ids=name_of)
def test_python_blocks(
    page: Path, place: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "run").symlink_to(world.sandbox.root)
    monkeypatch.chdir(place)
    forms = [f.code for f in fences(page) if f.language == "sh" and "form.json" in f.code]
    for code in forms:
        (place / "form.json").write_text(code.partition("<<'END'\n")[2].partition("END\n")[0])
    names: dict[str, object] = {"__name__": "page"}
    for fence in fences(page):
        if fence.language == "python":
            exec(compile(fence.code, f"{name_of(page)}:{fence.line}", "exec"), names)  # noqa: S102


def test_settings_blocks_are_settings(tmp_path: Path) -> None:
    blocks = [f.code for page in pages() for f in fences(page) if f.language == "toml"]
    assert blocks
    for number, code in enumerate(blocks):
        assert set(tomllib.loads(code)) == {"consent"}
        file = tmp_path / f"{number}.toml"
        file.write_text(code)
        assert ConsentSettings.load({CONFIG_VARIABLE: str(file)}).profile == "production"


# --- the runner itself can fail ----------------------------------------------------------------


def test_a_failing_command_is_noticed(place: Path) -> None:
    blocks = [
        Fence("sh", "", code, 1, "") for code in ("A=1\nfalse\ntrue", "test $A = 1", "exit_7")
    ]
    assert [ran.code for ran in run_shell(blocks, place)] == [1, 0, 127]


def test_a_target_that_is_not_in_the_makefile_is_noticed(place: Path) -> None:
    blocks = [Fence("sh", "", code, 1, "") for code in ("make help", "make no-such-target")]
    assert [ran.code for ran in run_shell(blocks, place)] == [0, 1]


def test_output_that_differs_is_noticed() -> None:
    require_lines("one … three\nfour", "one two three\nelse\nfour\n")
    with pytest.raises(AssertionError, match="not printed"):
        require_lines("four\none", "one\nfour\n")
