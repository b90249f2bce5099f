"""``safehand up --story``: what a newcomer types first, as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from safehand_cli.main import app
from safehand_formats.kinds import Kind
from safehand_formats.opening import Opening
from typer.testing import CliRunner

SAFEHAND = [str(Path(sys.executable).with_name("safehand"))]
STORY_S = 120


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The story's output and its export directory."""
    root = tmp_path_factory.mktemp("story")
    out = root / "out"
    done = subprocess.run(
        [*SAFEHAND, "--dir", str(root / "run"), "up", "--story", "--once", "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=STORY_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, out


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SAFEHAND, *words], capture_output=True, text=True, timeout=60, check=False
    )


def test_it_shows_the_processes_and_every_step(told: tuple[str, Path]) -> None:
    text, _ = told
    for process in ("consent", "referral", "notify", "portal", "nats-server"):
        line = next(row for row in text.splitlines() if row.strip().startswith(process + " "))
        assert "pid" in line
    assert "every step held" in text
    assert "checked offline" in text


def test_the_export_holds_the_walk(told: tuple[str, Path]) -> None:
    _, out = told
    steps = json.loads((out / "story.json").read_text())
    kinds = [step["result"] for step in steps if step["index"] >= 0]
    assert kinds == [
        "GRANT", "REFER", "DISCLOSE", "DISCLOSE", "STOP", "RESUME", "DISCLOSE", "STOP", "REVOKE",
    ]  # fmt: skip
    for step in steps:
        assert set(step) == {"name", "tried", "result", "index"}
        if step["index"] >= 0:
            opening = Opening.from_bytes((out / f"{step['index']:03d}.opening.json").read_bytes())
            assert opening.kind is Kind[step["result"]]
    assert [step["result"] for step in steps].count("CONSENT_ENDED") == 4
    for name in ("checkpoint", "vkey", "000.leaf", "000.tlog-proof"):
        assert (out / name).exists()


def test_an_outsider_can_check_it(told: tuple[str, Path]) -> None:
    _, out = told
    assert run("ledger", "audit", "--openings", str(out)).returncode == 0
    vkey = str(out / "vkey")
    leaf, proof = out / "002.leaf", out / "002.tlog-proof"
    done = run("--json", "ledger", "verify", str(proof), "--leaf", str(leaf), "--vkey", vkey)
    assert done.returncode == 0
    assert json.loads(done.stdout)["index"] == 2
    other = run("ledger", "verify", str(proof), "--leaf", str(out / "003.leaf"), "--vkey", vkey)
    assert other.returncode == 1
    assert "PROOF_INVALID" in other.stderr


@pytest.mark.parametrize("name", ["story.json", "checkpoint", "004.leaf", "SHA256SUMS", "vkey"])
def test_a_changed_byte_is_found(told: tuple[str, Path], tmp_path: Path, name: str) -> None:
    _, out = told
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in out.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    assert CliRunner().invoke(app, ["ledger", "audit", "--openings", str(copy)]).exit_code == 1


def test_it_does_not_write_into_a_full_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep")
    done = run("--dir", str(tmp_path / "run"), "up", "--once", "--out", str(tmp_path))
    assert done.returncode == 3
    assert "CONFIG_INVALID" in done.stderr
    assert (tmp_path / "mine").read_text() == "keep"


def test_it_does_not_empty_a_folder_that_is_no_sandbox(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep")
    done = run("--dir", str(tmp_path), "up", "--story", "--once")
    assert done.returncode == 3
    assert (tmp_path / "mine").read_text() == "keep"
