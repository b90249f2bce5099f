"""Where secret keys lie: one small interface, and files behind it.

A key exists in one file of one directory (0700, files 0600) and nowhere else; no process is given
another party's directory. PKCS#11 and a KMS can follow behind the same interface.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from safehand_core.entropy import Entropy, SystemEntropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

SECRET_BYTES = 32
"""Length of a secret in bytes: a KEK, a pepper, an HMAC key, the seed of an X-Wing key."""
DIRECTORY_MODE = 0o700
FILE_MODE = 0o600

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,80}")
_PEM = ".pem"
_RAW = ".secret"


class Keystore(Protocol):
    """Keys by name. Names are lower-case words: ``identity``, ``release-kek.3``."""

    def ed25519(self, name: str, *, create: bool = True) -> Ed25519PrivateKey:
        """The signing key ``name``, made at its first use.

        Raises CONFIG_INVALID where it does not exist and ``create`` is false.
        """
        ...

    def secret(self, name: str, *, create: bool = True) -> bytes:
        """The 32 random bytes ``name``, made at their first use.

        Raises CONFIG_INVALID where they do not exist and ``create`` is false.
        """
        ...

    def put_secret(self, name: str, value: bytes) -> None:
        """Store 32 bytes under a name that is free; raises ALREADY_EXISTS where it is not."""
        ...

    def destroy(self, name: str) -> None:
        """Forget ``name`` for good; returns after the loss is durable. Absent is no error."""
        ...

    def list(self) -> list[str]:
        """All names, sorted."""
        ...


class FileKeystore:
    """A directory of key files.

    Raises CONFIG_INVALID, here and at every read, where the directory or a file is open to others,
    is a symbolic link, or belongs to somebody else.
    """

    def __init__(self, directory: Path, *, entropy: Entropy | None = None) -> None:
        self._directory = directory
        self._entropy = entropy or SystemEntropy()
        make_private_dir(directory)
        require_private(directory)

    def ed25519(self, name: str, *, create: bool = True) -> Ed25519PrivateKey:
        path = self._path(name, _PEM)
        if create and not path.exists():
            fresh = Ed25519PrivateKey.from_private_bytes(self._entropy.bytes(SECRET_BYTES))
            write_new(path, fresh.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        try:
            key = load_pem_private_key(read_private(path), None)
        except ValueError:
            raise SafehandError(Reason.CONFIG_INVALID, "a key file is not PEM") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise SafehandError(Reason.CONFIG_INVALID, "a key file is not Ed25519")
        return key

    def secret(self, name: str, *, create: bool = True) -> bytes:
        path = self._path(name, _RAW)
        if create and not path.exists():
            write_new(path, self._entropy.bytes(SECRET_BYTES))
        value = read_private(path)
        if len(value) != SECRET_BYTES:
            raise SafehandError(Reason.CONFIG_INVALID, "a secret file has the wrong length")
        return value

    def put_secret(self, name: str, value: bytes) -> None:
        if len(value) != SECRET_BYTES:
            raise SafehandError(Reason.CONFIG_INVALID, "a secret has the wrong length")
        if not write_new(self._path(name, _RAW), value):
            raise SafehandError(Reason.ALREADY_EXISTS, "a key of that name exists")

    def replace_ed25519(self, name: str, by: str, *, keep_as: str) -> None:
        """Let ``name`` hold the signing key ``by``, then gone, and ``keep_as`` what it held.

        Durable when it returns. Nothing is lost at any point: ``keep_as`` is there first.
        """
        current = self._path(name, _PEM)
        write_new(self._path(keep_as, _PEM), read_private(current))
        self._path(by, _PEM).replace(current)
        fsync_directory(self._directory)

    def destroy(self, name: str) -> None:
        for suffix in (_PEM, _RAW):
            self._path(name, suffix).unlink(missing_ok=True)
        fsync_directory(self._directory)

    def list(self) -> list[str]:
        return sorted({p.stem for p in self._directory.iterdir() if p.suffix in (_PEM, _RAW)})

    def _path(self, name: str, suffix: str) -> Path:
        if not _NAME.fullmatch(name):
            raise SafehandError(Reason.CONFIG_INVALID, "a key name has the wrong shape")
        return self._directory / f"{name}{suffix}"


def make_private_dir(directory: Path) -> None:
    """Make ``directory`` (and its parents) with mode 0700 where it does not exist."""
    if not directory.exists():
        directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)


def require_private(path: Path) -> None:
    """Raise CONFIG_INVALID unless ``path`` is ours, is no link, and is closed to everyone else."""
    try:
        found = path.lstat()
    except OSError:
        raise SafehandError(Reason.CONFIG_INVALID, "a key file is missing") from None
    if stat.S_ISLNK(found.st_mode):
        raise SafehandError(Reason.CONFIG_INVALID, "a key path is a symbolic link")
    if found.st_uid != os.geteuid():
        raise SafehandError(Reason.CONFIG_INVALID, "a key path belongs to another user")
    if found.st_mode & 0o077:
        raise SafehandError(
            Reason.CONFIG_INVALID, "a key path is open to others: set 0700 on it, 0600 on files"
        )


def read_mounted(path: Path) -> bytes:
    """The bytes of a secret that something else put there, as orchestrators mount them: a link and
    another owner are right, readable by our group too, but not by everyone and changed by nobody.

    Raises CONFIG_INVALID where others may read or change it, and OSError where it is missing.
    """
    if path.stat().st_mode & 0o027:
        raise SafehandError(
            Reason.CONFIG_INVALID, "a secret file is open to others: set 0600 on it, or 0440"
        )
    return path.read_bytes()


def read_private(path: Path) -> bytes:
    """The bytes of a secret file; raises CONFIG_INVALID as ``require_private`` does."""
    require_private(path)
    return path.read_bytes()


def write_atomic(path: Path, data: bytes, *, mode: int = FILE_MODE) -> None:
    """Replace ``path`` by ``data`` so that a crash leaves the old or the new bytes, never a mix.

    Durable when it returns: the file and its directory are fsynced.
    """
    temporary = _write_temporary(path, data, mode)
    temporary.replace(path)
    fsync_directory(path.parent)


def fsync_directory(directory: Path) -> None:
    """Make the names in ``directory`` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_new(path: Path, data: bytes) -> bool:
    """Write a secret file that must not exist yet; False where it does (then nothing changes).

    Durable when it returns True.

    ``link`` fails on an existing name, so that of two processes which both make a key one wins and
    both use the winner's.
    """
    temporary = _write_temporary(path, data, FILE_MODE)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    fsync_directory(path.parent)
    return True


def _write_temporary(path: Path, data: bytes, mode: int) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
    except BaseException:
        temporary.unlink()
        raise
    return temporary
