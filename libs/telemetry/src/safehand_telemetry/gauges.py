"""Values that are read when somebody scrapes: no thread of their own, no write on a hot path.

A scrape that comes soon after another is answered from memory, so that whoever scrapes in a loop
cannot make a database busy. A value that cannot be read is left out and counted: a missing metric
raises an alert, a wrong one would not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric
from safehand_core import logs
from safehand_core.clock import Clock

from safehand_telemetry import metrics

FRESH_S: Final = 1.0
"""Seconds for which a reading answers further scrapes."""

Labelled = Mapping[str, float]
Read = Callable[[], float | Labelled]
"""A number, or one for each value of the label (a closed list)."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """One metric that is read. ``label``: the name of its label, "" for none."""

    name: str
    help: str
    read: Read
    label: str = ""


@dataclass(eq=False, slots=True)
class Gauges:
    """Reads ``gauges`` of one ``part`` of the process together; add it with ``watch``."""

    part: str
    gauges: Iterable[Gauge]
    clock: Clock
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _read_at: float | None = None
    _kept: list[Metric] = field(default_factory=list)
    _failures: int = 0

    def describe(self) -> list[Metric]:
        """Names only: nothing is read before somebody asks."""
        return [GaugeMetricFamily(gauge.name, gauge.help) for gauge in self.gauges]

    def collect(self) -> list[Metric]:
        with self._lock:
            now = self.clock.monotonic()
            if self._read_at is None or now - self._read_at >= FRESH_S:
                self._kept = self._read()
                self._read_at = now
            return self._kept

    def _read(self) -> list[Metric]:
        found: list[Metric] = []
        for gauge in self.gauges:
            labels = [gauge.label] if gauge.label else []
            family = GaugeMetricFamily(gauge.name, gauge.help, labels=labels)
            try:
                value = gauge.read()
            except Exception as error:
                self._failures += 1
                logs.get().warning("metrics.unread", exception=type(error).__name__)
                continue
            if isinstance(value, Mapping):
                for name, number in sorted(value.items()):
                    family.add_metric([name], number)
            else:
                family.add_metric([], value)
            found.append(family)
        metrics.UNREAD[self.part] = self._failures
        return found


_watched: dict[str, Gauges] = {}


def watch(part: str, clock: Clock, gauges: Iterable[Gauge]) -> None:
    """Show ``gauges`` on this process's page, in place of what ``part`` showed before."""
    before = _watched.pop(part, None)
    if before is not None:
        metrics.REGISTRY.unregister(before)
    made = _watched[part] = Gauges(part, tuple(gauges), clock)
    metrics.REGISTRY.register(made)
