"""What those who help her call: a worker that heard her, a friend with a code, two of the staff."""

from __future__ import annotations

from typing import Any

from safehand.consent.v1 import stops_pb2 as pb
from safehand_formats.resume import Resume, SignedResume

from tests.consent.world import World, card

WORKER = "worker-31"
SECOND = "worker-32"
WORD = "blue kettle"


def stop_for_her(
    world: World,
    agency: str = "haven",
    *,
    request_id: str | None = None,
    worker_ref: str = WORKER,
    channel: str = "phone",
    why: str = "",
    **whom: str,
) -> pb.StopForHerResponse:
    """``whom``: one of subject_ref, card_number, grant, representative_code."""
    answer: pb.StopForHerResponse = world.consent(agency).StopForHer(
        pb.StopForHerRequest(
            request_id=request_id or world.request_id(),
            worker_ref=worker_ref,
            channel=channel,
            why=why,
            **whom,
        )
    )
    return answer


def stop_as_representative(
    world: World, code: str, request_id: str | None = None
) -> pb.StopAsRepresentativeResponse:
    answer: pb.StopAsRepresentativeResponse = world.portal.StopAsRepresentative(
        pb.StopAsRepresentativeRequest(
            request_id=request_id or world.request_id(), representative_code=code
        )
    )
    return answer


def add(
    world: World, session: bytes, relation: str = "friend", request_id: str | None = None
) -> pb.AddRepresentativeResponse:
    answer: pb.AddRepresentativeResponse = world.portal.AddRepresentative(
        pb.AddRepresentativeRequest(
            request_id=request_id or world.request_id(), session=session, relation=relation
        )
    )
    return answer


def remove(
    world: World, session: bytes, representative: str, request_id: str | None = None
) -> None:
    world.portal.RemoveRepresentative(
        pb.RemoveRepresentativeRequest(
            request_id=request_id or world.request_id(),
            session=session,
            representative=representative,
        )
    )


def held(world: World, session: bytes) -> list[pb.Representative]:
    request = pb.ListRepresentativesRequest(session=session)
    return list(world.portal.ListRepresentatives(request).representatives)


def set_word(world: World, session: bytes, word: str = WORD, request_id: str | None = None) -> None:
    world.portal.SetCodeWord(
        pb.SetCodeWordRequest(
            request_id=request_id or world.request_id(), session=session, code_word=word
        )
    )


def resume_request(
    world: World, grant: str, word: str = WORD, *, key: str = "haven", **changed: Any
) -> pb.ResumeForHerRequest:
    """What haven would send; ``changed`` are fields of the signed message."""
    request_id = changed.pop("outer_request_id", None)
    values: dict[str, Any] = {
        "agency": "haven",
        "grant": grant,
        "worker_ref": WORKER,
        "second_ref": SECOND,
        "request_id": world.request_id(),
        "at": world.clock.wall(),
    }
    values.update(changed)
    signed = SignedResume.sign(Resume(**values), world.keys[key])
    return pb.ResumeForHerRequest(
        request_id=request_id or values["request_id"],
        resume=signed.resume_bytes,
        signature=signed.signature,
        code_word=word,
    )


def resume_for_her(
    world: World, grant: str, word: str = WORD, *, agency: str = "haven", **changed: Any
) -> pb.ResumeForHerResponse:
    request = resume_request(world, grant, word, key=agency, **{"agency": agency, **changed})
    answer: pb.ResumeForHerResponse = world.consent(agency).ResumeForHer(request)
    return answer


def lift_request(world: World, word: str = WORD, **changed: str) -> pb.LiftWaitRequest:
    """What haven would send about the one whom it knows as ``her-at-haven``."""
    values = {
        "request_id": world.request_id(),
        "subject_ref": "her-at-haven",
        "worker_ref": WORKER,
        "code_word": word,
    }
    return pb.LiftWaitRequest(**{**values, **changed})


def lift(
    world: World, word: str = WORD, *, agency: str = "haven", **changed: str
) -> pb.LiftWaitResponse:
    request = lift_request(world, word, **changed)
    answer: pb.LiftWaitResponse = world.consent(agency).LiftWait(request)
    return answer


def notes(world: World, session: bytes, **page: Any) -> list[pb.StopNote]:
    """Her whole list, newest first."""
    found: list[pb.StopNote] = []
    request = pb.ListStopsRequest(session=session, **page)
    while True:
        answer = world.portal.ListStops(request)
        found += answer.notes
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


def state(world: World, grant: str) -> tuple[Any, ...]:
    """``(state, who stopped it, final at)`` of a grant, from the database."""
    sql = "SELECT state, stop_by, final_at FROM consent_grant WHERE grant_id = ?"
    return world.rows(sql, grant)[0]


def leaf_kinds(world: World, grant: str) -> list[int]:
    sql = "SELECT kind FROM grant_leaf WHERE grant_id = ? ORDER BY leaf_index"
    return [int(row[0]) for row in world.rows(sql, grant)]


__all__ = [
    "SECOND",
    "WORD",
    "WORKER",
    "add",
    "card",
    "held",
    "leaf_kinds",
    "notes",
    "remove",
    "resume_for_her",
    "resume_request",
    "set_word",
    "state",
    "stop_as_representative",
    "stop_for_her",
]
