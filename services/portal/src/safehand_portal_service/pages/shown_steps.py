"""A step as her pages show it: what consent allowed, and where referral says that it stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup
from safehand.consent.v1 import portal_pb2
from safehand.referral.v1 import referral_pb2
from safehand.referral.v1.referral_pb2 import NextActor, ReferralState

from safehand_portal_service.words import Words

_SENT: Final = ReferralState.REFERRAL_STATE_SENT
_DELIVERED: Final = ReferralState.REFERRAL_STATE_DELIVERED
_ACKNOWLEDGED: Final = ReferralState.REFERRAL_STATE_ACKNOWLEDGED
_ACCEPTED: Final = ReferralState.REFERRAL_STATE_ACCEPTED
_COMPLETED: Final = ReferralState.REFERRAL_STATE_COMPLETED
_DECLINED: Final = ReferralState.REFERRAL_STATE_DECLINED
_WITHDRAWN: Final = ReferralState.REFERRAL_STATE_WITHDRAWN

OVER: Final = frozenset({_COMPLETED, _DECLINED, _WITHDRAWN})

_STAGES: Final[dict[int, tuple[str, str, str]]] = {
    # state: (key of the stage's text, key of the moment's text, tone of the chip)
    _SENT: ("steps.stage.sent", "steps.at.sent", "soon"),
    _DELIVERED: ("steps.stage.arrived", "steps.at.arrived", "soon"),
    _ACKNOWLEDGED: ("steps.stage.seen", "steps.at.seen", "soon"),
    _ACCEPTED: ("steps.stage.yes", "steps.at.yes", "on"),
    _COMPLETED: ("steps.stage.done", "steps.at.done", "end"),
    _DECLINED: ("steps.stage.no", "steps.at.no", "end"),
    _WITHDRAWN: ("steps.stage.back", "steps.at.back", "end"),
}


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened."""

    at: Markup
    text: Markup


@dataclass(frozen=True, slots=True)
class Shown:
    """One step in her language.

    Attributes:
        stage: key of its stage's text.
        tone: how its chip looks.
        known: whether referral told where it stands, or that it was not sent yet.
        going: whether referral told that it was sent and is not over: of no other is it said.
        next: who does what, and by which date; empty where it is not known.
        late: what is said where a date is over; empty where none is.
        closed: why it ended: the one line that says what, then the reason in kind words.
        other: whether to offer another place.
    """

    number: str
    sharing: str
    name: str
    service: str
    why: Markup
    stage: str
    tone: str
    known: bool
    going: bool
    over: bool
    stopped: bool
    next: tuple[Markup, ...]
    late: Markup
    closed: tuple[Markup, ...]
    other: bool
    moments: tuple[Moment, ...]


def shown(
    words: Words,
    step: portal_pb2.Step,
    views: Mapping[str, referral_pb2.StepView] | None,
) -> Shown:
    """``step`` in her language; with ``views`` None its stage is not known right now."""
    view = None if views is None else views.get(step.referral)
    common: dict[str, Any] = {
        "number": step.number,
        "sharing": step.sharing,
        "name": step.recipient_name,
        "why": words.purpose(step.purpose),
    }
    allowed = Moment(words.when(step.sent_at.seconds), words.t("steps.at.allowed"))
    if view is None:
        known = views is not None
        return Shown(
            **common,
            service="",
            stage="steps.stage.ready" if known else "steps.stage.unknown",
            tone="soon",
            known=known,
            going=False,
            over=False,
            stopped=False,
            next=(
                words.t("steps.next.send", name=step.sender_name),
                words.t("steps.next.no_date"),
            )
            if known
            else (),
            late=Markup(),
            closed=(),
            other=False,
            moments=(allowed,),
        )
    stage, _, tone = _STAGES.get(view.state, ("steps.stage.unknown", "", "soon"))
    return Shown(
        **common,
        service=view.service_name,
        stage=stage,
        tone=tone,
        known=True,
        going=view.state in _STAGES and view.state not in OVER,
        over=view.state in OVER,
        stopped=view.sharing_stopped,
        next=_next(words, step, view),
        late=_late(words, view),
        closed=_closed(words, step, view),
        other=view.state in (_DECLINED, _WITHDRAWN),
        moments=(allowed, *_moments(words, step, view.moments)),
    )


def _next(words: Words, step: portal_pb2.Step, view: referral_pb2.StepView) -> tuple[Markup, ...]:
    if view.state in OVER or view.next == NextActor.NEXT_ACTOR_UNSPECIFIED:
        return (words.t("steps.next.none"),)
    if view.next == NextActor.NEXT_ACTOR_SENDER:
        key = "steps.next.again" if view.HasField("reseal_asked_at") else "steps.next.send"
        who = words.t(key, name=step.sender_name)
    elif view.state == _ACCEPTED:
        who = words.t("steps.next.help", name=step.recipient_name)
    else:
        who = words.t("steps.next.answer", name=step.recipient_name)
    if not view.HasField("next_by"):
        return (who, words.t("steps.next.no_date"))
    if view.late:
        return (who,)
    return (who, words.t("steps.next.by", date=words.date(view.next_by.seconds)))


def _late(words: Words, view: referral_pb2.StepView) -> Markup:
    if not view.late or view.state in OVER or not view.HasField("next_by"):
        return Markup()
    return words.t("steps.late", date=words.date(view.next_by.seconds))


def _closed(words: Words, step: portal_pb2.Step, view: referral_pb2.StepView) -> tuple[Markup, ...]:
    if view.state == _DECLINED:
        reason = _worded(words, "steps.why", view.reason_code)
        return (words.t("steps.could_not", name=step.recipient_name), reason)
    if view.state == _WITHDRAWN:
        reason = _worded(words, "steps.back", view.reason_code)
        return (words.t("steps.back.h", name=step.sender_name), reason)
    if view.state == _COMPLETED:
        return (_worded(words, "steps.outcome", view.outcome, "unknown"),)
    return ()


def _worded(words: Words, prefix: str, code: str, otherwise: str = "other") -> Markup:
    """A code word in kind words; an unknown one says as little as none."""
    key = f"{prefix}.{code}"
    return words.t(key if code and words.has(key) else f"{prefix}.{otherwise}")


def _moments(
    words: Words, step: portal_pb2.Step, moments: Iterable[referral_pb2.StepMoment]
) -> list[Moment]:
    found = []
    for moment in moments:
        key = _STAGES.get(moment.state, ("", "", ""))[1]
        if key:
            # Not every text names both; a value that a text does not use is left out.
            text = words.t(key, name=step.recipient_name, sender=step.sender_name)
            found.append(Moment(words.when(moment.at.seconds), text))
    return found
