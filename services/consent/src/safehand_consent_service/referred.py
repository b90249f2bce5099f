"""Authorised referrals on file: the signed manifest, its parts, and what became of it.

Rows are written once, from a manifest whose signature was verified, and are what every later
check is rebuilt from; nothing of a manifest is ever taken from a request again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import answer as answers
from safehand_formats.manifest import Header, Manifest, SignedManifest
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, bindparam, insert, select

from safehand_consent_service import tables

CLOSING: Final = (answers.DECLINE, answers.WITHDRAW)
"""Answers after which nothing more of the referral opens."""


@dataclass(frozen=True, slots=True)
class Referred:
    """One REFER leaf and its manifest. ``digest`` is 64 hex."""

    digest: str
    referral: str
    grant_id: str
    sender: str
    recipient: str
    not_after: int
    refer_index: int


_REFER: Final = select(
    tables.refer.c.manifest_digest,
    tables.refer.c.referral,
    tables.refer.c.grant_id,
    tables.refer.c.sender,
    tables.refer.c.recipient,
    tables.refer.c.not_after,
    tables.refer.c.refer_index,
)
_BY_DIGEST: Final = Prepared(_REFER.where(tables.refer.c.manifest_digest == bindparam("digest")))
_BY_REFERRAL: Final = Prepared(_REFER.where(tables.refer.c.referral == bindparam("wanted")))
_ANSWERS: Final = Prepared(
    select(tables.answer.c.answer, tables.answer.c.digest).where(
        tables.answer.c.manifest_digest == bindparam("manifest")
    )
)
_INSERT: Final = Prepared(insert(tables.refer))
_INSERT_PART: Final = Prepared(insert(tables.refer_part))


def find(connection: Connection, digest: str) -> Referred | None:
    """The referral whose signed manifest has this digest (64 hex)."""
    row = _BY_DIGEST.first(connection, digest=digest)
    return None if row is None else Referred(*row)


def find_referral(connection: Connection, referral: str) -> Referred | None:
    """The referral with this id, whatever its manifest."""
    row = _BY_REFERRAL.first(connection, wanted=referral)
    return None if row is None else Referred(*row)


def answers_to(connection: Connection, digest: str) -> dict[str, str]:
    """Every answer on file: ACCEPT, DECLINE or WITHDRAW → digest of the signed answer, 64 hex."""
    return {row.answer: row.digest for row in _ANSWERS.all(connection, manifest=digest)}


def require_not_closed(on_file: Mapping[str, str]) -> None:
    """Raise REFERRAL_CLOSED once the referral was declined or withdrawn."""
    if any(kind in on_file for kind in CLOSING):
        raise SafehandError(Reason.REFERRAL_CLOSED)


def insert_new(
    connection: Connection,
    signed: SignedManifest,
    manifest: Manifest,
    *,
    refer_index: int,
    now: int,
) -> None:
    """File a manifest that was just authorised. Inner wraps are never stored."""
    header: Header = manifest.header
    digest = signed.digest.hex()
    _INSERT.run(
        connection,
        manifest_digest=digest,
        manifest=signed.manifest_bytes,
        signature=signed.signature,
        referral=header.referral,
        grant_id=header.grant,
        sender=header.sender,
        recipient=header.recipient,
        recipient_key=header.recipient_key,
        not_after=header.not_after,
        refer_index=refer_index,
        referred_at=now,
    )
    _INSERT_PART.run_many(
        connection,
        [
            {
                "manifest_digest": digest,
                "part": item.label.id,
                "category": item.label.category,
                "stage": item.label.stage,
                "ciphertext_hash": item.ciphertext,
                "wrap_hash": item.wrap,
            }
            for item in manifest.parts
        ],
    )
