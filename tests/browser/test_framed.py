"""What a page of a stranger can make her browser do: show her pages inside of itself, send forms.

The stranger is on another site, and once more under the portal's own name on another port: there
her cookie goes along with everything, and only what the portal itself checks is left.
"""

from __future__ import annotations

import html
import re
from typing import Final

import pytest
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from tests.browser.conftest import Walker
from tests.browser.walk import Walk
from tests.harness.portal import BEFORE, COOKIE, Outside, Portal, Shares, asked_for
from tests.harness.world import WORKER

pytestmark = pytest.mark.slow  # a browser and a stranger for each way in

STRANGER: Final = pytest.mark.parametrize("near", [False, True], ids=["elsewhere", "same site"])
FRAMING: Final = "/framing"
FORGING: Final = "/forging"
FRAMED: Final = ("/", "/in", "/home", "/list", "/x")
FORM: Final = re.compile(
    r'action="(/list/\d{10}/stop)".*?name="c" value="([^"]+)".*?name="request_id" value="([^"]+)"',
    re.DOTALL,
)


def origin(outside: Outside, near: bool) -> str:
    return outside.near if near else outside.url


def forged(portal: Portal, path: str, fields: dict[str, str]) -> str:
    """A page whose form sends itself to the portal."""
    inputs = "".join(
        f'<input name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in fields.items()
    )
    return (
        f'<form method="post" action="{portal.url}{path}">{inputs}</form>'
        "<script>document.forms[0].submit()</script>"
    )


def stops(portal: Portal, shares: Shares) -> tuple[str, dict[str, str]]:
    """A form of her list that stops something, whole, with what no stranger can know."""
    found = FORM.search(asked_for(portal, "/list", shares).text)
    assert found is not None
    return found[1], {"c": found[2], "request_id": found[3]}


def sent(walk: Walk, near: bool, path: str) -> int:
    """Let the stranger's form go; the status with which the portal answers it."""
    with walk.page.expect_response(walk.url(path)) as answer:
        walk.page.goto(origin(walk.portal.outside, near) + FORGING, wait_until="commit")
    assert answer.value.request.method == "POST"
    walk.page.wait_for_load_state()
    return answer.value.status


def opens(portal: Portal, shares: Shares) -> Reason | None:
    """Why agency B may not open how to reach her; None where it may."""
    try:
        portal.world.agency_b.open(shares.fetched, "CONTACT", worker_ref=WORKER)
    except SafehandError as error:
        return error.reason
    return None


@STRANGER
def test_no_page_of_hers_is_shown_inside_of_a_strangers(
    walker: Walker, portal: Portal, near: bool
) -> None:
    seated = portal.person()
    walk, outside = walker(seated), portal.outside
    addresses = [outside.url + BEFORE, *(portal.url + path for path in FRAMED)]
    outside.pages[FRAMING] = "".join(f'<iframe src="{address}"></iframe>' for address in addresses)
    walk.page.goto(origin(outside, near) + FRAMING)
    assert set(walk.asked) >= set(addresses), "the browser asked for each"
    own, *framed = walk.page.main_frame.child_frames
    assert own.inner_text("body") == "before", "what may be framed is shown"
    assert len(framed) == len(FRAMED)
    for frame in framed:
        assert frame.locator("main, header, form").count() == 0, frame.url
        assert "Home" not in frame.content()
    # Nor does what stands inside of a stranger's page take her away.
    assert [cookie["value"] for cookie in walk.context.cookies()] == [seated.cookie]
    walk.go("/home")
    assert walk.page.locator("#seat").count() == 1


@STRANGER
@pytest.mark.parametrize("everything", [False, True], ids=["one", "everything"])
def test_a_strangers_form_stops_nothing(
    walker: Walker, portal: Portal, near: bool, everything: bool
) -> None:
    """Though it holds all that her own form holds."""
    shares = portal.sharing()
    path, fields = stops(portal, shares)
    if everything:
        path = "/list/stop"
    portal.outside.pages[FORGING] = forged(portal, path, fields)
    walk = walker(shares)
    size = portal.world.fsck().size
    assert sent(walk, near, path) in (200, 403)
    assert "/stopped" not in walk.page.url
    assert portal.world.fsck().size == size
    assert opens(portal, shares) is None
    # The same form, had it been ours, stops it.
    assert asked_for(portal, path, shares, form=fields).status == 303
    assert portal.world.fsck().size > size


@STRANGER
def test_a_strangers_form_signs_nobody_in(walker: Walker, portal: Portal, near: bool) -> None:
    """With a card of the stranger's: she would write her life into it."""
    stranger, hers = portal.person().person, portal.person()
    fields = {"card": stranger.card, "pin": stranger.pin, "shared": "yes"}
    portal.outside.pages[FORGING] = forged(portal, "/in", fields)
    for seated, cookies in ((None, []), (hers, [hers.cookie])):
        walk = walker(seated)
        sent(walk, near, "/in")
        kept = [cookie["value"] for cookie in walk.context.cookies()]
        assert kept == cookies
    # The same form, had it been ours, signs in.
    assert COOKIE in asked_for(portal, "/in", form=fields).headers["set-cookie"]
