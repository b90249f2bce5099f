"""What she can check by herself: every leaf of a grant, from its secret, in the whole ledger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from safehand.common.v1 import reason_pb2
from safehand.consent.v1 import consent_pb2 as pb
from safehand.consent.v1 import ledger_pb2
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind, grant_tag
from safehand_formats.leaf import Leaf
from safehand_formats.note import NoteVerifier
from safehand_formats.proof import TlogProof

from tests.consent.refusals import refused
from tests.consent.release.world import World as Flow
from tests.consent.world import World

OF_GRANT = [kind for kind in Kind if kind.of_grant]


@pytest.fixture
def flow(tmp_path: Path) -> Iterator[Flow]:
    """A world in which referrals are sent and opened."""
    made = Flow(tmp_path).start().set_up()
    yield made
    made.stop()


def tags(secret: bytes, upto: int) -> dict[bytes, tuple[Kind, int]]:
    """Every tag that the grant with this secret can have, up to a counter."""
    return {
        grant_tag(kind, secret, counter): (kind, counter)
        for kind in OF_GRANT
        for counter in range(upto if kind not in (Kind.GRANT, Kind.REVOKE, Kind.EXPIRE) else 1)
    }


def all_leaves(flow: Flow) -> list[bytes]:
    answer = flow.ledger("oversight", "ombuds").ListLeaves(ledger_pb2.ListLeavesRequest())
    return list(answer.leaves)


def test_her_receipt_holds_every_leaf_that_the_secret_enumerates_in_the_ledger(
    flow: Flow,
) -> None:
    session = flow.session()
    grant, other = flow.grant(session), flow.grant(session)
    sent = flow.send(grant)
    flow.release(sent)
    flow.release(flow.send(other))
    flow.stop_grant(session, grant)
    flow.resume_grant(session, grant)
    flow.accept(sent)
    flow.release(sent, "NAME")
    flow.stop_grant(session, grant, pb.STOP_MODE_DESTROY_NOW)

    answer = flow.portal().GetReceipt(pb.GetReceiptRequest(session=session, grant=grant))
    assert len(answer.secret) == 32
    known = tags(answer.secret, upto=20)
    found = [
        (index, *known[tag])
        for index, leaf in enumerate(all_leaves(flow))
        if (tag := Leaf.decode(leaf).tag) in known
    ]
    assert [(kind.name, counter) for _, kind, counter in found] == [
        ("GRANT", 0),
        ("REFER", 0),
        ("DISCLOSE", 0),
        ("STOP", 0),
        ("RESUME", 0),
        ("DISCLOSE", 1),
        ("STOP", 1),
        ("REVOKE", 0),
    ]
    assert [receipt.index for receipt in answer.receipts] == [index for index, _, _ in found]


def test_all_proofs_of_her_receipt_are_under_one_checkpoint_and_hold(
    world: World, her: bytes
) -> None:
    grant = world.grant(her).grant.grant
    world.stop_grant(her, grant)
    world.grant(her)
    answer = world.receipt(her, grant)
    assert answer.vkey == world.vkey
    notes = set()
    verifier = NoteVerifier.from_vkey(answer.vkey)
    for receipt in answer.receipts:
        opening = world.opened(receipt)
        assert opening.body["grant"] == grant
        proof = TlogProof.from_text(receipt.proof)
        assert proof.verify(receipt.leaf, verifier).size == 3
        notes.add(proof.checkpoint_note)
    assert len(notes) == 1
    assert [world.opened(r).kind for r in answer.receipts] == [Kind.GRANT, Kind.STOP]


def test_her_secret_leaves_through_her_receipt_alone(world: World, her: bytes) -> None:
    granted = world.grant(her)
    grant = granted.grant.grant
    secret = world.secrets[grant]
    answers = [
        granted,
        world.stop_grant(her, grant),
        world.resume_grant(her, grant),
        world.portal.ListGrants(pb.ListGrantsRequest(session=her)),
        world.consent("haven").ListAgencyGrants(pb.ListAgencyGrantsRequest()),
    ]
    for answer in answers:
        data = answer.SerializeToString()
        assert secret not in data
        assert secret.hex().encode() not in data
    for party in ("haven", "legal", "operator", "referral", "oversight"):
        with refused(Reason.NOT_ALLOWED):
            world.consent(party).GetReceipt(pb.GetReceiptRequest(session=her, grant=grant))


def test_another_secret_finds_nothing_of_hers(world: World, her: bytes) -> None:
    first, second = (world.grant(her).grant.grant for _ in range(2))
    leaves = {bytes(r.leaf) for r in world.receipt(her, first).receipts}
    mine = tags(world.secrets[second], upto=5)
    assert not [leaf for leaf in leaves if Leaf.decode(leaf).tag in mine]


def test_a_receipt_is_still_there_when_the_grant_is_final(world: World, her: bytes) -> None:
    grant = world.grant(her).grant.grant
    world.stop_grant(her, grant, destroy_now=True)
    kinds = [world.opened(r).kind for r in world.receipt(her, grant).receipts]
    assert kinds == [Kind.GRANT, Kind.STOP, Kind.REVOKE]


def test_looks_and_refused_looks_are_one_list_newest_first(flow: Flow) -> None:
    session = flow.session()
    grant = flow.grant(session)
    sent = flow.send(grant)
    first = flow.release(sent).receipt.index
    flow.clock.advance(10)
    with refused(Reason.NOT_ACCEPTED):
        flow.release(sent, "NAME", worker_ref="worker-8")
    flow.app.context.refused.settle()
    flow.clock.advance(10)
    flow.accept(sent)
    second = flow.release(sent, "NAME").receipt.index
    flow.stop_grant(session, grant)
    flow.clock.advance(10)
    with refused(Reason.CONSENT_ENDED):
        flow.release(sent)
    flow.app.context.refused.settle()

    answer = flow.portal().ListLooks(pb.ListLooksRequest(session=session))
    lines = [
        (look.category, look.worker_ref, look.ledger_index, look.refused) for look in answer.looks
    ]
    assert lines == [
        ("CARD", "worker-7", -1, reason_pb2.REASON_CONSENT_ENDED),
        ("NAME", "worker-7", second, 0),
        ("NAME", "worker-8", -1, reason_pb2.REASON_NOT_ACCEPTED),
        ("CARD", "worker-7", first, 0),
    ]
    assert {look.agency for look in answer.looks} == {"agency-b"}
    assert all(look.agency_name for look in answer.looks)
    assert {look.grant for look in answer.looks} == {grant}
    assert [look.at.seconds for look in answer.looks] == sorted(
        (look.at.seconds for look in answer.looks), reverse=True
    )


def test_pages_of_looks_join_without_a_gap_or_a_repeat_even_within_a_second(
    world: World, her: bytes
) -> None:
    grant, other = (world.grant(her).grant.grant for _ in range(2))
    now = world.clock.wall()
    insert_look = (
        "INSERT INTO look (leaf_index, grant_id, manifest_digest, part, category, recipient, "
        "worker_ref, at, request) VALUES (?, ?, 'none', 0, 'NAME', 'legal', 'worker-1', ?, ?)"
    )
    insert_refused = (
        "INSERT INTO refused_look (grant_id, agency, category, worker_ref, reason, at) "
        "VALUES (?, 'legal', 'NAME', 'worker-1', 'WRAP_INVALID', ?)"
    )
    for number in range(6):
        world.execute(insert_look, 100 + number, grant, now + number // 3, f"{number:064x}")
        world.execute(insert_refused, grant if number % 2 else other, now + number // 2)

    def pages(size: int, only: str = "") -> list[tuple[int, int, str]]:
        lines: list[tuple[int, int, str]] = []
        request = pb.ListLooksRequest(session=her, grant=only, page_size=size)
        while True:
            answer = world.portal.ListLooks(request)
            assert len(answer.looks) <= size
            lines += [(look.at.seconds, look.ledger_index, look.grant) for look in answer.looks]
            if not answer.next_page_token:
                return lines
            request.page_token = answer.next_page_token

    whole = pages(200)
    assert len(whole) == 12
    assert [at for at, _, _ in whole] == sorted((at for at, _, _ in whole), reverse=True)
    for size in (1, 2, 3, 5, 12):
        assert pages(size) == whole
        assert pages(size, grant) == [line for line in whole if line[2] == grant]
    assert len(pages(4, other)) == 3


def test_her_looks_are_hers_alone(world: World, her: bytes) -> None:
    grant = world.grant(her).grant.grant
    world.execute(
        "INSERT INTO refused_look (grant_id, agency, category, worker_ref, reason, at) "
        "VALUES (?, 'legal', 'NAME', 'worker-1', 'WRAP_INVALID', 1)",
        grant,
    )
    world.register("haven", 2, "another-one")
    answer = world.portal.ListLooks(pb.ListLooksRequest(session=world.sign_in(2)))
    assert not answer.looks
    assert len(world.portal.ListLooks(pb.ListLooksRequest(session=her)).looks) == 1
