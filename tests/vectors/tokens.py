"""Vectors of the consent token: section 7 of docs/formats.md."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from safehand_core import canonical
from safehand_core.entropy import SeededEntropy
from safehand_formats import fields, signing, steps_ticket, token, wraps
from safehand_formats import manifest as manifests

from tests.vectors import parties as p
from tests.vectors import sealed
from tests.vectors.shapes import Field, Vectors, flipped, per_field, replaced

INVALID = "TOKEN_INVALID"
EXPIRED = "TOKEN_EXPIRED"
ISSUER = "https://consent.safehand.example"
AUDIENCE = "referral.safehand.example"
CERTIFICATE = SeededEntropy(b"certificate").bytes(64)
"""Stands for a DER certificate: only its hash is looked at."""
KID = token.token_key_id(p.TOKEN_PUBLIC)
HEADER = {"alg": "Ed25519", "kid": KID, "typ": "consent+jwt"}


def claims() -> token.TokenClaims:
    signed = sealed.signed_manifest()
    return token.TokenClaims(
        issuer=ISSUER,
        audience=AUDIENCE,
        issued_at=p.NOW,
        not_before=p.NOW,
        expires_at=p.NOW + 300,
        jti=p.random_id("jti"),
        certificate=token.certificate_thumbprint(CERTIFICATE),
        recipient="legal-aid-7",
        purpose="legal",
        categories=("CARD", "NAME"),
        manifest_digest=signed.digest,
        outer_wraps_digest=wraps.outer_wraps_digest(sealed.outer_wraps()),
        ledger_origin=p.ORIGIN,
        ledger_index=2,
        leaf_hash=bytes.fromhex(p.digest("leaf")),
        revoke_tag=bytes.fromhex(p.digest("tag")),
    )


def jws(header: bytes, payload: bytes) -> str:
    """A compact JWS of any header and payload, signed with the token key."""
    start = f"{fields.to_b64url(header)}.{fields.to_b64url(payload)}"
    return f"{start}.{fields.to_b64url(p.TOKEN_KEY.sign(start.encode()))}"


def _b64(value: str) -> str:
    return fields.to_b64url(bytes.fromhex(value))


FIELDS = [
    Field("iss", "https://other.example", "with space"),
    Field("aud", "notify.safehand.example", [AUDIENCE]),
    Field("iat", p.NOW - 1, p.NOW + 1),
    Field("nbf", p.NOW + 60, p.NOW + 300),
    Field("exp", p.NOW + 5, p.NOW + 301),
    Field("jti", p.random_id("other"), "jti"),
    Field("cnf", {"x5t#S256": _b64(p.digest("other"))}, {"jkt": _b64(p.digest("other"))}),
    Field("authorization_details", [], {}),
    Field("authorization_details.0.type", "safehand_referral/v2", 1),
    Field("authorization_details.0.recipient", "legal-aid-8", "Legal Aid"),
    Field("authorization_details.0.purpose", "housing", "immigration"),
    Field("authorization_details.0.categories", ["CARD"], ["NAME", "CARD"]),
    Field("mfd", _b64(p.digest("other")), p.digest("other")),
    Field("owd", _b64(p.digest("other")), ""),
    Field("led", {}, 2),
    Field("led.org", "other.example", "two words"),
    Field("led.idx", 3, -1),
    Field("led.lh", _b64(p.digest("other")), _b64("00" * 31)),
    Field("rvt", _b64(p.digest("other")), _b64("00" * 33)),
]
_STILL_VALID = {"exp", "jti", "led.org", "led.idx", "led.lh", "rvt"}
"""Claims that a verifier cannot know: with another value, freshly signed, the token holds."""


def vectors() -> Vectors:
    good = claims()
    text = token.mint(good, p.TOKEN_KEY)
    signed = sealed.signed_manifest()
    outer = [item.hex() for item in sealed.outer_wraps()]
    v = Vectors(
        "token",
        "A consent token at the referral service, with the manifest and wraps it came with.",
        {
            "token": text,
            "keys": {KID: p.TOKEN_PUBLIC.hex()},
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "now": p.NOW + 10,
            "peer_cert": CERTIFICATE.hex(),
            "manifest": signed.manifest_bytes.decode(),
            "signature": signed.signature.hex(),
            "public": p.SENDER_PUBLIC.hex(),
            "outer_wraps": outer,
        },
    )
    value = {"jti": good.jti, "index": 2, "categories": ["CARD", "NAME"]}
    v.ok("as minted", value)
    v.ok("in its first second", value, now=p.NOW)
    v.ok("in its last second", value, now=p.NOW + 299)
    v.refused("before its first second", INVALID, now=p.NOW - 1)
    v.refused("at its end", EXPIRED, now=p.NOW + 300)
    v.refused("one second after its end", EXPIRED, now=p.NOW + 301)
    ticket = steps_ticket.mint(
        p.TOKEN_KEY,
        KID,
        issuer=ISSUER,
        audience=AUDIENCE,
        certificate_sha256=good.certificate,
        referrals=[p.random_id("a step")],
        now=p.NOW,
        jti=good.jti,
    )
    v.refused("a steps ticket", INVALID, token=ticket)
    _surroundings(v)
    _claims(v)
    _header(v)
    _spelling(v, text)
    _algorithms(v)
    return v


def _surroundings(v: Vectors) -> None:
    v.refused("another issuer expected", INVALID, issuer="https://other.example")
    v.refused("another audience expected", INVALID, audience="notify.safehand.example")
    v.refused("another client certificate", INVALID, peer_cert=flipped(CERTIFICATE).hex())
    v.refused("no key known", INVALID, keys={})
    unnamed = jws(canonical.encode({**HEADER, "kid": "00000000"}), claims().encode())
    v.refused(
        "the right key under a kid that is not its own",
        INVALID,
        keys={"00000000": p.TOKEN_PUBLIC.hex()},
        token=unnamed,
    )
    v.refused("another key under that kid", INVALID, keys={KID: p.STRANGER_PUBLIC.hex()})
    v.refused(
        "only another key known",
        INVALID,
        keys={token.token_key_id(p.STRANGER_PUBLIC): p.STRANGER_PUBLIC.hex()},
    )
    outer: list[str] = v.base["outer_wraps"]
    v.refused("outer wraps in another order", INVALID, outer_wraps=outer[::-1])
    v.refused("an outer wrap missing", INVALID, outer_wraps=outer[:1])
    v.refused("an outer wrap changed", INVALID, outer_wraps=[flipped_hex(outer[0]), outer[1]])
    data: Any = canonical.decode(v.base["manifest"].encode(), max_bytes=16384)
    other = canonical.encode(replaced(data, ["header", "urgency"], "normal"))
    v.refused(
        "another manifest of the same sender",
        INVALID,
        manifest=other.decode(),
        signature=signing.sign(p.SENDER, manifests.CONTEXT, other).hex(),
    )


def loose(text: str) -> str:
    """Another spelling of the same bytes: the last letter of 32 or 64 bytes has unused bits."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + alphabet[alphabet.index(text[-1]) + 1]


def flipped_hex(value: str) -> str:
    return flipped(bytes.fromhex(value)).hex()


def _claims(v: Vectors) -> None:
    value: Any = canonical.decode(claims().encode(), max_bytes=8192)
    header = canonical.encode(dict(HEADER))
    signature = v.base["token"].split(".")[2]
    for entry, other, bad, missing in per_field(FIELDS, value):
        payload = canonical.encode(other)
        unsigned = f"{fields.to_b64url(header)}.{fields.to_b64url(payload)}.{signature}"
        v.refused(f"{entry.path}: another value, old signature", INVALID, token=unsigned)
        fresh = jws(header, payload)
        if entry.path in _STILL_VALID:
            jti, index = other["jti"], other["led"]["idx"]
            reread = {"jti": jti, "index": index, "categories": ["CARD", "NAME"]}
            v.ok(f"{entry.path}: another value, signed", reread, token=fresh, now=p.NOW)
        else:
            v.refused(f"{entry.path}: another value, signed", INVALID, token=fresh)
        v.refused(
            f"{entry.path}: bad value, signed", INVALID, token=jws(header, canonical.encode(bad))
        )
        v.refused(
            f"{entry.path}: missing, signed",
            INVALID,
            token=jws(header, canonical.encode(missing)),
        )
    for path in ("cnf.x5t#S256", "mfd", "owd", "led.lh", "rvt"):
        keys: list[str | int] = [*path.split(".")]
        spot = value
        for key in keys:
            spot = spot[key]
        payload = canonical.encode(replaced(value, keys, loose(spot)))
        v.refused(f"{path}: unused bits set, signed", INVALID, token=jws(header, payload))
    good = canonical.encode(value)
    detail = value["authorization_details"][0]
    for name, payload in {
        "a further claim": canonical.encode({**value, "sub": "x"}),
        "a further member of cnf": canonical.encode(replaced(value, ["cnf", "jkt"], "x")),
        "two authorization details": canonical.encode(
            {**value, "authorization_details": [detail, detail]}
        ),
        "aud twice": good[:-1] + b',"aud":"notify.safehand.example"}',
        "led.idx twice": good.replace(b'"idx":2', b'"idx":2,"idx":2'),
        "white space in the claims": good.replace(b":", b": ", 1),
        "exp as a float": good.replace(f"{p.NOW + 300}".encode(), f"{p.NOW + 300}.0".encode()),
        "nbf as text": good.replace(f'"nbf":{p.NOW}'.encode(), f'"nbf":"{p.NOW}"'.encode()),
        "claims that are an array": b"[]",
        "no claims": b"",
        "claims that are not UTF-8": b"\xff\xfe",
        "too large": canonical.encode({**value, "iss": "x" * 9000}),
    }.items():
        v.refused(f"{name}, signed", INVALID, token=jws(header, payload))


def _header(v: Vectors) -> None:
    payload = claims().encode()
    good = canonical.encode(dict(HEADER))
    headers: dict[str, dict[str, Any]] = {
        "alg missing": {"kid": KID, "typ": "consent+jwt"},
        "kid missing": {"alg": "Ed25519", "typ": "consent+jwt"},
        "typ missing": {"alg": "Ed25519", "kid": KID},
        "typ JWT": {**HEADER, "typ": "JWT"},
        "typ with its long name": {**HEADER, "typ": "application/consent+jwt"},
        "an unknown kid": {**HEADER, "kid": "00000000"},
        "a kid that is a number": {**HEADER, "kid": 1},
        "crit": {**HEADER, "crit": ["exp"]},
        "b64 false and crit": {**HEADER, "b64": False, "crit": ["b64"]},
        "an embedded key": {**HEADER, "jwk": {"crv": "Ed25519", "kty": "OKP", "x": "AA"}},
        "a key by address": {**HEADER, "jku": "https://other.example/keys"},
    }
    for name, header in headers.items():
        v.refused(f"header: {name}, signed", INVALID, token=jws(canonical.encode(header), payload))
    for name, raw in {
        "alg twice": good[:-1] + b',"alg":"none"}',
        "keys in another order": good.replace(b'{"alg":"Ed25519",', b"{")[:-1]
        + b',"alg":"Ed25519"}',
        "white space": good.replace(b":", b": ", 1),
        "nothing": b"",
        "not an object": b'"Ed25519"',
    }.items():
        v.refused(f"header: {name}, signed", INVALID, token=jws(raw, payload))


def _spelling(v: Vectors, text: str) -> None:
    head, body, tail = text.split(".")
    for name, changed in {
        "header padded": f"{head}=.{body}.{tail}",
        "claims padded": f"{head}.{body}=.{tail}",
        "signature padded": f"{head}.{body}.{tail}==",
        "signature with unused bits set": f"{head}.{body}.{loose(tail)}",
        "a space": f"{head}.{body}. {tail}",
        "a newline at the end": f"{text}\n",
        "four segments": f"{text}.AA",
        "two segments": f"{head}.{body}",
        "one segment": head,
        "nothing": "",
        "the standard alphabet": f"{head}.{body}.{tail.replace('-', '+').replace('_', '/')}~",
        "no signature": f"{head}.{body}.",
        "no claims segment": f"{head}..{tail}",
        "letters beyond ASCII": f"{head}.{body}.é{tail[1:]}",
        "8193 letters": (text + "A" * 8193)[:8193],
    }.items():
        v.refused(f"spelling: {name}", INVALID, token=changed)
    raw = fields.from_b64url(tail, "tail")
    for position in (0, 63):
        changed = fields.to_b64url(flipped(raw, position))
        v.refused(f"signature: byte {position} changed", INVALID, token=f"{head}.{body}.{changed}")
    under = signing.sign(p.TOKEN_KEY, "safehand/v1/token", f"{head}.{body}".encode())
    v.refused(
        "signature: with a context, as other messages have",
        INVALID,
        token=f"{head}.{body}.{fields.to_b64url(under)}",
    )
    stranger = p.STRANGER.sign(f"{head}.{body}".encode())
    v.refused(
        "signature: of another key", INVALID, token=f"{head}.{body}.{fields.to_b64url(stranger)}"
    )


def _algorithms(v: Vectors) -> None:
    """The classic confusions: what a permissive verifier would take."""
    body = fields.to_b64url(claims().encode())

    def start(alg: str) -> str:
        return f"{fields.to_b64url(canonical.encode({**HEADER, 'alg': alg}))}.{body}"

    for alg in ("none", "None"):
        v.refused(f"alg {alg}, unsigned", INVALID, token=start(alg) + ".")
    secret = hmac.digest(p.TOKEN_PUBLIC, start("HS256").encode(), hashlib.sha256)
    v.refused(
        "alg HS256 with the public key as secret",
        INVALID,
        token=f"{start('HS256')}.{fields.to_b64url(secret)}",
    )
    same = p.TOKEN_KEY.sign(start("EdDSA").encode())
    v.refused(
        "alg EdDSA, signed by the right key",
        INVALID,
        token=f"{start('EdDSA')}.{fields.to_b64url(same)}",
    )
    goldilocks = Ed448PrivateKey.from_private_bytes(SeededEntropy(b"ed448").bytes(57))
    for alg in ("Ed448", "EdDSA"):
        other = goldilocks.sign(start(alg).encode())
        v.refused(
            f"alg {alg} on the curve Ed448",
            INVALID,
            token=f"{start(alg)}.{fields.to_b64url(other)}",
        )
    curve = ec.derive_private_key(12345, ec.SECP256R1())
    for alg in ("ES256", "Ed25519"):
        r, s = decode_dss_signature(
            curve.sign(start(alg).encode(), ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        )
        raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        v.refused(
            f"alg {alg} signed with ECDSA", INVALID, token=f"{start(alg)}.{fields.to_b64url(raw)}"
        )
