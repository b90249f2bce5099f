"""A card on file: filed once, linked by her alone, kept so that a thief of the file has none."""

from __future__ import annotations

import hashlib

import pytest
from safehand.consent.v1 import consent_pb2 as pb
from safehand_consent_service.cards import Cards, luhn_valid, require_card
from safehand_consent_service.throttle import TRIES
from safehand_core.reasons import Reason

from tests.consent.refusals import refused
from tests.consent.world import PIN, World, card

WRONG = "000000"


def subjects(world: World) -> int:
    return int(world.rows("SELECT count(*) FROM subject")[0][0])


def test_the_check_digit_is_luhns() -> None:
    # ISO/IEC 7812-1 annex B's own example, and each of its digits changed.
    assert luhn_valid("79927398713")
    for position in range(11):
        digit = (int("79927398713"[position]) + 1) % 10
        assert not luhn_valid("79927398713"[:position] + str(digit) + "79927398713"[position + 1 :])
    require_card(card(1))


@pytest.mark.parametrize("number", ["12345678901", "1234567890123", "١٢٣٤٥٦٧٨٩٠١٢", "12345678901a"])
def test_a_card_is_twelve_ascii_digits(world: World, number: str) -> None:
    with refused(Reason.MALFORMED):
        world.consent("haven").RegisterSubject(
            pb.RegisterSubjectRequest(
                request_id=world.request_id(), subject_ref="some-ref", card_number=number, pin=PIN
            )
        )
    with refused(Reason.MALFORMED):
        require_card(number)


def test_a_typing_error_is_refused_from_the_digits_alone(world: World) -> None:
    wrong = card(1)[:-1] + str((int(card(1)[-1]) + 1) % 10)
    with refused(Reason.MALFORMED) as caught:
        world.consent("haven").RegisterSubject(
            pb.RegisterSubjectRequest(
                request_id=world.request_id(), subject_ref="some-ref", card_number=wrong, pin=PIN
            )
        )
    assert caught.value.metadata["field"] == "card_number"
    assert subjects(world) == 0


def test_the_same_registration_again_succeeds(world: World) -> None:
    request_id = world.request_id()
    for _ in range(2):
        world.register("haven", 1, "her-at-haven", request_id=request_id)
    world.register("haven", 1, "her-at-haven")
    assert subjects(world) == 1
    assert world.rows("SELECT agency, subject_ref FROM subject_ref") == [("haven", "her-at-haven")]


def test_a_request_id_is_for_one_request(world: World) -> None:
    request_id = world.request_id()
    world.register("haven", 1, "her-at-haven", request_id=request_id)
    with refused(Reason.REQUEST_ID_REUSED):
        world.register("haven", 1, "her-at-haven", pin=WRONG, request_id=request_id)
    with refused(Reason.REQUEST_ID_REUSED):
        world.register("haven", 2, "another-one", request_id=request_id)
    # Another agency's ids are its own.
    world.register("legal", 2, "another-one", request_id=request_id)


def test_a_card_on_file_with_other_data_already_exists(world: World) -> None:
    world.register("haven", 1, "her-at-haven")
    world.register("haven", 2, "another-one")
    with refused(Reason.ALREADY_EXISTS):
        world.register("haven", 1, "her-again")
    with refused(Reason.ALREADY_EXISTS):
        world.register("haven", 1, "another-one")
    with refused(Reason.ALREADY_EXISTS):
        world.register("haven", 3, "her-at-haven")
    with refused(Reason.ALREADY_EXISTS):
        world.register("haven", 1, "her-at-haven", pin=WRONG)
    assert len(world.rows("SELECT 1 FROM subject_ref")) == 2
    assert world.sign_in(1)


def test_a_second_agency_is_linked_by_her_card_and_pin(world: World) -> None:
    world.register("haven", 1, "her-at-haven")
    world.register("legal", 1, "client-77")
    assert subjects(world) == 1
    options = world.portal.ListSharingOptions(
        pb.ListSharingOptionsRequest(session=world.sign_in(1))
    ).options
    assert [(o.releasing_agency, o.recipient_agency) for o in options] == [
        ("legal", "haven"),
        ("haven", "legal"),
    ]


def test_a_second_agency_with_a_wrong_pin_learns_nothing_and_is_throttled(world: World) -> None:
    world.register("haven", 1, "her-at-haven")
    for _ in range(TRIES):
        with refused(Reason.SIGN_IN_FAILED):
            world.register("legal", 1, "client-77", pin=WRONG)
    with refused(Reason.THROTTLED):
        world.register("legal", 1, "client-77")
    assert world.rows("SELECT agency FROM subject_ref") == [("haven",)]
    assert world.sign_in(1), "an agency uses up its own tries, never hers"
    with refused(Reason.THROTTLED):
        world.register("legal", 1, "client-77")


def test_a_card_that_somebody_filed_meanwhile_is_not_linked_without_its_pin(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = type(world.app.context.cards)
    pin_hash = cards.pin_hash

    def slow(self: Cards, pin: str) -> str:
        monkeypatch.setattr(cards, "pin_hash", pin_hash)
        world.register("legal", 1, "client-77")
        return pin_hash(self, pin)

    monkeypatch.setattr(cards, "pin_hash", slow)
    with refused(Reason.UNAVAILABLE):
        world.register("haven", 1, "her-at-haven", pin=WRONG)
    assert world.rows("SELECT agency, subject_ref FROM subject_ref") == [("legal", "client-77")]
    with refused(Reason.SIGN_IN_FAILED):
        world.register("haven", 1, "her-at-haven", pin=WRONG)
    world.register("haven", 1, "her-at-haven")
    assert subjects(world) == 1


def test_an_agency_that_is_not_enrolled_files_nobody(world: World) -> None:
    with refused(Reason.AGENCY_UNKNOWN):
        world.register("stranger", 1, "her-at-stranger")
    assert subjects(world) == 0


def test_nobody_gets_an_id_of_hers(world: World) -> None:
    assert not pb.RegisterSubjectResponse.DESCRIPTOR.fields
    world.register("haven", 1, "her-at-haven")
    grant = world.grant(world.sign_in(1))
    subject = world.rows("SELECT subject_id FROM subject")[0][0]
    listed = world.consent("haven").ListAgencyGrants(pb.ListAgencyGrantsRequest())
    assert subject not in str(grant) + str(listed)


def test_the_database_holds_no_card_no_pin_and_no_plain_hash_of_either(world: World) -> None:
    request = pb.RegisterSubjectRequest(
        request_id=world.request_id(), subject_ref="her-at-haven", card_number=card(1), pin=PIN
    )
    world.consent("haven").RegisterSubject(request)
    with pytest.raises(Exception, match="SIGN_IN_FAILED"):
        world.sign_in(1, WRONG)
    guesses = [card(1).encode(), PIN.encode(), request.SerializeToString(deterministic=True)]
    wanted = guesses[:2] + [hashlib.sha256(guess).digest() for guess in guesses]
    for data in world.store.raw():
        assert not [guess for guess in wanted if guess in data or guess.hex().encode() in data]


def test_without_the_peppers_the_same_card_is_another_subject(world: World) -> None:
    world.register("haven", 1, "her-at-haven")
    stored = world.rows("SELECT card_hmac, pin_hash FROM subject")[0]
    cards = world.app.context.cards
    assert cards.card_hmac(card(1)) == stored[0]
    assert cards.pin_matches(stored[1], PIN)
    world.stop()
    for name in ("card-pepper", "pin-pepper"):
        (world.settings.keys_dir / f"{name}.secret").unlink()
    world.start()
    cards = world.app.context.cards
    assert cards.card_hmac(card(1)) != stored[0]
    assert not cards.pin_matches(stored[1], PIN)
