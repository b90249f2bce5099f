"""The verdict can fail: each broken promise is found, and whole ones are not called broken.

Around it stands what it asks, made of plain values: her receipts, each agency's events, each
source's own sequence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from safehand.events.v1 import events_pb2
from safehand.notify.v1 import notify_pb2
from safehand.referral.v1 import referral_pb2
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind

from tests.chaos import hearing, verdict
from tests.chaos.journal import Journal, Look, Promise, Refusal, Story
from tests.chaos.patience import Patience
from tests.fault.stage import Stage
from tests.harness.world import Person, World

PERSON = Person("test-ref-000001", "card", "pin")
G, C, N, S = Kind.GRANT, Kind.CONFIRM, Kind.NARROW, Kind.STOP
RESUME, REVOKE, REFER, DISCLOSE = Kind.RESUME, Kind.REVOKE, Kind.REFER, Kind.DISCLOSE
FIRST, SECOND, REFERRAL = "1" * 32, "2" * 32, "3" * 32
LIFE = {
    FIRST: (G, C, REFER, DISCLOSE, S, RESUME, N, DISCLOSE, S, REVOKE),
    SECOND: (G, REFER, DISCLOSE, S, REVOKE),
}
AT_A = (
    f"consent GRANTED grants/{FIRST}",
    f"consent CONFIRMED grants/{FIRST}",
    f"referral ACCEPTED referrals/{REFERRAL}",
    f"consent DISCLOSED referrals/{REFERRAL}",
    f"consent ENDED grants/{FIRST}",
    f"referral SHARING_STOPPED referrals/{REFERRAL}",
    f"consent RESUMED grants/{FIRST}",
    f"referral SHARING_RESUMED referrals/{REFERRAL}",
    f"consent NARROWED grants/{FIRST}",
    f"consent DISCLOSED referrals/{REFERRAL}",
    f"consent ENDED grants/{FIRST}",
    f"referral SHARING_STOPPED referrals/{REFERRAL}",
    f"consent GRANTED grants/{SECOND}",
    f"consent DISCLOSED referrals/{REFERRAL}",
    f"consent ENDED grants/{SECOND}",
    f"referral SHARING_STOPPED referrals/{REFERRAL}",
    f"referral COMPLETED referrals/{REFERRAL}",
)
AT_B = (
    f"referral CREATED referrals/{REFERRAL}",
    f"consent ENDED grants/{FIRST}",
    f"referral SHARING_STOPPED referrals/{REFERRAL}",
    f"consent RESUMED grants/{FIRST}",
    f"referral SHARING_RESUMED referrals/{REFERRAL}",
    f"consent NARROWED grants/{FIRST}",
    f"consent ENDED grants/{FIRST}",
    f"referral SHARING_STOPPED referrals/{REFERRAL}",
    f"referral RESEALED referrals/{REFERRAL}",
    f"consent ENDED grants/{SECOND}",
    f"referral SHARING_STOPPED referrals/{REFERRAL}",
)
"""What each agency hears of that life, written down by hand: source, type, resource."""


@dataclass
class Scene:
    """What the verdict looks at. Change it, then ``judge``."""

    lines: dict[str, list[tuple[Kind, int]]] = field(default_factory=dict)
    heard: dict[str, list[str]] = field(
        default_factory=lambda: {"agency-a": list(AT_A), "agency-b": list(AT_B)}
    )
    told: dict[str, list[str]] | None = None
    """What the sources' outboxes say; as ``heard`` where that is not told apart."""
    state: int = referral_pb2.REFERRAL_STATE_COMPLETED
    refusals: dict[str, int] = field(default_factory=lambda: {"ask": 40})
    problems: tuple[str, ...] = ()
    journal: Journal = field(default_factory=Journal)
    stories: list[Story] = field(default_factory=list)

    def __post_init__(self) -> None:
        for index, (grant, kinds) in enumerate(LIFE.items()):
            start = 10 * index
            self.lines[grant] = [(kind, start + n) for n, kind in enumerate(kinds)]
            story = self.journal.open(PERSON, grant, start)
            story.promises += [Promise(kind, n) for kind, n in self.lines[grant][1:]]
            story.referral = REFERRAL
            story.accepted.append(REFERRAL)
            self.stories.append(story)
        self.stories[-1].completed.append(REFERRAL)
        self.journal.refused(Refusal(PERSON, "ask", 40))

    def judge(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
        monkeypatch.setattr(verdict, "_signed_in", lambda stage, person: self._her())
        monkeypatch.setattr(verdict, "POLL_S", 0.0)
        agencies = {name: SimpleNamespace(deliveries=self._at(name)) for name in hearing.AGENCIES}
        told = self.told or {name: list(heard) for name, heard in self.heard.items()}
        stage = SimpleNamespace(
            world=SimpleNamespace(
                agency_a=SimpleNamespace(status=lambda _: SimpleNamespace(state=self.state)),
                fsck=lambda: SimpleNamespace(
                    ok=not self.problems, problems=self.problems, size=len(AT_A)
                ),
            ),
            agency=lambda name: agencies[name],
            meant_for=lambda name: {
                source: [e for e in events(told[name]) if e.id.startswith(f"{source}:")]
                for source in ("consent", "referral")
            },
        )
        return verdict.check(cast(Stage, stage), self.journal, within_s=0.0)

    def _her(self) -> Any:
        def receipt(grant: str) -> list[Any]:
            return [SimpleNamespace(kind=kind, index=n) for kind, n in self.lines[grant]]

        return SimpleNamespace(
            verified_receipt=receipt,
            grants=lambda: [SimpleNamespace(grant=grant) for grant in self.lines],
            verified_refusal=lambda ask: (self.refusals[ask], None),
            close=lambda: None,
        )

    def _at(self, name: str) -> Callable[[int], list[notify_pb2.Delivery]]:
        def deliveries(after: int) -> list[notify_pb2.Delivery]:
            return [
                notify_pb2.Delivery(cursor=cursor, event=event)
                for cursor, event in enumerate(events(self.heard[name]), start=1)
                if cursor > after
            ]

        return deliveries


def events(texts: list[str]) -> list[events_pb2.Event]:
    """One event for each text; the place among its own kind makes its id."""
    found: list[events_pb2.Event] = []
    for place, text in enumerate(texts):
        source, name, resource = text.split()
        kind = events_pb2.EventType.Value(f"EVENT_TYPE_{source.upper()}_{name}")
        occurred = texts[:place].count(text)
        found.append(
            events_pb2.Event(
                id=f"{source}:{name}-{resource}-{occurred}", type=kind, resource=resource
            )
        )
    return found


def test_what_was_kept_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Scene().judge(monkeypatch)
    assert kept["acknowledged STOP, there once and in its order"] == 3
    assert kept["consents of which each agency heard all that her receipt shows"] == 2
    assert kept["events of consent that agency-b heard, each once and in order"] == 5


def test_what_was_on_its_way_may_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    story = scene.stories[-1]
    del story.promises[-2:]
    story.want(S, REVOKE)
    scene.judge(monkeypatch)


def test_the_end_of_the_consent_before_may_be_heard_of_by_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Referral heard of it after it had sealed again: no end of that referral any more."""
    scene = Scene()
    stopped = f"referral SHARING_STOPPED referrals/{REFERRAL}"
    for name, place in (("agency-a", 11), ("agency-b", 7)):
        assert scene.heard[name].pop(place) == stopped
    scene.judge(monkeypatch)


def _promise_not_there(scene: Scene) -> None:
    scene.stories[0].promises.append(Promise(S, 99))


def _entry_nobody_was_told_of(scene: Scene) -> None:
    scene.lines[FIRST].append((S, 99))


def _entry_elsewhere(scene: Scene) -> None:
    scene.lines[FIRST][3] = (DISCLOSE, 99)


def _opened_after_a_stop(scene: Scene) -> None:
    scene.stories[0].off.append((1.0, 5.0))
    scene.stories[0].looks.append(Look("NAME", 2.0, 3.0))


def _no_elsewhere(scene: Scene) -> None:
    scene.refusals["ask"] = 41


def _answer_lost(scene: Scene) -> None:
    scene.state = referral_pb2.REFERRAL_STATE_ACCEPTED


def _told_to_try_a_no_again(scene: Scene) -> None:
    scene.journal.told(Reason.INTERNAL)


def _ledger_broken(scene: Scene) -> None:
    scene.problems = ("a leaf is missing",)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (_promise_not_there, "promised"),
        (_entry_nobody_was_told_of, "promised"),
        (_entry_elsewhere, "is at 99"),
        (_opened_after_a_stop, "after a stop"),
        (_no_elsewhere, "a no is lost"),
        (_answer_lost, "an answer to a referral"),
        (_told_to_try_a_no_again, "told to go on"),
        (_ledger_broken, "fsck"),
    ],
)
def test_a_broken_promise_is_found(
    monkeypatch: pytest.MonkeyPatch, broken: Callable[[Scene], None], said: str
) -> None:
    scene = Scene()
    broken(scene)
    with pytest.raises(AssertionError, match=said):
        scene.judge(monkeypatch)


@pytest.mark.parametrize("agency", hearing.AGENCIES)
def test_a_stop_without_its_events_is_found_though_the_outbox_lacks_them_too(
    monkeypatch: pytest.MonkeyPatch, agency: str
) -> None:
    """Nothing of any source says that anything is missing: her receipt alone does."""
    scene = Scene()
    scene.heard[agency].remove(f"consent ENDED grants/{SECOND}")
    with pytest.raises(AssertionError, match=f"{agency} should have heard"):
        scene.judge(monkeypatch)


EVERY_EVENT = [
    *(("agency-a", place) for place in range(len(AT_A))),
    *(("agency-b", place) for place in range(len(AT_B))),
]


@pytest.mark.parametrize(("agency", "place"), EVERY_EVENT)
def test_any_event_that_an_agency_lacks_is_found(
    monkeypatch: pytest.MonkeyPatch, agency: str, place: int
) -> None:
    scene = Scene()
    del scene.heard[agency][place]
    with pytest.raises(AssertionError, match="hear"):
        scene.judge(monkeypatch)


@pytest.mark.parametrize("agency", hearing.AGENCIES)
def test_a_doubled_event_is_found(monkeypatch: pytest.MonkeyPatch, agency: str) -> None:
    scene = Scene()
    scene.heard[agency].append(scene.heard[agency][1])
    with pytest.raises(AssertionError, match="hear"):
        scene.judge(monkeypatch)


def test_an_event_of_the_same_id_twice_is_found() -> None:
    event = events(list(AT_A[:1]))[0]
    twice = [notify_pb2.Delivery(cursor=cursor, event=event) for cursor in (1, 2)]
    agency: Any = SimpleNamespace(deliveries=lambda after: twice[after:])
    with pytest.raises(AssertionError, match="twice"):
        hearing.of_agency(agency)


def test_a_gap_in_the_cursors_is_found() -> None:
    one, other = events(list(AT_A[:2]))
    some = [notify_pb2.Delivery(cursor=c, event=e) for c, e in ((1, one), (3, other))]
    agency: Any = SimpleNamespace(deliveries=lambda after: [d for d in some if d.cursor > after])
    with pytest.raises(AssertionError, match="gap"):
        hearing.of_agency(agency)


def test_what_a_source_says_and_nobody_hears_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    other = f"consent GRANTED grants/{'9' * 32}"  # of nobody's story
    scene.told = {"agency-a": [*AT_A, other], "agency-b": list(AT_B)}
    with pytest.raises(AssertionError, match="agency-a heard consent otherwise"):
        scene.judge(monkeypatch)


def test_an_unhandled_error_is_no_reason_to_try_again() -> None:
    tries = 0

    def act() -> None:
        nonlocal tries
        tries += 1
        raise SafehandError(Reason.INTERNAL)

    with pytest.raises(SafehandError):
        Patience(cast(World, None), Journal()).again("stop", act)
    assert tries == 1


def test_a_second_stop_tells_nobody() -> None:
    assert hearing.of_grant((G, S, S, REVOKE)) == {
        "agency-a": ["GRANTED", "ENDED"],
        "agency-b": [],
    }
