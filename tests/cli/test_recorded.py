"""``safehand consent record|second|confirm|invalidate|guardian`` against the running system."""

from __future__ import annotations

import json
from pathlib import Path

from safehand_cli.story import PURPOSE

from tests.cli.test_commands import ok, run
from tests.harness.world import Person, World


def files(tmp_path: Path, person: Person) -> list[str]:
    card, pin = tmp_path / "card", tmp_path / "pin"
    card.write_text(person.card)
    pin.write_text(person.pin)
    return ["--card-file", str(card), "--pin-file", str(pin)]


def record_words(person: Person) -> list[str]:
    return [
        *("--ref", person.subject_ref, "--worker", "worker-11", "--medium", "paper"),
        *("--from", "agency-a", "--to", "agency-b", "--purpose", PURPOSE, "--category", "NAME"),
    ]


def test_recorded_seconded_confirmed_and_invalidated(world: World, tmp_path: Path) -> None:
    person = world.person()
    hers = files(tmp_path, person)
    done = ok(world, "agency-a", "consent", "record", *record_words(person))
    second = ["consent", "second", done["record"], "--ref", person.subject_ref]
    same = run(world, "agency-a", *second, "--worker", "worker-11")
    assert same.exit_code == 3
    assert json.loads(same.stderr)["error"] == "NOT_ALLOWED"
    assert ok(world, "agency-a", *second, "--worker", "worker-12")["seconded"]
    (line,) = ok(world, "her", "consent", "confirmations", *hers)
    assert line["recorded_by"] == "agency-a"
    assert (line["recorder_ref"], line["second_ref"]) == ("worker-11", "worker-12")
    assert line["asks_her"]
    assert line["confirm_by"] == done["confirm_by"]
    wrong = run(world, "her", "consent", "confirm", done["grant"], "--reply", "maybe", *hers)
    assert wrong.exit_code == 2
    said = ok(world, "her", "consent", "confirm", done["grant"], "--reply", "yes", *hers)
    assert (said["state"], "confirm_index" in said) == ("active", True)
    ended = ok(world, "her", "consent", "invalidate", done["grant"], *hers)
    assert ended["state"] == "revoked"
    (view,) = ok(world, "her", "consent", "list", *hers)
    assert view["end_cause"] == "invalidated"


def test_who_wrote_it_down_is_read_in_plain_words(world: World, tmp_path: Path) -> None:
    from safehand_cli.main import app
    from typer.testing import CliRunner

    person = world.person()
    hers = files(tmp_path, person)
    ok(world, "agency-a", "consent", "record", *record_words(person))
    for command in ("list", "confirmations"):
        words = ["--dir", str(world.sandbox.root), "--as", "her", "consent", command, *hers]
        text = CliRunner().invoke(app, words).stdout
        assert "worker-11 of" in text
        assert "wrote it for you" in text
        assert "Is it right?" in text


def test_guardians(world: World, tmp_path: Path) -> None:
    person = world.person()
    hers = files(tmp_path, person)
    ref = ["--ref", person.subject_ref]
    own = ["--card-file", str(tmp_path / "g-card"), "--pin-file", str(tmp_path / "g-pin")]
    rule = ["consent", "guardian", "rule", *ref]
    ok(world, "agency-a", *rule, "--cosign", "--alone-for", "health")
    made = ok(world, "agency-a", "consent", "guardian", "register", *ref, *own)["guardian"]
    words = ["--from", "agency-a", "--to", "agency-b", "--purpose", PURPOSE, "--category", "NAME"]
    grant = ok(world, "her", "consent", "grant", *words, *hers)
    assert grant["cosign_by"]
    (one,) = ok(world, "her", "consent", "guardian", "waiting", *own)
    assert one["grant"] == grant["grant"]
    assert ok(world, "her", "consent", "guardian", "sign", grant["grant"], *own)["signed"]
    listed = ok(world, "her", "consent", "guardian", "list", *hers)
    assert [g["guardian"] for g in listed["guardians"]] == [made]
    assert listed["rules"] == [{"agency": "agency-a", "alone_purposes": ["health"]}]
    neither = run(world, "agency-a", "consent", "guardian", "exclude", *ref)
    assert neither.exit_code == 2
    ok(world, "agency-a", "consent", "guardian", "exclude", *ref, "--all")
    barred = run(world, "her", "consent", "guardian", "waiting", *own)
    assert json.loads(barred.stderr)["error"] == "SIGN_IN_FAILED"
    ok(world, "her", "consent", "guardian", "dismiss", made, *hers)
    ok(world, "agency-a", *rule, "--alone")
    assert ok(world, "her", "consent", "guardian", "list", *hers)["rules"] == []


def test_a_card_can_be_filed_with_the_rule(world: World, tmp_path: Path) -> None:
    hers = ["--card-file", str(tmp_path / "card"), "--pin-file", str(tmp_path / "pin")]
    register = ["subject", "register", "--ref", "test-ward-0001", "--cosign"]
    ok(world, "agency-a", *register, "--alone-for", PURPOSE, *hers)
    words = ["--from", "agency-a", "--to", "agency-b", "--purpose", PURPOSE, "--category", "NAME"]
    assert ok(world, "her", "consent", "grant", *words, *hers)["cosign_by"] is None
