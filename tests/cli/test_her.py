"""What she reads on her own commands, in plain words."""

from __future__ import annotations

from pathlib import Path

import pytest
from safehand_cli.main import app
from safehand_core.reasons import TABLE, Reason
from typer.testing import CliRunner

from tests.cli.test_commands import ok
from tests.flow.test_lies import refuses
from tests.harness.world import WORKER, Person, World


@pytest.fixture
def files(world: World, tmp_path: Path) -> tuple[Person, list[str]]:
    person = world.person()
    (tmp_path / "card").write_text(person.card)
    (tmp_path / "pin").write_text(person.pin)
    card, pin = str(tmp_path / "card"), str(tmp_path / "pin")
    return person, ["--card-file", card, "--pin-file", pin]


def text(world: World, *words: str) -> str:
    options = ["--dir", str(world.sandbox.root), "--as", "her", "consent"]
    done = CliRunner().invoke(app, [*options, *words])
    assert done.exit_code == 0, done.stderr
    return done.stdout


def test_she_says_until_when_and_how_she_was_told(
    world: World, files: tuple[Person, list[str]]
) -> None:
    _, hers = files
    words = ["--from", "agency-a", "--to", "agency-b", "--purpose", "legal", "--category", "NAME"]
    words += ["--days", "10", "--erase-days", "20", "--language", "es"]
    words += ["--given-how", "interpreter", "--present", "with_worker"]
    given = ok(world, "her", "consent", "grant", *words, *hers)
    assert given["erase_by"] - given["expires_at"] == pytest.approx(10 * 86_400, abs=5)
    (first, *_) = ok(world, "her", "consent", "receipt", given["grant"], *hers)
    body = first["body"]
    assert (body["language"], body["given_how"], body["present"]) == (
        "es", "interpreter", "with_worker",
    )  # fmt: skip
    assert "to be erased by" in text(world, "list", *hers)


def test_a_refused_look_says_why(world: World, files: tuple[Person, list[str]]) -> None:
    person, hers = files
    sent = world.send(world.grant(person))
    fetched = world.agency_b.fetch(sent.referral)
    reason = refuses(lambda: world.agency_b.open(fetched, "NAME", worker_ref=WORKER))
    assert reason is Reason.NOT_ACCEPTED
    assert f"was refused: {TABLE[reason].message}" in text(world, "looks", *hers)


def test_destroying_says_that_the_keys_are_gone(
    world: World, files: tuple[Person, list[str]]
) -> None:
    person, hers = files
    grant = world.grant(person)
    assert "the keys are deleted" not in text(world, "stop", grant, *hers)
    said = text(world, "stop", grant, "--destroy-now", *hers)
    assert "the keys are deleted" in said
    assert ": REVOKE" in said
    assert "can be undone" not in said
