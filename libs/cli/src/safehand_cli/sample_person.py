"""The TEST person whose card ``safehand up`` prints: somebody to be at the portal.

After the story it is the story's own person. Her PIN is one that nobody else has seen, so that her
pages open at once. Her card and PIN lie in the sandbox's folder, marked TEST: they open nothing but
a sandbox.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from safehand.consent.v1 import portal_pb2, portal_pb2_grpc
from safehand_client import AgencyClient, Party, SurvivorClient
from safehand_core.entropy import Entropy
from safehand_core.keystore import write_atomic
from safehand_rpc.dial import connect

from safehand_cli.cards import new_card
from safehand_cli.sandbox import Sandbox
from safehand_cli.story import CATEGORIES, PURPOSE, SERVICE, TEST_FORM, WORKER_A, WORKER_B

FILE: Final = "sample-person.json"
SUBJECT_REF: Final = "test-portal-0001"
"""Harbour House's reference for the person of a sandbox without a story."""
LEFT: Final = "CONTACT"
"""The part that Lantern Law has not opened yet: what her stop keeps from it."""
ASKED: Final = ("HEALTH", "PAPERS")
ASKED_DAYS: Final = 30
"""What Harbour House asks her, and for how long."""


@dataclass(frozen=True, slots=True)
class SamplePerson:
    """``referral``: one that waits for her stop; empty where nobody sent one."""

    card: str
    pin: str
    referral: str = ""

    def command(self, options: str = "") -> str:
        """What Lantern Law types to open what it has not opened yet."""
        return (
            f"safehand {options}--as agency-b referral open {self.referral} "
            f"--category {LEFT} --worker {WORKER_B}"
        )


@dataclass(frozen=True, slots=True)
class Settled:
    """Her own PIN, and the session that she has after she chose it."""

    pin: str
    session: bytes


def found(sandbox: Sandbox) -> SamplePerson | None:
    """The person of this sandbox; None where there is none yet."""
    try:
        return SamplePerson(**json.loads(_file(sandbox).read_text("utf-8")))
    except FileNotFoundError:
        return None


def load(sandbox: Sandbox, entropy: Entropy, *, say: Callable[[str], None]) -> SamplePerson:
    """The person of this sandbox, made where there is none: known to Harbour House, nothing
    shared."""
    there = found(sandbox)
    if there is not None:
        return there
    say("a TEST person gets a card for the portal")
    card, pin = new_card(entropy)
    a = AgencyClient(sandbox.party("agency-a"))
    try:
        a.register_subject(SUBJECT_REF, card, pin)
    finally:
        a.close()
    settled = settle(sandbox.party("her"), card, pin, entropy)
    _sign_out(sandbox, settled)
    return _keep(sandbox, SamplePerson(card, settled.pin))


def after_story(
    sandbox: Sandbox, entropy: Entropy, card: str, pin: str, subject_ref: str
) -> SamplePerson:
    """The story's person goes on: a PIN of her own, a new yes to Lantern Law with a referral under
    it, two looks, and a question that waits for her."""
    settled = settle(sandbox.party("her"), card, pin, entropy)
    a = AgencyClient(sandbox.party("agency-a"))
    b = AgencyClient(sandbox.party("agency-b"))
    her = SurvivorClient(sandbox.party("her"))
    try:
        her.session = settled.session
        grant = her.grant(
            releasing="agency-a", recipient="agency-b", purpose=PURPOSE, categories=CATEGORIES
        ).grant.grant
        her.sign_out()
        referral = a.send(
            grant=grant,
            recipient="agency-b",
            purpose=PURPOSE,
            service=SERVICE,
            form=TEST_FORM,
            categories=CATEGORIES,
            urgency="urgent",
        ).referral
        fetched = b.fetch(referral)
        b.confirm_delivery(referral)
        b.acknowledge(referral)
        b.accept(fetched)
        for category in CATEGORIES:
            if category != LEFT:
                b.open(fetched, category, worker_ref=WORKER_B)
        a.ask_consent(
            subject_ref=subject_ref,
            worker_ref=WORKER_A,
            releasing="agency-a",
            recipient="agency-b",
            purpose=PURPOSE,
            categories=ASKED,
            days=ASKED_DAYS,
        )
    finally:
        for each in (a, b, her):
            each.close()
    return _keep(sandbox, SamplePerson(card, settled.pin, referral))


def settle(her: Party, card: str, pin: str, entropy: Entropy) -> Settled:
    """Change the PIN that came with a card, as her pages ask her to."""
    chosen = pin
    while chosen == pin:
        _, chosen = new_card(entropy)
    survivor = SurvivorClient(her)
    try:
        survivor.sign_in(card, pin)
        with connect(her.addresses.consent, her.tls, "consent") as channel:
            changed = portal_pb2_grpc.PortalServiceStub(channel).ChangePin(
                portal_pb2.ChangePinRequest(session=survivor.session, pin=pin, new_pin=chosen)
            )
    finally:
        survivor.close()
    return Settled(chosen, changed.session)


def _sign_out(sandbox: Sandbox, settled: Settled) -> None:
    her = SurvivorClient(sandbox.party("her"))
    her.session = settled.session
    try:
        her.sign_out()
    finally:
        her.close()


def _keep(sandbox: Sandbox, person: SamplePerson) -> SamplePerson:
    write_atomic(_file(sandbox), json.dumps(asdict(person)).encode())
    return person


def _file(sandbox: Sandbox) -> Path:
    return sandbox.party("her").state / FILE
