"""The sender's own sealed draft: kept under its own key until the referral closes (rule 8).

Written and fsynced before the first request, so that a crash between authorise and create is
finished by sending the same manifest again. Its name says when its manifest ends, so that it can
be dropped then without being opened.
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
    """Files ``<referral>.<not_after>.sealed`` in ``folder``: AES-256-GCM under the draft key."""

    def __init__(self, folder: Path, key: bytes, entropy: Entropy) -> None:
        self._folder = folder
        self._key = key
        self._entropy = entropy

    def keep(self, referral: str, content: bytes, *, not_after: int) -> None:
        """Store ``content`` until ``not_after`` (seconds since the epoch); on return on disk.

        It takes the place of an earlier draft of the referral, which goes after it is there.
        """
        make_private_dir(self._folder)
        nonce = self._entropy.bytes(NONCE_BYTES)
        stem = f"{referral}.{not_after}"
        sealed = nonce + AESGCM(self._key).encrypt(nonce, content, stem.encode())
        written = self._folder / (stem + SUFFIX)
        write_atomic(written, sealed)
        for path in self._files():
            if path != written and _referral(path) == referral:
                path.unlink(missing_ok=True)

    def read(self, referral: str) -> bytes:
        """The content; raises NOT_FOUND, or MALFORMED where the file was changed."""
        for path in self._files():
            if _referral(path) == referral:
                return self._open(path)
        raise SafehandError(Reason.NOT_FOUND, "no draft of this referral is kept")

    def forget(self, referral: str) -> None:
        for path in self._files():
            if _referral(path) == referral:
                path.unlink(missing_ok=True)

    def drop_ended(self, now: int) -> None:
        """Forget the drafts whose manifest is over at ``now``: nothing of them can be sent."""
        for path in self._files():
            if _not_after(path) <= now:
                path.unlink(missing_ok=True)

    def __iter__(self) -> Iterator[str]:
        return map(_referral, self._files())

    def _open(self, path: Path) -> bytes:
        try:
            sealed = path.read_bytes()
        except FileNotFoundError as error:
            raise SafehandError(Reason.NOT_FOUND, "no draft of this referral is kept") from error
        try:
            return AESGCM(self._key).decrypt(
                sealed[:NONCE_BYTES],
                sealed[NONCE_BYTES:],
                path.name.removesuffix(SUFFIX).encode(),
            )
        except InvalidTag as error:
            raise SafehandError(Reason.MALFORMED, "the draft was changed") from error

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.*" + SUFFIX)) if self._folder.exists() else []


def _referral(path: Path) -> str:
    return path.name.split(".", 1)[0]


def _not_after(path: Path) -> int:
    try:
        return int(path.name.split(".")[1])
    except ValueError:
        return 0
