"""Sealing what she chose and has not answered, so that a copy of the database tells nothing of it.

Each day has a key of its own in the keystore, made when it is first needed and destroyed when the
day is over: then no file of this service opens what was kept until that day, however old the copy
of its row. Everything has one length, so that a row does not tell how much she turned on.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from safehand_core.entropy import Entropy
from safehand_core.errors import SafehandError
from safehand_core.keystore import Keystore
from safehand_formats.fields import lp
from safehand_formats.sealing import TAG_BYTES, pad, unpad
from safehand_formats.wraps import NONCE_BYTES

DAY_S: Final = 24 * 3600
KEY: Final = "draft-"
"""Keys of the keystore: this and the day, counted from 1970, in which what they seal ends."""
PADDED_BYTES: Final = 256
"""Every category, the hash of a notice and two numbers need less."""
SEALED_BYTES: Final = NONCE_BYTES + PADDED_BYTES + TAG_BYTES


class DraftBox:
    """Seals and opens (AES-256-GCM). Safe from any thread and in any process of the keystore."""

    def __init__(self, keystore: Keystore, entropy: Entropy) -> None:
        self._keystore = keystore
        self._entropy = entropy

    def seal(self, subject_id: str, ask_id: str, ends_at: int, content: bytes) -> bytes:
        """``SEALED_BYTES`` bytes, good for her, this question and this end alone.

        Raises TOO_LARGE; CONFIG_INVALID where the key cannot be had.
        """
        key = self._keystore.secret(_name(ends_at))
        nonce = self._entropy.bytes(NONCE_BYTES)
        padded = pad(content, PADDED_BYTES)
        return nonce + AESGCM(key).encrypt(nonce, padded, _aad(subject_id, ask_id, ends_at))

    def open(self, subject_id: str, ask_id: str, ends_at: int, sealed: bytes) -> bytes | None:
        """The content; None where it does not open: its day is over, or the row is not as it was.

        No error: what cannot be offered again must not keep her from the question.
        """
        try:
            key = self._keystore.secret(_name(ends_at), create=False)
            aad = _aad(subject_id, ask_id, ends_at)
            return unpad(AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], aad))
        except (SafehandError, InvalidTag):
            return None

    def destroy_keys(self, now: int) -> int:
        """Destroy the keys of days that are over; returns how many."""
        over = [
            name
            for name in self._keystore.list()
            if name.startswith(KEY) and (int(name.removeprefix(KEY)) + 1) * DAY_S <= now
        ]
        for name in over:
            self._keystore.destroy(name)
        return len(over)


def _name(ends_at: int) -> str:
    return f"{KEY}{ends_at // DAY_S}"


def _aad(subject_id: str, ask_id: str, ends_at: int) -> bytes:
    owner = lp(subject_id.encode()) + lp(ask_id.encode())
    return b"safehand/v1/draft\x00" + owner + ends_at.to_bytes(8, "big")
