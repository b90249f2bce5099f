"""A thief with a copy of every file. Written from docs/formats.md; knows nothing of our code.

Imports only the standard library and ``cryptography``. It reads tables where they can be read, and
carves every byte offset of every file where they cannot: deleted rows, the WAL, free pages. Tables
of PostgreSQL are read as pg_dump wrote them (``*.dump``); what is carved then are the files beside
the dump, or where there are none what it holds.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

OUTER, INNER, SEALED_KEY = 1196, 1168, 60
PAGE, HEADER = 8192, 10
STRIDE, VARIED = 30, 22
"""Whatever is SEALED_KEY long and random covers a block of STRIDE bytes, counted from the file's
beginning, with more than VARIED different values in it (about 28.3 are expected)."""
SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


@dataclass
class Loot:
    """What was found in the copies. ``opened``: plaintext by part category."""

    manifests: list[tuple[bytes, bytes]]
    outer_wraps: list[bytes]
    ciphertexts: dict[bytes, bytes]
    files: list[bytes]
    opened: dict[str, bytes]


def lp(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def canonical(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def rob(copy: Path, keystore: Path, seeds: Iterable[bytes]) -> dict[str, bytes]:
    """Everything that opens: category to padded content's bytes.

    ``copy``: a folder with the services' files. ``keystore``: a folder with secret files, 32 bytes
    each. ``seeds``: X-Wing private keys of 32 bytes.
    """
    return rob_of(search(copy), keystore, seeds)


def rob_of(loot: Loot, keystore: Path, seeds: Iterable[bytes]) -> dict[str, bytes]:
    """As ``rob``, of a copy that was searched before."""
    loot.opened = {}
    keks = _keks(keystore)
    private = [_expand(seed) for seed in seeds]
    for manifest, signature in set(loot.manifests):
        _open_referral(loot, manifest, signature, keks, private)
    return loot.opened


def search(copy: Path) -> Loot:
    """Everything in a copy that may be worth something."""
    paths = sorted(p for p in copy.rglob("*") if p.is_file())
    # Read everything before SQLite touches it: opening a copy folds its WAL in.
    dumps = [path for path in paths if path.suffix == ".dump"]
    loot = Loot([], [], {}, [path.read_bytes() for path in paths if path not in dumps], {})
    for row in (row for path in dumps for row in _dumped(path)):
        _sort_row(loot, row)
        if len(dumps) == len(paths):
            loot.files += row
    with tempfile.TemporaryDirectory() as scratch:
        for number, path in enumerate(p for p in paths if p.suffix == ".sqlite3"):
            home = Path(scratch) / str(number)
            home.mkdir()
            for beside in path.parent.glob(path.name + "*"):
                shutil.copy(beside, home)
            for row in _rows(home / path.name):
                _sort_row(loot, row)
    return loot


def _rows(path: Path) -> Iterator[list[bytes]]:
    connection = sqlite3.connect(path)
    try:
        tables = connection.execute("select name from sqlite_master where type = 'table'")
        for (name,) in tables.fetchall():
            for row in connection.execute(f'select * from "{name}"'):
                yield [v.encode() if isinstance(v, str) else v for v in row if v is not None]
    finally:
        connection.close()


def _dumped(path: Path) -> Iterator[list[bytes]]:
    """Rows of a plain dump: lines between COPY and ``\\.``, columns between tabs, bytea in hex."""
    inside = False
    for line in path.read_bytes().split(b"\n"):
        if inside and line != b"\\.":
            values = (value for value in line.split(b"\t") if value != b"\\N")
            yield [bytes.fromhex(v[3:].decode()) if v[:3] == b"\\\\x" else v for v in values]
        inside = line.startswith(b"COPY ") or (inside and line != b"\\.")


def _sort_row(loot: Loot, row: list[Any]) -> None:
    values = [value for value in row if isinstance(value, bytes)]
    for value in values:
        if len(value) == OUTER:
            loot.outer_wraps.append(value)
        elif len(value) > 1000:
            loot.ciphertexts[hashlib.sha256(value).digest()] = value
        if value.startswith(b'{"header":'):
            loot.manifests += [(value, other) for other in values if len(other) == 64]


def _keks(keystore: Path) -> list[tuple[int, bytes]]:
    """Epoch and key of every release KEK: files ``kek-<epoch>`` (section 4)."""
    found = []
    for path in sorted(p for p in keystore.rglob("kek-*") if p.is_file()):
        epoch = path.name.removeprefix("kek-").split(".")[0]
        found.append((int(epoch), path.read_bytes()))
    return found


def _expand(seed: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    wide = hashlib.shake_256(seed).digest(96)
    return (
        MLKEM768PrivateKey.from_seed_bytes(wide[:64]),
        X25519PrivateKey.from_private_bytes(wide[64:]),
    )


def _open_referral(
    loot: Loot,
    manifest: bytes,
    signature: bytes,
    keks: list[tuple[int, bytes]],
    private: list[tuple[MLKEM768PrivateKey, X25519PrivateKey]],
) -> None:
    value = json.loads(manifest)
    header = canonical(value["header"])
    digest = hashlib.sha256(b"safehand/v1/signed-manifest\x00" + lp(manifest) + signature).digest()
    for part in value["parts"]:
        label = canonical(part["label"])
        ciphertext = loot.ciphertexts.get(bytes.fromhex(part["ciphertext"]))
        if ciphertext is None:
            continue
        category = part["label"]["category"]
        for key in _category_keys(loot, value["header"]["grant"], category, keks):
            for inner in _inner_wraps(loot, key, digest, part["label"]["id"]):
                content = _content(header, label, ciphertext, inner, private)
                if content is not None:
                    loot.opened[category] = content


def _category_keys(
    loot: Loot, grant: str, category: str, keks: list[tuple[int, bytes]]
) -> set[bytes]:
    found = set()
    prefix = b"safehand/v1/category-key\x00" + lp(grant.encode()) + lp(category.encode())
    for epoch, kek in keks:
        cipher, aad = AESGCM(kek), prefix + epoch.to_bytes(8, "big")
        for candidate in _candidates(loot):
            try:
                found.add(cipher.decrypt(candidate[:12], candidate[12:], aad))
            except InvalidTag:
                continue
    return found


def _candidates(loot: Loot) -> list[bytes]:
    """Every 60-byte window that could be a sealed key: those that look random."""
    if not hasattr(loot, "_windows"):
        windows = set()
        seen: set[bytes] = set()
        for data in loot.files:
            for begin in range(0, len(data), PAGE):
                # The same page again says nothing new, but for the place in its header.
                page = hashlib.sha256(data[begin + HEADER : begin + PAGE]).digest()
                if page in seen:
                    continue
                seen.add(page)
                part = data[begin : begin + PAGE + SEALED_KEY]
                for offset in _varied(part):
                    window = part[offset : offset + SEALED_KEY]
                    # 60 random bytes hold about 54 different values; text and tables far fewer.
                    if len(window) == SEALED_KEY and len(set(window)) >= 44:
                        windows.add(window)
        loot._windows = list(windows)  # type: ignore[attr-defined]
    return loot._windows  # type: ignore[attr-defined, no-any-return]


def _varied(data: bytes) -> Iterator[int]:
    """The offsets of windows of SEALED_KEY that cover a whole block that looks random."""
    done = 0
    for block in range(0, len(data), STRIDE):
        found = data[block : block + STRIDE]
        if len(set(found)) > VARIED:
            begin = max(done, block + STRIDE - SEALED_KEY, 0)
            done = block + 1
            yield from range(begin, done)


def _inner_wraps(loot: Loot, key: bytes, digest: bytes, part: int) -> Iterator[bytes]:
    aad = b"safehand/v1/outer\x00" + digest + bytes([part])
    for outer in loot.outer_wraps:
        try:
            inner = AESGCM(key).decrypt(outer[:12], outer[12:], aad)
        except InvalidTag:
            continue
        if len(inner) == INNER:
            yield inner


def _content(
    header: bytes,
    label: bytes,
    ciphertext: bytes,
    inner: bytes,
    private: list[tuple[MLKEM768PrivateKey, X25519PrivateKey]],
) -> bytes | None:
    bound = lp(header) + lp(label)
    info = b"safehand/v1/inner\x00" + bound + hashlib.sha256(ciphertext).digest()
    for lattice, curve in private:
        try:
            key = SUITE.decrypt(inner, hpke.MLKEM768X25519PrivateKey(lattice, curve), info=info)
            padded = AESGCM(key).decrypt(bytes(12), ciphertext, b"safehand/v1/content\x00" + bound)
        except InvalidTag:
            continue
        return padded[4 : 4 + int.from_bytes(padded[:4], "big")]
    return None
