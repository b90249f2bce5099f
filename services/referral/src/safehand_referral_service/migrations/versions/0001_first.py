"""The first schema."""

from __future__ import annotations

from alembic import op
from safehand_referral_service.tables import METADATA

revision = "0001"
down_revision = None


def upgrade() -> None:
    METADATA.create_all(op.get_bind())
