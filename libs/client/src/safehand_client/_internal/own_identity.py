"""Our own identity keys: the one that signs, the next one, and those before it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand_core.errors import SafehandError
from safehand_core.keystore import FileKeystore
from safehand_core.reasons import Reason
from safehand_formats.signing import identity_key_id, public_bytes

CURRENT: Final = "identity"
NEXT: Final = "identity-next"
OLD: Final = "identity-old-"
"""Names in the keystore; an old key's ends with its fingerprint."""


class OwnIdentity:
    """Private identity keys. Safe to share between threads, and with who replaces them."""

    def __init__(self, keys: FileKeystore, folder: Path) -> None:
        self._keys = keys
        self._file = folder / f"{CURRENT}.pem"
        self._lock = threading.Lock()
        self._current = keys.ed25519(CURRENT)
        self._seen = self._stamp()

    @property
    def current(self) -> Ed25519PrivateKey:
        """The key that signs now: read again when another process has put the next one there."""
        with self._lock:
            stamp = self._stamp()
            if stamp != self._seen:
                self._current, self._seen = self._keys.ed25519(CURRENT, create=False), stamp
            return self._current

    def of(self, fingerprint: str) -> Ed25519PrivateKey:
        """The private key of that fingerprint, while we have it; raises KEY_UNKNOWN."""
        for name in (CURRENT, f"{OLD}{fingerprint[:16]}"):
            if name == CURRENT or name in self._keys.list():
                key = self.current if name == CURRENT else self._keys.ed25519(name, create=False)
                if identity_key_id(public_bytes(key)) == fingerprint:
                    return key
        raise SafehandError(Reason.KEY_UNKNOWN, "we do not hold that identity key any more")

    def make_next(self) -> Ed25519PrivateKey:
        """The key that is to sign next, made where there is none."""
        return self._keys.ed25519(NEXT)

    def switch(self, new: bytes) -> None:
        """Sign with the next key, whose public half is ``new``, and keep the one before.

        May be repeated after a crash at any point. Raises KEY_UNKNOWN where it is not there.
        """
        if public_bytes(self.current) == new:
            return
        if NEXT not in self._keys.list() or public_bytes(self._keys.ed25519(NEXT)) != new:
            raise SafehandError(Reason.KEY_UNKNOWN, "the next identity key is not here")
        old = identity_key_id(public_bytes(self.current))
        self._keys.replace_ed25519(CURRENT, NEXT, keep_as=f"{OLD}{old[:16]}")

    def old(self) -> list[str]:
        """Fingerprints of the old keys whose private halves are still here, sorted."""
        names = [name for name in self._keys.list() if name.startswith(OLD)]
        return sorted(
            identity_key_id(public_bytes(self._keys.ed25519(name, create=False))) for name in names
        )

    def destroy(self, fingerprint: str) -> None:
        """Delete the private half of an old key for good."""
        self._keys.destroy(f"{OLD}{fingerprint[:16]}")

    def _stamp(self) -> tuple[int, int]:
        found = self._file.stat()
        return found.st_ino, found.st_mtime_ns
