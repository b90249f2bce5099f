"""Keys lie in files that nobody else can open, appear whole, and disappear for good."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from safehand_core import keystore
from safehand_core.entropy import SeededEntropy
from safehand_core.keystore import FileKeystore, write_atomic
from safehand_core.reasons import Reason

from tests.rpc.conftest import refusal


@pytest.fixture
def keys(tmp_path: Path) -> FileKeystore:
    return FileKeystore(tmp_path / "keys")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_signing_key_is_made_once_and_found_again(keys: FileKeystore, tmp_path: Path) -> None:
    made = keys.ed25519("identity")
    again = FileKeystore(tmp_path / "keys").ed25519("identity")
    assert again.public_key() == made.public_key()
    pem = (tmp_path / "keys" / "identity.pem").read_bytes()
    assert pem.startswith(b"-----BEGIN PRIVATE KEY-----")
    load_pem_private_key(pem, None)


def test_a_secret_is_made_once_and_found_again(keys: FileKeystore, tmp_path: Path) -> None:
    made = keys.secret("release-kek.1")
    assert len(made) == 32
    assert FileKeystore(tmp_path / "keys").secret("release-kek.1") == made
    assert keys.secret("release-kek.2") != made


def test_modes_are_closed_whatever_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        keys = FileKeystore(tmp_path / "keys")
        keys.ed25519("identity")
        keys.secret("pepper")
    finally:
        os.umask(before)
    assert mode(tmp_path / "keys") == 0o700
    assert {mode(p) for p in (tmp_path / "keys").iterdir()} == {0o600}


@pytest.mark.parametrize("bits", [0o040, 0o004, 0o020, 0o010])
def test_an_open_file_is_refused(keys: FileKeystore, tmp_path: Path, bits: int) -> None:
    keys.secret("pepper")
    (tmp_path / "keys" / "pepper.secret").chmod(0o600 | bits)
    assert refusal(lambda: keys.secret("pepper")).reason is Reason.CONFIG_INVALID


@pytest.mark.parametrize("bits", [0o050, 0o005, 0o001])
def test_an_open_directory_is_refused(keys: FileKeystore, tmp_path: Path, bits: int) -> None:
    (tmp_path / "keys").chmod(0o700 | bits)
    assert refusal(lambda: FileKeystore(tmp_path / "keys")).reason is Reason.CONFIG_INVALID


def test_a_link_is_refused(keys: FileKeystore, tmp_path: Path) -> None:
    keys.secret("pepper")
    (tmp_path / "keys" / "link.secret").symlink_to(tmp_path / "keys" / "pepper.secret")
    assert refusal(lambda: keys.secret("link")).reason is Reason.CONFIG_INVALID


def test_what_is_only_to_be_read_is_not_made(keys: FileKeystore) -> None:
    for attempt in (
        lambda: keys.secret("absent", create=False),
        lambda: keys.ed25519("absent", create=False),
    ):
        assert refusal(attempt).reason is Reason.CONFIG_INVALID
    assert keys.list() == []


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "UPPER", "a b", "a\0b"])
def test_names_cannot_leave_the_directory(keys: FileKeystore, name: str) -> None:
    assert refusal(lambda: keys.secret(name)).reason is Reason.CONFIG_INVALID


def test_a_destroyed_key_is_gone_and_its_loss_is_durable(
    keys: FileKeystore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = keys.secret("release-kek.1")
    synced: list[bool] = []

    def note(directory: Path) -> None:
        synced.append((directory / "release-kek.1.secret").exists())

    monkeypatch.setattr(keystore, "fsync_directory", note)
    keys.destroy("release-kek.1")
    assert synced == [False]  # after the unlink
    assert keys.list() == []
    assert keys.secret("release-kek.1") != old
    keys.destroy("never-there")


def test_names_are_listed(keys: FileKeystore) -> None:
    keys.secret("release-kek.2")
    keys.ed25519("identity")
    keys.secret("pepper")
    assert keys.list() == ["identity", "pepper", "release-kek.2"]


def test_a_secret_of_ones_own_is_kept_and_never_replaced(keys: FileKeystore) -> None:
    keys.put_secret("seed", b"s" * 32)
    assert keys.secret("seed") == b"s" * 32
    assert refusal(lambda: keys.put_secret("seed", b"t" * 32)).reason is Reason.ALREADY_EXISTS
    assert keys.secret("seed") == b"s" * 32
    assert refusal(lambda: keys.put_secret("short", b"s")).reason is Reason.CONFIG_INVALID


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33])
def test_a_damaged_secret_is_refused(keys: FileKeystore, tmp_path: Path, content: bytes) -> None:
    keys.secret("pepper")
    (tmp_path / "keys" / "pepper.secret").write_bytes(content)
    assert refusal(lambda: keys.secret("pepper")).reason is Reason.CONFIG_INVALID


def test_a_damaged_key_is_refused(keys: FileKeystore, tmp_path: Path) -> None:
    keys.ed25519("identity")
    (tmp_path / "keys" / "identity.pem").write_bytes(b"garbage")
    assert refusal(lambda: keys.ed25519("identity")).reason is Reason.CONFIG_INVALID


def test_of_two_who_make_a_key_at_once_one_wins_for_both(tmp_path: Path) -> None:
    FileKeystore(tmp_path / "keys")

    def make(number: int) -> bytes:
        own = SeededEntropy(str(number).encode())
        return FileKeystore(tmp_path / "keys", entropy=own).secret("pepper")

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(make, range(8)))) == 1
    assert [p.name for p in (tmp_path / "keys").iterdir()] == ["pepper.secret"]


def test_randomness_is_injected(tmp_path: Path) -> None:
    one = FileKeystore(tmp_path / "one", entropy=SeededEntropy()).secret("a")
    two = FileKeystore(tmp_path / "two", entropy=SeededEntropy()).secret("a")
    assert one == two == SeededEntropy().bytes(32)


def test_a_replacement_that_fails_leaves_the_old_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def full(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
