"""The sender's own sealed draft: kept under its own key until the referral closes (rule 8).

Written and fsynced before the first request, so that a crash between authorise and create is
finished by sending the same manifest again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from safehand_core.entropy import Entropy
from safehand_core.errors import SafehandError
from safehand_core.keystore import make_private_dir, write_atomic
from safehand_core.reasons import Reason

SUFFIX = ".sealed"
NONCE_BYTES = 12


class Drafts:
    """Files ``<referral>.sealed`` in ``folder``: AES-256-GCM under the party's draft key."""

    def __init__(self, folder: Path, key: bytes, entropy: Entropy) -> None:
        self._folder = folder
        self._key = key
        self._entropy = entropy

    def keep(self, referral: str, content: bytes) -> None:
        """Store ``content``; on return it is on disk."""
        make_private_dir(self._folder)
        nonce = self._entropy.bytes(NONCE_BYTES)
        sealed = nonce + AESGCM(self._key).encrypt(nonce, content, referral.encode())
        write_atomic(self._folder / (referral + SUFFIX), sealed)

    def read(self, referral: str) -> bytes:
        """The content; raises NOT_FOUND, or MALFORMED where the file was changed."""
        try:
            sealed = (self._folder / (referral + SUFFIX)).read_bytes()
        except FileNotFoundError as error:
            raise SafehandError(Reason.NOT_FOUND, "no draft of this referral is kept") from error
        try:
            return AESGCM(self._key).decrypt(
                sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], referral.encode()
            )
        except InvalidTag as error:
            raise SafehandError(Reason.MALFORMED, "the draft was changed") from error

    def forget(self, referral: str) -> None:
        (self._folder / (referral + SUFFIX)).unlink(missing_ok=True)

    def __iter__(self) -> Iterator[str]:
        if self._folder.exists():
            for path in sorted(self._folder.glob("*" + SUFFIX)):
                yield path.name.removesuffix(SUFFIX)
