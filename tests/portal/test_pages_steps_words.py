"""What a step says: the next actor and date, and every code in kind words."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from safehand.consent.v1.portal_pb2 import Step
from safehand.referral.v1 import referral_pb2 as pb
from safehand_core.words import DECLINE_REASONS, OUTCOMES
from safehand_portal_service.pages import shown_steps
from safehand_portal_service.words import Catalogues

ALL = Catalogues.load(allow_unreviewed=True)
TAGS = [language.tag for language in ALL.languages]
AT = 1_800_000_000
STEP = Step(
    number="0123456789",
    referral="ab" * 16,
    sharing="9876543210",
    sender_name="The haven",
    recipient_name="The clinic",
    purpose="health",
    sent_at=Timestamp(seconds=AT),
)
SENT, SEEN, YES = (
    pb.REFERRAL_STATE_SENT,
    pb.REFERRAL_STATE_ACKNOWLEDGED,
    pb.REFERRAL_STATE_ACCEPTED,
)
DONE, NO, BACK = (
    pb.REFERRAL_STATE_COMPLETED,
    pb.REFERRAL_STATE_DECLINED,
    pb.REFERRAL_STATE_WITHDRAWN,
)
OPEN = (SENT, pb.REFERRAL_STATE_DELIVERED, SEEN, YES)


def shown(tag: str = "en", **changed: Any) -> shown_steps.Shown:
    values: dict[str, Any] = {
        "referral": STEP.referral,
        "state": SENT,
        "service_name": "Night clinic",
        "next": pb.NEXT_ACTOR_RECIPIENT,
        "moments": [pb.StepMoment(state=SENT, at=Timestamp(seconds=AT))],
    }
    values.update(changed)
    view = pb.StepView(**values)
    return shown_steps.shown(ALL.words(tag), STEP, {view.referral: view})


def text(lines: Any) -> str:
    return " ".join(str(line.striptags()) for line in lines)


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("state", OPEN)
def test_each_open_step_says_who_is_next_and_by_when(tag: str, state: Any) -> None:
    dated = shown(tag, state=state, next_by=Timestamp(seconds=AT + 86_400))
    undated = shown(tag, state=state)
    date = ALL.words(tag).date(AT + 86_400)

    assert "The clinic" in text(dated.next)
    assert str(date) in text(dated.next)
    assert ALL.words(tag).t("steps.next.no_date") in undated.next
    assert not dated.over


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("reason", [*DECLINE_REASONS, "", "new_reason"])
@pytest.mark.parametrize("state", [NO, BACK])
def test_each_reason_is_a_sentence_of_its_own(tag: str, reason: str, state: Any) -> None:
    step = shown(tag, state=state, reason_code=reason)

    said = text(step.closed)
    assert step.over
    assert step.other
    assert len(step.closed) == 2
    assert reason == "" or reason not in said
    assert "_" not in said


def test_each_reason_differs_from_each_other() -> None:
    for state in (NO, BACK):
        said = {text(shown(state=state, reason_code=code).closed) for code in DECLINE_REASONS}
        assert len(said) == len(DECLINE_REASONS)


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("outcome", [*OUTCOMES, "", "new_outcome"])
def test_each_outcome_is_a_sentence(tag: str, outcome: str) -> None:
    step = shown(tag, state=DONE, outcome=outcome)

    assert text(step.closed)
    assert "_" not in text(step.closed)


def test_late_names_the_date_and_blames_nobody() -> None:
    step = shown(state=SEEN, late=True, next_by=Timestamp(seconds=AT))

    assert "They are late. The date was" in step.late
    assert "This is not because of you." in step.late
    assert "By" not in text(step.next)


def test_what_is_over_is_never_late() -> None:
    assert not shown(state=NO, late=True, next_by=Timestamp(seconds=AT)).late


def test_the_sender_is_next_where_the_key_was_lost() -> None:
    step = shown(state=YES, next=pb.NEXT_ACTOR_SENDER, reseal_asked_at=Timestamp(seconds=AT))

    assert text(step.next).startswith("Next: The haven sends it once more.")


def test_what_referral_does_not_know_was_not_sent_yet() -> None:
    step = shown_steps.shown(ALL.words("en"), STEP, {})

    assert step.stage == "steps.stage.ready"
    assert not step.going
    assert text(step.next).startswith("Next: The haven sends it.")
    assert [moment.text for moment in step.moments] == ["It was allowed to be sent."]


def test_without_referral_the_stage_is_not_guessed() -> None:
    step = shown_steps.shown(ALL.words("en"), STEP, None)

    assert step.stage == "steps.stage.unknown"
    assert not step.next
    assert not step.known
    assert not step.going


def test_a_state_of_a_later_version_is_not_guessed() -> None:
    step = shown(state=8)

    assert step.stage == "steps.stage.unknown"
    assert not step.going


def test_what_happened_is_told_in_order() -> None:
    moments = [
        pb.StepMoment(state=state, at=Timestamp(seconds=AT + number * 86_400))
        for number, state in enumerate((SENT, SEEN, YES))
    ]

    told = [str(moment.text.striptags()) for moment in shown(moments=moments).moments]

    assert told == [
        "It was allowed to be sent.",
        "The haven sent it to The clinic.",
        "The clinic says that they got it.",
        "The clinic said yes.",
    ]


@pytest.mark.parametrize("tag", TAGS)
def test_no_person_is_claimed_where_a_tool_may_have_said_it(tag: str) -> None:
    """``safehand referral receive`` fetches, confirms and acknowledges in one go."""
    words = ALL.words(tag)
    said = f"{words.t('steps.stage.seen')} {words.t('steps.at.seen', name='')}"

    for claim in ("person", "seen", "vieron", "lo vio", "شخص", "طّلع"):
        assert claim not in said.lower()


def test_stopped_sharing_is_told_and_the_step_goes_on() -> None:
    step = shown(state=YES, sharing_stopped=True)

    assert step.stopped
    assert step.going
    assert step.stage == "steps.stage.yes"
