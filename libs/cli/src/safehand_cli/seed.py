"""The sandbox's TEST sample: fictional services, two agencies that know and trust each other."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import Final

from safehand_client import AgencyClient, OperatorClient, agreement
from safehand_core.words import CATEGORIES, PURPOSES

from safehand_cli.sandbox import AGENCIES, Sandbox

SOURCE: Final = "test-sample"
ORGANIZATIONS: Final = {"agency-a": ("test-org-harbour",), "agency-b": ("test-org-lantern",)}
"""Which of the sample's organisations each agency delivers for."""
NEEDS: Final = {"test-svc-protection": ("CARD", "NAME", "CONTACT", "EVENTS", "PAPERS")}
"""What the sample's legal service may receive."""
CONFIDENTIAL: Final = "test-svc-refuge"
"""The sample's refuge: it is shown without a place."""
SEEDED: Final = "seeded"


def sample_files() -> dict[str, bytes]:
    """The sample package's files by name."""
    folder = resources.files("safehand_cli") / "sample" / "hsds"
    return {item.name: item.read_bytes() for item in folder.iterdir() if item.name.endswith(".csv")}


def load(sandbox: Sandbox, *, say: Callable[[str], None]) -> None:
    """Load the sample once: directory, enrolment, protocol, recipient keys."""
    if (sandbox.root / SEEDED).exists():
        return
    say("loading the TEST directory; two TEST agencies enrol, sign a protocol, publish keys")
    a = AgencyClient(sandbox.party("agency-a"))
    b = AgencyClient(sandbox.party("agency-b"))
    consent = OperatorClient(sandbox.party("consent"))
    referral = OperatorClient(sandbox.party("referral"))
    try:
        referral.import_package(SOURCE, sample_files())
        for service, categories in NEEDS.items():
            referral.set_service_needs(service, categories)
        referral.set_confidential(CONFIDENTIAL)
        for client in (a, b):
            name = AGENCIES[client.agency]
            consent.enrol(client.agency, client.identity_public, name)
            referral.register(
                client.agency, client.identity_public, name, ORGANIZATIONS[client.agency]
            )
        proposal = agreement.propose(
            a,
            peer="agency-b",
            peer_fingerprint=b.fingerprint,
            purposes=tuple(PURPOSES),
            categories=tuple(CATEGORIES),
            focal_point="TEST referral desk",
            peer_focal_point="TEST intake desk",
        )
        agreement.countersign(b, proposal, peer_fingerprint=a.fingerprint)
        agreement.collect(a)
        for client in (a, b):
            client.publish_key()
    finally:
        for each in (a, b, consent, referral):
            each.close()
    (sandbox.root / SEEDED).touch()
