"""Lies of a referral service, of a certificate authority, and about what is sealed.

Each is refused by the side that must refuse it, over the whole running system, and leaves no
entry: an agency is convicted by what it signed, never by what somebody says about it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand.consent.v1 import consent_pb2, ledger_pb2
from safehand.referral.v1 import directory_pb2, referral_pb2
from safehand_cli.story import PURPOSE, SERVICE, TEST_FORM
from safehand_client import AgencyClient, Fetched, Party, agreement, intake
from safehand_core.entropy import SystemEntropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import sealing, signing, wraps
from safehand_formats.keyrecord import KeyRecord, SignedKeyRecord
from safehand_formats.kinds import Kind, key_tag
from safehand_formats.manifest import CONTEXT as MANIFEST_CONTEXT
from safehand_formats.manifest import Manifest, SignedManifest
from safehand_formats.sharing_protocol import SharingProtocol, sign_as_party
from safehand_formats.signing import public_bytes

from tests.flow import liars
from tests.flow.liars import Ask, Fork, Lie, Proxy
from tests.harness.world import WORKER, World

ATTACKER = Ed25519PrivateKey.generate()
"""The identity key that a lying referral service made for agency B."""


def size(world: World) -> int:
    """How many entries the ledger has."""
    return world.fsck().size


def refuses(act: Any) -> Reason:
    """The reason why ``act`` was refused."""
    with pytest.raises(SafehandError) as caught:
        act()
    return caught.value.reason


# --- a referral service that substitutes what it serves ------------------------------------------


@dataclass
class Sender:
    """Agency A, with a liar where the referral service should be."""

    world: World
    liar: Proxy
    a: AgencyClient
    grant: str

    def send(self) -> Any:
        return self.a.send(
            grant=self.grant,
            recipient="agency-b",
            purpose=PURPOSE,
            service=SERVICE,
            form=TEST_FORM,
            categories=("CARD", "NAME"),
        )

    def refused(self, lie: Lie) -> Reason:
        """Why the client refused the key: before anything was sealed, logged or sent."""
        self.liar.lies["GetKey"] = lie
        before = size(self.world)
        reason = refuses(self.send)
        assert size(self.world) == before
        assert "CreateReferral" not in self.liar.calls
        return reason


@pytest.fixture
def sender(world: World, tmp_path: Path) -> Iterator[Sender]:
    party = liars.copy_party(world, "agency-a", tmp_path)
    with (
        liars.lying(world, "referral", "agency-a", tmp_path / "tls") as liar,
        liars.client(world, party, referral=liar.address) as a,
    ):
        yield Sender(world, liar, a, world.grant(world.person()))


def substitute(world: World) -> directory_pb2.GetKeyResponse:
    """A key of the liar's own, in a record under its own identity key, in a ledger that its
    friend who holds the log key made for it."""
    _, public = sealing.generate_recipient_key(SystemEntropy())
    record = KeyRecord("agency-b", 0, public, 1, 2**40)
    signed = SignedKeyRecord.sign(record, ATTACKER)
    return directory_pb2.GetKeyResponse(
        record=signed.record_bytes,
        signature=signed.signature,
        receipt=logged(world, signed, key_tag("agency-b", 0)),
    )


def logged(world: World, signed: SignedKeyRecord, tag: bytes) -> ledger_pb2.Receipt:
    fork = Fork(liars.real_leaves(world), liars.log_signer(world))
    index = fork.append(
        Kind.KEY,
        {
            "kind": "KEY",
            "agency": signed.record.agency,
            "sequence": signed.record.sequence,
            "record": signed.digest.hex(),
            "at": 1,
        },
        tag,
    )
    return fork.receipt(index)


def test_passed_on_unchanged_it_is_sent(sender: Sender) -> None:
    assert sender.send().refer_index > 0


def test_a_substituted_key_is_refused_also_with_a_perfect_receipt(sender: Sender) -> None:
    answer = substitute(sender.world)
    sender.liar.lies["GetAgency"] = lambda request, ask: directory_pb2.GetAgencyResponse(
        agency=directory_pb2.Agency(agency="agency-b", identity_key=public_bytes(ATTACKER))
    )
    assert sender.refused(lambda request, ask: answer) is Reason.SIGNATURE_INVALID


def test_the_key_of_another_agency_is_refused(sender: Sender) -> None:
    def lie(request: directory_pb2.GetKeyRequest, ask: Ask) -> Any:
        return ask(directory_pb2.GetKeyRequest(agency="agency-a"))

    assert sender.refused(lie) is Reason.SIGNATURE_INVALID


def test_a_record_with_the_receipt_of_another_leaf(sender: Sender) -> None:
    def lie(request: directory_pb2.GetKeyRequest, ask: Ask) -> Any:
        answer = ask(request)
        answer.receipt.CopyFrom(ask(directory_pb2.GetKeyRequest(agency="agency-a")).receipt)
        return answer

    assert sender.refused(lie) is Reason.PROOF_INVALID


def test_a_record_without_a_receipt(sender: Sender) -> None:
    def lie(request: directory_pb2.GetKeyRequest, ask: Ask) -> Any:
        answer = ask(request)
        answer.ClearField("receipt")
        return answer

    assert sender.refused(lie) is Reason.PROOF_INVALID


def test_a_record_logged_where_its_agency_does_not_look(sender: Sender) -> None:
    """Under another tag the agency could not have noticed a key issued in its name."""

    def lie(request: directory_pb2.GetKeyRequest, ask: Ask) -> Any:
        answer = ask(request)
        signed = SignedKeyRecord(answer.record, answer.signature)
        answer.receipt.CopyFrom(logged(sender.world, signed, bytes(32)))
        return answer

    assert sender.refused(lie) is Reason.PROOF_INVALID


def test_a_changed_record(sender: Sender) -> None:
    def lie(request: directory_pb2.GetKeyRequest, ask: Ask) -> Any:
        answer = ask(request)
        signed = SignedKeyRecord(answer.record, answer.signature).record
        later = KeyRecord(signed.agency, signed.sequence, signed.public, signed.not_before, 2**40)
        answer.record = later.encode()
        return answer

    assert sender.refused(lie) is Reason.SIGNATURE_INVALID


def test_the_operator_cannot_register_a_second_key(world: World) -> None:
    """Its own registry refuses too; the client would not have believed it anyway."""
    reason = refuses(
        lambda: world.referral_operator.register("agency-b", public_bytes(ATTACKER), "Lantern")
    )
    assert reason is Reason.ALREADY_EXISTS


def test_a_new_peer_is_known_by_what_a_person_typed(sender: Sender) -> None:
    sender.liar.lies["GetAgency"] = lambda request, ask: directory_pb2.GetAgencyResponse(
        agency=directory_pb2.Agency(agency="agency-b", identity_key=public_bytes(ATTACKER))
    )
    reason = refuses(
        lambda: agreement.propose(
            sender.a,
            peer="agency-b",
            peer_fingerprint=sender.world.agency_b.fingerprint,
            purposes=(PURPOSE,),
            categories=("CARD",),
            focal_point="TEST desk",
            peer_focal_point="TEST desk",
        )
    )
    assert reason is Reason.SIGNATURE_INVALID
    assert sender.a.trust.peer("agency-b") == sender.world.agency_b.identity_public


def test_a_protocol_with_a_substituted_party_is_not_kept(sender: Sender) -> None:
    """Countersigned by the liar in agency B's name; ours is a signature that we really made."""

    def lie(request: Any, ask: Ask) -> Any:
        real = SharingProtocol.decode(ask(request).protocols[0].protocol)
        forged = SharingProtocol(
            id=real.id,
            a=real.a,
            b=type(real.b)("agency-b", public_bytes(ATTACKER), "TEST desk"),
            purposes=real.purposes,
            categories=real.categories,
            retention_days=real.retention_days,
            not_before=real.not_before,
            not_after=real.not_after,
            ledger=real.ledger,
        ).encode()
        return directory_pb2.ListProtocolsResponse(
            protocols=[
                directory_pb2.SignedProtocol(
                    protocol=forged,
                    signature_a=sign_as_party(forged, sender.a.identity),
                    signature_b=sign_as_party(forged, ATTACKER),
                )
            ]
        )

    sender.liar.lies["ListProtocols"] = lie
    assert refuses(lambda: agreement.collect(sender.a)) is Reason.SIGNATURE_INVALID
    kept = sender.a.trust.protocol_with("agency-b")
    assert kept.party("agency-b") == sender.world.agency_b.identity_public


# --- a referral service that lies to the recipient -----------------------------------------------


def _other_signature(answer: referral_pb2.GetReferralResponse) -> None:
    answer.signature = signing.sign(ATTACKER, MANIFEST_CONTEXT, answer.manifest)


def _relabelled(answer: referral_pb2.GetReferralResponse) -> None:
    text = answer.manifest.decode()
    answer.manifest = text.replace('"category":"NAME"', '"category":"HEALTH"').encode()


def _swapped(answer: referral_pb2.GetReferralResponse) -> None:
    answer.parts[0].ciphertext, answer.parts[1].ciphertext = (
        answer.parts[1].ciphertext,
        answer.parts[0].ciphertext,
    )


def _dropped(answer: referral_pb2.GetReferralResponse) -> None:
    del answer.parts[1:]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_other_signature, Reason.SIGNATURE_INVALID),
        (_relabelled, Reason.SIGNATURE_INVALID),
        (_swapped, Reason.MANIFEST_MISMATCH),
        (_dropped, Reason.MANIFEST_MISMATCH),
    ],
)
def test_a_referral_that_is_not_what_was_sent(
    world: World, tmp_path: Path, change: Any, reason: Reason
) -> None:
    sent = world.send(world.grant(world.person()))

    def lie(request: Any, ask: Ask) -> Any:
        answer = ask(request)
        change(answer)
        return answer

    party = liars.copy_party(world, "agency-b", tmp_path)
    with (
        liars.lying(world, "referral", "agency-b", tmp_path / "tls") as liar,
        liars.client(world, party, referral=liar.address) as b,
    ):
        liar.lies["GetReferral"] = lie
        assert refuses(lambda: b.fetch(sent.referral)) is reason


def test_another_referral_in_its_place(world: World, tmp_path: Path) -> None:
    first, second = (world.send(world.grant(world.person())) for _ in range(2))
    party = liars.copy_party(world, "agency-b", tmp_path)
    with (
        liars.lying(world, "referral", "agency-b", tmp_path / "tls") as liar,
        liars.client(world, party, referral=liar.address) as b,
    ):
        liar.lies["GetReferral"] = lambda request, ask: ask(
            referral_pb2.GetReferralRequest(referral=second.referral, with_parts=True)
        )
        assert refuses(lambda: b.fetch(first.referral)) is Reason.MANIFEST_MISMATCH


# --- a second certificate from the operator's authority ------------------------------------------


def impostor(world: World, name: str, folder: Path) -> Party:
    """``name`` to every server, with its trust store even, and without its signing key."""
    party = liars.copy_party(world, name, folder)
    liars.second_certificate(world, party.root / "tls", f"agency/{name}")
    (party.root / "keys" / "identity.pem").unlink()
    return party


def test_a_second_certificate_of_the_recipient_opens_nothing(world: World, tmp_path: Path) -> None:
    person = world.person()
    grant = world.grant(person)
    referral = world.accepted(grant).referral
    before = size(world)
    with liars.client(world, impostor(world, "agency-b", tmp_path)) as thief:
        fetched = thief.fetch(referral)
        for category in ("CARD", "NAME"):
            reason = refuses(lambda c=category: thief.open(fetched, c, worker_ref=WORKER))
            assert reason is Reason.SIGNATURE_INVALID
        assert refuses(lambda: thief.decline(fetched, "no_capacity")) is Reason.SIGNATURE_INVALID
    assert size(world) == before
    world.agency_b.open(fetched, "NAME", worker_ref=WORKER)
    with world.session(person) as her:
        assert {look.worker_ref for look in her.looks(grant) if look.refused} == {"unverified"}


def test_a_renewed_certificate_with_the_signing_key_goes_on(world: World, tmp_path: Path) -> None:
    fetched = world.accepted(world.grant(world.person()))
    party = liars.copy_party(world, "agency-b", tmp_path)
    liars.second_certificate(world, party.root / "tls", "agency/agency-b")
    with liars.client(world, party) as renewed:
        assert renewed.open(fetched, "NAME", worker_ref=WORKER).form.preferred_name


def test_a_second_certificate_of_the_sender_authorises_nothing(
    world: World, tmp_path: Path
) -> None:
    grant = world.grant(world.person())
    before = size(world)
    with liars.client(world, impostor(world, "agency-a", tmp_path)) as thief:
        reason = refuses(
            lambda: thief.send(
                grant=grant,
                recipient="agency-b",
                purpose=PURPOSE,
                service=SERVICE,
                form=TEST_FORM,
                categories=("CARD",),
            )
        )
    assert reason in (Reason.SIGNATURE_INVALID, Reason.MANIFEST_MISMATCH)
    assert size(world) == before


def test_a_token_over_another_certificate_of_its_sender(sender: Sender, tmp_path: Path) -> None:
    """Bound to the certificate over which it was asked for (``cnf``), not to the agency's name."""
    caught: list[referral_pb2.CreateReferralRequest] = []

    def catch(request: referral_pb2.CreateReferralRequest, ask: Ask) -> Any:
        caught.append(request)
        raise SafehandError(Reason.INTERNAL)

    sender.liar.lies["CreateReferral"] = catch
    assert refuses(sender.send) is Reason.INTERNAL
    (request,) = caught
    for number, name in enumerate(("agency-a", "agency-b")):
        second = liars.copy_party(sender.world, name, tmp_path / str(number))
        liars.second_certificate(sender.world, second.root / "tls", f"agency/{name}")
        with liars.client(sender.world, second) as other:
            reason = refuses(lambda o=other: o.stubs.referral.CreateReferral(request, timeout=5))
        assert reason is (Reason.TOKEN_INVALID if name == "agency-a" else Reason.NOT_ALLOWED)
    # Over the certificate that asked, the very same bytes are taken.
    answer = sender.world.agency_a.stubs.referral.CreateReferral(request, timeout=5)
    assert answer.referral.state == referral_pb2.REFERRAL_STATE_SENT


# --- wraps and labels ----------------------------------------------------------------------------


def release(b: AgencyClient, fetched: Fetched, category: str, outer_wrap: bytes) -> Any:
    """Ask for the key with a wrap of our choice, everything else being right."""
    look = b.prepare_look(fetched, category, worker_ref=WORKER)
    return b.stubs.consent.ReleaseKey(
        consent_pb2.ReleaseKeyRequest(
            request=look.signed.request_bytes,
            signature=look.signed.signature,
            outer_wrap=outer_wrap,
        ),
        timeout=10,
    )


@dataclass
class Wraps:
    """Two accepted referrals of one grant, and one of somebody else's grant."""

    world: World
    one: Fetched
    two: Fetched
    hers: Fetched

    @staticmethod
    def of(fetched: Fetched, category: str) -> bytes:
        return fetched.parts[fetched.part_of(category)].outer_wrap


@pytest.fixture
def sealed(world: World) -> Wraps:
    grant = world.grant(world.person())
    one = world.accepted(grant)
    # CARD and NAME alone: part 1 is NAME here, and CONTACT there.
    two = world.agency_b.fetch(world.send(grant, categories=("CARD", "NAME")).referral)
    world.agency_b.accept(two)
    return Wraps(world, one, two, world.accepted(world.grant(world.person())))


def test_wraps_open_in_their_own_place_only(sealed: Wraps) -> None:
    world, b, of = sealed.world, sealed.world.agency_b, Wraps.of
    name = world.agency_a.fingerprint.encode()[:32]
    moved = {
        "another part": of(sealed.one, "CONTACT"),
        "the card": of(sealed.one, "CARD"),
        "another referral": of(sealed.two, "NAME"),
        "another grant": of(sealed.hers, "NAME"),
        "self-made": wraps.outer_wrap(
            name, sealed.one.signed.digest, 2, bytes(1168), SystemEntropy()
        ),
        "noise": SystemEntropy().bytes(1196),
    }
    before = size(world)
    for what, wrap in moved.items():
        reason = refuses(lambda w=wrap: release(b, sealed.one, "NAME", w))
        assert reason is Reason.WRAP_INVALID, what
    same_number = of(sealed.one, "CONTACT")
    assert sealed.one.part_of("CONTACT") == sealed.two.part_of("NAME")
    reason = refuses(lambda: release(b, sealed.two, "NAME", same_number))
    assert reason is Reason.WRAP_INVALID, "another category at the same place"
    assert size(world) == before
    assert release(b, sealed.one, "NAME", of(sealed.one, "NAME")).inner_wrap


def test_what_was_sent_to_another_recipient(sealed: Wraps) -> None:
    """Agency A is an end of the referral, has a certificate and a signing key, and no right."""
    world, fetched = sealed.world, sealed.one
    before = size(world)
    wrap = Wraps.of(fetched, "NAME")
    assert refuses(lambda: release(world.agency_a, fetched, "NAME", wrap)) is Reason.NOT_ALLOWED
    assert size(world) == before


def test_a_wrap_moved_to_another_recipient(world: World, tmp_path: Path) -> None:
    """A third agency with a referral of its own, under a grant of the same person."""
    person = world.person()
    to_b = world.accepted(world.grant(person))
    c = third_agency(world, tmp_path)
    try:
        with world.session(person) as her:
            grant = her.grant(
                releasing="agency-a", recipient=c.agency, purpose="health", categories=("NAME",)
            ).grant.grant
        sent = world.agency_a.send(
            grant=grant,
            recipient=c.agency,
            purpose="health",
            service="test-svc-clinic",
            form=TEST_FORM,
            categories=("NAME",),
        )
        to_c = c.fetch(sent.referral)
        c.accept(to_c)
        before = size(world)
        wrap = Wraps.of(to_b, "NAME")
        assert refuses(lambda: release(c, to_c, "NAME", wrap)) is Reason.WRAP_INVALID
        assert refuses(lambda: release(c, to_b, "NAME", wrap)) is Reason.NOT_ALLOWED
        assert refuses(lambda: c.fetch(to_b.referral)) is Reason.NOT_ALLOWED
        mine = Wraps.of(to_c, "NAME")
        b = world.agency_b
        assert refuses(lambda: release(b, to_b, "NAME", mine)) is Reason.WRAP_INVALID
        assert size(world) == before
        assert c.open(to_c, "NAME", worker_ref=WORKER).form.preferred_name
    finally:
        c.close()


def third_agency(world: World, folder: Path) -> AgencyClient:
    """Agency C: enrolled, registered, in a protocol with A, with a recipient key."""
    root = folder / "agency-c"
    liars.second_certificate(world, root / "tls", "agency/agency-c")
    for name in ("trust", "keys", "state"):
        (root / name).mkdir(mode=0o700)
    (root / "trust" / "ledger.vkey").write_text(world.vkey)
    c = AgencyClient(Party.open(root), addresses=world.system.addresses)
    world.consent_operator.enrol(c.agency, c.identity_public, "Willow Clinic (TEST)")
    world.referral_operator.register(
        c.agency, c.identity_public, "Willow Clinic (TEST)", ("test-org-willow",)
    )
    world.referral_operator.set_service_needs("test-svc-clinic", ("NAME",))
    proposal = agreement.propose(
        world.agency_a,
        peer=c.agency,
        peer_fingerprint=c.fingerprint,
        purposes=("health",),
        categories=("CARD", "NAME"),
        focal_point="TEST desk",
        peer_focal_point="TEST desk",
    )
    agreement.countersign(c, proposal, peer_fingerprint=world.agency_a.fingerprint)
    agreement.collect(world.agency_a)
    c.publish_key()
    return c


def test_a_relabelled_part_is_no_part_of_what_was_authorised(sealed: Wraps) -> None:
    """The recipient asks under a manifest with another label, signed by whom it likes."""
    fetched = sealed.one
    parts = list(fetched.manifest.parts)
    label = parts[2].label
    relabelled = type(label)(label.id, "HEALTH", label.stage, label.schema, label.bucket)
    parts[2] = type(parts[2])(relabelled, parts[2].ciphertext, parts[2].wrap)
    manifest = Manifest(fetched.manifest.header, tuple(parts))
    forged = Fetched(
        fetched.referral,
        fetched.state,
        SignedManifest(
            manifest.encode(),
            signing.sign(sealed.world.agency_b.identity, MANIFEST_CONTEXT, manifest.encode()),
        ),
        manifest,
        fetched.parts,
    )
    wrap = Wraps.of(fetched, "NAME")
    reason = refuses(lambda: release(sealed.world.agency_b, forged, "HEALTH", wrap))
    assert reason is Reason.NOT_ALLOWED


def test_a_sender_that_lies_about_a_label_is_found_out_at_opening(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Her name sent as the anonymous card: refused, and the sender's signature is on it."""
    grant = world.grant(world.person())
    honest = intake.project
    monkeypatch.setattr(intake, "project", lambda form, _: honest(form, "NAME"))
    sent = world.send(grant, categories=("CARD",))
    monkeypatch.undo()
    fetched = world.agency_b.fetch(sent.referral)
    reason = refuses(lambda: world.agency_b.open(fetched, "CARD", worker_ref=WORKER))
    assert reason is Reason.MANIFEST_MISMATCH
    fetched.signed.verify(world.agency_a.identity_public)


def test_an_identity_part_before_acceptance(world: World) -> None:
    sent = world.send(world.grant(world.person()))
    b = world.agency_b
    fetched = b.fetch(sent.referral)
    before = size(world)
    assert refuses(lambda: b.open(fetched, "NAME", worker_ref=WORKER)) is Reason.NOT_ACCEPTED
    assert size(world) == before
    assert b.open(fetched, "CARD", worker_ref=WORKER).form.area
    b.accept(fetched)
    assert b.open(fetched, "NAME", worker_ref=WORKER).form.preferred_name


@pytest.mark.parametrize("ending", ["declined", "withdrawn"])
def test_a_declined_or_withdrawn_referral(world: World, ending: str) -> None:
    fetched = world.accepted(world.grant(world.person()))
    if ending == "declined":
        world.agency_b.decline(fetched, "no_capacity")
    else:
        world.agency_a.withdraw(fetched.referral, "survivor_declined")
    before = size(world)
    for category in ("CARD", "NAME"):
        reason = refuses(lambda c=category: world.agency_b.open(fetched, c, worker_ref=WORKER))
        assert reason is Reason.REFERRAL_CLOSED
    assert refuses(lambda: world.agency_b.fetch(fetched.referral)) is Reason.REFERRAL_CLOSED
    assert size(world) == before
