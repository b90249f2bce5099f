"""Every kind of entry that people keep a slip of is found by the code that was read out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest
from safehand.consent.v1 import ledger_pb2
from safehand_client import slips
from safehand_core.reasons import Reason
from safehand_formats import checkcode, merkle
from safehand_formats.kinds import Kind
from safehand_formats.leaf import Leaf
from safehand_formats.note import NoteVerifier
from safehand_formats.proof import TlogProof
from safehand_formats.slips import KINDS

from tests.consent.asking import NO, answer, ask, narrow, refusal
from tests.consent.recording import OTHER, YES, confirm, file_second, record, signed_second
from tests.consent.refusals import refused
from tests.consent.world import DAY, World


def _grant(world: World, her: bytes) -> str:
    return str(world.grant(her).grant.grant)


def _stopped(world: World, her: bytes, *, destroy_now: bool = False) -> str:
    grant = _grant(world, her)
    world.stop_grant(her, grant, destroy_now=destroy_now)
    return grant


def _resumed(world: World, her: bytes) -> str:
    grant = _stopped(world, her)
    world.resume_grant(her, grant)
    return grant


def _narrowed(world: World, her: bytes) -> str:
    grant = _grant(world, her)
    narrow(world, her, grant, "CARD", "NAME")
    return grant


def _confirmed(world: World, her: bytes) -> str:
    grant = record(world, her)
    confirm(world, her, grant, YES)
    return grant


def _seconded(world: World, her: bytes) -> str:
    grant = record(world, her, categories=("HEALTH",))
    digest = world.opened(world.receipt(her, grant).receipts[0]).body["record"]
    file_second(world, signed_second(world, str(digest), worker=OTHER))
    return grant


def _expired(world: World, her: bytes) -> str:
    grant = _grant(world, her)
    world.clock.advance(90 * DAY)
    world.app.context.writer.confirm_clock()
    assert world.sweep()
    return grant


def _lapsed(world: World, her: bytes) -> str:
    grant = record(world, her)
    world.clock.advance(14 * DAY)
    world.app.context.writer.confirm_clock()
    assert world.sweep()
    return grant


OF_A_GRANT: Final[dict[str, tuple[Kind, Callable[[World, bytes], str]]]] = {
    "given": (Kind.GRANT, _grant),
    "recorded": (Kind.GRANT, record),
    "narrowed": (Kind.NARROW, _narrowed),
    "confirmed by her": (Kind.CONFIRM, _confirmed),
    "confirmed by a second worker": (Kind.CONFIRM, _seconded),
    "stopped": (Kind.STOP, _stopped),
    "turned on again": (Kind.RESUME, _resumed),
    "destroyed": (Kind.REVOKE, lambda world, her: _stopped(world, her, destroy_now=True)),
    "its time over": (Kind.EXPIRE, _expired),
    "never confirmed": (Kind.EXPIRE, _lapsed),
}
"""What was decided, the entry that says so, and how it comes about."""


def test_all_eight_kinds_are_asked_for_below() -> None:
    assert {kind for kind, _ in OF_A_GRANT.values()} | {Kind.REFUSE} == KINDS


def named_by_its_code(world: World, item: ledger_pb2.Receipt) -> None:
    """Anybody who hears the code finds this entry, proven, and not a word of what it says."""
    code = checkcode.of_leaf_hash(merkle.leaf_hash(item.leaf))
    request = ledger_pb2.CheckCodeRequest(code=code)
    (found,) = world.ledger("clinic").CheckCode(request).receipts
    assert (found.index, found.leaf) == (item.index, item.leaf)
    assert (found.salt, found.body) == (b"", b"")
    TlogProof.from_text(found.proof).verify(found.leaf, NoteVerifier.from_vkey(world.vkey))


@pytest.mark.parametrize("name", OF_A_GRANT)
def test_what_was_decided_of_a_consent_is_found_by_its_code(
    world: World, her: bytes, name: str
) -> None:
    kind, happen = OF_A_GRANT[name]
    grant = happen(world, her)
    if kind is Kind.EXPIRE:
        her = world.sign_in(1)  # the session that she had is over by then
    (*_, last) = world.receipt(her, grant).receipts
    assert Leaf.decode(last.leaf).kind is kind
    named_by_its_code(world, last)
    (*_, slip) = slips.of_receipts([last], NoteVerifier.from_vkey(world.vkey))
    assert (slip.kind, slip.index) == (kind, last.index)


def test_her_no_is_found_by_its_code(world: World, her: bytes) -> None:
    asked = ask(world).ask
    done = answer(world, her, asked, NO)
    named_by_its_code(world, done.receipt)


def test_the_slip_of_a_no_is_of_that_very_no(world: World, her: bytes) -> None:
    verifier = NoteVerifier.from_vkey(world.vkey)
    asked, other = ask(world).ask, ask(world, purpose="legal").ask
    for one in (asked, other):
        answer(world, her, one, NO)
    kept = refusal(world, her, asked)
    names = {"haven": "Haven House", "legal": "Legal Aid 7"}
    slip = slips.of_refusal(kept, asked, verifier, names)
    assert (slip.kind, slip.index) == (Kind.REFUSE, kept.receipt.index)
    assert slip.code == checkcode.of_leaf_hash(merkle.leaf_hash(kept.receipt.leaf))
    said = " ".join(line.english for line in slip.lines)
    assert "You said no on" in said
    assert "whether Haven House may tell Legal Aid 7" in said
    with refused(Reason.PROOF_INVALID):
        slips.of_refusal(refusal(world, her, other), asked, verifier, names)
