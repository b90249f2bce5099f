"""What the page and the alert rules name exists in running processes, and the other way round."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest

from tests.harness.world import World
from tests.shared_data import REPO
from tests.telemetry.scrape import every_text

PAGE: Final = REPO / "docs" / "observability.md"
ALERTS: Final = REPO / "deploy" / "observability" / "alerts.yml"
METRIC: Final = re.compile(r"\bsafehand_[a-z_]+\b")
OWN_SUFFIX: Final = re.compile(r"_(bucket|count|sum|created)$")
SEVERITIES: Final = {"page", "ticket"}


def read_alerts(text: str) -> list[dict[str, Any]]:
    """The rules of the file, read as the plain part of YAML that it keeps to.

    Indentation in twos, ``key: value`` with plain or double-quoted values, lists of mappings. A
    line that is anything else fails, so that every YAML reader reads the file alike.
    """
    rules: list[dict[str, Any]] = []
    inside: dict[str, str] | None = None
    group = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        shape = re.fullmatch(r"( *)(- )?([a-z]+):(?: (.+))?", line)
        assert shape is not None, f"line {number}: {line!r}"
        indent, dash, key, value = len(shape[1]), shape[2], shape[3], plain(shape[4], number)
        match (indent, bool(dash), key):
            case (0, False, "groups") | (4, False, "rules"):
                assert value is None
            case (2, True, "name"):
                group = str(value)
            case (6, True, "alert"):
                rules.append({"group": group, "alert": value})
            case (8, False, "expr" | "for"):
                rules[-1][key] = value
            case (8, False, "labels" | "annotations"):
                assert value is None
                inside = rules[-1][key] = {}
            case (10, False, _):
                assert inside is not None
                assert value is not None
                inside[key] = value
            case _:
                raise AssertionError(f"line {number}: {line!r}")
    return rules


def plain(value: str | None, number: int) -> str | None:
    if value is None:
        return None
    if value.startswith('"'):
        assert re.fullmatch(r'"[^"\\]*"', value), f"line {number}: a quote inside"
        return value[1:-1]
    assert not re.search(r"(: | #|^[\[\]{}&*!|>%@`'\-?,])", value), f"line {number}: quote this"
    return value


def shown(text: str) -> set[str]:
    """Names of the metrics on pages, as Prometheus stores them: with and without suffix."""
    names = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line[:1] not in "# "}
    families = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    return {name for name in names | families if name.startswith("safehand_")}


@pytest.fixture(scope="module")
def pages(world: World) -> str:
    return every_text(world)


def test_the_rules_are_whole() -> None:
    rules = read_alerts(ALERTS.read_text("utf-8"))
    assert len(rules) > 10
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert set(rule) == {"group", "alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"[A-Z][A-Za-z]+", rule["alert"])
        assert re.fullmatch(r"\d+[mh]", rule["for"])
        assert set(rule["labels"]) == {"severity"}
        assert rule["labels"]["severity"] in SEVERITIES
        assert set(rule["annotations"]) == {"summary", "action"}
        assert METRIC.search(rule["expr"])
        assert rule["expr"].count("(") == rule["expr"].count(")")
        # Prometheus takes an offset behind a selector alone, and refuses the whole file otherwise.
        assert not re.search(r"\)\s*offset", rule["expr"])


def test_a_page_comes_also_where_its_number_is_missing() -> None:
    """A process that is down says nothing, and nothing is above no bound."""
    rules = read_alerts(ALERTS.read_text("utf-8"))
    missed = {name for rule in rules for name in re.findall(r"absent\((\w+)", rule["expr"])}
    watched = {
        name
        for rule in rules
        if rule["group"] == "safehand-stops" and "rpc" not in rule["expr"]
        for name in METRIC.findall(rule["expr"])
    }
    assert watched
    assert watched <= missed


STOPPING = {
    "ConsentService": (
        "StopGrant",
        "StopForHer",
        "StopAsRepresentative",
        "NarrowGrant",
        "ConfirmGrant",
    ),
    "PortalService": ("StopSharing", "StopEverything", "DestroyNow", "ConfirmRecorded"),
}


def test_every_way_to_stop_is_watched_from_its_first_failure(pages: str) -> None:
    rules = {rule["alert"]: rule["expr"] for rule in read_alerts(ALERTS.read_text("utf-8"))}
    for path in (
        f"/safehand.consent.v1.{service}/{method}"
        for service, methods in STOPPING.items()
        for method in methods
    ):
        for alert in ("StopFails", "StopsAreSlow"):
            found = re.search(r'method=~"([^"]+)"', rules[alert])
            assert found is not None
            assert re.fullmatch(found[1], path), (alert, path)
        statuses = re.search(r'status=~"([^"]+)"', rules["StopFails"])
        assert statuses is not None
        for status in statuses[1].split("|"):
            # A rate sees no failure that is the first sample of its series.
            assert re.search(
                rf'safehand_rpc_total{{method="{re.escape(path)}",role="\w+",status="{status}"}}',
                pages,
            ), (path, status)


def test_a_line_that_is_not_plain_is_noticed() -> None:
    for line in ("groups: []", "\tgroups:", "  - alert: X", "        expr: >-"):
        with pytest.raises(AssertionError):
            read_alerts(f"groups:\n{line}\n")


@pytest.mark.parametrize("file", [ALERTS, PAGE], ids=lambda file: file.name)
def test_every_metric_that_is_named_is_shown(pages: str, file: Path) -> None:
    named = set(METRIC.findall(file.read_text("utf-8"))) - {"safehand_telemetry"}
    assert named - shown(pages) == set()


def test_every_metric_that_is_shown_has_its_line_on_the_page(pages: str) -> None:
    page = PAGE.read_text("utf-8")
    for name in shown(pages):
        base = OWN_SUFFIX.sub("", name)
        known = {base, f"{base}_total", base.removesuffix("_total")}
        assert any(f"`{name}`" in page for name in known), name


def test_the_metric_of_metrics_comes_first() -> None:
    first = METRIC.search(PAGE.read_text("utf-8"))
    assert first is not None
    assert first[0] == "safehand_stop_unacknowledged_oldest_seconds"
    rules = read_alerts(ALERTS.read_text("utf-8"))
    assert first[0] in rules[0]["expr"]
    assert rules[0]["labels"]["severity"] == "page"
