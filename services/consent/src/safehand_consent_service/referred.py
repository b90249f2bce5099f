"""Authorised referrals on file: the signed manifest, its parts, and what became of it.

Rows are written once, from a manifest whose signature was verified, and are what every later
check is rebuilt from; nothing of a manifest is ever taken from a request again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import answer as answers
from safehand_formats.manifest import Header, Manifest, SignedManifest
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, bindparam, insert, select, update

from safehand_consent_service import tables

CLOSING: Final = (answers.DECLINE, answers.WITHDRAW)
"""Answers after which nothing more of the referral opens."""


@dataclass(frozen=True, slots=True)
class Referred:
    """One REFER leaf and its manifest.

    ``digest`` is 64 hex; ``replaced_by`` that of the manifest that sealed the referral again.
    """

    digest: str
    referral: str
    grant_id: str
    sender: str
    recipient: str
    recipient_key: str
    not_after: int
    service: str
    urgency: str
    refer_index: int
    replaced_by: str | None


class Part(Protocol):
    """Whatever knows whether its manifest was replaced."""

    @property
    def replaced_by(self) -> str | None: ...


_REFER: Final = select(
    tables.refer.c.manifest_digest,
    tables.refer.c.referral,
    tables.refer.c.grant_id,
    tables.refer.c.sender,
    tables.refer.c.recipient,
    tables.refer.c.recipient_key,
    tables.refer.c.not_after,
    tables.refer.c.service,
    tables.refer.c.urgency,
    tables.refer.c.refer_index,
    tables.refer.c.replaced_by,
)
_BY_DIGEST: Final = Prepared(_REFER.where(tables.refer.c.manifest_digest == bindparam("digest")))
_CURRENT: Final = Prepared(
    _REFER.where(
        tables.refer.c.referral == bindparam("wanted"), tables.refer.c.replaced_by.is_(None)
    )
)
_ASKED: Final = tables.refer.alias("asked")
_ANSWERS: Final = Prepared(
    select(tables.answer.c.answer, tables.answer.c.digest)
    .join(tables.refer, tables.refer.c.manifest_digest == tables.answer.c.manifest_digest)
    .where(
        tables.refer.c.referral
        == select(_ASKED.c.referral)
        .where(_ASKED.c.manifest_digest == bindparam("manifest"))
        .scalar_subquery()
    )
    .order_by(tables.refer.c.refer_index)
)
_REPLACE: Final = Prepared(
    update(tables.refer)
    .where(tables.refer.c.manifest_digest == bindparam("older"))
    .values(replaced_by=bindparam("newer"))
)
_INSERT: Final = Prepared(insert(tables.refer))
_INSERT_PART: Final = Prepared(insert(tables.refer_part))


def find(connection: Connection, digest: str) -> Referred | None:
    """The referral whose signed manifest has this digest (64 hex)."""
    row = _BY_DIGEST.first(connection, digest=digest)
    return None if row is None else Referred(*row)


def find_referral(connection: Connection, referral: str) -> Referred | None:
    """The manifest that holds for the referral with this id: the one that no other replaced."""
    row = _CURRENT.first(connection, wanted=referral)
    return None if row is None else Referred(*row)


def answers_to(connection: Connection, digest: str) -> dict[str, str]:
    """Every answer on file: ACCEPT, DECLINE or WITHDRAW → digest of the signed answer, 64 hex.

    An answer is to the referral: one to a manifest that was sealed again since counts as before,
    and where both were answered, the one to the newer manifest.
    """
    return {row.answer: row.digest for row in _ANSWERS.all(connection, manifest=digest)}


def require_not_closed(on_file: Mapping[str, str]) -> None:
    """Raise REFERRAL_CLOSED once the referral was declined or withdrawn."""
    if any(kind in on_file for kind in CLOSING):
        raise SafehandError(Reason.REFERRAL_CLOSED)


def require_current(subject: Part) -> None:
    """Raise STATE_CONFLICT for a manifest that was sealed again: fetch the newer one."""
    if subject.replaced_by is not None:
        raise SafehandError(Reason.STATE_CONFLICT, "the referral was sealed again")


def require_reseal(current: Referred | None, header: Header) -> None:
    """Raise unless ``header`` may take the place of ``current``, the referral's manifest.

    ALREADY_EXISTS: the referral id is taken. MANIFEST_MISMATCH: it replaces another manifest than
    the one that holds, or changes whom, what for or which service the referral is about, or
    nothing was lost that would need it. A new consent or a new recipient key is what is needed.
    """
    if not header.reseals:
        if current is not None:
            raise SafehandError(Reason.ALREADY_EXISTS, "the referral id is taken")
        return
    if current is None or current.digest != header.reseals:
        raise SafehandError(Reason.MANIFEST_MISMATCH, "it replaces another manifest")
    same = (current.sender, current.recipient, current.service, current.urgency)
    if same != (header.sender, header.recipient, header.service, header.urgency):
        raise SafehandError(Reason.MANIFEST_MISMATCH, "it is another referral")
    if (current.grant_id, current.recipient_key) == (header.grant, header.recipient_key):
        raise SafehandError(Reason.MANIFEST_MISMATCH, "neither consent nor key is new")


def replace(connection: Connection, older: str, newer: str) -> None:
    """Note that the manifest ``newer`` has taken the place of ``older`` (digests, 64 hex)."""
    _REPLACE.run(connection, older=older, newer=newer)


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
        service=header.service,
        urgency=header.urgency,
        refer_index=refer_index,
        referred_at=now,
        replaced_by=None,
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
