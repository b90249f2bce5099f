"""Real bugs of consent and referral systems, one class after another, tried on this one.

docs/threat-model.md lists them with these tests and with others that would catch them too.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from safehand.consent.v1 import consent_pb2 as pb
from safehand.consent.v1 import consent_pb2_grpc, ledger_pb2, narrow_pb2
from safehand.events.v1 import events_pb2
from safehand.intake.v1.intake_pb2 import IntakeForm
from safehand_cli.story import TEST_FORM
from safehand_client import intake
from safehand_consent_service.decision import Name
from safehand_consent_service.tables import subject
from safehand_core import failpoints
from safehand_core.reasons import Reason
from safehand_core.words import CATEGORIES
from safehand_formats import merkle
from safehand_formats.bodies import decode_body
from safehand_formats.kinds import Kind
from safehand_formats.leaf import Leaf
from safehand_formats.token import DETAIL_TYPE
from safehand_store.engine import begin_read
from sqlalchemy import select

from tests.bugs_of_others import schema, two_agencies
from tests.bugs_of_others.identifiers import Heard, of_text, pieces
from tests.consent.release.world import (
    DAY_S,
    DEFAULT_CATEGORIES,
    NOTICE,
    A,
    B,
    C,
    World,
    new_request_id,
    refused,
)
from tests.keys.both import Both
from tests.referral.world import World as Referrals

SERVICES = {
    f"safehand.{name}Service"
    for name in (
        "consent.v1.Consent",
        "consent.v1.Key",
        "consent.v1.Ledger",
        "consent.v1.Portal",
        "notify.v1.Notify",
        "referral.v1.Directory",
        "referral.v1.Referral",
    )
}
OVERRIDES = (
    "overrid", "bypass", "force", "emergency", "break_glass", "skip", "ignore", "sudo", "waive",
    "exempt", "privileg", "escalat", "unchecked", "unsafe", "debug", "dry_run", "admin", "without",
    "disable", "trusted", "on_behalf",
)  # fmt: skip
"""Stems of words for what would set a rule aside."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path).start().set_up()
    yield made
    made.stop()


def test_class_1_a_decision_never_slips_to_the_datum_beside_it(world: World) -> None:
    """Class 1, decisions shifted against the data: a list of decisions was walked beside a list of
    records, one of which had none."""
    sent = world.send(world.grant(world.session()))
    world.accept(sent)
    for asked, given in itertools.product(DEFAULT_CATEGORIES, repeat=2):
        wrap = sent.outer_wraps[sent.sealed.part(given)]
        if asked != given:
            with refused(Reason.WRAP_INVALID):
                world.release(sent, asked, outer_wrap=wrap)
            continue
        opened = world.release(sent, asked, outer_wrap=wrap)
        assert world.open(sent, asked, opened.inner_wrap) == f"content of {asked}".encode()


def test_class_2_what_is_kept_is_what_was_chosen_and_not_its_complement() -> None:
    """Class 2, an inverted filter: one for sensitive labels kept the labelled record and dropped
    the others."""
    said = [field.name for field, _ in TEST_FORM.ListFields()]
    for size in range(4):
        for chosen in itertools.combinations(CATEGORIES, size):
            kept = {field.name for field, _ in intake.narrowed(TEST_FORM, chosen).ListFields()}
            assert kept == {name for name in said if intake.category_of(name) in chosen}
    everything = intake.narrowed(TEST_FORM, tuple(CATEGORIES))
    assert everything == TEST_FORM
    assert intake.narrowed(TEST_FORM, ()) == IntakeForm()


def test_class_3_no_caller_can_say_that_consent_does_not_matter() -> None:
    """Class 3, an override that the caller supplies: an interface took ``consent_overridden`` from
    anyone who could refer."""
    words = schema.words()
    found = {place for place, word in words if any(stem in word for stem in OVERRIDES)}
    # Rows of a service directory, and nothing about any person.
    assert found == {"safehand.referral.v1.ImportPackageRequest.skip_bad"}
    # And it did look everywhere: in what is nested, in enums, and in what is signed.
    assert schema.services() == SERVICES
    assert {
        "safehand.consent.v1.KeyService.RotateTokenKey",
        "safehand.consent.v1.LedgerService.ListLeaves",
        "safehand.consent.v1.Given.categories",
        "safehand.referral.v1.SealedPart.outer_wrap",
        "safehand.consent.v1.StopMode.STOP_MODE_INVALIDATE",
        "ReleaseRequest.worker_ref",
        "RecordedTerms.purpose",
    } <= {place for place, _ in words}


def test_class_4_nobody_moves_a_state_that_is_not_theirs_or_not_there(world: World) -> None:
    """Class 4, an unguarded transition: whoever knew an id could revoke, in whatever state."""
    session, stranger = world.session(), world.session()
    grant, ended = world.grant(session), world.grant(session)
    sent = world.send(grant)
    world.decline(sent)
    world.stop_grant(session, ended, pb.STOP_MODE_DESTROY_NOW)
    narrowing = narrow_pb2.NarrowGrantRequest(
        request_id=new_request_id(), session=stranger, grant=grant, categories=["CARD"]
    )
    # Not theirs: another person, and each agency, the recipient among them.
    for mode in (pb.STOP_MODE_STOP, pb.STOP_MODE_DESTROY_NOW, pb.STOP_MODE_INVALIDATE):
        with refused(Reason.NOT_FOUND, by=world):
            world.stop_grant(stranger, grant, mode)
        request = pb.StopGrantRequest(
            request_id=new_request_id(), session=session, grant=grant, mode=mode
        )
        for agency in (A, B, C):
            with refused(Reason.NOT_ALLOWED, by=world):
                world.agency(agency).StopGrant(request)
    with refused(Reason.NOT_FOUND, by=world):
        world.resume_grant(stranger, grant)
    with refused(Reason.NOT_FOUND, by=world):
        world.portal().NarrowGrant(narrowing)
    with refused(Reason.NOT_ALLOWED, by=world):
        world.record_answer(world.signed_answer(sent.sealed, by=C), C)
    # Not there: what is on is not resumed, what ended does not move, what is closed stays closed.
    with refused(Reason.STATE_CONFLICT, by=world):
        world.resume_grant(session, grant)
    with refused(Reason.CONSENT_ENDED, by=world):
        world.resume_grant(session, ended)
    narrowing.session, narrowing.grant = session, ended
    with refused(Reason.CONSENT_ENDED, by=world):
        world.portal().NarrowGrant(narrowing)
    with refused(Reason.REFERRAL_CLOSED, by=world):
        world.accept(sent)
    views = world.portal().ListGrants(pb.ListGrantsRequest(session=session)).grants
    assert {view.grant: view.state for view in views} == {
        grant: pb.GRANT_STATE_ACTIVE,
        ended: pb.GRANT_STATE_REVOKED,
    }


def test_class_5_every_head_stands_for_every_entry_before_it(world: World) -> None:
    """Class 5, a hash without its predecessor: what was hashed left the previous hash out, so that
    any entry could be replaced and the chain still looked whole."""
    session = world.session()
    for _ in range(3):
        world.stop_grant(session, world.grant(session))
    listed = world.ledger().ListLeaves(ledger_pb2.ListLeavesRequest()).leaves
    leaves = [bytes(leaf) for leaf in listed]
    assert len(leaves) == world.size > 6
    root = merkle.root_from_leaves(leaves)
    assert root == world.app.context.writer.head.root
    for at in range(len(leaves)):
        flipped = leaves[at][:-1] + bytes([leaves[at][-1] ^ 1])
        for forged in (
            [*leaves[:at], flipped, *leaves[at + 1 :]],
            [*leaves[:at], *leaves[at + 1 :]],
            [*leaves[:at], leaves[at], *leaves[at:]],
            [*leaves[:at], *reversed(leaves[at : at + 2]), *leaves[at + 2 :]],
        ):
            # Everything behind it is the same, and no later head of the forgery is the real one.
            assert forged == leaves or merkle.root_from_leaves(forged) != root


def test_class_6_a_withdrawal_is_of_what_she_was_shown_then(world: World) -> None:
    """Class 6, a withdrawal pinned to the newest notice: it was stored against a text that she
    never saw."""
    session = world.session()
    grant = world.grant(session, world.terms(notice_sha256="1" * 64))
    world.grant(session, world.terms(notice_sha256="2" * 64))
    world.stop_grant(session, grant)
    receipt = world.portal().GetReceipt(pb.GetReceiptRequest(session=session, grant=grant))
    given, stopped = receipt.receipts
    assert decode_body(Kind.GRANT, given.body)["notice"] == "1" * 64
    assert decode_body(Kind.STOP, stopped.body)["grant"] == grant
    views = world.portal().ListGrants(pb.ListGrantsRequest(session=session)).grants
    assert {view.grant: view.terms.notice_sha256 for view in views}[grant] == "1" * 64


def test_class_7_a_consumer_that_fails_loses_no_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Class 7, a revocation lost on an exception: the consumer logged the error, returned nothing,
    and the message was gone, while everything went on being shared."""
    referrals = Referrals(tmp_path)
    try:
        referrals.set_up()
        draft = referrals.create()
        referrals.app.follower.catch_up()

        def fail(name: str) -> None:
            if name == "referral.follow.before_commit":
                raise RuntimeError("anything at all")

        with monkeypatch.context() as patch:
            patch.setattr(failpoints, "hit", fail)
            referrals.consent.ended(draft.grant)
            for _ in range(2):
                with pytest.raises(Exception, match=r".*"):
                    referrals.app.follower.catch_up()
                with refused(Reason.UNAVAILABLE):
                    referrals.fetch(draft)  # nobody knows what it does not know yet
        referrals.app.follower.catch_up()
        assert referrals.state(draft).sharing_stopped
        with refused(Reason.CONSENT_ENDED):
            referrals.fetch(draft)
    finally:
        referrals.stop()


def test_class_8_what_was_stopped_never_looks_as_if_it_had_not_been(world: World) -> None:
    """Class 8, a revocation that erases its own state: it nulled the fields, so that it looked as
    if nobody had ever consented."""
    session = world.session()
    grant = world.grant(session)
    world.stop_grant(session, grant, pb.STOP_MODE_DESTROY_NOW)
    world.grant(session)
    views = world.portal().ListGrants(pb.ListGrantsRequest(session=session)).grants
    (view,) = (view for view in views if view.grant == grant)
    assert view.state == pb.GRANT_STATE_REVOKED
    assert view.HasField("issued_at")
    assert view.HasField("stopped_at")
    assert view.end_cause == "destroy_now"
    receipt = world.portal().GetReceipt(pb.GetReceiptRequest(session=session, grant=grant))
    kinds = [Leaf.decode(item.leaf).kind for item in receipt.receipts]
    assert kinds == [Kind.GRANT, Kind.STOP, Kind.REVOKE]


def test_class_9_an_expiry_is_told_to_everybody_once(world: World) -> None:
    """Class 9, an expiry that is declared and never emitted: its event was documented, and nothing
    sent it."""
    grant = world.grant(world.session())
    world.send(grant)
    stub = consent_pb2_grpc.ConsentServiceStub(world.channel("service", "notify"))
    before = stub.ListEvents(pb.ListEventsRequest(page_size=2000)).events
    world.clock.advance(90 * DAY_S)
    world.app.context.writer.confirm_clock()
    world.app.sweep()
    world.app.sweep()
    events = stub.ListEvents(pb.ListEventsRequest(page_size=2000)).events[len(before) :]
    ended = [
        event.audience
        for event in events
        if (event.type, event.resource) == (events_pb2.EVENT_TYPE_CONSENT_ENDED, f"grants/{grant}")
    ]
    assert sorted(ended) == sorted([f"agency/{A}", f"agency/{B}", "service/referral"])


def test_class_12_no_identifier_of_hers_is_shared_between_agencies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Class 12, one identifier for all agencies: each got the same client number, and could join
    its list with the others'."""
    heard = Heard(monkeypatch)
    both = Both(tmp_path)
    try:
        stays = two_agencies.serve_her(both, heard)
        with begin_read(both.consent.app.context.engine) as connection:
            subjects = set(connection.execute(select(subject.c.subject_id)).scalars())
        recipient_key = both.consent.agencies[B].records[-1].record.kid
    finally:
        both.stop()
    for agency, stay in stays.items():
        # It was listened to, and each agency knows her by its own.
        assert heard.methods[agency] >= two_agencies.ASKED
        own = {stay.grant, stay.reference, stay.sent.sealed.referral}
        assert own <= {piece.decode(errors="replace") for piece in heard.pieces[agency]}
        assert subjects.isdisjoint(p.decode(errors="replace") for p in heard.pieces[agency])
    heads = [stay.sent.token.partition(".")[0] for stay in stays.values()]
    public = {
        "the text that she was shown": NOTICE,
        "the key that the recipient published": recipient_key,
        "what signed a token, and how": " ".join(heads),
        "the kind of a token": DETAIL_TYPE,
        "names of rules": " ".join(Name),
    }
    shared = heard.pieces[A] & heard.pieces[C]
    assert shared <= {piece for text in public.values() for piece in of_text(text)}


@pytest.mark.parametrize("hide", two_agencies.HIDDEN)
def test_class_12_a_shared_identifier_would_be_found(hide: str) -> None:
    """Wherever it is hidden: in a field, a path, a token, a statement or among other bytes."""
    identifier = bytes(range(200, 216))
    one, other = (two_agencies.HIDDEN[hide](identifier, salt) for salt in (b"1", b"2"))
    assert set(pieces(one)) & set(pieces(other))
    different = two_agencies.HIDDEN[hide](bytes(range(100, 116)), b"3")
    assert not set(pieces(one)) & set(pieces(different))
