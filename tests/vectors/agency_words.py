"""Vectors of what agencies say of themselves and for her: Record, Second, Resume, Succession."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from safehand_core import canonical
from safehand_formats import record, resume, signing, succession

from tests.vectors import messages
from tests.vectors import parties as p
from tests.vectors.shapes import (
    MALFORMED,
    SIGNATURE_INVALID,
    Field,
    Vectors,
    flipped,
    message_cases,
    replaced,
)

REQUEST = "5f0c7d0e-0f0b-4c39-8a51-0d6c1d6e2b11"
OTHER_REQUEST = "5f0c7d0e-0f0b-4c39-8a51-0d6c1d6e2b12"

TERMS = record.RecordedTerms(
    releasing="harbour-house",
    recipient="legal-aid-7",
    purpose="legal",
    categories=("CARD", "CONTACT"),
    expires_at=p.NOW + 90 * p.DAY,
    erase_by=p.NOW + 180 * p.DAY,
    notice=p.digest("notice"),
    language="es-419",
    given_how="interpreter",
    present="with_worker",
)
RECORD = record.Record("harbour-house", "w-0042", "ref-20260101", "paper", TERMS, REQUEST, p.NOW)


def records() -> Vectors:
    signed = record.SignedRecord.sign(RECORD, p.SENDER)
    v = messages._signed_message(
        "record",
        "What a worker took down for her, under the agency's identity key (section 5).",
        record.CONTEXT,
        p.SENDER,
        RECORD.encode(),
        [
            Field("v", 2, "1", MALFORMED),
            Field("agency", "harbour-home", "Harbour House"),
            Field("worker_ref", "w-0043", "Maria Lopez"),
            Field("subject_ref", "ref-20260102", "abc"),
            Field("medium", "spoken", "video"),
            Field("terms", {}, "all", MALFORMED),
            Field("terms.releasing", "harbour-home", ""),
            Field("terms.recipient", "legal-aid-8", 7),
            Field("terms.purpose", "housing", "immigration"),
            Field("terms.categories", ["CARD"], ["CONTACT", "CARD"]),
            Field("terms.expires_at", p.NOW + p.DAY, -1),
            Field("terms.erase_by", p.NOW + p.DAY, "never"),
            Field("terms.notice", p.digest("other"), p.random_id("short")),
            Field("terms.language", "en", "e"),
            Field("terms.given_how", "read", "guessed"),
            Field("terms.present", "alone", "nobody"),
            Field("request_id", OTHER_REQUEST, REQUEST.upper()),
            Field("at", p.NOW + 1, True),
        ],
        {"digest": signed.digest.hex()},
    )
    value: Any = canonical.decode(RECORD.encode(), max_bytes=record.MAX_BYTES)
    for medium in ("spoken", "interpreter"):
        other = record.SignedRecord.sign(replace(RECORD, medium=medium), p.SENDER)
        resigned = messages._resign({**value, "medium": medium}, p.SENDER, record.CONTEXT)
        v.ok(f"medium: {medium}", {"digest": other.digest.hex()}, **resigned)
    for name, bad in {
        "a further key in the terms": replaced(value, ["terms", "zz"], 1),
        "no categories": replaced(value, ["terms", "categories"], []),
        "a category twice": replaced(value, ["terms", "categories"], ["CARD", "CARD"]),
        "an unknown category": replaced(value, ["terms", "categories"], ["RELIGION"]),
        "a language of 36 characters": replaced(
            value, ["terms", "language"], "en-" + "-".join(["abcdefgh"] * 3) + "-abcdef"
        ),
    }.items():
        v.refused(f"{name}, signed", MALFORMED, **messages._resign(bad, p.SENDER, record.CONTEXT))
    second = messages._resign(value, p.SENDER, record.SECOND_CONTEXT)
    v.refused("signed as a second", SIGNATURE_INVALID, **second)
    return v


def seconds() -> Vectors:
    made = record.Second(
        "harbour-house",
        "w-0043",
        "ref-20260101",
        record.SignedRecord.sign(RECORD, p.SENDER).digest.hex(),
        REQUEST,
        p.NOW,
    )
    signed = record.SignedSecond.sign(made, p.SENDER)
    v = messages._signed_message(
        "second",
        "A second person's word for a record, under the agency's identity key (section 5).",
        record.SECOND_CONTEXT,
        p.SENDER,
        made.encode(),
        [
            Field("v", 2, "1", MALFORMED),
            Field("agency", "harbour-home", "x"),
            Field("worker_ref", "w-0044", "w 44"),
            Field("subject_ref", "ref-20260102", ""),
            Field("record", p.digest("other"), p.digest("other").upper()),
            Field("request_id", OTHER_REQUEST, "1"),
            Field("at", p.NOW + 1, -1),
        ],
        {"digest": signed.digest.hex()},
    )
    value: Any = canonical.decode(made.encode(), max_bytes=record.MAX_BYTES)
    first = messages._resign(value, p.SENDER, record.CONTEXT)
    v.refused("signed as a record", SIGNATURE_INVALID, **first)
    return v


def resumes() -> Vectors:
    made = resume.Resume("harbour-house", p.HEADER.grant, "w-0042", "w-0043", REQUEST, p.NOW)
    signed = resume.SignedResume.sign(made, p.SENDER)
    v = messages._signed_message(
        "resume",
        "Two workers resume for her, under the releasing agency's identity key (section 5).",
        resume.CONTEXT,
        p.SENDER,
        made.encode(),
        [
            Field("v", 2, "1", MALFORMED),
            Field("agency", "harbour-home", "x"),
            Field("grant", p.random_id("other"), p.digest("long")),
            Field("worker_ref", "w-0044", "W-42"),
            Field("second_ref", "w-0044", "w_43"),
            Field("request_id", OTHER_REQUEST, "1"),
            Field("at", p.NOW + 1, "now"),
        ],
        {"digest": signed.digest.hex()},
    )
    value: Any = canonical.decode(made.encode(), max_bytes=resume.MAX_BYTES)
    alone = {**value, "second_ref": value["worker_ref"]}
    v.refused(
        "one worker twice, signed", MALFORMED, **messages._resign(alone, p.SENDER, resume.CONTEXT)
    )
    return v


def successions() -> Vectors:
    new = p.identity("legal-aid-7, the next key")
    made = succession.Succession(
        "legal-aid-7",
        p.RECIPIENT_PUBLIC,
        signing.public_bytes(new),
        p.NOW,
        p.NOW + 14 * p.DAY,
    )
    signed = succession.SignedSuccession.sign(made, p.RECIPIENT, new)

    def seal(data: bytes) -> Mapping[str, Any]:
        return {
            "message": data.decode(),
            "signature_old": signing.sign(p.RECIPIENT, succession.CONTEXT, data).hex(),
            "signature_new": signing.sign(new, succession.CONTEXT, data).hex(),
        }

    known = {"agency": "legal-aid-7", "public": p.RECIPIENT_PUBLIC.hex()}
    v = Vectors(
        "succession",
        "One identity key follows another, under both (section 5).",
        {**seal(signed.succession_bytes), **known},
    )
    shown = {"new": made.new.hex(), "old_until": made.old_until}
    v.ok("as signed by both", shown)
    value: Any = canonical.decode(signed.succession_bytes, max_bytes=succession.MAX_BYTES)
    at_once = {**value, "old_until": p.NOW}
    v.ok("no overlap", {**shown, "old_until": p.NOW}, **seal(canonical.encode(at_once)))
    table = [
        Field("v", 2, "1", MALFORMED),
        Field("agency", "legal-aid-8", "Legal Aid"),
        Field("old", p.SENDER_PUBLIC.hex(), "00" * 31),
        Field("new", p.STRANGER_PUBLIC.hex(), p.RECIPIENT_PUBLIC.hex()),
        Field("not_before", p.NOW + 1, p.NOW + 15 * p.DAY),
        Field("old_until", p.NOW + 1, p.NOW + 91 * p.DAY),
    ]
    message_cases(v, "message", value, table, seal)
    stranger = signing.sign(p.STRANGER, succession.CONTEXT, signed.succession_bytes).hex()
    old, fresh = v.base["signature_old"], v.base["signature_new"]
    v.refused("of another agency", SIGNATURE_INVALID, agency="harbour-house")
    v.refused("follows another key", SIGNATURE_INVALID, public=p.SENDER_PUBLIC.hex())
    v.refused("signatures swapped", SIGNATURE_INVALID, signature_old=fresh, signature_new=old)
    v.refused("signed by the old key alone", SIGNATURE_INVALID, signature_new=old)
    v.refused("signed by the new key alone", SIGNATURE_INVALID, signature_old=fresh)
    for side, good in (("signature_old", old), ("signature_new", fresh)):
        v.refused(f"{side}: a stranger's", SIGNATURE_INVALID, **{side: stranger})
        v.refused(f"{side}: none", SIGNATURE_INVALID, **{side: ""})
        changed = flipped(bytes.fromhex(good), 50).hex()
        v.refused(f"{side}: a bit changed", SIGNATURE_INVALID, **{side: changed})
    return v
