"""What the portal says of its own pages: which kind, and nothing about whose."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client import generate_latest
from safehand_core import logs
from safehand_portal_service.watched import LEAVING, Watched, page_of
from safehand_telemetry import metrics, names
from starlette.types import Receive, Scope, Send

NUMBER = "4711081500"
CASES = {
    "/": "start",
    "/in": "in",
    "/home": "home",
    f"/list/{NUMBER}": "list",
    f"/list/{NUMBER}/stop": "list",
    f"/list/new/{NUMBER}": "list",
    f"/steps/{NUMBER}": "steps",
    "/s-0123456789abcdef.css": "file",
    f"/{NUMBER}": "other",
    "/Zoraquiel": "other",
    "/start": "other",
    "/file": "other",
    "//evil.example/list": "start",
}


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    stream = io.StringIO()
    logs.configure("portal", stream=stream, strict=True)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logs.configure("test")


def ask(path: str, status: int = 200, *, breaks: bool = False) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if breaks:
            raise ValueError("Zoraquiel")
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def nothing() -> Any:
        return {"type": "http.request"}

    async def keep(_: Any) -> None:
        return None

    scope = {
        "type": "http",
        "path": path,
        "headers": [(b"cookie", b"__Host-s=Zoraquiel")],
        "query_string": b"Zoraquiel",
    }
    asyncio.run(Watched(app)(scope, nothing, keep))


def shown() -> str:
    lines = generate_latest(metrics.REGISTRY).decode().splitlines()
    return "\n".join(line for line in lines if line.startswith("safehand_page"))


@pytest.mark.parametrize(("path", "page"), CASES.items())
def test_a_page_is_named_by_its_kind(
    path: str, page: str, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    before = shown()
    ask(path)
    assert shown() != before
    found = lines()
    assert [line["page"] for line in found] == ([] if page == "file" else [page])
    for line in found:
        assert (line["event"], line["http_status"]) == ("page.answered", 200)
    assert NUMBER not in json.dumps(found) + shown()
    assert "Zoraquiel" not in json.dumps(found) + shown()


def test_every_page_may_be_logged_and_no_other_word() -> None:
    for page in names.PAGES:
        assert logs.FIELDS["page"](page)
    for word in ("marisol", "x", "bye", NUMBER, "list/new"):
        assert not logs.FIELDS["page"](word)
    assert page_of("bye") == "other"


@pytest.mark.parametrize("word", sorted(LEAVING))
def test_nobody_counts_who_leaves(word: str, lines: Callable[[], list[dict[str, Any]]]) -> None:
    before = shown()
    ask(f"/{word}", 303)
    assert lines() == []
    assert shown() == before


def test_a_departure_that_failed_is_seen(lines: Callable[[], list[dict[str, Any]]]) -> None:
    ask("/x", 500)
    (line,) = lines()
    assert (line["event"], line["level"], line["page"]) == ("page.failed", "error", "other")


def test_a_page_that_broke_counts_as_failed(lines: Callable[[], list[dict[str, Any]]]) -> None:
    with pytest.raises(ValueError, match="Zoraquiel"):
        ask("/list", breaks=True)
    (line,) = lines()
    assert (line["event"], line["http_status"]) == ("page.failed", 500)
    assert "Zoraquiel" not in json.dumps(line)
    assert 'safehand_pages_total{answer="failed",page="list"}' in shown()
