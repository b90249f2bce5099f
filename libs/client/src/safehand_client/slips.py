"""Slips for people: what each entry says in plain words, its proof, and a code to read out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from safehand.consent.v1 import asks_pb2, ledger_pb2
from safehand_core.errors import SafehandError
from safehand_core.keystore import make_private_dir, write_atomic
from safehand_core.reasons import Reason
from safehand_formats import checkcode, merkle, slips
from safehand_formats.bodies import decode_body
from safehand_formats.leaf import Leaf
from safehand_formats.note import NoteVerifier
from safehand_formats.opening import Opening
from safehand_formats.proof import TlogProof
from safehand_formats.slips import Slip

from safehand_client._internal.calls import DEADLINE_S, Stubs
from safehand_client._internal.questions import read_refusal


def of_receipts(
    receipts: Iterable[ledger_pb2.Receipt],
    verifier: NoteVerifier,
    names: Mapping[str, str] | None = None,
) -> list[Slip]:
    """A slip of each entry that has one, in their order; every proof is checked first.

    ``names`` maps agency ids to names. Raises PROOF_INVALID, MALFORMED.
    """
    out: list[Slip] = []
    for item in receipts:
        TlogProof.from_text(item.proof).verify(item.leaf, verifier)
        opening = _opening(item)
        if opening.kind in slips.KINDS:
            out.append(slips.slip(opening, item.leaf, names))
    return out


def of_refusal(
    answer: asks_pb2.GetRefusalReceiptResponse,
    ask: str,
    verifier: NoteVerifier,
    names: Mapping[str, str] | None = None,
) -> Slip:
    """The slip of her no to the question ``ask`` (32 hex), proven to be that very no.

    ``names`` as in ``of_receipts``. Raises PROOF_INVALID, also for the no to another question.
    """
    read_refusal(answer, ask, verifier)
    (made,) = of_receipts([answer.receipt], verifier, names)
    return made


def write(folder: Path, receipt: ledger_pb2.Receipt) -> list[Path]:
    """Leave what an outsider needs to check one entry in ``folder`` (0700): ``NNN.leaf``,
    ``NNN.tlog-proof`` and ``NNN.opening.json``; returns the files.

    ``safehand ledger verify NNN.tlog-proof --leaf NNN.leaf`` checks them.
    """
    make_private_dir(folder)
    stem = f"{receipt.index:03d}"
    contents = {
        f"{stem}.leaf": receipt.leaf,
        f"{stem}.tlog-proof": receipt.proof.encode(),
        f"{stem}.opening.json": _opening(receipt).to_bytes(),
    }
    for name, data in contents.items():
        write_atomic(folder / name, data)
    return [folder / name for name in contents]


@dataclass(frozen=True, slots=True)
class Named:
    """An entry that a check code names: where it stands, and its kind."""

    index: int
    kind: str


def check(stubs: Stubs, verifier: NoteVerifier, code: str) -> list[Named]:
    """The entries that ``code`` names, each proven under the pinned ledger key, its code computed
    again. Raises MALFORMED (no code), NOT_FOUND (names none), PROOF_INVALID (a false answer)."""
    wanted = checkcode.parse(code)
    answer = stubs.ledger.CheckCode(ledger_pb2.CheckCodeRequest(code=wanted), timeout=DEADLINE_S)
    found: list[Named] = []
    for item in answer.receipts:
        proof = TlogProof.from_text(item.proof)
        proof.verify(item.leaf, verifier)
        same = checkcode.of_leaf_hash(merkle.leaf_hash(item.leaf)) == wanted
        if proof.index != item.index or not same:
            raise SafehandError(Reason.PROOF_INVALID, "the entry has another check code")
        found.append(Named(item.index, Leaf.decode(item.leaf).kind.name))
    if not found:
        raise SafehandError(Reason.PROOF_INVALID, "an answer without an entry")
    return found


def _opening(item: ledger_pb2.Receipt) -> Opening:
    kind = Leaf.decode(item.leaf).kind
    return Opening(item.index, kind, item.salt, decode_body(kind, item.body))
