"""Agencies, protocols and keys: carried, checked, and believed for nothing that is not signed.

The registry's operator could list a wrong identity key for an agency: the directory would then
carry protocols and keys under it. That is not refused here, because nobody here could tell; it is
the agencies' clients that refuse it, under the keys that they pinned themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand.consent.v1 import ledger_pb2
from safehand.referral.v1 import directory_pb2 as pb
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import signing
from safehand_formats.kinds import Kind, key_tag
from safehand_formats.note import NoteSigner
from safehand_formats.sharing_protocol import Party, SharingProtocol, SignedProtocol

from tests.referral.conftest import Refusal
from tests.referral.making import DAY_S, ENTROPY, ORIGIN, rid
from tests.referral.world import World


def fresh_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(ENTROPY.bytes(32))


# --- agencies ---


def test_an_entry_is_shown_as_it_was_registered(world: World) -> None:
    entry = world.a.directory.GetAgency(pb.GetAgencyRequest(agency="b-agency")).agency
    assert entry.agency == "b-agency"
    assert entry.identity_key == world.b.public
    assert list(entry.organizations) == ["o-b"]


def test_an_unknown_agency_is_not_found(world: World, refuses: Refusal) -> None:
    with refuses(Reason.NOT_FOUND):
        world.a.directory.GetAgency(pb.GetAgencyRequest(agency="nobody"))


def test_registering_again_replaces_name_and_organizations(world: World) -> None:
    agency = world.agency("e-agency")
    world.register(agency, ["o-e", "o-f"])
    world.register(agency, ["o-f", "o-g"])
    entry = world.a.directory.GetAgency(pb.GetAgencyRequest(agency="e-agency")).agency
    assert list(entry.organizations) == ["o-f", "o-g"]


def test_an_agencys_key_cannot_be_replaced_by_registering_it_again(
    world: World, refuses: Refusal
) -> None:
    with refuses(Reason.ALREADY_EXISTS):
        world.register(replace(world.b, private=fresh_key()), ["o-b"])


def test_an_organization_is_delivered_by_one_agency(world: World, refuses: Refusal) -> None:
    with refuses(Reason.ALREADY_EXISTS):
        world.register(world.agency("g-agency"), ["o-b"])


def test_a_repeated_registration_is_answered_and_a_reused_id_refused(
    world: World, refuses: Refusal
) -> None:
    request = pb.RegisterAgencyRequest(
        request_id=rid(), agency="h-agency", display_name="H", identity_key=bytes(range(32))
    )
    first = world.operator_directory.RegisterAgency(request)
    assert world.operator_directory.RegisterAgency(request) == first
    request.display_name = "Another"
    with refuses(Reason.REQUEST_ID_REUSED):
        world.operator_directory.RegisterAgency(request)


# --- protocols ---


def test_a_protocol_is_carried_to_both_parties_and_to_nobody_else(world: World) -> None:
    signed = world.protocol()
    assert world.publish(signed).digest == signed.digest.hex()
    for agency, there in ((world.a, True), (world.b, True), (world.c, False)):
        listed = agency.directory.ListProtocols(pb.ListProtocolsRequest(page_size=200)).protocols
        assert (signed.protocol_bytes in [p.protocol for p in listed]) is there


def test_either_party_may_publish_it_and_again(world: World) -> None:
    signed = world.protocol()
    first = world.publish(signed, world.b)
    assert world.publish(signed, world.a) == first


def test_a_third_party_cannot_publish_it(world: World, refuses: Refusal) -> None:
    with refuses(Reason.NOT_ALLOWED):
        world.publish(world.protocol(), world.c)


@pytest.mark.parametrize("which", ["signature_a", "signature_b"])
def test_both_signatures_must_be_there(world: World, refuses: Refusal, which: str) -> None:
    signed = world.protocol()
    other = signed.signature_b if which == "signature_a" else signed.signature_a
    with refuses(Reason.SIGNATURE_INVALID):
        world.publish(replace(signed, **{which: other}))


def test_a_party_with_another_key_than_the_registrys_is_refused(
    world: World, refuses: Refusal
) -> None:
    key = fresh_key()
    party = Party(world.b.name, signing.public_bytes(key), "duty desk")
    protocol: SharingProtocol = replace(world.protocol().protocol, b=party)
    signed = SignedProtocol.sign(protocol, world.a.private, key)
    with refuses(Reason.SIGNATURE_INVALID):
        world.publish(signed)


def test_a_party_that_is_not_registered_is_refused(world: World, refuses: Refusal) -> None:
    key = fresh_key()
    party = Party("z-agency", signing.public_bytes(key), "duty desk")
    protocol = replace(world.protocol().protocol, b=party)
    with refuses(Reason.AGENCY_UNKNOWN):
        world.publish(SignedProtocol.sign(protocol, world.a.private, key))


def test_a_protocol_that_is_over_is_refused(world: World, refuses: Refusal) -> None:
    now = world.clock.wall()
    with refuses(Reason.EXPIRY_INVALID):
        world.publish(world.protocol(not_before=now - 10, not_after=now))


def test_the_same_id_with_other_content_is_refused(world: World, refuses: Refusal) -> None:
    signed = world.protocol()
    world.publish(signed)
    with refuses(Reason.ALREADY_EXISTS):
        world.publish(world.protocol(id=signed.protocol.id, retention_days=1))


def test_a_protocol_that_begins_later_covers_nothing_yet(empty: World) -> None:
    world = empty
    world.set_up()
    begins = world.clock.wall() + DAY_S
    later = world.protocol(not_before=begins, purposes=("health",))
    world.publish(later)
    draft = world.draft(("CARD",), purpose="health")
    with pytest.raises(SafehandError) as caught:
        world.create(draft)
    assert caught.value.reason is Reason.PROTOCOL_MISSING
    world.clock.advance(DAY_S)
    world.create(draft)


def test_protocols_are_paged(empty: World) -> None:
    world = empty
    world.set_up()
    digests = {world.publish(world.protocol()).digest for _ in range(4)}
    seen: list[bytes] = []
    token = ""
    while True:
        page = world.b.directory.ListProtocols(
            pb.ListProtocolsRequest(page_size=2, page_token=token)
        )
        assert len(page.protocols) <= 2
        seen += [p.protocol for p in page.protocols]
        token = page.next_page_token
        if not token:
            break
    assert len(seen) == len(set(seen)) == len(digests) + 1


# --- keys ---


def test_a_key_is_served_with_the_receipt_that_came_with_it(world: World) -> None:
    signed = world.key_record(world.b, 0)
    receipt = world.key_receipt(signed)
    world.publish_key(world.b, signed, receipt)
    got = world.a.directory.GetKey(pb.GetKeyRequest(agency="b-agency"))
    assert (got.record, got.signature) == (signed.record_bytes, signed.signature)
    assert got.receipt == receipt


def test_the_newest_key_is_served_and_an_older_one_refused(world: World, refuses: Refusal) -> None:
    signed = {n: world.key_record(world.a, n) for n in (0, 1, 3)}
    receipts = {n: world.key_receipt(signed[n]) for n in signed}
    for number in (0, 3):
        world.publish_key(world.a, signed[number], receipts[number])
    got = world.b.directory.GetKey(pb.GetKeyRequest(agency="a-agency"))
    assert got.record == signed[3].record_bytes
    with refuses(Reason.KEY_SEQUENCE):
        world.publish_key(world.a, signed[1], receipts[1])
    world.publish_key(world.a, signed[3], receipts[3])  # the newest again: nothing to do
    other = world.key_record(world.a, 3, not_after=world.clock.wall() + DAY_S)
    with refuses(Reason.KEY_SEQUENCE):
        world.publish_key(world.a, other, world.key_receipt(other))


def test_an_agency_without_a_key_has_none_to_serve(world: World, refuses: Refusal) -> None:
    with refuses(Reason.KEY_UNKNOWN):
        world.a.directory.GetKey(pb.GetKeyRequest(agency="c-agency"))


def test_nobody_publishes_for_another_agency(world: World, refuses: Refusal) -> None:
    signed = world.key_record(world.b, 9)
    with refuses(Reason.NOT_ALLOWED):
        world.publish_key(world.c, signed, world.key_receipt(signed))


def test_a_record_under_another_key_is_refused(world: World, refuses: Refusal) -> None:
    signed = world.key_record(world.b, 9, private=fresh_key())
    with refuses(Reason.SIGNATURE_INVALID):
        world.publish_key(world.b, signed, world.key_receipt(signed))


def test_a_key_that_is_over_is_refused(world: World, refuses: Refusal) -> None:
    now = world.clock.wall()
    signed = world.key_record(world.b, 9, not_before=now - 10, not_after=now)
    with refuses(Reason.EXPIRY_INVALID):
        world.publish_key(world.b, signed, world.key_receipt(signed))


def test_a_record_without_a_receipt_is_refused(world: World, refuses: Refusal) -> None:
    signed = world.key_record(world.b, 9)
    request = pb.PublishKeyRequest(
        request_id=rid(), record=signed.record_bytes, signature=signed.signature
    )
    with refuses(Reason.MALFORMED):
        world.b.directory.PublishKey(request)
    with refuses(Reason.MALFORMED):
        world.publish_key(world.b, signed, ledger_pb2.Receipt())


Lie = Callable[[World, Any], ledger_pb2.Receipt]

LIES: dict[str, Lie] = {
    "another ledger's key": lambda w, s: w.key_receipt(
        s, signer=NoteSigner("other.example/1", fresh_key())
    ),
    "another key of the same name": lambda w, s: w.key_receipt(
        s, signer=NoteSigner(ORIGIN, fresh_key())
    ),
    "a leaf of another kind": lambda w, s: w.key_receipt(s, kind=Kind.REFER),
    "the tag of another sequence": lambda w, s: w.key_receipt(s, tag=key_tag("b-agency", 8)),
    "the tag of another agency": lambda w, s: w.key_receipt(s, tag=key_tag("c-agency", 9)),
    "the body of another record": lambda w, s: w.key_receipt(s, body={"record": "0" * 64}),
    "the body of another agency": lambda w, s: w.key_receipt(s, body={"agency": "c-agency"}),
    "the body of another sequence": lambda w, s: w.key_receipt(s, body={"sequence": 8}),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_receipt_that_does_not_prove_this_record_is_refused(
    world: World, refuses: Refusal, lie: str
) -> None:
    signed = world.key_record(world.b, 9)
    with refuses(Reason.PROOF_INVALID):
        world.publish_key(world.b, signed, LIES[lie](world, signed))


CHANGES: dict[str, Callable[[ledger_pb2.Receipt], None]] = {
    "index": lambda r: setattr(r, "index", 2),
    "leaf": lambda r: setattr(r, "leaf", r.leaf[:-1] + bytes([r.leaf[-1] ^ 1])),
    "salt": lambda r: setattr(r, "salt", bytes(32)),
    "proof's index": lambda r: setattr(r, "proof", r.proof.replace("index 1", "index 0")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_receipt_is_refused(world: World, refuses: Refusal, change: str) -> None:
    signed = world.key_record(world.b, 9)
    receipt = world.key_receipt(signed)
    CHANGES[change](receipt)
    with refuses(Reason.PROOF_INVALID):
        world.publish_key(world.b, signed, receipt)


def test_the_receipt_of_another_record_does_not_carry_this_one(
    world: World, refuses: Refusal
) -> None:
    signed, other = world.key_record(world.b, 9), world.key_record(world.b, 10)
    with refuses(Reason.PROOF_INVALID):
        world.publish_key(world.b, signed, world.key_receipt(other))


def test_a_substituted_identity_key_is_carried_which_is_why_clients_pin_their_own(
    empty: World,
) -> None:
    """What the operator can do here, and what therefore every client must check itself."""
    world = empty
    impostor = fresh_key()
    lied = replace(world.b, private=impostor)
    world.register(world.a, [])
    world.register(lied, [])
    signed = world.key_record(world.b, 0, private=impostor)
    world.publish_key(world.b, signed, world.key_receipt(signed))
    got = world.a.directory.GetKey(pb.GetKeyRequest(agency="b-agency"))
    assert got.record == signed.record_bytes
    with pytest.raises(SafehandError) as caught:  # the check of a client that pinned b's real key
        signed.verify(world.b.public)
    assert caught.value.reason is Reason.SIGNATURE_INVALID
