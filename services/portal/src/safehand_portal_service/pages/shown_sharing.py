"""A sharing as her pages show it: from consent's message to lines of text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp
from markupsafe import Markup
from safehand.consent.v1 import portal_pb2
from safehand.consent.v1.grant_pb2 import GrantState
from safehand_core.words import CARD, CATEGORIES

from safehand_portal_service.words import Words

ON: Final = GrantState.GRANT_STATE_ACTIVE
STOPPED: Final = GrantState.GRANT_STATE_STOPPED


@dataclass(frozen=True, slots=True)
class Got:
    """One kind of information that was opened, and when."""

    what: Markup
    lines: tuple[Markup, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """One sharing in her language; absent lines are empty.

    Attributes:
        state: key of its state's text.
        tone: ``on``, ``soon``, ``ask``, ``off`` or ``end``: how its chip looks.
        on: whether it is on, so that it can be stopped.
        undo_until: day and time; empty where a stop cannot be taken back.
        confirm_by: until when she is asked whether it is right; empty where nothing is asked.
    """

    number: str
    name: str
    releasing: str
    state: str
    tone: str
    on: bool
    stopped: bool
    guardian: bool
    what: tuple[Markup, ...]
    why: Markup
    given: Markup
    until: Markup
    last_look: Markup
    stopped_at: Markup
    stopped_by: str
    undo_until: Markup
    ended_at: Markup
    end_cause: str
    written_by: str
    medium: str
    confirm_by: Markup
    got: tuple[Got, ...]


def shown(words: Words, sharing: portal_pb2.Sharing) -> Shown:
    """``sharing`` in her language."""
    state, tone = _state(sharing)

    told = {field.name: value.seconds for field, value in sharing.ListFields() if _is_time(field)}

    def day(name: str) -> Markup:
        return words.date(told[name]) if name in told else Markup()

    def when(name: str) -> Markup:
        return words.when(told[name]) if name in told else Markup()

    return Shown(
        number=sharing.number,
        name=sharing.recipient_name,
        releasing=sharing.releasing_name,
        state=state,
        tone=tone,
        on=sharing.state == ON,
        stopped=sharing.state == STOPPED,
        guardian=sharing.waits_for_guardian and sharing.state == ON,
        what=tuple(kinds(words, sharing.categories)),
        why=words.purpose(sharing.purpose),
        given=day("issued_at"),
        until=day("expires_at"),
        last_look=day("last_look_at"),
        stopped_at=when("stopped_at"),
        stopped_by=sharing.stopped_by,
        undo_until=when("undo_until") if sharing.state == STOPPED else Markup(),
        ended_at=when("ended_at"),
        end_cause=sharing.end_cause,
        written_by=sharing.recorded_by_name,
        medium=sharing.medium,
        confirm_by=day("confirm_by") if sharing.state == ON else Markup(),
        got=tuple(_got(words, one) for one in sharing.got),
    )


def kinds(words: Words, codes: Iterable[str]) -> list[Markup]:
    """Kinds of information in plain words, in one order everywhere, the basic facts last."""
    return [words.category(code) for code in ordered(codes)]


def ordered(codes: Iterable[str]) -> list[str]:
    """Codes in the order of the switches; CARD, which always goes along, last."""
    known = [code for code in CATEGORIES if code != CARD]
    known.append(CARD)
    wanted = set(codes)
    return [code for code in known if code in wanted] + sorted(wanted - set(known))


def _is_time(field: FieldDescriptor) -> bool:
    message = field.message_type
    return message is not None and message.full_name == Timestamp.DESCRIPTOR.full_name


def _state(sharing: portal_pb2.Sharing) -> tuple[str, str]:
    if sharing.state == STOPPED:
        return "list.state.stopped", "off"
    if sharing.state != ON:
        return "list.state.ended", "end"
    if sharing.waits_for_guardian:
        return "list.state.guardian", "ask"
    if sharing.HasField("confirm_by"):
        return "list.state.written", "ask"
    if sharing.ends_soon:
        return "list.state.ends_soon", "soon"
    return "list.state.on", "on"


def _got(words: Words, got: portal_pb2.Got) -> Got:
    first, last = words.date(got.first_at.seconds), words.date(got.last_at.seconds)
    if first == last:
        lines: tuple[Markup, ...] = (words.t("list.got.once", date=first),)
    else:
        lines = (words.t("list.got.first", date=first), words.t("list.got.last", date=last))
    return Got(words.category(got.category), lines)
