"""``safehand explain`` and ``safehand slip``, as a worker and as she uses them."""

from __future__ import annotations

from pathlib import Path

import pytest
from safehand_cli.main import app
from typer.testing import CliRunner

from tests.cli.test_commands import ok
from tests.harness.world import WORKER, Person, World


@pytest.fixture
def hers(world: World, tmp_path: Path) -> tuple[Person, list[str]]:
    person = world.person()
    (tmp_path / "card").write_text(person.card)
    (tmp_path / "pin").write_text(person.pin)
    files = ["--card-file", str(tmp_path / "card"), "--pin-file", str(tmp_path / "pin")]
    return person, files


def said(world: World, party: str, *words: str) -> tuple[int, str]:
    """Exit status, and what a person reads."""
    options = ["--dir", str(world.sandbox.root), "--as", party]
    done = CliRunner().invoke(app, [*options, *words])
    return done.exit_code, done.stdout + done.stderr


def test_a_worker_reads_why_it_does_not_open(world: World, hers: tuple[Person, list[str]]) -> None:
    person, _ = hers
    grant = world.grant(person)
    referral = world.send(grant).referral
    code, text = said(world, "agency-b", "explain", "open", referral, "--part", "1")
    assert code == 1
    assert "it cannot be opened now: NOT_ACCEPTED" in text
    assert "✗ identity opens only after a signed acceptance" in text
    assert "not asked: the answer was clear before" in text
    code, text = said(world, "agency-b", "explain", "open", referral)
    assert (code, text.splitlines()[0]) == (0, "it can be opened now")
    with world.session(person) as her:
        her.stop(grant)
    code, text = said(world, "agency-b", "explain", "open", referral)
    assert code == 1
    assert "do not press her to resume" in text
    code, text = said(
        world, "agency-a", "explain", "send", grant, "--purpose", "legal", "--category", "CARD"
    )
    assert code == 1


def test_she_reads_what_allowed_a_look(world: World, hers: tuple[Person, list[str]]) -> None:
    person, files = hers
    grant = world.grant(person)
    opened = world.agency_b.open(world.accepted(grant), "NAME", worker_ref=WORKER)
    found = ok(world, "her", "explain", "look", grant, str(opened.disclose_index), *files)
    assert found["allowed"]
    assert [rule["rule"] for rule in found["rules"]] == [
        "granted", "not_stopped", "in_time", "confirmed", "sent", "accepted",
    ]  # fmt: skip
    code, text = said(world, "her", "explain", "look", grant, "0", *files)
    assert code == 4
    assert "NOT_FOUND" in text
    shared = ok(world, "her", "explain", "sharing", grant, "--category", "NAME", *files)
    assert shared["allowed"]
    code, text = said(world, "her", "explain", "sharing", grant, "--category", "HEALTH", *files)
    assert code == 1
    assert "you did not say yes to this kind of information" in text


def test_a_reason_is_explained_without_a_connection() -> None:
    done = CliRunner().invoke(app, ["explain", "reason", "consent_ended"])
    assert done.exit_code == 0
    assert "sharing under this consent has ended" in done.stdout
    assert CliRunner().invoke(app, ["explain", "reason", "NO_SUCH"]).exit_code == 4


def test_her_slips_are_proven_and_their_codes_read_out(
    world: World, hers: tuple[Person, list[str]], tmp_path: Path
) -> None:
    person, files = hers
    grant = world.grant(person)
    with world.session(person) as her:
        her.stop(grant, destroy_now=True)
    out = tmp_path / "kept"
    slips = ok(world, "her", "slip", "show", grant, "--out", str(out), *files)
    assert [slip["kind"] for slip in slips] == ["GRANT", "STOP", "REVOKE"]
    for slip in slips:
        (named,) = ok(world, "agency-a", "slip", "check", slip["code"])
        assert named == {"index": slip["index"], "kind": slip["kind"]}
        stem = f"{slip['index']:03d}"
        vkey = world.sandbox.party_dir("oversight") / "trust" / "ledger.vkey"
        proof, leaf = str(out / f"{stem}.tlog-proof"), str(out / f"{stem}.leaf")
        done = CliRunner().invoke(
            app, ["ledger", "verify", proof, "--leaf", leaf, "--vkey", str(vkey)]
        )
        assert done.exit_code == 0, done.stdout
    code, text = said(world, "her", "slip", "show", grant, "--short", *files)
    assert code == 0
    assert "stop" not in text.lower()
    code, _ = said(world, "agency-a", "slip", "check", "ZZZZ-ZZZZ")
    assert code == 4
