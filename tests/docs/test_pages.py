"""What the pages say exists: links lead somewhere, every reason and setting has its place."""

from __future__ import annotations

import ast
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from safehand.events.v1.events_pb2 import EventType
from safehand_consent_service.policy import POLICY as CONSENT
from safehand_consent_service.settings import ConsentSettings
from safehand_core import words
from safehand_core.reasons import TABLE, Reason
from safehand_core.settings import ServiceSettings
from safehand_formats.kinds import Kind
from safehand_notify_service.policy import POLICY as NOTIFY
from safehand_notify_service.settings import NotifySettings
from safehand_referral_service import states
from safehand_referral_service.policy import POLICY as REFERRAL
from safehand_referral_service.settings import ReferralSettings

from tests.docs.pages import LANGUAGES, anchors, fences, links, name_of, pages
from tests.shared_data import REPO

DOCS = REPO / "docs"
PLACES = ("/" + "work/", "/" + "root/", "/" + "home/", "/" + "Users/")
"""Of one machine; in pieces, so that this file does not hold them."""
OTHERS = ("sub" + "agent", "SAFEHAND" + "_TODO")
BINARY = (".png", ".ico", ".binpb", ".lock")


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_block_says_what_it_is(page: Path) -> None:
    for fence in fences(page):
        assert fence.language in LANGUAGES, f"line {fence.line}"


def test_the_readme_is_one_page_and_leads_to_all_others() -> None:
    text = (REPO / "README.md").read_text("utf-8")
    assert text.count("\n") < 100
    linked = {link.partition("#")[0] for link in links(REPO / "README.md")}
    for page in sorted(DOCS.glob("*.md")):
        assert name_of(page) in linked


def test_the_readme_names_every_folder_of_code() -> None:
    text = (REPO / "README.md").read_text("utf-8")
    for part in ("libs", "services"):
        for folder in (p.name for p in (REPO / part).iterdir() if (p / "src").is_dir()):
            assert re.search(rf"`(?:{part}/)?{folder}`", text), f"{part}/{folder}"


def test_the_picture_is_readable_alone() -> None:
    root = ElementTree.parse(DOCS / "img" / "who-holds-what.svg").getroot()  # noqa: S314  ours
    words = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert {"title", "desc"} <= words
    assert "image" not in words, "nothing is fetched"
    assert "script" not in words


def test_every_reason_has_a_section_with_its_fix() -> None:
    text = (DOCS / "errors.md").read_text("utf-8")
    for reason in Reason:
        section = text.partition(f"### {reason.value}\n")[2].partition("\n### ")[0]
        info = TABLE[reason]
        for said in (info.status, info.message, info.fix):
            assert said in section, reason.value
    assert set(re.findall(r"^### (\w+)$", text, re.MULTILINE)) == {r.value for r in Reason}


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=name_of)
def test_code_words_on_a_page_are_words_of_the_code(page: Path) -> None:
    if page.name in ("api.md", "errors.md", "formats.md"):
        return  # printed from the code, or frozen
    events = {name.removeprefix("EVENT_TYPE_") for name in EventType.keys()}  # noqa: SIM118
    known = {*Reason, *words.CATEGORIES, *Kind.__members__, *events}
    for word in re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", page.read_text("utf-8")):
        assert word in known or word.startswith("SAFEHAND_"), word


@pytest.mark.parametrize("model", [ConsentSettings, ReferralSettings, NotifySettings])
def test_the_table_of_settings_holds_every_setting_with_its_meaning(
    model: type[ServiceSettings],
) -> None:
    text = (DOCS / "operations.md").read_text("utf-8")
    for name in model.model_fields:
        variable = model.env_prefix() + name.upper()
        row = re.search(rf"^\| `{variable}` \| (.+?) \| (.+?) \|$", text, re.MULTILINE)
        assert row is not None, variable
        assert len(row[2]) > 10, f"{variable} has no meaning"


def test_the_api_page_holds_every_method_and_who_may_call_it() -> None:
    text = (DOCS / "api.md").read_text("utf-8")
    for path, roles in {**CONSENT, **REFERRAL, **NOTIFY}.items():
        service, method = path.rsplit("/", 2)[1:]
        assert f"#### {service.rpartition('.')[2]}.{method}\n" in text
        row = rf"^\| \[`{method}`\]\(\S+\) \| .+ \| (.+) \|$"
        said = [set(re.findall(r"`([^`]+)`", row)) for row in re.findall(row, text, re.MULTILINE)]
        assert roles in said, path


def test_the_reasons_by_method_name_methods_and_reasons() -> None:
    text = (DOCS / "api.md").read_text("utf-8")
    start = text.index("| method | reasons of its own |")
    methods = {path.rpartition("/")[2] for path in (*CONSENT, *REFERRAL, *NOTIFY)}
    for line in text[start : text.index("\n\n", start)].splitlines()[2:]:
        named, reasons = line.strip("| ").split(" | ")
        assert set(re.findall(r"`(\w+)`", named)) <= methods
        assert set(re.findall(r"`(\w+)`", reasons)) <= {r.value for r in Reason}


def test_the_table_of_states_is_the_services_own() -> None:
    assert states.to_markdown() in (DOCS / "concepts.md").read_text("utf-8")


def test_every_test_that_the_threat_model_names_exists() -> None:
    text = (DOCS / "threat-model.md").read_text("utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert len(named) > 30
    for path, test in named:
        tree = ast.parse((REPO / path).read_text("utf-8"))
        tests = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert test in tests, f"{path}::{test}"


def test_every_threat_names_a_test_and_has_its_number() -> None:
    text = (DOCS / "threat-model.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", text, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1))
    for number, row in rows:
        assert "`tests/" in row.rpartition(" | ")[2], number


def test_every_decision_is_in_the_list_and_numbered_without_a_gap() -> None:
    folder = DOCS / "decisions"
    found = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert [int(name[:4]) for name in found] == list(range(1, len(found) + 1))
    assert [link for link in links(folder / "README.md") if link[0].isdigit()] == found
    for name in found:
        number, title = (folder / name).read_text("utf-8").splitlines()[0][2:].split(". ", 1)
        assert name.startswith(number)
        assert f"[{number}. {title}]({name})" in (folder / "README.md").read_text("utf-8")


def test_what_comments_cite_is_on_the_design_page() -> None:
    text = (DOCS / "design.md").read_text("utf-8")
    walk = (DOCS / "concepts.md").read_text("utf-8")
    code = [
        path.read_text("utf-8")
        for folder in ("libs", "services", "tests", "bench")
        for path in (REPO / folder).rglob("*.py")
    ]
    cited = set(re.findall(r"\b(DESIGN|PROTOCOL (?:rule|step))s? (\d+(?:\.\d)?)", "\n".join(code)))
    assert len(cited) > 15
    places = {"DESIGN": (text, "| {} | "), "PROTOCOL rule": (text, "\n{}. **")}
    places["PROTOCOL step"] = (walk, "| {} | ")
    for what, number in cited:
        page, place = places[what]
        assert place.format(number) in page, f"{what} {number}"


def test_nothing_speaks_of_one_machine() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPO,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\n")
    for name in filter(None, listed):
        path = REPO / name
        if not path.is_file() or path.suffix in BINARY or "/vendor/" in name:
            continue
        text = path.read_text("utf-8", errors="replace")
        for word in (*PLACES, *OTHERS):
            assert word not in text, f"{name} holds {word}"
