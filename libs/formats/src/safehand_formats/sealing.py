"""Sealing a part to one recipient agency (docs/formats.md section 4).

Content goes under a fresh AES-256-GCM key; that key is sealed with HPKE (RFC 9180, KEM 0x647A =
X-Wing: ML-KEM-768 + X25519). One suite; nothing is negotiated.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from safehand_core.entropy import Entropy, SystemEntropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from safehand_formats import fields
from safehand_formats.manifest import BUCKETS, Header, Part, PartLabel

SUITE: Final = "647a-0001-0002"
"""KEM, KDF and AEAD ids of RFC 9180 section 7, as a key record names them."""
SEED_BYTES: Final = 32
"""The X-Wing private key (draft-connolly-cfrg-xwing-kem section 5.2)."""
PUBLIC_BYTES: Final = 1216
"""ML-KEM-768 (1184) and X25519 (32)."""
CONTENT_KEY_BYTES: Final = 32
INNER_WRAP_BYTES: Final = 1168
"""``enc`` 1120, sealed key 32, tag 16."""
TAG_BYTES: Final = 16
LENGTH_BYTES: Final = 4

_MLKEM_PUBLIC: Final = 1184
_CONTENT_NONCE: Final = bytes(12)
"""Constant, because a content key encrypts once."""
_SUITE: Final = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


@dataclass(frozen=True, slots=True)
class SealedPart:
    """Ciphertext (``bucket + 16`` bytes), inner wrap (1168 bytes), and the manifest's part."""

    ciphertext: bytes
    inner_wrap: bytes
    part: Part


def _expand(seed: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    if len(seed) != SEED_BYTES:
        raise fields.malformed("seed", "an X-Wing private key has 32 bytes")
    # expandDecapsulationKey of draft-connolly-cfrg-xwing-kem section 5.2
    wide = hashlib.shake_256(seed).digest(96)
    return (
        MLKEM768PrivateKey.from_seed_bytes(wide[:64]),
        X25519PrivateKey.from_private_bytes(wide[64:]),
    )


def recipient_public(seed: bytes) -> bytes:
    """The 1216-byte public key of a 32-byte seed."""
    lattice, curve = _expand(seed)
    return lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes(
        Encoding.Raw, PublicFormat.Raw
    )


def generate_recipient_key(entropy: Entropy | None = None) -> tuple[bytes, bytes]:
    """A fresh recipient key: ``(seed of 32 bytes, public key of 1216 bytes)``."""
    seed = (entropy or SystemEntropy()).bytes(SEED_BYTES)
    return seed, recipient_public(seed)


def recipient_key_id(public: bytes) -> str:
    """The id of a recipient key: ``hex(H(public))``, 64 characters."""
    fields.octets(public, PUBLIC_BYTES, "public")
    return fields.sha256(public).hex()


def load_recipient_public(public: bytes) -> hpke.MLKEM768X25519PublicKey:
    """The key object of 1216 raw bytes; raises MALFORMED (FIPS 203 section 7.2 input check)."""
    fields.octets(public, PUBLIC_BYTES, "public")
    try:
        return hpke.MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC]),
            X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC:]),
        )
    except ValueError as error:
        raise fields.malformed("public") from error


def new_content_key(entropy: Entropy) -> bytes:
    """A fresh content key: 32 bytes, for one part only."""
    return entropy.bytes(CONTENT_KEY_BYTES)


def bucket_for(length: int) -> int:
    """The smallest bucket for ``length`` bytes of content; raises TOO_LARGE over 65532."""
    for bucket in BUCKETS:
        if length + LENGTH_BYTES <= bucket:
            return bucket
    raise SafehandError(Reason.TOO_LARGE, "a part holds at most 65532 bytes")


def pad(content: bytes, bucket: int) -> bytes:
    """``u32(len) || content || zeros``: ``bucket`` bytes. Raises TOO_LARGE."""
    if len(content) + LENGTH_BYTES > bucket:
        raise SafehandError(Reason.TOO_LARGE, "the content does not fit the label's bucket")
    return fields.lp(content).ljust(bucket, b"\x00")


def unpad(padded: bytes) -> bytes:
    """The content of padded bytes; raises MALFORMED where length or filling is wrong."""
    length = int.from_bytes(padded[:LENGTH_BYTES], "big")
    end = LENGTH_BYTES + length
    if end > len(padded) or any(padded[end:]):
        raise SafehandError(Reason.MALFORMED, "the padding is wrong")
    return padded[LENGTH_BYTES:end]


def content_aad(header: Header, label: PartLabel) -> bytes:
    return b"safehand/v1/content\x00" + fields.lp(header.encode()) + fields.lp(label.encode())


def inner_info(header: Header, label: PartLabel, ciphertext: bytes) -> bytes:
    return (
        b"safehand/v1/inner\x00"
        + fields.lp(header.encode())
        + fields.lp(label.encode())
        + fields.sha256(ciphertext)
    )


def seal_part(
    header: Header, label: PartLabel, content: bytes, recipient_public: bytes, entropy: Entropy
) -> SealedPart:
    """Seal ``content`` for the holder of ``recipient_public`` (1216 bytes).

    HPKE draws its encapsulation from the library's own generator: ``entropy`` gives the content
    key only, so two calls never give the same inner wrap. Raises MANIFEST_MISMATCH where the
    header names another recipient key, TOO_LARGE, MALFORMED.
    """
    if header.recipient_key != recipient_key_id(recipient_public):
        raise SafehandError(Reason.MANIFEST_MISMATCH, "recipient_key is not the given key's id")
    key = new_content_key(entropy)
    ciphertext = AESGCM(key).encrypt(
        _CONTENT_NONCE, pad(content, label.bucket), content_aad(header, label)
    )
    inner = _SUITE.encrypt(
        key, load_recipient_public(recipient_public), info=inner_info(header, label, ciphertext)
    )
    part = Part(label, fields.sha256(ciphertext), fields.sha256(inner))
    return SealedPart(ciphertext, inner, part)


def open_part(
    header: Header, label: PartLabel, ciphertext: bytes, inner_wrap: bytes, seed: bytes
) -> bytes:
    """The content, opened with the recipient's 32-byte seed.

    Raises WRAP_INVALID where the inner wrap is not for this header, label, ciphertext and key, and
    MANIFEST_MISMATCH where the content does not open or its padding is wrong.
    """
    key = open_inner_wrap(header, label, ciphertext, inner_wrap, seed)
    try:
        padded = AESGCM(key).decrypt(_CONTENT_NONCE, ciphertext, content_aad(header, label))
    except InvalidTag as error:
        raise SafehandError(Reason.MANIFEST_MISMATCH, "the content does not open") from error
    if len(padded) != label.bucket:
        raise SafehandError(Reason.MANIFEST_MISMATCH, "the content is not of its bucket's size")
    try:
        return unpad(padded)
    except SafehandError as error:
        raise SafehandError(Reason.MANIFEST_MISMATCH, error.detail) from error


def open_inner_wrap(
    header: Header, label: PartLabel, ciphertext: bytes, inner_wrap: bytes, seed: bytes
) -> bytes:
    """The 32-byte content key; raises WRAP_INVALID."""
    lattice, curve = _expand(seed)
    if len(inner_wrap) != INNER_WRAP_BYTES:
        raise SafehandError(Reason.WRAP_INVALID, "an inner wrap has 1168 bytes")
    try:
        return _SUITE.decrypt(
            inner_wrap,
            hpke.MLKEM768X25519PrivateKey(lattice, curve),
            info=inner_info(header, label, ciphertext),
        )
    except (InvalidTag, ValueError) as error:
        raise SafehandError(Reason.WRAP_INVALID, "the inner wrap does not open") from error
