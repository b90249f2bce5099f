"""Check codes at the service: every entry that people keep has one, and it opens nothing."""

from __future__ import annotations

import pytest
from safehand.consent.v1 import consent_pb2 as pb
from safehand.consent.v1 import ledger_pb2
from safehand_core.reasons import Reason
from safehand_formats import checkcode, merkle
from safehand_formats.kinds import Kind
from safehand_formats.leaf import Leaf
from safehand_formats.note import NoteVerifier
from safehand_formats.proof import TlogProof
from safehand_formats.slips import KINDS

from tests.consent.release.world import A, C, World, refused


def code_of(receipt: ledger_pb2.Receipt) -> str:
    return checkcode.of_leaf_hash(merkle.leaf_hash(receipt.leaf))


def test_every_decision_is_found_by_its_code_and_stays_closed(world: World) -> None:
    session = world.session()
    grant = world.grant(session)
    sent = world.send(grant)
    world.release(sent)
    world.stop_grant(session, grant)
    world.resume_grant(session, grant)
    world.stop_grant(session, grant, pb.STOP_MODE_DESTROY_NOW)
    receipt = world.portal().GetReceipt(pb.GetReceiptRequest(session=session, grant=grant))
    verifier = NoteVerifier.from_vkey(receipt.vkey)
    for item in receipt.receipts:
        request = ledger_pb2.CheckCodeRequest(code=code_of(item).lower())
        if Leaf.decode(item.leaf).kind not in KINDS:
            with refused(Reason.NOT_FOUND):
                world.ledger("agency", C).CheckCode(request)
            continue
        (found,) = world.ledger("agency", C).CheckCode(request).receipts
        assert (found.index, found.leaf) == (item.index, item.leaf)
        assert (found.salt, found.body) == (b"", b"")
        TlogProof.from_text(found.proof).verify(found.leaf, verifier)
    kinds = {Leaf.decode(item.leaf).kind for item in receipt.receipts}
    assert kinds & KINDS == {Kind.GRANT, Kind.STOP, Kind.RESUME, Kind.REVOKE}


@pytest.mark.parametrize("code", ["00000000", "ZZZZ-ZZZZ"])
def test_a_code_of_nothing_names_nothing(world: World, code: str) -> None:
    with refused(Reason.NOT_FOUND):
        world.ledger("agency", A).CheckCode(ledger_pb2.CheckCodeRequest(code=code))


def test_what_is_no_code_is_said(world: World) -> None:
    with refused(Reason.MALFORMED):
        world.ledger("agency", A).CheckCode(ledger_pb2.CheckCodeRequest(code="no code at all"))
