"""Her session in the browser: one cookie, and the token of her forms.

The cookie holds the 32 bytes that consent made and nothing else. Nothing about it is kept here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from typing import Final

COOKIE: Final = "__Host-s"
"""A neutral name; the prefix binds it to this host, to ``/`` and to TLS (RFC 6265bis, 4.1.3)."""
SESSION_BYTES: Final = 32
TOKEN_CHARS: Final = 22
"""132 bits of a hash of the session."""

_COOKIE_VALUE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_ATTRIBUTES: Final = "Path=/; Secure; HttpOnly; SameSite=Lax"


def read(cookie_header: str) -> bytes:
    """The session that a ``Cookie`` header carries; empty for none, two, or one that is not ours.

    Two cookies of one name can only come from somebody else's page: neither is believed.
    """
    found = [
        value.strip()
        for name, _, value in (part.partition("=") for part in cookie_header.split(";"))
        if name.strip() == COOKIE
    ]
    if len(found) != 1 or not _COOKIE_VALUE.fullmatch(found[0]):
        return b""
    try:
        session = base64.urlsafe_b64decode(found[0] + "=")
    except (ValueError, binascii.Error):
        return b""
    return session if len(session) == SESSION_BYTES else b""


def kept(session: bytes) -> str:
    """The ``Set-Cookie`` value that carries ``session`` until the browser ends."""
    return f"{COOKIE}={_text(session)}; {_ATTRIBUTES}"


def cleared() -> str:
    """The ``Set-Cookie`` value that takes it away."""
    return f"{COOKIE}=; {_ATTRIBUTES}; Max-Age=0"


def token(session: bytes) -> str:
    """What each form of this session carries; empty for nobody's."""
    if not session:
        return ""
    return _text(hashlib.sha256(b"form" + session).digest())[:TOKEN_CHARS]


def token_matches(session: bytes, given: str) -> bool:
    """Whether a form carried this session's token."""
    return bool(session) and hmac.compare_digest(token(session).encode(), given.encode())


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
