"""What a worker wrote down for her, and a ward's consent, through the running system."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from safehand.intake.v1.intake_pb2 import IntakeForm
from safehand_cli.cards import new_card
from safehand_cli.story import PURPOSE
from safehand_client import GuardianClient
from safehand_core.entropy import SystemEntropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind

from tests.harness.world import WORKER, Person, World

PLAIN = ("CARD", "NAME")
WITH_SENSITIVE = ("CARD", "EVENTS", "NAME")


@contextmanager
def refused(reason: Reason) -> Iterator[None]:
    with pytest.raises(SafehandError) as caught:
        yield
    assert caught.value.reason is reason, caught.value


def form(categories: tuple[str, ...]) -> IntakeForm:
    made = IntakeForm(need_code="legal", area="Test County", preferred_name="TEST name")
    if "EVENTS" in categories:
        made.events_own_words = "TEST: nothing happened"
    return made


def recorded(world: World, person: Person) -> Any:
    return world.agency_a.record_consent(
        subject_ref=person.subject_ref,
        worker_ref="worker-test-11",
        medium="spoken",
        releasing="agency-a",
        recipient="agency-b",
        purpose=PURPOSE,
        categories=WITH_SENSITIVE,
    )


def send(world: World, grant: str, categories: tuple[str, ...]) -> str:
    return world.send(grant, form=form(categories), categories=categories).referral


def test_a_recorded_consent_from_the_worker_to_her_no(world: World) -> None:
    person = world.person()
    done = recorded(world, person)
    with refused(Reason.CONSENT_UNCONFIRMED):
        send(world, done.grant, WITH_SENSITIVE)
    referral = send(world, done.grant, PLAIN)
    fetched = world.agency_b.fetch(referral)
    world.agency_b.accept(fetched)
    assert world.agency_b.open(fetched, "NAME", worker_ref=WORKER)

    with refused(Reason.NOT_ALLOWED):
        world.agency_a.second_consent(
            subject_ref=person.subject_ref, worker_ref="worker-test-11", record=done.record
        )
    world.agency_a.second_consent(
        subject_ref=person.subject_ref, worker_ref="worker-test-12", record=done.record
    )
    send(world, done.grant, WITH_SENSITIVE)

    with world.session(person) as her:
        (line,) = her.confirmations()
        assert (line.recorded_by, line.recorder_ref) == ("agency-a", "worker-test-11")
        assert line.second_ref == "worker-test-12"
        assert line.asks_her
        her.confirm(done.grant, "not-sure")
        answer = her.confirm(done.grant, "no")
        assert answer.grant.end_cause == "invalidated"
        kinds = [one.kind for one in her.verified_receipt(done.grant)]
    assert kinds == [
        Kind.GRANT,
        Kind.REFER,
        Kind.DISCLOSE,
        Kind.CONFIRM,
        Kind.REFER,
        Kind.STOP,
        Kind.REVOKE,
    ]
    with refused(Reason.CONSENT_ENDED):
        world.agency_b.open(fetched, "NAME", worker_ref=WORKER)
    assert world.fsck().ok


def test_the_recipient_records_nothing(world: World) -> None:
    person = world.person()
    world.agency_b.register_subject(person.subject_ref, person.card, person.pin)
    with refused(Reason.NOT_ALLOWED):
        world.agency_b.record_consent(
            subject_ref=person.subject_ref,
            worker_ref="worker-test-11",
            medium="paper",
            releasing="agency-a",
            recipient="agency-b",
            purpose=PURPOSE,
            categories=PLAIN,
        )


def test_a_wards_consent_waits_for_the_guardian(world: World) -> None:
    person = world.person()
    world.agency_a.set_cosign(person.subject_ref, cosign=True)
    card, pin = new_card(SystemEntropy())
    guardian = world.agency_a.register_guardian(person.subject_ref, card, pin)
    grant = world.grant(person, PLAIN)
    with refused(Reason.CONSENT_UNCONFIRMED):
        send(world, grant, PLAIN)
    client = GuardianClient(world.party("her"))
    try:
        client.sign_in(card, pin)
        assert [one.grant for one in client.waiting()] == [grant]
        client.sign(grant)
        assert not client.waiting()
        referral = send(world, grant, ("CARD",))
        fetched = world.agency_b.fetch(referral)
        assert world.agency_b.open(fetched, "CARD", worker_ref=WORKER)
        with world.session(person) as her:
            her.dismiss_guardian(guardian)
            with refused(Reason.SESSION_INVALID):
                client.waiting()
            done = her.invalidate(grant)
            assert done.grant.end_cause == "invalidated"
            kinds = [one.kind for one in her.verified_receipt(grant)]
    finally:
        client.close()
    assert kinds == [
        Kind.GRANT, Kind.CONFIRM, Kind.REFER, Kind.DISCLOSE, Kind.STOP, Kind.REVOKE,
    ]  # fmt: skip
    with refused(Reason.CONSENT_ENDED):
        world.agency_b.open(fetched, "CARD", worker_ref=WORKER)
