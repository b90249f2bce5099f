"""A small world around a real consent service: its process's parts, gRPC, mTLS, two agencies.

Only time is ours: a ``ManualClock``, and a sweeper that sleeps unless a test calls ``sweep``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.timestamp_pb2 import Timestamp
from safehand.consent.v1 import consent_pb2 as pb
from safehand.consent.v1 import consent_pb2_grpc, ledger_pb2, ledger_pb2_grpc
from safehand_consent_service import app
from safehand_consent_service.settings import ConsentSettings
from safehand_core import ids
from safehand_core.clock import ManualClock
from safehand_core.entropy import SystemEntropy
from safehand_core.words import CATEGORIES, PURPOSES
from safehand_formats import signing
from safehand_formats.bodies import decode_body
from safehand_formats.leaf import Leaf
from safehand_formats.note import NoteVerifier
from safehand_formats.opening import Opening
from safehand_formats.proof import TlogProof
from safehand_formats.sharing_protocol import (
    LedgerPin,
    Party,
    SharingProtocol,
    SignedProtocol,
)
from safehand_ledger import anchor
from safehand_ledger.fsck import fsck
from safehand_rpc.ca import DevCa
from safehand_rpc.dial import Channel, connect
from safehand_rpc.identity import spiffe_id
from safehand_rpc.tls import TlsFiles

from tests.harness import databases
from tests.harness.database import Database

NOTICE = "ab" * 32
PIN = "246810"
DAY = 24 * 3600
NEVER_S = 3600.0

PARTIES = {
    "consent": spiffe_id("service", "consent"),
    "portal": spiffe_id("service", "portal"),
    "referral": spiffe_id("service", "referral"),
    "notify": spiffe_id("service", "notify"),
    "operator": spiffe_id("operator", "consent"),
    "oversight": spiffe_id("oversight", "ombuds"),
    "haven": spiffe_id("agency", "haven"),
    "legal": spiffe_id("agency", "legal"),
    "clinic": spiffe_id("agency", "clinic"),
    "stranger": spiffe_id("agency", "stranger"),
}
"""Certificates; haven, legal and clinic are enrolled by ``World.settle``, stranger is not."""


def card(number: int) -> str:
    """A twelve-digit card number with its check digit."""
    body = f"{number:011d}"
    total = 0
    for position, character in enumerate(reversed(body)):
        value = int(character) * (1 if position % 2 else 2)
        total += value - 9 if value > 9 else value
    return f"{body}{-total % 10}"


def certificates(directory: Path) -> dict[str, TlsFiles]:
    """A CA, and a certificate for every party."""
    ca = DevCa.create(directory / "ca")
    return {name: ca.issue(directory / name, uri) for name, uri in PARTIES.items()}


@dataclass
class World:
    """The service and everybody who calls it. ``root`` holds its files."""

    root: Path
    tls: dict[str, TlsFiles]
    clock: ManualClock = field(default_factory=ManualClock)
    entropy: SystemEntropy = field(default_factory=SystemEntropy)
    keys: dict[str, Ed25519PrivateKey] = field(default_factory=dict)
    secrets: dict[str, bytes] = field(default_factory=dict)
    store: Database = field(default=cast(Database, None))
    """A fresh one, unless it is given."""
    settings: ConsentSettings = field(init=False)
    app: app.App = field(init=False)
    port: int = field(init=False, default=0)
    _channels: dict[str, Channel] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.store is None:
            self.store = databases.of_service("consent", self.root / "data" / "consent.sqlite3")
        self.settings = ConsentSettings.load(self.environment())
        for name in ("haven", "legal", "clinic", "stranger"):
            self.keys[name] = Ed25519PrivateKey.generate()

    def environment(self) -> dict[str, str]:
        """The service's settings, as a process of its own would get them."""
        tls = self.tls["consent"]
        values = {
            "PROFILE": "test",
            "DATA_DIR": self.root / "data",
            "KEYS_DIR": self.root / "keys",
            "ANCHOR": self.root / "anchor",
            "TLS_CERT": tls.cert,
            "TLS_KEY": tls.key,
            "TLS_CA": tls.ca,
        }
        named = {f"SAFEHAND_CONSENT_{name}": str(value) for name, value in values.items()}
        return {**named, **self.store.environment("consent")}

    # --- life ---------------------------------------------------------------------------------

    def start(self) -> World:
        self.app = app.build(
            self.settings, clock=self.clock, entropy=self.entropy, sweep_every_s=NEVER_S
        )
        self.port = self.app.start()
        return self

    def stop(self) -> None:
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()
        self.app.server.drain(0.5, settle_s=0)
        self.app.close()

    def restart(self) -> World:
        self.stop()
        return self.start()

    def settle(self) -> World:
        """Enrol haven, legal and clinic, and file one wide protocol of haven and legal."""
        for name in ("haven", "legal", "clinic"):
            self.enrol(name)
        self.register_protocol("haven", "legal")
        return self

    # --- who calls ----------------------------------------------------------------------------

    def channel(self, party: str) -> Channel:
        """The channel of ``party``, made at its first use. Nothing is retried behind a test."""
        made = self._channels.get(party)
        if made is None:
            made = connect(f"127.0.0.1:{self.port}", self.tls[party], "consent", retry=False)
            self._channels[party] = made
        return made

    def consent(self, party: str) -> Any:
        """A ConsentService stub as ``party``."""
        return consent_pb2_grpc.ConsentServiceStub(self.channel(party))

    def ledger(self, party: str) -> Any:
        """A LedgerService stub as ``party``."""
        return ledger_pb2_grpc.LedgerServiceStub(self.channel(party))

    @property
    def portal(self) -> Any:
        return self.consent("portal")

    def request_id(self) -> str:
        return ids.new_request_id(self.entropy)

    # --- set-up -------------------------------------------------------------------------------

    def public(self, name: str) -> bytes:
        return signing.public_bytes(self.keys[name])

    def enrol(self, name: str) -> str:
        answer = self.consent("operator").EnrolAgency(
            pb.EnrolAgencyRequest(
                request_id=self.request_id(),
                agency=name,
                identity_key=self.public(name),
                display_name=f"The {name}",
            )
        )
        return str(answer.fingerprint)

    @property
    def vkey(self) -> str:
        return (self.settings.public_dir / "vkey").read_text().strip()

    def signed_protocol(
        self,
        one: str,
        other: str,
        *,
        purposes: Iterable[str] = tuple(PURPOSES),
        categories: Iterable[str] = tuple(CATEGORIES),
        not_before: int | None = None,
        not_after: int | None = None,
    ) -> SignedProtocol:
        a, b = sorted((one, other))
        now = self.clock.wall()
        protocol = SharingProtocol(
            id=ids.new_id(self.entropy),
            a=Party(a, self.public(a), "intake desk"),
            b=Party(b, self.public(b), "intake desk"),
            purposes=tuple(sorted(purposes)),
            categories=tuple(sorted(categories)),
            retention_days=365,
            not_before=now - 60 if not_before is None else not_before,
            not_after=now + 400 * DAY if not_after is None else not_after,
            ledger=LedgerPin(self.settings.origin, self.vkey),
        )
        return SignedProtocol.sign(protocol, self.keys[a], self.keys[b])

    def register_protocol(self, one: str, other: str, **what: Any) -> str:
        signed = self.signed_protocol(one, other, **what)
        answer = self.consent(one).RegisterProtocol(
            pb.RegisterProtocolRequest(
                request_id=self.request_id(),
                protocol=signed.protocol_bytes,
                signature_a=signed.signature_a,
                signature_b=signed.signature_b,
            )
        )
        return str(answer.digest)

    # --- she ----------------------------------------------------------------------------------

    def register(
        self,
        agency: str,
        number: int,
        reference: str,
        pin: str = PIN,
        request_id: str | None = None,
    ) -> None:
        self.consent(agency).RegisterSubject(
            pb.RegisterSubjectRequest(
                request_id=request_id or self.request_id(),
                subject_ref=reference,
                card_number=card(number),
                pin=pin,
            )
        )

    def sign_in(self, number: int, pin: str = PIN) -> bytes:
        answer = self.portal.OpenSession(pb.OpenSessionRequest(card_number=card(number), pin=pin))
        return bytes(answer.session)

    def terms(self, **changed: Any) -> pb.Terms:
        """haven to legal, for housing, NAME and CONTACT; times only where a test gives them."""
        values: dict[str, Any] = {
            "releasing_agency": "haven",
            "recipient_agency": "legal",
            "purpose": "housing",
            "categories": ["NAME", "CONTACT"],
            "notice_sha256": NOTICE,
            "language": "en",
            "given_how": "read",
            "present": "alone",
        }
        values.update(changed)
        for name in ("expires_at", "erase_by"):
            if isinstance(values.get(name), int):
                values[name] = Timestamp(seconds=values[name])
        return pb.Terms(**values)

    def grant(self, session: bytes, request_id: str | None = None, **changed: Any) -> Any:
        """GrantResponse. The grant's secret is remembered for the final fsck."""
        answer = self.portal.Grant(
            pb.GrantRequest(
                request_id=request_id or self.request_id(),
                session=session,
                terms=self.terms(**changed),
            )
        )
        self.secrets[answer.grant.grant] = self.receipt(session, answer.grant.grant).secret
        return answer

    def stop_grant(
        self,
        session: bytes,
        grant: str,
        *,
        destroy_now: bool = False,
        request_id: str | None = None,
    ) -> Any:
        mode = pb.STOP_MODE_DESTROY_NOW if destroy_now else pb.STOP_MODE_STOP
        return self.portal.StopGrant(
            pb.StopGrantRequest(
                request_id=request_id or self.request_id(), session=session, grant=grant, mode=mode
            )
        )

    def resume_grant(self, session: bytes, grant: str, request_id: str | None = None) -> Any:
        return self.portal.ResumeGrant(
            pb.ResumeGrantRequest(
                request_id=request_id or self.request_id(), session=session, grant=grant
            )
        )

    def receipt(self, session: bytes, grant: str) -> Any:
        return self.portal.GetReceipt(pb.GetReceiptRequest(session=session, grant=grant))

    def view(self, session: bytes, grant: str) -> pb.GrantView:
        """The grant as her list shows it."""
        answer = self.portal.ListGrants(pb.ListGrantsRequest(session=session))
        views: list[pb.GrantView] = list(answer.grants)
        return next(view for view in views if view.grant == grant)

    # --- checks -------------------------------------------------------------------------------

    def events(self, after: int = 0) -> list[Any]:
        """Every event of consent behind ``after``, as the referral service reads them."""
        stub = self.consent("referral")
        found: list[Any] = []
        request = pb.ListEventsRequest(after=after)
        while True:
            answer = stub.ListEvents(request)
            found += answer.events
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token

    def opened(self, receipt: ledger_pb2.Receipt) -> Opening:
        """The opening of a receipt whose proof and commitment hold under the pinned key."""
        proof = TlogProof.from_text(receipt.proof)
        assert proof.index == receipt.index
        proof.verify(receipt.leaf, NoteVerifier.from_vkey(self.vkey))
        leaf = Leaf.decode(receipt.leaf)
        opening = Opening(
            receipt.index, leaf.kind, receipt.salt, decode_body(leaf.kind, receipt.body)
        )
        opening.require_match(leaf)
        return opening

    def anchored(self) -> int:
        """Leaves under the newest head that is in the anchor file, as a verifier reads it."""
        verifier = NoteVerifier.from_vkey(self.vkey)
        head = anchor.read(self.settings.anchor, verifier)
        assert head is not None
        return head.size

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the database holds, read past the service."""
        return self.store.rows(sql, *values)

    def execute(self, sql: str, *values: Any) -> None:
        """Change the database past the service, for what another half of it would write."""
        self.store.execute(sql, *values)

    def key_rows(self, grant: str) -> int:
        sql = "SELECT count(*) FROM category_key WHERE grant_id = ?"
        return int(self.rows(sql, grant)[0][0])

    def sweep(self) -> int:
        return self.app.sweep()

    def check_ledger(self) -> None:
        """fsck with every known secret, and the rows that repeat what the ledger says."""
        report = fsck(
            self.settings.database,
            self.vkey,
            self.settings.anchor,
            grant_secrets=self.secrets,
            clock=self.clock,
        )
        assert report.ok, report.problems
        keys_of_final = self.rows(
            "SELECT count(*) FROM category_key JOIN consent_grant USING (grant_id) "
            "WHERE state IN ('revoked', 'expired')"
        )
        assert keys_of_final == [(0,)]
        leaves = self.rows("SELECT count(*) FROM grant_leaf")
        assert leaves == self.rows("SELECT count(*) FROM ledger_opening WHERE kind NOT IN (7, 12)")
