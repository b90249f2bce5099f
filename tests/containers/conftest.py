from __future__ import annotations

from tests.harness import engine

collect_ignore = [] if engine.choice().docker else ["test_images.py", "test_processes.py"]
"""Tests of containers themselves exist where there are containers; the report's header says so."""
