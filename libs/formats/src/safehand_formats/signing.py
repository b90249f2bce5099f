"""Ed25519 signatures over ``context || 00 || message`` (docs/formats.md section 1, RFC 8032)."""

from __future__ import annotations

import re
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from safehand_formats import fields

CONTEXT_PATTERN: Final = r"safehand/v1/[a-z-]{1,32}"
"""Every context that safehand signs under has this shape; it cannot hold the separator 00."""

_P: Final = 2**255 - 19
_ORDER_8_Y: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
SMALL_ORDER_Y: Final = frozenset({0, 1, _P - 1, _P, _P + 1, _ORDER_8_Y, _P - _ORDER_8_Y})
"""The y coordinates, as encoded, of the points whose order divides 8 (RFC 8032 section 5.1).

A signature under such a key can verify for many messages, so it convicts nobody; no honest key
generation yields one.
"""


def _input(context: str, message: bytes) -> bytes:
    if re.fullmatch(CONTEXT_PATTERN, context) is None:
        raise SafehandError(Reason.MALFORMED, "not a signature context of safehand")
    return context.encode("ascii") + b"\x00" + message


def sign(private: Ed25519PrivateKey, context: str, message: bytes) -> bytes:
    """The 64-byte signature of ``message`` under ``context``."""
    return private.sign(_input(context, message))


def verify(public: bytes, context: str, message: bytes, signature: bytes) -> None:
    """Return if ``signature`` is ``public``'s (32 bytes); raises SIGNATURE_INVALID otherwise."""
    data = _input(context, message)
    if len(signature) != fields.SIGNATURE_BYTES:
        raise SafehandError(Reason.SIGNATURE_INVALID, "a signature has 64 bytes")
    try:
        load_public(public).verify(signature, data)
    except InvalidSignature as error:
        raise SafehandError(Reason.SIGNATURE_INVALID) from error


def load_public(public: bytes) -> Ed25519PublicKey:
    """The key object of 32 raw bytes; raises SIGNATURE_INVALID for what is no usable key."""
    if len(public) != fields.DIGEST_BYTES:
        raise SafehandError(Reason.SIGNATURE_INVALID, "an identity key has 32 bytes")
    if int.from_bytes(public, "little") & (2**255 - 1) in SMALL_ORDER_Y:
        raise SafehandError(Reason.SIGNATURE_INVALID, "the key is of small order")
    try:
        return Ed25519PublicKey.from_public_bytes(public)
    except ValueError as error:
        raise SafehandError(Reason.SIGNATURE_INVALID, "not an Ed25519 public key") from error


def public_bytes(private: Ed25519PrivateKey) -> bytes:
    """The raw public key of ``private``: 32 bytes."""
    return private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def identity_key_id(public: bytes) -> str:
    """The id of an identity key: ``hex(H(public))``, 64 characters."""
    fields.octets(public, fields.DIGEST_BYTES, "public")
    return fields.sha256(public).hex()
