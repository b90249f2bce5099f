"""Questions: an agency asked her for a consent, and what she said."""

from __future__ import annotations

from typing import Final

from sqlalchemy import CheckConstraint, ForeignKey, Index

from safehand_consent_service.tables import (
    blob_column,
    new_table,
    number_column,
    text_column,
)

OPEN: Final = "open"
GIVEN: Final = "given"
REFUSED: Final = "refused"
"""A question whose time is over without an answer stays open here: its end says that it lapsed."""

ask: Final = new_table(
    "ask",
    text_column("ask_id", primary_key=True),  # 16 random bytes as hex
    text_column("asker", ForeignKey("agency.agency")),
    text_column("subject_ref"),  # as the asker said it
    # Whom it reaches; NULL where it leads nowhere, which the asker cannot tell apart.
    text_column("subject_id", ForeignKey("subject.subject_id"), nullable=True),
    text_column("worker_ref"),
    text_column("releasing", ForeignKey("agency.agency")),
    text_column("recipient", ForeignKey("agency.agency")),
    text_column("purpose"),
    text_column("categories"),  # canonical JSON list, sorted, CARD among them
    number_column("days"),
    text_column("notice"),
    text_column("language"),
    blob_column("secret", length=32),  # the tag of a REFUSE derives from it
    number_column("asked_at"),
    number_column("ends_at"),
    text_column("state", CheckConstraint("state IN ('open', 'given', 'refused')")),
    number_column("put_off", server_default="0"),  # 1: she said later
    number_column("later_at", nullable=True),  # the day that she chose with it
    number_column("answered_at", nullable=True),
    text_column("grant_id", ForeignKey("consent_grant.grant_id"), nullable=True),
    number_column("refuse_index", nullable=True, unique=True),  # of the REFUSE leaf
    CheckConstraint("state = 'open' OR subject_id IS NOT NULL"),
    CheckConstraint("(state = 'open') = (answered_at IS NULL)"),
    CheckConstraint("(state = 'given') = (grant_id IS NOT NULL)"),
    CheckConstraint("(state = 'refused') = (refuse_index IS NOT NULL)"),
    CheckConstraint("(asker = releasing) <> (asker = recipient)"),
)
Index("ask_asker", ask.c.asker, ask.c.asked_at, ask.c.ask_id)
Index("ask_quota", ask.c.asker, ask.c.subject_ref, ask.c.asked_at)
Index("ask_subject", ask.c.subject_id, ask.c.asked_at, ask.c.ask_id)
Index("ask_old", ask.c.state, ask.c.asked_at)
