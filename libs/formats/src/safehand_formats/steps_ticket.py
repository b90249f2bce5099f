"""The steps ticket: good for one minute, one certificate and the referrals that it names
(docs/formats.md section 8).

Consent knows whose session it is, referral knows where a referral stands. The ticket is how the one
tells the other which referrals may be told about, without naming her. It is a JWS as strict as the
consent token's, under the same keys; its ``typ`` is what keeps the two apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand_core import canonical, ids
from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from safehand_formats import fields, signing, token

TYPE: Final = "steps+jwt"
MAX_LIFETIME_S: Final = 60
"""One page is made in far less; what a stolen ticket is good for is one minute."""
MAX_REFERRALS: Final = 100
"""As many as her page lists: a ticket of that many has less than 8192 bytes."""

_CLAIM_KEYS: Final = ("iss", "aud", "iat", "exp", "jti", "cnf", "referrals")


@dataclass(frozen=True, slots=True)
class _Claims:
    """What a ticket says. Constructing one with a bad field raises MALFORMED."""

    issuer: str
    audience: str
    issued_at: int
    expires_at: int
    jti: str
    certificate: bytes
    referrals: tuple[str, ...]

    def __post_init__(self) -> None:
        fields.shape(self.issuer, token.NAME_PATTERN, "iss")
        fields.shape(self.audience, token.NAME_PATTERN, "aud")
        fields.instant(self.issued_at, "iat")
        fields.instant(self.expires_at, "exp")
        if not 0 < self.expires_at - self.issued_at <= MAX_LIFETIME_S:
            raise fields.malformed("exp", "a ticket lives at most 60 seconds")
        fields.shape(self.jti, ids.HEX16_PATTERN, "jti")
        fields.octets(self.certificate, fields.DIGEST_BYTES, "cnf")
        if not 1 <= len(self.referrals) <= MAX_REFERRALS:
            raise fields.malformed("referrals", "a ticket names 1 to 100 referrals")
        for referral in self.referrals:
            fields.shape(referral, ids.HEX16_PATTERN, "referrals")
        if len(set(self.referrals)) != len(self.referrals):
            raise fields.malformed("referrals", "a ticket names no referral twice")

    def encode(self) -> bytes:
        """Canonical JSON: the JWS payload."""
        value: dict[str, Json] = {
            "iss": self.issuer,
            "aud": self.audience,
            "iat": self.issued_at,
            "exp": self.expires_at,
            "jti": self.jti,
            "cnf": {"x5t#S256": fields.to_b64url(self.certificate)},
            "referrals": list(self.referrals),
        }
        return canonical.encode(value)

    @classmethod
    def decode(cls, data: bytes) -> _Claims:
        document = canonical.decode(data, max_bytes=token.MAX_TOKEN_BYTES)
        obj = fields.exact(document, _CLAIM_KEYS, "claims")
        cnf = fields.exact(obj["cnf"], ("x5t#S256",), "cnf")
        return cls(
            issuer=fields.text(obj, "iss"),
            audience=fields.text(obj, "aud"),
            issued_at=fields.number(obj, "iat"),
            expires_at=fields.number(obj, "exp"),
            jti=fields.text(obj, "jti"),
            certificate=fields.from_b64url(fields.text(cnf, "x5t#S256"), "cnf"),
            referrals=fields.texts(obj, "referrals"),
        )


def mint(
    key: Ed25519PrivateKey,
    kid: str,
    *,
    issuer: str,
    audience: str,
    certificate_sha256: bytes,
    referrals: Sequence[str],
    now: int,
    jti: str,
) -> str:
    """The ticket, compact JWS: ASCII, at most 8192 bytes, good for 60 seconds from ``now``.

    Args:
        key: consent's token key. kid: its id, ``token.token_key_id`` of it.
        issuer, audience: as for consent tokens.
        certificate_sha256: of the DER certificate with which the ticket may be used, 32 bytes
            (``token.certificate_thumbprint``).
        referrals: 1 to 100 referral ids, none twice; their order is kept.
        now: seconds since the epoch. jti: 32 random hex.

    Raises MALFORMED for what no ticket can say.
    """
    if kid != token.token_key_id(signing.public_bytes(key)):
        raise fields.malformed("kid", "not the id of this token key")
    claims = _Claims(
        issuer=issuer,
        audience=audience,
        issued_at=now,
        expires_at=now + MAX_LIFETIME_S,
        jti=jti,
        certificate=certificate_sha256,
        referrals=tuple(referrals),
    )
    return token.sign_payload(claims.encode(), key, TYPE)


def verify(
    ticket: str,
    keys: Mapping[str, bytes],
    *,
    issuer: str,
    audience: str,
    certificate_sha256: bytes,
    now: int,
) -> tuple[str, ...]:
    """The referrals of a ticket that is good for this connection at ``now``, in its order.

    ``keys`` maps a kid to the 32-byte public key of consent's token key. Raises TOKEN_INVALID, and
    TOKEN_EXPIRED for a ticket that would be good but for its end. No allowance for skew, as for
    consent tokens.
    """
    payload = token.signed_payload(ticket, keys, TYPE)
    try:
        claims = _Claims.decode(payload)
    except SafehandError as error:
        raise _invalid("the claims are not exactly a ticket's") from error
    if claims.issuer != issuer:
        raise _invalid("another issuer")
    if claims.audience != audience:
        raise _invalid("another audience")
    if claims.certificate != certificate_sha256:
        raise _invalid("another client certificate")
    if now < claims.issued_at:
        raise _invalid("not valid yet")
    if now >= claims.expires_at:
        raise SafehandError(Reason.TOKEN_EXPIRED)
    return claims.referrals


def _invalid(detail: str) -> SafehandError:
    return SafehandError(Reason.TOKEN_INVALID, detail)
