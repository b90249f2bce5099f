"""The first schema: the ledger's tables with their triggers, the outbox, and consent's own."""

from __future__ import annotations

from alembic import op
from safehand_consent_service.tables import METADATA

revision = "0001"
down_revision = None


def upgrade() -> None:
    METADATA.create_all(op.get_bind())
