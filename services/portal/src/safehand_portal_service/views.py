"""Templates and the two files of their looks, read once at the start."""

from __future__ import annotations

import base64
import gzip
import hashlib
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_HERE: Final = Path(__file__).parent
TEMPLATES: Final = _HERE / "templates"
STATIC: Final = _HERE / "static"
HASH_CHARS: Final = 10
"""Characters of a content hash in a file's address."""
ICON_PIXELS: Final = 16
ICON_GREY: Final = 0x8A


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that every page shares; its address changes with its content."""

    path: str
    content: bytes
    compressed: bytes
    media_type: str


def asset(name: str, media_type: str) -> Asset:
    """``static/<name>``, at ``/<stem>-<hash>.<suffix>``."""
    content = (STATIC / name).read_bytes()
    stem, _, suffix = name.partition(".")
    digest = hashlib.sha256(content).hexdigest()[:HASH_CHARS]
    return Asset(
        f"/{stem}-{digest}.{suffix}", content, gzip.compress(content, 9, mtime=0), media_type
    )


def icon() -> Asset:
    """A plain grey square: what some browsers ask for by themselves says nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", ICON_PIXELS, ICON_PIXELS, 8, 0, 0, 0, 0)
    row = b"\0" + bytes([ICON_GREY]) * ICON_PIXELS
    content = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(row * ICON_PIXELS, 9))
        + chunk(b"IEND", b"")
    )
    return Asset("/favicon.ico", content, content, "image/png")


def environment() -> Environment:
    """Everything is escaped, and a name that is missing is an error."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals["icon"] = "data:image/png;base64," + base64.b64encode(icon().content).decode()
    return made
