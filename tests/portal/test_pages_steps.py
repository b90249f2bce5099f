"""``/steps`` in front of real services: what agencies do is on her page at the next look."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from safehand_core.clock import SystemClock
from safehand_core.entropy import SystemEntropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_portal_service.app import App, build
from safehand_portal_service.settings import PortalSettings

from tests.harness.portal import Outside, Portal, Seated
from tests.harness.world import WORKER, World
from tests.portal.browser import Browser

NOBODY = "127.0.0.1:1"
"""Nothing listens there."""
NAME = "Lantern Law Centre (TEST)"


def served(world: World, directory: Path, referral: str) -> App:
    """Her pages in this process, in front of ``world``."""
    tls = world.party("her").tls
    addresses = world.system.addresses
    values = {
        "PROFILE": "test",
        "DATA_DIR": str(directory),
        "TLS_CERT": str(tls.cert),
        "TLS_KEY": str(tls.key),
        "TLS_CA": str(tls.ca),
        "CONSENT_ADDRESS": addresses.consent,
        "REFERRAL_ADDRESS": referral,
        "PHONE": "+1 555 0100",
        "ALLOW_UNREVIEWED": "true",
    }
    settings = PortalSettings.load({f"SAFEHAND_PORTAL_{k}": v for k, v in values.items()})
    return build(settings, clock=SystemClock(), entropy=SystemEntropy())


@pytest.fixture(scope="module")
def port(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    app = served(world, tmp_path_factory.mktemp("portal"), world.system.addresses.referral)
    yield app.start()
    app.stop()


@pytest.fixture(scope="module")
def alone(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The same, and referral does not answer."""
    app = served(world, tmp_path_factory.mktemp("portal"), NOBODY)
    yield app.start()
    app.stop()


@pytest.fixture
def she(world: World) -> Seated:
    return Portal(world, "", Outside("")).person()


def window(port: int, she: Seated) -> Browser:
    return Browser(port, she.cookie)


def given(world: World, she: Seated) -> str:
    return world.grant(she.person)


def test_what_the_agency_does_is_there_at_the_next_look(
    world: World, port: int, she: Seated
) -> None:
    sent = world.send(given(world, she))
    browser = window(port, she)

    assert "Sent" in browser.open("/steps").text
    assert f"Next: {NAME} says yes or no. By" in browser.page.text
    fetched = world.agency_b.fetch(sent.referral)
    world.agency_b.confirm_delivery(sent.referral)
    world.agency_b.acknowledge(sent.referral)
    assert "They say they got it" in browser.open("/steps").text
    world.agency_b.accept(fetched)
    page = browser.open("/steps")

    assert "They said yes" in page.text
    assert f"Next: {NAME} gives you this help. No date is known yet." in page.text
    assert sent.referral not in page.html


def test_the_steps_of_one_are_told_in_order(world: World, port: int, she: Seated) -> None:
    world.accepted(given(world, she))
    browser = window(port, she)
    browser.open("/steps")

    page = browser.follow("See more")

    told = ["sent it to", "It has arrived at", "says that they got it.", "said yes."]
    places = [page.text.index(words) for words in told]
    assert page.title == "One step"
    assert places == sorted(places)
    assert page.link("See the sharing for this step").startswith("/list/")


def test_a_no_is_said_kindly_and_another_way_is_offered(
    world: World, port: int, she: Seated
) -> None:
    sent = world.send(given(world, she))
    world.agency_b.decline(world.agency_b.fetch(sent.referral), "no_capacity")
    browser = window(port, she)
    browser.open("/steps")

    page = browser.follow("See more")

    assert f"{NAME} could not help. They have no place right now." in page.text
    assert "This is not because of you." in page.text
    assert page.link("Find services") == "/find"
    assert "no_capacity" not in page.html
    assert "declined" not in page.text.lower()


def test_a_stop_ends_the_sharing_and_leaves_the_step(world: World, port: int, she: Seated) -> None:
    fetched = world.accepted(given(world, she))
    world.agency_b.open(fetched, "NAME", worker_ref=WORKER)
    browser = window(port, she)
    browser.open("/home")
    browser.presses = 0

    browser.follow("Who may see")
    page = browser.press("Stop this sharing with")

    assert browser.presses == 2
    assert page.heading == "Sharing has stopped"
    assert "This goes on. They can open nothing new for it." in page.text
    assert "They said yes" in page.text
    with pytest.raises(SafehandError) as refused:
        world.agency_b.open(fetched, "CONTACT", worker_ref=WORKER)
    assert refused.value.reason is Reason.CONSENT_ENDED
    assert "They said yes" in browser.open("/steps").text


def test_with_referral_down_only_its_part_is_missing(world: World, alone: int, she: Seated) -> None:
    world.accepted(given(world, she))
    browser = window(alone, she)

    page = browser.open("/steps")
    assert page.status == 200
    assert "We cannot show where your steps stand right now." in page.text
    assert NAME in page.text
    assert "They said yes" not in page.text
    assert "We cannot show where it stands right now." in browser.follow("See more").text
    browser.open("/list")
    page = browser.press("Stop this sharing with")

    assert page.heading == "Sharing has stopped"
    assert "We cannot show your steps right now. A stop does not end them." in page.text


@pytest.mark.parametrize("over", [False, True], ids=("going on", "over"))
def test_what_cannot_be_known_is_not_said_to_go_on(
    world: World, port: int, alone: int, she: Seated, over: bool
) -> None:
    fetched = world.accepted(given(world, she))
    if over:
        world.agency_b.complete(fetched.referral, "received_service")
    pages = []
    for browser in (window(port, she), window(alone, she)):
        pages += [browser.open("/steps"), browser.follow("See more")]
    browser.open("/list")
    pages.append(browser.press("Stop this sharing with"))
    known, unknown = pages[:2], pages[2:]

    assert all(("You got the help." in page.text) == over for page in known)
    assert "The step itself does not change." in known[1].text
    for page in [*unknown, known[1]]:
        assert not re.search(r"\b(They|It|This|step|itself) go(es)? on\b", page.text), page.path


def test_a_hidden_step_is_gone(world: World, port: int, she: Seated) -> None:
    world.accepted(given(world, she))
    browser = window(port, she)
    browser.open("/steps")
    browser.follow("See more")

    page = browser.press("Do not show this on screen")

    assert page.path == "/steps"
    assert "There is nothing on this list." in page.text


def test_nobody_elses_step_is_there(world: World, port: int, she: Seated) -> None:
    other = Portal(world, "", Outside("")).person()
    world.accepted(given(world, other))
    hers = window(port, other)
    number = hers.open("/steps").link("See more").rpartition("/")[2]
    browser = window(port, she)

    pages = [browser.open(f"/steps/{n}").html for n in (number, "0000000000")]

    assert pages[0] == pages[1]
    assert NAME not in pages[0]
    assert "There is nothing on this list." in browser.open("/steps").text
