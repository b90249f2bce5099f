"""What her pages leave out, and when an agency was last heard (conventions: ``tables``)."""

from __future__ import annotations

from typing import Final

from sqlalchemy import CheckConstraint, ForeignKey

from safehand_consent_service.tables import new_table, number_column, text_column

hidden_item: Final = new_table(
    "hidden_item",
    text_column("subject_id", ForeignKey("subject.subject_id"), primary_key=True),
    text_column(
        "kind", CheckConstraint("kind IN ('grant', 'ask', 'referral', 'look')"), primary_key=True
    ),
    text_column("item_id", primary_key=True),  # as ``portal_numbers`` names items of the kind
    number_column("hidden_at"),
)
"""What she marked "do not show". It changes what her pages say and nothing else."""

agency_heard: Final = new_table(
    "agency_heard",
    text_column("agency", ForeignKey("agency.agency"), primary_key=True),
    number_column("at"),
)
"""When a call of the agency's own last reached this service; at most 15 minutes behind
(``portal_heard``)."""
