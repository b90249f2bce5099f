"""Fixtures for every test: one running world per session where a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest
from argon2 import PasswordHasher
from hypothesis import HealthCheck, settings
from safehand_consent_service import cards

from tests.fault import summary
from tests.harness import engine
from tests.harness.world import World, running

QUICK_MEMORY_KIB: Final = 8
"""The least that Argon2 knows. No test is about how long a guess takes: that is in bench/."""


def _quick(**given: Any) -> PasswordHasher:
    """What hashes PINs where a test runs consent in its own process. The constants stay what they
    are, and processes of their own use them (``tests/flow/test_pin_cost.py``)."""
    return PasswordHasher(**{**given, "time_cost": 1, "memory_cost": QUICK_MEMORY_KIB})


settings.register_profile(
    "safehand",
    deadline=None,  # timings belong in bench/
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    print_blob=True,
)
settings.load_profile("safehand")


def pytest_configure() -> None:
    """Refuse at once where containers are demanded and cannot be had."""
    cards.PasswordHasher = _quick  # type: ignore[assignment,attr-defined]
    try:
        engine.choice()
    except engine.NoEngineError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_report_header() -> str:
    """Say where the servers run."""
    chosen = engine.choice()
    return f"servers: {'containers' if chosen.docker else 'local processes'} ({chosen.why})"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was killed where, if anything was."""
    lines = summary.matrix(terminalreporter.stats.get("passed", ()))
    if lines:
        terminalreporter.section("SIGKILL matrix: after each, nothing lost, nothing twice")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """All services as real processes, shared by the tests that do not break them."""
    with running(tmp_path_factory.mktemp("world") / "sandbox") as found:
        yield found
