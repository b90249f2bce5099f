"""What a recipient's client believes of a referral that the referral service hands it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand.referral.v1.referral_pb2 import GetReferralResponse
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import signing
from safehand_formats.manifest import CONTEXT

from tests.client.party import OWN, REFERRAL, Scene


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path)
    made.trust.keep_protocol(OWN, made.signed())
    return made


def refusal(scene: Scene, answer: GetReferralResponse) -> Reason:
    with pytest.raises(SafehandError) as refused:
        scene.recipient(answer).fetch(REFERRAL)
    return refused.value.reason


def test_what_the_sender_sent_is_fetched(scene: Scene) -> None:
    fetched = scene.recipient(scene.served()).fetch(REFERRAL)
    assert fetched.part_of("NAME") == 1
    assert len(fetched.parts) == 2


def test_a_manifest_that_another_key_signed_is_not_believed(scene: Scene) -> None:
    answer = scene.served()
    answer.signature = signing.sign(Ed25519PrivateKey.generate(), CONTEXT, answer.manifest)
    assert refusal(scene, answer) is Reason.SIGNATURE_INVALID


def test_a_changed_word_of_the_manifest_is_not_believed(scene: Scene) -> None:
    answer = scene.served()
    answer.manifest = answer.manifest.replace(b'"urgency":"normal"', b'"urgency":"urgent"')
    assert refusal(scene, answer) is Reason.SIGNATURE_INVALID


def test_a_manifest_for_another_recipient_is_not_believed(scene: Scene) -> None:
    assert refusal(scene, scene.served(recipient="agency-c")) is Reason.MANIFEST_MISMATCH


def test_another_referral_than_the_one_asked_for_is_not_believed(scene: Scene) -> None:
    assert refusal(scene, scene.served(referral="4" * 32)) is Reason.MANIFEST_MISMATCH


def _swapped(answer: GetReferralResponse) -> None:
    answer.parts[0].ciphertext, answer.parts[1].ciphertext = (
        answer.parts[1].ciphertext,
        answer.parts[0].ciphertext,
    )


def _changed(answer: GetReferralResponse) -> None:
    first = answer.parts[0]
    first.ciphertext = bytes([first.ciphertext[0] ^ 1]) + first.ciphertext[1:]


def _fewer(answer: GetReferralResponse) -> None:
    del answer.parts[1:]


def _more(answer: GetReferralResponse) -> None:
    answer.parts.append(answer.parts[0])


@pytest.mark.parametrize("change", [_swapped, _changed, _fewer, _more])
def test_other_parts_than_the_signed_ones_are_not_believed(
    scene: Scene, change: Callable[[GetReferralResponse], None]
) -> None:
    answer = scene.served()
    change(answer)
    assert refusal(scene, answer) is Reason.MANIFEST_MISMATCH


@pytest.mark.parametrize(
    "changes", [{"purposes": ("legal",)}, {"categories": ("CARD",)}], ids=["purpose", "category"]
)
def test_what_no_kept_protocol_covers_is_not_taken(
    tmp_path: Path, changes: dict[str, tuple[str, ...]]
) -> None:
    scene = Scene(tmp_path)
    scene.trust.keep_protocol(OWN, scene.signed(scene.protocol(**changes)))
    assert refusal(scene, scene.served()) is Reason.PROTOCOL_MISSING


def test_a_sender_without_a_protocol_is_nobody(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    assert refusal(scene, scene.served()) is Reason.PROTOCOL_MISSING
