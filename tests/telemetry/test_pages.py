"""The line about a page and its span name each other, so that a reference leads to both."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from safehand_portal_service.watched import REFERENCE, Watched
from starlette.types import Receive, Scope, Send

from tests.logged import captured
from tests.telemetry.collector import Collector
from tests.telemetry.test_rpc import spans


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    scope[REFERENCE] = "4711-0815"
    await send({"type": "http.response.start", "status": 500, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def nothing() -> Any:
    return {"type": "http.request"}


async def keep(_: Any) -> None:
    return None


def test_the_line_of_a_page_has_the_numbers_of_its_span(recording: Collector) -> None:
    with captured("portal") as stream:
        asyncio.run(Watched(failing)({"type": "http", "path": "/list"}, nothing, keep))

    [line] = [json.loads(text) for text in stream.getvalue().splitlines()]
    [seen] = spans(recording, 1)
    assert line["reference"] == "4711-0815"
    assert line["trace_id"] == seen.span.trace_id.hex()
    assert line["span_id"] == seen.span.span_id.hex()
