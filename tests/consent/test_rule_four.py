"""PROTOCOL rule 4 against a small model: whose deadline holds, which leaves there are, in any order
of stops, resumes and days."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safehand_consent_service.stop_quotas import WISHES
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind

from tests.consent.helpers import (
    add,
    leaf_kinds,
    resume_for_her,
    set_word,
    state,
    stop_as_representative,
    stop_for_her,
)
from tests.consent.world import DAY, World

HOUR = 3600
STRONG_S, WEAK_S = 24 * HOUR, 72 * HOUR
SOURCES = ("haven", "legal", "friend")

ACTIONS = st.one_of(
    st.sampled_from(["stop", "destroy", "resume", "staff", "sweep"]).map(lambda a: (a, "", 0)),
    st.tuples(st.just("weak"), st.sampled_from(SOURCES), st.sampled_from([0, 1])),
    st.tuples(st.just("wait"), st.just(""), st.sampled_from([1, 10, 23, 24, 48, 71, 72])),
)


@dataclass
class Model:
    """What rule 4 says about one grant. Written without a look at the service."""

    at: int
    stopped_by: str | None = None
    final_at: int | None = None
    coerced: bool = False
    ended: str | None = None
    leaves: list[Kind] = field(default_factory=lambda: [Kind.GRANT])
    wishes: dict[str, list[int]] = field(default_factory=dict)
    stops: dict[str, list[int]] = field(default_factory=dict)

    @property
    def weak(self) -> bool:
        return self.stopped_by not in (None, "self")

    @property
    def due(self) -> bool:
        return self.final_at is not None and self.at >= self.final_at

    def _put(self, by: str, window_s: int, coerced: bool = False) -> None:
        self.stopped_by, self.final_at, self.coerced = by, self.at + window_s, coerced
        self.leaves.append(Kind.STOP)

    def _end(self, cause: str) -> None:
        self.leaves.append(Kind.REVOKE)
        self.ended, self.final_at = cause, None

    def _window_cause(self) -> str:
        return "invalidated" if self.coerced else "window"

    def her_stop(self, *, destroy: bool) -> None:
        if self.ended is None and not self.due and (self.stopped_by is None or self.weak):
            self._put("self", STRONG_S)
        if destroy and self.ended is None:
            self._end("destroy_now" if self.stopped_by == "self" else self._window_cause())

    def weak_stop(self, source: str, coerced: bool) -> bool:
        """Whether the wish is taken down rather than refused."""
        today = [at for at in self.wishes.setdefault(source, []) if at > self.at - DAY]
        taken = len(today) < WISHES
        first = not any(at > self.at - DAY for at in self.stops.setdefault(source, []))
        if self.ended is None and self.stopped_by is None and (taken or first):
            self._put("representative" if source == "friend" else "worker", WEAK_S, coerced)
            self.stops[source].append(self.at)
        if taken:
            self.wishes[source].append(self.at)
        return taken

    def resume(self, *, staff: bool) -> bool:
        """Whether it is allowed."""
        if self.ended or self.stopped_by is None or self.due or (staff and not self.weak):
            return False
        self.stopped_by, self.final_at, self.coerced = None, None, False
        self.leaves.append(Kind.RESUME)
        return True

    def sweep(self) -> None:
        if self.due:
            self._end(self._window_cause())


def refusal(act: object) -> Reason | None:
    try:
        act()  # type: ignore[operator]
    except SafehandError as error:
        return error.reason
    return None


@pytest.mark.timeout(300)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(actions=st.lists(ACTIONS, min_size=3, max_size=12))
def test_any_order_of_stops_resumes_and_days(
    world: World, actions: list[tuple[str, str, int]]
) -> None:
    number = 1000 + world.rows("SELECT count(*) FROM subject")[0][0]
    world.register("haven", number, f"her-{number}")
    her = world.sign_in(number)
    grant = str(world.grant(her).grant.grant)
    set_word(world, her)
    code = add(world, her).representative_code
    model = Model(world.clock.wall())
    for action, source, value in actions:
        if action == "wait":
            world.clock.advance(value * HOUR)
            model.at = world.clock.wall()
            her = world.sign_in(number)
        elif action == "sweep":
            world.sweep()
            model.sweep()
        elif action == "weak" and source == "friend":
            found = refusal(lambda: stop_as_representative(world, code))
            assert found == (None if model.weak_stop(source, False) else Reason.QUOTA_EXCEEDED)
        elif action == "weak":
            why = "coercion" if value else ""
            found = refusal(lambda s=source, w=why: stop_for_her(world, s, grant=grant, why=w))
            assert found == (
                None if model.weak_stop(source, bool(value)) else Reason.QUOTA_EXCEEDED
            )
        elif action in ("stop", "destroy"):
            model.her_stop(destroy=action == "destroy")
            world.stop_grant(her, grant, destroy_now=action == "destroy")
        else:
            _resume(world, model, her, grant, staff=action == "staff")
        assert leaf_kinds(world, grant) == model.leaves
        stands = "revoked" if model.ended else "stopped" if model.stopped_by else "active"
        assert state(world, grant) == (stands, model.stopped_by, model.final_at)
        sql = "SELECT end_cause FROM consent_grant WHERE grant_id = ?"
        assert world.rows(sql, grant) == [(model.ended,)]
        assert world.key_rows(grant) == (0 if model.ended else 3)
        assert world.app.context.gates.is_up(grant) == (model.stopped_by is not None)


def _resume(world: World, model: Model, her: bytes, grant: str, *, staff: bool) -> None:
    if not staff:
        found = refusal(lambda: world.resume_grant(her, grant))
        assert (found is None) == model.resume(staff=False)
        return
    found = refusal(lambda: resume_for_her(world, grant))
    if found is not Reason.THROTTLED:
        assert found == (None if model.resume(staff=True) else Reason.RESUME_REFUSED)
