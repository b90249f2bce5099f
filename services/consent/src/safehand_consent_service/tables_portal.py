"""What her pages leave out, what she chose and has not answered, and when an agency was last heard
(conventions: ``tables``)."""

from __future__ import annotations

from typing import Final

from sqlalchemy import CheckConstraint, ForeignKey, Index

from safehand_consent_service.draft_box import SEALED_BYTES
from safehand_consent_service.tables import blob_column, new_table, number_column, text_column

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

ask_draft: Final = new_table(
    "ask_draft",
    text_column("ask_id", ForeignKey("ask.ask_id"), primary_key=True),
    number_column("ends_at"),  # not shown from then on, swept or not
    blob_column("sealed", length=SEALED_BYTES),  # under a key of the day of ``ends_at``
)
"""What she turned on in a question that is open: no answer, never a ledger entry (``drafts``)."""
Index("ask_draft_old", ask_draft.c.ends_at)

agency_heard: Final = new_table(
    "agency_heard",
    text_column("agency", ForeignKey("agency.agency"), primary_key=True),
    number_column("at"),
)
"""When a call of the agency's own last reached this service; at most 15 minutes behind
(``portal_heard``)."""
