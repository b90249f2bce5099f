"""Why something was refused: the one enum, with its status, its sentence and its fix.

The same names are the proto enum ``safehand.common.v1.Reason`` (prefix ``REASON_``) and the
sections of ``docs/errors.md``; a test holds the three together.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    # what was sent
    MALFORMED = "MALFORMED"
    TOO_LARGE = "TOO_LARGE"
    DEADLINE_INVALID = "DEADLINE_INVALID"
    PAGE_TOKEN_INVALID = "PAGE_TOKEN_INVALID"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    # who sent it
    UNAUTHENTICATED = "UNAUTHENTICATED"
    NOT_ALLOWED = "NOT_ALLOWED"
    SESSION_INVALID = "SESSION_INVALID"
    SESSION_COVERED = "SESSION_COVERED"
    PIN_CHANGE_REQUIRED = "PIN_CHANGE_REQUIRED"
    SIGN_IN_FAILED = "SIGN_IN_FAILED"
    THROTTLED = "THROTTLED"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    # consent
    CONSENT_ENDED = "CONSENT_ENDED"
    CONSENT_MISSING = "CONSENT_MISSING"
    CONSENT_UNCONFIRMED = "CONSENT_UNCONFIRMED"
    SCOPE_EXCEEDED = "SCOPE_EXCEEDED"
    PURPOSE_MISMATCH = "PURPOSE_MISMATCH"
    EXPIRY_INVALID = "EXPIRY_INVALID"
    WINDOW_CLOSED = "WINDOW_CLOSED"
    RESUME_REFUSED = "RESUME_REFUSED"
    # agreements and keys
    PROTOCOL_MISSING = "PROTOCOL_MISSING"
    AGENCY_UNKNOWN = "AGENCY_UNKNOWN"
    KEY_UNKNOWN = "KEY_UNKNOWN"
    KEY_ENDS_TOO_SOON = "KEY_ENDS_TOO_SOON"
    KEY_SEQUENCE = "KEY_SEQUENCE"
    # manifest, parts, token
    MANIFEST_MISMATCH = "MANIFEST_MISMATCH"
    WRAP_INVALID = "WRAP_INVALID"
    TOKEN_INVALID = "TOKEN_INVALID"
    TOKEN_EXPIRED = "TOKEN_EXPIRED"
    SERVICE_NEEDS_EXCEEDED = "SERVICE_NEEDS_EXCEEDED"
    # the referral
    REFERRAL_CLOSED = "REFERRAL_CLOSED"
    STATE_CONFLICT = "STATE_CONFLICT"
    NOT_ACCEPTED = "NOT_ACCEPTED"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    NOT_FOUND = "NOT_FOUND"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    # the ledger and the service itself
    LEDGER_STARTING = "LEDGER_STARTING"
    LEDGER_ROLLED_BACK = "LEDGER_ROLLED_BACK"
    LEDGER_CORRUPT = "LEDGER_CORRUPT"
    PROOF_INVALID = "PROOF_INVALID"
    CLOCK_SUSPECT = "CLOCK_SUSPECT"
    UNAVAILABLE = "UNAVAILABLE"
    OVERLOADED = "OVERLOADED"
    INTERNAL = "INTERNAL"
    # setting up
    CONFIG_INVALID = "CONFIG_INVALID"
    PACKAGE_INVALID = "PACKAGE_INVALID"
    NOT_BUILT = "NOT_BUILT"


@dataclass(frozen=True, slots=True)
class ReasonInfo:
    """``status`` is the gRPC status code's name; ``message`` and ``fix`` are constant lines."""

    status: str
    message: str
    fix: str


def _r(status: str, message: str, fix: str) -> ReasonInfo:
    return ReasonInfo(status, message, fix)


TABLE: dict[Reason, ReasonInfo] = {
    Reason.MALFORMED: _r(
        "INVALID_ARGUMENT",
        "the request is not well formed",
        "compare the named field with the API reference and send it again",
    ),
    Reason.TOO_LARGE: _r(
        "INVALID_ARGUMENT",
        "the request is larger than its limit",
        "send less in one request; docs/formats.md lists every limit",
    ),
    Reason.DEADLINE_INVALID: _r(
        "INVALID_ARGUMENT",
        "the deadline is missing, too short or too long",
        "set a deadline between 20 ms and 60 s",
    ),
    Reason.PAGE_TOKEN_INVALID: _r(
        "INVALID_ARGUMENT",
        "the page token does not belong to this request",
        "start again without a page token",
    ),
    Reason.REQUEST_ID_REUSED: _r(
        "ALREADY_EXISTS",
        "this request_id was used for a different request",
        "make a new request_id for every new request; repeat one only to repeat its request",
    ),
    Reason.UNAUTHENTICATED: _r(
        "UNAUTHENTICATED",
        "the client certificate names no known party",
        "connect with a certificate whose URI SAN is your SPIFFE id",
    ),
    Reason.NOT_ALLOWED: _r(
        "PERMISSION_DENIED",
        "this caller may not do this, or it might not exist",
        "call with the identity that owns the resource; docs/api.md says who may call what",
    ),
    Reason.SESSION_INVALID: _r(
        "UNAUTHENTICATED",
        "the session is over or was never valid",
        "sign in again with card and PIN",
    ),
    Reason.SESSION_COVERED: _r(
        "UNAUTHENTICATED",
        "the session is covered",
        "open it again with the PIN, or sign in again with card and PIN",
    ),
    Reason.PIN_CHANGE_REQUIRED: _r(
        "FAILED_PRECONDITION",
        "somebody else has seen this PIN",
        "choose a new PIN first; stopping works without",
    ),
    Reason.SIGN_IN_FAILED: _r(
        "UNAUTHENTICATED",
        "card and PIN do not match",
        "check both numbers and try again",
    ),
    Reason.THROTTLED: _r(
        "RESOURCE_EXHAUSTED",
        "too many tries for now",
        "wait for the time in RetryInfo and try again",
    ),
    Reason.SIGNATURE_INVALID: _r(
        "PERMISSION_DENIED",
        "a signature does not verify under the pinned key",
        "sign the canonical bytes with the agency key that was enrolled",
    ),
    Reason.CONSENT_ENDED: _r(
        "PERMISSION_DENIED",
        "sharing under this consent has ended",
        "stop here; she alone can resume it within its window, or give a new consent",
    ),
    Reason.CONSENT_MISSING: _r(
        "PERMISSION_DENIED",
        "no consent covers this, or it might not exist",
        "ask her for a consent that names this agency and purpose",
    ),
    Reason.CONSENT_UNCONFIRMED: _r(
        "FAILED_PRECONDITION",
        "somebody has yet to confirm this consent",
        "let her confirm it, or a second worker or her guardian where that is asked for",
    ),
    Reason.SCOPE_EXCEEDED: _r(
        "PERMISSION_DENIED",
        "this goes beyond the categories that were granted",
        "leave out what the consent does not name",
    ),
    Reason.PURPOSE_MISMATCH: _r(
        "PERMISSION_DENIED",
        "the purpose is not the one that was granted",
        "use the consent's own purpose, or ask her for another consent",
    ),
    Reason.EXPIRY_INVALID: _r(
        "INVALID_ARGUMENT",
        "the end date is outside what is allowed",
        "choose an end within 180 days, and an erase-by date not before it",
    ),
    Reason.WINDOW_CLOSED: _r(
        "FAILED_PRECONDITION",
        "the time in which this could be undone is over",
        "give a new consent instead",
    ),
    Reason.RESUME_REFUSED: _r(
        "PERMISSION_DENIED",
        "sharing was not resumed for her",
        "ask her for the word again; she herself can resume with card and PIN",
    ),
    Reason.PROTOCOL_MISSING: _r(
        "FAILED_PRECONDITION",
        "no live sharing protocol between these agencies covers this",
        "sign a protocol that names the purpose and the categories, and register it",
    ),
    Reason.AGENCY_UNKNOWN: _r(
        "FAILED_PRECONDITION",
        "the agency is not enrolled",
        "have the operator enrol the agency's identity key first",
    ),
    Reason.KEY_UNKNOWN: _r(
        "FAILED_PRECONDITION",
        "the key is not known here",
        "publish the key record and its ledger receipt first",
    ),
    Reason.KEY_ENDS_TOO_SOON: _r(
        "FAILED_PRECONDITION",
        "the recipient's key ends before the manifest does",
        "use the recipient's newest key, or an earlier not_after",
    ),
    Reason.KEY_SEQUENCE: _r(
        "FAILED_PRECONDITION",
        "the key record's sequence is not the next one",
        "list the agency's key records and use the last sequence plus one",
    ),
    Reason.MANIFEST_MISMATCH: _r(
        "INVALID_ARGUMENT",
        "the manifest and what came with it do not agree",
        "rebuild the manifest from the parts you send, sign it, and send both",
    ),
    Reason.WRAP_INVALID: _r(
        "PERMISSION_DENIED",
        "this wrapped key does not belong to this part",
        "send the outer wrap that came with this part, unchanged",
    ),
    Reason.TOKEN_INVALID: _r(
        "PERMISSION_DENIED",
        "the consent token is not valid for this request",
        "authorise the referral again and present the fresh token over the same certificate",
    ),
    Reason.TOKEN_EXPIRED: _r(
        "PERMISSION_DENIED",
        "the consent token's five minutes are over",
        "authorise the same manifest again: it returns a fresh token",
    ),
    Reason.SERVICE_NEEDS_EXCEEDED: _r(
        "PERMISSION_DENIED",
        "the service does not need this category",
        "leave the part out; the directory shows what a service may receive",
    ),
    Reason.REFERRAL_CLOSED: _r(
        "FAILED_PRECONDITION",
        "the referral was declined or withdrawn",
        "nothing more can be opened; make a new referral if it is still wanted",
    ),
    Reason.STATE_CONFLICT: _r(
        "FAILED_PRECONDITION",
        "it is not in a state that allows this",
        "read it again; docs/concepts.md has the table of a referral's states",
    ),
    Reason.NOT_ACCEPTED: _r(
        "FAILED_PRECONDITION",
        "identity parts open only after a signed acceptance",
        "accept the referral first",
    ),
    Reason.ALREADY_EXISTS: _r(
        "ALREADY_EXISTS",
        "it exists already with other content",
        "read what is there, or use a new id",
    ),
    Reason.NOT_FOUND: _r(
        "NOT_FOUND",
        "there is nothing here under that name",
        "list what there is, and check the name",
    ),
    Reason.QUOTA_EXCEEDED: _r(
        "RESOURCE_EXHAUSTED",
        "too many of this for now",
        "wait for the time in RetryInfo; keep what you opened in your own record",
    ),
    Reason.LEDGER_STARTING: _r(
        "UNAVAILABLE",
        "the ledger takes stops alone while it starts",
        "try again after the time in RetryInfo",
    ),
    Reason.LEDGER_ROLLED_BACK: _r(
        "FAILED_PRECONDITION",
        "the ledger is behind what it has already shown",
        "do not serve it: restore the newest copy; see docs/operations.md",
    ),
    Reason.LEDGER_CORRUPT: _r(
        "DATA_LOSS",
        "the ledger's tables do not agree with its signed head",
        "do not serve it: run safehand ledger fsck and restore from a replica",
    ),
    Reason.PROOF_INVALID: _r(
        "DATA_LOSS",
        "the ledger's proof does not verify",
        "believe nothing that came with it; tell your oversight body",
    ),
    Reason.CLOCK_SUSPECT: _r(
        "UNAVAILABLE",
        "the clock moved in a way that clocks do not",
        "an operator must check the clock and confirm it; stops still work",
    ),
    Reason.UNAVAILABLE: _r(
        "UNAVAILABLE",
        "a part that this needs does not answer",
        "try again shortly with the same request_id",
    ),
    Reason.OVERLOADED: _r(
        "RESOURCE_EXHAUSTED",
        "too much at once",
        "try again shortly with the same request_id",
    ),
    Reason.INTERNAL: _r(
        "INTERNAL",
        "something failed inside",
        "try again with the same request_id; the operator's log has the cause",
    ),
    Reason.CONFIG_INVALID: _r(
        "FAILED_PRECONDITION",
        "a setting or a file is missing or wrong",
        "correct the named setting and start again",
    ),
    Reason.PACKAGE_INVALID: _r(
        "INVALID_ARGUMENT",
        "the package has problems",
        "run safehand directory check on it, mend the rows, or import with --skip-bad",
    ),
    Reason.NOT_BUILT: _r(
        "UNIMPLEMENTED",
        "this is reserved and not built yet",
        "see docs/roadmap.md",
    ),
}
