"""Looks for a string in every disguise in which bytes may carry it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

SHORT: Final = 8
"""Fewer characters than this stand in random data by chance: such a string is only looked for
where it stands alone, and not in parts of an encoding."""


def disguises(text: str) -> dict[str, bytes]:
    """The forms of ``text`` by name. Random data holds none of them by chance."""
    raw = text.encode()
    forms = {
        "raw": raw,
        "lower case": text.lower().encode(),
        "upper case": text.upper().encode(),
        "json": text.encode("ascii", "backslashreplace"),
        "hex": raw.hex().encode(),
        "upper hex": raw.hex().upper().encode(),
        "utf-16": text.encode("utf-16-le"),
        "utf-16 big-endian": text.encode("utf-16-be"),
        "percent": raw.replace(b" ", b"%20"),
        "reversed": raw[::-1],
    }
    for shift in range(3):
        # Inside a longer text: only the characters that its neighbours cannot change.
        whole = base64.b64encode(bytes(shift) + raw)
        kept = whole[(0, 2, 3)[shift] : (len(raw) + shift) // 3 * 4]
        forms[f"base64 +{shift}"] = kept
        forms[f"base64url +{shift}"] = kept.replace(b"+", b"-").replace(b"/", b"_")
    return {name: form for name, form in forms.items() if len(form) >= min(SHORT, len(raw))}


class Scanner:
    """Looks for many strings at once."""

    def __init__(self, strings: Mapping[str, str]) -> None:
        # One name for each form, the first: many strings look the same in several disguises.
        self._long: dict[bytes, str] = {}
        self._short: dict[str, re.Pattern[bytes]] = {}
        for name, text in strings.items():
            for disguise, form in disguises(text).items():
                if len(form) >= SHORT:
                    self._long.setdefault(form, f"{name} ({disguise})")
                elif disguise == "raw":
                    alone = rb"(?<![0-9A-Za-z+/_-])" + re.escape(form) + rb"(?![0-9A-Za-z+/_=-])"
                    self._short[f"{name} ({disguise})"] = re.compile(alone)

    def hits(self, data: bytes) -> list[str]:
        """Which strings ``data`` holds, and how disguised."""
        return [name for form, name in self._long.items() if form in data] + [
            name for name, pattern in self._short.items() if pattern.search(data)
        ]

    def tree(self, root: Path) -> dict[str, list[str]]:
        """Hits by path in all files below ``root``, their names, and names of sockets."""
        found: dict[str, list[str]] = {}
        for path, data in files(root):
            hits = self.hits(str(path.relative_to(root)).encode()) + self.hits(data)
            if hits:
                found[str(path.relative_to(root))] = hits
        return found


def files(root: Path) -> Iterator[tuple[Path, bytes]]:
    """Everything below ``root``; sockets and folders without content. One that vanishes while we
    look was a scratch file."""
    for path in sorted(root.rglob("*")):
        try:
            yield path, path.read_bytes() if path.is_file() else b""
        except FileNotFoundError:
            continue
