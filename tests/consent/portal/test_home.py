"""The first page after the sign-in: what it counts, and that nothing hidden is in a number."""

from __future__ import annotations

from safehand.consent.v1 import consent_pb2, recorded_pb2
from safehand_core.reasons import Reason

from tests.consent.portal.world import (
    DAY,
    MINUTE,
    C,
    Her,
    PortalWorld,
    refused,
    without_numbers,
)
from tests.consent.release.world import Card


def test_nothing_is_nothing(pages_world: PortalWorld, she: Her) -> None:
    home = pages_world.home(she)
    counted = (home.on, home.ending_soon, home.asked, home.to_confirm)
    assert counted == (0, 0, 0, 0)
    assert (home.looks_since, home.refused_since, home.wrong_tries) == (0, 0, 0)
    assert not home.HasField("wrong_last_at")
    assert home.seat.expires_at.seconds > pages_world.now


def test_it_counts_what_is_on_and_what_waits(pages_world: PortalWorld, she: Her) -> None:
    pages_world.give(she)
    soon = pages_world.terms(recipient_agency=C)
    soon.expires_at.seconds = pages_world.now + 14 * DAY
    pages_world.grant(she.session, soon)
    stopped = pages_world.give(she)
    pages_world.stop_one(she, pages_world.number(she, stopped))
    recorded = pages_world.recorded(she)
    pages_world.ask(she, purpose="health")
    home = pages_world.home(she)
    assert (home.on, home.ending_soon, home.asked, home.to_confirm) == (3, 1, 1, 1)
    pages_world.confirm(she, pages_world.number(she, recorded), recorded_pb2.REPLY_YES)
    home = pages_world.home(she)
    assert (home.on, home.ending_soon, home.asked, home.to_confirm) == (3, 1, 1, 0)
    pages_world.later(14 * DAY)
    home = pages_world.home(pages_world.again(she))
    assert (home.on, home.ending_soon, home.asked) == (2, 0, 0)


def test_what_a_guardian_has_yet_to_sign_is_not_on(pages_world: PortalWorld, she: Her) -> None:
    pages_world.needs_guardian(she)
    soon = pages_world.terms()
    soon.expires_at.seconds = pages_world.now + 13 * DAY
    pages_world.grant(she.session, soon)
    assert pages_world.only(she).waits_for_guardian
    assert (pages_world.home(she).on, pages_world.home(she).ending_soon) == (0, 0)


def test_looks_count_since_the_sign_in_before_this_one(pages_world: PortalWorld, she: Her) -> None:
    grant = pages_world.give(she)
    sent = pages_world.send(grant)
    pages_world.look(sent)
    pages_world.later(MINUTE)
    second = pages_world.again(she)
    at_second = pages_world.now
    pages_world.later(MINUTE)
    pages_world.look(sent)
    pages_world.stop_one(second, pages_world.number(second, grant))
    pages_world.refuse(sent)
    third = pages_world.again(she)
    home = pages_world.home(third)
    assert (home.looks_since, home.refused_since) == (2, 1)
    assert home.previous_sign_in.seconds == at_second
    shown = pages_world.all_seen(third, since_last=True)
    assert len(shown) == 2
    assert pages_world.home(pages_world.again(third)).looks_since == 2
    pages_world.later(1)
    assert pages_world.home(pages_world.again(third)).looks_since == 2
    assert pages_world.home(pages_world.again(third)).looks_since == 0


def test_wrong_tries_are_told(pages_world: PortalWorld, she: Her) -> None:
    for _ in range(2):
        with refused(Reason.SIGN_IN_FAILED):
            pages_world.sign_in(Card(she.card.number, "000000"))
    pages_world.later(30 * MINUTE)
    home = pages_world.home(pages_world.again(she))
    assert home.wrong_tries == 2
    assert home.wrong_last_at.seconds == pages_world.now - 30 * MINUTE


def test_what_is_hidden_is_in_no_number(pages_world: PortalWorld, she: Her) -> None:
    empty = without_numbers(pages_world.home(she))
    grant = pages_world.give(she)
    sent = pages_world.send(grant)
    pages_world.look(sent)
    pages_world.ask(she, purpose="health")
    recorded = pages_world.recorded(she)
    home = pages_world.home(she)
    assert (home.on, home.asked, home.to_confirm, home.looks_since) == (2, 1, 1, 1)
    (asked,) = pages_world.sharing(she).asked
    for number in (asked.number, pages_world.number(she, recorded)):
        pages_world.hide(she, number)
    (look,) = pages_world.seen(she).seen
    pages_world.hide(she, look.number)
    home = pages_world.home(she)
    assert (home.on, home.asked, home.to_confirm, home.looks_since) == (1, 0, 0, 0)
    assert not pages_world.only(she).got
    assert pages_world.only(she).state == consent_pb2.GRANT_STATE_ACTIVE
    pages_world.hide(she, pages_world.number(she, grant))
    assert without_numbers(pages_world.home(she)) == empty


def test_it_needs_her_session(pages_world: PortalWorld, she: Her) -> None:
    with refused(Reason.SESSION_INVALID):
        pages_world.home(Her(she.card, she.ref, bytes(32)))
