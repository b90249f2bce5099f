"""One question, put to her step by step: the words of its notice, and what she has chosen so far.

Between the steps the pages' own hidden fields carry it, and each of it is checked again at every
step. Every switch is off until she turns it on, herself or by asking for what she had (``drafts``).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup
from safehand.consent.v1 import portal_pb2
from safehand_core.words import CARD, CONSENT_PRESENT, SENSITIVE

from safehand_portal_service import digits
from safehand_portal_service.forms import Form
from safehand_portal_service.pages.shown_sharing import ordered
from safehand_portal_service.words import Words

DAYS: Final = (7, 30, 90)
"""Ends that are offered, in days, where fewer than what was asked for."""
DEFAULT_DAYS: Final = 90
"""Where she chooses nothing: the field's model releases lapse after so many days."""
MOST_DAYS: Final = 180
GROUP: Final = "plain"
"""The one group: everything that is asked for but ``SENSITIVE``, which never goes in a group."""
GROUP_FROM: Final = 3
"""From so many kinds on a group saves presses."""
SOMEONE: Final = "someone"
"""Who may read the screen is with her: nothing of the question is shown."""
UNDERSTOOD, AGAIN, PERSON = "understood", "explained_again", "wants_person"
CHECKS: Final = ("", UNDERSTOOD, AGAIN, PERSON)
RIGHT: Final = {"who": "one", "no": "same", "stop": "yes"}
"""Each question of the short check, and its right answer."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What explains the question: the lines that she reads, word for word."""

    first: tuple[Markup, ...]
    what: tuple[Markup, ...]
    behind: tuple[Markup, ...]
    more: tuple[Markup, ...]
    need: tuple[Markup, ...]
    """Other ways than sharing; the first line is their heading."""

    @property
    def sha256(self) -> str:
        """64 hex: over the lines in their order, UTF-8, joined by newlines, without markup."""
        lines = (*self.first, *self.what, *self.behind, *self.more, *self.need)
        return hashlib.sha256("\n".join(line.striptags() for line in lines).encode()).hexdigest()


def notice(words: Words, asked: portal_pb2.Asked) -> Notice:
    """The notice of ``asked`` in the language of ``words``: the same lines at every step."""
    name = asked.recipient_name
    card = words.category(CARD)
    if asked.asker_name == name:
        who = words.t("asked.who", name=name)
    else:
        who = words.t("asked.who.other", asker=asked.asker_name, name=name)
    kinds = [words.category(code) for code in ordered(asked.categories) if code != CARD]
    return Notice(
        first=(who, words.t("asked.what")),
        what=tuple(kinds or [card]),
        behind=(
            words.t("asked.why", purpose=words.purpose(asked.purpose)),
            words.n("asked.long", asked.days),
            words.t("asked.nothing"),
            words.t("asked.no_help"),
        ),
        more=(
            *((words.t("asked.more.card", card=card),) if kinds else ()),
            words.t("asked.more.from", name=asked.releasing_name),
            words.t("asked.more.may"),
            words.t("asked.more.onward"),
            words.t("asked.more.lock"),
            words.t("asked.more.seen"),
            words.t("asked.more.stop"),
            words.t("asked.more.kept"),
            words.t("asked.more.ends"),
            words.t("asked.more.silent"),
            words.t("asked.more.until", date=words.date(asked.ends_at.seconds)),
        ),
        need=(
            words.t("asked.need.h"),
            words.t("asked.need.text"),
            words.t("asked.need.self"),
            words.t("asked.need.call"),
            words.t("asked.need.go"),
        ),
    )


@dataclass(frozen=True, slots=True)
class Switches:
    """What can be turned on: on their own or in the group, and on their own alone."""

    ordinary: tuple[str, ...]
    single: tuple[str, ...]

    @property
    def group(self) -> bool:
        return len(self.ordinary) >= GROUP_FROM


def switches(asked: portal_pb2.Asked) -> Switches:
    """The switches of ``asked``; CARD is none, because it always goes along."""
    codes = [code for code in ordered(asked.categories) if code != CARD]
    return Switches(
        tuple(code for code in codes if code not in SENSITIVE),
        tuple(code for code in codes if code in SENSITIVE),
    )


def default_days(asked: portal_pb2.Asked) -> int:
    """How long it is where she chooses nothing: never more than what was asked for."""
    return min(DEFAULT_DAYS, most_days(asked))


def most_days(asked: portal_pb2.Asked) -> int:
    return min(MOST_DAYS, asked.days)


def offered_days(asked: portal_pb2.Asked) -> list[int]:
    return [days for days in DAYS if days < most_days(asked)]


@dataclass(frozen=True, slots=True)
class Choices:
    """What she has chosen so far.

    Attributes:
        present: who is with her; empty where she has not said.
        notice: SHA-256 of the notice that she was shown, 64 hex; empty before.
        categories: what she turned on, each of it asked for.
        days: how long; 0 for the default.
        typed: the number of days as she typed it, to show it again.
        end: which end she marked, to mark it again.
        check: how the short check went.
        errors: keys of what has to be looked at again.
    """

    present: str
    notice: str
    categories: tuple[str, ...]
    days: int
    end: str
    typed: str
    check: str
    errors: tuple[str, ...]


def read(form: Form, asked: portal_pb2.Asked) -> Choices:
    """What a form says, taken for nothing more than what ``asked`` allows."""
    errors = []
    chosen, crafted = _categories(form, asked)
    if crafted:
        errors.append("asked.error.group")
    days = _days(form.field("end"), form.field("days"), asked)
    if days is None:
        errors.append("asked.error.days")
    present = form.field("present")
    check = form.field("check")
    return Choices(
        present=present if present in CONSENT_PRESENT else "",
        notice=form.field("notice")[:64],
        categories=chosen,
        days=days or 0,
        end=form.field("end")[:8],
        typed=form.field("days")[:12],
        check=check if check in CHECKS else "",
        errors=tuple(errors),
    )


def given(asked: portal_pb2.Asked, choices: Choices) -> list[str]:
    """The categories of a yes: what she turned on, and CARD, which goes along."""
    return [*choices.categories, *([CARD] if CARD in asked.categories else [])]


def checked(form: Form) -> tuple[str, tuple[str, ...]]:
    """How the short check went, and which of its questions have to be explained again.

    A question that she left out is not wrong. Nothing answered is no check.
    """
    answers = {name: form.field(f"q_{name}") for name in RIGHT}
    wrong = tuple(name for name, answer in answers.items() if answer and answer != RIGHT[name])
    if wrong:
        return AGAIN, wrong
    return (UNDERSTOOD if any(answers.values()) else ""), ()


def _categories(form: Form, asked: portal_pb2.Asked) -> tuple[tuple[str, ...], bool]:
    """The switches that are on, and whether the form held what our page cannot send."""
    offered = switches(asked)
    named = set(form.fields("kind"))
    groups = set(form.fields("group"))
    crafted = bool(named - {*offered.ordinary, *offered.single} or groups - {GROUP})
    crafted = crafted or bool(groups and not offered.group)
    if crafted:
        return (), True
    on = named | (set(offered.ordinary) if groups else set())
    return tuple(code for code in ordered(asked.categories) if code in on), False


def _days(end: str, typed: str, asked: portal_pb2.Asked) -> int | None:
    """The days of ``end``, 0 for the default; None where they are none that can be given."""
    if end in ("", "other"):
        text = digits.plain(typed)
        if not text:
            return 0 if not end else None
        end = text
    elif end == "full":
        return most_days(asked)
    if not (end.isascii() and end.isdecimal() and len(end) <= 3):
        return None
    days = int(end)
    return days if 1 <= days <= most_days(asked) else None
