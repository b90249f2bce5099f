"""Reading the metrics pages of a running system."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from tests.harness.world import World, eventually

PROCESSES: Final = {
    "consent": ("consent", "api"),
    "consent-worker": ("consent", "worker"),
    "referral": ("referral", "api"),
    "referral-worker": ("referral", "worker"),
    "notify": ("notify", "api"),
    "portal": ("portal", "api"),
}
"""Supervised process → the service, and what it is of it."""

soon: Final = partial(eventually, within_s=60.0)
"""It bounds a hang, on a machine that others load too; it measures nothing."""
SERVICES: Final = ("consent", "referral", "notify")

Page = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def text(world: World, process: str) -> str:
    """The page of one process, as Prometheus gets it; waits for one that has just begun."""
    service, role = PROCESSES[process]
    file = world.sandbox.data(service) / f"{service}-{role}.metrics"
    found = ""

    def scraped() -> bool:
        nonlocal found
        try:
            address = f"http://127.0.0.1:{int(file.read_text())}/metrics"
            with urllib.request.urlopen(address, timeout=5) as answer:
                found = answer.read().decode()
        except (OSError, ValueError):
            return False
        return True

    soon(scraped, f"{process} shows its page")
    return found


def every_text(world: World) -> str:
    """The pages of all processes that run."""
    names = world.system.supervisor.names()
    return "".join(text(world, process) for process in PROCESSES if process in names)


def series(world: World, process: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    """``(name, labels, value)`` of everything on a page."""
    for family in text_string_to_metric_families(text(world, process)):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def read(world: World, process: str, name: str, **labels: str) -> float:
    """One value; fails where the process does not show it."""
    for found, having, value in series(world, process):
        if found == name and labels.items() <= having.items():
            return value
    raise AssertionError(f"{process} does not show {name} {labels}")


def tracing(endpoint: str, ratio: float = 1.0) -> dict[str, dict[str, str]]:
    """Settings for ``running``: every process records, and sends to ``endpoint``."""
    return {
        process: {
            f"SAFEHAND_{service.upper()}_OTLP_ENDPOINT": endpoint,
            f"SAFEHAND_{service.upper()}_TRACE_RATIO": str(ratio),
        }
        for process, (service, _) in PROCESSES.items()
    }
