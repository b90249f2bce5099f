"""What each agency must have heard, worked out from what is on her receipts alone.

No outbox is read for it: a service that made a stop true and wrote no event for it is found out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Final

from safehand.events.v1.events_pb2 import Event, EventType
from safehand_client import AgencyClient
from safehand_formats.kinds import Kind

from tests.flow.following import everything

RELEASING: Final = "agency-a"
RECIPIENT: Final = "agency-b"
AGENCIES: Final = (RELEASING, RECIPIENT)
_SHARING: Final = {"ENDED": "SHARING_STOPPED", "RESUMED": "SHARING_RESUMED"}

Heard = Mapping[str, Sequence[Event]]
"""By agency: its events, in its order."""


@dataclass(frozen=True, slots=True)
class Told:
    """One consent: its entries in ledger order, and the referral that went under it.

    ``accepted``, ``completed``: whether that was answered to the recipient.
    """

    grant: str
    kinds: tuple[Kind, ...]
    referral: str = ""
    accepted: bool = False
    completed: bool = False


def of_agency(agency: AgencyClient) -> list[Event]:
    """All that ``agency`` heard. Raises AssertionError for a gap, and for what came twice."""
    found = everything(agency)
    assert [item.cursor for item in found] == list(range(1, len(found) + 1)), "a gap"
    events = [item.event for item in found]
    assert len({event.id for event in events}) == len(events), "an event was heard twice"
    return events


def of_grant(kinds: Iterable[Kind]) -> dict[str, list[str]]:
    """By agency, what it must hear of a consent with these entries, in this order."""
    heard: dict[str, list[str]] = {name: [] for name in AGENCIES}
    live, aware = True, False
    for kind in kinds:
        said = ""
        if kind is Kind.GRANT or kind is Kind.CONFIRM:
            heard[RELEASING].append("GRANTED" if kind is Kind.GRANT else "CONFIRMED")
        elif kind is Kind.REFER:
            aware = True
        elif kind is Kind.NARROW:
            said = "NARROWED"
        elif kind is Kind.RESUME:
            live, said = True, "RESUMED"
        elif kind in (Kind.STOP, Kind.EXPIRE):
            live, said = False, "ENDED" if live else ""
        if said:
            heard[RELEASING].append(said)
            if aware:
                heard[RECIPIENT].append(said)
    return heard


def differs(heard: Heard, told: Sequence[Told]) -> str:
    """What somebody heard otherwise than it is on the receipts; empty where nothing."""
    by_resource = {name: _names(events) for name, events in heard.items()}
    return next(chain(_grants(by_resource, told), _referrals(by_resource, told)), "")


_Names = Mapping[str, Mapping[str, Sequence[str]]]


def _grants(heard: _Names, told: Sequence[Told]) -> Iterator[str]:
    for one in told:
        for agency, meant in of_grant(one.kinds).items():
            got = heard[agency].get(f"grants/{one.grant}", ())
            if list(got) != meant:
                yield _otherwise(agency, "a consent", meant, got)


def _referrals(heard: _Names, told: Sequence[Told]) -> Iterator[str]:
    """``told`` has the consents of one referral in their order: each but the first sealed again."""
    sent = sorted((one for one in told if one.referral), key=lambda one: one.referral)
    for referral, group in groupby(sent, key=lambda one: one.referral):
        rounds = list(group)
        resource = f"referrals/{referral}"
        at_a = list(heard[RELEASING].get(resource, ()))
        at_b = list(heard[RECIPIENT].get(resource, ()))
        for name, meant in (
            ("DISCLOSED", sum(one.kinds.count(Kind.DISCLOSE) for one in rounds)),
            ("ACCEPTED", int(any(one.accepted for one in rounds))),
            ("COMPLETED", int(any(one.completed for one in rounds))),
        ):
            if at_a.count(name) != meant:
                yield f"{RELEASING} heard {name} {at_a.count(name)} times instead of {meant}"
        if at_b[:1] != ["CREATED"]:
            yield f"{RECIPIENT} did not hear first that it was created"
        got, meant_by = _rounds(at_b[1:]), [_toggles(one.kinds) for one in rounds]
        # An end that referral heard of after it was sealed again is no end of that referral's.
        earlier = zip(got[:-1], meant_by, strict=False)
        if (
            len(got) != len(rounds)
            or got[-1] != meant_by[-1]
            or any(some != all_of[: len(some)] for some, all_of in earlier)
        ):
            yield _otherwise(RECIPIENT, "a referral", list(chain(*meant_by)), at_b[1:])
        shared = [name for name in at_a if name in _SHARING.values()]
        if shared != list(chain(*got)):
            yield _otherwise(RELEASING, "a referral", list(chain(*got)), shared)


def _toggles(kinds: Sequence[Kind]) -> list[str]:
    """What both ends of the referral hear of these entries of its consent."""
    return [_SHARING[name] for name in of_grant(kinds)[RECIPIENT] if name in _SHARING]


def _rounds(names: Sequence[str]) -> list[list[str]]:
    found: list[list[str]] = [[]]
    for name in names:
        if name == "RESEALED":
            found.append([])
        else:
            found[-1].append(name)
    return found


def _names(events: Iterable[Event]) -> dict[str, list[str]]:
    """By resource, what was said of it."""
    found: dict[str, list[str]] = {}
    for event in events:
        name = EventType.Name(event.type).removeprefix("EVENT_TYPE_").split("_", 1)[1]
        found.setdefault(event.resource, []).append(name)
    return found


def _otherwise(agency: str, of: str, meant: Sequence[str], got: Sequence[str]) -> str:
    return f"{agency} should have heard of {of}: {' '.join(meant)}; it heard: {' '.join(got)}"
