"""The worlds of the release tests, for attacks on them."""

from __future__ import annotations

from tests.consent.release.conftest import (
    _no_failpoint_is_left_armed,
    fresh_world,
    world,
)

__all__ = ["_no_failpoint_is_left_armed", "fresh_world", "world"]
