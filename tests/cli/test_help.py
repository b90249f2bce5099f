"""What the command line says to somebody who typed something else than it expects."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any

import pytest
from safehand_cli import context
from safehand_cli.context import fail
from safehand_cli.main import app
from safehand_cli.sandbox import MARKER, Sandbox
from safehand_cli.show import StoryPrinter
from safehand_cli.story import Step
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import CATEGORIES, DECLINE_REASONS, OUTCOMES, PURPOSES, URGENCY_ANSWER_S
from typer.testing import CliRunner

from tests.cli.test_commands import run
from tests.harness.world import World

ID = "0" * 32


def refused(world: World | None, party: str, *words: str) -> Any:
    done = run(world, party, *words)
    assert done.exit_code in (2, 3), done.stderr
    return json.loads(done.stderr)


@pytest.mark.parametrize("content", [b"not hex", b"\xff\xfe", b"abc"])
def test_a_key_file_that_holds_no_key(world: World, tmp_path: Path, content: bytes) -> None:
    key = tmp_path / "key"
    key.write_bytes(content)
    words = ["agency", "enrol", "agency-x", "--key", str(key), "--name", "X"]
    assert refused(world, "consent", *words)["error"] == "MALFORMED"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"{", b"[]", b'{"protocol": 1}'])
def test_a_proposal_that_is_none(world: World, tmp_path: Path, content: bytes) -> None:
    proposal = tmp_path / "proposal"
    proposal.write_bytes(content)
    words = ["agency", "countersign", str(proposal), "--fingerprint", "0" * 64]
    assert refused(world, "agency-b", *words)["error"] == "MALFORMED"


def test_a_form_that_is_no_text(world: World, tmp_path: Path) -> None:
    form = tmp_path / "form"
    form.write_bytes(b"\xff\xfe")
    words = ["--grant", ID, "--to", "agency-b", "--service", "x", "--purpose", "legal"]
    found = refused(world, "agency-a", "referral", "send", *words, "--form", str(form))
    assert found["error"] == "MALFORMED"


@pytest.mark.parametrize("party", ["", "agency-z"])
def test_who_is_missing_is_told_who_is_there(world: World, party: str) -> None:
    found = refused(world, party, "referral", "list")
    assert found["error"] == "CONFIG_INVALID"
    for name in ("agency-a", "agency-b", "her", "consent", "oversight"):
        assert name in found["metadata"]["parties"].split(", ")


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (["referral", "decline", ID, "--reason", "x"], DECLINE_REASONS),
        (["referral", "withdraw", ID, "--reason", "x"], DECLINE_REASONS),
        (["referral", "complete", ID, "--outcome", "x"], OUTCOMES),
        (["referral", "open", ID, "--category", "x", "--worker", "worker-1"], CATEGORIES),
    ],
)
def test_a_word_outside_its_list_is_answered_with_the_list(
    world: World, words: list[str], allowed: Any
) -> None:
    found = refused(world, "agency-b", *words)
    assert found["error"] == "MALFORMED"
    assert found["metadata"]["allowed"] == ", ".join(allowed)
    shown = " ".join(_help(*words[:2]))
    assert all(word in shown for word in allowed)


def _help(*words: str) -> list[str]:
    text = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200"}).stdout
    return text.replace("│", " ").split()


def test_the_lists_are_in_the_help() -> None:
    send = " ".join(_help("referral", "send"))
    assert all(word in send for word in (*PURPOSES, *CATEGORIES, *URGENCY_ANSWER_S))
    grant = " ".join(_help("consent", "grant"))
    assert all(word in grant for word in (*PURPOSES, *CATEGORIES, "interpreter", "with_worker"))


def test_a_worker_reference_says_its_shape(world: World) -> None:
    words = ["referral", "open", ID, "--category", "CARD", "--worker", "Jane Doe"]
    assert refused(world, "agency-b", *words)["metadata"]["shape"] == context.REFERENCE


def test_how_long_to_wait_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context.CURRENT, "json", False)
    fail(SafehandError(Reason.THROTTLED, retry_after_s=29.2))
    assert "wait: 30 s" in capsys.readouterr().err


def test_an_expected_refusal_looks_calm(capsys: pytest.CaptureFixture[str]) -> None:
    StoryPrinter().step(Step("x", "She tries", "CONSENT_ENDED", -1), "why")
    said = capsys.readouterr().out
    assert "■ refused, as it must be: CONSENT_ENDED" in said
    assert "✗" not in said


# --- the sandbox folder --------------------------------------------------------------------------


def test_a_folder_that_is_in_use_is_not_emptied(tmp_path: Path) -> None:
    root = tmp_path / "run"
    root.mkdir()
    (root / "mine").write_text("keep")
    with (root / MARKER).open("w") as marker:
        fcntl.flock(marker, fcntl.LOCK_EX)
        done = CliRunner().invoke(app, ["--dir", str(root), "up", "--story", "--once"])
    assert done.exit_code == 3
    assert "another safehand up runs in this folder" in done.stderr
    assert (root / "mine").read_text() == "keep"


def test_a_held_sandbox_is_emptied_and_held_on(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "run")
    with sandbox.held():
        assert not sandbox.wipe()
        (sandbox.root / "old").mkdir()
        (sandbox.root / "old" / "file").touch()
        assert sandbox.wipe()
        assert [path.name for path in sandbox.root.iterdir()] == [MARKER]
        with pytest.raises(SafehandError), sandbox.held():
            pass
    with sandbox.held():
        pass


# --- whose key counts ----------------------------------------------------------------------------


def test_the_ledgers_own_key_file_is_not_what_is_trusted(world: World, tmp_path: Path) -> None:
    """The party that is checked can write its own public file as it likes."""
    path = world.sandbox.vkey_file
    kept = path.read_text()
    try:
        path.write_text("somebody+00000000+AAAA\n")
        assert run(world, "", "ledger", "fsck").exit_code == 0
        done = run(world, "agency-a", "ledger", "export", "--openings", str(tmp_path / "out"))
        assert done.exit_code == 0
    finally:
        path.write_text(kept)


def test_an_audit_says_whether_the_key_was_pinned(world: World, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(world, "", "ledger", "export", "--openings", str(out)).exit_code == 0
    audit = ["ledger", "audit", "--openings", str(out)]
    assert json.loads(run(None, "", *audit).stdout)["pinned"] is False
    assert "key not pinned" in CliRunner().invoke(app, audit).stdout
    pinned = [*audit, "--vkey", str(world.sandbox.party_dir("oversight") / "trust/ledger.vkey")]
    assert json.loads(run(None, "", *pinned).stdout)["pinned"] is True
    assert "key not pinned" not in CliRunner().invoke(app, pinned).stdout
