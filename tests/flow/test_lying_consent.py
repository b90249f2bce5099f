"""A consent service that lies to a recipient: whatever it shows, the client returns nothing.

It holds the ledger's real key, so that every proof here verifies under the pinned key. What gives
it away is what the entry says, where it stands, and what this client saw before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand.consent.v1 import consent_pb2, ledger_pb2
from safehand_cli.story import PURPOSE, SERVICE, TEST_FORM
from safehand_client import AgencyClient, Fetched, Party
from safehand_core import canonical
from safehand_core.canonical import Json
from safehand_core.entropy import SystemEntropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import sealing
from safehand_formats.checkpoint import open_checkpoint
from safehand_formats.kinds import Kind
from safehand_formats.note import NoteSigner
from safehand_formats.proof import TlogProof

from tests.flow import liars
from tests.flow.liars import Ask, Fork, Proxy
from tests.harness.world import WORKER, World

Release = consent_pb2.ReleaseKeyResponse
Change = Callable[[Any], None]


@dataclass
class Scene:
    """Agency B with an accepted referral, and a liar where consent should be."""

    world: World
    grant: str
    fetched: Fetched
    party: Party
    liar: Proxy
    b: AgencyClient

    def look(self, category: str = "NAME") -> Any:
        return self.b.finish_look(self.b.prepare_look(self.fetched, category, worker_ref=WORKER))

    def fork(self) -> Fork:
        return Fork(liars.real_leaves(self.world), liars.log_signer(self.world))

    def refused(self, act: Callable[[], object]) -> SafehandError:
        """``act`` raises, and what the client believes of the ledger stays as it was."""
        before = self.b.head.now()
        with pytest.raises(SafehandError) as caught:
            act()
        assert self.b.head.now() == before
        return caught.value


@pytest.fixture
def scene(world: World, tmp_path: Path) -> Iterator[Scene]:
    grant = world.grant(world.person())
    fetched = world.accepted(grant)
    party = liars.copy_party(world, "agency-b", tmp_path)
    with (
        liars.lying(world, "consent", "agency-b", tmp_path / "tls") as liar,
        liars.client(world, party, consent=liar.address) as b,
    ):
        yield Scene(world, grant, fetched, party, liar, b)


def answer_with(change: Change) -> liars.Lie:
    """The real answer, changed."""

    def lie(request: Any, ask: Ask) -> Any:
        answer = ask(request)
        change(answer)
        return answer

    return lie


def test_passed_on_unchanged_it_is_believed(scene: Scene) -> None:
    assert scene.look().form.preferred_name == TEST_FORM.preferred_name
    assert "ReleaseKey" in scene.liar.calls


# --- what the entry says -------------------------------------------------------------------------

BODY_LIES: dict[str, Json] = {
    "grant": "0" * 32,
    "manifest": "0" * 64,
    "part": 0,
    "category": "CONTACT",
    "stage": "card",
    "recipient": "agency-a",
    "worker_ref": "another-worker",
    "request": "0" * 64,
}


def forge(scene: Scene, changes: dict[str, Json]) -> liars.Lie:
    """The real inner wrap, with an entry of the liar's own making, proven under the real key."""

    def lie(request: Any, ask: Ask) -> Any:
        answer = ask(request)
        body = canonical.decode_object(answer.receipt.body, max_bytes=4096)
        fork = scene.fork()
        scene.liar.lies["GetConsistencyProof"] = fork.consistency
        index = fork.append(Kind.DISCLOSE, {**body, **changes})
        answer.receipt.CopyFrom(fork.receipt(index))
        return answer

    return lie


@pytest.mark.parametrize("field", BODY_LIES)
def test_an_entry_about_something_else(scene: Scene, field: str) -> None:
    scene.liar.lies["ReleaseKey"] = forge(scene, {field: BODY_LIES[field]})
    error = scene.refused(scene.look)
    assert error.reason is Reason.PROOF_INVALID
    assert error.metadata == {"field": field}


def test_the_forger_is_good_enough(scene: Scene) -> None:
    """Told truly, the same forged entry passes: the tests above fail for what they say.

    It is also the limit that the threat model names: whoever holds the log key can log, and only
    a witness or another client shows that it is not the ledger that others see.
    """
    scene.liar.lies["ReleaseKey"] = forge(scene, {})
    assert scene.look().form.preferred_name == TEST_FORM.preferred_name


def test_an_entry_of_another_kind(scene: Scene) -> None:
    def lie(request: Any, ask: Ask) -> Any:
        answer = ask(request)
        body: dict[str, Json] = {
            "kind": "STOP",
            "grant": scene.grant,
            "counter": 0,
            "by": "self",
            "strength": "strong",
            "at": 1,
            "final_at": 2,
        }
        fork = scene.fork()
        scene.liar.lies["GetConsistencyProof"] = fork.consistency
        answer.receipt.CopyFrom(fork.receipt(fork.append(Kind.STOP, body)))
        return answer

    scene.liar.lies["ReleaseKey"] = lie
    assert scene.refused(scene.look).reason is Reason.PROOF_INVALID


def test_a_valid_proof_of_another_leaf(scene: Scene) -> None:
    """Her earlier look, really logged, shown again for a look that was not."""
    earlier: list[ledger_pb2.Receipt] = []
    scene.liar.lies["ReleaseKey"] = answer_with(lambda a: earlier.append(a.receipt))
    scene.look()
    scene.liar.lies["ReleaseKey"] = answer_with(lambda a: a.receipt.CopyFrom(earlier[0]))
    assert scene.refused(scene.look).reason is Reason.PROOF_INVALID


# --- the proof and the opening -------------------------------------------------------------------


def _flip(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


def _body(answer: Release) -> None:
    answer.receipt.body = answer.receipt.body.replace(b'"counter":0', b'"counter":9')


def _leaf(answer: Release) -> None:
    answer.receipt.leaf = answer.receipt.leaf[:-1] + bytes([answer.receipt.leaf[-1] ^ 1])


def _path(answer: Release) -> None:
    head, blank, note = answer.receipt.proof.partition("\n\n")
    answer.receipt.proof = head.rsplit("\n", 1)[0] + blank + note


def _shifted(answer: Release) -> None:
    answer.receipt.index -= 1


def _salt(answer: Release) -> None:
    answer.receipt.salt = _flip(answer.receipt.salt)


def _unopened(answer: Release) -> None:
    answer.receipt.ClearField("salt")
    answer.receipt.ClearField("body")


def _nothing(answer: Release) -> None:
    answer.ClearField("receipt")


def _unsigned(answer: Release) -> None:
    answer.receipt.proof = answer.receipt.proof.rsplit("\n\n", 1)[0] + "\n\n"


@pytest.mark.parametrize(
    "change", [_body, _salt, _unopened, _leaf, _path, _shifted, _nothing, _unsigned]
)
def test_a_right_leaf_wrongly_opened_or_proven(scene: Scene, change: Change) -> None:
    scene.liar.lies["ReleaseKey"] = answer_with(change)
    assert scene.refused(scene.look).reason is Reason.PROOF_INVALID


def test_a_ledger_under_another_key_of_the_same_name(scene: Scene) -> None:
    real = liars.log_signer(scene.world)
    signer = NoteSigner(real.name, Ed25519PrivateKey.generate())

    def lie(request: Any, ask: Ask) -> Any:
        answer = ask(request)
        leaves = liars.real_leaves(scene.world)
        proof = Fork(leaves, signer).receipt(answer.receipt.index).proof
        answer.receipt.proof = proof
        return answer

    scene.liar.lies["ReleaseKey"] = lie
    assert scene.refused(scene.look).reason is Reason.PROOF_INVALID


# --- the wrap ------------------------------------------------------------------------------------


def test_another_wrap_than_the_sender_signed_for(scene: Scene) -> None:
    """One made for the recipient's own key, for content of the liar's choice."""
    header, label = scene.fetched.manifest.header, scene.fetched.manifest.parts[2].label
    seed = scene.b._keys.secret(f"recipient-{header.recipient_key}", create=False)
    made = sealing.seal_part(header, label, b"", sealing.recipient_public(seed), SystemEntropy())
    assert label.category == "NAME"

    def change(answer: Release) -> None:
        answer.inner_wrap = made.inner_wrap

    scene.liar.lies["ReleaseKey"] = answer_with(change)
    with pytest.raises(SafehandError) as caught:
        scene.look()
    assert caught.value.reason is Reason.MANIFEST_MISMATCH


def test_the_wrap_of_another_part(scene: Scene) -> None:
    wraps: list[bytes] = []
    scene.liar.lies["ReleaseKey"] = answer_with(lambda a: wraps.append(a.inner_wrap))
    scene.look("CONTACT")

    def change(answer: Release) -> None:
        answer.inner_wrap = wraps[0]

    scene.liar.lies["ReleaseKey"] = answer_with(change)
    with pytest.raises(SafehandError) as caught:
        scene.look("NAME")
    assert caught.value.reason is Reason.MANIFEST_MISMATCH


# --- two histories -------------------------------------------------------------------------------


def test_an_older_head_than_one_seen_before(scene: Scene) -> None:
    """A true answer, kept back until the client has seen more: its proof is at a smaller size."""
    kept: list[Release] = []

    def keep_back(request: Any, ask: Ask) -> Any:
        kept.append(ask(request))
        raise SafehandError(Reason.INTERNAL)

    look = scene.b.prepare_look(scene.fetched, "NAME", worker_ref=WORKER)
    scene.liar.lies["ReleaseKey"] = keep_back
    with pytest.raises(SafehandError):
        scene.b.finish_look(look)
    del scene.liar.lies["ReleaseKey"]
    scene.look("CONTACT")
    scene.liar.lies["ReleaseKey"] = lambda request, ask: kept[0]
    error = scene.refused(lambda: scene.b.finish_look(look))
    assert error.reason is Reason.PROOF_INVALID
    del scene.liar.lies["ReleaseKey"]
    assert scene.b.finish_look(look).disclose_index == kept[0].receipt.index


def test_an_older_head_is_remembered_across_runs(scene: Scene) -> None:
    kept: list[Release] = []
    scene.liar.lies["ReleaseKey"] = answer_with(kept.append)
    look = scene.b.prepare_look(scene.fetched, "NAME", worker_ref=WORKER)
    scene.b.finish_look(look)
    del scene.liar.lies["ReleaseKey"]
    scene.look("CONTACT")
    with liars.client(scene.world, scene.party, consent=scene.liar.address) as again:
        scene.liar.lies["ReleaseKey"] = lambda request, ask: kept[0]
        with pytest.raises(SafehandError) as caught:
            again.finish_look(look)
    assert caught.value.reason is Reason.PROOF_INVALID


@pytest.mark.parametrize("further", [0, 1, 5])
def test_a_history_that_does_not_continue_the_one_seen(scene: Scene, further: int) -> None:
    """A fork below the last head seen, of the same size and of larger ones."""
    scene.look()
    seen = scene.b.head.now()
    assert seen is not None

    def lie(request: Any, ask: Ask) -> Any:
        answer = ask(request)
        body = canonical.decode_object(answer.receipt.body, max_bytes=4096)
        fork = Fork(liars.real_leaves(scene.world)[: seen.size - 1], liars.log_signer(scene.world))
        scene.liar.lies["GetConsistencyProof"] = fork.consistency
        index = fork.append(Kind.DISCLOSE, body)
        for _ in range(further):
            fork.append(Kind.DISCLOSE, body)
        answer.receipt.CopyFrom(fork.receipt(index))
        return answer

    scene.liar.lies["ReleaseKey"] = lie
    assert scene.refused(scene.look).reason is Reason.PROOF_INVALID


def test_two_histories_in_two_answers_at_the_same_time(scene: Scene) -> None:
    """Both continue what the client saw when it asked, and not each other."""
    b = scene.b
    asked_at = b.head.now()
    assert asked_at is not None
    real = scene.world.agency_b
    real.open(scene.fetched, "NAME", worker_ref=WORKER)
    b.open(scene.fetched, "NAME", worker_ref=WORKER)
    fork = Fork(liars.real_leaves(scene.world)[: asked_at.size], liars.log_signer(scene.world))
    scene.liar.lies["GetConsistencyProof"] = fork.consistency
    body: dict[str, Json] = {"kind": "EXPIRE", "grant": scene.grant, "expires_at": 1, "at": 1}
    for _ in range(9):
        index = fork.append(Kind.EXPIRE, body)

    note = TlogProof.from_text(fork.receipt(index).proof).checkpoint_note
    forked = open_checkpoint(note, liars.log_signer(scene.world).verifier)
    assert forked.size > asked_at.size
    error = scene.refused(lambda: b.head.accept(forked, note, asked_at))
    assert error.reason is Reason.PROOF_INVALID


# --- to the sender -------------------------------------------------------------------------------


@pytest.fixture
def sender(world: World, tmp_path: Path) -> Iterator[tuple[Proxy, Proxy, AgencyClient]]:
    """Agency A between a lying consent and an honest referral service that is watched."""
    party = liars.copy_party(world, "agency-a", tmp_path)
    with (
        liars.lying(world, "consent", "agency-a", tmp_path / "c") as consent,
        liars.lying(world, "referral", "agency-a", tmp_path / "r") as referral,
        liars.client(world, party, consent=consent.address, referral=referral.address) as a,
    ):
        yield consent, referral, a


REFER_LIES: dict[str, Json] = {
    "grant": "0" * 32,
    "manifest": "0" * 64,
    "referral": "0" * 32,
    "recipient": "agency-x",
}


@pytest.mark.parametrize("field", REFER_LIES)
def test_an_authorisation_of_something_else(
    world: World, sender: tuple[Proxy, Proxy, AgencyClient], field: str
) -> None:
    consent, referral, a = sender
    grant = world.grant(world.person())

    def lie(request: Any, ask: Ask) -> Any:
        answer = ask(request)
        body = canonical.decode_object(answer.receipt.body, max_bytes=4096)
        fork = Fork(liars.real_leaves(world), liars.log_signer(world))
        consent.lies["GetConsistencyProof"] = fork.consistency
        index = fork.append(Kind.REFER, {**body, field: REFER_LIES[field]})
        answer.receipt.CopyFrom(fork.receipt(index))
        return answer

    consent.lies["AuthorizeReferral"] = lie
    assert _refused_to_send(a, referral, grant) is Reason.PROOF_INVALID


def test_too_few_outer_wraps(world: World, sender: tuple[Proxy, Proxy, AgencyClient]) -> None:
    consent, referral, a = sender
    grant = world.grant(world.person())
    consent.lies["AuthorizeReferral"] = answer_with(lambda answer: answer.outer_wraps.pop())
    assert _refused_to_send(a, referral, grant) is Reason.MANIFEST_MISMATCH


def _refused_to_send(a: AgencyClient, referral: Proxy, grant: str) -> Reason:
    with pytest.raises(SafehandError) as caught:
        a.send(
            grant=grant,
            recipient="agency-b",
            purpose=PURPOSE,
            service=SERVICE,
            form=TEST_FORM,
            categories=("CARD", "NAME"),
        )
    assert "CreateReferral" not in referral.calls
    return caught.value.reason
