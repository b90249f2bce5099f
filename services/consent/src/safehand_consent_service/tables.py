"""Every table of the consent service, in one metadata beside the ledger's own.

Conventions: times are seconds since the epoch; random ids and digests are lower-case hex text,
raw keys and signatures are blobs; lists are canonical JSON text. There is no content here, no
name and no contact: a subject is a random id, known by the HMAC of a card number.
"""

from __future__ import annotations

from typing import Any, Final

from safehand_ledger import tables as ledger_tables
from safehand_store import idempotency, outbox
from safehand_store.columns import Whole
from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

METADATA: Final = MetaData()

LEDGER: Final = ledger_tables.define(METADATA)
IDEMPOTENCY: Final = idempotency.table(METADATA)
OUTBOX: Final = outbox.define(METADATA)

ACTIVE: Final = "active"
STOPPED: Final = "stopped"
REVOKED: Final = "revoked"
EXPIRED: Final = "expired"
GRANT_STATES: Final = (ACTIVE, STOPPED, REVOKED, EXPIRED)
FINAL_STATES: Final = (REVOKED, EXPIRED)
"""States that never reopen; a grant in one of them has no rows in ``category_key``."""


def _table(name: str, *parts: Any) -> Table:
    return Table(name, METADATA, *parts, sqlite_strict=True)


def _text(name: str, *rules: Any, **options: Any) -> Column[str]:
    options.setdefault("nullable", False)
    return Column(name, Text, *rules, **options)


def _integer(name: str, *rules: Any, **options: Any) -> Column[int]:
    options.setdefault("nullable", False)
    if options.get("primary_key"):
        options.setdefault("autoincrement", False)
    return Column(name, Whole, *rules, **options)


def _blob(name: str, *rules: Any, length: int | None = None, **options: Any) -> Column[bytes]:
    options.setdefault("nullable", False)
    if length is not None:
        rules = (*rules, CheckConstraint(f"length({name}) = {length}"))
    return Column(name, LargeBinary, *rules, **options)


new_table: Final = _table
text_column: Final = _text
number_column: Final = _integer
blob_column: Final = _blob
"""The same for the tables of one topic, in files of their own (``tables_*``)."""


# --- who takes part -------------------------------------------------------------------------

agency: Final = _table(
    "agency",
    _text("agency", primary_key=True),
    _blob("identity_key", length=32),
    _text("display_name"),
    _integer("enrolled_at"),
)
"""Pinned at enrolment by consent's own operator; consent never asks a registry for a key."""

agency_key: Final = _table(
    "agency_key",
    _blob("identity_key", length=32, primary_key=True),
    _text("agency", ForeignKey("agency.agency")),
    _integer("not_before"),
    _integer("not_after", nullable=True),  # the end of the overlap; NULL for the newest
    _integer("revoked_at", nullable=True),  # nothing is believed under it from then on
    _blob("follows", length=32, nullable=True),  # the key that signed for it; NULL: nobody did
    _blob(
        "succession", nullable=True
    ),  # what that key signed, canonical JSON, with both signatures
    _blob("signature_old", length=64, nullable=True),
    _blob("signature_new", length=64, nullable=True),
)
"""Every identity key that an agency ever had here; a key is one agency's for ever."""
Index("agency_key_agency", agency_key.c.agency, agency_key.c.not_before)

protocol: Final = _table(
    "protocol",
    _text("digest", primary_key=True),  # hex digest over the message and both signatures
    _text("protocol_id"),
    _blob("body"),  # canonical JSON as signed
    _blob("sig_a", length=64),
    _blob("sig_b", length=64),
    _text("a", ForeignKey("agency.agency")),  # a < b
    _text("b", ForeignKey("agency.agency")),
    _text("purposes"),  # canonical JSON list
    _text("categories"),  # canonical JSON list
    _integer("not_before"),
    _integer("not_after"),
    _integer("registered_at"),
)
Index("protocol_parties", protocol.c.a, protocol.c.b, protocol.c.not_after)

key_record: Final = _table(
    "key_record",
    _text("agency", ForeignKey("agency.agency"), primary_key=True),
    _integer("sequence", primary_key=True),
    _text("kid", unique=True),
    _text("digest"),  # of the signed record
    _blob("record"),  # canonical JSON as signed
    _blob("signature", length=64),
    _integer("not_before"),
    _integer("not_after"),
    _integer("leaf_index"),
    _integer("logged_at"),  # when the one before began to end
)
"""Recipient keys, each with its KEY leaf."""

# --- she ------------------------------------------------------------------------------------

subject: Final = _table(
    "subject",
    _text("subject_id", primary_key=True),  # 16 random bytes as hex
    _blob("card_hmac", length=32, unique=True),
    _text("pin_hash"),  # Argon2id, of an HMAC of the PIN
    _integer("must_change_pin"),  # 1: somebody else has seen it
    _integer("signed_in_at", nullable=True),
    _integer("wrong_tries", server_default="0"),  # at her card, since she signed in
    _integer("wrong_last_at", nullable=True),
    _integer("created_at"),
)

subject_ref: Final = _table(
    "subject_ref",
    _text("agency", ForeignKey("agency.agency"), primary_key=True),
    _text("subject_ref", primary_key=True),
    _text("subject_id", ForeignKey("subject.subject_id")),
    _integer("created_at"),
    UniqueConstraint("agency", "subject_id"),
)
"""Each agency's own random reference for her; an agency has one."""

throttle: Final = _table(
    "throttle",
    _blob("card_hmac", length=32, primary_key=True),
    _integer("tries"),  # wrong tries that are not earned back yet
    _integer("last_at"),  # since when the next one is being earned back
    _blob("taken_by", length=32, nullable=True),  # from where the last try was made
    _blob("waiting"),  # who waits for a turn, in order, and when it comes (throttle.Turn)
)
"""For every card number that somebody tried, whether there is such a card or not."""

session: Final = _table(
    "session",
    _blob("session_hash", length=32, primary_key=True),
    _text("subject_id", ForeignKey("subject.subject_id")),
    _integer("expires_at"),  # over from then on, unless she does something
    _integer("covered_at"),  # asks for her PIN from then on
    _text("language"),  # BCP 47, or empty
    _integer("shared_device"),
    _integer("previous_sign_in", nullable=True),  # the one before this
    _integer("wrong_tries"),  # at her card, between the two
    _integer("wrong_last_at", nullable=True),
)
Index("session_expires_at", session.c.expires_at)
Index("session_subject", session.c.subject_id)

# --- her consent ----------------------------------------------------------------------------

grant: Final = _table(
    "consent_grant",
    _text("grant_id", primary_key=True),
    _text("subject_id", ForeignKey("subject.subject_id")),
    _text("releasing", ForeignKey("agency.agency")),
    _text("recipient", ForeignKey("agency.agency")),
    _text("purpose"),
    _text("categories"),  # canonical JSON list, sorted, CARD among them
    _integer("issued_at"),
    _integer("expires_at"),
    _integer("erase_by"),
    _text("notice"),
    _text("language"),
    _text("given_how"),
    _text("present"),
    _text("protocol", ForeignKey("protocol.digest")),
    _blob("secret", length=32),
    _text("state", CheckConstraint("state IN ('active', 'stopped', 'revoked', 'expired')")),
    # Only what a worker recorded for her has these four (docs/concepts.md).
    _text("recorded_by", ForeignKey("agency.agency"), nullable=True),
    _text("recorder_ref", nullable=True),
    _text("medium", nullable=True),
    _integer(
        "confirm_by", nullable=True
    ),  # lapses then; NULL when she confirmed, or gave it herself
    _integer("seconded", server_default="0"),  # 1: a second person confirmed it
    _integer("cosign_by", nullable=True),  # lapses then; NULL when nobody needs to sign, or did
    _text("ask_id", nullable=True),  # the question that it answers
    _text("supersedes", nullable=True),  # the grant whose place it takes
    _text("comprehension", nullable=True),  # how the short check went
    _text("stop_by", nullable=True),  # of the stop that holds; set with stop_index
    _text("stop_why", nullable=True),
    _text("end_cause", nullable=True),  # window, destroy_now, invalidated, expired, unconfirmed
    _integer("stopped_at", nullable=True),  # set while stopped, and after an end while stopped
    _integer("final_at", nullable=True),  # set exactly while stopped
    _integer("grant_index", unique=True),  # of the GRANT leaf; also the order "newest first"
    _integer("stop_index", nullable=True),  # of the STOP leaf that holds; set with stopped_at
    _integer("end_index", nullable=True),  # of the REVOKE or EXPIRE leaf
    # The next counter of each counted kind (docs/formats.md 2.3).
    _integer("next_narrow", server_default="0"),
    _integer("next_stop", server_default="0"),
    _integer("next_resume", server_default="0"),
    _integer("next_refer", server_default="0"),
    _integer("next_disclose", server_default="0"),
    _integer("next_confirm", server_default="0"),
    CheckConstraint("(state = 'stopped') = (final_at IS NOT NULL)"),
    CheckConstraint("(stopped_at IS NULL) = (stop_index IS NULL)"),
    CheckConstraint("(state IN ('revoked', 'expired')) = (end_index IS NOT NULL)"),
    CheckConstraint("(end_cause IS NULL) = (end_index IS NULL)"),
    CheckConstraint("(stop_by IS NULL) = (stop_index IS NULL)"),
    CheckConstraint("recorded_by IS NULL OR recorded_by <> recipient"),
)
Index("grant_subject", grant.c.subject_id, grant.c.grant_index)
Index("grant_releasing", grant.c.releasing, grant.c.grant_index)
Index("grant_expiry", grant.c.state, grant.c.expires_at)
Index("grant_final", grant.c.state, grant.c.final_at)
Index("grant_recipient", grant.c.recipient, grant.c.grant_index)
Index("grant_confirm", grant.c.state, grant.c.confirm_by)
Index("grant_cosign", grant.c.state, grant.c.cosign_by)

grant_leaf: Final = _table(
    "grant_leaf",
    _integer("leaf_index", primary_key=True),
    _text("grant_id", ForeignKey("consent_grant.grant_id")),
    _integer("kind"),
)
"""Which leaves are a grant's. Written by ``grant_leaves.append`` alone."""
Index("grant_leaf_grant", grant_leaf.c.grant_id, grant_leaf.c.leaf_index)

category_key: Final = _table(
    "category_key",
    _text("grant_id", ForeignKey("consent_grant.grant_id"), primary_key=True),
    _text("category", primary_key=True),
    _integer("epoch"),
    _blob("wrapped", length=60),
)
"""One wrapped key per category of a live grant; the rows are deleted when it is final."""
Index("category_key_epoch", category_key.c.epoch)

kek_epoch: Final = _table(
    "kek_epoch",
    _integer("epoch", primary_key=True),
    _text("state", CheckConstraint("state IN ('current', 'retired')")),
    _integer("made_at"),
    _integer("retired_at", nullable=True),
)
"""Epochs of the release-KEK. The KEK itself lies in the keystore, never here."""

token_key: Final = _table(
    "token_key",
    _integer("sequence", primary_key=True),
    _blob("public", length=32),
    _integer("made_at"),
    _integer("signs_from"),
    _integer("ends_at", nullable=True),  # set when a later key is to sign
)
"""Public halves of the token keys, and when each signs. Private halves lie in the keystore."""

# --- what is sent under it ------------------------------------------------------------------

refer: Final = _table(
    "refer",
    _text("manifest_digest", primary_key=True),  # of the signed manifest
    _blob("manifest"),  # canonical JSON as signed
    _blob("signature", length=64),
    _text("referral", index=True),
    _text("grant_id", ForeignKey("consent_grant.grant_id")),
    _text("sender", ForeignKey("agency.agency")),
    _text("recipient", ForeignKey("agency.agency")),
    _text("recipient_key"),
    _integer("not_after"),
    _text("service"),
    _text("urgency"),
    _integer("refer_index", unique=True),
    _integer("referred_at"),
    _text("replaced_by", nullable=True),  # the manifest that sealed it again
)
"""An authorised manifest: one REFER leaf. A referral has one that no other replaced."""
Index("refer_grant", refer.c.grant_id)

refer_part: Final = _table(
    "refer_part",
    _text("manifest_digest", ForeignKey("refer.manifest_digest"), primary_key=True),
    _integer("part", primary_key=True),
    _text("category"),
    _text("stage"),
    _blob("ciphertext_hash", length=32),
    _blob("wrap_hash", length=32),  # H(inner wrap)
)

answer: Final = _table(
    "answer",
    _text("manifest_digest", ForeignKey("refer.manifest_digest"), primary_key=True),
    _text("answer", primary_key=True),  # ACCEPT, DECLINE or WITHDRAW
    _text("agency", ForeignKey("agency.agency")),
    _text("reason"),
    _text("digest"),  # of the signed answer
    _blob("body"),
    _blob("signature", length=64),
    _blob("ack"),
    _blob("ack_signature", length=64),
    _integer("recorded_at"),
)

# --- who looked -----------------------------------------------------------------------------

look: Final = _table(
    "look",
    _integer("leaf_index", primary_key=True),  # of the DISCLOSE leaf
    _text("grant_id", ForeignKey("consent_grant.grant_id")),
    _text("manifest_digest", ForeignKey("refer.manifest_digest")),
    _integer("part"),
    _text("category"),
    _text("recipient", ForeignKey("agency.agency")),
    _text("worker_ref"),
    _text("request", unique=True),  # digest of the signed request: one look, one leaf, for ever
    _integer("at"),
)
Index("look_grant", look.c.grant_id, look.c.at, look.c.leaf_index)
Index("look_quota", look.c.recipient, look.c.manifest_digest, look.c.at)

refused_look: Final = _table(
    "refused_look",
    Column("refused_id", Whole, primary_key=True, autoincrement=True),
    _text("grant_id", ForeignKey("consent_grant.grant_id")),
    _text("agency", ForeignKey("agency.agency")),  # who tried: the certificate's, not the claim's
    _text("category"),
    _text("worker_ref"),
    _text("reason"),  # a safehand_core.reasons.Reason
    _integer("at"),
)
"""Refused tries are rows, not leaves: nobody can grow the ledger by being refused."""
Index("refused_look_grant", refused_look.c.grant_id, refused_look.c.at, refused_look.c.refused_id)
Index("refused_look_quota", refused_look.c.agency, refused_look.c.grant_id, refused_look.c.at)

from safehand_consent_service import tables_asks as tables_asks  # noqa: E402
from safehand_consent_service import tables_portal as tables_portal  # noqa: E402
from safehand_consent_service import tables_recorded as tables_recorded  # noqa: E402
from safehand_consent_service import tables_slips as tables_slips  # noqa: E402
from safehand_consent_service import tables_stops as tables_stops  # noqa: E402
