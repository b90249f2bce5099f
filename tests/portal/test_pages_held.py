"""Words that nobody has reviewed: on stopping in English wherever they stand, with the phone, which
one line says in her language too; elsewhere marked, whatever file they come from."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from markupsafe import Markup
from safehand.consent.v1 import consent_pb2
from safehand_core import ids
from safehand_portal_service import catalogue
from safehand_portal_service.words import LOCALE, Catalogues

from tests.consent.portal.world import ENTROPY, FIRST_PIN, A, Her, new_request_id
from tests.consent.release.world import Card
from tests.portal import pages_world
from tests.portal.browser import Browser, Seen
from tests.portal.pages_world import PHONE, PagesWorld
from tests.portal.test_home_next import Services, served, view

ARABIC = re.compile(r"[\u0600-\u06ff]")
BLOCK = re.compile(r'<section class="stop".*?</section>', re.S)
MAIN = re.compile(r"<main.*?</main>", re.S)
ALL = Catalogues.load(allow_unreviewed=True)
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


def without(part: str, key: str) -> str:
    """``part`` without this one line of hers, which is shown unreviewed."""
    words = ALL.words("ar")
    name = Markup("<bdi>") + words.t("common.language_name") + Markup("</bdi>")
    said = words.t(key, phone=words.phone(PHONE), language=name)
    line = f'<p class="unchecked" lang="ar" dir="rtl">{said}</p>'
    assert part.count(line) == 1
    assert part.index(line) < part.index('<p class="unchecked">'), "hers first"
    return part.replace(line, "")


def held_back(part: str) -> None:
    part = without(part, "common.part_call")
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
        text = without(text, "common.not_in_language_call").replace("<bdi>العربية</bdi>", "")
        assert '<html lang="en" dir="ltr"' in page.html
        assert not ARABIC.search(text)
        assert "This page is not in" in page.text
        assert PHONE in page.text
    assert not any(one.stopped_by for one in world.sharing(she).sharings)


def test_elsewhere_an_error_is_in_her_language_and_marked(world: PagesWorld, strict: int) -> None:
    page = failed(arabic(world, strict, world.her()), [("c", "not hers")], "/in/pin")

    assert page.status == 403
    assert '<html lang="ar" dir="rtl"' in page.html


# --- a page that borrows words --------------------------------------------------------------------


def reviewed(folder: Path, *pages: str) -> Catalogues:
    """As in production, with Spanish reviewed on these pages."""
    shutil.copytree(LOCALE, folder)
    english = catalogue.read(LOCALE / "en")
    for key, entry in catalogue.read(LOCALE / "es", english).entries.items():
        name = key.split(".", 1)[0]
        if name in pages:
            file = folder / "es" / f"{name}.po"
            stamp = catalogue.stamp(key, english.entries[key].forms, entry.forms)
            line = f"# reviewed: 2026-12-01 translator, survivor advocate [{stamp}]"
            old = f'# reviewed: no\nmsgid "{key}"'
            assert file.read_text().count(old) == 1
            file.write_text(file.read_text().replace(old, f'{line}\nmsgid "{key}"'))
    return Catalogues.load(folder)


@pytest.mark.parametrize(
    ("path", "of", "borrowed", "text"),
    [
        ("/steps", "steps", "list", "Para qué"),
        ("/steps/0000000000", "steps", "list", "Parar nunca le quita un lugar ni una cita."),
        ("/in/new", "signin", "home", "Sus páginas"),
    ],
)
def test_an_unreviewed_text_is_marked_from_whatever_file_it_comes(
    tmp_path: Path, path: str, of: str, borrowed: str, text: str
) -> None:
    marked = str(ALL.words("es").t("common.unreviewed"))
    services = Services(language="es", views=[view(sharing_stopped=True)])
    some, every = ((of, "common", "leave"), (of, borrowed, "common", "leave"))
    seen = []
    for number, pages in enumerate((some, every)):
        texts = reviewed(tmp_path / str(number), *pages)
        with served(tmp_path, services, texts) as browser:
            seen.append(browser.open(path))

    for page in seen:
        assert page.status == 200
        assert text in page.text
    assert [marked in page.text for page in seen] == [True, False]


def test_what_is_held_back_marks_no_page_around_it(tmp_path: Path) -> None:
    """Home is reviewed, its button is not: that stands in English, and says so itself."""
    texts = reviewed(tmp_path / "texts", "home", "steps", "common", "leave")
    with served(tmp_path, Services(language="es"), texts) as browser:
        page = browser.open("/home")

    assert "Esta parte todavía no está en su idioma." in page.text
    assert "Stop everything" in page.text
    assert str(ALL.words("es").t("common.unreviewed")) not in page.text
