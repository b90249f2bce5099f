"""Alembic's entry to this tree; the service runs it on its own engine."""

from safehand_notify_service.tables import METADATA
from safehand_store.migrate import run_env

run_env(METADATA)
