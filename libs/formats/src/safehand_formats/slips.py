"""What a ledger entry says to the person it is about, in plain words.

A slip is made from the opened body alone, so the words promise what the entry proves and nothing
else. Every sentence has a name and parameters, so that a catalogue can say it in another language.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import CARD, CATEGORIES, PURPOSES

from safehand_formats import checkcode, merkle
from safehand_formats.bodies import body_time
from safehand_formats.kinds import Kind
from safehand_formats.leaf import Leaf
from safehand_formats.opening import Opening

KINDS: Final = frozenset(
    {
        Kind.GRANT,
        Kind.REFUSE,
        Kind.NARROW,
        Kind.CONFIRM,
        Kind.STOP,
        Kind.RESUME,
        Kind.REVOKE,
        Kind.EXPIRE,
    }
)
"""Entries that have a slip: what she decided, and what was decided for her."""

SENTENCES: Final[Mapping[str, str]] = {
    "granted": "You said yes on {day}.",
    "recorded": "A worker wrote down on {day} that you said yes.",
    "who": "{releasing} may tell {recipient}: {what}.",
    "why": "What for: {purpose}.",
    "until": "Until {until}. After that they may open nothing more.",
    "erase": "They must have deleted it by {erase}.",
    "confirm": "It ends by itself on {confirm} unless you say that it is right.",
    "cosign": "Your guardian has to sign too, by {cosign}. Before that nothing is shared.",
    "how_to_stop": "You can stop it at any time: with your card and PIN, or through any worker of "
    "theirs, also by phone.",
    "refused": "You said no on {day}.",
    "refused_what": "You were asked whether {releasing} may tell {recipient}: {what}. They may "
    "not.",
    "no_cost": "Saying no takes no help away from you.",
    "narrowed": "You made it smaller on {day}.",
    "left": "What they may still get: {what}. Until {until}.",
    "gone": "This can not be undone. If you took something out, it can not be opened any more: its "
    "keys are deleted, and every copy of them within a day.",
    "confirmed_self": "You said on {day} that it is right.",
    "confirmed_second": "A second person said on {day} that it is right.",
    "confirmed_guardian": "Your guardian signed it on {day}.",
    "stopped_self": "You stopped it on {day}.",
    "stopped_worker": "A worker stopped it for you on {day}.",
    "stopped_representative": "A person whom you chose stopped it for you on {day}.",
    "stopped_now": "From then on nothing more is opened.",
    "undo": "It can be turned on again until {final}, if its time is not over before. After that "
    "the keys are deleted, and every copy of them within a day.",
    "no_undo": "It can not be turned on again.",
    "help_stays": "Stopping ends sharing. It does not end a place or an appointment.",
    "resumed_self": "You turned it on again on {day}.",
    "resumed_staff": "Two workers turned it on again for you on {day}, with your code word.",
    "final": "It is over for good since {day}.",
    "invalid": "It is void since {day}: it counts as no consent.",
    "expired": "Its time was over on {end}.",
    "unconfirmed": "It ended on {end}, because nobody confirmed or signed it in time.",
    "keys_gone": "The keys are deleted, and every copy of them within a day.",
    "opened_stays": "What they had opened before, they have seen.",
}
"""English. Short sentences of plain words; ``docs/concepts.md`` says what each promise rests on."""


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence: its name in ``SENTENCES`` and what to put in."""

    name: str
    values: Mapping[str, str]

    @property
    def english(self) -> str:
        return SENTENCES[self.name].format(**self.values)


@dataclass(frozen=True, slots=True)
class Slip:
    """One entry for a person.

    Attributes:
        index, kind, at: the entry, and when it was made (seconds since the epoch).
        code: its check code.
        lines: what it says.
    """

    index: int
    kind: Kind
    at: int
    code: str
    lines: tuple[Line, ...]

    @property
    def short(self) -> str:
        """The neutral form: a day and a code, and not a word of what it is."""
        return f"{_day(self.at)}  {self.code}"


def slip(opening: Opening, leaf: bytes, names: Mapping[str, str] | None = None) -> Slip:
    """The slip of a leaf (104 bytes) and its opening.

    ``names`` maps agency ids to the names that she knows them by; an id stands for itself.
    Raises NOT_FOUND for a kind that has no slip, PROOF_INVALID where the opening is not the leaf's.
    """
    writer = _WRITERS.get(opening.kind)
    if writer is None:
        raise SafehandError(Reason.NOT_FOUND, "entries of this kind have no slip")
    opening.require_match(Leaf.decode(leaf))
    known = names or {}
    lines = writer(_Said(opening.body, known))
    code = checkcode.of_leaf_hash(merkle.leaf_hash(leaf))
    at = body_time(opening.kind, opening.body)
    return Slip(opening.index, opening.kind, at, code, tuple(lines))


class _Said:
    """A checked body, read for people."""

    def __init__(self, body: Mapping[str, Json], names: Mapping[str, str]) -> None:
        self.body: Mapping[str, Any] = body
        self._names = names

    def line(self, name: str, **values: str) -> Line:
        day = _day(self.body["issued_at"] if "issued_at" in self.body else self.body["at"])
        return Line(name, {"day": day, **values})

    def day(self, key: str) -> str:
        return _day(self.body[key])

    def agency(self, key: str) -> str:
        return self._names.get(self.body[key], self.body[key])

    def what(self) -> str:
        named = [CATEGORIES[item] for item in self.body["categories"] if item != CARD]
        return "; ".join([CATEGORIES[CARD], *named])

    def parties(self, name: str) -> Line:
        return self.line(
            name,
            releasing=self.agency("releasing"),
            recipient=self.agency("recipient"),
            what=self.what(),
        )


def _grant(said: _Said) -> list[Line]:
    lines = [
        said.line("recorded" if "recorded_by" in said.body else "granted"),
        said.parties("who"),
        said.line("why", purpose=PURPOSES[said.body["purpose"]]),
        said.line("until", until=said.day("expires_at")),
        said.line("erase", erase=said.day("erase_by")),
    ]
    if "confirm_by" in said.body:
        lines.append(said.line("confirm", confirm=said.day("confirm_by")))
    if "cosign_by" in said.body:
        lines.append(said.line("cosign", cosign=said.day("cosign_by")))
    return [*lines, said.line("how_to_stop")]


def _refuse(said: _Said) -> list[Line]:
    return [said.line("refused"), said.parties("refused_what"), said.line("no_cost")]


def _narrow(said: _Said) -> list[Line]:
    left = said.line("left", what=said.what(), until=said.day("expires_at"))
    return [said.line("narrowed"), left, said.line("gone"), said.line("opened_stays")]


def _confirm(said: _Said) -> list[Line]:
    return [said.line(f"confirmed_{said.body['by']}")]


def _stop(said: _Said) -> list[Line]:
    # Final at once: there was never a moment in which it could be undone.
    can_undo = said.body["at"] < said.body["final_at"]
    undo = said.line("undo", final=_moment(said.body["final_at"]))
    return [
        said.line(f"stopped_{said.body['by']}"),
        said.line("stopped_now"),
        undo if can_undo else said.line("no_undo"),
        said.line("opened_stays"),
        said.line("help_stays"),
    ]


def _resume(said: _Said) -> list[Line]:
    return [said.line(f"resumed_{said.body['by']}")]


def _revoke(said: _Said) -> list[Line]:
    void = said.body["cause"] == "invalidated"
    first = said.line("invalid" if void else "final")
    return [first, said.line("keys_gone"), said.line("opened_stays")]


def _expire(said: _Said) -> list[Line]:
    # When its time was over, which may be days before the entry was made.
    name = "unconfirmed" if "cause" in said.body else "expired"
    first = said.line(name, end=said.day("expires_at"))
    return [first, said.line("keys_gone"), said.line("opened_stays")]


_WRITERS: Final[Mapping[Kind, Callable[[_Said], list[Line]]]] = {
    Kind.GRANT: _grant,
    Kind.REFUSE: _refuse,
    Kind.NARROW: _narrow,
    Kind.CONFIRM: _confirm,
    Kind.STOP: _stop,
    Kind.RESUME: _resume,
    Kind.REVOKE: _revoke,
    Kind.EXPIRE: _expire,
}


def _day(seconds: int) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment.day} {moment:%B %Y}"


def _moment(seconds: int) -> str:
    return f"{_day(seconds)}, {datetime.fromtimestamp(seconds, UTC):%H:%M} UTC"
