"""A number from her worker: she is in at once, and whoever guesses at her card gains nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from safehand_consent_service import stop_quotas
from safehand_consent_service.cards import NUMBER_DIGITS
from safehand_consent_service.throttle import EARN_BACK_S
from safehand_consent_service.throttle import TRIES as CARD_TRIES
from safehand_consent_service.worker_numbers import LIFE_S, TRIES
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from tests.consent.helpers import WORD, lift, lift_request, set_word
from tests.consent.portal.seats_world import (
    NUMBER,
    OWN_PIN,
    WRONG,
    home,
    own,
    sign_in,
)
from tests.consent.refusals import refused
from tests.consent.world import DAY, World
from tests.logged import captured

HERE = b"h" * 32
"""Where she is, and whoever guesses beside her on a phone of the same kind: one place."""
OTHER_WORD = "not the word"


@pytest.fixture
def known(world: World) -> World:
    """Her card is on file at haven; her PIN is her own, and her code word is set."""
    world.register("haven", NUMBER, "her-at-haven")
    set_word(world, own(world))
    return world


def use_up(world: World, number: int = NUMBER) -> None:
    """Every try that the card has, from her own place."""
    for _ in range(CARD_TRIES):
        with refused(Reason.SIGN_IN_FAILED):
            sign_in(world, WRONG, number=number, network=HERE)
    with refused(Reason.THROTTLED):
        sign_in(world, WRONG, number=number, network=HERE)


def enters(world: World, number: str, **how: Any) -> bytes:
    return sign_in(world, OWN_PIN, network=HERE, worker_number=number, **how)


def numbers_kept(world: World) -> int:
    return int(world.rows("SELECT count(*) FROM worker_number")[0][0])


def bucket(world: World) -> list[tuple[Any, ...]]:
    return world.rows("SELECT tries, last_at, taken_by, waiting FROM throttle")


# --- the attack -----------------------------------------------------------------------------------


def test_beside_one_who_takes_every_try_she_is_in_at_once(known: World) -> None:
    """He guesses from her very place for an hour, each second that a try is earned. Nothing that
    she shows tells her from him but what her worker read out."""
    use_up(known)
    for _ in range(3600 // EARN_BACK_S):
        known.clock.advance(EARN_BACK_S)
        with refused(Reason.SIGN_IN_FAILED):
            sign_in(known, WRONG, network=HERE)
        with refused(Reason.THROTTLED):
            sign_in(known, OWN_PIN, network=HERE)
    number = lift(known).number
    session = enters(known, number)
    assert home(known, session).wrong_tries == CARD_TRIES + 3600 // EARN_BACK_S


def test_his_tries_neither_use_the_number_up_nor_end_it(known: World) -> None:
    number = lift(known).number
    use_up(known)
    for guess in ("00000000", "99999999", f"{(int(number) + 1) % 10**NUMBER_DIGITS:08d}"):
        for _ in range(TRIES):
            with refused(Reason.THROTTLED):
                sign_in(known, WRONG, network=HERE, worker_number=guess)
    assert enters(known, number)


def test_a_wrong_number_is_a_try_as_any_other(known: World) -> None:
    lift(known)
    for _ in range(CARD_TRIES):
        with refused(Reason.SIGN_IN_FAILED):
            sign_in(known, WRONG, network=HERE, worker_number="00000000")
    with refused(Reason.THROTTLED):
        sign_in(known, OWN_PIN, network=HERE, worker_number="00000000")


def test_a_wrong_number_keeps_nobody_out(known: World) -> None:
    lift(known)
    assert enters(known, "00000000")


def test_it_is_for_her_card_alone(known: World) -> None:
    known.register("haven", 2, "another")
    number = lift(known).number
    use_up(known, number=2)
    with refused(Reason.THROTTLED):
        sign_in(known, network=HERE, number=2, worker_number=number)
    assert enters(known, number)


def test_it_opens_nothing_without_the_pin(known: World) -> None:
    number = lift(known).number
    with refused(Reason.SIGN_IN_FAILED):
        sign_in(known, WRONG, network=HERE, worker_number=number)


def test_a_fourth_try_with_it_waits_as_any_other(known: World) -> None:
    use_up(known)
    before = bucket(known)
    number = lift(known).number
    for _ in range(TRIES):
        with refused(Reason.SIGN_IN_FAILED):
            sign_in(known, WRONG, network=HERE, worker_number=number)
    assert bucket(known) == before, "neither the card's tries nor the line"
    with refused(Reason.THROTTLED):
        enters(known, number)


def test_after_fifteen_minutes_it_does_nothing(known: World) -> None:
    given = lift(known)
    assert given.expires_at.seconds == known.clock.wall() + LIFE_S == known.clock.wall() + 900
    use_up(known)
    known.clock.advance(LIFE_S - 1)
    for _ in range(LIFE_S // EARN_BACK_S - 1):
        with refused(Reason.SIGN_IN_FAILED):
            sign_in(known, WRONG, network=HERE)
    with refused(Reason.SIGN_IN_FAILED):
        sign_in(known, WRONG, network=HERE, worker_number=given.number)
    known.clock.advance(1)
    with refused(Reason.SIGN_IN_FAILED):
        sign_in(known, WRONG, network=HERE)
    with refused(Reason.THROTTLED):
        enters(known, given.number)


def test_it_is_good_for_one_session(known: World) -> None:
    number = lift(known).number
    assert enters(known, number)
    assert numbers_kept(known) == 0
    use_up(known)
    with refused(Reason.THROTTLED):
        enters(known, number)


def test_two_at_once_with_one_number_are_one_session(known: World) -> None:
    """Both have the right PIN and the number; the one whose PIN was read later comes too late."""
    number = lift(known).number
    cards = known.app.context.cards
    matches = cards.pin_matches
    inside: list[bytes] = []

    def slow(pin_hash: str | None, pin: str) -> bool:
        right = matches(pin_hash, pin)
        if not inside:
            inside.append(b"")
            inside[0] = enters(known, number)
        return right

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cards, "pin_matches", slow)
        with refused(Reason.SIGN_IN_FAILED):
            enters(known, number)
    assert home(known, inside[0])


def test_a_try_with_a_number_that_was_replaced_meanwhile_does_not_end_the_new_one(
    known: World,
) -> None:
    number = lift(known).number
    cards = known.app.context.cards
    matches = cards.pin_matches
    newer: list[str] = []

    def slow(pin_hash: str | None, pin: str) -> bool:
        newer.append(lift(known).number)
        return matches(pin_hash, pin)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cards, "pin_matches", slow)
        with refused(Reason.SIGN_IN_FAILED):
            enters(known, number)
    use_up(known)
    assert enters(known, newer[0])


def test_the_right_pin_without_it_ends_it_too(known: World) -> None:
    number = lift(known).number
    sign_in(known, OWN_PIN)
    use_up(known)
    with refused(Reason.THROTTLED):
        enters(known, number)


def test_a_new_one_takes_the_place_of_the_old(known: World) -> None:
    first, second = lift(known).number, lift(known).number
    assert numbers_kept(known) == 1
    use_up(known)
    with refused(Reason.THROTTLED):
        enters(known, first)
    assert enters(known, second)


# --- who gets one ---------------------------------------------------------------------------------


def test_it_is_eight_digits_and_never_twice_the_same(known: World) -> None:
    drawn = {lift(known).number for _ in range(stop_quotas.NUMBERS)}
    assert len(drawn) == stop_quotas.NUMBERS
    for number in drawn:
        assert len(number) == NUMBER_DIGITS == 8
        assert number.isascii()
        assert number.isdecimal()


def test_every_refusal_is_one_and_the_same_after_the_same_work(
    known: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong word, none set, nobody, and another agency that knows her, or does not."""
    known.register("haven", 2, "wordless-one")
    known.register("legal", NUMBER, "her-at-legal", OWN_PIN)
    tries: list[tuple[str, str, str]] = [
        ("haven", "her-at-haven", OTHER_WORD),
        ("haven", "wordless-one", WORD),
        ("haven", "nobody-at-all", WORD),
        ("legal", "her-at-haven", WORD),
        ("clinic", "her-at-haven", WORD),
        ("legal", "her-at-legal", OTHER_WORD),
    ]
    checked: list[None] = []
    cards = known.app.context.cards
    matches = cards.word_matches

    def counted(stored: str | None, plain: str) -> bool:
        checked.append(None)
        return matches(stored, plain)

    monkeypatch.setattr(cards, "word_matches", counted)
    heard = set()
    for agency, reference, word in tries:
        rows = known.rows("SELECT count(*) FROM stop_note")[0][0]
        with refused(Reason.NOT_ALLOWED) as caught:
            lift(known, word, agency=agency, subject_ref=reference)
        error = caught.value
        heard.add((error.reason, error.detail, error.fix, tuple(error.metadata.items())))
        assert known.rows("SELECT count(*) FROM stop_note")[0][0] == rows + 1
    assert len(heard) == 1
    assert len(checked) == len(tries)
    assert numbers_kept(known) == 0
    assert lift(known, agency="legal", subject_ref="her-at-legal").number


def test_nobody_but_an_enrolled_agency_asks(known: World) -> None:
    with refused(Reason.AGENCY_UNKNOWN):
        lift(known, agency="stranger")
    for party in ("portal", "operator", "referral"):
        with refused(Reason.NOT_ALLOWED):
            known.consent(party).LiftWait(lift_request(known))
    assert numbers_kept(known) == 0


def test_a_worker_and_a_word_that_can_be_said_are_needed(known: World) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: lift(known, worker_ref=""),
        lambda: lift(known, worker_ref="Maria Lopez"),
        lambda: lift(known, "abc"),
        lambda: lift(known, request_id="once"),
    ]
    for call in calls:
        with refused(Reason.MALFORMED):
            call()


def test_her_word_cannot_be_guessed_by_asking(known: World) -> None:
    for reference in ("her-at-haven", "nobody-at-all"):
        for _ in range(CARD_TRIES):
            with refused(Reason.NOT_ALLOWED):
                lift(known, OTHER_WORD, subject_ref=reference)
        with refused(Reason.THROTTLED):
            lift(known, subject_ref=reference)
    known.clock.advance(EARN_BACK_S)
    assert lift(known).number


def test_what_is_said_to_a_worker_takes_none_of_her_own_tries(known: World) -> None:
    for _ in range(CARD_TRIES):
        with refused(Reason.NOT_ALLOWED):
            lift(known, OTHER_WORD)
    assert sign_in(known, OWN_PIN)


def test_a_day_has_five_numbers_whoever_asks(known: World) -> None:
    """Or whoever knows her word would have as many tries at her PIN as he asks for numbers."""
    known.register("legal", NUMBER, "her-at-legal", OWN_PIN)
    for _ in range(stop_quotas.NUMBERS):
        lift(known)
    for agency, reference in (("haven", "her-at-haven"), ("legal", "her-at-legal")):
        with refused(Reason.QUOTA_EXCEEDED) as caught:
            lift(known, agency=agency, subject_ref=reference)
        assert caught.value.retry_after_s == DAY
    with refused(Reason.NOT_ALLOWED):
        lift(known, OTHER_WORD)
    known.clock.advance(DAY)
    assert lift(known).number


def test_a_repeat_is_the_same_number_whatever_became_of_it(known: World) -> None:
    """An answer that was lost on its way is asked for again; and no agency can ask whether she has
    signed in meanwhile."""
    request = lift_request(known)
    stub = known.consent("haven")
    first = stub.LiftWait(request)
    assert stub.LiftWait(request) == first
    assert enters(known, first.number)
    known.clock.advance(LIFE_S)
    assert stub.LiftWait(request) == first
    assert numbers_kept(known) == 0
    use_up(known)
    with refused(Reason.THROTTLED):
        enters(known, first.number)
    request.code_word = OTHER_WORD
    with refused(Reason.REQUEST_ID_REUSED):
        stub.LiftWait(request)


# --- what is kept of it ---------------------------------------------------------------------------


def test_neither_number_nor_word_is_in_a_log_or_on_a_disk(known: World) -> None:
    with captured("consent") as logged:
        request = lift_request(known)
        number = known.consent("haven").LiftWait(request).number
        with refused(Reason.SIGN_IN_FAILED):
            sign_in(known, WRONG, network=HERE, worker_number=number)
        with refused(Reason.NOT_ALLOWED):
            lift(known, OTHER_WORD)
        known.consent("haven").LiftWait(request)
        files = [path.read_bytes() for path in known.root.rglob("*") if path.is_file()]
        kept = [*files, *known.store.raw()]
        enters(known, number)
    said = logged.getvalue()
    assert "ConsentService/LiftWait" in said
    for data in (*kept, said.encode()):
        for secret in (number.encode(), number[:4].encode() + b" " + number[4:].encode()):
            assert secret not in data
        assert WORD.encode() not in data
    tables = known.rows("SELECT result FROM idempotency")
    assert tables
    assert all(number not in str(row) for row in tables)


def test_the_sweep_forgets_numbers_that_are_over(known: World) -> None:
    lift(known)
    known.clock.advance(LIFE_S - 1)
    known.sweep()
    assert numbers_kept(known) == 1
    known.clock.advance(1)
    known.sweep()
    assert numbers_kept(known) == 0


def test_a_number_adds_tries_and_never_more_than_its_own(known: World) -> None:
    """In an hour of guessing with every number of a day: what the card earns, and fifteen more."""
    taken = 0
    numbers = [lift(known).number]
    for _ in range(3600 // EARN_BACK_S):
        known.clock.advance(EARN_BACK_S)
        for number in ("", *numbers):
            for _ in range(CARD_TRIES + TRIES):
                try:
                    sign_in(known, WRONG, network=HERE, worker_number=number)
                except SafehandError as error:
                    taken += error.reason is Reason.SIGN_IN_FAILED
        if len(numbers) < stop_quotas.NUMBERS:
            numbers.append(lift(known).number)
    earned = CARD_TRIES + 3600 // EARN_BACK_S - 1
    assert taken == earned + TRIES * stop_quotas.NUMBERS
