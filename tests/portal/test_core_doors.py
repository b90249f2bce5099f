"""What holds for every answer: headers, host, size, who may send a form, the signed-out page."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from safehand_portal_service.guard import BODY_MAX, HEADERS
from safehand_portal_service.seat import token

from tests.portal.core_world import PHONE, Answer, Client, CoreWorld, cookie, core_world

OPEN = ("/", "/in", "/bye", "/lang", "/find", "/info")
HERS = ("/home", "/list", "/steps", "/seen", "/in/pin", "/in/new")
NOWHERE = ("/nope", "/list/0123456789", "/list/../x", "/seen/", "/admin", "/robots.txt")
DEAD = b"\x07" * 32


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoreWorld]:
    with core_world(tmp_path_factory.mktemp("doors")) as found:
        yield found


@pytest.fixture
def client(world: CoreWorld) -> Client:
    return Client(world.web_port)


@pytest.fixture(scope="module")
def session(world: CoreWorld) -> bytes:
    return world.her().session


def raw(world: CoreWorld, request: bytes) -> bytes:
    """The answer to bytes that no client library would send."""
    with socket.create_connection(("127.0.0.1", world.web_port), timeout=30) as line:
        answer = b""
        with contextlib.suppress(ConnectionError):
            line.sendall(request)
        with contextlib.suppress(ConnectionError):
            while b"\r\n\r\n" not in answer and (chunk := line.recv(65536)):
                answer += chunk
    return answer


def every_answer(client: Client, session: bytes) -> Iterator[tuple[str, Answer]]:
    for path in (*OPEN, *HERS, *NOWHERE, "/x"):
        yield f"GET {path}", client.get(path)
    for path in (*OPEN, *HERS, *NOWHERE):
        yield f"signed in {path}", client.get(path, session)
        yield f"POST {path}", client.post(path, {})
        yield f"foreign {path}", client.post(path, {}, session, sec_fetch_site="cross-site")
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
        yield method, client.send(method, "/home")
    yield "host", client.get("/", host="evil.example")
    yield "large", client.post("/in", {"card": "1" * BODY_MAX})
    yield "type", client.post("/in", {}, content_type="text/plain")


def test_every_answer_has_every_header(client: Client, session: bytes) -> None:
    for name, answer in every_answer(client, session):
        for header, value in HEADERS.items():
            assert answer.header(header) == value, (name, header)
        assert not answer.header("server"), name
        assert not answer.header("date"), name
        assert not answer.header("access-control-allow-origin"), name


def test_the_policy_that_every_answer_has_is_the_strict_one(client: Client) -> None:
    policy = dict(
        part.strip().split(" ", 1)
        for part in client.get("/").header("content-security-policy").split(";")
    )
    assert policy.pop("default-src") == "'none'"
    assert policy.pop("base-uri") == "'none'"
    assert policy.pop("frame-ancestors") == "'none'"
    assert policy.pop("img-src") == "'self' data:"
    assert set(policy.values()) == {"'self'"}
    assert {"script-src", "style-src", "connect-src", "form-action"} <= set(policy)
    answer = client.get("/")
    assert answer.header("x-frame-options") == "DENY"
    assert answer.header("cache-control") == "no-store"
    assert answer.header("referrer-policy") == "no-referrer"


def test_the_first_view_is_small_and_the_two_files_are_kept(client: Client) -> None:
    page = client.get("/")
    files = [part.split('"')[0] for part in page.text.split('="')[1:] if part.startswith("/s-")]
    assert len(files) == 2
    total = len(page.body)
    for path in files:
        answer = client.get(path, accept_encoding="gzip")
        assert answer.header("cache-control") == "public, max-age=31536000, immutable"
        assert answer.header("x-content-type-options") == "nosniff"
        total += len(answer.body)
    assert total < 60 * 1024


def test_pages_hold_nothing_inline_and_nothing_of_others(client: Client, session: bytes) -> None:
    for path in (*OPEN, *HERS):
        page = client.get(path, session).text
        for forbidden in ("style=", "onclick", "<style", "javascript:", "http://", "https://"):
            assert forbidden not in page, (path, forbidden)
        assert page.count("<script") == 1, path


# --- nobody is signed in --------------------------------------------------------------------------


def test_signed_out_every_address_gives_the_same_bytes(client: Client) -> None:
    expected = client.get("/in")
    assert expected.status == 200
    for path in (*HERS, *NOWHERE):
        for session in (b"", DEAD):
            answer = client.get(path, session)
            assert (answer.status, answer.body) == (200, expected.body), (path, session)
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH"):
        assert client.send(method, "/list").body == expected.body


UNDONE = "That page was too old. What you just pressed was not done."
PIN_FIRST = "We need your PIN first. What you just pressed was not done."
PRESSES = ("/list/stop", "/list/0123456789/stop", "/list/new/0123456789", "/steps/0123456789/hide")


def test_what_she_pressed_when_nobody_was_signed_in_is_told_as_not_done(
    client: Client, world: CoreWorld, session: bytes
) -> None:
    """The same bytes whether the session is over, missing, no session at all, or not this number's:
    who presses learns that it was not done, and nothing else."""
    expected = client.post("/list/stop", {})
    assert expected.status == 200
    assert UNDONE in expected.text
    assert expected.text.index(UNDONE) < expected.text.index("<form")
    assert UNDONE not in client.get("/list/stop").text
    for path in (*PRESSES, "/lang", "/in/seat", *NOWHERE):
        form = {"c": token(DEAD), "request_id": world.request_id(), "l": "en", "do": "stay"}
        for given in (b"", DEAD):
            answer = client.post(path, form, given)
            assert (answer.status, answer.body) == (200, expected.body), (path, given)
        assert client.post(path, form, cookie="__Host-s=AAAA").body == expected.body
        scripted = client.post(path, form, DEAD, accept="text/plain")
        assert scripted.body == expected.body
        assert scripted.header("content-type").startswith("text/html")
    form = {"c": token(session), "request_id": world.request_id()}
    assert client.post("/list/0123456789/stop", form, session).body == expected.body


def test_what_she_pressed_when_it_was_covered_is_told_as_not_done(
    client: Client, world: CoreWorld
) -> None:
    her = world.her()
    world.give(her)
    number = world.only(her).number
    form = {"c": token(her.session), "request_id": world.request_id()}
    client.post("/in/seat", {**form, "do": "cover"}, her.session)
    silent = client.get("/list", her.session)
    said = [client.post(path, form, her.session) for path in (*PRESSES, f"/list/{number}/stop")]
    assert {(one.status, one.body) for one in said} == {(200, said[0].body)}
    assert PIN_FIRST in said[0].text
    assert PIN_FIRST not in silent.text
    assert world.home(world.again(her)).on == 1


def test_of_what_was_not_pressed_nothing_is_said(client: Client, world: CoreWorld) -> None:
    """The script's own wishes; and a second press on what put another session in the place of this
    one, where the first press was done."""
    silent = client.get("/in").body
    for wish in ("cover", "end"):
        assert client.post("/in/seat", {"do": wish}).body == silent
        form = {"c": token(DEAD), "do": wish}
        assert UNDONE not in client.post("/in/seat", form, DEAD).text
    her = world.her()
    form = {"c": token(her.session), "pin": her.card.pin, "new": "864209"}
    assert client.post("/in/pin", form, her.session).header("location") == "/in/new"
    assert client.post("/in/pin", form, her.session).body == silent


def test_a_number_of_somebody_else_or_of_nobody_is_the_signed_out_page(
    client: Client, world: CoreWorld, session: bytes
) -> None:
    other = world.her()
    world.give(other)
    number = world.only(other).number
    expected = client.get("/in").body
    assert client.get(f"/list/{number}", other.session).body != expected
    for tried in (number, "0123456789", "1", "../home"):
        assert client.get(f"/list/{tried}", session).body == expected


def test_a_session_that_is_over_is_taken_away(client: Client) -> None:
    gone = client.get("/home", DEAD).header("set-cookie")
    assert gone.startswith("__Host-s=;")
    assert "Max-Age=0" in gone


@pytest.mark.parametrize(
    "value",
    ["", "A" * 42, "A" * 44, "A" * 42 + "!", "__Host-s", "A" * 43 + "; __Host-s=" + "B" * 43],
)
def test_a_cookie_of_another_shape_is_nobody(client: Client, value: str) -> None:
    assert client.get("/home", cookie=f"__Host-s={value}").body == client.get("/in").body


def test_two_cookies_of_our_name_are_nobody(client: Client, session: bytes) -> None:
    other = "__Host-s=" + "B" * 43
    for both in (f"{cookie(session)}; {other}", f"{other}; {cookie(session)}"):
        assert client.get("/home", cookie=both).body == client.get("/in").body
    assert client.get("/home", cookie=cookie(session)).body != client.get("/in").body


# --- what is asked for ----------------------------------------------------------------------------


def test_nothing_of_the_query_is_in_the_answer(client: Client) -> None:
    for path in ("/", "/in", "/nope", "/home", "/x", "/lang"):
        plain, asked = (
            client.get(path),
            client.get(f"{path}?l=%22%3E%3Cb%3Epwn&next=//evil.example"),
        )
        assert b"pwn" not in asked.body
        assert b"evil" not in asked.body
        assert asked.header("location") == plain.header("location")
        assert asked.body == plain.body


def test_a_header_cannot_be_split(client: Client, world: CoreWorld) -> None:
    for path in ("/%0d%0aSet-Cookie:%20a=b", "/in?l=%0d%0aX-Bad:1", "/list/%0d%0aX-Bad:1"):
        answer = client.get(path)
        assert not answer.header("x-bad")
        assert "a=b" not in answer.header("set-cookie")
    sent = raw(world, b"GET /x\r\nX-Bad: 1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"X-Bad" not in sent


def test_another_host_is_refused_and_never_repeated(client: Client, world: CoreWorld) -> None:
    for host in ("evil.example", "localhost.evil.example", "localhost@evil.example", "local host"):
        answer = client.get("/", host=host)
        assert (answer.status, answer.body) == (421, b"")
    for good in ("localhost", f"127.0.0.1:{world.web_port}", "LOCALHOST:1"):
        assert client.get("/", host=good).status == 200
    twice = raw(world, b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
    assert b" 421 " in twice.split(b"\r\n")[0]


def test_a_body_is_bounded_also_where_its_length_is_not_told(
    client: Client, world: CoreWorld
) -> None:
    assert client.post("/in", {"card": "1" * BODY_MAX}).status == 413
    head = (
        b"POST /in HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"4000\r\n" + b"a" * 0x4000 + b"\r\n"
    answer = raw(world, head + chunk + chunk + b"0\r\n\r\n")
    assert b" 413 " in answer.split(b"\r\n")[0]


def test_a_head_is_bounded(world: CoreWorld) -> None:
    large = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * 40_000 + b"\r\n\r\n"
    answer = raw(world, large)
    assert b" 400 " in answer.split(b"\r\n")[0]
    assert b"content-security-policy" in answer


@pytest.mark.parametrize(
    "body", [b"a=%ff", b"=&" * 100, "card=ü".encode(), b"\x00\x01", b"{}", b"card[]=1&card=%00"]
)
def test_a_body_that_is_no_form_signs_nobody_in(client: Client, body: bytes) -> None:
    answer = client.send(
        "POST",
        "/in",
        body,
        {
            "Content-Type": "application/x-www-form-urlencoded",
            "Sec-Fetch-Site": "same-origin",
        },
    )
    assert answer.status in (200, 400)
    assert not answer.session


# --- who may send a form --------------------------------------------------------------------------


def test_a_form_from_elsewhere_is_refused(client: Client, world: CoreWorld, session: bytes) -> None:
    form = {"c": token(session), "l": "en", "to": "/home"}
    own = f"http://127.0.0.1:{world.web_port}"
    elsewhere = [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none"},
        {"sec_fetch_site": "cross-site", "origin": "null"},
        {"sec_fetch_site": "none", "origin": "null"},
        {"sec_fetch_site": "", "origin": "https://evil.example"},
        {"sec_fetch_site": "same-origin", "origin": "https://evil.example"},
        {"sec_fetch_site": "cross-site", "origin": own},
        {"sec_fetch_site": "", "origin": own + ".evil.example"},
        {"sec_fetch_site": "", "origin": own + "/"},
    ]
    for headers in elsewhere:
        assert client.post("/lang", form, session, **headers).status == 403, headers
        assert client.post("/in", {"card": "1", "pin": "1"}, b"", **headers).status == 403, headers
        assert client.post("/find", {"need": "legal"}, b"", **headers).status == 403, headers
    for headers in (
        {"sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "same-origin", "origin": "null"},
        {"sec_fetch_site": "", "origin": own},
        {"sec_fetch_site": "same-origin", "origin": own},
    ):
        assert client.post("/lang", form, session, **headers).status == 303, headers


OLD = ({"sec_fetch_site": "", "origin": "null"}, {"sec_fetch_site": ""})
"""What browsers without Sec-Fetch-Site say of a plain form under ``no-referrer``: nothing."""


@pytest.mark.parametrize("headers", OLD, ids=("null", "missing"))
def test_she_stops_with_a_browser_that_does_not_say_whose_page_it_was(
    client: Client, world: CoreWorld, headers: dict[str, str]
) -> None:
    """Her session's token says it; without it nothing is done."""
    her = world.her()
    world.give(her)
    number = world.only(her).number
    form = {"request_id": world.request_id()}
    for given in ("", token(DEAD)):
        answer = client.post(f"/list/{number}/stop", {**form, "c": given}, her.session, **headers)
        assert answer.status == 403
    assert world.home(her).on == 1
    stop = client.post(
        f"/list/{number}/stop", {**form, "c": token(her.session)}, her.session, **headers
    )
    assert (stop.status, stop.header("location")) == (303, f"/list/{number}/stopped")
    assert world.home(her).on == 0


@pytest.mark.parametrize("headers", OLD, ids=("null", "missing"))
@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("en", "Turn on JavaScript, or use another browser"),
        ("es", "Active JavaScript o use otro navegador"),
        ("ar", "تشغيل JavaScript"),
    ],
)
def test_such_a_browser_signs_nobody_in_and_says_what_to_do(
    client: Client, world: CoreWorld, headers: dict[str, str], tag: str, said: str
) -> None:
    """A stranger's page could have made the form, with a card of the stranger's."""
    her = world.her()
    form = {"card": her.card.number, "pin": her.card.pin, "shared": "yes"}
    for session in (b"", her.session):
        answer = client.post(f"/in?l={tag}", form, session, **headers)
        assert answer.status == 403
        assert not answer.header("set-cookie")
        assert said in answer.text
        assert PHONE.replace(" ", "") in answer.text
    assert client.get("/home", her.session).body != client.get("/in").body


@pytest.mark.parametrize("headers", OLD, ids=("null", "missing"))
def test_such_a_browser_finds_services(client: Client, headers: dict[str, str]) -> None:
    # Referral is not there: the answer is the search's own.
    answer = client.post("/find", {"need": "legal"}, b"", **headers)
    assert answer.status == 503
    assert 'action="/find"' in answer.text


def test_a_form_without_this_sessions_token_is_refused(
    client: Client, world: CoreWorld, session: bytes
) -> None:
    other = world.her()
    for given in ("", token(other.session), token(session)[:-1], token(session) + "A", "é"):
        assert client.post("/lang", {"c": given, "l": "en"}, session).status == 403
        assert client.post("/in/seat", {"c": given, "do": "end"}, session).status == 403
    assert world.home(world.again(other)).on == 0  # nobody was signed out
    assert client.get("/home", session).body != client.get("/in").body


def test_a_refused_form_changes_nothing(client: Client, world: CoreWorld) -> None:
    her = world.her()
    world.give(her)
    for headers in ({"sec_fetch_site": "cross-site"}, {"sec_fetch_site": "same-origin"}):
        fields = {"request_id": world.request_id(), "c": ""}
        assert client.post("/list/stop", fields, her.session, **headers).status == 403
    assert world.home(her).on == 1


def test_the_language_goes_back_to_our_own_pages_alone(client: Client, session: bytes) -> None:
    for to in (
        "//evil.example",
        "https://evil.example",
        "/x",
        "/home?a=b",
        "/list/../x",
        "\r\n",
        "",
    ):
        answer = client.post("/lang", {"c": token(session), "l": "en", "to": to}, session)
        assert (answer.status, answer.header("location")) == (303, "/home"), to
    answer = client.post("/lang", {"c": token(session), "l": "en", "to": "/steps"}, session)
    assert answer.header("location") == "/steps"


def test_a_language_of_ours_alone_is_a_language(client: Client) -> None:
    english = client.get("/in").body
    for asked in ("en", "xxx", "../en", "e" * 400, "en'", ""):
        assert client.get(f"/in?l={asked}").text.count('<html lang="en"') == 1
    assert client.get("/in", accept_language="zz;q=1,en;q=0.1").body == english


# --- what is logged and kept ----------------------------------------------------------------------


def test_the_portal_keeps_a_port_and_nothing_else(world: CoreWorld, client: Client) -> None:
    client.get("/")
    folder: Path = world.portal_app.portal.settings.data_dir
    assert [path.name for path in folder.iterdir()] == ["portal.port"]


def test_cookie_has_the_attributes_that_bind_it(client: Client, session: bytes) -> None:
    assert cookie(session).startswith("__Host-s=")
    form = {"c": token(session), "do": "end"}
    gone = client.post("/in/seat", {**form, "do": "nothing"}, session)
    assert gone.status == 204
    assert not gone.header("set-cookie")
