"""Her receipt has to fit one answer, however often agencies cause entries under her grant."""

from __future__ import annotations

import pytest
from safehand.consent.v1 import consent_pb2 as pb
from safehand_consent_service import grant_leaves
from safehand_core.reasons import Reason
from safehand_core.words import CATEGORIES
from safehand_formats.kinds import Kind
from safehand_rpc.dial import MAX_RECEIVE_BYTES

from tests.consent.release.world import World, refused

DEPTH = 24
"""Hashes of a proof in a ledger of ten million."""
HASH_LINE = 45
HER_OWN = 500
"""Stops and resumes of hers that fit beside."""


def test_the_largest_receipt_that_agencies_can_cause_fits_an_answer(world: World) -> None:
    session = world.session()
    grant = world.grant(session, world.terms(tuple(CATEGORIES)))
    sent = world.send(grant, tuple(CATEGORIES))
    world.accept(sent)
    world.release(sent, "SAFETY_PLAN", worker_ref="w" * 64)
    world.stop_grant(session, grant)
    receipt = world.portal().GetReceipt(pb.GetReceiptRequest(session=session, grant=grant))
    _, refer, disclose, stop = (
        one.ByteSize() - HASH_LINE * (one.proof.count("\n") - 8) + HASH_LINE * DEPTH + 32
        for one in receipt.receipts
    )
    most = grant_leaves.MOST
    total = most[Kind.REFER] * refer + most[Kind.DISCLOSE] * disclose + HER_OWN * stop
    assert total < MAX_RECEIVE_BYTES


def test_a_grant_takes_so_many_looks_and_referrals_and_any_number_of_stops(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grant_leaves, "MOST", {Kind.REFER: 2, Kind.DISCLOSE: 2})
    session = world.session()
    grant = world.grant(session)
    sent, other = world.send(grant), world.send(grant)
    with refused(Reason.QUOTA_EXCEEDED, by=world):
        world.send(grant)
    world.release(sent)
    repeat = world.release_request(other)
    world.agency("agency-b").ReleaseKey(repeat)
    with refused(Reason.QUOTA_EXCEEDED, by=world):
        world.release(sent)
    world.agency("agency-b").ReleaseKey(repeat)
    for _ in range(3):
        world.stop_grant(session, grant)
        world.resume_grant(session, grant)
    lines = world.portal().GetReceipt(pb.GetReceiptRequest(session=session, grant=grant)).receipts
    assert len(lines) == 1 + 2 + 2 + 6
