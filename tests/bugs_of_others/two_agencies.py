"""One person, known to two agencies that each send her to a third; both do all that they can."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message
from safehand.consent.v1 import (
    asks_pb2,
    consent_pb2_grpc,
    explain_pb2,
    ledger_pb2,
    recorded_pb2,
    stops_pb2,
)
from safehand.consent.v1 import consent_pb2 as pb
from safehand.events.v1 import events_pb2
from safehand.referral.v1 import (
    directory_pb2,
    directory_pb2_grpc,
    referral_pb2,
    referral_pb2_grpc,
)
from safehand_core import ids
from safehand_formats.record import Record, RecordedTerms, SignedRecord

from tests.bugs_of_others.identifiers import Heard
from tests.consent.release.world import (
    DAY_S,
    ENTROPY,
    NOTICE,
    PURPOSE,
    A,
    B,
    C,
    Card,
    Sent,
    World,
    new_request_id,
)
from tests.keys.both import Both

ASKED: Final = {
    "RegisterSubject", "AskConsent", "ListAsks", "ListAgencyGrants", "AuthorizeReferral",
    "CreateReferral", "GetReferral", "ListReferrals", "RecordGrant", "StopForHer", "Explain",
}  # fmt: skip
"""What each of the two calls about her."""


@dataclass(frozen=True)
class Stay:
    """What one agency knows her by."""

    reference: str
    grant: str
    sent: Sent


def serve_her(both: Both, heard: Heard) -> dict[str, Stay]:
    """Everything about her, at ``A`` and at ``C``; what they are told by events too."""
    world, card = both.consent, both.consent.new_card()
    _introduce(both, C)
    stays = {}
    for agency in (A, C):
        reference = ids.new_id(ENTROPY)
        world.agency(agency).RegisterSubject(
            pb.RegisterSubjectRequest(
                request_id=new_request_id(),
                subject_ref=reference,
                card_number=card.number,
                pin=card.pin,
            )
        )
        session = world.sign_in(card)
        _asks_her(world, agency, reference, session)
        grant = world.grant(session, world.terms(releasing_agency=agency))
        sent = world.authorise(world.seal(grant, sender=agency), agency)
        stays[agency] = Stay(reference, grant, sent)
        _refers(both, agency, sent)
        _stops(world, agency, card, reference)
        stub = world.agency(agency)
        stub.ListAgencyGrants(pb.ListAgencyGrantsRequest())
        opening = explain_pb2.OpenQuestion(
            referral=sent.sealed.referral, part=sent.sealed.part("NAME")
        )
        stub.Explain(explain_pb2.ExplainRequest(open=opening))
    _events(both, heard)
    return stays


def _introduce(both: Both, name: str) -> None:
    """The third agency, to both services, with a protocol of its own."""
    world = both.consent
    signed = world.sign_protocol(world.protocol(name, B))
    world.register_protocol(signed, caller=name)
    operator = directory_pb2_grpc.DirectoryServiceStub(both.channel("operator", "referral"))
    operator.RegisterAgency(
        directory_pb2.RegisterAgencyRequest(
            request_id=new_request_id(),
            agency=name,
            display_name=name,
            identity_key=world.agencies[name].public,
            organizations=["o-c"],
        )
    )
    directory_pb2_grpc.DirectoryServiceStub(both.channel("agency", name)).PublishProtocol(
        directory_pb2.PublishProtocolRequest(
            request_id=new_request_id(),
            protocol=directory_pb2.SignedProtocol(
                protocol=signed.protocol_bytes,
                signature_a=signed.signature_a,
                signature_b=signed.signature_b,
            ),
        )
    )


def _asks_her(world: World, agency: str, reference: str, session: bytes) -> None:
    """She says no."""
    asked = world.agency(agency).AskConsent(
        asks_pb2.AskConsentRequest(
            request_id=new_request_id(),
            subject_ref=reference,
            releasing_agency=agency,
            recipient_agency=B,
            purpose=PURPOSE,
            categories=["NAME"],
            days=30,
            notice_sha256=NOTICE,
            language="es",
            worker_ref=f"worker-at-{agency}",
        )
    )
    shown = asks_pb2.Shown(notice_sha256=NOTICE, language="es", given_how="read", present="alone")
    world.portal().AnswerQuestion(
        asks_pb2.AnswerQuestionRequest(
            request_id=new_request_id(),
            session=session,
            ask=asked.ask.ask,
            decision=asks_pb2.DECISION_NO,
            shown=shown,
        )
    )
    world.agency(agency).ListAsks(asks_pb2.ListAsksRequest())


def _refers(both: Both, agency: str, sent: Sent) -> None:
    stub = referral_pb2_grpc.ReferralServiceStub(both.channel("agency", agency))
    parts = zip(sent.sealed.ciphertexts, sent.outer_wraps, strict=True)
    stub.CreateReferral(
        referral_pb2.CreateReferralRequest(
            request_id=new_request_id(),
            token=sent.token,
            manifest=sent.sealed.signed.manifest_bytes,
            signature=sent.sealed.signed.signature,
            parts=[referral_pb2.SealedPart(ciphertext=c, outer_wrap=w) for c, w in parts],
        )
    )
    both.accept(sent)
    for category in ("CARD", "NAME"):
        both.consent.release(sent, category)
    stub.GetReferral(referral_pb2.GetReferralRequest(referral=sent.sealed.referral))
    stub.ListReferrals(referral_pb2.ListReferralsRequest())


def _stops(world: World, agency: str, card: Card, reference: str) -> None:
    """A worker writes down a yes, and later a stop, by the card that both know."""
    now = world.now
    terms = RecordedTerms(
        agency, B, PURPOSE, ("CARD", "NAME"), now + 60 * DAY_S, now + 60 * DAY_S, NOTICE,
        "es", "heard", "with_worker",
    )  # fmt: skip
    worker = f"worker-at-{agency}"
    signed = SignedRecord.sign(
        Record(agency, worker, reference, "paper", terms, new_request_id(), now),
        world.agencies[agency].identity,
    )
    world.agency(agency).RecordGrant(
        recorded_pb2.RecordGrantRequest(record=signed.record_bytes, signature=signed.signature)
    )
    world.agency(agency).StopForHer(
        stops_pb2.StopForHerRequest(
            request_id=new_request_id(),
            worker_ref=worker,
            channel="phone",
            card_number=card.number,
        )
    )


def _events(both: Both, heard: Heard) -> None:
    """What notify would deliver to each of the two."""
    consent = consent_pb2_grpc.ConsentServiceStub(both.consent.channel("service", "notify"))
    referral = referral_pb2_grpc.ReferralServiceStub(both.channel("service", "notify"))
    told: set[str] = set()
    for events in (
        consent.ListEvents(pb.ListEventsRequest(page_size=1000)).events,
        referral.ListEvents(referral_pb2.ListEventsRequest(page_size=1000)).events,
    ):
        for event in events:
            told.add(event.audience)
            heard.hears(event.audience.partition("/")[2], event)
    assert {f"agency/{A}", f"agency/{C}"} <= told


def _statement(identifier: bytes, salt: bytes) -> bytes:
    return json.dumps({"her": f"refs/{identifier.hex()}", "salt": salt.hex() * 16}).encode()


def _jws(identifier: bytes, salt: bytes) -> str:
    body = base64.urlsafe_b64encode(_statement(identifier, salt)).decode().rstrip("=")
    return f"e30.{body}.{salt.hex()}"


HIDDEN: Final[dict[str, Callable[[bytes, bytes], Message]]] = {
    "field": lambda identifier, salt: pb.AuthorizeReferralResponse(
        outer_wraps=[salt * 32, identifier]
    ),
    "path": lambda identifier, salt: events_pb2.Event(resource=f"subjects/{identifier.hex()}"),
    "nested": lambda identifier, salt: pb.StopGrantResponse(
        stop_receipt=ledger_pb2.Receipt(leaf=salt * 40 + identifier + salt * 48)
    ),
    "statement": lambda identifier, salt: ledger_pb2.Receipt(body=_statement(identifier, salt)),
    "token": lambda identifier, salt: pb.AuthorizeReferralResponse(token=_jws(identifier, salt)),
}
"""An identifier in a message, with something else that is different each time."""
