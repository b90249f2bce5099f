"""A stop by telephone, through every real process and the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from safehand_cli.main import app
from safehand_client import SurvivorClient
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from typer.testing import CliRunner

from tests.harness.world import WORKER, Person, World, eventually

WORD = "green  umbrella"


class Line:
    """The command line of one party, with her secrets in files."""

    def __init__(self, world: World, person: Person, folder: Path) -> None:
        self._root = world.sandbox.root
        self._files = {"card": folder / "card", "pin": folder / "pin", "word": folder / "word"}
        for name, value in (("card", person.card), ("pin", person.pin), ("word", WORD)):
            self._files[name].write_text(value + "\n")

    def file(self, name: str) -> str:
        return str(self._files[name])

    def run(self, party: str, *arguments: str) -> object:
        made = CliRunner().invoke(
            app, ["--dir", str(self._root), "--as", party, "--json", "consent", *arguments]
        )
        assert made.exit_code == 0, made.output
        return json.loads(made.stdout)

    def as_her(self, *arguments: str) -> object:
        card, pin = self.file("card"), self.file("pin")
        return self.run("her", *arguments, "--card-file", card, "--pin-file", pin)


def test_a_worker_stops_two_undo_it_and_she_sees_both(world: World, tmp_path: Path) -> None:
    person = world.person()
    grant = world.grant(person)
    fetched = world.accepted(grant)
    line = Line(world, person, tmp_path)
    line.as_her("code-word", "--word-file", line.file("word"))

    by_card = ("--card-file", line.file("card"), "--coercion")
    line.run("agency-b", "stop-for-her", "--worker", "worker-b-09", *by_card)
    with pytest.raises(SafehandError) as refused:
        world.agency_b.open(fetched, "NAME", worker_ref=WORKER)
    assert refused.value.reason is Reason.CONSENT_ENDED
    eventually(
        lambda: world.agency_a.status(fetched.referral).sharing_stopped,
        "the referral service heard of it as of any stop",
    )
    two = ("--worker", "worker-a-01", "--second", "worker-a-02")
    line.run("agency-a", "resume-for-her", grant, *two, "--word-file", line.file("word"))
    opened = world.agency_b.open(fetched, "NAME", worker_ref=WORKER)
    assert opened.form.preferred_name

    found = line.as_her("stops")
    assert isinstance(found, list)
    shown = [(one["action"], one["by"], one["agency"], one["worker_ref"]) for one in found]
    assert shown == [
        ("resume", "staff", "agency-a", "worker-a-01"),
        ("stop", "worker", "agency-b", "worker-b-09"),
    ]
    assert found[1]["why"] == "coercion"
    report = world.fsck()
    assert report.ok, report.problems


def test_a_friend_stops_with_a_code_until_it_is_taken_back(world: World, tmp_path: Path) -> None:
    person = world.person()
    grant = world.grant(person)
    line = Line(world, person, tmp_path)
    made = line.as_her("representatives", "add", "--relation", "friend")
    assert isinstance(made, dict)
    code = tmp_path / "code"
    code.write_text(made["code"])
    line.run("her", "stop-as-representative", "--code-file", str(code))

    def state(her: SurvivorClient) -> str:
        return {one.grant: one.stopped_by for one in her.grants()}[grant]

    with world.session(person) as her:
        assert state(her) == "representative"
        her.resume(grant)
        line.as_her("representatives", "remove", made["representative"])
        assert line.as_her("representatives", "list") == []
        line.run("her", "stop-as-representative", "--code-file", str(code))
        line.run("agency-a", "stop-for-her", "--worker", "worker-a-01", "--code-file", str(code))
        assert state(her) == ""


def test_a_worker_reads_a_number_out_to_her_and_she_sees_who(world: World, tmp_path: Path) -> None:
    person = world.person()
    line = Line(world, person, tmp_path)
    line.as_her("code-word", "--word-file", line.file("word"))
    asked = (
        "--worker",
        "worker-a-01",
        "--ref",
        person.subject_ref,
        "--word-file",
        line.file("word"),
    )
    given = line.run("agency-a", "lift-wait", *asked)
    assert isinstance(given, dict)
    assert len(given["number"]) == 8
    start = ["--dir", str(world.sandbox.root), "--as", "agency-a", "consent"]
    read_out = CliRunner().invoke(app, [*start, "lift-wait", *asked])
    assert re.match(r"number: \d{4} \d{4}\nread it out to her", read_out.stdout)

    found = line.as_her("stops")
    assert isinstance(found, list)
    assert [(one["action"], one["worker_ref"]) for one in found] == [("number", "worker-a-01")] * 2


def test_a_wish_names_her_in_one_way_and_no_secret_is_an_argument(
    world: World, tmp_path: Path
) -> None:
    start = ["--dir", str(world.sandbox.root), "--as", "agency-a", "consent"]
    for arguments in (
        ["stop-for-her", "--worker", "worker-a-01"],
        ["stop-for-her", "--worker", "worker-a-01", "--ref", "test-ref-1", "--grant", "0" * 32],
        ["stop-for-her", "--worker", "Maria Lopez", "--ref", "test-ref-1"],
        ["resume-for-her", "0" * 32, "--worker", "worker-a-01", "--second", "worker-a-02"],
        ["resume-for-her", "0" * 32, "word", "--worker", "worker-a-01", "--second", "worker-a-02"],
        ["lift-wait", "--ref", "test-ref-1", "--worker", "worker-a-01"],
        ["lift-wait", "--worker", "worker-a-01"],
        ["lift-wait", "word", "--ref", "test-ref-1", "--worker", "worker-a-01"],
    ):
        made = CliRunner().invoke(app, [*start, *arguments])
        assert made.exit_code in (2, 3), made.output
