"""Vectors of the signed messages: sections 3 and 5 of docs/formats.md, and bare signatures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand_core import canonical
from safehand_formats import answer, fields, keyrecord, release_request, sharing_protocol, signing
from safehand_formats import manifest as manifests
from safehand_formats.note import NoteVerifier

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


def signature() -> Vectors:
    message = b"a message"
    context = "safehand/v1/manifest"
    good = signing.sign(p.SENDER, context, message)
    v = Vectors(
        "signature",
        "Ed25519 over context || 00 || message.",
        {
            "public": p.SENDER_PUBLIC.hex(),
            "context": context,
            "message": message.hex(),
            "signature": good.hex(),
        },
    )
    v.ok("as signed", {"key_id": signing.identity_key_id(p.SENDER_PUBLIC)})
    v.refused("another context", SIGNATURE_INVALID, context="safehand/v1/answer")
    v.refused("no context of ours", MALFORMED, context="somebody/else")
    v.refused("another message", SIGNATURE_INVALID, message=flipped(message).hex())
    v.refused("another key", SIGNATURE_INVALID, public=p.STRANGER_PUBLIC.hex())
    v.refused("a short key", SIGNATURE_INVALID, public=p.SENDER_PUBLIC[:31].hex())
    v.refused("R changed", SIGNATURE_INVALID, signature=flipped(good, 0).hex())
    v.refused("S changed", SIGNATURE_INVALID, signature=flipped(good, 32).hex())
    v.refused("a short signature", SIGNATURE_INVALID, signature=good[:63].hex())
    v.refused("a long signature", SIGNATURE_INVALID, signature=(good + b"\x00").hex())
    bare = p.SENDER.sign(message)
    v.refused("signed without a context", SIGNATURE_INVALID, signature=bare.hex())
    # with the neutral point as key, R = neutral and S = 0 satisfy the equation for any message
    neutral = (1).to_bytes(32, "little")
    v.refused(
        "a key of small order, which any message satisfies",
        SIGNATURE_INVALID,
        public=neutral.hex(),
        signature=(neutral + bytes(32)).hex(),
    )
    return v


MANIFEST_FIELDS = [
    Field("header", {}, [], MALFORMED),
    Field("header.v", 2, "1", MALFORMED),
    Field("header.referral", p.random_id("other"), p.random_id("other").upper()),
    Field("header.grant", p.random_id("other"), p.random_id("other")[:-1]),
    Field("header.sender", "harbour-home", "Harbour-House"),
    Field("header.sender_key", p.digest("other"), "harbour-house"),
    Field("header.recipient", "legal-aid-8", "harbour-house"),
    Field("header.recipient_key", p.digest("other"), ""),
    Field("header.purpose", "housing", "immigration"),
    Field("header.service", "svc-0043", "svc 0042"),
    Field("header.urgency", "normal", "whenever"),
    Field("header.created", p.NOW + 1, p.NOW + 30 * p.DAY),
    Field("header.not_after", p.NOW + 31 * p.DAY, -1),
    Field("parts", [], {}, MALFORMED),
    Field("parts.0.label.id", 1, True, MALFORMED),
    Field("parts.0.label.category", "HEALTH", "card", MALFORMED),
    Field("parts.0.label.stage", "identity", "later", MALFORMED),
    Field("parts.0.label.schema", 2, 65536),
    Field("parts.0.label.bucket", 4096, 2048),
    Field("parts.0.ciphertext", p.digest("other"), p.digest("other")[:-2]),
    Field("parts.0.wrap", p.digest("other"), p.digest("other").upper()),
    Field("parts.0.label", {}, 0, MALFORMED),
]


def manifest(signed: manifests.SignedManifest) -> Vectors:
    value: Any = canonical.decode(signed.manifest_bytes, max_bytes=manifests.MAX_MANIFEST_BYTES)

    def seal(data: bytes) -> Mapping[str, Any]:
        return {
            "manifest": data.decode(),
            "signature": signing.sign(p.SENDER, manifests.CONTEXT, data).hex(),
        }

    v = Vectors(
        "manifest",
        "A manifest under the sender's pinned identity key (section 3).",
        {**seal(signed.manifest_bytes), "public": p.SENDER_PUBLIC.hex()},
    )
    shown = {"categories": ["CARD", "NAME"], "header": value["header"]}
    v.ok("as signed", {"digest": signed.digest.hex(), **shown})
    shorter = manifests.Manifest(signed.manifest.header, signed.manifest.parts[:1])
    v.ok(
        "one part",
        {
            "digest": manifests.SignedManifest.sign(shorter, p.SENDER).digest.hex(),
            "categories": ["CARD"],
            "header": value["header"],
        },
        **seal(shorter.encode()),
    )
    again = replace(signed.manifest.header, reseals=p.digest("older manifest"))
    resealed = manifests.Manifest(again, signed.manifest.parts)
    v.ok(
        "sealed again",
        {
            "digest": manifests.SignedManifest.sign(resealed, p.SENDER).digest.hex(),
            "categories": ["CARD", "NAME"],
            "header": again.to_object(),
        },
        **seal(resealed.encode()),
    )
    for name, reseals in (("nothing", ""), ("no digest", "older"), ("a number", 1)):
        other = replaced(value, ["header", "reseals"], reseals)
        v.refused(f"sealed again in place of {name}", MALFORMED, **seal(canonical.encode(other)))
    message_cases(v, "manifest", value, MANIFEST_FIELDS, seal)
    twice = replaced(value, ["parts", 1, "label"], {**value["parts"][0]["label"], "id": 1})
    swapped = {"header": value["header"], "parts": list(reversed(value["parts"]))}
    many = {"header": value["header"], "parts": value["parts"] * 9}
    inner = replaced(value, ["header", "zz"], 1)
    label = replaced(value, ["parts", 0, "label", "zz"], 1)
    for name, bad in {
        "a category twice": twice,
        "parts out of order": swapped,
        "18 parts": many,
        "a further key in the header": inner,
        "a further key in a label": label,
    }.items():
        v.refused(f"{name}, signed", MALFORMED, **seal(canonical.encode(bad)))
    v.refused(
        "one part left out, old signature",
        SIGNATURE_INVALID,
        manifest=canonical.encode({**value, "parts": value["parts"][:1]}).decode(),
    )
    _signature_cases(v, p.SENDER, signed.manifest_bytes, "safehand/v1/answer")
    return v


def _signature_cases(
    v: Vectors, private: Ed25519PrivateKey, message: bytes, other_context: str
) -> None:
    good = bytes.fromhex(v.base["signature"])
    v.refused("signature: a bit changed", SIGNATURE_INVALID, signature=flipped(good, 40).hex())
    v.refused("signature: too short", SIGNATURE_INVALID, signature=good[:-1].hex())
    v.refused("signature: none", SIGNATURE_INVALID, signature="")
    v.refused(
        "signature: of another context",
        SIGNATURE_INVALID,
        signature=signing.sign(private, other_context, message).hex(),
    )
    v.refused("public: another key", SIGNATURE_INVALID, public=p.STRANGER_PUBLIC.hex())


def _signed_message(
    name: str,
    about: str,
    context: str,
    private: Ed25519PrivateKey,
    message: bytes,
    table: list[Field],
    value_of_reader: dict[str, Any],
) -> Vectors:
    def seal(data: bytes) -> Mapping[str, Any]:
        return {"message": data.decode(), "signature": signing.sign(private, context, data).hex()}

    v = Vectors(name, about, {**seal(message), "public": signing.public_bytes(private).hex()})
    v.ok("as signed", value_of_reader)
    value: Any = canonical.decode(message, max_bytes=4096)
    message_cases(v, "message", value, table, seal)
    _signature_cases(v, private, message, "safehand/v1/other")
    return v


def key_record() -> Vectors:
    record = keyrecord.KeyRecord("legal-aid-7", 0, p.HPKE_PUBLIC, p.NOW, p.NOW + 90 * p.DAY)
    signed = keyrecord.SignedKeyRecord.sign(record, p.RECIPIENT)
    lattice = bytearray(p.HPKE_PUBLIC)
    lattice[0:2] = b"\xff\xff"  # a coefficient above 3328
    bad_public = bytes(lattice)
    other = fields.to_b64(p.OTHER_HPKE_PUBLIC)
    table = [
        Field("v", 2, True, MALFORMED),
        Field("agency", "legal-aid-8", "legal aid 7"),
        Field("sequence", 1, -1),
        Field("kid", p.digest("other"), "kid", MALFORMED),
        Field("suite", "0020-0001-0002", 1, MALFORMED),
        Field("public", other, fields.to_b64(bad_public), MALFORMED),
        Field("not_before", p.NOW + 1, p.NOW + 90 * p.DAY),
        Field("not_after", p.NOW + 91 * p.DAY, "soon"),
    ]
    v = _signed_message(
        "key-record",
        "A recipient key under the agency's identity key (section 5).",
        keyrecord.CONTEXT,
        p.RECIPIENT,
        record.encode(),
        table,
        {"digest": signed.digest.hex(), "kid": record.kid},
    )
    value: Any = canonical.decode(record.encode(), max_bytes=4096)
    v.refused(
        "public: a lattice coefficient out of range, kid to match, signed",
        MALFORMED,
        **_resign(
            {**value, "public": fields.to_b64(bad_public), "kid": fields.sha256(bad_public).hex()},
            p.RECIPIENT,
            keyrecord.CONTEXT,
        ),
    )
    unused = value["public"][:-3] + chr(ord(value["public"][-3]) + 1) + "=="
    v.refused(
        "public: unused bits of base64 set, signed",
        MALFORMED,
        **_resign({**value, "public": unused}, p.RECIPIENT, keyrecord.CONTEXT),
    )
    v.refused(
        "public: unpadded base64, signed",
        MALFORMED,
        **_resign({**value, "public": value["public"].rstrip("=")}, p.RECIPIENT, keyrecord.CONTEXT),
    )
    return v


def _resign(value: Any, private: Ed25519PrivateKey, context: str) -> dict[str, Any]:
    data = canonical.encode(value)
    return {"message": data.decode(), "signature": signing.sign(private, context, data).hex()}


def protocol() -> Vectors:
    vkey = NoteVerifier(p.ORIGIN, p.LEDGER_KEY.public_key()).vkey
    agreed = sharing_protocol.SharingProtocol(
        id=p.random_id("protocol"),
        a=sharing_protocol.Party("harbour-house", p.SENDER_PUBLIC, "intake coordinator"),
        b=sharing_protocol.Party("legal-aid-7", p.RECIPIENT_PUBLIC, "duty solicitor"),
        purposes=("housing", "legal"),
        categories=("CARD", "CONTACT", "NAME"),
        retention_days=365,
        not_before=p.NOW,
        not_after=p.NOW + 365 * p.DAY,
        ledger=sharing_protocol.LedgerPin(p.ORIGIN, vkey),
    )
    signed = sharing_protocol.SignedProtocol.sign(agreed, p.SENDER, p.RECIPIENT)

    def seal(data: bytes) -> Mapping[str, Any]:
        return {
            "message": data.decode(),
            "signature_a": signing.sign(p.SENDER, sharing_protocol.CONTEXT, data).hex(),
            "signature_b": signing.sign(p.RECIPIENT, sharing_protocol.CONTEXT, data).hex(),
        }

    v = Vectors(
        "protocol",
        "A sharing protocol under the two keys that it names (section 5).",
        dict(seal(signed.protocol_bytes)),
    )
    v.ok("as signed by both", {"digest": signed.digest.hex()})
    other_vkey = NoteVerifier("other.example", p.LEDGER_KEY.public_key()).vkey
    stranger = p.STRANGER_PUBLIC.hex()
    table = [
        Field("v", 2, "1", MALFORMED),
        Field("id", p.random_id("other"), "1"),
        Field("a", {}, "harbour-house", MALFORMED),
        Field("a.agency", "harbour-home", "x"),
        Field("a.key", stranger, p.RECIPIENT_PUBLIC.hex()),
        Field("a.focal_point", "somebody else", "two\nlines"),
        Field("b", {}, 1, MALFORMED),
        Field("b.agency", "legal-aid-8", "a-before-harbour"),
        Field("b.key", stranger, "00" * 31),
        Field("b.focal_point", "duty officer", "x" * 81),
        Field("purposes", ["legal"], ["legal", "housing"]),
        Field("categories", ["CARD"], ["CARD", "CARD"]),
        Field("retention_days", 366, 3651),
        Field("not_before", p.NOW - 1, p.NOW + 365 * p.DAY),
        Field("not_after", p.NOW + 1, p.NOW),
        Field("ledger", {}, "", MALFORMED),
        Field("ledger.origin", "other.example", "two words", MALFORMED),
        Field("ledger.vkey", other_vkey, vkey[:-4] + "AAAA", MALFORMED),
    ]
    value: Any = canonical.decode(signed.protocol_bytes, max_bytes=4096)
    message_cases(v, "message", value, table, seal)
    for name, bad in {
        "no purposes": {**value, "purposes": []},
        "no categories": {**value, "categories": []},
        "an unknown category": {**value, "categories": ["CARD", "RELIGION"]},
        "an empty focal point": replaced(value, ["a", "focal_point"], ""),
        "a focal point that turns text around": replaced(value, ["a", "focal_point"], "x\u202ey"),
    }.items():
        v.refused(f"{name}, signed", MALFORMED, **seal(canonical.encode(bad)))
    a, b = v.base["signature_a"], v.base["signature_b"]
    v.refused("signatures swapped", SIGNATURE_INVALID, signature_a=b, signature_b=a)
    v.refused("signed by a twice", SIGNATURE_INVALID, signature_b=a)
    for side, good in (("signature_a", a), ("signature_b", b)):
        v.refused(f"{side}: none", SIGNATURE_INVALID, **{side: ""})
        changed = flipped(bytes.fromhex(good), 50).hex()
        v.refused(f"{side}: a bit changed", SIGNATURE_INVALID, **{side: changed})
    return v


def answers() -> Vectors:
    base = answer.Answer(
        answer.ACCEPT, p.digest("manifest"), p.HEADER.referral, "legal-aid-7", "", p.NOW
    )
    signed = answer.SignedAnswer.sign(base, p.RECIPIENT)
    table = [
        Field("v", 2, "1", MALFORMED),
        Field("answer", "DECLINE", "accept", MALFORMED),
        Field("manifest", p.digest("other"), ""),
        Field("referral", p.random_id("other"), p.digest("other")),
        Field("agency", "legal-aid-8", ""),
        Field("reason", "no_capacity", "because", MALFORMED),
        Field("at", p.NOW + 1, -1),
    ]
    v = _signed_message(
        "answer",
        "The answer to a referral, under the agency's identity key (section 5).",
        answer.CONTEXT,
        p.RECIPIENT,
        base.encode(),
        table,
        {"digest": signed.digest.hex()},
    )
    value: Any = canonical.decode(base.encode(), max_bytes=4096)
    for word in ("DECLINE", "WITHDRAW"):
        given = {**value, "answer": word, "reason": "survivor_declined"}
        resigned = _resign(given, p.RECIPIENT, answer.CONTEXT)
        read = answer.SignedAnswer(
            resigned["message"].encode(), bytes.fromhex(resigned["signature"])
        )
        v.ok(f"{word} with a reason", {"digest": read.digest.hex()}, **resigned)
        empty = {**value, "answer": word}
        v.refused(
            f"{word} without a reason",
            MALFORMED,
            **_resign(empty, p.RECIPIENT, answer.CONTEXT),
        )
    return v


def answer_ack() -> Vectors:
    ack = answer.AnswerAck(p.digest("answer"), p.NOW)
    signed = answer.SignedAnswerAck.sign(ack, p.TOKEN_KEY)
    return _signed_message(
        "answer-ack",
        "Consent's word that it has an answer, under its token key (section 5).",
        answer.ACK_CONTEXT,
        p.TOKEN_KEY,
        ack.encode(),
        [
            Field("v", 2, "1", MALFORMED),
            Field("answer", p.digest("other"), "ACCEPT"),
            Field("at", p.NOW + 1, True),
        ],
        {"digest": signed.digest.hex()},
    )


def release() -> Vectors:
    request = release_request.ReleaseRequest(
        manifest=p.digest("manifest"),
        referral=p.HEADER.referral,
        part=0,
        recipient="legal-aid-7",
        worker_ref="w-0091",
        request_id="5f0c7d0e-0f0b-4c39-8a51-0d6c1d6e2b11",
    )
    signed = release_request.SignedReleaseRequest.sign(request, p.RECIPIENT)
    return _signed_message(
        "release-request",
        "A recipient's wish to open one part, under its identity key (section 5).",
        release_request.CONTEXT,
        p.RECIPIENT,
        request.encode(),
        [
            Field("v", 2, "1", MALFORMED),
            Field("manifest", p.digest("other"), p.random_id("short")),
            Field("referral", p.random_id("other"), p.digest("long")),
            Field("part", 1, 16),
            Field("recipient", "legal-aid-8", "LEGAL"),
            Field("worker_ref", "w-0092", "Maria Lopez"),
            Field(
                "request_id",
                "5f0c7d0e-0f0b-4c39-8a51-0d6c1d6e2b12",
                "5F0C7D0E-0F0B-4C39-8A51-0D6C1D6E2B11",
            ),
        ],
        {"digest": signed.digest.hex()},
    )
