"""A log line cannot carry what is not on the list."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from safehand_core import logs
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

CANARY = "Jane-Canary-1980"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    found = io.StringIO()
    logs.configure("referral", process="worker", stream=found)
    yield found
    logs.configure("referral")


def only(stream: io.StringIO) -> dict[str, Any]:
    (line,) = stream.getvalue().splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_line_is_one_json_object_with_its_source(stream: io.StringIO) -> None:
    logs.get().info("relay.published", count=3, bus_subject="safehand.v1.consent.ended")
    line = only(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "relay.published",
        "level": "info",
        "service": "referral",
        "process": "worker",
        "count": 3,
        "bus_subject": "safehand.v1.consent.ended",
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"name": CANARY},
        {"request": {"text": CANARY}},
        {"count": CANARY},
        {"count": True},
        {"method": f"/a.b/{CANARY} x"},
        {"reason": CANARY},
        {"role": f"agency:{CANARY}"},
        {"status": CANARY},
        {"exception": f"ValueError: {CANARY}"},
        {"bus_subject": f"safehand.v1.consent.ended.{CANARY}"},
        {"agency": "harbour"},
        {"grant": "0" * 32},
    ],
    ids=str,
)
def test_what_is_not_listed_is_dropped_and_counted(
    stream: io.StringIO, fields: dict[str, Any]
) -> None:
    before = logs.dropped_total()
    logs.get().warning("thing.happened", **fields)
    assert logs.dropped_total() == before + 1
    line = only(stream)
    assert line.keys() == {"event", "level", "service", "process", "timestamp"}
    assert CANARY not in str(line)


def test_an_event_is_a_name_and_not_a_sentence(stream: io.StringIO) -> None:
    logs.get().info(f"could not deliver to {CANARY}")
    assert only(stream)["event"] == "event.unnamed"


def test_strict_mode_raises_without_the_value() -> None:
    logs.configure("referral", stream=io.StringIO(), strict=True)
    try:
        with pytest.raises(logs.FieldNotAllowed) as caught:
            logs.get().info("thing.happened", name=CANARY)
    finally:
        logs.configure("referral")
    assert CANARY not in str(caught.value)


def test_an_exception_leaves_its_type_alone(stream: io.StringIO) -> None:
    try:
        raise ValueError(CANARY)
    except ValueError:
        logs.get().exception("thing.failed")
    assert only(stream)["exception"] == "ValueError"
    assert CANARY not in stream.getvalue()


def test_other_libraries_lose_their_text(stream: io.StringIO) -> None:
    try:
        raise KeyError(CANARY)
    except KeyError:
        logging.getLogger("sqlalchemy.engine").exception("failed for %s", CANARY)
    line = only(stream)
    assert line["event"] == "library.line"
    assert (line["logger"], line["exception"]) == ("sqlalchemy.engine", "KeyError")
    assert CANARY not in stream.getvalue()


def test_debug_lines_are_not_written(stream: io.StringIO) -> None:
    logs.get().debug("thing.happened")
    logging.getLogger("nats").info("connected")
    assert stream.getvalue() == ""


def test_an_rpc_outcome_names_method_status_role_and_reason(stream: io.StringIO) -> None:
    logs.rpc_outcome(
        "/a.v1.B/C",
        status="PERMISSION_DENIED",
        duration_ms=1.26,
        role="service:portal",
        reason=Reason.NOT_ALLOWED,
        exception=SafehandError(Reason.NOT_ALLOWED, metadata={"who": CANARY}),
    )
    line = only(stream)
    assert {k: line[k] for k in ("event", "method", "status", "reason", "role")} == {
        "event": "rpc.refused",
        "method": "/a.v1.B/C",
        "status": "PERMISSION_DENIED",
        "reason": "NOT_ALLOWED",
        "role": "service:portal",
    }
    assert line["duration_ms"] == 1.3
    assert CANARY not in stream.getvalue()


def test_a_stream_that_takes_no_more_lines_fails_nobody(stream: io.StringIO) -> None:
    stream.close()
    logs.get().info("relay.published", count=3)
