"""Paper cards: twelve digits, the last a Luhn check digit (ISO/IEC 7812-1 annex B), and a PIN."""

from __future__ import annotations

from typing import Final

from safehand_core.entropy import Entropy

CARD_DIGITS: Final = 12
PIN_DIGITS: Final = 6


def luhn_digit(payload: str) -> str:
    """The check digit for ``payload`` (digits without it)."""
    total = 0
    for place, digit in enumerate(reversed(payload)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def new_card(entropy: Entropy) -> tuple[str, str]:
    """A fresh card number and PIN, both random."""
    payload = _digits(entropy, CARD_DIGITS - 1)
    return payload + luhn_digit(payload), _digits(entropy, PIN_DIGITS)


def spaced(card: str) -> str:
    """As it is printed: groups of four."""
    return " ".join(card[i : i + 4] for i in range(0, len(card), 4))


def _digits(entropy: Entropy, count: int) -> str:
    # 16 bytes modulo 10^11 leaves a bias below 2^-90.
    return str(int.from_bytes(entropy.bytes(16), "big") % 10**count).rjust(count, "0")
