"""Every method of every service, with a request of the right shape and many of wrong ones.

Walked from the descriptors, so that a new method or field is tested without a line here, and fails
where it has no sample or no rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import protovalidate
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from safehand.consent.v1 import consent_pb2, keys_pb2, ledger_pb2, portal_pb2
from safehand.notify.v1 import notify_pb2
from safehand.referral.v1 import directory_pb2, referral_pb2
from safehand_consent_service.policy import POLICY as CONSENT
from safehand_notify_service.policy import POLICY as NOTIFY
from safehand_referral_service.app import MAX_BYTES
from safehand_referral_service.policy import POLICY as REFERRAL
from safehand_rpc.checks import MESSAGE_BYTES

SERVED: Final[Mapping[str, tuple[ServiceDescriptor, ...]]] = {
    "consent": (
        consent_pb2.DESCRIPTOR.services_by_name["ConsentService"],
        ledger_pb2.DESCRIPTOR.services_by_name["LedgerService"],
        keys_pb2.DESCRIPTOR.services_by_name["KeyService"],
        portal_pb2.DESCRIPTOR.services_by_name["PortalService"],
    ),
    "referral": (
        referral_pb2.DESCRIPTOR.services_by_name["ReferralService"],
        directory_pb2.DESCRIPTOR.services_by_name["DirectoryService"],
    ),
    "notify": (notify_pb2.DESCRIPTOR.services_by_name["NotifyService"],),
}
POLICY: Final = {**CONSENT, **REFERRAL, **NOTIFY}


@dataclass(frozen=True, slots=True)
class Method:
    """One method; ``allowed``: the roles of the policy table; ``limit``: bytes of a request."""

    service: str
    path: str
    request: type[Message]
    streams: bool
    allowed: frozenset[str]
    limit: int

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[1]

    @property
    def role(self) -> str:
        """One role that may call it."""
        return min(self.allowed)


METHODS: Final = [
    Method(
        service,
        path := f"/{descriptor.full_name}/{method.name}",
        GetMessageClass(method.input_type),
        bool(method.server_streaming),
        POLICY[path],
        MAX_BYTES.get(path, MESSAGE_BYTES),
    )
    for service, descriptors in SERVED.items()
    for descriptor in descriptors
    for method in descriptor.methods
]

UUID: Final = "00000000-0000-4000-8000-000000000001"
SAMPLES: Final[Mapping[str, Any]] = {
    "request_id": UUID,
    "agency": "agency-zz",
    "releasing_agency": "agency-a",
    "recipient_agency": "agency-zz",
    "identity_key": bytes(32),
    "fingerprint": "0" * 64,
    "old_fingerprint": "0" * 64,
    "kid": "0" * 64,
    "display_name": "TEST name",
    "protocol": b"{}",
    "succession": b"{}",
    "signature_old": bytes(64),
    "signature_new": bytes(64),
    "signature_a": bytes(64),
    "signature_b": bytes(64),
    "signature": bytes(64),
    "subject_ref": "test-ref-none",
    "card_number": "000000000001",  # a wrong check digit
    "pin": "000000",
    "session": bytes(32),
    "new_pin": "000001",
    "worker_number": "00000000",
    "network": b"",
    "number": "0000000000",
    "organisation": "",
    "sharing": "",
    "grant": "0" * 32,
    "ask": "0" * 32,
    "days": 30,
    "part": 0,
    "category": "CARD",
    "code": "ZZZZZZZZ",
    "decision": 1,
    "worker_ref": "worker-none",
    "comprehension": "",
    "state": 1,
    "referral": "0" * 32,
    "mode": 1,
    "purpose": "legal",
    "categories": ["CARD"],
    "notice_sha256": "0" * 64,
    "language": "en",
    "given_how": "read",
    "present": "alone",
    "manifest": b"{}",
    "inner_wraps": [bytes(1168)],
    "recipient_key_record": b"{}",
    "recipient_key_signature": bytes(64),
    "answer": b"{}",
    "ack": b"{}",
    "ack_signature": bytes(64),
    "request": b"{}",
    "outer_wrap": bytes(1196),
    "record": b"{}",
    "token": "a.b.c",
    "ticket": "a.b.c",
    "confidential": True,
    "phone": "555-0101",
    "ciphertext": b"x",
    "outcome": "received_service",
    "second": b"{}",
    "reply": 1,
    "guardian": "0" * 32,
    "representative_code": "000000000001",  # a wrong check digit
    "representative": "0" * 32,
    "relation": "friend",
    "channel": "phone",
    "why": "",
    "code_word": "TEST word",
    "resume": b"{}",
    "alone_purposes": [],
    "organizations": ["none"],
    "source": "test-none",
    "name": "services.csv",
    "content": b"",
    "service": "test-none",
    "need": "",
    "area": "",
    "eligibility": "",
    "start": 0,
    "from_size": 1,
    "to_size": 1,
    "after": 0,
    "page_size": 0,
    "page_token": "",
    "index": 0,
    "leaf": b"",
    "proof": "",
    "salt": b"",
    "body": b"",
    "from_sequence": 10**9,
    "letter": 10**9,
    "up_to": 10**9,
    "numbers": [10**9],
}
"""A value of the right shape for every field name; nothing that exists."""

FREE: Final = {
    "cosign",
    "with_parts",
    "stolen",
    "overlap",
    "skip_bad",
    "expires_at",
    "erase_by",
    "later_at",
    "receipt",
    "shared_device",
    "confidential",
    "since_last",
    "refused_only",
    "free_first",
}
"""Fields without a rule of shape: switches, times, and the receipt, which its proof decides."""


def sample(kind: type[Message]) -> Any:
    """A request of the right shape about nothing that exists."""
    message = kind()
    for field in message.DESCRIPTOR.fields:
        if field.name in FREE - {"receipt"} or field.name == "age":
            continue
        _put(message, field)
    assert not protovalidate.collect_violations(message), message
    return message


def _put(message: Any, field: Any) -> None:
    if field.message_type is not None:
        nested = sample(GetMessageClass(field.message_type))
        if field.is_repeated:
            getattr(message, field.name).append(nested)
        else:
            getattr(message, field.name).CopyFrom(nested)
    elif field.is_repeated:
        getattr(message, field.name).extend(SAMPLES[field.name])
    else:
        setattr(message, field.name, SAMPLES[field.name])


def wrong(kind: type[Message]) -> Iterator[tuple[str, Any]]:
    """``(path of the field, request)``: the sample with one field of a wrong shape each."""
    for field in kind.DESCRIPTOR.fields:
        if field.name in FREE:
            continue
        found = list(_wrong_values(kind, field))
        assert found, f"{kind.DESCRIPTOR.full_name}.{field.name} takes any shape"
        yield from found


def _wrong_values(kind: type[Message], field: Any) -> Iterator[tuple[str, Any]]:
    for value in _candidates(field):
        message = sample(kind)
        message.ClearField(field.name)
        if field.is_repeated:
            getattr(message, field.name).extend(value)
        elif value is not None:
            setattr(message, field.name, value)
        if protovalidate.collect_violations(message):
            yield field.name, message
    if field.message_type is not None:
        for path, nested in wrong(GetMessageClass(field.message_type)):
            message = sample(kind)
            if field.is_repeated:
                getattr(message, field.name)[0].CopyFrom(nested)
                yield f"{field.name}[0].{path}", message
            else:
                getattr(message, field.name).CopyFrom(nested)
                yield f"{field.name}.{path}", message


def _candidates(field: Any) -> list[Any]:
    text = ["Maria Lopez", "x" * 9000, "../../etc/passwd", "0'; DROP TABLE leaf; --"]
    data = [b"x", b"x" * 20_000, b"x" * 3_100_000]
    if field.message_type is not None:
        one = sample(GetMessageClass(field.message_type))
        return [[], [one] * 40] if field.is_repeated else [None]
    if field.is_repeated:
        found: list[Any] = [[], list(SAMPLES[field.name]) * 70]
        return found + ([[value] for value in text] if field.type == field.TYPE_STRING else [])
    if field.type == field.TYPE_BYTES:
        return [None, *data]
    if field.type == field.TYPE_STRING:
        return [None, *text]
    if field.enum_type is not None:
        return [None, 99]
    return [-1, -(2**31), 151]
