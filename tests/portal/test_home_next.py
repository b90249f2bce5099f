"""Home says who does what next, and by when: the words of the page of steps, for one step; and it
counts what is on its pages, no more and no less."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from safehand.consent.v1 import portal_pb2
from safehand.referral.v1 import referral_pb2 as pb
from safehand_core.clock import SystemClock
from safehand_core.entropy import SystemEntropy
from safehand_portal_service.app import App, build
from safehand_portal_service.backend import Backend
from safehand_portal_service.words import Catalogues

from tests.portal.browser import Browser
from tests.portal.open_app import settings

AT = 1_800_000_000
DAY = 24 * 3600
SESSION = "A" * 43
ALL = Catalogues.load(allow_unreviewed=True)
ENGLISH = ALL.words("en")
SENT, SEEN, YES = (
    pb.REFERRAL_STATE_SENT,
    pb.REFERRAL_STATE_ACKNOWLEDGED,
    pb.REFERRAL_STATE_ACCEPTED,
)


@dataclass
class Services:
    """Consent and referral, which tell what the test says."""

    language: str = "en"
    views: list[pb.StepView] = field(default_factory=list)
    ready: int = 0
    home: dict[str, Any] = field(default_factory=dict)

    @property
    def her(self) -> Services:
        return self

    @property
    def steps(self) -> Services:
        return self

    def _seat(self) -> portal_pb2.Seat:
        return portal_pb2.Seat(language=self.language, shared_device=True)

    def GetHome(  # noqa: N802 - the stub's name
        self, _: Any, timeout: float | None = None
    ) -> portal_pb2.GetHomeResponse:
        return portal_pb2.GetHomeResponse(
            seat=self._seat(), steps=self._steps(), ticket="ticket", **self.home
        )

    def GetSteps(  # noqa: N802 - the stub's name
        self, _: Any, timeout: float | None = None
    ) -> portal_pb2.GetStepsResponse:
        return portal_pb2.GetStepsResponse(seat=self._seat(), steps=self._steps(), ticket="ticket")

    def _steps(self) -> list[portal_pb2.Step]:
        """Those of the views, then those that referral does not know."""
        known = [view.referral for view in self.views]
        unknown = [f"{place:032x}" for place in range(1000, 1000 + self.ready)]
        return [
            portal_pb2.Step(
                number=f"{place:010d}",
                referral=referral,
                sender_name="The haven",
                recipient_name=f"The clinic {place}",
                sent_at=Timestamp(seconds=AT),
            )
            for place, referral in enumerate([*known, *unknown])
        ]

    def ListSteps(  # noqa: N802 - the stub's name
        self, _: Any, timeout: float | None = None
    ) -> pb.ListStepsResponse:
        return pb.ListStepsResponse(steps=self.views)

    def close(self) -> None:
        """Nothing is open."""


@contextmanager
def served(
    folder: Path, services: Services, catalogues: Catalogues | None = None
) -> Iterator[Browser]:
    """Her window in front of ``services``; ``catalogues``: other texts than the shipped."""
    app = build(
        settings(folder, allow_unreviewed=True), clock=SystemClock(), entropy=SystemEntropy()
    )
    portal = replace(app.portal, backend=cast(Backend, services))
    app = App(portal if catalogues is None else replace(portal, catalogues=catalogues))
    port = app.start()
    try:
        yield Browser(port, SESSION)
    finally:
        app.stop()


def view(place: int = 0, **changed: Any) -> pb.StepView:
    values: dict[str, Any] = {
        "referral": f"{place:032x}",
        "state": SENT,
        "next": pb.NEXT_ACTOR_RECIPIENT,
        "next_by": Timestamp(seconds=AT + DAY),
        **changed,
    }
    return pb.StepView(**values)


Home = Callable[..., str]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Home's text with these steps, ``ready`` more that were not sent, and these counts."""
    services = Services()
    with served(tmp_path_factory.mktemp("home"), services) as browser:

        def text(
            *views: pb.StepView,
            language: str = "en",
            ready: int = 0,
            path: str = "/home",
            **of: Any,
        ) -> str:
            services.views, services.language = list(views), language
            services.ready, services.home = ready, of
            page = browser.open(path)
            assert page.status == 200
            return page.text

        yield text


def test_who_answers_and_by_when(home: Home) -> None:
    date = ENGLISH.date(AT + DAY)

    assert f"Next: The clinic 0 says yes or no. By {date}." in home(view())


def test_who_has_to_send_is_not_said_to_answer(home: Home) -> None:
    text = home(view(next=pb.NEXT_ACTOR_SENDER))

    assert "Next: The haven sends it." in text
    assert "says yes or no" not in text
    assert "answers" not in text


def test_who_has_to_send_once_more(home: Home) -> None:
    text = home(view(next=pb.NEXT_ACTOR_SENDER, reseal_asked_at=Timestamp(seconds=AT)))

    assert "Next: The haven sends it once more." in text


def test_who_has_to_help_is_not_said_to_answer(home: Home) -> None:
    text = home(view(state=YES))

    assert "Next: The clinic 0 gives you this help." in text
    assert "says yes or no" not in text


@pytest.mark.parametrize("language", [language.tag for language in ALL.languages])
def test_a_day_that_is_over_is_never_said_to_come(home: Home, language: str) -> None:
    words = ALL.words(language)
    date = words.date(AT - DAY)

    text = home(view(state=SEEN, late=True, next_by=Timestamp(seconds=AT - DAY)), language=language)

    late, by = (words.t(f"steps.{key}", date=date).striptags() for key in ("late", "next.by"))
    assert late in text
    assert by not in text
    assert text.count(str(date)) == 1


def test_late_blames_nobody(home: Home) -> None:
    text = home(view(state=SEEN, late=True, next_by=Timestamp(seconds=AT)))

    assert "They are late. The date was" in text
    assert "This is not because of you." in text


def test_the_first_day_is_the_one_that_is_told(home: Home) -> None:
    text = home(view(0, next_by=Timestamp(seconds=AT + 9 * DAY)), view(1))

    assert "2 steps are going on" in text
    assert "The clinic 1" in text
    assert "The clinic 0" not in text


def test_without_a_day_nothing_is_promised(home: Home) -> None:
    undated = view()
    undated.ClearField("next_by")

    text = home(undated)

    assert "1 step is going on" in text
    assert "Next:" not in text


@pytest.mark.parametrize("views", [(), (view(),)], ids=("alone", "beside another"))
def test_what_is_not_sent_yet_counts_as_it_does_on_the_page_of_steps(
    home: Home, views: tuple[pb.StepView, ...]
) -> None:
    text = home(*views, ready=1)

    assert home(*views, ready=1, path="/steps").count("Getting ready") == 1
    assert f"{len(views) + 1} step" in text
    assert "no open step" not in text


BEFORE = Timestamp(seconds=AT)


@pytest.mark.parametrize(
    ("looks", "refused", "said", "unsaid"),
    [
        (1, 1, "1 try was refused", "since your last visit"),
        (3, 1, "2 looks since your last visit 1 try was refused", "3 looks"),
        (2, 0, "2 looks since your last visit", "refused"),
        (0, 0, "Your list shows no look since your last visit.", "refused"),
    ],
)
def test_a_try_that_was_refused_is_no_look(
    home: Home, looks: int, refused: int, said: str, unsaid: str
) -> None:
    text = home(looks_since=looks, refused_since=refused, previous_sign_in=BEFORE)

    assert said in text
    assert unsaid not in text
