"""Asking, answering and narrowing by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safehand_cli.story import PURPOSE

from tests.cli.test_commands import ok, run
from tests.cli.test_her import text
from tests.harness.world import WORKER, Person, World


@pytest.fixture
def files(world: World, tmp_path: Path) -> tuple[Person, list[str]]:
    person = world.person()
    (tmp_path / "card").write_text(person.card)
    (tmp_path / "pin").write_text(person.pin)
    card, pin = str(tmp_path / "card"), str(tmp_path / "pin")
    return person, ["--card-file", card, "--pin-file", pin]


def asking(person: Person, purpose: str = PURPOSE) -> list[str]:
    words = ["consent", "ask", "--ref", person.subject_ref, "--worker", WORKER]
    words += ["--from", "agency-a", "--to", "agency-b", "--purpose", purpose, "--days", "30"]
    return [*words, "--category", "NAME", "--category", "CONTACT"]


def test_asked_and_given_and_narrowed(world: World, files: tuple[Person, list[str]]) -> None:
    person, hers = files
    filed = ok(world, "agency-a", *asking(person))
    assert filed["state"] == "open"
    (question,) = ok(world, "her", "consent", "questions", *hers)
    assert (question["ask"], question["asker"]) == (filed["ask"], "agency-a")
    assert "you can answer until" in text(world, "questions", *hers)
    ok(world, "her", "consent", "answer", filed["ask"], "later", "--days", "3", *hers)
    assert "you wanted to come back to it" in text(world, "questions", *hers)
    words = ["answer", filed["ask"], "yes", "--category", "NAME", "--category", "CONTACT"]
    assert "agency-b may get CARD, CONTACT, NAME" in text(world, *words, *hers)
    (mine,) = ok(world, "agency-a", "consent", "asks", "--ref", person.subject_ref)
    assert (mine["state"], bool(mine["grant"])) == ("given", True)
    grant = mine["grant"]
    assert "taken out, for good" in text(world, "narrow", grant, "--take-out", "NAME", *hers)
    done = ok(world, "her", "consent", "narrow", grant, "--days", "10", *hers)
    assert (done["removed"], done["categories"]) == ([], ["CARD", "CONTACT"])
    lines = ok(world, "her", "consent", "receipt", grant, *hers)
    assert [line["kind"] for line in lines] == ["GRANT", "NARROW", "NARROW"]


def test_a_no_is_listed_with_its_proof(world: World, files: tuple[Person, list[str]]) -> None:
    person, hers = files
    filed = ok(world, "agency-a", *asking(person))
    said = ok(world, "her", "consent", "answer", filed["ask"], "no", *hers)
    assert said["state"] == "refused"
    (kept,) = ok(world, "her", "consent", "refusals", *hers)
    assert (kept["index"], kept["body"]["ask"]) == (said["index"], filed["ask"])
    assert "proven" in text(world, "refusals", *hers)
    (mine,) = ok(world, "agency-a", "consent", "asks", "--ref", person.subject_ref)
    assert mine["state"] == "open"
    again = run(world, "agency-a", *asking(person))
    assert again.exit_code == 5
    assert json.loads(again.stderr)["error"] == "QUOTA_EXCEEDED"
    assert json.loads(again.stderr)["retry_after_s"] > 29 * 86_400


def test_what_does_not_fit_says_what_to_do(world: World, files: tuple[Person, list[str]]) -> None:
    person, hers = files
    filed = ok(world, "agency-a", *asking(person))["ask"]
    grant = world.grant(person)
    for words in (
        ["answer", filed, "yes"],
        ["answer", filed, "no", "--category", "NAME"],
        ["answer", filed, "perhaps"],
        ["narrow", grant],
        ["narrow", grant, "--take-out", "CARD"],
        ["narrow", grant, "--take-out", "SAFETY_PLAN"],
    ):
        done = run(world, "her", "consent", *words, *hers)
        assert (words, done.exit_code) == (words, 2)
        assert json.loads(done.stderr)["error"] == "MALFORMED"
    gone = run(world, "her", "consent", "narrow", "0" * 32, "--days", "1", *hers)
    assert gone.exit_code == 4
