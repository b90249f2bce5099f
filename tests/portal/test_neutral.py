"""Names that others can read say nothing: titles, addresses, cookie, files, certificates."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import NameOID
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_portal_service import neutral, seat, views
from safehand_portal_service.app import PAGES
from safehand_portal_service.guard import HEADERS
from safehand_portal_service.settings import PortalSettings
from safehand_portal_service.words import Catalogues

from tests.portal.browser import Browser
from tests.portal.open_app import nobody, opened

LANGUAGES = ("en", "es", "ar")
ALL = Catalogues.load()
PATHS = sorted({route.path for page in PAGES for route in page.ROUTES})
OPEN = ("/", "/in", "/find", "/info", "/lang", "/bye", "/nothing-here", "/list/0123456789")
STANDARD = "referrer-policy"
"""A name that browsers know: every other site sends it too."""
DAY = datetime.timedelta(days=1)

_TITLE = re.compile(r"{% block title %}(.*?){% endblock %}", re.S)
_QUOTED = re.compile(r"'([a-z]+(?:\.[a-z_]+)+)'")


def titles() -> set[str]:
    """The keys of every page's title."""
    found = {key for key in ALL.catalogue("en").entries if re.search(r"\.title(\.|$)", key)}
    for file in views.TEMPLATES.glob("*.html"):
        for block in _TITLE.findall(file.read_text(encoding="utf-8")):
            found |= set(_QUOTED.findall(block))
    return found


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with opened(tmp_path_factory.mktemp("portal"), nobody()) as found:
        yield found


@pytest.mark.parametrize(
    "text",
    [
        "Consent",
        "safehand.example",
        "My CASE",
        "Shelters",
        "VÍCTIMAS",
        "Su seguridad",
        "صفحة الضحايا",
        "مَلْجَأ",
        "a-referral-b",
    ],
)
def test_the_lint_sees_them(text: str) -> None:
    assert neutral.found(text)


@pytest.mark.parametrize("text", ["Home", "List", "Pasos", "الخطوات", "weather.example", "Inicio"])
def test_a_plain_word_passes(text: str) -> None:
    assert not neutral.found(text)


def test_every_stem_of_the_specification_is_held() -> None:
    required = (
        "abuse violen victim surviv traffic shelter refuge police rape assault exploit asylum "
        "immigr consent complain referr case safe crisis hotline"
    )

    assert set(required.split()) <= set(neutral.STEMS["en"])


@pytest.mark.parametrize("tag", LANGUAGES)
def test_titles_say_nothing_and_differ(tag: str) -> None:
    said = {key: ALL.words(tag).plain(key) for key in titles()}

    assert {key: neutral.found(text) for key, text in said.items() if neutral.found(text)} == {}
    doubles = {key for key in said if list(said.values()).count(said[key]) > 1}
    assert not doubles, sorted(doubles)


def test_addresses_say_nothing() -> None:
    assert {path: neutral.found(path) for path in PATHS if neutral.found(path)} == {}
    assert all(re.fullmatch(r"(/[a-z]{0,8}|/\{[a-z]+\})*", path) for path in PATHS), PATHS


def test_the_cookie_files_and_icon_say_nothing() -> None:
    files = [views.asset("s.css", "text/css").path, views.asset("s.js", "text/javascript").path]
    files += [views.icon().path, *(file.name for file in views.STATIC.iterdir())]

    for name in (seat.COOKIE, *files):
        assert not neutral.found(name), name


def test_headers_say_nothing() -> None:
    for name, value in HEADERS.items():
        assert name == STANDARD or not neutral.found(f"{name}: {value}")


@pytest.mark.parametrize("tag", LANGUAGES)
def test_what_every_answer_carries_says_nothing(port: int, tag: str) -> None:
    for path in OPEN:
        page = Browser(port).open(f"{path}?l={tag}")
        for name, value in page.headers.items():
            assert name == STANDARD or not neutral.found(f"{name}: {value}"), (path, name)
        assert "server" not in page.headers
        assert "content-disposition" not in page.headers
        assert not neutral.found(page.title), path
        meta = " ".join(re.findall(r"<(?:meta|link)[^>]*>", page.html))
        assert not neutral.found(meta), path
        assert not re.search(r"og:|manifest|twitter|canonical|description", meta), path


def test_nothing_is_downloaded_under_a_name() -> None:
    for file in views.TEMPLATES.glob("*.html"):
        assert not re.search(r"\sdownload\b", file.read_text(encoding="utf-8")), file.name


def test_a_print_is_headed_by_the_neutral_name_alone() -> None:
    style = (views.STATIC / "s.css").read_text(encoding="utf-8")
    shown = re.findall(r"content:\s*\"([^\"]*)\"", style)

    assert not any(neutral.found(text) for text in shown)
    assert not neutral.found(PortalSettings.model_fields["name"].default)


# --- what a deployment chooses --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "hosts", "setting"),
    [
        ("Safe place", (), "name"),
        ("Refugio", (), "name"),
        ("Home", ("pages.example", "my-shelter.example"), "hosts"),
    ],
)
def test_a_name_that_says_something_is_refused(
    name: str, hosts: tuple[str, ...], setting: str
) -> None:
    with pytest.raises(SafehandError) as refused:
        neutral.check(name, hosts, None)

    assert refused.value.reason is Reason.CONFIG_INVALID
    assert refused.value.metadata == {"setting": setting}
    assert not neutral.check("Home", ("pages.example",), None)  # type: ignore[func-returns-value]


@pytest.mark.parametrize(
    ("subject", "alternative", "issuer"),
    [
        ("Survivor pages", "pages.example", "A CA"),
        ("pages.example", "hotline.example", "A CA"),
        ("pages.example", "pages.example", "Safehand CA"),
    ],
)
def test_a_certificate_that_says_something_is_refused(
    tmp_path: Path, subject: str, alternative: str, issuer: str
) -> None:
    file = tmp_path / "cert"
    file.write_bytes(certificate(subject, alternative, issuer))

    with pytest.raises(SafehandError) as refused:
        neutral.check("Home", (), file)

    assert refused.value.metadata == {"setting": "web_cert_file"}


def test_a_plain_certificate_passes(tmp_path: Path) -> None:
    file = tmp_path / "cert"
    file.write_bytes(certificate("pages.example", "pages.example", "A CA"))

    neutral.check("Home", (), file)


@pytest.mark.parametrize(
    "url",
    [
        "https://shelter.example/",
        "https://news.example/stop-Violence/today",
        "https://news.example/%72efuge",
        "https://news.example/?q=v%C3%ADctima",
        "https://news.example/?q=trata+de+personas",
    ],
)
def test_a_way_out_that_says_something_is_refused(url: str) -> None:
    with pytest.raises(SafehandError) as refused:
        neutral.check("Home", (), None, url)

    assert refused.value.metadata == {"setting": "exit_url"}


def test_a_plain_way_out_passes() -> None:
    neutral.check("Home", (), None, "https://weather.example/today?town=1")


@pytest.mark.parametrize(
    "changed", [{"name": "Crisis help"}, {"exit_url": "https://news.example/refuge"}], ids=str
)
def test_the_portal_does_not_start_under_such_a_name(
    tmp_path: Path, changed: dict[str, str]
) -> None:
    with pytest.raises(SafehandError), opened(tmp_path, nobody(), **changed):
        pass


def certificate(subject: str, alternative: str, issuer: str) -> bytes:
    key = ed25519.Ed25519PrivateKey.generate()
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + 30 * DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(alternative)]), critical=False)
        .sign(key, None)
    )
    return made.public_bytes(serialization.Encoding.PEM)
