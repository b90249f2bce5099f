"""Her paper card and her PIN, and what is kept of them.

The card is twelve digits with a Luhn check digit, the PIN six. Both are far too short to be safe
against somebody who holds the database, so neither is stored under a plain hash: the card as an
HMAC and the PIN as Argon2id of an HMAC, both under peppers that lie in the keystore only. Online
guessing is bounded by the throttle (``throttle``).
"""

from __future__ import annotations

import hmac
from typing import Final

from argon2 import PasswordHasher, Type
from argon2.exceptions import VerifyMismatchError
from safehand_core.errors import SafehandError
from safehand_core.keystore import Keystore
from safehand_core.reasons import Reason

from safehand_consent_service import throttle

CARD_DIGITS: Final = 12
NUMBER_DIGITS: Final = 8
"""Of a number from her worker: whoever guesses a thousand a second for as long as one lives hits it
once in a hundred times, and wins three tries at her PIN. More would be harder to read out."""
CARD_PEPPER: Final = "card-pepper"
PIN_PEPPER: Final = "pin-pepper"
REQUEST_PEPPER: Final = "request-pepper"
HELP_PEPPER: Final = "help-pepper"
"""For what she gives to those who help her: representatives' codes, and her code word."""

# Argon2id (RFC 9106). 19 MiB, two passes, one lane is OWASP's minimum for online sign-in: about
# 20 ms of one core here. More would let few guesses at once exhaust a small machine's memory, and
# adds nothing against a thief: six digits fall to any setting once the pepper is stolen too.
ARGON2_MEMORY_KIB: Final = 19 * 1024
ARGON2_PASSES: Final = 2
ARGON2_LANES: Final = 1

_DUMMY_PIN: Final = "no PIN has letters"
_DUMMY_WORD: Final = "\0 no code word has this"


def luhn_valid(digits: str) -> bool:
    """Whether the last digit is the Luhn check digit of the others (ISO/IEC 7812-1, annex B)."""
    total = 0
    for position, character in enumerate(reversed(digits)):
        value = int(character) * (2 if position % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def require_card(card_number: str, field: str = "card_number") -> None:
    """Raise MALFORMED unless it is twelve ASCII digits with a right check digit.

    It is computed from the digits alone, so it tells nothing about who exists. ``field``: what the
    error names; a representative's code has the same shape.
    """
    plain = len(card_number) == CARD_DIGITS and card_number.isascii() and card_number.isdecimal()
    if not plain or not luhn_valid(card_number):
        raise SafehandError(
            Reason.MALFORMED, "a card number has a wrong digit", metadata={"field": field}
        )


class Cards:
    """The functions that need a pepper. Peppers are made at their first use and never change."""

    def __init__(self, keystore: Keystore) -> None:
        self._card_pepper = keystore.secret(CARD_PEPPER)
        self._pin_pepper = keystore.secret(PIN_PEPPER)
        self._request_pepper = keystore.secret(REQUEST_PEPPER)
        self._help_pepper = keystore.secret(HELP_PEPPER)
        self._hasher = PasswordHasher(
            time_cost=ARGON2_PASSES,
            memory_cost=ARGON2_MEMORY_KIB,
            parallelism=ARGON2_LANES,
            type=Type.ID,
        )
        self._dummy_hash = self._hasher.hash(self._peppered(_DUMMY_PIN))
        self._dummy_word = self.word_hash(_DUMMY_WORD)

    def card_hmac(self, card_number: str) -> bytes:
        """What a card is found by: 32 bytes."""
        return hmac.digest(self._card_pepper, card_number.encode("ascii"), "sha256")

    def agency_tries(self, agency: str, card_number: str) -> bytes:
        """The throttle's key for what one agency tries at one card: 32 bytes.

        Apart from her own, or an agency that knows the number could keep her from signing in,
        and so from stopping, by trying wrong PINs for ever.
        """
        text = f"{agency}/{card_number}"
        return hmac.digest(self._card_pepper, text.encode("ascii"), "sha256")

    def place(self, card_hmac: bytes, word: bytes) -> bytes:
        """From where a card is tried, as the throttle knows it: 32 bytes, others for each card.

        ``word``: of ``OpenSessionRequest.network``; one half tells the network, all the browser.
        """
        half = throttle.NETWORK_BYTES
        network = hmac.digest(self._card_pepper, b"network/" + card_hmac + word[:half], "sha256")
        browser = hmac.digest(self._card_pepper, b"browser/" + card_hmac + word, "sha256")
        return network[:half] + browser[:half]

    def seat_place(self, card_hmac: bytes, session: bytes) -> bytes:
        """The same for a session that asks for the PIN again."""
        return hmac.digest(self._card_pepper, b"session/" + card_hmac + session, "sha256")

    def number_hmac(self, card_hmac: bytes, number: str) -> bytes:
        """What is stored of a number from her worker: 32 bytes, others for each card."""
        return hmac.digest(self._card_pepper, b"number/" + card_hmac + number.encode(), "sha256")

    def guardian_hmac(self, card_number: str) -> bytes:
        """What a guardian's card is found by, and its tries are counted under: 32 bytes.

        Apart from ``card_hmac``: one number never opens both her pages and a guardian's.
        """
        return hmac.digest(self._card_pepper, f"guardian/{card_number}".encode("ascii"), "sha256")

    def guardian_tries(self, agency: str, card_number: str) -> bytes:
        """The throttle's key for what one agency tries at one guardian's card: 32 bytes."""
        text = f"{agency}/guardian/{card_number}"
        return hmac.digest(self._card_pepper, text.encode("ascii"), "sha256")

    def pin_hash(self, pin: str) -> str:
        """What is stored of a PIN: an Argon2id string. Slow; call it outside of transactions."""
        return self._hasher.hash(self._peppered(pin))

    def pin_matches(self, pin_hash: str | None, pin: str) -> bool:
        """Whether ``pin`` is the one; for an unknown card (None) false after the same work."""
        try:
            self._hasher.verify(pin_hash or self._dummy_hash, self._peppered(pin))
        except VerifyMismatchError:
            return False
        return pin_hash is not None

    def request_hash(self, request: bytes) -> bytes:
        """Tells a repeat from another request: 32 bytes.

        Keyed, because a request may hold a card and a PIN, which a plain hash would give away.
        """
        return hmac.digest(self._request_pepper, request, "sha256")

    def caller(self, subject_id: str) -> str:
        """The caller column of an idempotency row of hers: a row alone does not name her."""
        return "person/" + hmac.digest(self._request_pepper, subject_id.encode(), "sha256").hex()

    # --- those who help her -------------------------------------------------------------------

    def new_code(self, caller: str, request_id: str, attempt: int) -> str:
        """A representative's code: eleven digits and a check digit (Luhn).

        A function of the request, so that a repeat gets the same code although it is stored
        nowhere; without the pepper as good as random. ``attempt`` counts codes that were taken.
        """
        drawn = int.from_bytes(self._help("code", caller, request_id, str(attempt)), "big")
        body = f"{drawn % 10 ** (CARD_DIGITS - 1):0{CARD_DIGITS - 1}d}"
        return next(body + digit for digit in "0123456789" if luhn_valid(body + digit))

    def code_hmac(self, code: str) -> bytes:
        """What a representative is found by: 32 bytes."""
        return self._help("representative", code)

    def named(self, agency: str, whom: str, value: str) -> bytes:
        """The count's key for a wish of ``agency`` (empty: of the portal) that names somebody in
        the way ``whom`` as ``value``: 32 bytes, the same whether there is such a one or not."""
        return self._help("named", agency, whom, value)

    def resume_tries(self, agency: str, grant: str) -> bytes:
        """The throttle's key for what one agency tries as the code word of one grant: 32 bytes."""
        return self._help("resume", agency, grant)

    def lift_tries(self, agency: str, subject_ref: str) -> bytes:
        """The same where it is said so that she need not wait to sign in."""
        return self._help("lift", agency, subject_ref)

    def number_from(self, seed: str) -> str:
        """The number that a worker reads out to her: a function of random bytes (hex), so that a
        repeat gets the same although the number is stored nowhere."""
        drawn = int.from_bytes(self._help("number", seed), "big")
        return f"{drawn % 10**NUMBER_DIGITS:0{NUMBER_DIGITS}d}"

    def word_hash(self, word: str) -> str:
        """What is stored of a code word (normalised): an Argon2id string. As slow as a PIN's."""
        return self._hasher.hash(self._help("word", word))

    def word_matches(self, word_hash: str | None, word: str) -> bool:
        """Whether ``word`` is the one; where none is set (None) false after the same work."""
        try:
            self._hasher.verify(word_hash or self._dummy_word, self._help("word", word))
        except VerifyMismatchError:
            return False
        return word_hash is not None

    def _help(self, *parts: str) -> bytes:
        # Unambiguous: no part but a code word, which stands last, may hold the separator.
        return hmac.digest(self._help_pepper, "\0".join(parts).encode("utf-8"), "sha256")

    def _peppered(self, pin: str) -> bytes:
        return hmac.digest(self._pin_pepper, pin.encode("utf-8"), "sha256")
