"""What a worker took down for her, and a second person's word (docs/formats.md section 5).

Both are signed with the identity key of the worker's agency: the agency answers for who its
workers are. A record is never her consent by itself: it is provisional until she confirms it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand_core import canonical, ids, words
from safehand_core.canonical import Json

from safehand_formats import fields, signing
from safehand_formats.bodies import LANGUAGE_PATTERN, MAX_LANGUAGE_CHARS

CONTEXT: Final = "safehand/v1/record"
SECOND_CONTEXT: Final = "safehand/v1/second"
MAX_BYTES: Final = 4096

_KEYS: Final = (
    "v",
    "agency",
    "worker_ref",
    "subject_ref",
    "medium",
    "terms",
    "request_id",
    "at",
)
_TERMS_KEYS: Final = (
    "releasing",
    "recipient",
    "purpose",
    "categories",
    "expires_at",
    "erase_by",
    "notice",
    "language",
    "given_how",
    "present",
)
_SECOND_KEYS: Final = ("v", "agency", "worker_ref", "subject_ref", "record", "request_id", "at")


@dataclass(frozen=True, slots=True)
class RecordedTerms:
    """What she agreed to, as the worker wrote it down. Times are seconds since the epoch.

    ``categories``: code words, ascending; ``notice``: 64 hex. Raises MALFORMED.
    """

    releasing: str
    recipient: str
    purpose: str
    categories: tuple[str, ...]
    expires_at: int
    erase_by: int
    notice: str
    language: str
    given_how: str
    present: str

    def __post_init__(self) -> None:
        fields.shape(self.releasing, ids.AGENCY_PATTERN, "terms.releasing")
        fields.shape(self.recipient, ids.AGENCY_PATTERN, "terms.recipient")
        fields.one_of(self.purpose, words.PURPOSES, "terms.purpose")
        fields.word_set(self.categories, words.CATEGORIES, "terms.categories")
        fields.instant(self.expires_at, "terms.expires_at")
        fields.instant(self.erase_by, "terms.erase_by")
        fields.shape(self.notice, ids.HEX32_PATTERN, "terms.notice")
        fields.shape(self.language, LANGUAGE_PATTERN, "terms.language")
        fields.within(len(self.language), 2, MAX_LANGUAGE_CHARS, "terms.language")
        fields.one_of(self.given_how, words.CONSENT_GIVEN_HOW, "terms.given_how")
        fields.one_of(self.present, words.CONSENT_PRESENT, "terms.present")

    def value(self) -> dict[str, Json]:
        return {
            "releasing": self.releasing,
            "recipient": self.recipient,
            "purpose": self.purpose,
            "categories": list(self.categories),
            "expires_at": self.expires_at,
            "erase_by": self.erase_by,
            "notice": self.notice,
            "language": self.language,
            "given_how": self.given_how,
            "present": self.present,
        }

    @classmethod
    def from_value(cls, value: Json) -> RecordedTerms:
        obj = fields.exact(value, _TERMS_KEYS, "terms")
        return cls(
            releasing=fields.text(obj, "releasing"),
            recipient=fields.text(obj, "recipient"),
            purpose=fields.text(obj, "purpose"),
            categories=fields.texts(obj, "categories"),
            expires_at=fields.number(obj, "expires_at"),
            erase_by=fields.number(obj, "erase_by"),
            notice=fields.text(obj, "notice"),
            language=fields.text(obj, "language"),
            given_how=fields.text(obj, "given_how"),
            present=fields.text(obj, "present"),
        )


@dataclass(frozen=True, slots=True)
class Record:
    """``worker_ref`` of ``agency`` took down her consent to ``terms``, how ``medium`` says.

    ``subject_ref`` is the agency's own reference for her, ``request_id`` a UUID: one record, one
    grant. Raises MALFORMED.
    """

    agency: str
    worker_ref: str
    subject_ref: str
    medium: str
    terms: RecordedTerms
    request_id: str
    at: int

    def __post_init__(self) -> None:
        _who(self.agency, self.worker_ref, self.subject_ref, self.request_id, self.at)
        fields.one_of(self.medium, words.RECORDED_MEDIA, "medium")

    def encode(self) -> bytes:
        value: dict[str, Json] = {
            "v": 1,
            "agency": self.agency,
            "worker_ref": self.worker_ref,
            "subject_ref": self.subject_ref,
            "medium": self.medium,
            "terms": self.terms.value(),
            "request_id": self.request_id,
            "at": self.at,
        }
        return canonical.encode(value)

    @classmethod
    def decode(cls, data: bytes) -> Record:
        obj = fields.exact(canonical.decode(data, max_bytes=MAX_BYTES), _KEYS, "record")
        fields.version(obj)
        return cls(
            agency=fields.text(obj, "agency"),
            worker_ref=fields.text(obj, "worker_ref"),
            subject_ref=fields.text(obj, "subject_ref"),
            medium=fields.text(obj, "medium"),
            terms=RecordedTerms.from_value(obj["terms"]),
            request_id=fields.text(obj, "request_id"),
            at=fields.number(obj, "at"),
        )


@dataclass(frozen=True, slots=True)
class SignedRecord:
    """Record bytes with the agency's signature. Trust neither before ``verify``."""

    record_bytes: bytes
    signature: bytes

    @classmethod
    def sign(cls, record: Record, private: Ed25519PrivateKey) -> SignedRecord:
        data = record.encode()
        return cls(data, signing.sign(private, CONTEXT, data))

    @property
    def record(self) -> Record:
        """The decoded record; raises MALFORMED. Says nothing about who signed it."""
        return Record.decode(self.record_bytes)

    @property
    def digest(self) -> bytes:
        """32 bytes; the ``record`` of the GRANT body is its hex."""
        return fields.signed_digest(CONTEXT, self.record_bytes, self.signature)

    def verify(self, agency_public: bytes) -> Record:
        """The record, if ``agency_public`` (32 bytes) signed it; MALFORMED, SIGNATURE_INVALID."""
        record = self.record
        signing.verify(agency_public, CONTEXT, self.record_bytes, self.signature)
        return record


@dataclass(frozen=True, slots=True)
class Second:
    """``worker_ref`` of ``agency`` stands by the signed record whose digest is ``record`` (64 hex).

    ``subject_ref`` is this agency's own reference for her. Raises MALFORMED.
    """

    agency: str
    worker_ref: str
    subject_ref: str
    record: str
    request_id: str
    at: int

    def __post_init__(self) -> None:
        _who(self.agency, self.worker_ref, self.subject_ref, self.request_id, self.at)
        fields.shape(self.record, ids.HEX32_PATTERN, "record")

    def encode(self) -> bytes:
        value: dict[str, Json] = {
            "v": 1,
            "agency": self.agency,
            "worker_ref": self.worker_ref,
            "subject_ref": self.subject_ref,
            "record": self.record,
            "request_id": self.request_id,
            "at": self.at,
        }
        return canonical.encode(value)

    @classmethod
    def decode(cls, data: bytes) -> Second:
        obj = fields.exact(canonical.decode(data, max_bytes=MAX_BYTES), _SECOND_KEYS, "second")
        fields.version(obj)
        return cls(
            agency=fields.text(obj, "agency"),
            worker_ref=fields.text(obj, "worker_ref"),
            subject_ref=fields.text(obj, "subject_ref"),
            record=fields.text(obj, "record"),
            request_id=fields.text(obj, "request_id"),
            at=fields.number(obj, "at"),
        )


@dataclass(frozen=True, slots=True)
class SignedSecond:
    """The bytes of a second with the agency's signature. Trust neither before ``verify``."""

    second_bytes: bytes
    signature: bytes

    @classmethod
    def sign(cls, second: Second, private: Ed25519PrivateKey) -> SignedSecond:
        data = second.encode()
        return cls(data, signing.sign(private, SECOND_CONTEXT, data))

    @property
    def second(self) -> Second:
        """The decoded second; raises MALFORMED. Says nothing about who signed it."""
        return Second.decode(self.second_bytes)

    @property
    def digest(self) -> bytes:
        """32 bytes; the ``record`` of the CONFIRM body is its hex."""
        return fields.signed_digest(SECOND_CONTEXT, self.second_bytes, self.signature)

    def verify(self, agency_public: bytes) -> Second:
        """The second, if ``agency_public`` (32 bytes) signed it; MALFORMED, SIGNATURE_INVALID."""
        second = self.second
        signing.verify(agency_public, SECOND_CONTEXT, self.second_bytes, self.signature)
        return second


def _who(agency: str, worker_ref: str, subject_ref: str, request_id: str, at: int) -> None:
    fields.shape(agency, ids.AGENCY_PATTERN, "agency")
    fields.shape(worker_ref, ids.REF_PATTERN, "worker_ref")
    fields.shape(subject_ref, ids.REF_PATTERN, "subject_ref")
    fields.shape(request_id, ids.REQUEST_ID_PATTERN, "request_id")
    fields.instant(at, "at")
