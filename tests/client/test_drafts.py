"""The sender's draft: no longer, and no more of it, than a repeated send needs."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from safehand.intake.v1.intake_pb2 import IntakeForm
from safehand_client import AgencyClient
from safehand_client._internal.calls import Stubs
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from tests.client.party import DAY_S, OWN, PEER, Scene, Silent

FORM = IntakeForm(need_code="housing", preferred_name="TEST Ana", safe_contact="TEST 000")


class Refusing:
    """Consent, which refuses every authorisation."""

    def __init__(self, reason: Reason) -> None:
        self._reason = reason

    def AuthorizeReferral(self, request: Any, timeout: float) -> Any:  # noqa: N802
        raise SafehandError(self._reason)


def client(scene: Scene, reason: Reason) -> AgencyClient:
    nobody: Any = Silent()
    consent: Any = Refusing(reason)
    directory: Any = scene.client(scene.key()).stubs.directory
    stubs = Stubs(consent, nobody, nobody, directory, nobody, ())
    return AgencyClient(scene.party, clock=scene.clock, entropy=scene.entropy, stubs=stubs)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path)
    made.trust.keep_protocol(OWN, made.signed())
    return made


def send(sender: AgencyClient, reason: Reason) -> None:
    with pytest.raises(SafehandError) as refused:
        sender.send(
            grant="2" * 32,
            recipient=PEER,
            purpose="housing",
            service="svc-1",
            form=FORM,
            categories=("CARD", "NAME"),
        )
    assert refused.value.reason is reason


@pytest.mark.parametrize(
    "reason",
    [
        Reason.UNAVAILABLE,
        Reason.LEDGER_STARTING,
        Reason.INTERNAL,
        Reason.OVERLOADED,
        Reason.THROTTLED,
        Reason.DEADLINE_INVALID,
        Reason.CLOCK_SUSPECT,
        Reason.TOKEN_EXPIRED,
    ],
)
def test_a_draft_stays_while_it_may_still_be_sent(scene: Scene, reason: Reason) -> None:
    sender = client(scene, reason)
    send(sender, reason)
    (referral,) = sender.drafts
    with pytest.raises(SafehandError):
        sender.resend(referral)
    assert list(sender.drafts) == [referral]


@pytest.mark.parametrize(
    "reason",
    [
        Reason.SCOPE_EXCEEDED,
        Reason.CONSENT_ENDED,
        Reason.CONSENT_MISSING,
        Reason.PURPOSE_MISMATCH,
        Reason.SERVICE_NEEDS_EXCEEDED,
    ],
)
def test_a_draft_goes_with_a_definite_refusal(scene: Scene, reason: Reason) -> None:
    sender = client(scene, reason)
    send(sender, reason)
    assert list(sender.drafts) == []
    assert not list((scene.party.state / "drafts").iterdir())


def test_a_draft_goes_at_the_end_of_its_manifest(scene: Scene) -> None:
    sender = client(scene, Reason.UNAVAILABLE)
    send(sender, Reason.UNAVAILABLE)
    scene.clock.advance(30 * DAY_S - 1)
    assert len(list(client(scene, Reason.UNAVAILABLE).drafts)) == 1
    scene.clock.advance(1)
    assert list(client(scene, Reason.UNAVAILABLE).drafts) == []


def test_a_running_client_drops_old_drafts_at_the_next_send(scene: Scene) -> None:
    sender = client(scene, Reason.UNAVAILABLE)
    send(sender, Reason.UNAVAILABLE)
    (first,) = sender.drafts
    scene.clock.advance(31 * DAY_S)
    send(client(scene, Reason.UNAVAILABLE), Reason.UNAVAILABLE)
    assert first not in set(sender.drafts)


def test_a_draft_holds_the_chosen_categories_alone(scene: Scene) -> None:
    sender = client(scene, Reason.UNAVAILABLE)
    send(sender, Reason.UNAVAILABLE)
    (referral,) = sender.drafts
    content = json.loads(sender.drafts.read(referral))
    kept = IntakeForm.FromString(base64.b64decode(content["form"]))
    assert (kept.need_code, kept.preferred_name) == ("housing", "TEST Ana")
    assert kept.safe_contact == ""


def test_a_draft_under_another_end_is_not_read(scene: Scene) -> None:
    """Whoever can rename it does not make it last."""
    sender = client(scene, Reason.UNAVAILABLE)
    send(sender, Reason.UNAVAILABLE)
    (referral,) = sender.drafts
    (path,) = (scene.party.state / "drafts").iterdir()
    path.rename(path.with_name(f"{referral}.{2**40}.sealed"))
    with pytest.raises(SafehandError) as refused:
        sender.resend(referral)
    assert refused.value.reason is Reason.MALFORMED
