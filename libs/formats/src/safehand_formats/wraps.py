"""Outer wraps and category keys: what a stop destroys (docs/formats.md section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from safehand_core import ids
from safehand_core.entropy import Entropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import CATEGORIES

from safehand_formats import fields
from safehand_formats.manifest import MAX_PARTS
from safehand_formats.sealing import INNER_WRAP_BYTES, TAG_BYTES

KEY_BYTES: Final = 32
"""A category key and a KEK: AES-256."""
NONCE_BYTES: Final = 12
OUTER_WRAP_BYTES: Final = NONCE_BYTES + INNER_WRAP_BYTES + TAG_BYTES
SEALED_KEY_BYTES: Final = NONCE_BYTES + KEY_BYTES + TAG_BYTES
MAX_EPOCH: Final = 2**53 - 1


def new_category_key(entropy: Entropy) -> bytes:
    """A fresh category key: 32 bytes, one per (grant, category)."""
    return entropy.bytes(KEY_BYTES)


def _outer_aad(manifest_digest: bytes, part_id: int) -> bytes:
    fields.octets(manifest_digest, fields.DIGEST_BYTES, "manifest")
    fields.within(part_id, 0, MAX_PARTS - 1, "part")
    return b"safehand/v1/outer\x00" + manifest_digest + bytes([part_id])


def outer_wrap(
    category_key: bytes, manifest_digest: bytes, part_id: int, inner: bytes, entropy: Entropy
) -> bytes:
    """The outer wrap (1196 bytes) of an inner wrap (1168 bytes). Raises MALFORMED."""
    fields.octets(category_key, KEY_BYTES, "category_key")
    fields.octets(inner, INNER_WRAP_BYTES, "inner_wrap")
    nonce = entropy.bytes(NONCE_BYTES)
    aad = _outer_aad(manifest_digest, part_id)
    return nonce + AESGCM(category_key).encrypt(nonce, inner, aad)


def outer_unwrap(category_key: bytes, manifest_digest: bytes, part_id: int, outer: bytes) -> bytes:
    """The inner wrap (1168 bytes), or WRAP_INVALID unless key, manifest and part are its own."""
    fields.octets(category_key, KEY_BYTES, "category_key")
    aad = _outer_aad(manifest_digest, part_id)
    if len(outer) != OUTER_WRAP_BYTES:
        raise SafehandError(Reason.WRAP_INVALID, "an outer wrap has 1196 bytes")
    try:
        return AESGCM(category_key).decrypt(outer[:NONCE_BYTES], outer[NONCE_BYTES:], aad)
    except InvalidTag as error:
        raise SafehandError(Reason.WRAP_INVALID) from error


def outer_wraps_digest(wraps: Sequence[bytes]) -> bytes:
    """32 bytes over all outer wraps of a manifest, in order of part id."""
    return fields.sha256(
        b"safehand/v1/outer-wraps\x00" + b"".join(fields.lp(wrap) for wrap in wraps)
    )


def _key_aad(epoch: int, grant: str, category: str) -> bytes:
    fields.within(epoch, 0, MAX_EPOCH, "epoch")
    fields.shape(grant, ids.HEX16_PATTERN, "grant")
    fields.one_of(category, CATEGORIES, "category")
    return (
        b"safehand/v1/category-key\x00"
        + fields.lp(grant.encode("ascii"))
        + fields.lp(category.encode("ascii"))
        + epoch.to_bytes(8, "big")
    )


def seal_category_key(
    kek: bytes, epoch: int, grant: str, category: str, key: bytes, entropy: Entropy
) -> bytes:
    """A category key at rest: 60 bytes under the KEK of ``epoch``. Raises MALFORMED."""
    fields.octets(kek, KEY_BYTES, "kek")
    fields.octets(key, KEY_BYTES, "category_key")
    nonce = entropy.bytes(NONCE_BYTES)
    return nonce + AESGCM(kek).encrypt(nonce, key, _key_aad(epoch, grant, category))


def open_category_key(kek: bytes, epoch: int, grant: str, category: str, sealed: bytes) -> bytes:
    """The category key (32 bytes).

    Raises LEDGER_CORRUPT where the row does not open: no caller can mend that.
    """
    fields.octets(kek, KEY_BYTES, "kek")
    aad = _key_aad(epoch, grant, category)
    if len(sealed) != SEALED_KEY_BYTES:
        raise SafehandError(Reason.LEDGER_CORRUPT, "a sealed category key has 60 bytes")
    try:
        return AESGCM(kek).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], aad)
    except InvalidTag as error:
        raise SafehandError(Reason.LEDGER_CORRUPT, "a category key does not open") from error
