"""Numbers that only one session knows: how her pages name what is hers.

A number is ten decimal digits of an HMAC under her session's secret. Nothing is stored: a number is
found again by making the numbers of everything that it could mean, which is little. In another
session, or in an address that somebody kept, it means nothing.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

Kind = Literal["grant", "ask", "referral", "look", "organisation"]

GRANT: Final = "grant"
ASK: Final = "ask"
REFERRAL: Final = "referral"
LOOK: Final = "look"
ORGANISATION: Final = "organisation"

DIGITS: Final = 10
"""Of 200 things of hers two have the same number once in half a million sessions; then neither is
found by it, and the next session has others."""
_MODULUS: Final = 10**DIGITS
_CONTEXT: Final = "safehand/v1/number"


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of one session. ``secret``: its 32 bytes."""

    secret: bytes = field(repr=False)

    def of(self, kind: Kind, item: str) -> str:
        """Ten digits. ``item``: its id; no kind and no id holds a NUL."""
        message = f"{_CONTEXT}\0{kind}\0{item}".encode()
        digest = hmac.digest(self.secret, message, "sha256")
        return f"{int.from_bytes(digest, 'big') % _MODULUS:0{DIGITS}d}"

    def matching(self, kind: Kind, number: str, items: Iterable[str]) -> list[str]:
        """Those of ``items`` (each once) that have the number. All of them are compared."""
        return [item for item in items if hmac.compare_digest(self.of(kind, item), number)]

    def find(self, kind: Kind, number: str, items: Iterable[str]) -> str:
        """The one of ``items`` (each once) that has the number; NOT_FOUND for none, and for two:
        what is not certain is never stopped, shown or answered in another's place."""
        return the_one(self.matching(kind, number, items))


def the_one(found: list[str]) -> str:
    """What was found, if it is one thing; NOT_FOUND."""
    if len(found) != 1:
        raise SafehandError(Reason.NOT_FOUND)
    return found[0]
