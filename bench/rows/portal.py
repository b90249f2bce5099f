"""Row: how long one of her pages takes while fifty people are signed in, each sharing something.

Every session asks for another page every two seconds, which is faster than anybody reads: the pages
of fifty people in a hurry are twenty-five a second. What is measured is what a browser on the same
machine sees: from the request to the last byte. Asking all at once, without a pause, says how the
portal stands in a queue; that is for information.

The limit is one of milliseconds, because a person waits for it. The echo stands beside it so that a
slow machine is told from a slow page.

Two more, one after the other, while nobody else asks: how long it is from her press on Stop until
the agency's next open is refused; and whether a sign-in that fails takes as long with a card that
nobody has as with the wrong PIN of one that somebody has.
"""

from __future__ import annotations

import http.client
import multiprocessing
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final
from urllib.parse import urlencode

from safehand_cli.cards import new_card
from safehand_cli.sample_person import settle
from safehand_client import Fetched
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from bench import stats
from bench.stand import ENTROPY, Stand
from bench.stats import Figure
from bench.system import say
from tests.harness.portal import Seated
from tests.harness.world import World

ROW: Final = "a page of hers"
PATHS: Final = ("/home", "/list", "/steps", "/seen", "/info", "/find")
GOAL_S: Final = 0.050
"""Seconds for a page at the 95th percentile."""
SESSIONS: Final = 50
PAUSE_S: Final = 2.0
"""From one page of a session to its next."""
ROUNDS: Final = 4
"""Times that each session goes through all pages in a full run."""
TINY_CALLS: Final = 40
"""An effort with fewer calls than this is to see that it runs: few sessions, one round."""
STOPS: Final = 20
"""Presses on Stop in a full run."""
STOP_GOAL_S: Final = 1.0
"""Seconds from the press until the agency's open is refused, at the most."""
TRIES: Final = 50
"""Sign-ins that fail, of each kind, in a full run: each with a card of its own, so that none is
answered by the throttle."""
TRIES_GOAL_S: Final = 0.030
"""Seconds between the medians of the two kinds."""
OPENED: Final = "CONTACT"
"""What the agency opens, and after the stop no more."""
OK, SEE_OTHER = 200, 303
_STOP: Final = re.compile(
    r'action="(/list/\d{10}/stop)".*?name="c" value="([^"]+)".*?name="request_id" value="([^"]+)"',
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Visit:
    """One page: which, and the seconds it took."""

    path: str
    seconds: float


def measure(stand: Stand) -> list[Figure]:
    """Pages of ``SESSIONS`` sessions, each page by itself and all together."""
    tiny = stand.effort.calls < TINY_CALLS
    sessions, rounds = (3, 1) if tiny else (SESSIONS, ROUNDS if stand.effort.rounds > 2 else 1)
    world = stand.world
    say("starting the portal")
    port = int(world.system.start_portal().rpartition(":")[2])
    say(f"{sessions} people sign in")
    cookies = [_somebody(world).cookie for _ in range(sessions)]
    _visited(port, cookies, 1, 0.0)
    echo = stand.run_echo(stand.effort.singles, 1).latencies
    paced = _visited(port, cookies, rounds, 0.05 if tiny else PAUSE_S)
    rushed = _visited(port, cookies, 1, 0.0)
    beside = f"echo p50 {stats.milliseconds(stats.p50(echo))}"
    figures = [
        _figure(f"p95, {sessions} sessions", [visit.seconds for visit in paced], beside, GOAL_S)
    ]
    for path in PATHS:
        mine = [visit.seconds for visit in paced if visit.path == path]
        figures.append(_figure(f"p95 of {path}", mine, beside, None))
    figures.append(
        _figure(f"p95, {sessions} at once", [visit.seconds for visit in rushed], beside, None)
    )
    figures.append(_stops(world, port, sessions if tiny else STOPS))
    figures.append(_tries(world, port, sessions if tiny else TRIES))
    return figures


def _figure(what: str, seconds: Sequence[float], beside: str, goal_s: float | None) -> Figure:
    high, middle = stats.quantile(seconds, 0.95), stats.p50(seconds)
    return Figure(
        ROW,
        what,
        f"{stats.milliseconds(high)} (p50 {stats.milliseconds(middle)})",
        beside if goal_s is None else f"limit {stats.milliseconds(goal_s)}; {beside}",
        high / GOAL_S,
        None if goal_s is None else 1.0,
    )


@dataclass(frozen=True, slots=True)
class Somebody:
    """Somebody who shares something that was looked at.

    Attributes:
        cookie: of her session.
        fetched: the referral under it, as the agency has it.
    """

    cookie: str
    fetched: Fetched


def _stops(world: World, port: int, count: int) -> Figure:
    """From her press until the agency's open is refused; the slowest counts.

    Raises RuntimeError where a stop was not taken.
    """
    say(f"{count} people press Stop")
    seconds = []
    for _ in range(count):
        one = _somebody(world)
        world.agency_b.open(one.fetched, OPENED, worker_ref="worker-bench-01")
        _, page = _asked(port, "/list", one.cookie)
        form = _STOP.search(page)
        if form is None:
            raise RuntimeError("no stop on her list")
        pressed = time.monotonic()
        status, _ = _asked(port, form[1], one.cookie, {"c": form[2], "request_id": form[3]})
        if status != SEE_OTHER:
            raise RuntimeError(f"the stop answered {status}")
        while not _refused(world, one.fetched):
            pass
        seconds.append(time.monotonic() - pressed)
    middle = stats.milliseconds(stats.p50(seconds))
    return Figure(
        ROW,
        f"Stop to refused open, {count} presses",
        f"{stats.milliseconds(max(seconds))} at most (p50 {middle})",
        f"limit {stats.milliseconds(STOP_GOAL_S)}",
        max(seconds) / STOP_GOAL_S,
        1.0,
    )


def _refused(world: World, fetched: Fetched) -> bool:
    try:
        world.agency_b.open(fetched, OPENED, worker_ref="worker-bench-01")
    except SafehandError as error:
        if error.reason is not Reason.CONSENT_ENDED:
            raise
        return True
    return False


def _tries(world: World, port: int, count: int) -> Figure:
    """A card that nobody has against the wrong PIN of one that somebody has, in turns.

    Raises RuntimeError where one was let in.
    """
    say(f"{count} sign-ins fail with a card that nobody has, and {count} with a wrong PIN")
    people = [world.person() for _ in range(count)]
    wrong_card: list[float] = []
    wrong_pin: list[float] = []
    for person in people:
        unknown, pin = new_card(ENTROPY)
        other = f"{(int(person.pin) + 1) % 10**6:06d}"
        for found, card, tried in (
            (wrong_card, unknown, pin),
            (wrong_pin, person.card, other),
        ):
            sent = time.monotonic()
            status, page = _asked(port, "/in", "", {"card": card, "pin": tried})
            found.append(time.monotonic() - sent)
            if status != OK or 'id="seat"' in page:
                raise RuntimeError(f"a wrong sign-in answered {status}")
    card_s, pin_s = stats.median(wrong_card), stats.median(wrong_pin)
    return Figure(
        ROW,
        f"wrong card against wrong PIN, {count} each",
        f"{stats.milliseconds(abs(card_s - pin_s))} between medians",
        f"limit {stats.milliseconds(TRIES_GOAL_S)}; {stats.milliseconds(card_s)} against "
        f"{stats.milliseconds(pin_s)}",
        abs(card_s - pin_s) / TRIES_GOAL_S,
        1.0,
    )


def _asked(
    port: int, path: str, cookie: str, form: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Status and text of a page, or of the answer to a form."""
    headers = {"Host": f"localhost:{port}", "Sec-Fetch-Site": "same-origin"}
    if cookie:
        headers["Cookie"] = f"__Host-s={cookie}"
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        body = None if form is None else urlencode(form)
        connection.request("GET" if form is None else "POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def _somebody(world: World) -> Somebody:
    """Somebody who shares something that was looked at."""
    person = world.person()
    settled = settle(world.party("her"), person.card, person.pin, ENTROPY)
    person.pin = settled.pin
    fetched = world.accepted(world.grant(person))
    world.agency_b.open(fetched, "NAME", worker_ref="worker-bench-01")
    return Somebody(Seated(person, settled.session).cookie, fetched)


def _visited(port: int, cookies: Sequence[str], rounds: int, pause_s: float) -> list[Visit]:
    """Every session goes through every page ``rounds`` times, in a process of their own.

    Raises RuntimeError where a page was not shown.
    """
    ours, theirs = multiprocessing.Pipe()
    # spawn: gRPC must not be forked.
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_browse, args=(theirs, port, cookies, rounds, pause_s))
    process.start()
    theirs.close()
    answer = ours.recv()
    process.join()
    if isinstance(answer, str):
        raise RuntimeError(answer)
    found: list[Visit] = answer
    return found


def _browse(
    pipe: Connection, port: int, cookies: Sequence[str], rounds: int, pause_s: float
) -> None:
    visits: list[Visit] = []
    errors: list[str] = []
    began = time.monotonic()

    def one(number: int) -> None:
        try:
            visits.extend(_session(port, cookies[number], number, len(cookies), began))
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")

    def _session(port: int, cookie: str, number: int, of: int, began: float) -> list[Visit]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        headers = {"Host": f"localhost:{port}", "Cookie": f"__Host-s={cookie}"}
        done = []
        for step in range(rounds * len(PATHS)):
            # Evenly spread over the pause, and each session begins with another page.
            due = began + pause_s * (step + number / of)
            time.sleep(max(0.0, due - time.monotonic()))
            path = PATHS[(step + number) % len(PATHS)]
            sent = time.monotonic()
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            done.append(Visit(path, time.monotonic() - sent))
            if answer.status != OK:
                raise RuntimeError(f"{path} answered {answer.status}")
        connection.close()
        return done

    threads = [threading.Thread(target=one, args=(n,)) for n in range(len(cookies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipe.send(errors[0] if errors else visits)
