"""Her receipt in order: nothing is sent or opened between a stop and a resume, or at the end."""

from __future__ import annotations

from pathlib import Path

import pytest
from safehand.consent.v1 import consent_pb2
from safehand_client.survivor import read_receipt
from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind, grant_tag

from tests.client.party import Scene
from tests.flow.liars import Fork

GRANT, SECRET = "5" * 32, bytes(range(32))
HASH = "0" * 64
BODIES: dict[Kind, dict[str, Json]] = {
    Kind.GRANT: {
        "releasing": "agency-a",
        "recipient": "agency-b",
        "purpose": "legal",
        "categories": ["CARD"],
        "issued_at": 1,
        "expires_at": 9,
        "erase_by": 9,
        "redisclosure": "none",
        "notice": HASH,
        "language": "en",
        "given_how": "read",
        "present": "alone",
        "protocol": HASH,
    },
    Kind.STOP: {"by": "self", "strength": "strong", "at": 1, "final_at": 2},
    Kind.RESUME: {"by": "self", "at": 1},
    Kind.REVOKE: {"cause": "window", "stop_index": 1, "at": 1},
    Kind.EXPIRE: {"expires_at": 9, "at": 9},
    Kind.REFER: {
        "manifest": HASH,
        "referral": GRANT,
        "sender": "agency-a",
        "recipient": "agency-b",
        "purpose": "legal",
        "categories": ["CARD"],
        "not_after": 9,
        "at": 1,
    },
    Kind.DISCLOSE: {
        "manifest": HASH,
        "part": 0,
        "category": "CARD",
        "stage": "card",
        "recipient": "agency-b",
        "worker_ref": "worker-1",
        "request": HASH,
        "accept": "",
        "at": 1,
    },
}
COUNTED = {Kind.NARROW, Kind.STOP, Kind.RESUME, Kind.REFER, Kind.DISCLOSE, Kind.CONFIRM}


def read(root: Path, kinds: str) -> list[str]:
    """The kinds of a receipt with these entries, by a ledger that logs whatever it likes."""
    scene = Scene(root)
    ledger = Fork([], scene.ledger)
    seen: dict[Kind, int] = {}
    for word in kinds.split():
        kind = Kind[word]
        counter = seen.get(kind, 0)
        seen[kind] = counter + 1
        body: dict[str, Json] = {"kind": kind.name, "grant": GRANT, **BODIES[kind]}
        if kind in COUNTED:
            body["counter"] = counter
        ledger.append(kind, body, grant_tag(kind, SECRET, counter))
    shown = [ledger.receipt(index) for index in range(len(ledger.leaves))]
    receipt = consent_pb2.GetReceiptResponse(secret=SECRET, receipts=shown)
    return [line.kind.name for line in read_receipt(receipt, GRANT, scene.ledger.verifier)[0]]


@pytest.mark.parametrize(
    "kinds",
    [
        "GRANT REFER DISCLOSE STOP RESUME DISCLOSE REFER STOP REVOKE",
        "GRANT REFER STOP STOP RESUME DISCLOSE EXPIRE",
    ],
)
def test_what_may_have_happened(tmp_path: Path, kinds: str) -> None:
    assert read(tmp_path, kinds) == kinds.split()


@pytest.mark.parametrize(
    "kinds",
    [
        "GRANT REFER STOP DISCLOSE",
        "GRANT STOP REFER RESUME",
        "GRANT STOP RESUME STOP REFER",
        "GRANT REFER STOP REVOKE DISCLOSE",
        "GRANT REFER EXPIRE DISCLOSE",
        "GRANT STOP REVOKE RESUME REFER",
    ],
)
def test_nothing_that_needs_a_live_consent_stands_behind_its_end(
    tmp_path: Path, kinds: str
) -> None:
    with pytest.raises(SafehandError) as refused:
        read(tmp_path, kinds)
    assert refused.value.reason is Reason.PROOF_INVALID
