"""Checkpoints: exactly three lines, of exactly one ledger."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import note
from safehand_formats.checkpoint import Checkpoint, open_checkpoint, parse_decimal
from safehand_formats.merkle import EMPTY_ROOT
from safehand_formats.note import NoteSigner

from tests.formats.refusals import refusal

SIGNER = NoteSigner("example.com/log", Ed25519PrivateKey.from_private_bytes(b"\x01" * 32))
ROOT = hashlib.sha256(b"root").digest()
CHECKPOINT = Checkpoint("example.com/log", 7, ROOT)


def test_it_survives_the_round_trip() -> None:
    assert open_checkpoint(CHECKPOINT.sign(SIGNER), SIGNER.verifier) == CHECKPOINT
    empty = Checkpoint("example.com/log", 0, EMPTY_ROOT)
    assert open_checkpoint(empty.sign(SIGNER), SIGNER.verifier) == empty


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com/log\n7\n",
        CHECKPOINT.to_text() + "extension\n",
        CHECKPOINT.to_text().rstrip("\n"),
        CHECKPOINT.to_text().replace("\n7\n", "\n07\n"),
        CHECKPOINT.to_text().replace("\n7\n", "\n+7\n"),
        CHECKPOINT.to_text().replace("\n7\n", "\n-7\n"),
        CHECKPOINT.to_text().replace("\n7\n", "\n٧\n"),
        CHECKPOINT.to_text().replace("\n7\n", "\n7.0\n"),
        CHECKPOINT.to_text().replace("\n7\n", f"\n{2**63}\n"),
        CHECKPOINT.to_text().replace("\n7\n", "\n0\n"),
        CHECKPOINT.to_text().replace("=", ""),
        CHECKPOINT.to_text().replace("example.com/log", ""),
        CHECKPOINT.to_text().replace("example.com", "example com"),
        f"example.com/log\n7\n{note.encode_base64(ROOT[:31])}\n",
        f"example.com/log\n7\n{note.encode_base64(ROOT + ROOT)}\n",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(SafehandError) as refused:
        Checkpoint.from_text(text)
    assert refused.value.reason is Reason.MALFORMED


def test_another_origin_under_the_right_key_is_refused() -> None:
    signed = note.sign(Checkpoint("example.com/2", 7, ROOT).to_text(), SIGNER)
    with pytest.raises(SafehandError) as refused:
        open_checkpoint(signed, SIGNER.verifier)
    assert refused.value.reason is Reason.PROOF_INVALID
    with pytest.raises(SafehandError):
        Checkpoint("example.com/2", 7, ROOT).sign(SIGNER)


@given(st.integers(0, 2**63 - 1))
def test_sizes_have_one_spelling(size: int) -> None:
    assert parse_decimal(str(size)) == size
    for spelled in (f"0{size}", f" {size}", f"{size}\n", f"+{size}"):
        with pytest.raises(SafehandError):
            parse_decimal(spelled)


@given(st.text(max_size=120) | st.text("ab/\n01=+", max_size=120))
def test_what_is_read_is_written_the_same(text: str) -> None:
    reason = refusal(lambda: Checkpoint.from_text(text))
    assert reason in (None, Reason.MALFORMED)
    assert reason or Checkpoint.from_text(text).to_text() == text
