"""Metrics of this process: one registry, labels from closed lists only.

No label names an agency, a person, a grant or a referral. How many calls one agency makes in an
hour is itself about the people it works for, so agencies are counted together, by kind of caller.
Values that stand somewhere anyway (a queue, a table) are read when somebody scrapes (``gauges``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, Metric
from safehand_core import logs

from safehand_telemetry import names

REGISTRY: Final = CollectorRegistry()
"""Everything that this process shows."""
ProcessCollector(registry=REGISTRY)

FAST_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Bucket bounds in seconds: an echo takes 1 ms, a stop 5, a deadline 10 s."""
BATCHES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Bucket bounds of operations in one ledger transaction, which are at most 1024."""

_RPC_TOTAL: Final = Counter(
    "safehand_rpc_total",
    "Calls that ended, by method, status and kind of caller",
    ("method", "status", "role"),
    registry=REGISTRY,
)
_RPC_SECONDS: Final = Histogram(
    "safehand_rpc_seconds",
    "From the first check to the last byte handed over; open streams are not in it",
    ("method",),
    buckets=FAST_S,
    registry=REGISTRY,
)
_REFUSED: Final = Counter(
    "safehand_rpc_refused_total",
    "Calls that were refused or failed, by reason and kind of caller",
    ("reason", "role"),
    registry=REGISTRY,
)
_IN_FLIGHT: Final = Gauge(
    "safehand_rpc_in_flight",
    "Calls in work, open streams among them",
    registry=REGISTRY,
)
TURNED_AWAY: Final = Counter(
    "safehand_rpc_turned_away_total",
    "Calls that were refused at their arrival because too many were in work",
    registry=REGISTRY,
)
_PAGES: Final = Counter(
    "safehand_pages_total",
    "Pages that the portal answered, by page and kind of answer",
    ("page", "answer"),
    registry=REGISTRY,
)
_PAGE_SECONDS: Final = Histogram(
    "safehand_page_seconds",
    "From a request's arrival at the portal to the last byte of its page",
    ("page",),
    buckets=FAST_S,
    registry=REGISTRY,
)
LEDGER_BATCH: Final = Histogram(
    "safehand_ledger_batch_operations",
    "Operations of one ledger transaction",
    buckets=BATCHES,
    registry=REGISTRY,
)
LEDGER_COMMIT: Final = Histogram(
    "safehand_ledger_commit_seconds",
    "One ledger transaction, from its begin to its durable commit",
    buckets=FAST_S,
    registry=REGISTRY,
)
_SPANS: Final = Counter(
    "safehand_spans_total",
    "Spans by what became of them",
    ("outcome",),
    registry=REGISTRY,
)
SPANS: Final = {name: _SPANS.labels(name) for name in ("sent", "failed", "dropped", "refused")}
"""sent; failed: the collector did not take them; dropped: the queue was full; refused: their name
is not on the list, which is a bug."""
# A child of each label set, looked up once: ``labels`` takes a lock and costs more than counting.
_total: dict[tuple[str, str, str], Counter] = {}
_seconds: dict[str, Histogram] = {}
_refusals: dict[tuple[str, str], Counter] = {}


UNREAD: Final[dict[str, int]] = {}
"""How often a value could not be read at a scrape, by the part of the process (``gauges``)."""


class _Bugs:
    """Counts that are kept elsewhere. Anything but 0 is a bug or a fault."""

    def collect(self) -> list[Metric]:
        return [
            CounterMetricFamily(
                "safehand_log_fields_dropped",
                "Log fields that were not written because they are not on the list: a bug",
                value=logs.dropped_total(),
            ),
            CounterMetricFamily(
                "safehand_metrics_unread",
                "Values that could not be read at a scrape, and are missing",
                value=sum(UNREAD.values()),
            ),
        ]


REGISTRY.register(_Bugs())


def role_kind(role: str) -> str:
    """``service`` of ``service:portal``: the kind of a caller, from ``names.ROLES``."""
    kind = role.partition(":")[0]
    return kind if kind in names.ROLES else "unknown"


OURS: Final = ("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "RESOURCE_EXHAUSTED")
"""How a call ends for a reason that is not the caller's."""


def rpc_served(allowed: Mapping[str, Iterable[str]]) -> None:
    """Begin the counts of failures of our own at 0: who watches a rate sees the first one too.

    Args:
        allowed: path of each served method, with the roles that may call it.
    """
    for method, roles in allowed.items():
        for role in {role_kind(role) for role in roles}:
            for status in OURS:
                _total.setdefault((method, status, role), _RPC_TOTAL.labels(method, status, role))


def rpc_began() -> None:
    """A call is in work."""
    _IN_FLIGHT.inc()


def rpc_ended(
    method: str, *, status: str, role: str, reason: str, seconds: float, streams: bool
) -> None:
    """A call ended.

    Args:
        method: its path, one that is served, or the constant for those that are not.
        status: the gRPC code's name. role: from ``names.ROLES``.
        reason: why it was refused, or "".
        seconds: how long it took.
        streams: it was a stream, whose length says nothing.
    """
    _IN_FLIGHT.dec()
    key = (method, status, role)
    total = _total.get(key)
    if total is None:
        total = _total[key] = _RPC_TOTAL.labels(*key)
    total.inc()
    if not streams:
        taken = _seconds.get(method)
        if taken is None:
            taken = _seconds[method] = _RPC_SECONDS.labels(method)
        taken.observe(seconds)
    if reason:
        why = (reason, role)
        refused = _refusals.get(why)
        if refused is None:
            refused = _refusals[why] = _REFUSED.labels(*why)
        refused.inc()


ANSWERS: Final = ("shown", "moved", "refused", "failed")
"""What came of a page: 2xx, 3xx, 4xx, 5xx."""


def pages_served() -> None:
    """Begin the counts of failed pages at 0, as ``rpc_served`` does."""
    for page in names.PAGES:
        _PAGES.labels(page, "failed")


def page_answered(page: str, *, status: int, seconds: float) -> None:
    """The portal answered. ``page``: from ``names.PAGES``; ``status``: HTTP's."""
    answer = ANSWERS[min(max(status // 100 - 2, 0), len(ANSWERS) - 1)]
    _PAGES.labels(page, answer).inc()
    _PAGE_SECONDS.labels(page).observe(seconds)


def ledger_committed(operations: int, seconds: float) -> None:
    """A ledger transaction is durable."""
    LEDGER_BATCH.observe(operations)
    LEDGER_COMMIT.observe(seconds)
