"""What she is shown of numbers that workers were given for her, used or not."""

from __future__ import annotations

import pytest
from safehand_consent_service.portal_helped import SHOWN_S
from safehand_core.reasons import Reason

from tests.consent.helpers import SECOND, WORKER, lift, notes, set_word
from tests.consent.portal.seats_world import NUMBER, OWN_PIN, change_pin, home, own, sign_in
from tests.consent.refusals import refused
from tests.consent.world import DAY, World


@pytest.fixture
def known(world: World) -> World:
    """Her card is on file at haven; her PIN is her own, and her code word is set."""
    world.register("haven", NUMBER, "her-at-haven")
    set_word(world, own(world))
    return world


def test_her_first_page_says_who_gave_one_and_when(known: World) -> None:
    given = known.clock.wall()
    number = lift(known).number
    known.clock.advance(60)
    answer = home(known, sign_in(known, OWN_PIN, worker_number=number))
    assert answer.numbers_given == 1
    assert answer.number_given_at.seconds == given
    assert answer.number_given_by_name == "The haven"


def test_one_that_she_did_not_use_is_said_at_her_next_sign_in(known: World) -> None:
    lift(known)
    known.clock.advance(30 * DAY)
    lift(known)
    last = known.clock.wall()
    known.clock.advance(30 * DAY)
    answer = home(known, sign_in(known, OWN_PIN))
    assert (answer.numbers_given, answer.number_given_at.seconds) == (2, last)


def test_who_signs_in_with_it_does_not_keep_her_from_hearing_of_it(known: World) -> None:
    sign_in(
        known, OWN_PIN, worker_number=lift(known).number
    )  # somebody who knew her word and her PIN
    for wait in (60, SHOWN_S - 120):
        known.clock.advance(wait)
        assert home(known, sign_in(known, OWN_PIN)).numbers_given == 1
    known.clock.advance(61)
    answer = home(known, sign_in(known, OWN_PIN))
    assert answer.numbers_given == 0
    assert not answer.HasField("number_given_at")
    assert answer.number_given_by_name == ""


def test_nothing_that_was_refused_is_said_to_be_a_number(known: World) -> None:
    with refused(Reason.NOT_ALLOWED):
        lift(known, "not the word", worker_ref=SECOND)
    session = sign_in(known, OWN_PIN)
    assert home(known, session).numbers_given == 0
    lift(known)
    seen = [(n.action, n.by, n.agency, n.worker_ref, n.refused) for n in notes(known, session)]
    assert seen == [
        ("number", "worker", "haven", WORKER, False),
        ("number", "worker", "haven", SECOND, True),
    ]


def test_an_agency_of_which_she_hides_something_is_not_named(known: World) -> None:
    session = sign_in(known, OWN_PIN)
    grant = known.grant(session).grant.grant
    lift(known)
    assert home(known, session).number_given_by_name == "The haven"
    subject = known.rows("SELECT subject_id FROM subject")[0][0]
    known.execute("INSERT INTO hidden_item VALUES (?, 'grant', ?, 0)", subject, grant)
    answer = home(known, session)
    assert (answer.numbers_given, answer.number_given_by_name) == (1, "")


def test_nobody_hears_of_somebody_elses(known: World) -> None:
    known.register("haven", 2, "another")
    other = change_pin(known, sign_in(known, number=2)).session
    lift(known)
    assert home(known, other).numbers_given == 0
    assert notes(known, other) == []
