"""Several identity keys for an agency in the registry: the next one, an overlap, an end at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand.consent.v1 import keys_pb2
from safehand.referral.v1 import directory_pb2 as pb
from safehand_core.reasons import Reason
from safehand_formats import signing
from safehand_formats.sharing_protocol import Party, SignedProtocol
from safehand_formats.succession import OVERLAP_MAX_S, SignedSuccession, Succession
from safehand_referral_service.identity_keys import OVERLAP_S

from tests.referral.conftest import Refusal
from tests.referral.making import Agency, rid
from tests.referral.world import World


def fresh(agency: Agency) -> Agency:
    """The same agency with another identity key."""
    return replace(agency, private=Ed25519PrivateKey.generate())


def succession(world: World, old: Agency, new: Agency, **changes: Any) -> SignedSuccession:
    now = world.clock.wall()
    values: dict[str, Any] = {
        "agency": old.name,
        "old": old.public,
        "new": new.public,
        "not_before": now,
        "old_until": now + OVERLAP_S,
    }
    return SignedSuccession.sign(Succession(**{**values, **changes}), old.private, new.private)


def request(
    old: Agency, new: Agency, signed: SignedSuccession | None = None, **changes: Any
) -> pb.RotateAgencyKeyRequest:
    made = pb.RotateAgencyKeyRequest(
        **{
            "request_id": rid(),
            "agency": old.name,
            "old_fingerprint": signing.identity_key_id(old.public),
            "identity_key": new.public,
            **changes,
        }
    )
    if signed is not None:
        made.succession.CopyFrom(
            keys_pb2.SignedSuccession(
                succession=signed.succession_bytes,
                signature_old=signed.signature_old,
                signature_new=signed.signature_new,
            )
        )
    return made


def protocol(world: World, b: Agency) -> SignedProtocol:
    """Between a and ``b``, under the keys that they have here."""
    base = world.protocol().protocol
    made = replace(base, b=Party(b.name, b.public, "duty desk"))
    return SignedProtocol.sign(made, world.a.private, b.private)


def revoke(world: World, agency: Agency, key: bytes | None = None) -> pb.Agency:
    found: pb.Agency = world.operator_directory.RevokeAgencyKey(
        pb.RevokeAgencyKeyRequest(
            request_id=rid(),
            agency=agency.name,
            fingerprint=signing.identity_key_id(key or agency.public),
        )
    ).agency
    return found


@pytest.fixture
def old(world: World, request: pytest.FixtureRequest) -> Agency:
    """An agency of this test alone, listed."""
    made = world.agency(f"t{abs(hash(request.node.name)) % 10**9}-agency")
    world.register(made, [])
    return made


def test_an_agency_lists_its_next_key_by_the_old_ones_signature(world: World, old: Agency) -> None:
    new = fresh(old)
    entry = old.directory.RotateAgencyKey(request(old, new, succession(world, old, new))).agency
    assert entry.identity_key == new.public
    assert [key.identity_key for key in entry.identity_keys] == [new.public, old.public]
    assert entry.identity_keys[1].retired_at.seconds == world.clock.wall() + OVERLAP_S
    # Said again, by whoever did not hear the answer.
    again = old.directory.RotateAgencyKey(request(old, new, succession(world, old, new))).agency
    assert again == entry
    world.publish(protocol(world, new), new)
    world.publish(protocol(world, old), old)
    for number, key in enumerate((old, new)):
        signed = world.key_record(key, number)
        world.publish_key(key, signed, world.key_receipt(signed))


def test_a_retired_key_publishes_nothing_more(world: World, old: Agency, refuses: Refusal) -> None:
    new = fresh(old)
    old.directory.RotateAgencyKey(request(old, new, succession(world, old, new)))
    world.clock.advance(OVERLAP_S)
    signed = world.key_record(old, 0)
    with refuses(Reason.SIGNATURE_INVALID):
        world.publish_key(old, signed, world.key_receipt(signed))
    with refuses(Reason.SIGNATURE_INVALID):
        world.publish(protocol(world, old), old)
    world.publish(protocol(world, new), new)


def test_who_may_list_a_next_key(world: World, old: Agency, refuses: Refusal) -> None:
    new, thief = fresh(old), fresh(old)
    good = succession(world, old, new)
    with refuses(Reason.NOT_ALLOWED):
        old.directory.RotateAgencyKey(request(old, new))
    with refuses(Reason.NOT_ALLOWED):
        world.a.directory.RotateAgencyKey(request(old, new, good))
    for spoilt in (
        succession(world, thief, new),
        succession(world, old, thief),
        SignedSuccession(good.succession_bytes, good.signature_new, good.signature_new),
        SignedSuccession(good.succession_bytes, good.signature_old, good.signature_old),
        succession(world, replace(old, name="a-agency"), new),
    ):
        with refuses(Reason.SIGNATURE_INVALID):
            old.directory.RotateAgencyKey(request(old, new, spoilt))
    with refuses(Reason.SIGNATURE_INVALID):
        old.directory.RotateAgencyKey(request(old, new, good, old_fingerprint="0" * 64))
    with refuses(Reason.AGENCY_UNKNOWN):
        world.operator_directory.RotateAgencyKey(request(old, new, agency="nobody-agency"))


def test_a_key_is_one_agencys_for_ever(world: World, old: Agency, refuses: Refusal) -> None:
    with refuses(Reason.ALREADY_EXISTS):
        world.operator_directory.RotateAgencyKey(request(old, world.a))
    with refuses(Reason.ALREADY_EXISTS):
        world.operator_directory.RotateAgencyKey(request(old, old))
    with refuses(Reason.MALFORMED):
        world.operator_directory.RotateAgencyKey(request(old, old, identity_key=bytes(32)))
    with refuses(Reason.ALREADY_EXISTS):
        world.register(replace(world.agency("thief-agency"), private=old.private), [])


def test_an_operator_vouches_for_an_agency_that_lost_its_key(
    world: World, old: Agency, refuses: Refusal
) -> None:
    new, long = fresh(old), request(old, fresh(old))
    long.overlap.seconds = OVERLAP_MAX_S + 1
    with refuses(Reason.MALFORMED):
        world.operator_directory.RotateAgencyKey(long)
    wanted = request(old, new)
    wanted.overlap.seconds = 0
    entry = world.operator_directory.RotateAgencyKey(wanted).agency
    assert entry.identity_key == new.public
    with refuses(Reason.SIGNATURE_INVALID):
        world.publish(protocol(world, old), old)


def test_of_three_keys_the_oldest_gains_no_time(world: World, old: Agency) -> None:
    first, second = fresh(old), fresh(old)
    short = request(old, first)
    short.overlap.seconds = 100
    world.operator_directory.RotateAgencyKey(short)
    entry = world.operator_directory.RotateAgencyKey(request(first, second)).agency
    ends = [key.retired_at.seconds for key in entry.identity_keys]
    now = world.clock.wall()
    assert ends == [0, now + OVERLAP_S, now + 100]


def test_a_revoked_key_is_refused_and_its_protocols_are_gone(
    world: World, old: Agency, refuses: Refusal
) -> None:
    new = fresh(old)
    world.publish(protocol(world, old), old)
    old.directory.RotateAgencyKey(request(old, new, succession(world, old, new)))
    world.publish(protocol(world, new), new)
    listed = new.directory.ListProtocols(pb.ListProtocolsRequest()).protocols
    assert len(listed) == 2
    entry = revoke(world, new)
    assert [key.HasField("revoked_at") for key in entry.identity_keys] == [True, False]
    assert revoke(world, new) == entry
    # What came before it too: nobody knows any more who goes on in whose name.
    assert not new.directory.ListProtocols(pb.ListProtocolsRequest()).protocols
    signed = world.key_record(new, 0)
    with refuses(Reason.SIGNATURE_INVALID):
        world.publish_key(new, signed, world.key_receipt(signed))
    with refuses(Reason.SIGNATURE_INVALID):
        world.publish(protocol(world, new), new)
    with refuses(Reason.SIGNATURE_INVALID):
        after = fresh(old)
        new.directory.RotateAgencyKey(request(new, after, succession(world, new, after)))
    with refuses(Reason.KEY_UNKNOWN):
        revoke(world, new, bytes(32))
    with refuses(Reason.AGENCY_UNKNOWN):
        revoke(world, replace(new, name="nobody-agency"))


def test_a_referral_and_an_answer_count_by_the_keys_of_their_day(
    empty: World,
) -> None:
    """Consent took them under those: an interrupted send ends after the overlap as well."""
    world = empty
    world.set_up()
    before, said_before = world.draft(), world.create()
    a, b = fresh(world.a), fresh(world.b)
    for old, new in ((world.a, a), (world.b, b)):
        old.directory.RotateAgencyKey(request(old, new, succession(world, old, new)))
    answer = world.answer_request(said_before, "ACCEPT")
    world.clock.advance(OVERLAP_S)
    world.create(before)
    world.b.referral.AnswerReferral(answer)
    late = world.draft()
    for refused in (
        lambda: world.create(late),
        lambda: world.answer(before, "ACCEPT"),
    ):
        with pytest.raises(Exception, match="SIGNATURE_INVALID"):
            refused()
    world.create(world.draft(private=a.private))
    world.answer(before, "ACCEPT", private=b.private)
    # Under a stolen key nothing counts, whatever day it names.
    stolen = world.draft(private=world.a.private, created=world.clock.wall() - OVERLAP_S - 1)
    revoke(world, world.a)
    with pytest.raises(Exception, match="SIGNATURE_INVALID"):
        world.create(stolen)
