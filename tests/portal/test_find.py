"""``/find``: services for everybody, no search in any address, no place that is secret."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from safehand.referral.v1 import directory_pb2 as pb
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_portal_service.pages.find import dialled

from tests.portal.browser import Browser, Seen
from tests.portal.open_app import PHONE, Directory, opened

SECRET = pb.ServiceEntry(
    service="quiet-house",
    name="Quiet <House>",
    organization_name="Harbour",
    description="Behind 22 Sample Street, second floor.",
    needs=["A place to stay"],
    areas=["Northshore County"],
    minimum_age=16,
    phones=["+1 555-0101"],
    addresses=["22 Sample Street, Testport"],
    languages=["English", "Spanish"],
    confidential=True,
    last_checked="2026-10-01",
)
OPEN = pb.ServiceEntry(
    service="law",
    name="Law Centre",
    organization_name="Lantern",
    description="Free legal help.",
    maximum_age=24,
    phones=["555-0103 ext. 21", "ask for Ana"],
    addresses=["1 Test Quay, Testport"],
)
SESSION = "A" * 43


class World:
    """A portal in front of a directory whose answer the test chooses."""

    def __init__(self) -> None:
        self.answer: pb.SearchServicesResponse | SafehandError = pb.SearchServicesResponse()
        self.directory = Directory(self._answered)
        self.port = 0

    def _answered(self, _: pb.SearchServicesRequest) -> pb.SearchServicesResponse:
        if isinstance(self.answer, SafehandError):
            raise self.answer
        return self.answer

    def browser(self, session: str = "") -> Browser:
        return Browser(self.port, session)

    @property
    def asked(self) -> pb.SearchServicesRequest:
        return self.directory.asked[-1]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World()
    with opened(tmp_path_factory.mktemp("portal"), made.directory) as port:
        made.port = port
        yield made


@pytest.fixture
def world(running: World) -> World:
    running.answer = pb.SearchServicesResponse(services=[SECRET, OPEN], total=2)
    running.directory.asked.clear()
    return running


def search(browser: Browser, **typed: str) -> Seen:
    """Fill in the form and press its button. A field that the page lacks cannot be filled in."""
    page = browser.open("/find")
    for name in typed:
        assert f'name="{name}"' in page.html, name
    names = ("need", "words", "area", "language", "age", "free")
    fields = [(name, typed.get(name, "")) for name in names]
    return browser.post(page.form("Search").action, fields)


def main(page: Seen) -> str:
    """What is on the page for her, without what a session adds around it."""
    text = re.search(r"<main.*</main>", page.html, re.S)
    assert text is not None
    kept = re.sub(r'<input type="hidden" name="c"[^>]*>', "", text[0])
    return " ".join(re.sub(r'<p class="back">.*?</p>', "", kept, flags=re.S).split())


# --- who asks changes nothing ---------------------------------------------------------------------


def test_the_same_with_a_session_and_without(world: World) -> None:
    without = search(world.browser(), need="legal", area="Northshore")
    asked = [world.asked]
    with_one = search(world.browser(SESSION), need="legal", area="Northshore")
    asked.append(world.asked)

    assert main(without) == main(with_one)
    assert asked[0] == asked[1]
    assert without.status == with_one.status == 200


def test_nothing_of_a_search_is_in_an_address(world: World) -> None:
    world.answer = pb.SearchServicesResponse(services=[OPEN], total=40, next_page_token="next")
    page = search(world.browser(), words="quiet words", area="Northshore")
    addresses = [href for _, href in page.links] + [form.action for form in page.forms]

    assert page.path == "/find"
    assert "location" not in page.headers
    assert not [found for found in addresses if "quiet" in found or "orthshore" in found]
    assert all("?" not in form.action for form in page.forms)


def test_an_address_with_words_in_it_searches_nothing(world: World) -> None:
    page = world.browser().open("/find?words=quiet&area=Northshore")

    assert page.status == 200
    assert not world.directory.asked
    assert "quiet" not in page.html


def test_a_form_from_elsewhere_is_refused(world: World) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", world.port, timeout=30)
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Sec-Fetch-Site": "cross-site",
        "Origin": "https://elsewhere.example",
    }
    connection.request("POST", "/find", "words=legal", headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()

    assert answer.status == 403
    assert not world.directory.asked


# --- what is asked --------------------------------------------------------------------------------


def test_every_condition_is_passed_on(world: World) -> None:
    page = search(
        world.browser(), need="legal", area=" Northshore ", language="es", age="\u0662\u0660"
    )

    assert world.asked == pb.SearchServicesRequest(
        need="legal", area="Northshore", language="es", age=20, page_size=20
    )
    assert 'value="Northshore"' in page.html
    assert '<option value="legal" selected>' in page.html
    assert '<option value="es" selected>' in page.html


def test_her_own_words_go_before_the_list(world: World) -> None:
    search(world.browser(), need="legal", words="rent")

    assert world.asked.need == "rent"


def test_nothing_chosen_is_everything(world: World) -> None:
    search(world.browser())

    assert world.asked == pb.SearchServicesRequest(page_size=20)


@pytest.mark.parametrize("need", ["housing", "papers", "talk"])
def test_a_choice_is_a_word_that_directories_use(world: World, need: str) -> None:
    search(world.browser(), need=need)

    assert world.asked.need in {"hous", "immigra", "counsel"}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"words": "%"}, "at least one letter"),
        ({"area": "..."}, "at least one letter"),
        ({"words": "a" * 121}, "too long"),
        ({"age": "151"}, "0 to 150"),
        ({"age": "-"}, "What we found"),
        ({"age": "twelve"}, "0 to 150"),
        ({"age": "9999999"}, "0 to 150"),
    ],
)
def test_what_cannot_be_searched_is_said(world: World, typed: dict[str, str], said: str) -> None:
    page = search(world.browser(), **typed)

    assert said in page.text
    assert (page.status == 400) == (not world.directory.asked)


def test_what_she_typed_stays_and_is_never_markup(world: World) -> None:
    page = search(world.browser(), words='"><script>alert(1)</script>')

    assert "<script>alert" not in page.html
    assert "&lt;script&gt;" in page.html


@pytest.mark.parametrize(
    "field", [("need", "everything"), ("language", "xx"), ("language", "es' --"), ("other", "x")]
)
def test_a_crafted_choice_counts_for_nothing(world: World, field: tuple[str, str]) -> None:
    world.browser().post("/find", [field])

    assert world.asked == pb.SearchServicesRequest(page_size=20)


# --- what is shown --------------------------------------------------------------------------------


def test_a_secret_place_is_a_name_and_a_number(world: World) -> None:
    page = search(world.browser())

    assert "<bdi>Quiet &lt;House&gt;</bdi>" in page.html
    assert "By phone only. This place does not show where it is." in page.text
    assert 'href="tel:+15550101"' in page.html
    assert "Northshore County" in page.text
    assert "Sample Street" not in page.html
    assert "Testport" in page.html  # of the open place alone
    assert page.html.count("Testport") == 1


def test_an_open_place_says_where_it_is(world: World) -> None:
    page = search(world.browser())

    assert "1 Test Quay, Testport" in page.text
    assert "Free legal help." in page.text
    assert 'href="tel:5550103"' in page.html
    assert page.html.count("tel:") == page.html.count('href="tel:')
    assert "ask for Ana" in page.text


def test_ages_languages_and_the_day_of_the_last_check(world: World) -> None:
    page = search(world.browser())

    for words in ("From 16 years", "Up to 24 years", "English and Spanish"):
        assert words in page.text
    assert "Thursday, October 1, 2026" in page.text


def test_languages_that_are_known_are_named_in_hers(world: World) -> None:
    known = pb.ServiceEntry()
    known.CopyFrom(OPEN)
    world.answer = pb.SearchServicesResponse(services=[known])
    world.answer.services[0].languages[:] = ["Spanish", "ti", "HAITIAN CREOLE", "Home <sign>"]
    page = world.browser().post("/find?l=es", [("words", "legal")])

    for words in ("español", "tigriña", "criollo haitiano", "Home <sign>"):
        assert words in page.text


def test_no_map_no_picture_and_no_other_site(world: World) -> None:
    page = search(world.browser())

    assert not re.search(r"<(img|iframe|picture|video|embed|object)\b", page.html)
    assert not re.search(r"(?:https?:)?//", page.html.replace("<!doctype html>", ""))


def test_nothing_found_says_what_to_do(world: World) -> None:
    world.answer = pb.SearchServicesResponse()
    page = search(world.browser(), words="llama")

    assert page.status == 200
    assert page.heading == "We found nothing for this"
    for words in ("Try fewer words", "Try another word", "You can also call us", PHONE):
        assert words in page.text
    assert page.form("Search")


def test_more_results_come_with_a_button(world: World) -> None:
    world.answer = pb.SearchServicesResponse(services=[OPEN], total=40, next_page_token="next")
    browser = world.browser()
    search(browser, words="legal", area="Northshore")
    page = browser.press("Show more")

    assert world.asked == pb.SearchServicesRequest(
        need="legal", area="Northshore", page_size=20, page_token="next"
    )
    assert "40 services fit." in page.text
    assert browser.press("Back to the first ones").status == 200
    assert world.asked.page_token == ""


def test_the_results_have_another_title(world: World) -> None:
    browser = world.browser()

    assert browser.open("/find").title == "Find"
    assert search(browser).title == "Found"


# --- what goes wrong ------------------------------------------------------------------------------


def test_the_directory_does_not_answer(world: World) -> None:
    world.answer = SafehandError(Reason.UNAVAILABLE)
    page = search(world.browser(), area="Northshore")

    assert page.status == 503
    assert "retry-after" in page.headers
    assert "We cannot show services right now" in page.text
    assert PHONE in page.text
    assert 'value="Northshore"' in page.html


def test_a_list_that_has_changed_is_searched_again(world: World) -> None:
    world.answer = SafehandError(Reason.PAGE_TOKEN_INVALID)
    page = world.browser().post("/find", [("words", "legal"), ("from", "old")])

    assert page.status == 400
    assert "This list has changed." in page.text


def test_a_word_that_is_none_to_the_directory(world: World) -> None:
    world.answer = SafehandError(Reason.MALFORMED)
    page = search(world.browser(), words="½")

    assert page.status == 400
    assert "at least one letter" in page.text


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("555-0101", "5550101"),
        ("+1 (555) 010.1", "+15550101"),
        ("555-0103 ext. 21", "5550103"),
        ("ask for Ana", ""),
        ("", ""),
        ("javascript:alert(1)", ""),
    ],
)
def test_what_a_phone_dials(text: str, number: str) -> None:
    assert dialled(text) == number


# --- languages ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tag", "dir_"), [("es", "ltr"), ("ar", "rtl")])
def test_the_page_is_in_her_language_and_stays_in_it(world: World, tag: str, dir_: str) -> None:
    page = world.browser().open(f"/find?l={tag}")
    after = world.browser().post(f"/find?l={tag}", [("area", "Northshore")])

    for found in (page, after):
        assert f'<html lang="{tag}" dir="{dir_}"' in found.html
        assert {form.action for form in found.forms} == {f"/find?l={tag}"}
    assert '<bdi dir="ltr" class="num">+1 555-0101</bdi>' in after.html


def test_the_folder_of_the_world_is_not_needed(tmp_path: Path) -> None:
    """The page keeps nothing: a portal has no data but its port."""
    with opened(tmp_path / "fresh", Directory(lambda _: pb.SearchServicesResponse())) as port:
        Browser(port).post("/find", [("words", "legal")])
        assert {file.name for file in (tmp_path / "fresh").iterdir()} == {"portal.port"}


# --- what it costs --------------------------------------------------------------------------------


def costs(page: Seen) -> list[str]:
    found = re.findall(r"<dt>What it costs</dt><dd>(.*?)</dd>", page.html)
    return [re.sub(r"<[^>]+>", "", one) for one in found]


def test_free_is_said_where_it_is_stated_and_nowhere_else(world: World) -> None:
    def made(fees: str, free: bool = False, **changed: bool) -> pb.ServiceEntry:
        return pb.ServiceEntry(service="s", name="S", fees=fees, free=free, **changed)  # type: ignore[arg-type]

    some = "Free <for> who earns little"
    world.answer = pb.SearchServicesResponse(
        services=[made("Gratis", True), made(some), made(""), made("Free", True, confidential=True)]
    )
    asked = costs(search(world.browser(), free="1"))
    assert world.asked.free_first
    assert asked == [
        "Free",
        "Free &lt;for&gt; who earns little",
        "They do not say. Call and ask.",
        "They do not say. Call and ask.",
    ]
    # Who did not ask reads what is stated, and not on every card that nothing is.
    assert costs(search(world.browser())) == asked[:2]
    assert not world.asked.free_first


def test_more_results_are_in_the_same_order(world: World) -> None:
    world.answer = pb.SearchServicesResponse(services=[OPEN], total=40, next_page_token="next")
    browser = world.browser()
    page = search(browser, free="1")
    assert 'name="free" value="1" checked' in page.html, "it stays as she chose"
    browser.press("Show more")
    assert world.asked.free_first
    assert world.asked.page_token == "next"
