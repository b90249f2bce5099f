"""The signed messages: what goes in comes out, and nothing else is believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import (
    answer,
    keyrecord,
    manifest,
    release_request,
    sharing_protocol,
    signing,
    token,
)
from safehand_formats.note import NoteVerifier

from tests.formats import second_decoder, strategies
from tests.vectors import parties as p
from tests.vectors import sealed


def refusal(reason: Reason) -> Any:
    return pytest.raises(SafehandError, check=lambda error: error.reason is reason)


MESSAGES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (manifest.Header, strategies.headers()),
    (manifest.Manifest, strategies.manifests()),
    (keyrecord.KeyRecord, strategies.key_records()),
    (sharing_protocol.SharingProtocol, strategies.protocols()),
    (answer.Answer, strategies.answers()),
    (answer.AnswerAck, strategies.answer_acks),
    (release_request.ReleaseRequest, strategies.release_requests),
    (token.TokenClaims, strategies.token_claims()),
]


@pytest.mark.parametrize(("kind", "values"), MESSAGES, ids=[kind.__name__ for kind, _ in MESSAGES])
def test_every_message_survives_encoding_and_decoding(
    kind: Any, values: st.SearchStrategy[Any]
) -> None:
    @given(values)
    def check(value: Any) -> None:
        data = value.encode()
        assert kind.decode(data) == value
        assert kind.decode(data).encode() == data

    check()


def _signed(private: Ed25519PrivateKey) -> list[tuple[str, Any, bytes, Callable[[Any], Any]]]:
    """Name, signed message, its bytes, and how a reader verifies it."""
    public = signing.public_bytes(private)
    record = keyrecord.KeyRecord("legal-aid-7", 0, p.HPKE_PUBLIC, p.NOW, p.NOW + p.DAY)
    given_answer = answer.Answer(
        "ACCEPT", p.digest("manifest"), p.HEADER.referral, "legal-aid-7", "", p.NOW
    )
    request = release_request.ReleaseRequest(
        p.digest("manifest"),
        p.HEADER.referral,
        0,
        "legal-aid-7",
        "w-0091",
        "5f0c7d0e-0f0b-4c39-8a51-0d6c1d6e2b11",
    )
    ack = answer.AnswerAck(p.digest("answer"), p.NOW)
    made: list[tuple[str, Any, bytes]] = [
        ("key record", keyrecord.SignedKeyRecord, record.encode()),
        ("answer", answer.SignedAnswer, given_answer.encode()),
        ("ack", answer.SignedAnswerAck, ack.encode()),
        ("request", release_request.SignedReleaseRequest, request.encode()),
    ]
    return [(name, kind, data, lambda signed: signed.verify(public)) for name, kind, data in made]


CONTEXTS = {
    "key record": keyrecord.CONTEXT,
    "answer": answer.CONTEXT,
    "ack": answer.ACK_CONTEXT,
    "request": release_request.CONTEXT,
}


@given(data=st.data())
def test_any_changed_byte_of_a_signed_message_is_refused(data: st.DataObject) -> None:
    name, kind, message, verify = data.draw(st.sampled_from(_signed(p.RECIPIENT)))
    signature = signing.sign(p.RECIPIENT, CONTEXTS[name], message)
    verify(kind(message, signature))
    position = data.draw(st.integers(0, len(message) + len(signature) - 1))
    change = data.draw(st.integers(1, 255))
    changed = bytearray(message + signature)
    changed[position] ^= change
    with pytest.raises(SafehandError):
        verify(kind(bytes(changed[: len(message)]), bytes(changed[len(message) :])))


@given(data=st.data())
def test_any_changed_byte_of_a_signed_manifest_is_refused(data: st.DataObject) -> None:
    signed = sealed.signed_manifest()
    signed.verify(p.SENDER_PUBLIC)
    whole = bytearray(signed.manifest_bytes + signed.signature)
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    cut = len(signed.manifest_bytes)
    changed = manifest.SignedManifest(bytes(whole[:cut]), bytes(whole[cut:]))
    assert changed.digest != signed.digest
    with pytest.raises(SafehandError):
        changed.verify(p.SENDER_PUBLIC)


@given(strategies.protocols(), st.data())
def test_any_changed_byte_of_a_signed_protocol_is_refused(
    agreed: sharing_protocol.SharingProtocol, data: st.DataObject
) -> None:
    signed = sharing_protocol.SignedProtocol.sign(agreed, p.SENDER, p.RECIPIENT)
    assert signed.verify() == agreed
    whole = bytearray(signed.protocol_bytes + signed.signature_a + signed.signature_b)
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    cut = len(signed.protocol_bytes)
    changed = sharing_protocol.SignedProtocol(
        bytes(whole[:cut]), bytes(whole[cut : cut + 64]), bytes(whole[cut + 64 :])
    )
    with pytest.raises(SafehandError):
        changed.verify()


def test_a_signature_for_one_message_is_none_for_another() -> None:
    made = _signed(p.RECIPIENT)
    for name, _, message, _ in made:
        signature = signing.sign(p.RECIPIENT, CONTEXTS[name], message)
        for other in CONTEXTS.values():
            if other != CONTEXTS[name]:
                with refusal(Reason.SIGNATURE_INVALID):
                    signing.verify(p.RECIPIENT_PUBLIC, other, message, signature)


def test_the_keys_of_small_order_are_those_that_the_curve_has() -> None:
    assert set(signing.SMALL_ORDER_Y) == second_decoder.SMALL_ORDER_Y
    for y in signing.SMALL_ORDER_Y:
        for sign in (0, 1 << 255):
            with refusal(Reason.SIGNATURE_INVALID):
                signing.load_public((y | sign).to_bytes(32, "little"))


def test_a_manifest_is_signed_only_with_the_key_that_it_names() -> None:
    unsigned = sealed.signed_manifest().manifest
    with refusal(Reason.MANIFEST_MISMATCH):
        manifest.SignedManifest.sign(unsigned, p.STRANGER)


def test_a_manifest_of_the_greatest_size_fits_its_limit() -> None:
    header = replace(
        p.HEADER, service="s" * 64, sender="a" * 40, recipient="b" * 40, not_after=2**53 - 1
    )
    labels = [
        manifest.PartLabel(number, category, manifest.stage_of(category), 65535, 65536)
        for number, category in enumerate(sorted(second_decoder.CATEGORIES))
    ]
    parts = tuple(manifest.Part(label, bytes(32), bytes(32)) for label in labels)
    assert len(manifest.Manifest(header, parts).encode()) <= manifest.MAX_MANIFEST_BYTES


def test_parts_are_matched_by_their_hashes() -> None:
    part = sealed.signed_manifest().manifest.part(0)
    part.match_ciphertext(sealed.ciphertexts()["card"])
    part.match_wrap(sealed.fixed()["card"])
    with refusal(Reason.MANIFEST_MISMATCH):
        part.match_ciphertext(sealed.ciphertexts()["name"])
    with refusal(Reason.MANIFEST_MISMATCH):
        part.match_wrap(sealed.fixed()["name"])
    for number in (-1, 2):
        with refusal(Reason.MANIFEST_MISMATCH):
            sealed.signed_manifest().manifest.part(number)


def test_a_key_must_outlive_the_manifest() -> None:
    record = keyrecord.KeyRecord("legal-aid-7", 0, p.HPKE_PUBLIC, p.NOW, p.NOW + 10)
    signed = keyrecord.SignedKeyRecord.sign(record, p.RECIPIENT)
    signed.covers(p.NOW + 10, now=p.NOW)
    with refusal(Reason.KEY_ENDS_TOO_SOON):
        signed.covers(p.NOW + 11)
    with refusal(Reason.KEY_UNKNOWN):
        signed.covers(p.NOW + 10, now=p.NOW - 1)


def _agreed() -> sharing_protocol.SharingProtocol:
    origin = p.ORIGIN
    vkey = NoteVerifier(origin, p.LEDGER_KEY.public_key()).vkey
    return sharing_protocol.SharingProtocol(
        p.random_id("protocol"),
        sharing_protocol.Party("harbour-house", p.SENDER_PUBLIC, "intake coordinator"),
        sharing_protocol.Party("legal-aid-7", p.RECIPIENT_PUBLIC, "duty solicitor"),
        ("housing", "legal"),
        ("CARD", "NAME"),
        365,
        p.NOW,
        p.NOW + p.DAY,
        sharing_protocol.LedgerPin(origin, vkey),
    )


@pytest.mark.parametrize(
    ("purpose", "categories", "now"),
    [
        ("health", ["CARD"], p.NOW),
        ("legal", ["CARD", "HEALTH"], p.NOW),
        ("legal", ["CARD"], p.NOW - 1),
        ("legal", ["CARD"], p.NOW + p.DAY),
    ],
)
def test_a_protocol_covers_only_what_it_names_and_only_while_it_lives(
    purpose: str, categories: list[str], now: int
) -> None:
    agreed = _agreed()
    agreed.covers("legal", ["NAME", "CARD"], p.NOW + p.DAY - 1)
    with refusal(Reason.PROTOCOL_MISSING):
        agreed.covers(purpose, categories, now)


def test_a_protocol_pins_the_key_of_each_party_and_of_nobody_else() -> None:
    signed = sharing_protocol.SignedProtocol.sign(_agreed(), p.SENDER, p.RECIPIENT)
    assert signed.party("harbour-house") == p.SENDER_PUBLIC
    assert signed.party("legal-aid-7") == p.RECIPIENT_PUBLIC
    with refusal(Reason.PROTOCOL_MISSING):
        signed.party("stranger")


def test_only_a_protocol_can_be_signed_as_a_party() -> None:
    with refusal(Reason.MALFORMED):
        sharing_protocol.sign_as_party(b"{}", p.SENDER)
