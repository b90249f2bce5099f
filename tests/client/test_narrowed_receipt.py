"""Her receipt after she took something out: a look at it, or after the new end, shows."""

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
from tests.client.test_receipt import BODIES, COUNTED, GRANT, SECRET
from tests.flow.liars import Fork

WHOLE = ("CARD", "HEALTH", "NAME")
LEFT = ("CARD", "NAME")
END = 9

Line = tuple[Kind, dict[str, Json]]


def granted(*categories: str, **fields: Json) -> Line:
    names: list[Json] = list(categories or WHOLE)
    return Kind.GRANT, {"categories": names, "expires_at": END, **fields}


def narrowed(*left: str, end: int = END) -> Line:
    names: list[Json] = list(left)
    return Kind.NARROW, {"categories": names, "expires_at": end, "by": "self", "at": 1}


def sent(*categories: str, at: int = 1) -> Line:
    names: list[Json] = list(categories)
    return Kind.REFER, {"categories": names, "at": at}


def looked(category: str, at: int = 1) -> Line:
    return Kind.DISCLOSE, {"category": category, "at": at, "accept": "1" * 64, "stage": "identity"}


def read(root: Path, *lines: Line) -> list[Kind]:
    """The kinds of a receipt with these entries, by a ledger that logs whatever it likes."""
    scene = Scene(root)
    ledger = Fork([], scene.ledger)
    seen: dict[Kind, int] = {}
    for kind, fields in lines:
        counter = seen.get(kind, 0)
        seen[kind] = counter + 1
        body: dict[str, Json] = {"kind": kind.name, "grant": GRANT}
        body |= {**BODIES.get(kind, {}), **fields}
        if kind in COUNTED:
            body["counter"] = counter
        ledger.append(kind, body, grant_tag(kind, SECRET, counter))
    shown = [ledger.receipt(index) for index in range(len(ledger.leaves))]
    receipt = consent_pb2.GetReceiptResponse(secret=SECRET, receipts=shown)
    return [line.kind for line in read_receipt(receipt, GRANT, scene.ledger.verifier)[0]]


def test_what_is_left_goes_on(tmp_path: Path) -> None:
    lines = (
        granted(),
        sent(*WHOLE),
        looked("HEALTH"),
        narrowed(*LEFT, end=5),
        looked("NAME", at=4),
        sent(*LEFT),
        narrowed("CARD", end=4),
    )
    assert read(tmp_path, *lines) == [kind for kind, _ in lines]


def test_a_yes_to_a_question_names_it(tmp_path: Path) -> None:
    assert read(tmp_path, granted(ask="7" * 32)) == [Kind.GRANT]


@pytest.mark.parametrize(
    "lines",
    [
        (granted(), sent(*WHOLE), narrowed(*LEFT), looked("HEALTH")),
        (granted(), narrowed(*LEFT), sent(*WHOLE)),
        (granted(), sent(*WHOLE), narrowed(*LEFT), narrowed("CARD"), looked("NAME")),
        (granted(), sent(*WHOLE), narrowed(*WHOLE, end=5), looked("HEALTH", at=5)),
        (granted(), narrowed(*LEFT), narrowed(*WHOLE)),
        (granted(), narrowed(*LEFT, end=5), narrowed(*LEFT, end=6)),
        (granted(*LEFT), looked("HEALTH")),
        (granted(), sent(*WHOLE), looked("HEALTH", at=END)),
    ],
)
def test_what_goes_beyond_it_is_convicted(tmp_path: Path, lines: tuple[Line, ...]) -> None:
    with pytest.raises(SafehandError) as refused:
        read(tmp_path, *lines)
    assert refused.value.reason is Reason.PROOF_INVALID
