"""Pages: sizes that are coerced, and tokens that only their own request can use (AIP-158)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from google.protobuf.message import Message
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

TAG_BYTES = 16
"""Length of a token's tag in bytes: 128 bits of HMAC-SHA256 (RFC 2104, section 5)."""
POSITION_MAX_BYTES = 256
"""The longest position in bytes: a key of the last row, never a whole row."""
PAGE_DEFAULT = 100
PAGE_MAX = 1000

_CONTEXT = b"safehand page token v1"
_CHANGEABLE = ("page_token", "page_size")


def page_size(requested: int, *, default: int = PAGE_DEFAULT, maximum: int = PAGE_MAX) -> int:
    """How many to return: 0 means ``default``, more than ``maximum`` means ``maximum``.

    Raises MALFORMED for a negative number.
    """
    if requested < 0:
        raise SafehandError(
            Reason.MALFORMED, "a page cannot have a negative size", metadata={"field": "page_size"}
        )
    return min(requested or default, maximum)


class Pager:
    """Makes and checks page tokens.

    A token is ``b64url(tag || position)``: readable, so a position must not be secret from the
    caller who gets it, and bound to the caller, the method and every other field of the request.

    Args:
        key: 32 secret bytes that all replicas of the service share.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < TAG_BYTES:
            raise ValueError("the key of page tokens is too short")
        self._key = key

    def token(self, position: str, request: Message, *, scope: str) -> str:
        """The token for the page behind ``position``.

        Args:
            position: where the next page starts, in the service's own terms.
            request: the request that is being answered.
            scope: who asks and what: ``principal.spiffe_id`` and whatever else limits the answer.
        """
        raw = position.encode()
        if len(raw) > POSITION_MAX_BYTES:
            raise ValueError("the position is too long for a page token")
        return _encode(self._tag(raw, request, scope) + raw)

    def position(self, request: Message, *, scope: str) -> str | None:
        """Where ``request.page_token`` continues; None on the first page.

        Raises PAGE_TOKEN_INVALID for a token that was changed, or made for another caller, method
        or argument.
        """
        token: str = request.page_token  # type: ignore[attr-defined]
        if not token:
            return None
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise SafehandError(Reason.PAGE_TOKEN_INVALID) from None
        if _encode(raw) != token:
            raise SafehandError(Reason.PAGE_TOKEN_INVALID)
        tag, position = raw[:TAG_BYTES], raw[TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(position, request, scope)):
            raise SafehandError(Reason.PAGE_TOKEN_INVALID)
        return position.decode()

    def _tag(self, position: bytes, request: Message, scope: str) -> bytes:
        parts = (
            _CONTEXT,
            request.DESCRIPTOR.full_name.encode(),
            scope.encode(),
            _arguments_digest(request),
            position,
        )
        message = b"".join(len(p).to_bytes(4, "big") + p for p in parts)
        return hmac.digest(self._key, message, "sha256")[:TAG_BYTES]


def _encode(raw: bytes) -> str:
    """base64url without padding (RFC 4648, section 5)."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _arguments_digest(request: Message) -> bytes:
    """Hash of everything but the page's own two fields."""
    copy = type(request)()
    copy.CopyFrom(request)
    for name in _CHANGEABLE:
        if name in copy.DESCRIPTOR.fields_by_name:
            copy.ClearField(name)
    return hashlib.sha256(copy.SerializeToString(deterministic=True)).digest()
