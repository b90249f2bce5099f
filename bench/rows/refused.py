"""Row: from the answer of a stop until everything that stands before the data refuses.

Consent itself refuses from the answer on; that is a test. What lags are the caches and fronts:
the referral service, which takes tokens that were given before the stop and shows what was sent,
until it has followed consent's events; and the recipient's own stream, which says so to its
system. A token is used where a referral is created, so "the token is refused" is that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import grpc
from safehand.referral.v1 import referral_pb2
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_rpc.dial import connect

from bench import stats
from bench.rows import grant, sealed, stop
from bench.rows.referral import Stream
from bench.stand import Stand
from bench.stats import Figure

ROW: Final = "stop → refused everywhere"
GOAL: Final = 100.0
LIMIT_S: Final = 30.0
"""One that is not refused by then never is, and the measurement fails."""
ASK_EVERY_S: Final = 0.002
"""Pause between two questions to one front: without it the questions are the load."""
SHARE: Final = 2
"""Half of the calls of one client of other rows."""


@dataclass
class Lags:
    """Seconds from the answer of each stop."""

    token: list[float] = field(default_factory=list)
    shown: list[float] = field(default_factory=list)
    told: list[float] = field(default_factory=list)

    @property
    def everywhere(self) -> list[float]:
        """Until the last of the two fronts refused."""
        return [max(pair) for pair in zip(self.token, self.shown, strict=True)]


def measure(stand: Stand) -> list[Figure]:
    """One stop is watched; the other clients stop something of their own at the same moment."""
    figures = []
    for clients in stand.effort.levels:
        count = stand.effort.rounds * max(1, stand.effort.singles // SHARE)
        if clients > 1:
            count = max(1, count // 4)  # each stops as many others
        lags, floor = _lags(stand, clients, count)
        echo, middle = stats.p50(floor), stats.p50(lags.everywhere)
        figures += [
            Figure(
                ROW,
                f"p99, {clients} at once",
                stats.milliseconds(stats.p99(lags.everywhere)),
                f"echo p50 {stats.milliseconds(echo)}",
                stats.p99(lags.everywhere) / echo,
                GOAL,
            ),
            Figure(
                ROW,
                f"p50; token, shown ({len(lags.token)}x)",
                f"{stats.milliseconds(middle)}; {stats.milliseconds(stats.p50(lags.token))}, "
                f"{stats.milliseconds(stats.p50(lags.shown))}",
                "",
                middle / echo,
                None,
            ),
            Figure(
                ROW,
                "p50, p99 until its stream told B",
                f"{stats.milliseconds(stats.p50(lags.told))}, "
                f"{stats.milliseconds(stats.p99(lags.told))}",
                "",
                stats.p50(lags.told) / echo,
                None,
            ),
        ]
    return figures


def _lags(stand: Stand, clients: int, count: int) -> tuple[Lags, list[float]]:
    """The lags of ``count`` stops by ``clients`` at once, and the echo measured between them."""
    world, desk, lags, floor = stand.world, sealed.Desk(stand), Lags(), list[float]()
    heard = Stream(world)
    mine = grant.more(stand, count)
    others = grant.more(stand, count * (clients - 1)) if clients > 1 else []
    a, b = world.party("agency-a"), world.party("agency-b")
    stopping = stand.target("her", "consent", "")
    her = connect(stopping.address, stopping.tls, "consent", retry=False)
    front_a = connect(a.addresses.referral, a.tls, "referral", retry=False)
    front_b = connect(b.addresses.referral, b.tls, "referral", retry=False)
    target = stop.target(stand)
    send = front_a.unary_unary(sealed.create(stand).path)
    show = front_b.unary_unary("/safehand.referral.v1.ReferralService/GetReferral")
    halt = her.unary_unary(target.path)
    try:
        for number, (session, id_) in enumerate(mine):
            floor += stand.run_echo(1, clients).latencies
            sent, unsent = desk.ready(id_), desk.ready(id_)
            send(sent.again())
            asked = referral_pb2.GetReferralRequest(
                referral=sent.referral, with_parts=True
            ).SerializeToString()
            show(asked)
            heard.wait(f"referrals/{sent.referral}")
            crowd = others[number * (clients - 1) : (number + 1) * (clients - 1)]
            beside = threading.Thread(
                target=lambda crowd=crowd: stand.clients.run(
                    target, [[stop.request(*one)] for one in crowd]
                )
            )
            request, begun = stop.request(session, id_), time.monotonic()
            if crowd:
                beside.start()
            halt(request)
            answered = time.monotonic()
            watch = _Watch(lambda asked=asked: show(asked))  # type: ignore[misc]
            lags.token.append(_refused_at(lambda unsent=unsent: send(unsent.again())) - answered)  # type: ignore[misc]
            lags.shown.append(watch.refused_at() - answered)
            told = heard.wait(f"grants/{id_}", since=begun)
            lags.told.append(max(0.0, told - answered))
            if crowd:
                beside.join()
    finally:
        for channel in (her, front_a, front_b):
            channel.close()
    return lags, floor


class _Watch:
    """Asks one front again and again, in a thread of its own, until it refuses."""

    def __init__(self, ask: Callable[[], object]) -> None:
        self._at: float | None = None
        self._thread = threading.Thread(target=self._run, args=(ask,), daemon=True)
        self._thread.start()

    def _run(self, ask: Callable[[], object]) -> None:
        self._at = _refused_at(ask)

    def refused_at(self) -> float:
        self._thread.join()
        if self._at is None:
            raise RuntimeError("a front did not refuse")
        return self._at


def _refused_at(ask: Callable[[], object]) -> float:
    """When the first refusal was there (monotonic); the one before it was still an answer."""
    begun = time.monotonic()
    while time.monotonic() - begun < LIMIT_S:
        try:
            ask()
            time.sleep(ASK_EVERY_S)
        except SafehandError as error:
            if error.reason is not Reason.CONSENT_ENDED:
                raise
            return time.monotonic()
        except grpc.RpcError as error:
            raise RuntimeError("a front failed") from error
    raise RuntimeError("a front did not refuse")
