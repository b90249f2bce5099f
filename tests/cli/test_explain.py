"""``safehand explain`` and ``safehand slip``, as a worker and as she uses them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safehand_cli.main import app
from safehand_cli.story import PURPOSE, SERVICE, TEST_FORM
from safehand_client import why
from safehand_core.clock import SystemClock
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import checkcode, merkle
from safehand_formats.leaf import Leaf
from safehand_formats.note import NoteVerifier
from safehand_formats.opening import Opening
from safehand_formats.proof import TlogProof
from typer.testing import CliRunner

from tests.cli.test_asks import asking
from tests.cli.test_commands import ok, run
from tests.harness.world import WORKER, Person, World, eventually


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


def refuses(act: Callable[[], object]) -> str:
    """The reason with which ``act`` is refused."""
    with pytest.raises(SafehandError) as caught:
        act()
    return caught.value.reason.value


def proves(world: World, out: Path, slip: dict[str, Any]) -> None:
    """Anybody finds the entry by its code, and what she keeps of it proves the entry and its
    words to whoever has the ledger's key."""
    (named,) = ok(world, "agency-a", "slip", "check", slip["code"])
    assert named == {"index": slip["index"], "kind": slip["kind"]}
    stem = f"{slip['index']:03d}"
    vkey = world.sandbox.party_dir("oversight") / "trust" / "ledger.vkey"
    proof, leaf = out / f"{stem}.tlog-proof", out / f"{stem}.leaf"
    words = ["ledger", "verify", str(proof), "--leaf", str(leaf), "--vkey", str(vkey)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.stdout
    opening = Opening.from_bytes((out / f"{stem}.opening.json").read_bytes())
    assert (opening.index, opening.kind.name) == (slip["index"], slip["kind"])
    # Of the leaf that the exported proof is about, and of no other.
    kept = leaf.read_bytes()
    TlogProof.from_text(proof.read_text()).verify(kept, NoteVerifier.from_vkey(world.vkey))
    opening.require_match(Leaf.decode(kept))
    assert checkcode.of_leaf_hash(merkle.leaf_hash(kept)) == slip["code"]


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
    assert len(list(out.iterdir())) == 3 * len(slips)
    for slip in slips:
        proves(world, out, slip)
    code, text = said(world, "her", "slip", "show", grant, "--short", *files)
    assert code == 0
    assert "stop" not in text.lower()
    code, _ = said(world, "agency-a", "slip", "check", "ZZZZ-ZZZZ")
    assert code == 4


def test_her_no_has_a_slip_that_is_proven_and_read_out(
    world: World, hers: tuple[Person, list[str]], tmp_path: Path
) -> None:
    person, files = hers
    asked = ok(world, "agency-a", *asking(person))["ask"]
    code, text = said(world, "her", "slip", "show", "--ask", asked, *files)
    assert (code, "NOT_FOUND" in text) == (4, True), "there is no slip of a no that was not said"
    ok(world, "her", "consent", "answer", asked, "no", *files)
    out = tmp_path / "kept"
    (slip,) = ok(world, "her", "slip", "show", "--ask", asked, "--out", str(out), *files)
    assert slip["kind"] == "REFUSE"
    assert slip["words"][0].startswith("You said no on ")
    assert len(list(out.iterdir())) == 3
    proves(world, out, slip)
    (listed,) = ok(world, "her", "consent", "refusals", *files)
    assert (listed["index"], listed["code"]) == (slip["index"], slip["code"])
    code, text = said(world, "her", "consent", "refusals", *files)
    assert slip["code"] in text
    assert f"safehand slip show --ask {asked}" in text
    code, text = said(world, "her", "slip", "show", "--ask", asked, "--short", *files)
    assert (code, "no" in text.lower().split()) == (0, False)
    assert slip["code"] in text


def test_a_slip_is_of_a_grant_or_of_a_question(
    world: World, hers: tuple[Person, list[str]]
) -> None:
    person, files = hers
    grant = world.grant(person)
    for words in ([], [grant, "--ask", "0" * 32]):
        code, text = said(world, "her", "slip", "show", *words, *files)
        assert (code, "MALFORMED" in text) == (2, True)


def test_a_worker_reads_what_the_service_may_not_receive(world: World) -> None:
    grant = world.grant(world.person(), ("CARD", "NAME", "HEALTH"))
    words = ["explain", "send", grant, "--purpose", PURPOSE]
    health = ["--category", "HEALTH"]
    code, text = said(world, "agency-a", *words, *health)
    assert (code, text.splitlines()[0]) == (0, "as far as could be asked, it can be sent now")
    assert "not asked: what the service may receive" in text
    found = run(world, "agency-a", *words, *health, "--service", SERVICE)
    assert found.exit_code == 1
    assert json.loads(found.stdout)["reason"] == refuses(
        lambda: world.send(grant, categories=("CARD", "HEALTH"))
    )
    code, text = said(world, "agency-a", *words, *health, "--service", SERVICE)
    assert "it cannot be sent now: SERVICE_NEEDS_EXCEEDED" in text
    assert "✗ the service does not need something you would send; leave it out" in text
    code, text = said(world, "agency-a", *words, "--category", "NAME", "--service", "no-such")
    assert (code, "✗ the recipient delivers no such service" in text) == (1, True)
    allowed = ok(world, "agency-a", *words, "--category", "NAME", "--service", SERVICE)
    assert {rule["outcome"] for rule in allowed["rules"]} == {"holds"}
    world.send(grant, categories=("CARD", "NAME"))


def test_a_referral_ends_with_a_consent_that_ends_sooner(world: World) -> None:
    """Days that she chose are no reason to refuse her help: thirty is a default, not a rule."""
    person = world.person()
    until = SystemClock().wall() + 5 * 86_400

    def give() -> str:
        with world.session(person) as her:
            given = her.grant(
                releasing="agency-a",
                recipient="agency-b",
                purpose=PURPOSE,
                categories=["CARD"],
                expires_at=until,
            )
        return given.grant.grant

    grant = give()
    words = ["explain", "send", grant, "--purpose", PURPOSE, "--category", "CARD"]
    assert said(world, "agency-a", *words)[0] == 0
    verdict = world.agency_a.may_send(grant, PURPOSE, ["CARD"], not_after=until + 1)
    assert (verdict.allowed, verdict.reason) == (False, "EXPIRY_INVALID")
    with pytest.raises(SafehandError) as caught:
        world.agency_a.send(
            grant=grant,
            recipient="agency-b",
            purpose=PURPOSE,
            service=SERVICE,
            form=TEST_FORM,
            categories=["CARD"],
            not_after=until + 1,
        )
    assert caught.value.reason is Reason.EXPIRY_INVALID
    sent = world.send(grant, categories=["CARD"])
    assert sent.state.not_after.seconds == until
    again = world.agency_a.reseal(sent.referral, grant=give())
    assert again.state.not_after.seconds == until


def test_a_worker_reads_that_referral_holds_it_back(world: World) -> None:
    grant = world.grant(world.person())
    referral = world.send(grant).referral
    code, text = said(world, "agency-a", "explain", "open", referral)
    assert (code, text.splitlines()[0]) == (0, "as far as could be asked, it can be opened now")
    assert "only their recipient can ask" in text
    assert ok(world, "agency-b", "explain", "open", referral)["beyond"] == []
    # An event of consent about this grant is set aside: what it says is not known there.
    store = world.stores["referral"]
    number = 1 << 40
    store.execute("INSERT INTO grant_hold (sequence, consent_grant) VALUES (?, ?)", number, grant)
    try:
        code, text = said(world, "agency-b", "explain", "open", referral)
        acted = refuses(lambda: world.agency_b.fetch(referral))
    finally:
        store.execute("DELETE FROM grant_hold WHERE sequence = ?", number)
    assert (code, acted) == (1, "CONSENT_ENDED")
    assert "it cannot be opened now: CONSENT_ENDED" in text
    assert "✓ sharing under this consent is on" in text
    assert "✗ the referral service hands out nothing under this consent now" in text
    assert ok(world, "agency-b", "explain", "open", referral)["allowed"]


def test_she_reads_why_a_try_was_refused(world: World, hers: tuple[Person, list[str]]) -> None:
    person, files = hers
    grant = world.grant(person)
    fetched = world.agency_b.fetch(world.send(grant).referral)

    def tries(category: str) -> str:
        return refuses(lambda: world.agency_b.open(fetched, category, worker_ref=WORKER))

    code, text = said(world, "her", "explain", "tried", grant, *files)
    assert (code, text.strip()) == (0, "nobody tried and was refused")
    assert tries("NAME") == "NOT_ACCEPTED"
    with world.session(person) as her:
        stopped = her.stop(grant).stop_receipt.index
    assert tries("CARD") == "CONSENT_ENDED"

    def listed() -> dict[str, Any]:
        found = ok(world, "her", "explain", "tried", grant, *files)
        return {row["reason"]: row for row in found}

    eventually(lambda: len(listed()) == 2, "the tries are on her list")
    found = listed()
    assert found["NOT_ACCEPTED"]["words"] == why.TRIED[Reason.NOT_ACCEPTED]
    assert found["CONSENT_ENDED"]["words"] == "it was stopped then"
    assert found["CONSENT_ENDED"]["entry"] == stopped
    code, text = said(world, "her", "explain", "tried", grant, *files)
    assert f"did not get CARD: it was stopped then (ledger entry {stopped})" in text
