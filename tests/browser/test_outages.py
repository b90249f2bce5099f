"""What her pages say, and what still works, while a service is away.

A process that is stopped takes connections and says nothing: the worst way to be away. Nothing is
shown as done that is not.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from tests.browser.conftest import Walker
from tests.browser.tour import STOP_ALL, STOP_ONE
from tests.browser.walk import LEAVE
from tests.harness.portal import Portal, Shares, asked_for
from tests.harness.world import WORKER, eventually

pytestmark = pytest.mark.slow  # services are killed and come back

PHONE: Final = "000-0100"
CALL: Final = f'a[href="tel:{PHONE}"]'


@contextmanager
def away(portal: Portal, *processes: str) -> Iterator[None]:
    """They are stopped inside the block, and go on behind it."""
    supervisor = portal.world.system.supervisor
    for name in processes:
        supervisor.kill(name, signal.SIGSTOP)
    try:
        yield
    finally:
        for name in processes:
            supervisor.kill(name, signal.SIGCONT)


def consent_answers(portal: Portal, shares: Shares) -> None:
    eventually(
        lambda: 'id="seat"' in asked_for(portal, "/home", shares).text,
        "consent is back for the portal",
        within_s=60,
    )


def test_with_consent_away_home_says_so_and_whom_to_call(walker: Walker, portal: Portal) -> None:
    shares = portal.sharing()
    walk = walker(shares)
    with away(portal, "consent"):
        assert walk.go("/home").status == 200
        assert walk.page.locator(CALL).count() >= 1
        assert "Lantern" not in walk.text
        # The doors that need no service stand open.
        for path in ("/", "/in", "/info", "/lang"):
            assert walk.go(path).status == 200
        answer = walk.go("/list")
        assert answer.status == 503
        assert walk.page.locator(CALL).count() >= 1
    consent_answers(portal, shares)


def test_with_consent_away_nothing_is_shown_as_stopped(walker: Walker, portal: Portal) -> None:
    shares = portal.sharing()
    walk = walker(shares, javascript=False)
    walk.go("/list")
    with away(portal, "consent"):
        walk.click(f"{STOP_ONE} >> nth=0")
        assert walk.page.locator(CALL).count() >= 1
        assert "has stopped" not in walk.text
        assert walk.page.title()
        again = walk.page.locator('main form[action$="/stop"] button')
        assert again.count() == 1, "the same press can be repeated"
    consent_answers(portal, shares)
    walk.click('main form[action$="/stop"] button')
    assert walk.path.endswith("/stopped")
    assert "has stopped" in walk.page.inner_text("h1")


@pytest.mark.parametrize("press", ["one", "all"])
def test_with_all_others_away_she_still_stops(walker: Walker, portal: Portal, press: str) -> None:
    shares = portal.sharing()
    walk = walker(shares)
    with away(portal, "referral", "referral-worker", "notify", "consent-worker", "nats-server"):
        assert walk.go("/home").status == 200
        walk.click('main a[href="/list"]')
        walk.click(f"{STOP_ONE} >> nth=0" if press == "one" else STOP_ALL)
        assert walk.path.endswith("/stopped")
        with pytest.raises(SafehandError) as caught:
            portal.world.agency_b.open(shares.fetched, "CONTACT", worker_ref=WORKER)
        assert caught.value.reason is Reason.CONSENT_ENDED
        assert walk.go("/steps").status == 200
        assert walk.page.locator("main .card, main .empty, main .notice").count()


def test_with_consent_away_she_can_still_leave(walker: Walker, portal: Portal) -> None:
    """The server's session then ends by itself; her browser forgets at once."""
    walk = walker(portal.person())
    walk.go("/home")
    with away(portal, "consent"):
        walk.page.click(LEAVE)
        walk.page.wait_for_url(portal.outside.after)
        assert walk.context.cookies() == []


def test_a_killed_portal_comes_back_at_the_same_address(walker: Walker, portal: Portal) -> None:
    walk = walker(portal.person())
    walk.go("/home")
    portal.world.system.supervisor.kill("portal")
    portal.world.system.supervisor.wait_ready("portal")

    def back() -> bool:
        try:
            return 'id="seat"' in asked_for(portal, "/home", walk.seated).text
        except OSError:
            return False

    eventually(back, "her session outlived the portal, which keeps nothing", within_s=60)
