"""SIGKILL at every failpoint: nothing acknowledged is lost, nothing is done twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from safehand_core import failpoints

from tests.fault import crash, summary
from tests.harness.world import World, eventually, running

CELLS = [(point, name) for point, drives in crash.MATRIX.items() for name in drives]
KILLS: Counter[tuple[str, str]] = Counter()


@pytest.fixture(scope="module")
def shaken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world of its own: these tests kill its processes."""
    with running(tmp_path_factory.mktemp("crash") / "sandbox") as found:
        yield found


def test_every_failpoint_is_in_the_matrix() -> None:
    assert set(crash.MATRIX) == set(failpoints.TABLE)


@pytest.mark.parametrize(("point", "drive"), CELLS, ids=[f"{p}-{d}" for p, d in CELLS])
def test_crash(
    shaken: World, record_property: Callable[[str, object], None], point: str, drive: str
) -> None:
    process = crash.process_of(point)
    supervisor = shaken.system.supervisor
    scene = crash.Scene.set(shaken)
    armed = supervisor.child(process).process
    assert armed is not None
    shaken.arm(process, f"{point}=kill")
    try:
        crash.MATRIX[point][drive](scene)
        eventually(lambda: armed.poll() is not None, f"{process} died at {point}")
    finally:
        shaken.arm(process, "")
        supervisor.wait_ready(process)
    assert armed.returncode == -9
    KILLS[process, point] += 1
    record_property(summary.KILL, f"{process} {point}")
    crash.gapless(shaken)
    report = shaken.fsck()
    assert report.ok, report.problems


@pytest.mark.parametrize(
    "process", ["nats-server", "consent", "consent-worker", "referral", "referral-worker", "notify"]
)
def test_killed_at_any_moment(
    shaken: World, record_property: Callable[[str, object], None], process: str
) -> None:
    scene = crash.Scene.set(shaken)
    before = shaken.system.supervisor.starts(process)
    shaken.system.supervisor.kill(process)
    crash.drive_create(scene)
    crash.drive_release(scene)
    crash.drive_stop(scene)
    eventually(lambda: shaken.system.supervisor.starts(process) > before, "it was restarted")
    record_property(summary.KILL, f"{process} any-moment")
    crash.gapless(shaken)
    assert shaken.fsck().ok


def test_the_matrix_has_no_empty_cell() -> None:
    wanted = {(crash.process_of(point), point) for point in failpoints.TABLE}
    if not KILLS:
        pytest.fail("run this file as a whole: the matrix is filled by the tests before")
    assert all(KILLS[cell] for cell in wanted)
