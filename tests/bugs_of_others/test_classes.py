"""Real bugs of consent and referral systems, one class after another, tried on this one.

docs/threat-model.md lists all of them with their tests; those that others tests here catch already
are not repeated.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor
from safehand.consent.v1 import consent_pb2 as pb
from safehand.consent.v1 import consent_pb2_grpc
from safehand.events.v1 import events_pb2
from safehand.intake.v1.intake_pb2 import IntakeForm
from safehand.notify.v1 import notify_pb2
from safehand.referral.v1 import directory_pb2, referral_pb2
from safehand_cli.story import TEST_FORM
from safehand_client import intake
from safehand_consent_service.tables import subject
from safehand_core.reasons import Reason
from safehand_core.words import CATEGORIES
from safehand_formats.bodies import decode_body
from safehand_formats.kinds import Kind
from safehand_formats.leaf import Leaf
from safehand_store.engine import begin_read
from sqlalchemy import select

from tests.consent.release.world import DAY_S, DEFAULT_CATEGORIES, A, B, C, World, refused


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path).start().set_up()
    yield made
    made.stop()


def test_class_1_a_decision_never_slips_to_the_datum_beside_it(world: World) -> None:
    """A list of decisions was walked beside a list of records, and one was missing."""
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
    """A filter for sensitive labels kept the labelled record and dropped the others."""
    said = [field.name for field, _ in TEST_FORM.ListFields()]
    for size in range(4):
        for chosen in itertools.combinations(CATEGORIES, size):
            kept = {field.name for field, _ in intake.narrowed(TEST_FORM, chosen).ListFields()}
            assert kept == {name for name in said if intake.category_of(name) in chosen}
    everything = intake.narrowed(TEST_FORM, tuple(CATEGORIES))
    assert everything == TEST_FORM
    assert intake.narrowed(TEST_FORM, ()) == IntakeForm()


def _messages() -> Iterator[Descriptor]:
    for module in (pb, referral_pb2, directory_pb2, notify_pb2, events_pb2):
        yield from module.DESCRIPTOR.message_types_by_name.values()
    for service in pb.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            yield method.input_type


def test_class_3_no_caller_can_say_that_consent_does_not_matter() -> None:
    """An interface took ``consent_overridden`` from anyone who could refer."""
    stems = ("overrid", "bypass", "force", "emergency", "break_glass", "skip", "ignore", "sudo")
    found = [
        f"{message.full_name}.{field.name}"
        for message in _messages()
        for field in message.fields
        if any(stem in field.name for stem in stems)
    ]
    # Rows of a service directory, and nothing about any person.
    assert found == ["safehand.referral.v1.ImportPackageRequest.skip_bad"]


def test_class_6_a_withdrawal_is_of_what_she_was_shown_then(world: World) -> None:
    """A withdrawal was stored against the newest version of the text, which she never saw."""
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


def test_class_8_what_was_stopped_never_looks_as_if_it_had_not_been(world: World) -> None:
    """Revoking nulled the fields, so that it looked as if nobody had ever consented."""
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
    """An event for expiry was declared, documented, and never sent."""
    grant = world.grant(world.session())
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


def test_class_12_no_identifier_of_hers_is_shared_between_agencies(world: World) -> None:
    """Every agency got the same client number, and could join its list with the others'."""
    card = world.register_subject(A)
    world.register_subject(C, card)
    world.register_protocol(world.sign_protocol(world.protocol(C, B)), caller=C)
    session = world.sign_in(card)
    grants = {
        agency: world.grant(session, world.terms(releasing_agency=agency)) for agency in (A, C)
    }
    with begin_read(world.app.context.engine) as connection:
        subjects = connection.execute(select(subject.c.subject_id)).scalars().all()
    told: dict[str, set[str]] = {}
    for agency, grant in grants.items():
        answer = world.agency(agency).ListAgencyGrants(pb.ListAgencyGrantsRequest())
        (mine,) = answer.grants
        assert mine.grant == grant
        raw = answer.SerializeToString()
        assert not any(one.encode() in raw for one in subjects)
        told[agency] = {mine.grant, mine.subject_ref}
    assert told[A].isdisjoint(told[C])
