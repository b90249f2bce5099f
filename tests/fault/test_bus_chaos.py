"""The bus loses, repeats, reorders, stalls, dies and forgets; every agency hears all of it once.

All processes are real, with TLS; between the services and their bus stands a proxy that disturbs.
What must have arrived is not written down here: it is what each source's own sequence says.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.fault.stage import AGENCIES, NATS, Stage, stage
from tests.flow.following import everything
from tests.harness.proxy import Disturbance
from tests.harness.world import eventually


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One world for all disturbances: what one leaves behind, the next must bear."""
    with stage(tmp_path_factory.mktemp("chaos") / "sandbox") as found:
        found.rounds(1)
        found.check()
        yield found


@pytest.mark.parametrize(
    "disturbance",
    [
        Disturbance(drop=0.3),
        Disturbance(double=0.5),
        Disturbance(reorder=0.5),
        Disturbance(drop=0.3, double=0.3, reorder=0.3),
        Disturbance(delay_s=0.05),
        Disturbance(cut=True),
    ],
    ids=["dropped", "doubled", "reordered", "all-three", "slow", "partitioned"],
)
def test_disturbed(scene: Stage, disturbance: Disturbance) -> None:
    before = scene.proxy.counters.copy()
    scene.proxy.disturb(disturbance)
    try:
        scene.rounds(5)
        if not disturbance.cut:
            # Enough has passed for the disturbance to have met acknowledgements and requests too.
            eventually(
                lambda: scene.proxy.counters["messages"] > before["messages"] + 40, "traffic"
            )
    finally:
        scene.proxy.heal()
    for kind in ("drop", "double", "reorder"):
        counted = {"drop": "dropped", "double": "doubled", "reorder": "reordered"}[kind]
        assert bool(getattr(disturbance, kind)) == (
            scene.proxy.counters[counted] > before[counted]
        ), kind
    scene.check()


def test_connections_that_break_again_and_again(scene: Stage) -> None:
    for _ in range(5):
        scene.rounds(1)
        scene.proxy.break_connections()
    scene.check()


@pytest.mark.parametrize("store", ["kept", "wiped"])
def test_killed(scene: Stage, store: str) -> None:
    """The server dies in the midst of it, with its store or without."""
    supervisor = scene.world.system.supervisor
    scene.rounds(2)
    supervisor.hold(NATS)
    scene.rounds(2)
    if store == "wiped":
        shutil.rmtree(scene.world.system.nats.store)
    supervisor.release(NATS)
    scene.rounds(1)
    scene.check()


def test_wiped_while_a_third_is_lost_doubled_and_reordered(scene: Stage) -> None:
    supervisor = scene.world.system.supervisor
    scene.proxy.disturb(Disturbance(drop=0.3, double=0.3, reorder=0.3))
    try:
        scene.rounds(2)
        supervisor.hold(NATS)
        shutil.rmtree(scene.world.system.nats.store)
        scene.rounds(1)
        supervisor.release(NATS)
        scene.rounds(2)
    finally:
        scene.proxy.heal()
    scene.check()


def test_replayed_from_the_beginning(scene: Stage) -> None:
    """An operator replays everything: it comes again, and nobody hears it again."""
    heard = {name: len(everything(scene.agency(name))) for name in AGENCIES}
    round, last = scene.world.consent_operator.replay_events("consent", 1)
    assert round >= 1
    assert last == len(scene.sequence("consent"))
    scene.world.referral_operator.replay_events("referral", 1)
    scene.rounds(1)
    scene.check()
    added = {"agency-a": 6, "agency-b": 3}
    assert {n: len(everything(scene.agency(n))) - heard[n] for n in AGENCIES} == added
