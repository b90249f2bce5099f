"""A check code: eight characters that name one ledger entry and can be read out over a phone.

40 bits of a hash of the leaf's hash, in Crockford's base 32 (no I, L, O or U). Whoever hears it
asks the ledger which entry it names, and gets the entry's proof; the code is computed again from
the leaf that was proven. It says nothing about her: it comes from public bytes alone. Two entries
of a million share a code with a chance of one in two million, so an answer may name more than one.
"""

from __future__ import annotations

import hashlib
from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

CHARACTERS: Final = 8
"""As many as people copy from paper without a mistake; two groups of four."""
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CONTEXT: Final = b"safehand/v1/check-code\x00"
_HEARD: Final = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})


def of_leaf_hash(leaf_hash: bytes) -> str:
    """The code of the entry whose leaf has this hash (32 bytes): ``XXXX-XXXX``.

    ``first 40 bits of SHA-256("safehand/v1/check-code" || 00 || leaf_hash)`` (docs/formats.md).
    """
    if len(leaf_hash) != 32:
        raise SafehandError(Reason.MALFORMED, "a leaf hash is 32 bytes")
    number = int.from_bytes(hashlib.sha256(_CONTEXT + leaf_hash).digest()[:5], "big")
    digits = [_ALPHABET[(number >> shift) & 31] for shift in range(35, -1, -5)]
    text = "".join(digits)
    return f"{text[:4]}-{text[4:]}"


def parse(text: str) -> str:
    """The code that somebody typed or heard: case, spaces, dashes and O, I, L do not matter.

    Raises MALFORMED for anything that is no code.
    """
    plain = text.strip().upper().translate(_HEARD)
    if len(plain) != CHARACTERS or not set(plain) <= set(_ALPHABET):
        raise SafehandError(
            Reason.MALFORMED,
            "a check code has eight letters and digits",
            metadata={"field": "code"},
        )
    return f"{plain[:4]}-{plain[4:]}"
