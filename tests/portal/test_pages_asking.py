"""What she chose on the way through a question, as the forms carry it."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from safehand.consent.v1.portal_pb2 import Asked
from safehand_core.words import CATEGORIES
from safehand_portal_service.forms import Form
from safehand_portal_service.pages import asking
from safehand_portal_service.words import Catalogues

ALL = tuple(CATEGORIES)


@pytest.fixture(scope="module")
def catalogues() -> Catalogues:
    return Catalogues.load(allow_unreviewed=True)


def asked(*categories: str, days: int = 60, **changed: Any) -> Asked:
    values: dict[str, Any] = {
        "number": "0123456789",
        "asker_name": "The clinic",
        "releasing_name": "The haven",
        "recipient_name": "The clinic",
        "purpose": "health",
        "categories": categories or ("CARD", "NAME", "CONTACT"),
        "days": days,
        "ends_at": Timestamp(seconds=1_800_000_000),
    }
    values.update(changed)
    return Asked(**values)


def form(values: dict[str, list[str]]) -> Form:
    return Form([(name, value) for name, given in values.items() for value in given])


def read(values: dict[str, list[str]], question: Asked) -> asking.Choices:
    return asking.read(form(values), question)


def checked(values: dict[str, list[str]]) -> tuple[str, tuple[str, ...]]:
    return asking.checked(form(values))


def test_everything_is_off_until_she_turns_it_on() -> None:
    choices = read({}, asked())

    assert choices.categories == ()
    assert asking.given(asked(), choices) == ["CARD"]
    assert choices.errors == ()


def test_only_what_was_asked_for_can_be_turned_on() -> None:
    choices = read({"kind": ["NAME", "HEALTH"]}, asked())

    assert choices.categories == ()
    assert choices.errors == ("asked.error.group",)


def test_the_group_never_holds_what_goes_on_its_own_alone() -> None:
    question = asked(*ALL)

    choices = read({"group": ["plain"]}, question)

    assert not {"LOCATION", "EVENTS", "PAPERS"} & set(choices.categories)
    assert {"NAME", "CONTACT", "HEALTH", "CHILDREN"} <= set(choices.categories)


@pytest.mark.parametrize("group", ["LOCATION", "all", "PAPERS", "plain,EVENTS"])
def test_a_crafted_group_gives_nothing(group: str) -> None:
    choices = read({"group": [group], "kind": ["NAME"]}, asked(*ALL))

    assert choices.categories == ()
    assert choices.errors == ("asked.error.group",)


def test_a_group_that_was_not_offered_gives_nothing() -> None:
    assert read({"group": ["plain"]}, asked("CARD", "NAME")).categories == ()


def test_on_its_own_each_of_the_three_can_be_turned_on() -> None:
    choices = read({"kind": ["LOCATION", "PAPERS"]}, asked(*ALL))

    assert choices.categories == ("LOCATION", "PAPERS")


@pytest.mark.parametrize(
    ("end", "typed", "days"),
    [
        ("", "", 0),
        ("7", "", 7),
        ("30", "", 30),
        ("full", "", 60),
        ("other", "45", 45),
        ("other", "٤٥", 45),
        ("other", "۴۵", 45),
        ("", "12", 12),
        ("other", "60", 60),
    ],
)
def test_an_end_that_she_may_choose(end: str, typed: str, days: int) -> None:
    choices = read({"end": [end], "days": [typed]}, asked())

    assert (choices.days, choices.errors) == (days, ())


@pytest.mark.parametrize(
    ("end", "typed"),
    [("90", ""), ("other", "61"), ("other", "181"), ("other", "0"), ("other", ""), ("other", "x")],
)
def test_an_end_beyond_what_was_asked_for_is_refused(end: str, typed: str) -> None:
    choices = read({"end": [end], "days": [typed]}, asked())

    assert choices.days == 0
    assert choices.errors == ("asked.error.days",)


@pytest.mark.parametrize(("days", "default"), [(60, 60), (90, 90), (120, 90), (180, 90)])
def test_choosing_nothing_is_ninety_days_or_what_was_asked_for(days: int, default: int) -> None:
    assert asking.default_days(asked(days=days)) == default
    assert all(one < days for one in asking.offered_days(asked(days=days)))


def test_never_more_than_180_days_whatever_was_asked_for() -> None:
    assert read({"end": ["other"], "days": ["181"]}, asked(days=365)).errors


def test_the_check_explains_again_what_was_not_right() -> None:
    right = {"q_who": ["one"], "q_no": ["same"], "q_stop": ["yes"]}

    assert checked({}) == ("", ())
    assert checked(right) == ("understood", ())
    assert checked({"q_who": ["one"]}) == ("understood", ())
    assert checked({**right, "q_no": ["less"]}) == ("explained_again", ("no",))


def test_unknown_words_of_a_form_count_for_nothing() -> None:
    choices = read({"present": ["crowd"], "check": ["passed"]}, asked())

    assert (choices.present, choices.check) == ("", "")


@pytest.mark.parametrize("tag", ["en", "es", "ar"])
def test_the_notice_is_hashed_word_for_word(catalogues: Catalogues, tag: str) -> None:
    if not catalogues.known(tag):
        pytest.skip("this language is not there yet")
    made = asking.notice(catalogues.words(tag), asked())
    lines = [*made.first, *made.what, *made.behind, *made.more, *made.need]
    text = "\n".join(line.striptags() for line in lines)

    assert made.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert "The clinic" in text


def test_another_question_has_another_notice(catalogues: Catalogues) -> None:
    english = catalogues.words("en")
    of = [
        asking.notice(english, one).sha256
        for one in (
            asked(),
            asked(days=61),
            asked("CARD", "NAME"),
            asked(purpose="legal"),
            asked(recipient_name="The clinics", asker_name="The clinics"),
            asked(asker_name="The haven"),
            asked(releasing_name="The other"),
            asked(ends_at=Timestamp(seconds=1_800_100_000)),
        )
    ]

    assert len(set(of)) == len(of)


def test_a_name_cannot_be_markup(catalogues: Catalogues) -> None:
    made = asking.notice(
        catalogues.words("en"), asked(recipient_name="<b>x</b>", asker_name="<b>x</b>")
    )

    assert "<b>" not in made.first[0]
    assert "&lt;b&gt;" in made.first[0]
