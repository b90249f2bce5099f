"""What she, and whoever she hands her receipt to, find out about a consent that hides a look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from safehand.consent.v1 import consent_pb2, ledger_pb2
from safehand_client import Addresses, SurvivorClient, auditor
from safehand_client._internal.calls import dial
from safehand_client.survivor import read_receipt
from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind, grant_tag

from tests.flow import liars
from tests.flow.liars import Ask, Fork, Lie, Proxy
from tests.harness.world import WORKER, World

LOOKS = 3


@dataclass
class Scene:
    """She, behind a liar, with a grant under which somebody looked ``LOOKS`` times."""

    world: World
    liar: Proxy
    her: SurvivorClient
    grant: str

    def says(self, lie: Lie) -> None:
        self.liar.lies["GetReceipt"] = lie

    def disclosures(self) -> list[int]:
        return [
            line.index
            for line in self.her.verified_receipt(self.grant)
            if line.kind is Kind.DISCLOSE
        ]


@pytest.fixture
def scene(world: World, tmp_path: Path) -> Iterator[Scene]:
    person = world.person()
    grant = world.grant(person)
    fetched = world.accepted(grant)
    for _ in range(LOOKS):
        world.agency_b.open(fetched, "NAME", worker_ref=WORKER)
    real = world.system.addresses
    with liars.lying(world, "consent", "her", tmp_path / "tls") as liar:
        her = SurvivorClient(
            world.party("her"), addresses=Addresses(liar.address, real.referral, real.notify)
        )
        try:
            her.sign_in(person.card, person.pin)
            yield Scene(world, liar, her, grant)
        finally:
            her.close()


def without(*looks: int) -> Lie:
    """Her receipt without some of the looks, counted from 0."""

    def lie(request: Any, ask: Ask) -> Any:
        answer = ask(request)
        found = [item for item in answer.receipts if b'"kind":"DISCLOSE"' in item.body]
        for number in looks:
            answer.receipts.remove(found[number])
        return answer

    return lie


def refused(scene: Scene) -> Reason:
    with pytest.raises(SafehandError) as caught:
        scene.her.verified_receipt(scene.grant)
    return caught.value.reason


def test_her_receipt_lists_every_look(scene: Scene) -> None:
    assert len(scene.disclosures()) == LOOKS


@pytest.mark.parametrize("hidden", [(0,), (1,), (0, 1)])
def test_a_look_hidden_before_another_leaves_a_gap(scene: Scene, hidden: tuple[int, ...]) -> None:
    scene.says(without(*hidden))
    assert refused(scene) is Reason.PROOF_INVALID


def _other_secret(answer: consent_pb2.GetReceiptResponse) -> None:
    answer.secret = bytes(32)


def _without_the_grant(answer: consent_pb2.GetReceiptResponse) -> None:
    del answer.receipts[0]


def _empty(answer: consent_pb2.GetReceiptResponse) -> None:
    del answer.receipts[:]


def _twice(answer: consent_pb2.GetReceiptResponse) -> None:
    answer.receipts.append(answer.receipts[-1])


def _out_of_order(answer: consent_pb2.GetReceiptResponse) -> None:
    refer = answer.receipts.pop(1)
    answer.receipts.append(refer)


def _reworded(answer: consent_pb2.GetReceiptResponse) -> None:
    last = answer.receipts[-1]
    last.body = last.body.replace(WORKER.encode(), b"worker-none")


@pytest.mark.parametrize(
    "change", [_other_secret, _without_the_grant, _empty, _twice, _out_of_order, _reworded]
)
def test_a_changed_receipt(scene: Scene, change: Any) -> None:
    def lie(request: Any, ask: Ask) -> Any:
        answer = ask(request)
        change(answer)
        return answer

    scene.says(lie)
    assert refused(scene) is Reason.PROOF_INVALID


# --- with all leaves -----------------------------------------------------------------------------


def complete(scene: Scene) -> list[int]:
    """What somebody with all leaves says about the receipt that she was given."""
    receipt = scene.her.receipt(scene.grant)
    verifier = liars.log_signer(scene.world).verifier
    ledger = auditor.fetch_ledger(scene.world.agency_a.stubs, verifier)
    return [line.index for line in auditor.check_complete(ledger, receipt, scene.grant, verifier)]


@pytest.mark.parametrize("hidden", [(2,), (1, 2), (0, 1, 2)])
def test_the_last_looks_hidden_are_found_among_all_leaves(
    scene: Scene, hidden: tuple[int, ...]
) -> None:
    """The limit of her receipt alone: it ends too early, and nothing in it says so."""
    whole = complete(scene)
    scene.says(without(*hidden))
    assert len(scene.disclosures()) == LOOKS - len(hidden)
    with pytest.raises(SafehandError) as caught:
        complete(scene)
    assert caught.value.reason is Reason.PROOF_INVALID
    scene.says(lambda request, ask: ask(request))
    assert complete(scene) == whole


def test_a_look_behind_the_receipt_is_no_lie(scene: Scene) -> None:
    """The ledger grows while somebody checks."""
    kept = scene.her.receipt(scene.grant)
    with_more = scene.world.accepted(scene.grant)
    scene.world.agency_b.open(with_more, "NAME", worker_ref=WORKER)
    scene.says(lambda request, ask: kept)
    assert len(complete(scene)) == 2 + LOOKS


def test_oversight_reads_the_leaves_too(scene: Scene) -> None:
    stubs = dial(scene.world.system.addresses, scene.world.party("oversight").tls)
    verifier = liars.log_signer(scene.world).verifier
    try:
        ledger = auditor.fetch_ledger(stubs, verifier)
    finally:
        stubs.close()
    receipt = scene.her.receipt(scene.grant)
    assert auditor.indexes_of(ledger.leaves, receipt.secret)
    assert not auditor.indexes_of(ledger.leaves, bytes(32))


def forged(scene: Scene, kinds: list[tuple[Kind, int]]) -> tuple[Fork, Any]:
    """Entries of hers behind the real ones, tags and all, and the receipt that shows them."""
    receipt = scene.her.receipt(scene.grant)
    fork = Fork(liars.real_leaves(scene.world), liars.log_signer(scene.world))
    bodies: dict[Kind, dict[str, Json]] = {
        Kind.STOP: {"by": "self", "strength": "strong", "at": 1, "final_at": 2},
        Kind.RESUME: {"by": "self", "at": 1},
        Kind.DISCLOSE: {
            "manifest": "0" * 64,
            "part": 0,
            "category": "CARD",
            "stage": "card",
            "recipient": "agency-b",
            "worker_ref": WORKER,
            "request": "0" * 64,
            "accept": "",
            "at": 1,
        },
    }
    added = [
        fork.append(
            kind,
            {"kind": kind.name, "grant": scene.grant, "counter": counter, **bodies[kind]},
            grant_tag(kind, receipt.secret, counter),
        )
        for kind, counter in kinds
    ]
    shown = []
    for item in receipt.receipts:
        again = fork.receipt(item.index)
        again.salt, again.body = item.salt, item.body
        shown.append(again)
    del receipt.receipts[:]
    receipt.receipts.extend([*shown, *(fork.receipt(index) for index in added)])
    return fork, receipt


def serve(scene: Scene, fork: Fork, receipt: Any) -> None:
    """Check what a ledger's owner shows who logs as it likes."""
    verifier = liars.log_signer(scene.world).verifier
    head = read_receipt(receipt, scene.grant, verifier)[1]
    ledger = auditor.WholeLedger(tuple(fork.leaves), head)
    auditor.check_complete(ledger, receipt, scene.grant, verifier)


def test_a_look_behind_her_stop_is_seen(scene: Scene) -> None:
    fork, receipt = forged(scene, [(Kind.STOP, 0), (Kind.DISCLOSE, LOOKS)])
    with pytest.raises(SafehandError) as caught:
        serve(scene, fork, receipt)
    assert caught.value.reason is Reason.PROOF_INVALID
    fork, receipt = forged(scene, [(Kind.STOP, 0), (Kind.RESUME, 0), (Kind.DISCLOSE, LOOKS)])
    serve(scene, fork, receipt)


def test_a_look_hidden_behind_a_gap_is_found(scene: Scene) -> None:
    """Logged under a later counter, so that a reader who stops at the first gap misses it."""
    fork, receipt = forged(scene, [(Kind.DISCLOSE, LOOKS)])
    serve(scene, fork, receipt)
    fork, receipt = forged(scene, [(Kind.DISCLOSE, LOOKS + 1)])
    receipt.receipts.pop()
    with pytest.raises(SafehandError) as caught:
        serve(scene, fork, receipt)
    assert caught.value.reason is Reason.PROOF_INVALID


@pytest.mark.parametrize("lie", ["fewer", "other", "shifted"])
def test_leaves_that_do_not_make_up_the_head(scene: Scene, lie: str, tmp_path: Path) -> None:
    def change(request: Any, ask: Ask) -> Any:
        answer: ledger_pb2.ListLeavesResponse = ask(request)
        if lie == "fewer":
            answer.leaves.pop()
        elif lie == "other":
            answer.leaves[0] = answer.leaves[1]
        else:
            answer.start += 1
        return answer

    party = liars.copy_party(scene.world, "agency-a", tmp_path)
    with (
        liars.lying(scene.world, "consent", "agency-a", tmp_path / "second") as liar,
        liars.client(scene.world, party, consent=liar.address) as a,
    ):
        liar.lies["ListLeaves"] = change
        with pytest.raises(SafehandError) as caught:
            auditor.fetch_ledger(a.stubs, liars.log_signer(scene.world).verifier)
    assert caught.value.reason is Reason.PROOF_INVALID
