"""One question has one answer, as fsck and oversight read it: a yes or a no, and not twice."""

from __future__ import annotations

import pytest
from safehand_core.canonical import Json
from safehand_formats.kinds import Kind, grant_tag
from safehand_ledger.fsck import fsck

from tests.ledger.world import GrantScript, World

ASK = "a" * 32
OTHER = "b" * 32


def yes(world: World, number: int, ask: str = ASK) -> None:
    GrantScript(world, number).append(Kind.GRANT, ask=ask)


def no(world: World, ask: str = ASK) -> None:
    tag = grant_tag(Kind.REFUSE, bytes(32), 0)
    body: dict[str, Json] = {
        "kind": "REFUSE",
        "ask": ask,
        "releasing": "agency-a",
        "recipient": "agency-b",
        "purpose": "housing",
        "categories": ["CARD", "NAME"],
        "notice": "1" * 64,
        "language": "es",
        "given_how": "read",
        "present": "alone",
    }
    world.submit(lambda tx: tx.append(Kind.REFUSE, tag, {**body, "at": tx.now}))


def test_a_yes_and_a_no_to_different_questions(world: World) -> None:
    yes(world, 1)
    no(world, OTHER)
    GrantScript(world, 2).append(Kind.GRANT)
    assert world.fsck().ok


@pytest.mark.parametrize("first", ["yes", "no"])
@pytest.mark.parametrize("second", ["yes", "no"])
def test_a_question_answered_twice_is_a_problem(world: World, first: str, second: str) -> None:
    for number, said in enumerate((first, second)):
        if said == "yes":
            yes(world, number)
        else:
            no(world)
    assert {problem.code for problem in world.fsck().problems} == {"ORDER"}


def test_the_tag_of_a_no_derives_from_its_question(world: World) -> None:
    no(world)

    def problems(secret: bytes) -> set[str]:
        report = fsck(
            world.store.location,
            world.vkey,
            world.anchor,
            grant_secrets={ASK: secret},
            clock=world.clock,
        )
        return {problem.code for problem in report.problems}

    assert problems(bytes(32)) == set()
    assert problems(b"\x01" * 32) == {"TAG"}
