"""Signed notes with Ed25519 (C2SP ``signed-note``), and the key names they are signed under."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

MAX_NOTE_BYTES: Final = 64 * 1024
MAX_SIGNATURES: Final = 64
"""Signature lines of one note that are read; the specification asks for at least 16."""
ALGORITHM_ED25519: Final = 0x01
"""The signature type of an Ed25519 note key (C2SP ``signed-note``, "Signature types")."""
MAX_NAME_CHARS: Final = 255

_DASH: Final = "\u2014 "
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


def encode_base64(data: bytes) -> str:
    """RFC 4648 section 4, with padding."""
    return base64.b64encode(data).decode("ascii")


def decode_base64(text: str) -> bytes:
    """Strict: raises MALFORMED unless encoding the result gives ``text`` again."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise SafehandError(Reason.MALFORMED, "not strict base64") from error
    if encode_base64(data) != text:
        raise SafehandError(Reason.MALFORMED, "not strict base64")
    return data


def decode_utf8(data: bytes) -> str:
    """``data`` as text; raises MALFORMED when it is not UTF-8 or larger than a note may be."""
    if len(data) > MAX_NOTE_BYTES:
        raise SafehandError(Reason.MALFORMED, "a note is at most 64 KiB")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SafehandError(Reason.MALFORMED, "not UTF-8") from error


def check_name(name: str) -> str:
    """``name`` if it can name a key; raises MALFORMED for spaces, plus signs, controls, length."""
    if not name or len(name) > MAX_NAME_CHARS or "+" in name or not name.isprintable():
        raise SafehandError(Reason.MALFORMED, "not a key name")
    if any(character.isspace() for character in name):
        raise SafehandError(Reason.MALFORMED, "not a key name")
    return name


@dataclass(frozen=True)
class NoteVerifier:
    """A key name and its Ed25519 public key: what a reader pins."""

    name: str
    public_key: Ed25519PublicKey

    def __post_init__(self) -> None:
        check_name(self.name)
        raw = self.public_key.public_bytes_raw()
        message = self.name.encode() + b"\n" + bytes([ALGORITHM_ED25519]) + raw
        object.__setattr__(self, "_key_id", hashlib.sha256(message).digest()[:4])

    @property
    def key_id(self) -> bytes:
        """First 4 bytes of ``H(name || 0A || 01 || public key)``."""
        value: bytes = self.__dict__["_key_id"]
        return value

    @property
    def vkey(self) -> str:
        """``name+hex(key id)+b64(01 || public key)``, without a newline."""
        encoded = encode_base64(bytes([ALGORITHM_ED25519]) + self.public_key.public_bytes_raw())
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    @classmethod
    def from_vkey(cls, text: str) -> NoteVerifier:
        """The key in ``text``, one line. Raises MALFORMED unless its ``vkey`` is ``text``."""
        parts = text.split("+", 2)
        if len(parts) != 3:
            raise SafehandError(Reason.MALFORMED, "not a verifier key")
        raw = decode_base64(parts[2])
        if len(raw) != 33 or raw[0] != ALGORITHM_ED25519:
            raise SafehandError(Reason.MALFORMED, "not an Ed25519 verifier key")
        verifier = cls(parts[0], Ed25519PublicKey.from_public_bytes(raw[1:]))
        if verifier.vkey != text:
            raise SafehandError(Reason.MALFORMED, "a verifier key whose id is not its own")
        return verifier

    def verifies(self, text: str, signature: bytes) -> bool:
        """Whether ``signature`` (64 bytes) is this key's over the note text."""
        try:
            self.public_key.verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class NoteSigner:
    """A key name and its Ed25519 private key. Its ``repr`` shows the name alone."""

    name: str
    private_key: Ed25519PrivateKey

    def __post_init__(self) -> None:
        verifier = NoteVerifier(self.name, self.private_key.public_key())
        object.__setattr__(self, "_verifier", verifier)

    def __repr__(self) -> str:
        return f"NoteSigner({self.name!r})"

    @property
    def verifier(self) -> NoteVerifier:
        value: NoteVerifier = self.__dict__["_verifier"]
        return value


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line, taken apart."""

    name: str
    key_id: bytes
    value: bytes


def sign(text: str, signer: NoteSigner) -> str:
    """The signed note of ``text``, which ends with a newline and holds no other control."""
    _check_text(text)
    value = signer.private_key.sign(text.encode())
    line = encode_base64(signer.verifier.key_id + value)
    return f"{text}\n{_DASH}{signer.name} {line}\n"


def split(note: str) -> tuple[str, list[Signature]]:
    """A note's text and its signature lines, unverified. Raises MALFORMED.

    The text is everything before the last empty line, as the specification has it.
    """
    if len(note.encode("utf-8", "surrogatepass")) > MAX_NOTE_BYTES:
        raise SafehandError(Reason.MALFORMED, "a note is at most 64 KiB")
    at = note.rfind("\n\n")
    if at < 0 or not note.endswith("\n"):
        raise SafehandError(Reason.MALFORMED, "not a signed note")
    text, tail = note[: at + 1], note[at + 2 :]
    _check_text(text)
    lines = tail.removesuffix("\n").split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise SafehandError(Reason.MALFORMED, "too many signature lines")
    return text, [_signature_line(line) for line in lines]


def open_note(note: str, verifier: NoteVerifier) -> str:
    """The text of ``note``, signed by ``verifier``; lines of other keys are ignored.

    Raises MALFORMED for what is not a note, PROOF_INVALID when the pinned key signed nothing or
    one of its lines does not verify.
    """
    text, signatures = split(note)
    verified = False
    for signature in signatures:
        if signature.name != verifier.name or signature.key_id != verifier.key_id:
            continue
        if not verifier.verifies(text, signature.value):
            raise SafehandError(Reason.PROOF_INVALID, "the pinned key did not sign this note")
        verified = True
    if not verified:
        raise SafehandError(Reason.PROOF_INVALID, "the note is not signed by the pinned key")
    return text


def _check_text(text: str) -> None:
    if not text.endswith("\n") or _CONTROL.search(text):
        raise SafehandError(Reason.MALFORMED, "not the text of a note")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise SafehandError(Reason.MALFORMED, "not UTF-8") from error


def _signature_line(line: str) -> Signature:
    if not line.startswith(_DASH):
        raise SafehandError(Reason.MALFORMED, "not a signature line")
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not space:
        raise SafehandError(Reason.MALFORMED, "not a signature line")
    raw = decode_base64(encoded)
    if len(raw) < 5:
        raise SafehandError(Reason.MALFORMED, "a signature is too short")
    return Signature(check_name(name), raw[:4], raw[4:])
