"""Words on stopping that nobody has reviewed: in English wherever they stand, with the phone."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from safehand.consent.v1 import consent_pb2
from safehand_core import ids

from tests.consent.portal.world import ENTROPY, FIRST_PIN, A, Her, new_request_id
from tests.consent.release.world import Card
from tests.portal import pages_world
from tests.portal.browser import Browser, Seen
from tests.portal.pages_world import PHONE, PagesWorld

ARABIC = re.compile(r"[\u0600-\u06ff]")
BLOCK = re.compile(r'<section class="stop".*?</section>', re.S)
MAIN = re.compile(r"<main.*?</main>", re.S)
NOTICE = "This part is not in your language yet. Call us at"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesWorld]:
    with pages_world.serving(tmp_path_factory.mktemp("held")) as made:
        yield made


@pytest.fixture(scope="module")
def strict(world: PagesWorld) -> Iterator[int]:
    """The pages as in production: no unreviewed word where she decides."""
    app = world.portal_process(ALLOW_UNREVIEWED="false", DATA_DIR=str(world.directory / "strict"))
    yield app.start()
    app.stop()


def arabic(world: PagesWorld, port: int, she: Her) -> Browser:
    browser = world.browser(she, "ar")
    browser.port = port
    return browser


def with_a_seen_pin(world: PagesWorld) -> Her:
    """Somebody whose PIN a worker has seen."""
    card, ref = world.new_card(), ids.new_id(ENTROPY)
    world.agency(A).RegisterSubject(
        consent_pb2.RegisterSubjectRequest(
            request_id=new_request_id(), subject_ref=ref, card_number=card.number, pin=FIRST_PIN
        )
    )
    seen = Card(card.number, FIRST_PIN)
    return Her(seen, ref, world.sign_in(seen))


def block(page: Seen) -> str:
    (found,) = BLOCK.findall(page.html)
    return str(found)


def held_back(part: str) -> None:
    assert not ARABIC.search(part)
    assert 'lang="en" dir="ltr"' in part
    assert NOTICE in part
    assert PHONE in part
    assert "Stop everything</button>" in part


def test_the_block_of_home_is_in_english_until_it_is_reviewed(
    world: PagesWorld, strict: int
) -> None:
    page = arabic(world, strict, world.her()).open("/home")

    assert '<html lang="ar" dir="rtl"' in page.html
    held_back(block(page))
    assert "One press stops all sharing at once." in block(page)


def test_so_is_the_block_before_a_new_pin(world: PagesWorld, strict: int) -> None:
    she = with_a_seen_pin(world)
    page = arabic(world, strict, she).open("/in/pin")

    assert '<html lang="ar" dir="rtl"' in page.html
    held_back(block(page))
    assert "You do not need a new PIN to stop all sharing." in block(page)


def test_so_is_the_block_of_home_with_consent_down(world: PagesWorld, strict: int) -> None:
    browser = arabic(world, strict, world.her())
    with world.consent_down():
        page = browser.open("/home")

    held_back(block(page))


def test_in_the_sandbox_the_block_is_in_her_language(world: PagesWorld) -> None:
    page = arabic(world, world.web_port, world.her()).open("/home")

    assert ARABIC.search(block(page))
    assert NOTICE not in block(page)


def test_in_english_nothing_is_said_about_a_language(world: PagesWorld, strict: int) -> None:
    browser = world.browser(world.her())
    browser.port = strict

    assert NOTICE not in browser.open("/home").html


def failed(browser: Browser, fields: list[tuple[str, str]], path: str = "/list/stop") -> Seen:
    return browser.sent("POST", path, fields)


def test_a_stop_that_failed_is_told_in_reviewed_words(world: PagesWorld, strict: int) -> None:
    she = world.her()
    world.give(she)
    browser = arabic(world, strict, she)
    form = browser.open("/home").form("Stop everything")
    fields = form.fields(form.button("Stop everything"))

    refused = failed(browser, [("c", "not hers")])
    malformed = failed(browser, [(n, "x" if n == "request_id" else v) for n, v in fields])
    with world.consent_down():
        unsure = failed(browser, fields)

    assert refused.status == 403
    assert malformed.status == 400
    assert unsure.status == 503
    for page in (refused, malformed, unsure):
        (text,) = MAIN.findall(page.html)
        text = re.sub(r'<p class="unchecked">.*?</p>', "", text)
        assert '<html lang="en" dir="ltr"' in page.html
        assert not ARABIC.search(text)
        assert "This page is not in" in page.text
        assert PHONE in page.text
    assert not any(one.stopped_by for one in world.sharing(she).sharings)


def test_elsewhere_an_error_is_in_her_language_and_marked(world: PagesWorld, strict: int) -> None:
    page = failed(arabic(world, strict, world.her()), [("c", "not hers")], "/in/pin")

    assert page.status == 403
    assert '<html lang="ar" dir="rtl"' in page.html
