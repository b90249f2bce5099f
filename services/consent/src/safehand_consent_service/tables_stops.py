"""What others do for her: who may stop, what she says to have it undone or not to wait at the
sign-in, and who did which."""

from __future__ import annotations

from typing import Final

from safehand_core import words
from safehand_store.columns import Whole
from sqlalchemy import CheckConstraint, Column, ForeignKey, Index

from safehand_consent_service.tables import blob_column as blob
from safehand_consent_service.tables import new_table
from safehand_consent_service.tables import number_column as whole
from safehand_consent_service.tables import text_column as text


def _listed(name: str, allowed: tuple[str, ...]) -> CheckConstraint:
    return CheckConstraint(f"{name} IN ({', '.join(repr(word) for word in allowed)})")


ACTIONS: Final = ("stop", "resume", "number")
BY: Final = (*words.STOPPED_BY, "staff")

representative: Final = new_table(
    "representative",
    text("representative_id", primary_key=True),  # 16 random bytes as hex
    text("subject_id", ForeignKey("subject.subject_id")),
    text("relation", _listed("relation", words.REPRESENTATIVES)),
    blob("code_hmac", length=32, unique=True),  # the code itself is stored nowhere
    whole("added_at"),
    whole("removed_at", nullable=True),  # from then on its code stops nothing
)
Index("representative_subject", representative.c.subject_id, representative.c.added_at)

code_word: Final = new_table(
    "code_word",
    text("subject_id", ForeignKey("subject.subject_id"), primary_key=True),
    text("word_hash"),  # Argon2id, of an HMAC of the word
    whole("set_at"),
)

worker_number: Final = new_table(
    "worker_number",
    blob("card_hmac", length=32, primary_key=True),  # one live number at most
    blob("number_hmac", length=32),  # the number itself is stored nowhere
    whole("expires_at"),  # does nothing from then on
    whole("tries_left"),
)
"""Numbers that workers were given for her to sign in with (``worker_numbers``)."""

stop_note: Final = new_table(
    "stop_note",
    Column("note_id", Whole, primary_key=True, autoincrement=True),  # also the order of her list
    # NULL: of nobody whom she is; kept for the count of ``quotas`` alone, and pruned.
    text("subject_id", ForeignKey("subject.subject_id"), nullable=True),
    whole("at"),
    text("action", _listed("action", ACTIONS)),
    text("made_by", _listed("made_by", BY)),
    text("agency", ForeignKey("agency.agency"), nullable=True),  # NULL: she, or the portal's caller
    text("worker_ref", nullable=True),
    text("second_ref", nullable=True),
    text("channel", nullable=True),
    text("why", nullable=True),
    text("representative_id", ForeignKey("representative.representative_id"), nullable=True),
    whole("refused", server_default="0"),
    # Keyed hash of what a wish named, known or not; NULL for her own.
    blob("named", length=32, nullable=True),
    whole("more", server_default="0"),  # further ones of its source that she is shown as a number
)
"""Every stop, resume, wish to have one, and number that a worker asked for, with who and when. One
row each, whatever it did."""
Index("stop_note_subject", stop_note.c.subject_id, stop_note.c.note_id)
Index("stop_note_agency", stop_note.c.agency, stop_note.c.at)
Index("stop_note_named", stop_note.c.named, stop_note.c.at)

stop_note_grant: Final = new_table(
    "stop_note_grant",
    whole("note_id", ForeignKey("stop_note.note_id"), primary_key=True),
    text("grant_id", ForeignKey("consent_grant.grant_id"), primary_key=True),
    whole("leaf_index", nullable=True),  # NULL: it changed nothing
    text("source"),  # whose stop counts as whose: see ``quotas``
    whole("at"),
)
"""What a note was about. Every STOP and RESUME leaf has exactly one row here."""
Index(
    "stop_note_grant_source",
    stop_note_grant.c.grant_id,
    stop_note_grant.c.source,
    stop_note_grant.c.at,
)
