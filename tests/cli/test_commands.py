"""The command line as an agency, an operator and she use it, against the running system."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safehand_cli import seed
from safehand_cli.main import app
from safehand_cli.story import PURPOSE, SERVICE
from typer.testing import CliRunner, Result

from tests import shared_data
from tests.harness.world import World

SAFEHAND = str(Path(sys.executable).with_name("safehand"))


def run(world: World | None, party: str, *words: str) -> Result:
    """One command in this process: tests/cli/test_story.py starts it as one of its own."""
    options = ["--dir", str(world.sandbox.root)] if world else []
    options += ["--as", party] if party else []
    return CliRunner().invoke(app, ["--json", *options, *words])


def ok(world: World | None, party: str, *words: str) -> Any:
    done = run(world, party, *words)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_a_referral_by_hand(world: World, tmp_path: Path) -> None:
    card, pin = tmp_path / "card", tmp_path / "pin"
    files = ["--card-file", str(card), "--pin-file", str(pin)]
    ok(world, "agency-a", "subject", "register", "--ref", "test-cli-0001", *files)
    assert card.stat().st_mode & 0o077 == 0
    ok(world, "agency-a", "subject", "register", "--ref", "test-cli-0001", *files)
    options = ok(world, "her", "consent", "options", *files)
    assert options[0]["recipient_agency"] == "agency-b"
    words = ["--from", "agency-a", "--to", "agency-b", "--purpose", PURPOSE, "--category", "NAME"]
    grant = ok(world, "her", "consent", "grant", *words, *files)["grant"]

    form = tmp_path / "form.json"
    form.write_text(json.dumps({"needCode": "legal", "area": "Test County", "preferredName": "T"}))
    words = ["--grant", grant, "--to", "agency-b", "--service", SERVICE, "--purpose", PURPOSE]
    sent = ok(world, "agency-a", "referral", "send", *words, "--form", str(form))
    assert sent["categories"] == ["CARD", "NAME"]
    referral = sent["referral"]
    ok(world, "agency-b", "referral", "receive", referral)
    look = ["referral", "open", referral, "--worker", "worker-9", "--category"]
    assert ok(world, "agency-b", *look, "CARD")["content"]["area"] == "Test County"
    early = run(world, "agency-b", *look, "NAME")
    assert early.exit_code == 3
    assert json.loads(early.stderr)["error"] == "NOT_ACCEPTED"
    assert json.loads(early.stderr)["fix"]
    ok(world, "agency-b", "referral", "accept", referral)
    assert ok(world, "agency-b", *look, "NAME")["content"]["preferred_name"] == "T"
    ok(world, "her", "consent", "stop", grant, *files)
    assert json.loads(run(world, "agency-b", *look, "NAME").stderr)["error"] == "CONSENT_ENDED"
    ok(world, "her", "consent", "resume", grant, *files)
    assert ok(world, "her", "consent", "list", *files)[0]["state"] == "active"
    looks = ok(world, "her", "consent", "looks", *files)
    refused = [item["refused"] for item in looks if item["refused"]]
    assert len(looks) - len(refused) == 2
    # Once referral knows of the stop it refuses the fetch itself, and consent is not asked.
    assert refused in (["NOT_ACCEPTED"], ["CONSENT_ENDED", "NOT_ACCEPTED"])
    lines = ok(world, "her", "consent", "receipt", grant, *files)
    assert [line["kind"] for line in lines] == [
        "GRANT", "REFER", "DISCLOSE", "DISCLOSE", "STOP", "RESUME",
    ]  # fmt: skip
    assert ok(world, "agency-b", "referral", "complete", referral, "--outcome", "partly")["outcome"]
    state = ok(world, "agency-a", "referral", "status", referral)
    assert (state["state"], state["disclosure"]) == ("COMPLETED", "RELEASED")


def test_events_can_be_listened_to(world: World) -> None:
    sent = world.send(world.grant(world.person()))
    done = run(world, "agency-b", "listen", "--count", "1")
    event = json.loads(done.stdout)
    assert set(event) == {"cursor", "type", "time", "resource", "id"}
    assert event["cursor"] == 1
    assert sent.referral not in json.dumps(event) or event["type"] == "referral_created"


def test_keys_roll(world: World) -> None:
    before = ok(world, "consent", "keys", "roll")["epoch"]
    assert ok(world, "consent", "keys", "roll")["epoch"] == before + 1
    denied = run(world, "agency-a", "keys", "roll")
    assert denied.exit_code == 3
    assert json.loads(denied.stderr)["error"] == "NOT_ALLOWED"


def test_fsck_and_export_beside_the_running_writer(world: World, tmp_path: Path) -> None:
    world.grant(world.person())
    found = ok(world, "", "ledger", "fsck")
    assert found["ok"]
    exported = ok(world, "", "ledger", "export", "--openings", str(tmp_path / "out"))
    assert exported["entries"] >= found["size"]
    assert ok(None, "", "ledger", "audit", "--openings", str(tmp_path / "out"))["ok"]


def test_a_lost_anchor_is_written_anew_once(world: World, tmp_path: Path) -> None:
    database = world.stores["consent"].url or str(world.stores["consent"].location)
    anchor = tmp_path / "anchor"
    words = ["ledger", "reanchor", "--database", database, "--anchor", str(anchor)]
    assert ok(world, "", *words)["size"] > 0
    found = ok(world, "", "ledger", "fsck", "--database", database, "--anchor", str(anchor))
    assert found["ok"]
    assert run(world, "", *words).exit_code == 3, "not over one that is there"


def test_search(world: World) -> None:
    found = ok(world, "agency-a", "directory", "search", "--need", "legal")
    assert found["total"] >= 1
    assert all(item["categories"] for item in found["services"])
    assert ok(world, "agency-a", "directory", "search", "--need", "zzzz")["total"] == 0


def test_check_needs_no_server(tmp_path: Path) -> None:
    for name, content in seed.sample_files().items():
        (tmp_path / name).write_bytes(content)
    assert ok(None, "", "directory", "check", str(tmp_path))["ok"]
    services = tmp_path / "services.csv"
    services.write_text(services.read_text().replace("test-org-willow", "test-org-nobody", 1))
    done = run(None, "", "directory", "check", str(tmp_path))
    assert done.exit_code == 1
    (problem,) = [p for p in json.loads(done.stdout)["problems"] if p["file"] == "services.csv"]
    assert problem["line"] > 1
    assert problem["reason"]


def test_import_refuses_and_skips(world: World, tmp_path: Path) -> None:
    for name, content in seed.sample_files().items():
        text = content.decode().replace("test-", "imp-")
        (tmp_path / name).write_text(text)
    phones = tmp_path / "phones.csv"
    phones.write_text(phones.read_text().replace("imp-loc-harbour-office", "imp-loc-nowhere", 1))
    words = ["directory", "import", str(tmp_path), "--source", "imported"]
    refused = run(world, "referral", *words)
    assert refused.exit_code == 2
    assert "PACKAGE_INVALID" in refused.stderr
    find = ["directory", "search", "--need", "refuge"]
    before = ok(world, "agency-a", *find)["total"]
    taken = ok(world, "referral", *words, "--skip-bad")
    assert all(f["rows_in"] == f["rows_stored"] + f["rows_reported"] for f in taken["files"])
    assert [p["file"] for p in taken["problems"]] == ["phones.csv"]
    assert ok(world, "agency-a", *find)["total"] > before


def test_a_secret_place(world: World) -> None:
    words = ["directory", "confidential", "test-svc-clinic"]
    before = ok(world, "referral", *words, "--off")
    assert (before["confidential"], bool(before["addresses"])) == (False, True)
    shown = ok(world, "referral", *words, "--phone", "555-0199")
    assert (shown["confidential"], shown["phones"], shown["addresses"]) == (True, ["555-0199"], [])
    assert ok(world, "referral", *words, "--off") == before
    wrong = run(world, "referral", "directory", "confidential", "test-svc-clinc")
    assert json.loads(wrong.stderr)["error"] == "NOT_FOUND"


def test_the_real_directory(world: World) -> None:
    package = shared_data.path("hsds-florida-legal-aid")
    report = ok(None, "", "directory", "check", str(package))
    counts = {item["file"]: item["rows_in"] for item in report["files"]}
    assert counts["organizations.csv"] == 20
    assert counts["services.csv"] == 135
    assert counts["locations.csv"] == 378
    ok(world, "referral", "directory", "import", str(package), "--source", "florida")
    words = ["directory", "search", "--need", "immigration", "--area", "Broward County"]
    assert ok(world, "agency-a", *words)["total"] > 0


@pytest.mark.parametrize("name", ["inclusion", "consistency"])
def test_vectors(name: str) -> None:
    path = shared_data.path(f"rfc6962-vectors/{name}.json")
    done = subprocess.run(
        [SAFEHAND, "ledger", "vectors", str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().endswith("passed, 0 failed")


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    assert shutil.which(SAFEHAND)
    nobody = run(None, "", "referral", "list")
    assert nobody.exit_code == 3
    assert "CONFIG_INVALID" in nobody.stderr
    missing = run(None, "", "ledger", "audit", "--openings", str(tmp_path / "none"))
    assert missing.exit_code == 3
    assert json.loads(missing.stderr)["fix"]
    usage = run(None, "", "referral", "nonsense")
    assert usage.exit_code == 2
