"""Log lines that cannot carry personal data: JSON, and only typed fields from one list.

A field that is not in ``FIELDS``, or whose value has not the listed shape, is dropped and counted
(in strict mode, which tests use, it raises). No field takes free text, so neither a request nor an
exception's message can reach a log. Lines of other libraries keep their logger's name, level and
exception type; their text is dropped.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import threading
from collections.abc import Callable, MutableMapping
from typing import Any, TextIO, cast

import structlog

from safehand_core import trace
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

Logger = structlog.typing.FilteringBoundLogger


def _text(pattern: str) -> Callable[[object], bool]:
    compiled = re.compile(pattern)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _flag(value: object) -> bool:
    return isinstance(value, bool)


_REASONS = frozenset(r.value for r in Reason)

FIELDS: dict[str, Callable[[object], bool]] = {
    # who writes
    "service": _text(r"[a-z][a-z-]{0,39}"),
    "process": _text(r"[a-z][a-z-]{0,39}"),
    "logger": _text(r"[A-Za-z0-9_.-]{1,80}"),
    "profile": _text(r"production|sandbox|test"),
    "version": _text(r"[0-9][0-9A-Za-z.+-]{0,39}"),
    "pid": _whole,
    "port": _whole,
    # an RPC and its outcome
    "method": _text(r"/[A-Za-z0-9_.]{1,120}/[A-Za-z0-9_]{1,80}"),
    "status": _text(r"[A-Z_]{2,32}"),
    "reason": lambda value: value in _REASONS,
    "role": _text(r"agency|oversight|(service|operator):(consent|referral|notify|portal)"),
    "duration_ms": _number,
    # a page of the portal: which kind (names.PAGES), never which one; and HTTP's status
    "page": _text(r"start|in|home|list|steps|seen|lang|find|info|file|other"),
    "http_status": _whole,
    # what her page tells her to read out about a fault of ours: random digits
    "reference": _text(r"[0-9]{4}-[0-9]{4}"),
    # which trace it belongs to: random numbers, present only where one is recorded
    "trace_id": _text(r"[0-9a-f]{32}"),
    "span_id": _text(r"[0-9a-f]{16}"),
    # something failed, or happened again
    "exception": _text(r"[A-Za-z_][A-Za-z0-9_]{0,79}"),
    "setting": _text(r"SAFEHAND_[A-Z0-9_.]{0,80}"),
    "signal": _text(r"SIG[A-Z0-9]{2,10}"),
    "attempt": _whole,
    "delay_s": _number,
    "exit_code": _whole,
    # how much, how far
    "count": _whole,
    "dropped": _whole,
    "size": _whole,
    "lag": _whole,
    "epoch": _whole,
    "revision": _text(r"[0-9a-z_]{1,40}"),
    # the bus: names without any party in them (DESIGN, section 4)
    "bus_subject": _text(r"safehand\.v1\.[a-z_]+\.[a-z_]+"),
    "stream": _text(r"[A-Z_]{2,40}"),
    "consumer": _text(r"[a-z][a-z_-]{1,60}"),
    "step": _text(r"[a-z][a-z0-9_.]{0,60}"),
    "ok": _flag,
}
"""Field name → test of its value. A new field needs a line here, and a shape no name fits into."""

_EVENT = _text(r"[a-z][a-z0-9_.]{1,63}")
_LEVELS = _text(r"debug|info|warning|error|critical")
_TIMESTAMP = _text(r"[0-9TZ:.+-]{10,40}")
_OWN = {"event": _EVENT, "level": _LEVELS, "timestamp": _TIMESTAMP}


class FieldNotAllowed(Exception):
    """Strict mode: a log call names a field that is not in ``FIELDS`` or has the wrong shape."""


class _Dropped:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def add(self) -> None:
        with self._lock:
            self._count += 1

    def count(self) -> int:
        with self._lock:
            return self._count


_dropped = _Dropped()


def dropped_total() -> int:
    """Fields dropped since the process started: anything but 0 is a bug."""
    return _dropped.count()


def allow_listed(fields: MutableMapping[str, Any], *, strict: bool) -> dict[str, Any]:
    """``fields`` without what must not be logged."""
    kept: dict[str, Any] = {}
    for key, value in fields.items():
        test = _OWN.get(key) or FIELDS.get(key)
        if test is not None and test(value):
            kept[key] = value
            continue
        _dropped.add()
        if strict:
            raise FieldNotAllowed(f"log field {key} is not allowed, or its value has not its shape")
        if key == "event":
            kept["event"] = "event.unnamed"
    return kept


def _exception_type(_: Any, __: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    found = fields.pop("exc_info", None)
    if found:
        error = found if isinstance(found, BaseException) else sys.exc_info()[1]
        if error is not None:
            fields["exception"] = type(error).__name__
    return fields


class _LibraryHandler(logging.Handler):
    """Lines of other libraries, without their text."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        fields: dict[str, Any] = {"logger": record.name}
        if error is not None:
            fields["exception"] = type(error).__name__
        try:
            get().log(record.levelno, "library.line", **fields)
        except Exception:
            _dropped.add()


class _Lossy:
    """A stream whose loss is nobody's failure: a stop that was made must be answered, also when
    the disk of the logs is full or the pipe that read them is gone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def configure(
    service: str, *, process: str = "api", stream: TextIO | None = None, strict: bool = False
) -> None:
    """Log as ``service`` from now on: one JSON object per line to ``stream`` (default stderr).

    ``strict`` raises ``FieldNotAllowed`` instead of dropping a field.
    """

    def check(_: Any, __: str, fields: MutableMapping[str, Any]) -> dict[str, Any]:
        return allow_listed(fields, strict=strict)

    def stamp(_: Any, __: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        fields["service"] = service
        fields["process"] = process
        place = trace.current()
        if place is not None and place.sampled:
            fields["trace_id"], fields["span_id"] = place.trace_hex, place.span_hex
        return fields

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            stamp,
            _exception_type,
            check,
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(
            file=cast(TextIO, _Lossy(stream or sys.stderr))
        ),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_LibraryHandler(level=logging.WARNING)]
    root.setLevel(logging.WARNING)


def get() -> Logger:
    """A logger. ``get().info("relay.published", count=3)``: an event name and listed fields."""
    return cast(Logger, structlog.get_logger())


def rpc_outcome(
    method: str,
    *,
    status: str,
    duration_ms: float,
    role: str | None = None,
    reason: Reason | None = None,
    exception: BaseException | None = None,
) -> None:
    """One line about a finished RPC: never who exactly called, nor about whom.

    Args:
        method: ``/package.Service/Method``.
        status: the gRPC code's name.
        duration_ms: from the first check to the last byte handed over.
        role: the caller's role, None where it is not known.
        reason: why it was refused, None where it was not.
        exception: what went wrong inside; only its type is written.
    """
    fields: dict[str, Any] = {
        "method": method,
        "status": status,
        "duration_ms": round(duration_ms, 1),
    }
    if role is not None:
        fields["role"] = role
    if reason is not None:
        fields["reason"] = reason.value
    log = get()
    if exception is not None and not isinstance(exception, SafehandError):
        log.error("rpc.failed", exception=type(exception).__name__, **fields)
    elif reason is not None:
        log.warning("rpc.refused", **fields)
    else:
        log.info("rpc.answered", **fields)
