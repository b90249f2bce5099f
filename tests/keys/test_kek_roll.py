"""The release KEK rolls by itself, in time, behind every stop, and wherever the writer is."""

from __future__ import annotations

from pathlib import Path

import pytest
from safehand.consent.v1 import consent_pb2 as pb
from safehand_consent_service import kek_roll
from safehand_consent_service.category_keys import LOST, KekRing
from safehand_consent_service.tables import category_key, kek_epoch
from safehand_core import failpoints
from safehand_core.entropy import SystemEntropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_store.engine import begin_read
from sqlalchemy import select

from tests.consent.release.world import DEFAULT_CATEGORIES, World, wait_for

HOUR_S = 3600


def epochs_on_disk(world: World) -> set[int]:
    return {int(path.name[4:]) for path in world.settings.release_dir.glob("kek-[0-9]*")}


def kek_bytes(world: World) -> set[bytes]:
    return {path.read_bytes() for path in world.settings.release_dir.glob("kek-[0-9]*")}


def epochs_in_use(world: World) -> set[int]:
    with begin_read(world.app.context.engine) as connection:
        return set(connection.execute(select(category_key.c.epoch).distinct()).scalars())


def hours_pass(world: World, hours: int) -> None:
    """Each with what the service's own threads do in it."""
    for _ in range(hours):
        world.clock.advance(HOUR_S)
        world.app.sweep()
        world.app.rotation.once()


def test_a_kek_is_replaced_before_it_is_a_day_old(consent: World) -> None:
    sent = consent.send(consent.grant(consent.session()))
    hours_pass(consent, kek_roll.ROLL_AFTER_S // HOUR_S - 1)
    assert epochs_on_disk(consent) == {1}
    hours_pass(consent, 1)
    assert epochs_on_disk(consent) == {2} == epochs_in_use(consent)
    consent.release(sent)
    hours_pass(consent, 24)
    assert epochs_on_disk(consent) == {3}
    consent.release(sent)


@pytest.mark.parametrize("after_hours", [0, 1, 11, 19, 20])
@pytest.mark.parametrize("mode", [pb.STOP_MODE_DESTROY_NOW, pb.STOP_MODE_STOP])
def test_what_wrapped_a_destroyed_key_is_gone_within_a_day(
    consent: World, after_hours: int, mode: pb.StopMode.ValueType
) -> None:
    """Wherever in the life of a KEK the stop comes, and whether by her or by time."""
    card = consent.register_subject()
    grant = consent.grant(consent.sign_in(card))
    hours_pass(consent, after_hours)
    consent.stop_grant(consent.sign_in(card), grant, mode)
    wrapped_under = kek_bytes(consent)
    while consent.category_key(grant, "CARD") is not None:
        hours_pass(consent, 1)
        wrapped_under |= kek_bytes(consent)
    hours_pass(consent, kek_roll.PROMISE_S // HOUR_S)
    assert not wrapped_under & kek_bytes(consent)


def test_an_expired_grants_keys_are_destroyed_as_soon(consent: World) -> None:
    terms = consent.terms()
    terms.expires_at.FromSeconds(consent.now + 30 * HOUR_S)
    grant = consent.grant(consent.session(), terms)
    wrapped_under: set[bytes] = set()
    while consent.category_key(grant, "CARD") is not None:
        wrapped_under |= kek_bytes(consent)
        hours_pass(consent, 1)
    hours_pass(consent, kek_roll.PROMISE_S // HOUR_S)
    assert not wrapped_under & kek_bytes(consent)


def test_an_overdue_roll_is_made_up_for_at_the_start(consent: World) -> None:
    sent = consent.send(consent.grant(consent.session()))
    consent.stop()
    consent.clock.advance(3 * 24 * HOUR_S)
    consent.start()
    wait_for(lambda: epochs_on_disk(consent) == {2})
    consent.release(sent)


def test_a_clock_that_was_set_back_does_not_hold_a_roll_back(consent: World) -> None:
    consent.clock.jump_wall(-30 * 24 * HOUR_S)
    hours_pass(consent, kek_roll.ROLL_AFTER_S // HOUR_S)
    assert epochs_on_disk(consent) == {2}


def test_a_suspect_clock_stops_deletions_and_not_the_roll(consent: World) -> None:
    session = consent.session()
    stopped, kept = consent.grant(session), consent.grant(session)
    consent.stop_grant(session, stopped)
    consent.clock.jump_wall(3 * 24 * HOUR_S)
    assert consent.app.context.writer.clock_suspect
    hours_pass(consent, kek_roll.ROLL_AFTER_S // HOUR_S)
    assert epochs_on_disk(consent) == {2}
    for grant in (stopped, kept):
        assert consent.category_key(grant, "CARD") is not None


def test_a_start_with_a_suspect_clock_rolls_at_once(consent: World) -> None:
    """Nobody knows how long the ledger was off, and a roll loses nothing."""
    grant = consent.grant(consent.session())
    consent.stop()
    consent.clock.jump_wall(10 * 24 * HOUR_S)
    consent.start()
    assert consent.app.context.writer.clock_suspect
    wait_for(lambda: epochs_on_disk(consent) == {2})
    assert consent.category_key(grant, "CARD") is not None


def test_a_failed_roll_is_made_up_for_by_the_next_look(
    consent: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise SafehandError(Reason.UNAVAILABLE)

    consent.clock.advance(kek_roll.ROLL_AFTER_S)
    with monkeypatch.context() as broken:
        broken.setattr(consent.app.context.keks, "begin_epoch", failing)
        with pytest.raises(SafehandError):
            consent.app.rotation.once()
    consent.app.rotation.once()
    assert len(epochs_on_disk(consent)) == 1
    assert epochs_on_disk(consent) != {1}


def test_a_stop_is_answered_between_two_batches_of_a_roll(
    consent: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what she stopped for good in the middle is not wrapped again."""
    monkeypatch.setattr(kek_roll, "BATCH", 1)
    card = consent.register_subject()
    session = consent.sign_in(card)
    grants = [consent.grant(session) for _ in range(3)]
    passed = failpoints.hit
    answered: list[pb.StopGrantResponse] = []

    def stop_after_the_first_batch(name: str) -> None:
        passed(name)
        if name == "consent.keys.some_rewrapped" and not answered:
            answered.append(consent.stop_grant(session, max(grants), pb.STOP_MODE_DESTROY_NOW))

    monkeypatch.setattr(failpoints, "hit", stop_after_the_first_batch)
    kek_roll.roll(consent.app.context)
    assert answered
    assert answered[0].HasField("revoke_receipt")
    with begin_read(consent.app.context.engine) as connection:
        rows = connection.execute(select(category_key.c.grant_id, category_key.c.epoch)).all()
    assert {tuple(row) for row in rows} == {(grant, 2) for grant in grants if grant != max(grants)}
    assert epochs_on_disk(consent) == {2}


def test_a_grant_in_the_middle_of_a_roll_is_wrapped_under_the_new_kek(
    consent: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = consent.session()
    consent.grant(session)
    made: list[str] = []
    passed = failpoints.hit

    def grant_once_begun(name: str) -> None:
        passed(name)
        if name == "consent.keys.begun":
            made.append(consent.grant(session))

    monkeypatch.setattr(failpoints, "hit", grant_once_begun)
    assert kek_roll.roll(consent.app.context).rewrapped == len(DEFAULT_CATEGORIES)
    assert epochs_on_disk(consent) == {2} == epochs_in_use(consent)
    assert consent.category_key(made[0], "CARD") is not None


def test_the_service_rolls_in_a_thread_of_its_own(consent: World) -> None:
    consent.stop()
    consent.clock.advance(kek_roll.ROLL_AFTER_S)
    consent.start()
    wait_for(lambda: epochs_on_disk(consent) == {2})
    names = [thread.name for thread in __import__("threading").enumerate()]
    assert "rotation" in names


# --- several hosts, one database ------------------------------------------------------------------


def ring(world: World, directory: Path, *, shared: bool = True) -> KekRing:
    return KekRing(directory, world.app.context.engine, SystemEntropy(), shared=shared)


def test_a_host_without_the_shared_volume_refuses_to_start(consent: World, tmp_path: Path) -> None:
    elsewhere = ring(consent, tmp_path / "elsewhere")
    for start in (elsewhere.require_volume, lambda: elsewhere.start(consent.now)):
        (tmp_path / "elsewhere").mkdir(mode=0o700, exist_ok=True)
        with pytest.raises(SafehandError) as refused:
            start()
        assert refused.value.reason is Reason.CONFIG_INVALID
        assert "kek_dir" in refused.value.detail
    with begin_read(consent.app.context.engine) as connection:
        assert connection.execute(select(kek_epoch.c.epoch)).scalars().all() == [1]
    there = ring(consent, consent.settings.release_dir)
    there.require_volume()
    there.start(consent.now)


def test_an_operator_may_say_that_the_kek_is_lost(consent: World, tmp_path: Path) -> None:
    directory = tmp_path / "elsewhere"
    directory.mkdir(mode=0o700)
    (directory / LOST).touch()
    elsewhere = ring(consent, directory)
    elsewhere.require_volume()
    elsewhere.start(consent.now)
    assert {path.name for path in directory.iterdir()} == {"kek-2"}


def test_a_kek_that_is_found_is_not_lost(consent: World) -> None:
    """What an operator said of one KEK holds for no later one."""
    said = consent.settings.release_dir / LOST
    said.touch()
    consent.stop()
    consent.start()
    assert not said.exists()
    assert epochs_on_disk(consent) == {1}


def test_no_host_writes_over_or_destroys_a_kek_that_another_has_just_made(consent: World) -> None:
    consent.grant(consent.session())
    other = ring(consent, consent.settings.release_dir)
    made = other.new_kek()
    theirs = (consent.settings.release_dir / f"kek-{made}").read_bytes()
    assert consent.app.context.keks.new_kek() > made
    consent.app.context.keks.destroy_unused(unknown=True)
    assert (consent.settings.release_dir / f"kek-{made}").read_bytes() == theirs


def test_a_host_whose_roll_was_overtaken_stores_nothing(consent: World) -> None:
    consent.grant(consent.session())
    context = consent.app.context
    kek_roll.roll(context)
    with begin_read(context.engine) as connection:
        before = connection.execute(select(category_key)).all()
    stale = context.keks.new_kek()
    context.writer.submit(lambda txn: context.keks.begin_epoch(txn.connection, stale, txn.now))
    batch = context.keks.rewrap_some(100)
    assert batch is not None
    newer = context.keks.new_kek()
    context.writer.submit(lambda txn: context.keks.begin_epoch(txn.connection, newer, txn.now))
    with pytest.raises(SafehandError) as refused:
        context.writer.submit(lambda txn: context.keks.put_rewrapped(txn.connection, batch))
    assert refused.value.reason is Reason.STATE_CONFLICT
    with begin_read(context.engine) as connection:
        assert connection.execute(select(category_key)).all() == before
