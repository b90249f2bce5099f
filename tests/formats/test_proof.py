"""Receipts as text: strict to read, and bound to leaf, index and head."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import merkle, note
from safehand_formats.checkpoint import Checkpoint
from safehand_formats.merkle import Frontier
from safehand_formats.note import NoteSigner
from safehand_formats.proof import TlogProof

from tests.formats.refusals import refusal

SIGNER = NoteSigner("example.com/log", Ed25519PrivateKey.from_private_bytes(b"\x01" * 32))
LEAVES = [bytes([number]) * 104 for number in range(11)]


def make(index: int, size: int = 11) -> TlogProof:
    frontier, nodes = Frontier(), {}
    for leaf in LEAVES[:size]:
        for level, place, value in frontier.append(merkle.leaf_hash(leaf)):
            nodes[(level, place)] = value
    path = merkle.inclusion_proof(index, size, lambda level, place: nodes[(level, place)])
    head = Checkpoint("example.com/log", size, frontier.root())
    return TlogProof(index, tuple(path), head.sign(SIGNER))


def check(text: bytes) -> None:
    TlogProof.from_text(note.decode_utf8(text)).verify(LEAVES[5], SIGNER.verifier)


def test_every_proof_survives_the_round_trip_and_verifies() -> None:
    for size in range(1, 12):
        for index in range(size):
            proof = TlogProof.from_text(make(index, size).to_text())
            assert proof.verify(LEAVES[index], SIGNER.verifier).size == size


def test_the_text_is_what_the_specification_shows() -> None:
    lines = make(3).to_text().split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert lines[1] == "index 3"
    assert lines[6] == ""
    assert lines[7:9] == ["example.com/log", "11"]


def test_it_proves_one_leaf_at_one_place() -> None:
    proof = make(3)
    for leaf in (LEAVES[4], LEAVES[3][:-1], b""):
        with pytest.raises(SafehandError) as refused:
            proof.verify(leaf, SIGNER.verifier)
        assert refused.value.reason is Reason.PROOF_INVALID
    for index in (2, 4, 11, 2**62):
        with pytest.raises(SafehandError):
            replace(proof, index=index).verify(LEAVES[3], SIGNER.verifier)
    with pytest.raises(SafehandError):
        replace(proof, hashes=proof.hashes[::-1]).verify(LEAVES[3], SIGNER.verifier)


def test_a_proof_under_another_key_or_head_is_refused() -> None:
    other = NoteSigner("example.com/log", Ed25519PrivateKey.from_private_bytes(b"\x02" * 32))
    with pytest.raises(SafehandError):
        make(3).verify(LEAVES[3], other.verifier)
    with pytest.raises(SafehandError):
        replace(make(3), checkpoint_note=make(3, 9).checkpoint_note).verify(
            LEAVES[3], SIGNER.verifier
        )


def test_every_changed_byte_of_the_text_is_refused() -> None:
    text = make(5).to_text().encode()
    for at in range(len(text)):
        for bit in (0x01, 0x20):
            changed = bytearray(text)
            changed[at] ^= bit
            assert refusal(partial(check, bytes(changed)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("index 3\n", ""),
        ("index 3\n", "index 03\n"),
        ("index 3\n", "index 3 \n"),
        ("index 3\n", f"index {2**63}\n"),
        ("index 3\n", "extra AAAA\nindex 3\n"),
        ("index 3\n", "index 3\n\n"),
        ("@v1", "@v2"),
        ("@v1\n", "@v1\r\n"),
        ("index 3\n", "index 3\n" + note.encode_base64(bytes(31)) + "\n"),
        ("index 3\n", "index 3\n" + (note.encode_base64(bytes(32)) + "\n") * 60),
    ],
)
def test_malformed_texts_are_refused(old: str, new: str) -> None:
    text = make(3).to_text()
    assert old in text
    with pytest.raises(SafehandError):
        TlogProof.from_text(text.replace(old, new, 1)).verify(LEAVES[3], SIGNER.verifier)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200), st.integers(0, 500), st.integers(0, 40))
def test_only_refusals_escape_whatever_comes(junk: str, at: int, cut: int) -> None:
    text = make(5).to_text()
    for candidate in (junk, text[:at] + junk + text[at + cut :]):
        reason = refusal(partial(check, candidate.encode()))
        assert reason in (None, Reason.MALFORMED, Reason.PROOF_INVALID)
        assert reason or TlogProof.from_text(candidate).to_text() == candidate
