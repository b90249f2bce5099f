"""A whole consent service in this process, over real gRPC and TLS, and the parties around it.

Every party has its own certificate of one development CA, and every agency its own identity key.
Nothing is faked but the clock.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand.consent.v1 import consent_pb2 as pb
from safehand.consent.v1 import consent_pb2_grpc, ledger_pb2, ledger_pb2_grpc
from safehand_consent_service.app import App, build
from safehand_consent_service.settings import ConsentSettings
from safehand_core import ids
from safehand_core.clock import Clock, ManualClock
from safehand_core.entropy import SystemEntropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import CATEGORIES, PURPOSES
from safehand_formats import sealing, signing
from safehand_formats.answer import ACCEPT, Answer, SignedAnswer
from safehand_formats.keyrecord import KeyRecord, SignedKeyRecord
from safehand_formats.manifest import (
    Header,
    Manifest,
    PartLabel,
    SignedManifest,
    stage_of,
)
from safehand_formats.release_request import ReleaseRequest, SignedReleaseRequest
from safehand_formats.sharing_protocol import LedgerPin, Party, SharingProtocol, SignedProtocol
from safehand_rpc.ca import DevCa
from safehand_rpc.dial import Channel, connect
from safehand_rpc.identity import Kind, spiffe_id
from safehand_rpc.tls import TlsFiles
from safehand_store.engine import begin_read

from tests.harness import databases

T = TypeVar("T")

ENTROPY = SystemEntropy()
PATIENCE_S = 20.0
DAY_S = 24 * 3600
NOTICE = hashlib.sha256(b"notice").hexdigest()
DEFAULT_CATEGORIES = ("CARD", "CONTACT", "NAME")
PURPOSE = "housing"
A, B, C = "agency-a", "agency-b", "agency-c"
"""``A`` releases, ``B`` receives, ``C`` has nothing to do with either."""


def new_request_id() -> str:
    return ids.new_request_id(ENTROPY)


@dataclass
class Agency:
    """An agency's own keys: identity, and the seeds of its recipient keys by kid."""

    name: str
    identity: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    seeds: dict[str, bytes] = field(default_factory=dict)
    records: list[SignedKeyRecord] = field(default_factory=list)

    @property
    def public(self) -> bytes:
        return signing.public_bytes(self.identity)

    @property
    def key_id(self) -> str:
        return signing.identity_key_id(self.public)


@dataclass(frozen=True)
class Card:
    """What she holds."""

    number: str
    pin: str = "135790"


@dataclass(frozen=True)
class Sealed:
    """A referral as its sender made it, before anybody authorised it."""

    signed: SignedManifest
    manifest: Manifest
    inner_wraps: tuple[bytes, ...]
    ciphertexts: tuple[bytes, ...]
    record: SignedKeyRecord

    @property
    def digest(self) -> str:
        return self.signed.digest.hex()

    @property
    def referral(self) -> str:
        return self.manifest.header.referral

    def part(self, category: str) -> int:
        return [p.label.category for p in self.manifest.parts].index(category)

    def signed_by(self, key: Ed25519PrivateKey) -> Sealed:
        """The same bytes under another signature."""
        data = self.signed.manifest_bytes
        signature = signing.sign(key, "safehand/v1/manifest", data)
        return replace(self, signed=SignedManifest(data, signature))


@dataclass(frozen=True)
class Sent:
    """An authorised referral."""

    sealed: Sealed
    outer_wraps: tuple[bytes, ...]
    token: str
    receipt: ledger_pb2.Receipt


@cache
def _authority() -> tuple[DevCa, TemporaryDirectory[str]]:
    """One for all worlds of this process: a certificate says who somebody is, and no more."""
    folder = TemporaryDirectory(prefix="safehand-")
    return DevCa.create(Path(folder.name) / "ca"), folder


@cache
def _certificate(kind: Kind, name: str) -> TlsFiles:
    authority, folder = _authority()
    return authority.issue(Path(folder.name) / kind / name, spiffe_id(kind, name))


class World:
    """Start it, use it, stop it. ``clock`` moves only by hand."""

    def __init__(self, directory: Path, *, clock: Clock | None = None) -> None:
        self.directory = directory
        self.store = databases.of_service("consent", directory / "data" / "consent.sqlite3")
        self.clock: Any = clock or ManualClock()
        self.agencies = {name: Agency(name) for name in (A, B, C)}
        self._channels: dict[str, Channel] = {}
        self._cards = 0
        consent = self.tls("service", "consent")
        self.settings = ConsentSettings(
            profile="test",
            data_dir=directory / "data",
            database_url=self.store.url,
            keys_dir=directory / "keys",
            anchor=directory / "anchor" / "consent.anchor",
            tls_cert=consent.cert,  # type: ignore[call-arg]
            tls_key=consent.key,
            tls_ca=consent.ca,
        )
        self.app: App
        self.port = 0

    # --- the process -----------------------------------------------------------------------------

    def start(self) -> World:
        self.app = build(self.settings, clock=self.clock, entropy=ENTROPY)
        self.port = self.app.start()
        return self

    def stop(self) -> None:
        self._hang_up()
        self.app.server.drain(settle_s=0.0, grace_s=2.0)
        self.app.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    def _hang_up(self) -> None:
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()

    # --- the parties -----------------------------------------------------------------------------

    def tls(self, kind: Kind, name: str) -> TlsFiles:
        return _certificate(kind, name)

    def channel(self, kind: Kind, name: str) -> Channel:
        """The party's own channel to consent; refusals are SafehandErrors, nothing is retried."""
        key = f"{kind}/{name}"
        if key not in self._channels:
            self._channels[key] = self.new_channel(self.tls(kind, name))
        return self._channels[key]

    def new_channel(self, tls: TlsFiles) -> Channel:
        return connect(f"127.0.0.1:{self.port}", tls, "consent", retry=False)

    def second_certificate(self, name: str) -> TlsFiles:
        """What the operator's authority could issue behind an agency's back."""
        directory = self.directory / "tls" / "second" / name
        return _authority()[0].issue(directory, spiffe_id("agency", name))

    def agency(self, name: str) -> consent_pb2_grpc.ConsentServiceStub:
        return consent_pb2_grpc.ConsentServiceStub(self.channel("agency", name))

    def portal(self) -> consent_pb2_grpc.ConsentServiceStub:
        return consent_pb2_grpc.ConsentServiceStub(self.channel("service", "portal"))

    def operator(self) -> consent_pb2_grpc.ConsentServiceStub:
        return consent_pb2_grpc.ConsentServiceStub(self.channel("operator", "consent"))

    def ledger(self, kind: Kind = "agency", name: str = A) -> ledger_pb2_grpc.LedgerServiceStub:
        return ledger_pb2_grpc.LedgerServiceStub(self.channel(kind, name))

    # --- set-up ----------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        return int(self.clock.wall())

    def enrol(self, name: str, key: bytes | None = None) -> str:
        request = pb.EnrolAgencyRequest(
            request_id=new_request_id(),
            agency=name,
            identity_key=key or self.agencies[name].public,
            display_name=f"The {name}",
        )
        return str(self.operator().EnrolAgency(request).fingerprint)

    def protocol(self, one: str = A, other: str = B, **changes: Any) -> SharingProtocol:
        a, b = sorted((one, other))
        verifier = self.app.context.ledger
        values: dict[str, Any] = {
            "id": ids.new_id(ENTROPY),
            "a": Party(a, self.agencies[a].public, "referrals desk"),
            "b": Party(b, self.agencies[b].public, "referrals desk"),
            "purposes": tuple(sorted(PURPOSES)),
            "categories": tuple(sorted(CATEGORIES)),
            "retention_days": 365,
            "not_before": self.now - DAY_S,
            "not_after": self.now + 365 * DAY_S,
            "ledger": LedgerPin(verifier.name, verifier.vkey),
        }
        return SharingProtocol(**{**values, **changes})

    def sign_protocol(self, protocol: SharingProtocol) -> SignedProtocol:
        a, b = (self.agencies[p.agency].identity for p in (protocol.a, protocol.b))
        return SignedProtocol.sign(protocol, a, b)

    def register_protocol(self, signed: SignedProtocol, caller: str = A) -> str:
        request = pb.RegisterProtocolRequest(
            request_id=new_request_id(),
            protocol=signed.protocol_bytes,
            signature_a=signed.signature_a,
            signature_b=signed.signature_b,
        )
        return str(self.agency(caller).RegisterProtocol(request).digest)

    def key_record(self, name: str = B, **changes: Any) -> SignedKeyRecord:
        """A fresh recipient key of an agency, signed and not yet published."""
        agency = self.agencies[name]
        seed, public = sealing.generate_recipient_key(ENTROPY)
        values: dict[str, Any] = {
            "agency": name,
            "sequence": len(agency.records),
            "public": public,
            "not_before": self.now - DAY_S,
            "not_after": self.now + 180 * DAY_S,
        }
        record = KeyRecord(**{**values, **changes})
        agency.seeds[record.kid] = seed
        return SignedKeyRecord.sign(record, agency.identity)

    def append_key(
        self, signed: SignedKeyRecord, caller: str = B, request_id: str = ""
    ) -> ledger_pb2.Receipt:
        request = ledger_pb2.AppendKeyRequest(
            request_id=request_id or new_request_id(),
            record=signed.record_bytes,
            signature=signed.signature,
        )
        receipt = self.ledger("agency", caller).AppendKey(request).receipt
        known = self.agencies[caller].records
        if signed not in known:
            known.append(signed)
        return receipt

    def set_up(self) -> World:
        """Agencies enrolled, a protocol between ``A`` and ``B``, a key of ``B``'s."""
        for name in self.agencies:
            self.enrol(name)
        self.register_protocol(self.sign_protocol(self.protocol()))
        self.append_key(self.key_record(B))
        return self

    # --- she -------------------------------------------------------------------------------------

    def new_card(self) -> Card:
        self._cards += 1
        body = f"{self._cards:011d}"
        digits = [int(d) for d in body]
        doubled = [
            d if i % 2 else (2 * d - 9 if d > 4 else 2 * d) for i, d in enumerate(digits[::-1])
        ]
        return Card(body + str(-sum(doubled) % 10))

    def register_subject(self, agency: str = A, card: Card | None = None) -> Card:
        card = card or self.new_card()
        self.agency(agency).RegisterSubject(
            pb.RegisterSubjectRequest(
                request_id=new_request_id(),
                subject_ref=ids.new_id(ENTROPY),
                card_number=card.number,
                pin=card.pin,
            )
        )
        return card

    def sign_in(self, card: Card) -> bytes:
        request = pb.OpenSessionRequest(card_number=card.number, pin=card.pin)
        return bytes(self.portal().OpenSession(request).session)

    def session(self) -> bytes:
        """Somebody new, signed in."""
        return self.sign_in(self.register_subject())

    def terms(self, categories: Sequence[str] = DEFAULT_CATEGORIES, **changes: Any) -> pb.Terms:
        values: dict[str, Any] = {
            "releasing_agency": A,
            "recipient_agency": B,
            "purpose": PURPOSE,
            "categories": list(categories),
            "notice_sha256": NOTICE,
            "language": "es",
            "given_how": "read",
            "present": "alone",
        }
        return pb.Terms(**{**values, **changes})

    def grant(self, session: bytes, terms: pb.Terms | None = None) -> str:
        request = pb.GrantRequest(
            request_id=new_request_id(), session=session, terms=terms or self.terms()
        )
        return str(self.portal().Grant(request).grant.grant)

    def stop_grant(
        self, session: bytes, grant: str, mode: pb.StopMode.ValueType = pb.STOP_MODE_STOP
    ) -> pb.StopGrantResponse:
        request = pb.StopGrantRequest(
            request_id=new_request_id(), session=session, grant=grant, mode=mode
        )
        return self.portal().StopGrant(request)

    def resume_grant(self, session: bytes, grant: str) -> pb.ResumeGrantResponse:
        request = pb.ResumeGrantRequest(request_id=new_request_id(), session=session, grant=grant)
        return self.portal().ResumeGrant(request)

    # --- a referral ------------------------------------------------------------------------------

    def header(self, grant: str, **changes: Any) -> Header:
        sender = changes.get("sender", A)
        values: dict[str, Any] = {
            "referral": ids.new_id(ENTROPY),
            "grant": grant,
            "sender": sender,
            "sender_key": self.agencies[sender].key_id,
            "recipient": B,
            "recipient_key": self.agencies[B].records[-1].record.kid,
            "purpose": PURPOSE,
            "service": "svc-1",
            "urgency": "normal",
            "created": self.now,
            "not_after": self.now + 30 * DAY_S,
        }
        return Header(**{**values, **changes})

    def seal(
        self,
        grant: str,
        categories: Sequence[str] = DEFAULT_CATEGORIES,
        record: SignedKeyRecord | None = None,
        **changes: Any,
    ) -> Sealed:
        """What ``A``'s client would make: one part for each category, sealed to ``B``."""
        record = record or self.agencies[B].records[-1]
        header = self.header(grant, **changes)
        parts = [
            sealing.seal_part(
                header,
                PartLabel(number, category, stage_of(category), 1, 1024),
                f"content of {category}".encode(),
                record.record.public,
                ENTROPY,
            )
            for number, category in enumerate(categories)
        ]
        manifest = Manifest(header, tuple(p.part for p in parts))
        return Sealed(
            SignedManifest.sign(manifest, self.agencies[header.sender].identity),
            manifest,
            tuple(p.inner_wrap for p in parts),
            tuple(p.ciphertext for p in parts),
            record,
        )

    def authorise_request(
        self, sealed: Sealed, request_id: str = ""
    ) -> pb.AuthorizeReferralRequest:
        return pb.AuthorizeReferralRequest(
            request_id=request_id or new_request_id(),
            manifest=sealed.signed.manifest_bytes,
            signature=sealed.signed.signature,
            inner_wraps=sealed.inner_wraps,
            recipient_key_record=sealed.record.record_bytes,
            recipient_key_signature=sealed.record.signature,
        )

    def authorise(self, sealed: Sealed, caller: str = A, request_id: str = "") -> Sent:
        done = self.agency(caller).AuthorizeReferral(self.authorise_request(sealed, request_id))
        return Sent(sealed, tuple(done.outer_wraps), done.token, done.receipt)

    def send(self, grant: str, categories: Sequence[str] = DEFAULT_CATEGORIES) -> Sent:
        return self.authorise(self.seal(grant, categories))

    def signed_answer(
        self, sealed: Sealed, answer: str = ACCEPT, reason: str = "", **changes: Any
    ) -> SignedAnswer:
        by = changes.pop("by", A if answer == "WITHDRAW" else B)
        values: dict[str, Any] = {
            "answer": answer,
            "manifest": sealed.digest,
            "referral": sealed.referral,
            "agency": by,
            "reason": reason,
            "at": self.now,
        }
        key = changes.pop("key", self.agencies[by].identity)
        return SignedAnswer.sign(Answer(**{**values, **changes}), key)

    def record_answer(
        self, signed: SignedAnswer, caller: str = B, request_id: str = ""
    ) -> pb.RecordAnswerResponse:
        request = pb.RecordAnswerRequest(
            request_id=request_id or new_request_id(),
            answer=signed.answer_bytes,
            signature=signed.signature,
        )
        return self.agency(caller).RecordAnswer(request)

    def accept(self, sent: Sent) -> pb.RecordAnswerResponse:
        return self.record_answer(self.signed_answer(sent.sealed))

    def decline(self, sent: Sent) -> pb.RecordAnswerResponse:
        return self.record_answer(self.signed_answer(sent.sealed, "DECLINE", "no_capacity"))

    def withdraw(self, sent: Sent) -> pb.RecordAnswerResponse:
        signed = self.signed_answer(sent.sealed, "WITHDRAW", "other_service_better")
        return self.record_answer(signed, A)

    def release_request(
        self, sent: Sent, category: str = "CARD", outer_wrap: bytes | None = None, **changes: Any
    ) -> pb.ReleaseKeyRequest:
        part = changes.pop("part", None)
        key = changes.pop("key", self.agencies[B].identity)
        if part is None:
            part = sent.sealed.part(category)
        values: dict[str, Any] = {
            "manifest": sent.sealed.digest,
            "referral": sent.sealed.referral,
            "part": part,
            "recipient": B,
            "worker_ref": "worker-7",
            "request_id": new_request_id(),
        }
        signed = SignedReleaseRequest.sign(ReleaseRequest(**{**values, **changes}), key)
        return pb.ReleaseKeyRequest(
            request=signed.request_bytes,
            signature=signed.signature,
            outer_wrap=sent.outer_wraps[part] if outer_wrap is None else outer_wrap,
        )

    def release(self, sent: Sent, category: str = "CARD", **changes: Any) -> pb.ReleaseKeyResponse:
        return self.agency(B).ReleaseKey(self.release_request(sent, category, **changes))

    def open(self, sent: Sent, category: str, inner_wrap: bytes) -> bytes:
        """The content of a part, as the recipient opens it."""
        part = sent.sealed.part(category)
        manifest = sent.sealed.manifest
        seed = self.agencies[B].seeds[manifest.header.recipient_key]
        return sealing.open_part(
            manifest.header,
            manifest.parts[part].label,
            sent.sealed.ciphertexts[part],
            inner_wrap,
            seed,
        )

    # --- looking in ------------------------------------------------------------------------------

    def category_key(self, grant: str, category: str) -> bytes | None:
        """The key of one category of a grant, as only consent can open it."""
        with begin_read(self.app.context.engine) as connection:
            return self.app.context.keks.open_key(connection, grant, category)

    @property
    def size(self) -> int:
        """How many entries the ledger has."""
        return self.app.context.writer.head.size


@contextmanager
def refused(reason: Reason, *, by: World | None = None) -> Iterator[None]:
    """The block is refused for ``reason``; with ``by``, that world's ledger did not grow."""
    size = by.size if by is not None else 0
    with pytest.raises(SafehandError) as caught:
        yield
    assert caught.value.reason is reason, caught.value
    if by is not None:
        assert by.size == size


def in_background(work: Callable[[], T]) -> Callable[[], T]:
    """Start ``work`` in a thread; the result waits for it and returns or raises what it did."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(work)
    pool.shutdown(wait=False)
    return lambda: future.result(PATIENCE_S)


def wait_for(condition: Callable[[], bool]) -> None:
    """Return when ``condition`` holds; fails after ``PATIENCE_S``."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)
