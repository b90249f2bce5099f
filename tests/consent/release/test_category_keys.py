"""Category keys and epochs: what a roll destroys, and that a crash inside one loses nothing.

Whether the process really dies at these failpoints is another test's; here a crash is an exception
in its place, after which everything is rebuilt from the disk.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from safehand.consent.v1 import consent_pb2 as pb
from safehand_consent_service import category_keys, kek_roll
from safehand_consent_service.tables import category_key, kek_epoch
from safehand_core import failpoints
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import wraps
from safehand_store.engine import begin_read, open_engine
from sqlalchemy import select

from tests.consent.release.world import (
    DEFAULT_CATEGORIES,
    A,
    B,
    Sent,
    World,
    in_background,
    new_request_id,
    refused,
    wait_for,
)
from tests.harness import database_owner


class Crash(BaseException):
    """The process ended here."""


@pytest.fixture
def crash_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Name a failpoint in the list, and whoever passes it crashes."""
    names: list[str] = []
    passed = failpoints.hit

    def hit(name: str) -> None:
        passed(name)
        if name in names:
            raise Crash

    monkeypatch.setattr(failpoints, "hit", hit)
    return names


def roll(world: World, request_id: str = "") -> pb.RollKeysResponse:
    request = pb.RollKeysRequest(request_id=request_id or new_request_id())
    return world.operator().RollKeys(request)


def epochs_on_disk(world: World) -> set[int]:
    return {int(path.name[4:]) for path in world.settings.release_dir.glob("kek-*")}


def rows(world: World) -> list[tuple[str, str, int, bytes]]:
    with begin_read(world.app.context.engine) as connection:
        return [tuple(row) for row in connection.execute(select(category_key))]


def current_epoch(world: World) -> int:
    with begin_read(world.app.context.engine) as connection:
        statement = select(kek_epoch.c.epoch).where(kek_epoch.c.state == "current")
        return int(connection.execute(statement).scalar_one())


def sent_referral(world: World) -> Sent:
    return world.send(world.grant(world.session()))


def test_a_grant_has_one_key_for_each_category_under_the_epochs_kek(fresh_world: World) -> None:
    world = fresh_world
    grant = world.grant(world.session())
    kek = (world.settings.release_dir / "kek-1").read_bytes()
    assert len(kek) == wraps.KEY_BYTES
    keys = {
        category: wraps.open_category_key(kek, epoch, grant_id, category, wrapped)
        for grant_id, category, epoch, wrapped in rows(world)
        if grant_id == grant
    }
    assert keys.keys() == set(DEFAULT_CATEGORIES)
    assert len(set(keys.values())) == len(keys)
    assert (world.settings.release_dir / "kek-1").stat().st_mode & 0o077 == 0


def test_a_roll_rewraps_every_live_key_and_destroys_the_old_kek(fresh_world: World) -> None:
    world = fresh_world
    sent = sent_referral(world)
    before = rows(world)
    old = (world.settings.release_dir / "kek-1").read_bytes()
    rolled = roll(world)
    assert (rolled.epoch, rolled.rewrapped) == (2, len(before))
    assert epochs_on_disk(world) == {2}
    assert old not in (world.settings.release_dir / "kek-2").read_bytes()
    after = rows(world)
    assert {row[2] for row in after} == {2}
    assert not {row[3] for row in before} & {row[3] for row in after}
    opened = world.release(sent)
    assert world.open(sent, "CARD", opened.inner_wrap) == b"content of CARD"
    with pytest.raises(SafehandError):
        wraps.open_category_key(old, 2, after[0][0], after[0][1], after[0][3])


def test_the_old_kek_is_forgotten_in_memory_too(fresh_world: World) -> None:
    world = fresh_world
    sent_referral(world)
    old = (world.settings.release_dir / "kek-1").read_bytes()
    assert 1 in world.app.context.keks._keks
    roll(world)
    assert set(world.app.context.keks._keks) == {2}
    assert old not in world.app.context.keks._keks.values()


def test_keys_of_a_final_grant_are_not_wrapped_again(fresh_world: World) -> None:
    world = fresh_world
    session = world.session()
    gone, kept = world.grant(session), world.grant(session)
    world.stop_grant(session, gone, pb.STOP_MODE_DESTROY_NOW)
    assert roll(world).rewrapped == len(DEFAULT_CATEGORIES)
    assert {row[0] for row in rows(world)} == {kept}


def test_keys_of_a_stopped_grant_are_kept_until_it_is_final(fresh_world: World) -> None:
    world = fresh_world
    session = world.session()
    grant = world.grant(session)
    sent = world.send(grant)
    world.stop_grant(session, grant)
    roll(world)
    world.resume_grant(session, grant)
    world.release(sent)


def test_a_repeated_roll_rolls_once(fresh_world: World) -> None:
    world = fresh_world
    request_id = new_request_id()
    first = roll(world, request_id)
    assert roll(world, request_id) == first
    assert current_epoch(world) == 2
    assert roll(world).epoch == 3


def test_only_the_operator_rolls(fresh_world: World) -> None:
    for stub in (fresh_world.agency(A), fresh_world.portal()):
        with refused(Reason.NOT_ALLOWED):
            stub.RollKeys(pb.RollKeysRequest(request_id=new_request_id()))


@pytest.mark.parametrize(
    ("failpoint", "epoch"),
    [
        ("consent.keys.new_kek", 1),
        ("consent.keys.begun", 2),
        ("consent.keys.some_rewrapped", 2),
        ("consent.keys.rewrapped", 2),
    ],
)
def test_a_start_finishes_a_roll_that_a_crash_left_open(
    fresh_world: World,
    crash_at: list[str],
    failpoint: str,
    epoch: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kek_roll, "BATCH", 1)
    world = fresh_world
    sent = sent_referral(world)
    crash_at.append(failpoint)
    with pytest.raises(Crash):
        kek_roll.roll(world.app.context)
    assert epochs_on_disk(world) == {1, 2}
    crash_at.clear()
    world.restart()
    assert current_epoch(world) == epoch
    # A KEK whose epoch never began wraps nothing, and goes with the next roll.
    wait_for(lambda: epochs_on_disk(world) == {epoch} | ({2} if epoch == 1 else set()))
    assert {row[2] for row in rows(world)} == {epoch}
    world.release(sent)
    rolled = roll(world).epoch
    assert rolled == 3
    assert epochs_on_disk(world) == {3}
    world.release(sent)


def test_a_roll_whose_first_transaction_fails_leaves_the_old_epoch_in_force(
    fresh_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = fresh_world
    sent = sent_referral(world)

    def failing(*_: object) -> None:
        raise SafehandError(Reason.UNAVAILABLE)

    with monkeypatch.context() as broken:
        broken.setattr(world.app.context.keks, "begin_epoch", failing)
        with pytest.raises(SafehandError):
            kek_roll.roll(world.app.context)
    assert current_epoch(world) == 1
    world.release(sent)
    assert roll(world).epoch == 3  # the number of the unused file is not used again
    assert epochs_on_disk(world) == {3}
    world.release(sent)


def test_grants_releases_and_rolls_at_the_same_time(fresh_world: World) -> None:
    """Every grant is wrapped under the epoch that holds when it is committed."""
    world = fresh_world
    session = world.session()
    first = world.send(world.grant(session))
    done = threading.Event()
    made: list[Sent] = []

    def grants() -> None:
        while not done.is_set():
            made.append(world.send(world.grant(session)))

    def releases() -> None:
        while not done.is_set():
            world.release(first)

    outcomes = [in_background(work) for work in (grants, grants, releases)]
    for _ in range(8):
        roll(world)
    done.set()
    for outcome in outcomes:
        outcome()
    assert epochs_on_disk(world) == {current_epoch(world)}
    assert {row[2] for row in rows(world)} == {current_epoch(world)}
    assert len(made) > 3
    for sent in made:
        world.release(sent)


def test_a_copy_of_the_database_from_before_a_roll_opens_nothing(
    fresh_world: World, tmp_path: Path
) -> None:
    """With the database and the day's keystore, but the KEK of its epoch destroyed."""
    world = fresh_world
    sent_referral(world)
    world.stop()
    copy = database_owner.copy(world.store, tmp_path / "copy")
    first_kek = (world.settings.release_dir / "kek-1").read_bytes()
    world.start()
    roll(world)
    kek = (world.settings.release_dir / "kek-2").read_bytes()
    engine = open_engine(copy.store.location, read_only=True)
    with begin_read(engine) as connection:
        stolen = connection.execute(select(category_key)).all()
    engine.dispose()
    assert stolen
    for row in stolen:
        with pytest.raises(SafehandError):
            wraps.open_category_key(kek, row.epoch, row.grant_id, row.category, row.wrapped)
        # and this test can fail: with the KEK that was destroyed every row opens
        wraps.open_category_key(first_kek, row.epoch, row.grant_id, row.category, row.wrapped)


def test_a_restored_database_without_its_kek_opens_nothing_and_still_serves(
    fresh_world: World,
) -> None:
    world = fresh_world
    session = world.session()
    grant = world.grant(session)
    sent = world.send(grant)
    world.stop()
    (world.settings.release_dir / "kek-1").unlink()
    if world.store.url:
        # Several hosts may share it: here the file may only be on a volume that is not mounted.
        with pytest.raises(SafehandError) as caught:
            world.start()
        assert caught.value.reason is Reason.CONFIG_INVALID
        world.app.close()
        (world.settings.release_dir / category_keys.LOST).touch(mode=0o600)
    world.start()
    with refused(Reason.LEDGER_CORRUPT, by=world):
        world.release(sent)
    world.stop_grant(session, grant)
    other = world.send(world.grant(session))
    world.release(other)
    assert roll(world).rewrapped == len(DEFAULT_CATEGORIES)
    with refused(Reason.LEDGER_CORRUPT):
        world.resume_grant(session, grant)
        world.release(sent)


def test_a_rolled_back_database_destroys_no_newer_kek(fresh_world: World, tmp_path: Path) -> None:
    """The mistake is noticed by the anchor, and can then be mended."""
    world = fresh_world
    sent = sent_referral(world)
    world.stop()
    old = database_owner.copy(world.store, tmp_path / "old")
    world.start()
    roll(world)
    world.release(sent)
    world.stop()
    good = database_owner.copy(world.store, tmp_path / "good")
    old.put_back()
    lost = world.settings.release_dir / category_keys.LOST
    if world.store.url:
        # It asks for its volume first; and who says that the key is lost is told the truth.
        with pytest.raises(SafehandError) as caught:
            world.start()
        assert caught.value.reason is Reason.CONFIG_INVALID
        world.app.close()
        lost.touch(mode=0o600)
    with pytest.raises(SafehandError) as caught:
        world.start()
    assert caught.value.reason is Reason.LEDGER_ROLLED_BACK
    lost.unlink(missing_ok=True)
    world.app.close()
    assert 2 in epochs_on_disk(world)
    good.put_back()
    world.start()
    world.release(sent)


def test_the_recipient_alone_cannot_tell_why(fresh_world: World) -> None:
    """A key that is gone because the consent is final sounds like any other end."""
    world = fresh_world
    session = world.session()
    grant = world.grant(session)
    sent = world.send(grant)
    world.stop_grant(session, grant, pb.STOP_MODE_DESTROY_NOW)
    with pytest.raises(SafehandError) as gone:
        world.agency(B).ReleaseKey(world.release_request(sent))
    assert (gone.value.reason, gone.value.detail) == (Reason.CONSENT_ENDED, "")
