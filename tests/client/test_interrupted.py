"""What was interrupted between two services can be repeated until both have it."""

from __future__ import annotations

from pathlib import Path

import pytest
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from tests.client.party import DAY_S, OWN, REFERRAL, Scene
from tests.client.stubs import Services


@pytest.fixture
def services(tmp_path: Path) -> Services:
    scene = Scene(tmp_path)
    scene.trust.keep_protocol(OWN, scene.signed())
    return Services(scene, served=scene.served())


def refused(reason: Reason) -> pytest.RaisesExc[SafehandError]:
    return pytest.RaisesExc(SafehandError, check=lambda error: error.reason is reason)


def waiting(services: Services) -> list[str]:
    return [path.name for path in (services.scene.party.state / "pending").glob("*")]


# --- answers -------------------------------------------------------------------------------------

CUTS = [
    ("before", "RecordAnswer"),
    ("after", "RecordAnswer"),
    ("before", "AnswerReferral"),
    ("after", "AnswerReferral"),
]


@pytest.mark.parametrize(("when", "method"), CUTS)
def test_an_interrupted_acceptance_is_finished_by_the_next_try(
    services: Services, when: str, method: str
) -> None:
    getattr(services, when)[method] = Reason.UNAVAILABLE
    with refused(Reason.UNAVAILABLE):
        services.client().accept(REFERRAL)
    services.scene.clock.advance(DAY_S)
    services.client().accept(REFERRAL)
    assert set(services.filed) == {services.answers["ACCEPT"]}
    assert waiting(services) == []


def test_an_interrupted_decline_keeps_the_reason_that_was_signed(services: Services) -> None:
    services.before["AnswerReferral"] = Reason.UNAVAILABLE
    with refused(Reason.UNAVAILABLE):
        services.client().decline(REFERRAL, "no_capacity")
    services.client().decline(REFERRAL, "out_of_area")
    assert services.filed == [services.answers["DECLINE"]]
    assert b"no_capacity" in services.filed[0]


def test_it_can_be_interrupted_many_times(services: Services) -> None:
    client = services.client()
    for _ in range(3):
        services.after["RecordAnswer"] = Reason.UNAVAILABLE
        with refused(Reason.UNAVAILABLE):
            client.accept(REFERRAL)
        services.scene.clock.advance(60)
    client.accept(client.fetch(REFERRAL))
    assert len(services.filed) == 1


def test_an_answer_that_consent_refuses_is_not_kept(services: Services) -> None:
    services.before["RecordAnswer"] = Reason.REFERRAL_CLOSED
    with refused(Reason.REFERRAL_CLOSED):
        services.client().accept(REFERRAL)
    assert waiting(services) == []


def test_an_answer_that_consent_has_is_kept_while_referral_does_not_know_us(
    services: Services,
) -> None:
    services.before["AnswerReferral"] = Reason.AGENCY_UNKNOWN
    with refused(Reason.AGENCY_UNKNOWN):
        services.client().accept(REFERRAL)
    services.scene.clock.advance(60)
    services.client().accept(REFERRAL)
    assert services.filed == [services.answers["ACCEPT"]]


def test_an_answer_needs_no_parts(services: Services) -> None:
    services.client().accept(REFERRAL)
    assert services.served is not None
    assert services.calls == ["GetReferral", "RecordAnswer", "AnswerReferral"]


def test_only_what_the_sender_signed_for_us_is_answered(services: Services) -> None:
    services.served = services.scene.served(recipient="agency-c")
    with refused(Reason.MANIFEST_MISMATCH):
        services.client().accept(REFERRAL)
    services.served = services.scene.served(referral="4" * 32)
    with refused(Reason.MANIFEST_MISMATCH):
        services.client().decline(REFERRAL, "no_capacity")
    assert services.answers == {}


# --- keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "method"),
    [
        ("before", "AppendKey"),
        ("after", "AppendKey"),
        ("before", "PublishKey"),
        ("after", "PublishKey"),
    ],
)
def test_an_interrupted_publication_is_finished_by_the_next_try(
    services: Services, when: str, method: str
) -> None:
    getattr(services, when)[method] = Reason.UNAVAILABLE
    with refused(Reason.UNAVAILABLE):
        services.client().publish_key()
    services.scene.clock.advance(60)
    finished = services.client().publish_key()
    assert services.logged == services.published == [finished]
    assert waiting(services) == []
    # The seed of the published key is ours, and the next key is a new one.
    seed = f"recipient-{finished.record.kid}"
    assert services.scene.party.keys.secret(seed, create=False)
    assert services.client().publish_key().record.sequence == 1


def test_a_logged_key_that_the_directory_refuses_blocks_no_other(services: Services) -> None:
    """It used up its sequence in the ledger, and the directory never heard of it."""
    services.before["PublishKey"] = Reason.EXPIRY_INVALID
    with refused(Reason.EXPIRY_INVALID):
        services.client().publish_key()
    assert services.client().publish_key().record.sequence == 1
