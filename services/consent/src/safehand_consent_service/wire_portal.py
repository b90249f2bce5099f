"""Between what her pages show and messages: a sharing, a question, a look, a step."""

from __future__ import annotations

from collections.abc import Mapping

from safehand.consent.v1 import portal_pb2 as pb
from sqlalchemy import Connection

from safehand_consent_service import portal_sharing, wire, wire_asks
from safehand_consent_service.ask_row import Ask
from safehand_consent_service.drafts import Draft
from safehand_consent_service.portal_numbers import (
    ASK,
    GRANT,
    LOOK,
    ORGANISATION,
    REFERRAL,
    Numbers,
)
from safehand_consent_service.portal_seen import Seen
from safehand_consent_service.portal_sharing import Sharing
from safehand_consent_service.portal_steps import Step


def sharing(one: Sharing, numbers: Numbers) -> pb.Sharing:
    row = one.row
    message = pb.Sharing(
        number=numbers.of(GRANT, row.grant_id),
        releasing_name=one.names.get(row.releasing, ""),
        recipient_name=one.names.get(row.recipient, ""),
        purpose=row.purpose,
        categories=wire.categories(row),
        state=wire.state(one.standing.state),
        issued_at=wire.timestamp(row.issued_at),
        expires_at=wire.timestamp(row.expires_at),
        ends_soon=one.ends_soon,
        stopped_by=row.stop_by or "",
        end_cause=one.standing.end_cause,
        recorded_by_name=one.names.get(row.recorded_by or "", ""),
        medium=row.medium or "",
        waits_for_guardian=one.waits_for_guardian,
        got=[
            pb.Got(
                category=got.category,
                first_at=wire.timestamp(got.first_at),
                last_at=wire.timestamp(got.last_at),
                looks=got.looks,
            )
            for got in one.got
        ],
    )
    if row.stopped_at is not None:
        message.stopped_at.CopyFrom(wire.timestamp(row.stopped_at))
    if one.undo_until is not None:
        message.undo_until.CopyFrom(wire.timestamp(one.undo_until))
    if one.standing.ended_at is not None:
        message.ended_at.CopyFrom(wire.timestamp(one.standing.ended_at))
    if one.asks_her and row.confirm_by is not None:
        message.confirm_by.CopyFrom(wire.timestamp(row.confirm_by))
    if one.last_look_at is not None:
        message.last_look_at.CopyFrom(wire.timestamp(one.last_look_at))
    return message


def asked(connection: Connection, row: Ask, numbers: Numbers, now: int) -> pb.Asked:
    question = wire_asks.question(connection, row, now)
    return pb.Asked(
        number=numbers.of(ASK, row.ask_id),
        asker_name=question.asker_name,
        releasing_name=question.releasing_name,
        recipient_name=question.recipient_name,
        purpose=question.purpose,
        categories=question.categories,
        days=question.days,
        asked_at=question.asked_at,
        ends_at=question.ends_at,
        put_off=question.put_off,
        state=question.state,
    )


def draft(kept: Draft) -> pb.Draft:
    return pb.Draft(
        categories=kept.categories,
        days=kept.days,
        notice_sha256=kept.notice,
        kept_at=wire.timestamp(kept.kept_at),
    )


def seen(one: Seen, numbers: Numbers, names: Mapping[str, str]) -> pb.Seen:
    return pb.Seen(
        number=numbers.of(LOOK, one.item),
        at=wire.timestamp(one.at),
        organisation_name=names.get(one.agency, ""),
        category=one.category,
        purpose=one.grant.purpose,
        worker_ref=one.worker_ref,
        refused=wire.reason(one.refused),
        sharing=numbers.of(GRANT, one.grant.grant_id),
        allowed_at=wire.timestamp(one.grant.issued_at),
        allowed_by=portal_sharing.allowed_by(one.grant),
    )


def organisation(
    agency: str, numbers: Numbers, names: Mapping[str, str], heard: Mapping[str, int]
) -> pb.Organisation:
    message = pb.Organisation(number=numbers.of(ORGANISATION, agency), name=names.get(agency, ""))
    if agency in heard:
        message.heard_at.CopyFrom(wire.timestamp(heard[agency]))
    return message


def step(one: Step, numbers: Numbers, names: Mapping[str, str]) -> pb.Step:
    return pb.Step(
        number=numbers.of(REFERRAL, one.referral),
        referral=one.referral,
        sharing=numbers.of(GRANT, one.grant.grant_id),
        sender_name=names.get(one.sender, ""),
        recipient_name=names.get(one.recipient, ""),
        purpose=one.grant.purpose,
        sent_at=wire.timestamp(one.sent_at),
    )
