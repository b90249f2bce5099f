"""What workers write down for her in these tests, and guardians with cards of their own."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand.consent.v1 import consent_pb2, guardians_pb2, recorded_pb2
from safehand_core.words import CARD
from safehand_formats.record import Record, RecordedTerms, Second, SignedRecord, SignedSecond

from tests.consent.world import DAY, NOTICE, World, card

WORKER, OTHER = "worker-one", "worker-two"
YES, NO, NOT_SURE = (recorded_pb2.REPLY_YES, recorded_pb2.REPLY_NO, recorded_pb2.REPLY_NOT_SURE)
GUARDIAN_PIN = "112233"


def terms(world: World, **changed: Any) -> RecordedTerms:
    """haven to legal, for housing, NAME and CONTACT, for 90 days."""
    now = world.clock.wall()
    values: dict[str, Any] = {
        "releasing": "haven",
        "recipient": "legal",
        "purpose": "housing",
        "categories": ("NAME", "CONTACT"),
        "expires_at": now + 90 * DAY,
        "erase_by": now + 120 * DAY,
        "notice": NOTICE,
        "language": "en",
        "given_how": "heard",
        "present": "with_worker",
    }
    values.update(changed)
    values["categories"] = tuple(sorted({*values["categories"], CARD}))
    return RecordedTerms(**values)


def signed_record(
    world: World,
    *,
    agency: str = "haven",
    ref: str = "her-at-haven",
    worker: str = WORKER,
    medium: str = "paper",
    request_id: str | None = None,
    at: int | None = None,
    key: Ed25519PrivateKey | None = None,
    **changed: Any,
) -> SignedRecord:
    record = Record(
        agency,
        worker,
        ref,
        medium,
        terms(world, **changed),
        request_id or world.request_id(),
        world.clock.wall() if at is None else at,
    )
    return SignedRecord.sign(record, key or world.keys[agency])


def file_record(world: World, signed: SignedRecord, caller: str = "haven") -> Any:
    return world.consent(caller).RecordGrant(
        recorded_pb2.RecordGrantRequest(record=signed.record_bytes, signature=signed.signature)
    )


def record(world: World, session: bytes, **what: Any) -> str:
    """A recorded grant of hers; its id. Its secret is remembered for the final fsck."""
    grant = str(file_record(world, signed_record(world, **what)).grant)
    world.secrets[grant] = world.receipt(session, grant).secret
    return grant


def signed_second(
    world: World,
    digest: str,
    *,
    agency: str = "haven",
    ref: str = "her-at-haven",
    worker: str = OTHER,
    request_id: str | None = None,
    at: int | None = None,
    key: Ed25519PrivateKey | None = None,
) -> SignedSecond:
    when = world.clock.wall() if at is None else at
    second = Second(agency, worker, ref, digest, request_id or world.request_id(), when)
    return SignedSecond.sign(second, key or world.keys[agency])


def file_second(world: World, signed: SignedSecond, caller: str = "haven") -> Any:
    return world.consent(caller).SecondGrant(
        recorded_pb2.SecondGrantRequest(second=signed.second_bytes, signature=signed.signature)
    )


def confirm(
    world: World,
    session: bytes,
    grant: str,
    reply: recorded_pb2.Reply.ValueType = YES,
    request_id: str | None = None,
) -> Any:
    return world.portal.ConfirmGrant(
        recorded_pb2.ConfirmGrantRequest(
            request_id=request_id or world.request_id(), session=session, grant=grant, reply=reply
        )
    )


def invalidate(world: World, session: bytes, grant: str, request_id: str | None = None) -> Any:
    return world.portal.StopGrant(
        consent_pb2.StopGrantRequest(
            request_id=request_id or world.request_id(),
            session=session,
            grant=grant,
            mode=consent_pb2.STOP_MODE_INVALIDATE,
        )
    )


def confirmations(world: World, session: bytes) -> list[recorded_pb2.Confirmation]:
    answer = world.portal.ListConfirmations(recorded_pb2.ListConfirmationsRequest(session=session))
    return list(answer.confirmations)


def bodies(world: World, session: bytes, grant: str) -> list[dict[str, Any]]:
    """What her receipt says, in order."""
    receipts = world.receipt(session, grant).receipts
    return [dict(world.opened(one).body) for one in receipts]


# --- guardians ----------------------------------------------------------------------------------


def set_cosign(
    world: World,
    agency: str = "haven",
    ref: str = "her-at-haven",
    *,
    cosign: bool = True,
    alone: tuple[str, ...] = (),
) -> None:
    world.consent(agency).SetCosign(
        guardians_pb2.SetCosignRequest(
            request_id=world.request_id(), subject_ref=ref, cosign=cosign, alone_purposes=alone
        )
    )


def register_guardian(
    world: World,
    number: int,
    agency: str = "haven",
    ref: str = "her-at-haven",
    pin: str = GUARDIAN_PIN,
    request_id: str | None = None,
) -> str:
    answer = world.consent(agency).RegisterGuardian(
        guardians_pb2.RegisterGuardianRequest(
            request_id=request_id or world.request_id(),
            subject_ref=ref,
            card_number=card(number),
            pin=pin,
        )
    )
    return str(answer.guardian)


def exclude_guardian(
    world: World, guardian: str = "", agency: str = "haven", ref: str = "her-at-haven"
) -> None:
    world.consent(agency).ExcludeGuardian(
        guardians_pb2.ExcludeGuardianRequest(
            request_id=world.request_id(), subject_ref=ref, guardian=guardian
        )
    )


def guardian_session(world: World, number: int, pin: str = GUARDIAN_PIN) -> bytes:
    answer = world.portal.OpenGuardianSession(
        guardians_pb2.OpenGuardianSessionRequest(card_number=card(number), pin=pin)
    )
    return bytes(answer.session)


def waiting(world: World, session: bytes) -> list[guardians_pb2.CosignRequest]:
    answer = world.portal.ListCosignRequests(
        guardians_pb2.ListCosignRequestsRequest(session=session)
    )
    return list(answer.requests)


def cosign(world: World, session: bytes, grant: str, request_id: str | None = None) -> None:
    world.portal.CosignGrant(
        guardians_pb2.CosignGrantRequest(
            request_id=request_id or world.request_id(), session=session, grant=grant
        )
    )


def guardians(world: World, session: bytes) -> guardians_pb2.ListGuardiansResponse:
    found: guardians_pb2.ListGuardiansResponse = world.portal.ListGuardians(
        guardians_pb2.ListGuardiansRequest(session=session)
    )
    return found
