"""What workers recorded for her, who stood by it, and her guardians (conventions: ``tables``)."""

from __future__ import annotations

from typing import Final

from sqlalchemy import ForeignKey, Index, UniqueConstraint

from safehand_consent_service.tables import (
    blob_column,
    new_table,
    number_column,
    text_column,
)

recorded: Final = new_table(
    "recorded",
    text_column("record", primary_key=True),  # hex digest of the signed record
    text_column("agency", ForeignKey("agency.agency")),
    text_column("recorder_ref"),
    text_column("medium"),
    text_column("request_id"),  # the record's own: one record, one grant, for ever
    blob_column("body"),  # canonical JSON as signed
    blob_column("signature", length=64),
    text_column("subject_id", ForeignKey("subject.subject_id")),
    text_column("grant_id", ForeignKey("consent_grant.grant_id"), nullable=True, unique=True),
    number_column("recorded_at"),
    number_column("confirm_by"),
    number_column("seen_at", nullable=True),  # when she last said that she is not sure
    UniqueConstraint("agency", "request_id"),
)
"""``grant_id`` is NULL where nothing came of it: the releasing agency does not know her, which the
recording agency is not told."""
Index("recorded_subject", recorded.c.subject_id, recorded.c.recorded_at)
Index("recorded_quota", recorded.c.agency, recorded.c.subject_id, recorded.c.recorded_at)

seconded: Final = new_table(
    "seconded",
    text_column("record", ForeignKey("recorded.record"), primary_key=True),
    text_column("agency", ForeignKey("agency.agency")),
    text_column("worker_ref"),
    text_column("digest"),  # of the signed second
    blob_column("body"),  # canonical JSON as signed
    blob_column("signature", length=64),
    number_column("at"),
    number_column("leaf_index", unique=True),  # of the CONFIRM leaf
)
"""The second person behind a record; a record has one at most."""

cosign_rule: Final = new_table(
    "cosign_rule",
    text_column("subject_id", ForeignKey("subject.subject_id"), primary_key=True),
    text_column("agency", ForeignKey("agency.agency"), primary_key=True),
    text_column("alone_purposes"),  # canonical JSON list, sorted
    number_column("set_at"),
)
"""Agencies that say that a guardian must sign too: a row each, taken back by the same agency."""

guardian: Final = new_table(
    "guardian",
    text_column("guardian_id", primary_key=True),  # 16 random bytes as hex
    text_column("subject_id", ForeignKey("subject.subject_id")),
    blob_column("card_hmac", length=32, unique=True),
    text_column("pin_hash"),  # Argon2id, of an HMAC of the PIN
    text_column("registered_by", ForeignKey("agency.agency")),
    number_column("registered_at"),
    text_column("excluded_by", nullable=True),  # an agency, or "self"
    number_column("excluded_at", nullable=True),
)
"""One card, one ward. The row of somebody who is barred stays for ever, and so does the bar."""
Index("guardian_subject", guardian.c.subject_id)

guardian_session: Final = new_table(
    "guardian_session",
    blob_column("session_hash", length=32, primary_key=True),
    text_column("guardian_id", ForeignKey("guardian.guardian_id")),
    number_column("expires_at"),
)
Index("guardian_session_expires_at", guardian_session.c.expires_at)
Index("guardian_session_guardian", guardian_session.c.guardian_id)

cosigned: Final = new_table(
    "cosigned",
    text_column("grant_id", ForeignKey("consent_grant.grant_id"), primary_key=True),
    text_column("guardian_id", ForeignKey("guardian.guardian_id")),
    number_column("at"),
    number_column("leaf_index", unique=True),  # of the CONFIRM leaf
)
"""Which guardian signed which grant."""
