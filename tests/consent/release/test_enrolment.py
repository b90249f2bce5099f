"""Agencies, their keys and their protocols: what is pinned, and who may change it."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand.consent.v1 import consent_pb2 as pb
from safehand.consent.v1 import consent_pb2_grpc, ledger_pb2
from safehand_consent_service import protocols
from safehand_core import ids
from safehand_core.reasons import Reason
from safehand_formats import merkle, signing
from safehand_formats.bodies import decode_body
from safehand_formats.checkpoint import open_checkpoint
from safehand_formats.keyrecord import SignedKeyRecord
from safehand_formats.kinds import Kind, key_tag
from safehand_formats.leaf import Leaf, body_commitment
from safehand_formats.note import NoteSigner
from safehand_formats.proof import TlogProof
from safehand_formats.sharing_protocol import LedgerPin, Party, SignedProtocol
from safehand_store.engine import begin_read

from tests.consent.release.world import DAY_S, ENTROPY, A, B, C, World, new_request_id, refused


def fresh_name() -> str:
    return "agency-" + ids.new_id(ENTROPY)[:12]


def new_agency(world: World, name: str | None = None) -> str:
    name = name or fresh_name()
    world.agencies[name] = type(world.agencies[A])(name)
    return name


# --- enrolment -----------------------------------------------------------------------------------


def test_the_fingerprint_is_of_the_pinned_key(world: World) -> None:
    name = new_agency(world)
    public = world.agencies[name].public
    assert world.enrol(name) == hashlib.sha256(public).hexdigest()


def test_the_same_key_again_is_fine_and_another_is_not(world: World) -> None:
    name = new_agency(world)
    first = world.enrol(name)
    assert world.enrol(name) == first
    other = signing.public_bytes(Ed25519PrivateKey.generate())
    with refused(Reason.ALREADY_EXISTS):
        world.enrol(name, other)
    assert world.enrol(name) == first


def test_one_key_convicts_one_agency(world: World) -> None:
    with refused(Reason.ALREADY_EXISTS):
        world.enrol(new_agency(world), world.agencies[A].public)


@pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31)])
def test_a_key_under_which_anything_verifies_is_refused(world: World, key: bytes) -> None:
    with refused(Reason.MALFORMED):
        world.enrol(new_agency(world), key)


def test_only_the_operator_enrols(world: World) -> None:
    request = pb.EnrolAgencyRequest(
        request_id=new_request_id(),
        agency=fresh_name(),
        identity_key=signing.public_bytes(Ed25519PrivateKey.generate()),
        display_name="X",
    )
    referral_operator = consent_pb2_grpc.ConsentServiceStub(world.channel("operator", "referral"))
    for stub in (world.agency(A), world.portal(), referral_operator):
        with refused(Reason.NOT_ALLOWED):
            stub.EnrolAgency(request)


def test_a_request_id_enrols_one_agency(world: World) -> None:
    request = pb.EnrolAgencyRequest(
        request_id=new_request_id(),
        agency=fresh_name(),
        identity_key=signing.public_bytes(Ed25519PrivateKey.generate()),
        display_name="X",
    )
    first = world.operator().EnrolAgency(request)
    assert world.operator().EnrolAgency(request) == first
    request.agency = fresh_name()
    with refused(Reason.REQUEST_ID_REUSED):
        world.operator().EnrolAgency(request)


# --- protocols -----------------------------------------------------------------------------------


def test_a_protocol_is_filed_under_its_digest_by_either_party(world: World) -> None:
    signed = world.sign_protocol(world.protocol())
    assert world.register_protocol(signed, A) == signed.digest.hex()
    assert world.register_protocol(signed, B) == signed.digest.hex()
    with begin_read(world.app.context.engine) as connection:
        filed = protocols.live_between(connection, B, A, world.now)
    assert signed.digest.hex() in [one.digest for one in filed]


def test_nobody_files_the_protocol_of_others(world: World) -> None:
    with refused(Reason.NOT_ALLOWED):
        world.register_protocol(world.sign_protocol(world.protocol()), C)


def test_both_signatures_must_be_of_the_pinned_keys(world: World) -> None:
    protocol = world.protocol()
    a, b, stranger = (
        world.agencies[A].identity,
        world.agencies[B].identity,
        Ed25519PrivateKey.generate(),
    )
    for keys in ((stranger, b), (a, stranger), (a, a), (b, a)):
        with refused(Reason.SIGNATURE_INVALID):
            world.register_protocol(SignedProtocol.sign(protocol, *keys))


def test_a_protocol_with_a_key_of_its_own_is_refused(world: World) -> None:
    """Both signatures verify under the keys that it names, but one of them is not pinned."""
    stranger = Ed25519PrivateKey.generate()
    party = Party(B, signing.public_bytes(stranger), "referrals desk")
    protocol = world.protocol(b=party)
    with refused(Reason.SIGNATURE_INVALID):
        world.register_protocol(SignedProtocol.sign(protocol, world.agencies[A].identity, stranger))


def test_a_protocol_with_somebody_unknown(world: World) -> None:
    name = new_agency(world)
    with refused(Reason.AGENCY_UNKNOWN):
        world.register_protocol(world.sign_protocol(world.protocol(A, name)))


def test_a_protocol_that_pins_another_ledger(world: World) -> None:
    other = NoteSigner(world.app.context.ledger.name, Ed25519PrivateKey.generate()).verifier
    named = NoteSigner("elsewhere.example/ledger", Ed25519PrivateKey.generate()).verifier
    for verifier in (other, named):
        pin = LedgerPin(verifier.name, verifier.vkey)
        with refused(Reason.MALFORMED):
            world.register_protocol(world.sign_protocol(world.protocol(ledger=pin)))


def test_a_protocol_that_is_over_or_never_ends(world: World) -> None:
    for until in (world.now, world.now + protocols.MAX_TERM_S + 1):
        with refused(Reason.MALFORMED):
            world.register_protocol(world.sign_protocol(world.protocol(not_after=until)))


def test_an_id_is_one_protocols(world: World) -> None:
    protocol = world.protocol()
    world.register_protocol(world.sign_protocol(protocol))
    with refused(Reason.ALREADY_EXISTS):
        world.register_protocol(world.sign_protocol(replace(protocol, retention_days=1)))


# --- recipient keys ------------------------------------------------------------------------------


def owner(world: World) -> str:
    """An agency of its own, so that its sequence starts at 0."""
    name = new_agency(world)
    world.enrol(name)
    return name


def test_the_entry_of_a_key_can_be_watched_by_its_agency(world: World) -> None:
    name = owner(world)
    signed = world.key_record(name)
    receipt = world.append_key(signed, name)
    leaf = Leaf.decode(receipt.leaf)
    assert (leaf.kind, leaf.tag) == (Kind.KEY, key_tag(name, 0))
    assert leaf.commitment == body_commitment(receipt.salt, receipt.body)
    body = decode_body(Kind.KEY, receipt.body)
    assert (body["agency"], body["record"]) == (name, signed.digest.hex())
    proven = TlogProof.from_text(receipt.proof)
    proven.verify(receipt.leaf, world.app.context.ledger)


def test_the_same_record_again_is_the_same_entry(world: World) -> None:
    name = owner(world)
    signed, request_id = world.key_record(name), new_request_id()
    first = world.append_key(signed, name, request_id)
    size = world.size
    assert world.append_key(signed, name, request_id).index == first.index
    assert world.append_key(signed, name).index == first.index
    assert world.size == size
    with refused(Reason.REQUEST_ID_REUSED, by=world):
        world.append_key(world.key_record(name), name, request_id)


def test_sequences_leave_no_gap_and_do_not_repeat(world: World) -> None:
    name = owner(world)
    with refused(Reason.KEY_SEQUENCE, by=world):
        world.append_key(world.key_record(name, sequence=1), name)
    world.append_key(world.key_record(name), name)
    for sequence in (0, 2):
        with refused(Reason.KEY_SEQUENCE, by=world):
            world.append_key(world.key_record(name, sequence=sequence), name)
    world.append_key(world.key_record(name, sequence=1), name)


def test_nobody_publishes_a_key_for_another_agency(world: World) -> None:
    name = owner(world)
    with refused(Reason.NOT_ALLOWED, by=world):
        world.append_key(world.key_record(name), A)
    forged = SignedKeyRecord.sign(world.key_record(name).record, world.agencies[A].identity)
    with refused(Reason.SIGNATURE_INVALID, by=world):
        world.append_key(forged, name)


def test_a_key_that_is_over_or_known_or_of_nobody(world: World) -> None:
    name = owner(world)
    with refused(Reason.MALFORMED, by=world):
        world.append_key(world.key_record(name, not_after=world.now), name)
    signed = world.key_record(name)
    world.append_key(signed, name)
    with refused(Reason.ALREADY_EXISTS, by=world):
        public = signed.record.public
        world.append_key(world.key_record(name, sequence=1, public=public), name)
    stranger = new_agency(world)
    with refused(Reason.AGENCY_UNKNOWN, by=world):
        world.append_key(world.key_record(stranger), stranger)


# --- reading the ledger --------------------------------------------------------------------------


def all_leaves(world: World, page: int) -> tuple[list[bytes], list[str]]:
    leaves: list[bytes] = []
    notes: list[str] = []
    request = ledger_pb2.ListLeavesRequest(page_size=page)
    while True:
        answer = world.ledger().ListLeaves(request)
        assert answer.start == len(leaves)
        leaves += answer.leaves
        notes.append(answer.checkpoint)
        if not answer.next_page_token:
            return leaves, notes
        request.page_token = answer.next_page_token


def test_all_leaves_give_the_signed_root(world: World) -> None:
    name = owner(world)
    for _ in range(5):
        world.append_key(world.key_record(name), name)
    leaves, notes = all_leaves(world, 3)
    verifier = world.app.context.ledger
    checkpoint = open_checkpoint(notes[-1], verifier)
    assert checkpoint.size == len(leaves) == world.size
    frontier = merkle.Frontier(0, [])
    for leaf in leaves:
        frontier.append(merkle.leaf_hash(leaf))
    assert frontier.root() == checkpoint.root
    assert world.ledger().GetCheckpoint(ledger_pb2.GetCheckpointRequest()).checkpoint == notes[-1]


def test_leaves_can_be_read_from_the_middle_and_behind_the_end(world: World) -> None:
    size = world.size
    tail = world.ledger().ListLeaves(ledger_pb2.ListLeavesRequest(start=size - 1))
    assert (tail.start, len(tail.leaves), tail.next_page_token) == (size - 1, 1, "")
    behind = world.ledger().ListLeaves(ledger_pb2.ListLeavesRequest(start=size))
    assert (len(behind.leaves), behind.next_page_token) == (0, "")


def test_a_page_token_is_one_callers_and_one_requests(world: World) -> None:
    request = ledger_pb2.ListLeavesRequest(page_size=1)
    made = world.ledger().ListLeaves(request).next_page_token
    with refused(Reason.PAGE_TOKEN_INVALID):
        world.ledger(name=B).ListLeaves(ledger_pb2.ListLeavesRequest(page_token=made))
    with refused(Reason.PAGE_TOKEN_INVALID):
        world.ledger().ListLeaves(ledger_pb2.ListLeavesRequest(start=1, page_token=made))


def test_oversight_reads_leaves_and_nobody_else_but_agencies(world: World) -> None:
    request = ledger_pb2.ListLeavesRequest()
    assert world.ledger("oversight", "auditor").ListLeaves(request).leaves
    for kind, name in (("service", "portal"), ("service", "referral"), ("operator", "consent")):
        with refused(Reason.NOT_ALLOWED):
            world.ledger(kind, name).ListLeaves(request)  # type: ignore[arg-type]


def test_two_heads_are_proven_consistent(world: World) -> None:
    name = owner(world)
    verifier = world.app.context.ledger
    get = ledger_pb2.GetCheckpointRequest()
    old = open_checkpoint(world.ledger().GetCheckpoint(get).checkpoint, verifier)
    for _ in range(3):
        world.append_key(world.key_record(name), name)
    new = open_checkpoint(world.ledger().GetCheckpoint(get).checkpoint, verifier)
    ask = ledger_pb2.GetConsistencyProofRequest(from_size=old.size, to_size=new.size)
    hashes = list(world.ledger().GetConsistencyProof(ask).hashes)
    merkle.verify_consistency(old.size, new.size, hashes, old.root, new.root)
    for wrong in ((new.size, old.size), (1, new.size + 1)):
        with refused(Reason.MALFORMED):
            world.ledger().GetConsistencyProof(
                ledger_pb2.GetConsistencyProofRequest(from_size=wrong[0], to_size=wrong[1])
            )


def test_a_protocol_ends_by_itself(fresh_world: World) -> None:
    world = fresh_world
    world.register_protocol(world.sign_protocol(world.protocol(A, C, not_after=world.now + DAY_S)))
    with begin_read(world.app.context.engine) as connection:
        for now, count in ((world.now + DAY_S - 1, 1), (world.now + DAY_S, 0)):
            assert len(protocols.live_between(connection, A, C, now)) == count
