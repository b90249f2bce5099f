"""The leaf: 104 bytes of commitments (docs/formats.md 2.2). The only function that builds one."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from safehand_formats.kinds import Kind

LEAF_BYTES: Final = 104
"""Fixed, so that a leaf's length says nothing."""
LEAF_VERSION: Final = 1
SALT_BYTES: Final = 32
"""A body's salt; once it is destroyed the commitment is a random-looking number."""

_LAYOUT: Final = struct.Struct(">BBHI32s32s32s")
_BODY_CONTEXT: Final = b"safehand/v1/body\x00"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A decoded leaf. ``tag``, ``commitment`` and ``aux`` are 32 bytes each."""

    kind: Kind
    tag: bytes
    commitment: bytes
    aux: bytes

    def encode(self) -> bytes:
        """The 104 bytes. Raises MALFORMED when a field is not 32 bytes."""
        if not (len(self.tag) == len(self.commitment) == len(self.aux) == 32):
            raise SafehandError(Reason.MALFORMED, "a leaf's fields are 32 bytes each")
        return _LAYOUT.pack(LEAF_VERSION, self.kind, 0, 0, self.tag, self.commitment, self.aux)

    @classmethod
    def decode(cls, data: bytes) -> Leaf:
        """The leaf in ``data``. Raises MALFORMED unless encoding it again gives ``data``."""
        if len(data) != LEAF_BYTES:
            raise SafehandError(Reason.MALFORMED, "a leaf is 104 bytes")
        version, code, flags, reserved, tag, commitment, aux = _LAYOUT.unpack(data)
        if version != LEAF_VERSION:
            raise SafehandError(Reason.MALFORMED, "unknown leaf version")
        if flags or reserved:
            raise SafehandError(Reason.MALFORMED, "a leaf's reserved bits are zero")
        try:
            kind = Kind(code)
        except ValueError as error:
            raise SafehandError(Reason.MALFORMED, "unknown kind of entry") from error
        return cls(kind, tag, commitment, aux)


def body_commitment(salt: bytes, body: bytes) -> bytes:
    """``H("safehand/v1/body" || 00 || salt(32) || body)``; ``body`` is canonical JSON bytes."""
    if len(salt) != SALT_BYTES:
        raise SafehandError(Reason.MALFORMED, "a salt is 32 bytes")
    return hashlib.sha256(_BODY_CONTEXT + salt + body).digest()
