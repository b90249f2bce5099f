"""Identifiers: random, or chosen words of a fixed shape; never derived from a person."""

from __future__ import annotations

import re

from safehand_core.entropy import Entropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

ID_BYTES = 16
"""Length of a random id in bytes: 128 bits, so that guessing one is hopeless."""

AGENCY_PATTERN = r"^[a-z][a-z0-9-]{1,39}$"
"""An agency id: the last path element of its SPIFFE id."""
HEX16_PATTERN = r"^[0-9a-f]{32}$"
"""A random id as lower-case hex: referral, grant."""
HEX32_PATTERN = r"^[0-9a-f]{64}$"
"""A SHA-256 value or an Ed25519 public key as lower-case hex."""
REF_PATTERN = r"^[a-z0-9][a-z0-9-]{3,63}$"
"""An agency's own opaque reference (worker_ref, subject_ref): it must never be a name."""
REQUEST_ID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
"""A UUID in lower case (AIP-155)."""
SERVICE_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
"""A service id of an HSDS package."""


def new_id(entropy: Entropy) -> str:
    """A fresh random id: 32 lower-case hex digits."""
    return entropy.bytes(ID_BYTES).hex()


def new_request_id(entropy: Entropy) -> str:
    """A fresh request id: a random UUID (version 4) in lower case."""
    raw = bytearray(entropy.bytes(16))
    raw[6] = (raw[6] & 0x0F) | 0x40
    raw[8] = (raw[8] & 0x3F) | 0x80
    h = bytes(raw).hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def require(pattern: str, value: str, field: str) -> str:
    """``value`` if it has the shape; raises MALFORMED that names the field, not the value."""
    if not re.fullmatch(pattern.removeprefix("^").removesuffix("$"), value):
        detail = "a field has the wrong shape"
        raise SafehandError(Reason.MALFORMED, detail, metadata={"field": field})
    return value
