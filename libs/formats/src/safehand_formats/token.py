"""The consent token: a strict JWS (docs/formats.md section 7, RFC 7515, RFC 9864).

joserfc signs and verifies; everything it would tolerate beyond our one format (other header
fields, other spellings, duplicate keys) is refused before and after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from safehand_core import canonical, ids
from safehand_core.canonical import MAX_INTEGER, Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import CATEGORIES, PURPOSES

from safehand_formats import fields, signing, wraps
from safehand_formats.manifest import SignedManifest

ALGORITHM: Final = "Ed25519"
TYPE: Final = "consent+jwt"
DETAIL_TYPE: Final = "safehand_referral/v1"
MAX_TOKEN_BYTES: Final = 8192
MAX_LIFETIME_S: Final = 300
"""Five minutes: what a stolen token and key are good for, and what a stop may have to wait out."""
NAME_PATTERN: Final = r"[!-~]{1,200}"
"""An issuer or an audience: printable ASCII without spaces."""

_HEADER_KEYS: Final = ("alg", "kid", "typ")
_CLAIM_KEYS: Final = (
    "iss", "aud", "iat", "nbf", "exp", "jti", "cnf", "authorization_details", "mfd", "owd", "led",
    "rvt",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """What a token says. Times are seconds since the epoch; digests and tags are 32 bytes.

    Attributes:
        certificate: SHA-256 of the sender's DER certificate (RFC 8705 section 3.1).
        ledger_index, leaf_hash: of the REFER leaf in the ledger ``ledger_origin``.
        revoke_tag: the grant's REVOKE tag, counter 0.

    Constructing one with a bad field raises MALFORMED.
    """

    issuer: str
    audience: str
    issued_at: int
    not_before: int
    expires_at: int
    jti: str
    certificate: bytes
    recipient: str
    purpose: str
    categories: tuple[str, ...]
    manifest_digest: bytes
    outer_wraps_digest: bytes
    ledger_origin: str
    ledger_index: int
    leaf_hash: bytes
    revoke_tag: bytes

    def __post_init__(self) -> None:
        fields.shape(self.issuer, NAME_PATTERN, "iss")
        fields.shape(self.audience, NAME_PATTERN, "aud")
        fields.instant(self.issued_at, "iat")
        fields.instant(self.not_before, "nbf")
        fields.instant(self.expires_at, "exp")
        if not self.issued_at <= self.not_before < self.expires_at:
            raise fields.malformed("nbf", "iat, nbf and exp are not in order")
        if self.expires_at - self.issued_at > MAX_LIFETIME_S:
            raise fields.malformed("exp", "a token lives at most 300 seconds")
        fields.shape(self.jti, ids.HEX16_PATTERN, "jti")
        fields.octets(self.certificate, fields.DIGEST_BYTES, "cnf")
        fields.shape(self.recipient, ids.AGENCY_PATTERN, "recipient")
        fields.one_of(self.purpose, PURPOSES, "purpose")
        fields.word_set(self.categories, CATEGORIES, "categories")
        fields.octets(self.manifest_digest, fields.DIGEST_BYTES, "mfd")
        fields.octets(self.outer_wraps_digest, fields.DIGEST_BYTES, "owd")
        fields.shape(self.ledger_origin, fields.KEY_NAME_PATTERN, "led")
        fields.within(self.ledger_index, 0, MAX_INTEGER, "led")
        fields.octets(self.leaf_hash, fields.DIGEST_BYTES, "led")
        fields.octets(self.revoke_tag, fields.DIGEST_BYTES, "rvt")

    def encode(self) -> bytes:
        """The claims as canonical JSON: the JWS payload."""
        value: dict[str, Json] = {
            "iss": self.issuer,
            "aud": self.audience,
            "iat": self.issued_at,
            "nbf": self.not_before,
            "exp": self.expires_at,
            "jti": self.jti,
            "cnf": {"x5t#S256": fields.to_b64url(self.certificate)},
            "authorization_details": [
                {
                    "type": DETAIL_TYPE,
                    "recipient": self.recipient,
                    "purpose": self.purpose,
                    "categories": list(self.categories),
                }
            ],
            "mfd": fields.to_b64url(self.manifest_digest),
            "owd": fields.to_b64url(self.outer_wraps_digest),
            "led": {
                "org": self.ledger_origin,
                "idx": self.ledger_index,
                "lh": fields.to_b64url(self.leaf_hash),
            },
            "rvt": fields.to_b64url(self.revoke_tag),
        }
        return canonical.encode(value)

    @classmethod
    def decode(cls, data: bytes) -> TokenClaims:
        """The claims of a payload; raises MALFORMED."""
        obj = fields.exact(canonical.decode(data, max_bytes=MAX_TOKEN_BYTES), _CLAIM_KEYS, "claims")
        cnf = fields.exact(obj["cnf"], ("x5t#S256",), "cnf")
        led = fields.exact(obj["led"], ("org", "idx", "lh"), "led")
        details = fields.items(obj, "authorization_details")
        if len(details) != 1:
            raise fields.malformed("authorization_details")
        detail = fields.exact(
            details[0], ("type", "recipient", "purpose", "categories"), "authorization_details"
        )
        fields.one_of(detail["type"], (DETAIL_TYPE,), "type")
        return cls(
            issuer=fields.text(obj, "iss"),
            audience=fields.text(obj, "aud"),
            issued_at=fields.number(obj, "iat"),
            not_before=fields.number(obj, "nbf"),
            expires_at=fields.number(obj, "exp"),
            jti=fields.text(obj, "jti"),
            certificate=fields.from_b64url(fields.text(cnf, "x5t#S256"), "cnf"),
            recipient=fields.text(detail, "recipient"),
            purpose=fields.text(detail, "purpose"),
            categories=fields.texts(detail, "categories"),
            manifest_digest=fields.from_b64url(fields.text(obj, "mfd"), "mfd"),
            outer_wraps_digest=fields.from_b64url(fields.text(obj, "owd"), "owd"),
            ledger_origin=fields.text(led, "org"),
            ledger_index=fields.number(led, "idx"),
            leaf_hash=fields.from_b64url(fields.text(led, "lh"), "led"),
            revoke_tag=fields.from_b64url(fields.text(obj, "rvt"), "rvt"),
        )

    def match(self, signed: SignedManifest, outer_wraps: Sequence[bytes]) -> None:
        """Return if the token was minted for this manifest and these outer wraps.

        Raises TOKEN_INVALID (another manifest, recipient, purpose, categories or wraps), MALFORMED.
        """
        if self.manifest_digest != signed.digest:
            raise SafehandError(Reason.TOKEN_INVALID, "the token is for another manifest")
        if self.outer_wraps_digest != wraps.outer_wraps_digest(outer_wraps):
            raise SafehandError(Reason.TOKEN_INVALID, "the token is for other outer wraps")
        manifest = signed.manifest
        named = (manifest.header.recipient, manifest.header.purpose, manifest.categories)
        if named != (self.recipient, self.purpose, self.categories):
            raise SafehandError(Reason.TOKEN_INVALID, "the token names something else")


def token_key_id(public: bytes) -> str:
    """The ``kid`` of a token key: 8 hex."""
    fields.octets(public, fields.DIGEST_BYTES, "public")
    return fields.sha256(b"safehand/v1/token-key\x00" + public)[:4].hex()


def certificate_thumbprint(der: bytes) -> bytes:
    """``x5t#S256``: SHA-256 of a DER certificate, 32 bytes (RFC 8705 section 3.1)."""
    return fields.sha256(der)


def mint(claims: TokenClaims, private: Ed25519PrivateKey) -> str:
    """The compact JWS of ``claims``: ASCII, below 8192 bytes by the limits of the claims."""
    return sign_payload(claims.encode(), private, TYPE)


def sign_payload(payload: bytes, private: Ed25519PrivateKey, typ: str) -> str:
    """The compact JWS of canonical ``payload`` under a token key; ``typ`` says what it is."""
    kid = token_key_id(signing.public_bytes(private))
    header = {"alg": ALGORITHM, "kid": kid, "typ": typ}
    key = OKPKey.import_key(private)
    return jws.serialize_compact(header, payload, key, algorithms=[ALGORITHM])


def _invalid(detail: str) -> SafehandError:
    return SafehandError(Reason.TOKEN_INVALID, detail)


def _segments(token: str) -> tuple[bytes, bytes]:
    """Header and payload of a compact JWS whose three segments are strict base64url."""
    if len(token) > MAX_TOKEN_BYTES or not token.isascii():
        raise _invalid("a token has at most 8192 bytes")
    segments = token.split(".")
    if len(segments) != 3:
        raise _invalid("not a compact JWS")
    try:
        header, payload, signature = (fields.from_b64url(item, "token") for item in segments)
    except SafehandError as error:
        raise _invalid("a segment is not strict base64url") from error
    if len(signature) != fields.SIGNATURE_BYTES:
        raise _invalid("a signature has 64 bytes")
    return header, payload


def _kid(header: bytes, typ: str) -> str:
    """The key id of a header that is exactly ours, of type ``typ``."""
    try:
        obj = fields.exact(
            canonical.decode(header, max_bytes=MAX_TOKEN_BYTES), _HEADER_KEYS, "header"
        )
        fields.one_of(obj["alg"], (ALGORITHM,), "alg")
        fields.one_of(obj["typ"], (typ,), "typ")
        return fields.text(obj, "kid")
    except SafehandError as error:
        raise _invalid("the header is not exactly what its type has") from error


def signed_payload(token: str, keys: Mapping[str, bytes], typ: str) -> bytes:
    """The payload of a compact JWS of type ``typ`` under one of consent's token keys.

    ``keys`` as for ``verify``. Raises TOKEN_INVALID. Nothing in the payload is looked at.
    """
    header, payload = _segments(token)
    kid = _kid(header, typ)
    public = keys.get(kid)
    if public is None or token_key_id(public) != kid:
        raise _invalid("the token key is not known")
    try:
        key = OKPKey.import_key(signing.load_public(public))
        jws.deserialize_compact(token, key, algorithms=[ALGORITHM])
    except (JoseError, ValueError, SafehandError) as error:
        raise _invalid("the token's signature does not verify") from error
    return payload


def verify(
    token: str,
    *,
    keys: Mapping[str, bytes],
    issuer: str,
    audience: str,
    now: int,
    peer_cert_der: bytes,
) -> TokenClaims:
    """The claims of a token that is valid for this connection at ``now``.

    ``keys`` maps a kid to the 32-byte public key of consent's token key. Raises TOKEN_INVALID, and
    TOKEN_EXPIRED for a token that would be valid but for its end. No allowance for skew. What the
    token is for is checked by ``TokenClaims.match``.
    """
    payload = signed_payload(token, keys, TYPE)
    try:
        claims = TokenClaims.decode(payload)
    except SafehandError as error:
        raise _invalid("the claims are not exactly a consent token's") from error
    if claims.issuer != issuer:
        raise _invalid("another issuer")
    if claims.audience != audience:
        raise _invalid("another audience")
    if claims.certificate != certificate_thumbprint(peer_cert_der):
        raise _invalid("another client certificate")
    if now < claims.not_before:
        raise _invalid("not valid yet")
    if now >= claims.expires_at:
        raise SafehandError(Reason.TOKEN_EXPIRED)
    return claims
