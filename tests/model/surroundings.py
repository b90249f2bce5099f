"""What happens around it: time, clocks that are set, sweeps, new keys, restarts, lost answers."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule
from safehand.consent.v1 import consent_pb2 as pb

from tests.consent.release.world import new_request_id
from tests.model.life import LONGEST, Life, which
from tests.model.model import DAY, HOUR, WEAK_WINDOW


class Surroundings(Life):
    """What nobody in it decides."""

    @rule(seconds=st.sampled_from([60, 5 * HOUR, DAY, WEAK_WINDOW, 13 * DAY, 14 * DAY, 40 * DAY]))
    def time_passes(self, seconds: int) -> None:
        if self.passed + seconds < LONGEST:
            self.passed += seconds
            self.world.clock.advance(seconds)

    @rule(
        number=which,
        what=st.sampled_from(["final_at", "expires_at", "confirm_by"]),
        seconds=st.sampled_from([-1, 0, 1]),
    )
    def a_deadline_comes(self, number: int, what: str, seconds: int) -> None:
        """To the second before it, to it, or to the second after it."""
        deadline = getattr(self.pick(number), what)
        if deadline is not None and deadline + seconds > self.now:
            self.time_passes(deadline + seconds - self.now)

    @rule(seconds=st.sampled_from([-3 * DAY, -HOUR, -1, 300, 2 * HOUR, 3 * DAY]))
    def somebody_sets_the_clock(self, seconds: int) -> None:
        if self.passed + max(0, seconds) < LONGEST:
            # A restart may believe a clock that is a few days ahead.
            self.passed += max(0, seconds)
            self.world.clock.jump_wall(seconds)
            self.happened("clock ahead" if seconds > 0 else "clock back")

    @rule()
    def somebody_sets_it_right(self) -> None:
        self.set_the_clock_right()

    @rule()
    def it_is_swept(self) -> None:
        self.world.app.sweep()
        if self.suspect:
            return
        for grant in self.grants:
            unconfirmed = grant.confirm_by is not None and grant.confirm_by <= grant.expires_at
            made = grant.settle(self.now)
            if made:
                ended = "lapse" if unconfirmed else "expire"
                self.happened("final" if made == "revoked" else ended)

    @rule()
    def keys_roll(self) -> None:
        request = pb.RollKeysRequest(request_id=new_request_id())
        self.does("roll keys", True, lambda: self.world.operator().RollKeys(request))

    @rule()
    def it_is_restarted(self) -> None:
        self.world.restart()
        self.happened("restart")

    @rule(lost=st.booleans())
    def answers_are_lost(self, lost: bool) -> None:
        """From now on every answer, so that each is asked for again; or none."""
        self.answers_get_lost = lost
