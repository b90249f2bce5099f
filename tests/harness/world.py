"""A running sandbox and the people in it.

``World`` starts nats-server, consent, referral and notify as processes of their own (profile
``test``), loads the TEST sample, and hands out clients. Each test makes its own person and grant,
so that one world serves many tests.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from safehand.intake.v1.intake_pb2 import IntakeForm
from safehand_cli import seed, verdict
from safehand_cli.cards import new_card
from safehand_cli.sandbox import Sandbox
from safehand_cli.story import PURPOSE, SERVICE, TEST_FORM
from safehand_cli.system import PROCESSES, System
from safehand_client import AgencyClient, Fetched, OperatorClient, Party, Sent, SurvivorClient
from safehand_core import failpoints
from safehand_core.entropy import SystemEntropy
from safehand_ledger.fsck import fsck
from safehand_ledger.report import Report

from tests.harness import databases
from tests.harness.database import Database

CATEGORIES: Final = ("CARD", "NAME", "CONTACT")
WORKER: Final = "worker-test-01"


@dataclass
class Person:
    """Someone with a card: fictional."""

    subject_ref: str
    card: str
    pin: str


@dataclass
class World:
    """One running sandbox. Use ``running`` to make one."""

    sandbox: Sandbox
    system: System
    stores: Mapping[str, Database]
    """Each service's database, to look past the service."""
    agency_a: AgencyClient = field(init=False)
    agency_b: AgencyClient = field(init=False)
    consent_operator: OperatorClient = field(init=False)
    referral_operator: OperatorClient = field(init=False)
    _numbers: Iterator[int] = field(default_factory=itertools.count, init=False)

    def connect(self) -> None:
        """(Re)connect every client."""
        self.agency_a = AgencyClient(self.party("agency-a"))
        self.agency_b = AgencyClient(self.party("agency-b"))
        self.consent_operator = OperatorClient(self.party("consent"))
        self.referral_operator = OperatorClient(self.party("referral"))

    def disconnect(self) -> None:
        for client in (
            self.agency_a,
            self.agency_b,
            self.consent_operator,
            self.referral_operator,
        ):
            client.close()

    def party(self, name: str) -> Party:
        return self.sandbox.party(name)

    # --- people and referrals -------------------------------------------------------------

    def person(self) -> Person:
        """A new person with a card, known to agency A."""
        card, pin = new_card(SystemEntropy())
        found = Person(f"test-ref-{next(self._numbers):06d}", card, pin)
        self.agency_a.register_subject(found.subject_ref, card, pin)
        return found

    @contextmanager
    def session(self, person: Person) -> Iterator[SurvivorClient]:
        """Her session."""
        her = SurvivorClient(self.party("her"))
        her.sign_in(person.card, person.pin)
        try:
            yield her
        finally:
            her.close()

    def grant(self, person: Person, categories: Sequence[str] = CATEGORIES) -> str:
        """She says yes to agency B; the grant's id."""
        with self.session(person) as her:
            return her.grant(
                releasing="agency-a",
                recipient="agency-b",
                purpose=PURPOSE,
                categories=categories,
            ).grant.grant

    def send(
        self,
        grant: str,
        *,
        form: IntakeForm = TEST_FORM,
        categories: Sequence[str] = CATEGORIES,
    ) -> Sent:
        """A sealed referral from A to B."""
        return self.agency_a.send(
            grant=grant,
            recipient="agency-b",
            purpose=PURPOSE,
            service=SERVICE,
            form=form,
            categories=categories,
        )

    def accepted(self, grant: str) -> Fetched:
        """A referral that B fetched, acknowledged and accepted."""
        sent = self.send(grant)
        fetched = self.agency_b.fetch(sent.referral)
        self.agency_b.confirm_delivery(sent.referral)
        self.agency_b.acknowledge(sent.referral)
        self.agency_b.accept(fetched)
        return fetched

    # --- failpoints -----------------------------------------------------------------------

    def arm(self, process: str, text: str) -> None:
        """Arm failpoints in a running process, or with an empty text disarm them."""
        _failpoint_file(self.sandbox, process).write_text(text)

    # --- checks ---------------------------------------------------------------------------

    @property
    def vkey(self) -> str:
        return (self.sandbox.party_dir("oversight") / "trust" / "ledger.vkey").read_text().strip()

    def fsck(self) -> Report:
        """The whole ledger, rebuilt from its leaves, beside the running writer."""
        return fsck(
            verdict.ledger_database(self.sandbox), self.vkey, verdict.anchor_file(self.sandbox)
        )

    def logs(self) -> bytes:
        """Everything that any process has logged."""
        folder = self.sandbox.root / "logs"
        return b"".join(path.read_bytes() for path in sorted(folder.glob("*.log")))


@contextmanager
def running(
    root: Path,
    *,
    portal: bool = False,
    extra_environment: Mapping[str, Mapping[str, str]] | None = None,
    say: Callable[[str], None] = lambda _: None,
    make_stores: Callable[[Sandbox], dict[str, Database]] = databases.of_sandbox,
) -> Iterator[World]:
    """A seeded world under ``root``; everything ends with the block.

    ``portal``: with her pages, which most tests do not need.
    """
    sandbox = Sandbox(root)
    environment = {
        process: {failpoints.ENVIRONMENT: f"@{_failpoint_file(sandbox, process)}"}
        for process in PROCESSES
    }
    for process, values in (extra_environment or {}).items():
        environment.setdefault(process, {}).update(values)
    stores = make_stores(sandbox)
    system = System(sandbox, profile="test", portal=portal, extra_environment=environment, say=say)
    try:
        system.start()
        seed.load(sandbox, say=say)
        world = World(sandbox, system, stores)
        world.connect()
        try:
            yield world
        finally:
            world.disconnect()
    finally:
        system.stop()
        for store in stores.values():
            store.drop()


def _failpoint_file(sandbox: Sandbox, process: str) -> Path:
    folder = sandbox.root / "failpoints"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / process


def eventually(holds: Callable[[], bool], what: str, *, within_s: float = 15.0) -> None:
    """Wait for something that other processes bring about; fails with ``what`` when it does not."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError(f"did not come about within {within_s} s: {what}")
