"""Signed notes: strict to read, and only our errors come out of them."""

from __future__ import annotations

from functools import partial

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import note
from safehand_formats.note import NoteSigner, NoteVerifier

from tests.formats.refusals import refusal

KEY = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
SIGNER = NoteSigner("example.com/log", KEY)
VERIFIER = SIGNER.verifier
OTHER = NoteSigner("example.com/other", Ed25519PrivateKey.from_private_bytes(b"\x02" * 32))
TEXT = "one\n\ntwo\n"
# The example of C2SP signed-note: a key and a note that others made.
PUBLISHED_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PUBLISHED_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"  # noqa: E501
)


def test_a_note_that_others_made_opens() -> None:
    verifier = NoteVerifier.from_vkey(PUBLISHED_VKEY)
    assert verifier.key_id.hex() == "c74f20a3"
    assert note.open_note(PUBLISHED_NOTE, verifier).startswith("If you think")


def test_what_is_signed_opens_to_the_same_text() -> None:
    assert note.open_note(note.sign(TEXT, SIGNER), VERIFIER) == TEXT


def test_a_vkey_survives_the_round_trip() -> None:
    assert NoteVerifier.from_vkey(VERIFIER.vkey) == VERIFIER


def test_a_signer_never_shows_its_key() -> None:
    assert repr(SIGNER) == "NoteSigner('example.com/log')"


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "name",
        "name+00000000",
        "name+00000000+",
        VERIFIER.vkey + "\n",
        " " + VERIFIER.vkey,
        VERIFIER.vkey.replace("example", "exemple"),
        VERIFIER.vkey + "=",
        VERIFIER.vkey.upper(),
        "a b" + VERIFIER.vkey,
        "\ud800" + VERIFIER.vkey,
    ],
)
def test_a_vkey_that_is_not_exact_is_refused(vkey: str) -> None:
    with pytest.raises(SafehandError) as refused:
        NoteVerifier.from_vkey(vkey)
    assert refused.value.reason is Reason.MALFORMED


def test_lines_of_unknown_keys_are_ignored() -> None:
    signed = note.sign(TEXT, SIGNER)
    grease = note.sign(TEXT, OTHER).rsplit("\n\n", 1)[1]
    assert note.open_note(signed + grease * 15, VERIFIER) == TEXT
    body, line = signed.rsplit("\n\n", 1)
    assert note.open_note(f"{body}\n\n{grease}{line}", VERIFIER) == TEXT


def test_a_note_without_the_pinned_key_is_refused() -> None:
    with pytest.raises(SafehandError) as refused:
        note.open_note(note.sign(TEXT, OTHER), VERIFIER)
    assert refused.value.reason is Reason.PROOF_INVALID


def test_the_pinned_key_under_another_name_is_refused() -> None:
    with pytest.raises(SafehandError):
        note.open_note(note.sign(TEXT, NoteSigner("example.com/2", KEY)), VERIFIER)


def test_one_bad_line_of_the_pinned_key_refuses_the_note() -> None:
    good, line = note.sign(TEXT, SIGNER).rsplit("\n\n", 1)
    bad = note.sign("other\n", SIGNER).rsplit("\n\n", 1)[1]
    for lines in (line + bad, bad + line):
        with pytest.raises(SafehandError) as refused:
            note.open_note(f"{good}\n\n{lines}", VERIFIER)
        assert refused.value.reason is Reason.PROOF_INVALID


def test_every_changed_byte_is_refused() -> None:
    signed = note.sign(TEXT, SIGNER).encode()
    for at in range(len(signed)):
        for bit in (0x01, 0x20, 0x80):
            changed = bytearray(signed)
            changed[at] ^= bit
            with pytest.raises(SafehandError):
                note.open_note(note.decode_utf8(bytes(changed)), VERIFIER)


@pytest.mark.parametrize("text", ["", "no newline", "tab\t\n", "nul\x00\n", "cr\r\n", "\ud800\n"])
def test_texts_that_no_note_may_hold_are_not_signed(text: str) -> None:
    with pytest.raises(SafehandError):
        note.sign(text, SIGNER)


def test_a_note_that_is_too_large_is_refused() -> None:
    with pytest.raises(SafehandError):
        note.open_note(note.sign("x" * 70_000 + "\n", SIGNER), VERIFIER)
    with pytest.raises(SafehandError):
        note.decode_utf8(bytes(70_000))


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200) | st.text("—= +\nabAB/0", max_size=200))
def test_only_refusals_escape_whatever_comes(text: str) -> None:
    signed = note.sign(TEXT, SIGNER)
    for candidate in (text, signed + text, text + signed, TEXT + "\n" + text):
        reason = refusal(partial(note.open_note, candidate, VERIFIER))
        assert reason in (None, Reason.MALFORMED, Reason.PROOF_INVALID)
        assert reason or note.open_note(candidate, VERIFIER) == TEXT
    assert refusal(lambda: NoteVerifier.from_vkey(text)) is Reason.MALFORMED


@given(st.binary(max_size=80))
def test_base64_is_strict_in_both_directions(data: bytes) -> None:
    encoded = note.encode_base64(data)
    assert note.decode_base64(encoded) == data
    for changed in (encoded + "\n", " " + encoded, encoded.rstrip("=") + "A==="):
        with pytest.raises(SafehandError):
            note.decode_base64(changed)
