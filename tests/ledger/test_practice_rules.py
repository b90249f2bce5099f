"""The rules of consent as it is practised, as fsck and oversight read them from the entries.

Each scenario is appended by the real writer, which knows no rule of order.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from safehand_core.canonical import Json
from safehand_formats.kinds import Kind

from tests.ledger.world import DAY, GrantScript, World

WEAK: dict[str, Json] = {
    "by": "worker",
    "strength": "weak",
    "agency": "agency-a",
    "worker_ref": "worker-0001",
    "channel": "phone",
}
STAFF: dict[str, Json] = {
    "by": "staff",
    "agency": "agency-a",
    "worker_ref": "worker-0001",
    "second_ref": "worker-0002",
}
SECOND: dict[str, Json] = {
    "by": "second",
    "agency": "agency-a",
    "worker_ref": "worker-0002",
    "record": "6" * 64,
}
RESEALED: dict[str, Json] = {"manifest": "9" * 64}
SENSITIVE: dict[str, Json] = {
    "category": "LOCATION",
    "stage": "identity",
    "part": 1,
    "accept": "8" * 64,
}


def codes(world: World) -> set[str]:
    return {problem.code for problem in world.fsck().problems}


def granted(world: World, **fields: Json) -> GrantScript:
    script = GrantScript(world, 7)
    values: dict[str, Json] = {"categories": ["CARD", "LOCATION", "NAME"], **fields}
    script.append(Kind.GRANT, **values)
    return script


def recorded(world: World, **fields: Json) -> GrantScript:
    """Taken down by a worker of agency A; it lapses after fourteen days."""
    more: dict[str, Json] = {
        "recorded_by": "agency-a",
        "recorder_ref": "worker-0001",
        "medium": "paper",
        "record": "5" * 64,
        "confirm_by": world.writer.now + 14 * DAY,
    }
    return granted(world, **{**more, **fields})


def cosigned(world: World) -> GrantScript:
    return granted(world, cosign_by=world.writer.now + 14 * DAY)


def weakly_stopped(world: World, **fields: Json) -> GrantScript:
    script = granted(world)
    final_at = world.writer.now + 3 * DAY
    script.append(Kind.STOP, **{**WEAK, "final_at": final_at, **fields})
    return script


def later(world: World, seconds: int) -> None:
    world.clock.advance(seconds)
    world.writer.confirm_clock()


def releasing(world: World) -> GrantScript:
    """Another consent, under which something was sent."""
    script = GrantScript(world, 8)
    script.append(Kind.GRANT, categories=["CARD"])
    script.append(Kind.REFER, categories=["CARD"])
    return script


def card(script: GrantScript, **fields: Json) -> None:
    script.append(Kind.REFER, categories=["CARD"], **fields)
    script.append(Kind.DISCLOSE)


def refer_all(script: GrantScript) -> None:
    script.append(Kind.REFER, categories=["CARD", "LOCATION"])


# --- what is lawful ------------------------------------------------------------------------------


def recorded_then_confirmed(world: World) -> None:
    script = recorded(world)
    card(script)
    script.append(Kind.CONFIRM)
    later(world, 20 * DAY)
    script.append(Kind.REFER, categories=["CARD", "LOCATION"], **RESEALED)
    script.append(Kind.DISCLOSE, **SENSITIVE, manifest="9" * 64)


def recorded_then_seconded_then_lapsed(world: World) -> None:
    script = recorded(world)
    end = world.writer.now + 14 * DAY
    script.append(Kind.CONFIRM, **SECOND)
    refer_all(script)
    script.append(Kind.DISCLOSE, **SENSITIVE)
    later(world, 14 * DAY)
    script.append(Kind.EXPIRE, cause="unconfirmed", expires_at=end)


def signed_by_a_guardian(world: World) -> None:
    script = cosigned(world)
    script.append(Kind.CONFIRM, by="guardian")
    card(script)


def narrowed(world: World) -> None:
    script = granted(world)
    refer_all(script)
    script.append(Kind.NARROW, expires_at=world.writer.now + 10 * DAY)
    script.append(Kind.DISCLOSE)
    end = world.writer.now + 10 * DAY
    later(world, 10 * DAY)
    script.append(Kind.EXPIRE, expires_at=end)


def her_stop_over_a_weak_one(world: World) -> None:
    script = weakly_stopped(world)
    script.append(Kind.STOP)
    script.append(Kind.REVOKE, cause="destroy_now")


def weak_stops_and_resumes(world: World) -> None:
    script = weakly_stopped(world)
    script.append(Kind.RESUME, **STAFF)
    final_at = world.writer.now + 3 * DAY
    script.append(Kind.STOP, **{**WEAK, "why": "coercion", "final_at": final_at})
    script.append(Kind.RESUME)
    script.append(Kind.STOP, **{**WEAK, "final_at": final_at})
    later(world, 3 * DAY)
    script.append(Kind.REVOKE, cause="invalidated")


def destroyed_at_once(world: World) -> None:
    script = granted(world)
    script.append(Kind.STOP, final_at=world.writer.now)
    script.append(Kind.REVOKE, cause="destroy_now")


def void_before_anybody_swept(world: World) -> None:
    """A weak stop is final, then the term is over, and the clock was suspect all the while."""
    script = weakly_stopped(world)
    later(world, 200 * DAY)
    script.append(Kind.STOP, why="coercion", final_at=world.writer.now)
    script.append(Kind.REVOKE, cause="invalidated")


def a_week_with_a_suspect_clock(world: World) -> None:
    """Nothing is released and nothing is swept; she stops, and another gives a consent."""
    other = releasing(world)
    other.append(Kind.DISCLOSE)
    weakly_stopped(world)
    later(world, 10 * DAY)
    GrantScript(world, 9).append(Kind.GRANT)
    other.append(Kind.STOP)


def swept_after_the_clock_was_confirmed(world: World) -> None:
    other, script = releasing(world), weakly_stopped(world)
    later(world, 10 * DAY)
    other.append(Kind.DISCLOSE)
    assert codes(world) == set(), "the sweep may be a moment behind"
    script.append(Kind.REVOKE, cause="window")
    later(world, 10 * DAY)
    other.append(Kind.DISCLOSE)


def releases_while_a_window_is_open(world: World) -> None:
    other = releasing(world)
    weakly_stopped(world)
    for _ in range(3):
        other.append(Kind.DISCLOSE)
        later(world, DAY - 1)
    other.append(Kind.DISCLOSE)


def turned_on_again_in_the_last_second(world: World) -> None:
    script = weakly_stopped(world)
    later(world, 3 * DAY - 1)
    script.append(Kind.RESUME, **STAFF)


def refused(world: World) -> None:
    GrantScript(world, 8).append(Kind.REFUSE)


def sealed_again(world: World) -> None:
    script = granted(world)
    old = script.append(Kind.REFER, categories=["CARD"], manifest="8" * 64, referral="3" * 32)
    assert old.value >= 0
    script.append(Kind.REFER, categories=["CARD"], referral="3" * 32, reseals="8" * 64, **RESEALED)
    script.append(Kind.DISCLOSE, manifest="9" * 64)


LAWFUL: dict[str, Callable[[World], None]] = {
    function.__name__: function
    for function in (
        recorded_then_confirmed,
        recorded_then_seconded_then_lapsed,
        signed_by_a_guardian,
        narrowed,
        her_stop_over_a_weak_one,
        weak_stops_and_resumes,
        destroyed_at_once,
        void_before_anybody_swept,
        a_week_with_a_suspect_clock,
        swept_after_the_clock_was_confirmed,
        releases_while_a_window_is_open,
        turned_on_again_in_the_last_second,
        refused,
        sealed_again,
    )
}


@pytest.mark.parametrize("name", LAWFUL)
def test_what_people_really_do_is_lawful(world: World, name: str) -> None:
    LAWFUL[name](world)
    assert codes(world) == set()


# --- what is not ---------------------------------------------------------------------------------


def _confirm_late(world: World, **fields: Json) -> None:
    script = recorded(world)
    later(world, 14 * DAY)
    script.append(Kind.CONFIRM, **fields)


def _share_after_lapse(world: World) -> None:
    script = recorded(world)
    later(world, 14 * DAY)
    script.append(Kind.REFER, categories=["CARD"])


def _sensitive_look(world: World) -> None:
    script = recorded(world)
    refer_all(script)


def _narrow_then(kind: Kind, **fields: Json) -> Callable[[World], object]:
    def run(world: World) -> None:
        script = granted(world)
        refer_all(script)
        script.append(Kind.NARROW)
        script.append(kind, **fields)

    return run


def _reseal(**fields: Json) -> Callable[[World], object]:
    def run(world: World) -> None:
        script = granted(world)
        script.append(Kind.REFER, categories=["CARD"], manifest="8" * 64, referral="3" * 32)
        values: dict[str, Json] = {"categories": ["CARD"], "referral": "3" * 32}
        script.append(Kind.REFER, **{**values, **RESEALED, **fields})

    return run


def _look_at_the_replaced(world: World) -> None:
    script = granted(world)
    script.append(Kind.REFER, categories=["CARD"], manifest="8" * 64, referral="3" * 32)
    script.append(Kind.REFER, categories=["CARD"], referral="3" * 32, reseals="8" * 64, **RESEALED)
    script.append(Kind.DISCLOSE, manifest="8" * 64)


def _weakly_destroyed(cause: str) -> Callable[[World], object]:
    return lambda world: weakly_stopped(world).append(Kind.REVOKE, cause=cause)


def _staff_undo_hers(world: World) -> None:
    script = granted(world)
    script.append(Kind.STOP)
    script.append(Kind.RESUME, **STAFF)


def _lapse_of_a_confirmed(world: World) -> None:
    script = recorded(world)
    end = world.writer.now + 14 * DAY
    script.append(Kind.CONFIRM)
    later(world, 14 * DAY)
    script.append(Kind.EXPIRE, cause="unconfirmed", expires_at=end)


def _confirm_after(days: int, until: str) -> Callable[[World], object]:
    def run(world: World) -> None:
        make = recorded if until == "confirm_by" else granted
        make(world, **{until: world.writer.now + days * DAY})

    return run


def _resume_after(seconds: int) -> Callable[[World], object]:
    def run(world: World) -> None:
        script = weakly_stopped(world)
        later(world, seconds)
        script.append(Kind.RESUME)

    return run


def _resume_after_term(world: World) -> None:
    script = granted(world, expires_at=world.writer.now + DAY)
    script.append(Kind.STOP, **{**WEAK, "final_at": world.writer.now + 3 * DAY})
    later(world, DAY)
    script.append(Kind.RESUME)


def _resume_after_lapse(world: World) -> None:
    script = recorded(world)
    later(world, 13 * DAY)
    script.append(Kind.STOP, **{**WEAK, "final_at": world.writer.now + 3 * DAY})
    later(world, DAY)
    script.append(Kind.RESUME)


def _stop_after_term(world: World) -> None:
    script = granted(world)
    later(world, 200 * DAY)
    script.append(Kind.STOP)


def _her_window(seconds: int) -> Callable[[World], object]:
    return lambda w: granted(w).append(Kind.STOP, final_at=w.writer.now + seconds)


def _no_window_then(*ends: dict[str, Json]) -> Callable[[World], object]:
    def run(world: World) -> None:
        script = granted(world)
        script.append(Kind.STOP, final_at=world.writer.now)
        for end in ends:
            script.append(Kind.REVOKE, **end)

    return run


def _hers_over_a_final_one(world: World) -> None:
    """Her word as a way to open a window again that is over."""
    script = weakly_stopped(world)
    later(world, 200 * DAY)
    script.append(Kind.STOP)


def _never(make: Callable[[World], object], days: int) -> Callable[[World], object]:
    """What was due did not come, and releases went on for more than a day."""

    def run(world: World) -> None:
        other = releasing(world)
        make(world)
        later(world, days * DAY)
        other.append(Kind.DISCLOSE)
        later(world, DAY + 1)
        other.append(Kind.DISCLOSE)

    return run


def _weak_after_hers(world: World) -> None:
    script = granted(world)
    script.append(Kind.STOP)
    script.append(Kind.STOP, **{**WEAK, "final_at": world.writer.now + 3 * DAY})


SCENARIOS: dict[str, tuple[str, Callable[[World], object]]] = {
    "recorded by the recipient": ("SCOPE", lambda w: recorded(w, recorded_by="agency-b")),
    "confirmed without being recorded": ("ORDER", lambda w: granted(w).append(Kind.CONFIRM)),
    "signed where no guardian was asked": (
        "ORDER",
        lambda w: granted(w).append(Kind.CONFIRM, by="guardian"),
    ),
    "confirmed twice": (
        "ORDER",
        lambda w: (s := recorded(w)).append(Kind.CONFIRM) and s.append(Kind.CONFIRM),
    ),
    "confirmed after the end": ("TIME", _confirm_late),
    "a second without an agency": (
        "SCOPE",
        lambda w: recorded(w).append(Kind.CONFIRM, by="second"),
    ),
    "she through an agency": (
        "SCOPE",
        lambda w: recorded(w).append(Kind.CONFIRM, **{**SECOND, "by": "self"}),
    ),
    "the recorder is the second": (
        "SCOPE",
        lambda w: recorded(w).append(Kind.CONFIRM, **{**SECOND, "worker_ref": "worker-0001"}),
    ),
    "the recipient is the second": (
        "SCOPE",
        lambda w: recorded(w).append(Kind.CONFIRM, **{**SECOND, "agency": "agency-b"}),
    ),
    "shared after the lapse": ("TIME", _share_after_lapse),
    "sensitive on one word": ("ORDER", _sensitive_look),
    "a lapse of what she confirmed": ("SCOPE", _lapse_of_a_confirmed),
    "shared before the guardian signed": (
        "ORDER",
        lambda w: cosigned(w).append(Kind.REFER, categories=["CARD"]),
    ),
    "a look at what she took out": ("SCOPE", _narrow_then(Kind.DISCLOSE, **SENSITIVE)),
    "sent what she took out": (
        "SCOPE",
        _narrow_then(Kind.REFER, categories=["CARD", "LOCATION"], **RESEALED),
    ),
    "made wider": ("SCOPE", _narrow_then(Kind.NARROW, categories=["CARD", "NAME"])),
    "made longer": ("SCOPE", lambda w: granted(w).append(Kind.NARROW, expires_at=2**40)),
    "narrowed to nothing": ("SCOPE", lambda w: granted(w).append(Kind.NARROW, categories=["NAME"])),
    "refused twice": (
        "ORDER",
        lambda w: (s := GrantScript(w, 8)).append(Kind.REFUSE) and s.append(Kind.REFUSE),
    ),
    "a strong stop by a worker": ("SCOPE", lambda w: weakly_stopped(w, strength="strong")),
    "a weak stop of her own": ("SCOPE", lambda w: granted(w).append(Kind.STOP, strength="weak")),
    "her own stop by an agency": (
        "SCOPE",
        lambda w: weakly_stopped(w, by="self", strength="strong"),
    ),
    "a worker of nobody": (
        "SCOPE",
        lambda w: granted(w).append(Kind.STOP, by="worker", strength="weak"),
    ),
    "a worker of neither end": ("SCOPE", lambda w: weakly_stopped(w, agency="agency-z")),
    "a weak stop with less time": (
        "TIME",
        lambda w: weakly_stopped(w, final_at=w.writer.now + 3 * DAY - 1),
    ),
    "a weak stop with more time": (
        "TIME",
        lambda w: weakly_stopped(w, final_at=w.writer.now + 3 * DAY + 1),
    ),
    "her stop with less time": ("TIME", _her_window(DAY - 1)),
    "her stop that is never final": ("TIME", _her_window(3650 * DAY)),
    "her window taken from her": ("TIME", _no_window_then({"cause": "window"})),
    "final at once and never ended": ("TIME", _no_window_then()),
    "her stop over one that was final": ("TIME", _hers_over_a_final_one),
    "waits for her for half a year": ("TERM", _confirm_after(90, "confirm_by")),
    "waits for a guardian for half a year": ("TERM", _confirm_after(90, "cosign_by")),
    "waits for her no time at all": ("TERM", _confirm_after(0, "confirm_by")),
    "turned on in the second of its end": ("TIME", _resume_after(3 * DAY)),
    "turned on after the term": ("TIME", _resume_after_term),
    "turned on after the lapse": ("TIME", _resume_after_lapse),
    "stopped after the term": ("TIME", _stop_after_term),
    "a stop that never became final": ("TIME", _never(weakly_stopped, 4)),
    "a term that never ended": (
        "TIME",
        _never(lambda w: granted(w, expires_at=w.writer.now + DAY), 2),
    ),
    "staff of another agency": (
        "SCOPE",
        lambda w: weakly_stopped(w).append(Kind.RESUME, **{**STAFF, "agency": "agency-b"}),
    ),
    "a weak stop behind her own": ("ORDER", _weak_after_hers),
    "a weak stop behind a weak one": (
        "ORDER",
        lambda w: weakly_stopped(w).append(Kind.STOP, **WEAK),
    ),
    "a weak stop that destroys": ("SCOPE", _weakly_destroyed("destroy_now")),
    "a weak stop that destroys in its window": ("TIME", _weakly_destroyed("window")),
    "a weak word of coercion that destroys": ("TIME", _weakly_destroyed("invalidated")),
    "staff undo her own stop": ("SCOPE", _staff_undo_hers),
    "one person undoes it": (
        "SCOPE",
        lambda w: weakly_stopped(w).append(
            Kind.RESUME, **{**STAFF, "second_ref": STAFF["worker_ref"]}
        ),
    ),
    "staff of nobody": ("SCOPE", lambda w: weakly_stopped(w).append(Kind.RESUME, by="staff")),
    "one referral, two manifests": ("ORDER", _reseal()),
    "seals another referral again": ("ORDER", _reseal(reseals="8" * 64, referral="4" * 32)),
    "seals again for another purpose": ("SCOPE", _reseal(reseals="8" * 64, purpose="legal")),
    "a look at what was sealed again": ("ORDER", _look_at_the_replaced),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_rule_of_practice_is_checked(world: World, name: str) -> None:
    code, scenario = SCENARIOS[name]
    scenario(world)
    assert code in codes(world)
