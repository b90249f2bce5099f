"""Who waits for a slow service stands in nobody else's way: least of all in the way of a stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from safehand.consent.v1 import consent_pb2
from safehand.consent.v1 import portal_pb2 as pb
from safehand.referral.v1 import directory_pb2, referral_pb2
from safehand_core.clock import SystemClock
from safehand_core.entropy import SystemEntropy
from safehand_portal_service.app import App, build
from safehand_portal_service.backend import BESIDE_TIMEOUT_S, Backend
from safehand_portal_service.lanes import THREADS, WAITING_MAX, Lane
from safehand_portal_service.seat import token

from tests.harness.world import eventually
from tests.portal.core_world import PHONE, Answer, Client
from tests.portal.open_app import settings

COMMON = 40
"""Threads that Starlette has for everybody."""
HERS = b"\x02" * 32
NUMBER = "0123456789"
CARD = "000000000000"


@dataclass
class Slow:
    """Services that answer a stop, and all that she asks, at once; else when ``open`` is set."""

    open: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)
    timeouts: list[float | None] = field(default_factory=list)

    @property
    def her(self) -> Slow:
        return self

    door = directory = steps = her_once = her

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in ANSWERS:
            raise AttributeError(name)

        def method(request: Any, timeout: float | None = None) -> Any:
            self.asked.append(name)
            self.timeouts.append(timeout)
            if name not in AT_ONCE and getattr(request, "session", b"") != HERS:
                self.open.wait()
            return ANSWERS[name]()

        return method

    def close(self) -> None:
        """Nothing is open."""


ANSWERS: dict[str, Callable[[], Any]] = {
    "CloseSession": consent_pb2.CloseSessionResponse,
    "ConfirmRecorded": pb.ConfirmRecordedResponse,
    "DestroyNow": pb.DestroyNowResponse,
    "GetSharing": pb.GetSharingResponse,
    "GetSteps": pb.GetStepsResponse,
    "ListSharing": pb.ListSharingResponse,
    "ListSteps": referral_pb2.ListStepsResponse,
    "OpenSession": consent_pb2.OpenSessionResponse,
    "SearchServices": directory_pb2.SearchServicesResponse,
    "StopEverything": pb.StopEverythingResponse,
    "StopSharing": lambda: pb.StopSharingResponse(sharing=pb.Sharing()),
}
AT_ONCE = frozenset(
    {"ConfirmRecorded", "DestroyNow", "GetSharing", "GetSteps", "StopEverything", "StopSharing"}
)


@pytest.fixture
def slow() -> Iterator[Slow]:
    made = Slow()
    yield made
    made.open.set()


@pytest.fixture
def client(tmp_path: Path, slow: Slow) -> Iterator[Client]:
    app = build(settings(tmp_path), clock=SystemClock(), entropy=SystemEntropy())
    app = App(replace(app.portal, backend=cast(Backend, slow)))
    yield Client(app.start())
    slow.open.set()
    app.stop()


@contextmanager
def waiting(slow: Slow, count: int, ask: Callable[[], Answer]) -> Iterator[list[Answer]]:
    """``count`` who ask for the same; what is given grows with each answer. All go in the end."""
    answers: list[Answer] = []
    each = [threading.Thread(target=lambda: answers.append(ask())) for _ in range(count)]
    for one in each:
        one.start()
    try:
        yield answers
    finally:
        slow.open.set()
        for one in each:
            one.join(60)
        assert len(answers) == count


STOPS = {
    "/list/stop": {},
    f"/list/{NUMBER}/stop": {},
    f"/list/{NUMBER}/end": {},
    f"/list/{NUMBER}/right": {"reply": "no"},
}


def test_a_stop_waits_for_nobody_who_waits_for_a_page(client: Client, slow: Slow) -> None:
    with waiting(slow, 2 * COMMON, lambda: client.get("/list", b"\x01" * 32)) as answers:
        eventually(lambda: len(slow.asked) == COMMON, "every thread for pages waits")
        for path, more in STOPS.items():
            form = {"c": token(HERS), "request_id": "1", **more}
            assert client.post(path, form, HERS).status == 303, path
        # What one of them did can be read, too: a sharing without a state is over.
        assert client.get(f"/list/{NUMBER}/stopped", HERS).status == 200
        assert not answers


OPEN: dict[str, tuple[Lane, str, dict[str, str]]] = {
    "/in": (Lane.SIGN_IN, "OpenSession", {"card": CARD, "pin": "111111"}),
    "/find": (Lane.FIND, "SearchServices", {"need": "housing"}),
}


@pytest.mark.parametrize("path", OPEN)
def test_what_anybody_may_send_waits_in_a_narrow_lane_and_says_when_it_is_full(
    client: Client, slow: Slow, path: str
) -> None:
    lane, method, form = OPEN[path]
    fits = THREADS[lane] + WAITING_MAX
    with waiting(slow, fits + 5, lambda: client.post(path, form)) as answers:
        eventually(lambda: len(answers) == 5, "all but those who fit are told")
        for first in answers:
            later = first.header("location")
            answer = client.get(later) if later == "/in/late/0" else first
            assert answer.status == (503 if answer is first else 200)
            assert answer.header("retry-after")
            assert PHONE in answer.text
            assert "We do not know if it worked" not in answer.text, "nothing was begun"
        assert slow.asked.count(method) == THREADS[lane]
        # The pages, and the other of the two, are there as ever.
        assert client.get(path).status == 200
        assert client.post("/list/stop", {"c": token(HERS)}, HERS).status == 303
        other = next(one for one in OPEN if one != path)
        with waiting(slow, 1, lambda: client.post(other, OPEN[other][2])):
            eventually(lambda: OPEN[other][1] in slow.asked, "the other is asked")
    assert {answer.status for answer in answers} == ({503, 200} if path == "/find" else {303})


def test_pages_without_a_service_wait_for_none(client: Client, slow: Slow) -> None:
    with waiting(slow, 2 * COMMON, lambda: client.get("/list", b"\x01" * 32)) as answers:
        eventually(lambda: len(slow.asked) == COMMON, "every thread for pages waits")
        assert client.get("/in").status == 200
        assert client.get("/bye").status == 200
        assert client.get("/nothing").status == 200
        assert not answers


def test_a_search_is_not_waited_for_as_a_stop_is(client: Client, slow: Slow) -> None:
    slow.open.set()
    assert client.post("/find", {"need": "housing"}).status == 200
    assert (slow.asked, slow.timeouts) == (["SearchServices"], [BESIDE_TIMEOUT_S])
