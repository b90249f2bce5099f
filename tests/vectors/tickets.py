"""Vectors of the steps ticket: section 8 of docs/formats.md."""

from __future__ import annotations

from typing import Any

from safehand_core import canonical
from safehand_core.entropy import SeededEntropy
from safehand_formats import fields, steps_ticket, token

from tests.vectors import parties as p
from tests.vectors import tokens
from tests.vectors.shapes import Field, Vectors, flipped, per_field, replaced
from tests.vectors.tokens import AUDIENCE, EXPIRED, INVALID, ISSUER, KID, jws, loose

CERTIFICATE = SeededEntropy(b"portal certificate").bytes(64)
"""Stands for the DER certificate of her pages: only its hash is looked at."""
HEADER = {"alg": "Ed25519", "kid": KID, "typ": "steps+jwt"}
REFERRALS = (p.random_id("second step"), p.random_id("a step"), p.random_id("third step"))
_OTHER = fields.to_b64url(bytes.fromhex(p.digest("other")))

FIELDS = [
    Field("iss", "https://other.example", "with space"),
    Field("aud", "notify.safehand.example", [AUDIENCE]),
    Field("iat", p.NOW + 11, p.NOW - 1),
    Field("exp", p.NOW + 5, p.NOW + 61),
    Field("jti", p.random_id("other"), "jti"),
    Field("cnf", {"x5t#S256": _OTHER}, {"jkt": _OTHER}),
    Field("referrals", [p.random_id("another step")], []),
]


def ticket(**changes: Any) -> str:
    values: dict[str, Any] = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "certificate_sha256": token.certificate_thumbprint(CERTIFICATE),
        "referrals": REFERRALS,
        "now": p.NOW,
        "jti": p.random_id("ticket"),
    }
    return steps_ticket.mint(p.TOKEN_KEY, KID, **{**values, **changes})


def vectors() -> Vectors:
    text = ticket()
    v = Vectors(
        "steps-ticket",
        "A steps ticket at the referral service, on the connection of her pages.",
        {
            "ticket": text,
            "keys": {KID: p.TOKEN_PUBLIC.hex()},
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "now": p.NOW + 10,
            "peer_cert": CERTIFICATE.hex(),
        },
    )
    value = {"referrals": list(REFERRALS)}
    v.ok("as minted", value)
    v.ok("in its first second", value, now=p.NOW)
    v.ok("in its last second", value, now=p.NOW + 59)
    v.refused("before its first second", INVALID, now=p.NOW - 1)
    v.refused("at its end", EXPIRED, now=p.NOW + 60)
    v.refused("another issuer expected", INVALID, issuer="https://other.example")
    v.refused("another audience expected", INVALID, audience="notify.safehand.example")
    v.refused("another client certificate", INVALID, peer_cert=flipped(CERTIFICATE).hex())
    v.refused("no key known", INVALID, keys={})
    v.refused("another key under that kid", INVALID, keys={KID: p.STRANGER_PUBLIC.hex()})
    _claims(v, text)
    _referrals(v)
    _header(v)
    head, body, tail = text.split(".")
    v.refused("a newline at the end", INVALID, ticket=f"{text}\n")
    v.refused("no signature", INVALID, ticket=f"{head}.{body}.")
    v.refused("signature with unused bits set", INVALID, ticket=f"{head}.{body}.{loose(tail)}")
    v.refused("8193 letters", INVALID, ticket=(text + "A" * 8193)[:8193])
    return v


def _value() -> Any:
    return canonical.decode(fields.from_b64url(ticket().split(".")[1], "body"), max_bytes=8192)


def _claims(v: Vectors, text: str) -> None:
    value, header = _value(), canonical.encode(dict(HEADER))
    signature = text.split(".")[2]
    for entry, other, bad, missing in per_field(FIELDS, value):
        payload = canonical.encode(other)
        unsigned = f"{fields.to_b64url(header)}.{fields.to_b64url(payload)}.{signature}"
        v.refused(f"{entry.path}: another value, old signature", INVALID, ticket=unsigned)
        fresh = jws(header, payload)
        if entry.path in ("jti", "referrals"):
            signed = {"referrals": other["referrals"]}
            v.ok(f"{entry.path}: another value, signed", signed, ticket=fresh)
        else:
            reason = EXPIRED if entry.path == "exp" else INVALID
            v.refused(f"{entry.path}: another value, signed", reason, ticket=fresh)
        for name, spoiled in (("bad value", bad), ("missing", missing)):
            v.refused(
                f"{entry.path}: {name}, signed",
                INVALID,
                ticket=jws(header, canonical.encode(spoiled)),
            )
    loosened = replaced(value, ["cnf", "x5t#S256"], loose(value["cnf"]["x5t#S256"]))
    good = canonical.encode(value)
    for name, payload in {
        "cnf.x5t#S256: unused bits set": canonical.encode(loosened),
        "a further claim": canonical.encode({**value, "sub": "x"}),
        "a claim of the consent token": canonical.encode({**value, "nbf": p.NOW}),
        "a further member of cnf": canonical.encode(replaced(value, ["cnf", "jkt"], "x")),
        "aud twice": good[:1] + b'"aud":"notify.safehand.example",' + good[1:],
        "white space in the claims": good.replace(b":", b": ", 1),
        "exp as text": good.replace(f'"exp":{p.NOW + 60}'.encode(), b'"exp":"9"'),
        "exp before iat": canonical.encode({**value, "exp": p.NOW - 1}),
        "claims that are an array": b"[]",
        "no claims": b"",
        "claims of a consent token": tokens.claims().encode(),
    }.items():
        v.refused(f"{name}, signed", INVALID, ticket=jws(header, payload))


def _referrals(v: Vectors) -> None:
    value, header = _value(), canonical.encode(dict(HEADER))
    many = [p.random_id(f"step {number}") for number in range(101)]
    hundred = {**value, "referrals": many[:100]}
    v.ok(
        "100 referrals",
        {"referrals": many[:100]},
        ticket=jws(header, canonical.encode(hundred)),
    )
    one = many[0]
    bad: dict[str, Any] = {
        "101 referrals": many,
        "one of them twice": [one, many[1], one],
        "an id in upper case": [one.upper()],
        "an id of 31 letters": [one[:31]],
        "an id of 33 letters": [one + "0"],
        "an id that is a number": [1],
        "an object for a list": {one: one},
        "one id for a list": one,
    }
    for name, referrals in bad.items():
        payload = canonical.encode({**value, "referrals": referrals})
        v.refused(f"{name}, signed", INVALID, ticket=jws(header, payload))


def _header(v: Vectors) -> None:
    payload = canonical.encode(_value())
    headers: dict[str, dict[str, Any]] = {
        "typ of the consent token": {**HEADER, "typ": "consent+jwt"},
        "typ JWT": {**HEADER, "typ": "JWT"},
        "typ with its long name": {**HEADER, "typ": "application/steps+jwt"},
        "typ missing": {"alg": "Ed25519", "kid": KID},
        "alg EdDSA": {**HEADER, "alg": "EdDSA"},
        "alg none": {**HEADER, "alg": "none"},
        "an unknown kid": {**HEADER, "kid": "00000000"},
        "crit": {**HEADER, "crit": ["exp"]},
    }
    for name, header in headers.items():
        v.refused(f"header: {name}, signed", INVALID, ticket=jws(canonical.encode(header), payload))
    v.refused("a consent token", INVALID, ticket=token.mint(tokens.claims(), p.TOKEN_KEY))
