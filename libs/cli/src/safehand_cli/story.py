"""The guided story (DESIGN 8): one referral, told as it happens, each step with its evidence.

Everything runs through the same client that agencies use, against real processes. A step that
does not hold ends the story with an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from safehand.intake.v1.intake_pb2 import IntakeForm
from safehand.referral.v1 import referral_pb2
from safehand_client import (
    AgencyClient,
    Fetched,
    OperatorClient,
    OversightClient,
    SurvivorClient,
)
from safehand_client.survivor import ReceiptLine
from safehand_core.entropy import Entropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from safehand_cli.cards import new_card

SUBJECT_REF: Final = "test-case-0001"
WORKER_A: Final = "worker-a-07"
WORKER_B: Final = "worker-b-12"
PURPOSE: Final = "legal"
SERVICE: Final = "test-svc-protection"
CATEGORIES: Final = ("CARD", "NAME", "CONTACT")

TEST_FORM: Final = IntakeForm(
    need_code="legal",
    language="es",
    access_needs=["interpreter"],
    area="Test County",
    preferred_name="TEST Marisol",
    safe_contact="TEST 000-0100",
    safe_contact_rule="TEST: call on weekdays before noon, say nothing to anyone else",
)
"""Fictional, and marked so."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of ``story.json``. ``index`` is -1 where the step left no ledger entry."""

    name: str
    tried: str
    result: str
    index: int


@dataclass
class Cast:
    """Everyone in the story, each with its own folder of keys."""

    agency_a: AgencyClient
    agency_b: AgencyClient
    her: SurvivorClient
    consent_operator: OperatorClient
    oversight: OversightClient


@dataclass
class Story:
    """Plays the steps in order and keeps what came of them."""

    cast: Cast
    entropy: Entropy
    tell: Callable[[Step, str], None]
    steps: list[Step] = field(default_factory=list)
    grant: str = ""
    card: str = ""
    pin: str = ""

    def play(self) -> list[Step]:
        """The whole story. Raises SafehandError, or AssertionError where a refusal was missing."""
        self._register()
        self._sign_in_and_grant()
        referral = self._send()
        fetched = self._open_card(referral)
        self._accept_and_open_identity(fetched)
        self._stop_and_resume(fetched)
        self._make_final(fetched)
        return self.steps

    # --- the steps ------------------------------------------------------------------------

    def _register(self) -> None:
        self.card, self.pin = new_card(self.entropy)
        self.cast.agency_a.register_subject(SUBJECT_REF, self.card, self.pin)
        self._step(
            "card",
            "Harbour House gives her a paper card and a PIN",
            "DONE",
            -1,
            "nobody stores her name; the card number is kept only as a keyed hash",
        )

    def _sign_in_and_grant(self) -> None:
        her = self.cast.her
        her.sign_in(self.card, self.pin)
        answer = her.grant(
            releasing="agency-a", recipient="agency-b", purpose=PURPOSE, categories=CATEGORIES
        )
        self.grant = answer.grant.grant
        self._step(
            "grant",
            "She says yes: Harbour House may send her card, name and contact to Lantern Law",
            "GRANT",
            answer.receipt.index,
            "signed into the ledger before she saw the answer; it ends by itself in 90 days",
        )

    def _send(self) -> str:
        a = self.cast.agency_a
        mine = [item for item in a.grants(SUBJECT_REF) if item.live]
        _hold(len(mine) == 1 and mine[0].grant == self.grant, "agency A sees exactly her grant")
        sent = a.send(
            grant=self.grant,
            recipient="agency-b",
            purpose=PURPOSE,
            service=SERVICE,
            form=TEST_FORM,
            categories=CATEGORIES,
            urgency="urgent",
        )
        self._step(
            "refer",
            "Harbour House seals three parts for Lantern Law and sends them with a consent token",
            "REFER",
            sent.refer_index,
            f"referral {sent.referral[:8]}…; the referral service holds ciphertext it cannot read",
        )
        return sent.referral

    def _open_card(self, referral: str) -> Fetched:
        b = self.cast.agency_b
        heard = self._wait_for_event(referral)
        fetched = b.fetch(referral)
        b.confirm_delivery(referral)
        b.acknowledge(referral)
        opened = b.open(fetched, "CARD", worker_ref=WORKER_B)
        _hold(opened.form.need_code == TEST_FORM.need_code, "the card reads as it was written")
        self._step(
            "open-card",
            "Lantern Law hears of it, fetches it, and opens the anonymous card",
            "DISCLOSE",
            opened.disclose_index,
            f"event {heard} on its stream; need: {opened.form.need_code}, "
            f"language: {opened.form.language}, area: {opened.form.area}",
        )
        self._refused(
            "identity-too-early",
            "Lantern Law tries to open her name before it said yes",
            lambda: b.open(fetched, "NAME", worker_ref=WORKER_B),
            Reason.NOT_ACCEPTED,
        )
        return fetched

    def _accept_and_open_identity(self, fetched: Fetched) -> None:
        b = self.cast.agency_b
        state = b.accept(fetched)
        _hold(state.state == referral_pb2.REFERRAL_STATE_ACCEPTED, "accepted")
        self._step(
            "accept",
            "Lantern Law accepts, and signs it",
            "ACCEPTED",
            -1,
            "consent has the signed yes on file: identity parts can be opened from now on",
        )
        opened = b.open(fetched, "NAME", worker_ref=WORKER_B)
        _hold(opened.form.preferred_name == TEST_FORM.preferred_name, "the name reads as written")
        self._step(
            "open-identity",
            "Lantern Law opens her name",
            "DISCLOSE",
            opened.disclose_index,
            f"it reads: {opened.form.preferred_name}; she can see that worker {WORKER_B} looked",
        )

    def _stop_and_resume(self, fetched: Fetched) -> None:
        a, b, her = self.cast.agency_a, self.cast.agency_b, self.cast.her
        stopped = her.stop(self.grant)
        self._step(
            "stop",
            "She says stop",
            "STOP",
            stopped.stop_receipt.index,
            "stopped: from this answer on no running system opens anything; undoable for 24 hours",
        )
        self._refused(
            "open-after-stop",
            "Lantern Law tries to open how to reach her",
            lambda: b.open(fetched, "CONTACT", worker_ref=WORKER_B),
            Reason.CONSENT_ENDED,
        )
        self._refused(
            "fetch-after-stop",
            "Lantern Law tries to fetch the sealed parts again",
            lambda: self._until_refused(lambda: b.fetch(fetched.referral)),
            Reason.CONSENT_ENDED,
        )
        state = a.status(fetched.referral)
        _hold(
            state.state == referral_pb2.REFERRAL_STATE_ACCEPTED and state.sharing_stopped,
            "a stop ends sharing, never help: the accepted place stays",
        )
        self._step(
            "place-stays",
            "Harbour House looks: sharing is stopped, the accepted place is still hers",
            "ACCEPTED",
            -1,
            "a stop ends sharing, never help",
        )
        resumed = her.resume(self.grant)
        self._step(
            "resume",
            "She changes her mind within the day and resumes",
            "RESUME",
            resumed.receipt.index,
            "nothing was lost",
        )
        opened = b.open(fetched, "CONTACT", worker_ref=WORKER_B)
        _hold(opened.form.safe_contact == TEST_FORM.safe_contact, "the contact reads as written")
        self._step(
            "open-after-resume",
            "Lantern Law opens how to reach her",
            "DISCLOSE",
            opened.disclose_index,
            f"it reads: {opened.form.safe_contact}",
        )

    def _make_final(self, fetched: Fetched) -> None:
        b, her = self.cast.agency_b, self.cast.her
        final = her.stop(self.grant, destroy_now=True)
        self._step(
            "stop-again",
            "She stops again, and says: destroy now",
            "STOP",
            final.stop_receipt.index,
            "stopped, as before",
        )
        self._step(
            "final",
            "The keys to everything unopened are deleted at once",
            "REVOKE",
            final.revoke_receipt.index,
            "final: this consent never opens again",
        )
        self._refused(
            "open-after-final",
            "Lantern Law tries once more",
            lambda: b.open(fetched, "NAME", worker_ref=WORKER_B),
            Reason.CONSENT_ENDED,
        )
        self._refused(
            "resume-after-final",
            "She herself tries to undo it",
            lambda: her.resume(self.grant),
            Reason.CONSENT_ENDED,
        )
        rolled = self.cast.consent_operator.roll_keys()
        self._step(
            "roll",
            "The operator rolls the release key; the old one is unlinked",
            "DONE",
            -1,
            f"epoch {rolled.epoch}: an old copy of the database no longer opens with today's keys",
        )
        lines = her.verified_receipt(self.grant)
        looks = [line for line in lines if line.kind.name == "DISCLOSE"]
        refused = [look for look in her.looks(self.grant) if look.ledger_index < 0]
        _hold(len(looks) == 3, "her receipt shows every look")
        leaves = self.cast.oversight.check_complete(her.receipt(self.grant), self.grant)
        self._step(
            "her-receipt",
            "She checks her receipt: every look, no look after her stop, no gap",
            "DONE",
            -1,
            f"{_receipt_line(lines, len(refused))}; the oversight board held it against all "
            f"{leaves} entries: none of hers is missing from it",
        )
        her.sign_out()

    # --- helpers --------------------------------------------------------------------------

    def _step(self, name: str, tried: str, result: str, index: int, evidence: str) -> None:
        step = Step(name, tried, result, index)
        self.steps.append(step)
        self.tell(step, evidence)

    def _refused(
        self, name: str, tried: str, attempt: Callable[[], object], reason: Reason
    ) -> None:
        try:
            attempt()
        except SafehandError as error:
            _hold(error.reason is reason, f"refused with {reason}, not {error.reason}")
            self._step(name, tried, reason.value, -1, error.message)
            return
        raise AssertionError(f"{name}: was not refused")

    def _until_refused(self, attempt: Callable[[], object]) -> None:
        # The referral service follows consent's sequence: it knows within its poll of one second.
        for _ in range(50):
            attempt()
            time.sleep(0.1)

    def _wait_for_event(self, referral: str) -> str:
        for delivery in self.cast.agency_b.follow(0):
            if delivery.event.resource == f"referrals/{referral}":
                return f"#{delivery.cursor}"
        raise AssertionError("the stream ended")


def _receipt_line(lines: list[ReceiptLine], refused: int) -> str:
    order = " → ".join(line.kind.name for line in lines)
    return f"{order}; refused tries listed beside it: {refused}"


def _hold(condition: bool, what: str) -> None:
    if not condition:
        raise AssertionError(f"does not hold: {what}")
