"""The referral service's tables. What it keeps of a referral in clear is exactly these columns.

Times are seconds since the epoch; ids and digests are lower-case hex text; keys, signatures and
sealed bytes are blobs. The directory's own tables, the outbox and the idempotency table are in the
same database, so that one transaction makes a thing true and tells of it.
"""

from __future__ import annotations

from typing import Any, Final

from safehand_bus import dead_letter
from safehand_store import idempotency, inbox, outbox
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

from safehand_referral_service import directory_tables

METADATA: Final = MetaData()

IDEMPOTENCY: Final = idempotency.table(METADATA)
OUTBOX: Final = outbox.define(METADATA)
INBOX: Final = inbox.define(METADATA)
DEAD_LETTER: Final = dead_letter.define(METADATA)
directory_tables.define(METADATA)


def _table(name: str, *parts: Any) -> Table:
    return Table(name, METADATA, *parts, sqlite_strict=True)


def _text(name: str, *rules: Any, **options: Any) -> Column[str]:
    return Column(name, Text, *rules, **{"nullable": False, **options})


def _integer(name: str, *rules: Any, **options: Any) -> Column[int]:
    return Column(name, Whole, *rules, **{"nullable": False, **options})


def _blob(name: str, *rules: Any, **options: Any) -> Column[bytes]:
    return Column(name, LargeBinary, *rules, **{"nullable": False, **options})


def _flag(name: str) -> Column[int]:
    return _integer(name, CheckConstraint(f"{name} IN (0, 1)"), server_default="0")


# --- what agencies publish about themselves ---------------------------------------------------

AGENCY: Final = _table(
    "agency",
    _text("agency", primary_key=True),
    _text("display_name"),
    _blob("identity_key", CheckConstraint("length(identity_key) = 32")),  # the newest
    _integer("registered_at"),
)
"""What the operator was told of an agency: enough to route, never a reason to trust."""

AGENCY_KEY: Final = _table(
    "agency_key",
    _blob("identity_key", CheckConstraint("length(identity_key) = 32"), primary_key=True),
    _text("agency", ForeignKey("agency.agency"), index=True),
    _integer("not_before"),
    _integer("retired_at", nullable=True),  # the end of the overlap; NULL for the newest
    _integer("revoked_at", nullable=True),  # refused from then on, whatever it signed
)
"""Every identity key that an agency was ever listed with; a key is one agency's for ever."""

AGENCY_ORGANIZATION: Final = _table(
    "agency_organization",
    _text("organization", primary_key=True),
    _text("agency", ForeignKey("agency.agency"), index=True),
)
"""The HSDS organisations whose services an agency delivers: at most one agency for each."""

PROTOCOL: Final = _table(
    "protocol",
    _text("digest", primary_key=True),
    _text("protocol_id", unique=True),
    _text("agency_a", index=True),
    _text("agency_b", index=True),
    _integer("not_before"),
    _integer("not_after"),
    _blob("protocol"),
    _blob("signature_a"),
    _blob("signature_b"),
    _integer("published_at"),
)

KEY_RECORD: Final = _table(
    "key_record",
    _text("agency", ForeignKey("agency.agency"), primary_key=True),
    _integer("sequence", primary_key=True, autoincrement=False),
    _blob("record"),
    _blob("signature"),
    _integer("leaf_index"),
    _blob("leaf"),
    _text("proof"),
    _blob("salt"),
    _blob("body"),
    _integer("published_at"),
)
"""Key records with the receipt of their KEY leaf; there is never one without the other."""

# --- referrals ---------------------------------------------------------------------------------

REFERRAL: Final = _table(
    "referral",
    _integer("position", primary_key=True, autoincrement=True),
    _text("referral", unique=True),
    _text("consent_grant", index=True),
    _text("sender"),
    _text("recipient"),
    _text("service"),
    _text("purpose"),
    _text("urgency"),
    _text("state"),
    _flag("sharing_stopped"),
    _flag("disclosed"),
    _text("ended_by", server_default=""),
    _text("reason_code", server_default=""),
    _text("outcome", server_default=""),
    _integer("created_at"),
    _integer("answer_by"),
    _integer("delivered_at", nullable=True),
    _integer("acknowledged_at", nullable=True),
    _integer("accepted_at", nullable=True),
    _integer("answered_at", nullable=True),
    _integer("ended_at", nullable=True),  # declined, withdrawn or completed
    _integer("not_after"),
    _blob("manifest"),
    _blob("signature"),
    _text("manifest_digest"),
    _integer("refer_index"),  # of the manifest's REFER leaf: a newer seal has a higher one
    _integer("resealed_at", nullable=True),
    _integer("reseal_asked_at", nullable=True),  # the recipient lost its key
)
Index("referral_sender", REFERRAL.c.sender, REFERRAL.c.position)
Index("referral_recipient", REFERRAL.c.recipient, REFERRAL.c.position)

SEALED_BEFORE: Final = _table(
    "sealed_before",
    _text("digest", primary_key=True),
    _text("referral", ForeignKey("referral.referral"), index=True),
)
"""Digests of manifests that a newer one has replaced: an answer to one is to the same referral."""

PART: Final = _table(
    "part",
    _text("referral", ForeignKey("referral.referral"), primary_key=True),
    _integer("part", primary_key=True, autoincrement=False),
    _blob("ciphertext"),
    _blob("outer_wrap"),
)
"""Sealed parts: this service has no key that opens one."""

ANSWER: Final = _table(
    "answer",
    _text("digest", primary_key=True),
    _text("referral", ForeignKey("referral.referral"), index=True),
    _text("answer"),
    _blob("answer_bytes"),
    _blob("signature"),
    _blob("ack"),
    _blob("ack_signature"),
    _integer("filed_at"),
    UniqueConstraint("referral", "answer"),
)
"""Signed answers with consent's acknowledgement; of each kind at most one for a referral."""

# --- what consent said -------------------------------------------------------------------------

GRANT_SHARING: Final = _table(
    "grant_sharing",
    _text("consent_grant", primary_key=True),
    _flag("stopped"),
    _integer("sequence"),
)
"""Grants that consent reported as ended or resumed, whether or not a referral exists yet."""

GRANT_HOLD: Final = _table(
    "grant_hold",
    _integer("sequence", primary_key=True, autoincrement=False),  # of consent's event
    _text("consent_grant", index=True),  # "": any
)
"""Events of consent that are set aside, and the grants under which they deny (``holds``)."""

DISCLOSURE: Final = _table("disclosure", _text("referral", primary_key=True))
"""Referrals of which consent reported an opened part, whether or not they exist here yet."""
