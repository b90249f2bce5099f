"""Where no script runs, or has not come yet, nothing is promised that only the script keeps; and a
language that she chooses there leads to a page in it, whatever it was chosen on."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from safehand_portal_service.seat import token
from safehand_portal_service.words import Catalogues

from tests.consent.portal.world import Her
from tests.portal import pages_world
from tests.portal.browser import Browser, Seen
from tests.portal.pages_world import PagesWorld

ALL = Catalogues.load(allow_unreviewed=True)
TAGS = [language.tag for language in ALL.languages]
OPEN = ("/", "/in", "/find", "/info", "/lang", "/bye")
HERS = ("/home", "/list", "/list/kind", "/list/stopped", "/steps", "/seen", "/in/pin")
PROMISES = ("start.leave_shift", "start.leave_fewer", "signin.shared_yes_hint")
KEPT = {"/": "start.leave_kept", "/in": "signin.shared_yes_kept"}
"""What is said in their place."""
VOID = frozenset({"input", "meta", "link", "br"})


class Screen(HTMLParser):
    """The words that a browser shows while no script has touched the page.

    Args:
        off: whether scripts are switched off; else the page's own has not come yet.
    """

    def __init__(self, html: str, *, off: bool) -> None:
        super().__init__()
        self.off = off
        self._open: list[tuple[str, bool]] = []
        self._words: list[str] = []
        self.feed(html)

    @property
    def text(self) -> str:
        return " ".join("".join(self._words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in VOID:
            return
        unseen = (
            "hidden" in dict(attrs)
            or tag in ("script", "style", "title")
            or (tag == "dialog" and "open" not in dict(attrs))
            or (tag == "noscript" and not self.off)
        )
        self._open.append((tag, unseen))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not any(unseen for _, unseen in self._open):
            self._words.append(data)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesWorld]:
    with pages_world.serving(tmp_path_factory.mktemp("plain")) as made:
        yield made


@pytest.fixture(scope="module")
def she(world: PagesWorld) -> Her:
    her = world.her()
    world.give(her)
    return her


def said(tag: str, key: str) -> str:
    return str(ALL.words(tag).t(key).striptags())


@pytest.mark.parametrize("off", [True, False], ids=["switched off", "not come yet"])
@pytest.mark.parametrize("tag", TAGS)
def test_nothing_is_promised_that_only_the_script_keeps(
    world: PagesWorld, she: Her, tag: str, off: bool
) -> None:
    browser = world.browser(she, tag)
    one = f"/list/{world.only(she).number}"
    for path in (*OPEN, *HERS, one):
        page = browser.open(path if path in HERS or path == one else f"{path}?l={tag}")
        text = Screen(page.html, off=off).text

        assert page.status == 200, path
        assert text, path
        assert "Shift" not in text, path
        for key in PROMISES:
            assert said(tag, key) not in text, (path, key)
        kept = {said(tag, key) for key in KEPT.values()}
        shown = {said(tag, KEPT[path])} if off and path in KEPT else set()
        assert {one for one in kept if one in text} == shown, path


@pytest.mark.parametrize("tag", TAGS)
def test_what_holds_either_way_is_said_either_way(world: PagesWorld, tag: str) -> None:
    html = world.browser(world.her(), tag).open(f"/?l={tag}").html

    for off in (True, False):
        text = Screen(html, off=off).text
        for key in ("leave_how", "leave_limits", "leave_typed", "leave_device"):
            assert said(tag, f"start.{key}") in text, (key, off)


# --- a language is chosen -------------------------------------------------------------------------

ASKED_FOR = "/home"
"""Where she goes from an answer that cannot be asked for again."""


def is_in(page: Seen, tag: str) -> bool:
    return f'<html lang="{tag}"' in page.html


def chosen(browser: Browser, name: str, to: str) -> Seen:
    """She presses a language of the page that she sees; ``to``: where that leads."""
    form = browser.page.form(name)
    assert form.action == "/lang"
    assert [control.value for control in form.named("to")] == [to]
    return browser.press(name)


def test_where_nobody_knows_if_it_stopped_a_language_leads_to_home(world: PagesWorld) -> None:
    """And with nobody there it is kept by the addresses that she goes to from there."""
    her = world.her()
    world.give(her)
    browser = world.browser(her)
    form = browser.open("/list").form("Stop this sharing with")
    fields = form.fields(form.button("Stop this sharing with"))
    with world.consent_down():
        browser.page = browser.sent("POST", form.action, fields)
        assert browser.page.heading == "We do not know if it stopped"
        home = chosen(browser, "Español", ASKED_FOR)
        assert home.status == 200
        assert is_in(home, "es")
        listed = browser.follow("Quién puede ver")
        assert listed.status == 503
        assert is_in(listed, "es")
        assert is_in(browser.follow(said("es", "errors.again")), "es")
        assert is_in(chosen(browser, "العربية", ASKED_FOR), "ar")
    chosen(browser, "Español", ASKED_FOR)

    assert is_in(browser.open("/list"), "es"), "it lies with her session again"


@pytest.mark.parametrize("tag", ["es", "ar"])
def test_so_it_does_where_a_form_was_refused(world: PagesWorld, tag: str) -> None:
    her = world.her()
    name = next(one.name for one in ALL.languages if one.tag == tag)
    refused = [("/list/stop", "x"), ("/list/0123456789/end", "x"), ("/list/all", "")]
    for path, request_id in refused:
        browser = world.browser(her)
        fields = [("c", token(her.session) if request_id else ""), ("request_id", request_id)]
        browser.page = browser.sent("POST", path, fields)
        assert browser.page.status in (400, 403), path
        page = browser.press(name)

        assert is_in(page, tag), path
        assert page.form(said(tag, "list.stop_all")), "home"


@pytest.mark.parametrize("path", ["/find", "/info"])
def test_a_language_of_a_page_for_everybody_goes_on_with_her(world: PagesWorld, path: str) -> None:
    browser = world.browser(world.her())
    browser.open("/home")
    browser.open(browser.page.link("Find services" if path == "/find" else "Your rights"))

    assert is_in(chosen(browser, "Español", path), "es")
    assert is_in(browser.follow(said("es", "common.back")), "es")
    assert is_in(browser.open("/steps"), "es")


@pytest.mark.parametrize("how", ["over", "covered", "away"])
def test_such_a_page_is_in_it_though_her_session_takes_none(world: PagesWorld, how: str) -> None:
    her = world.her()
    browser = world.browser(her)
    browser.open("/find")
    form = browser.page.form("Español")
    if how != "away":
        wish = {"over": "end", "covered": "cover"}[how]
        session = browser.session
        browser.sent("POST", "/in/seat", [("c", token(her.session)), ("do", wish)])
        browser.session = session
        page = browser.post(form.action, form.fields(form.button("Español")))
    else:
        with world.consent_down():
            page = browser.post(form.action, form.fields(form.button("Español")))

    assert page.status == 200
    assert is_in(page, "es")
    assert page.form(said("es", "find.go")).action == "/find?l=es"


def test_signed_out_a_language_is_a_link(world: PagesWorld) -> None:
    for path in ("/", "/in", "/find", "/info"):
        page = Browser(world.web_port).open(path)
        assert page.link("Español") == "?l=es", path
