"""One damaged row, or one failed try, does not keep the release KEK of all others alive."""

from __future__ import annotations

import pytest
from safehand_consent_service import kek_roll
from safehand_consent_service.category_keys import KekRing
from safehand_consent_service.tables import category_key
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from sqlalchemy import update

from tests.consent.release.world import World, refused
from tests.keys.test_kek_roll import HOUR_S, epochs_on_disk, hours_pass


def damage(world: World, grant: str, category: str) -> None:
    """As a disk does, or somebody who can write to the database."""
    of = (category_key.c.grant_id == grant) & (category_key.c.category == category)
    statement = update(category_key).where(of).values(wrapped=bytes(60))
    world.app.context.writer.submit(lambda txn: txn.connection.execute(statement))


@pytest.mark.parametrize("batch", [1, 500])
def test_a_row_that_does_not_open_keeps_no_other_from_being_destroyed(
    consent: World, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(kek_roll, "BATCH", batch)
    session = consent.session()
    grants = [consent.grant(session) for _ in range(3)]
    sent = consent.send(grants[1])
    damage(consent, grants[0], "CARD")
    hours_pass(consent, kek_roll.ROLL_AFTER_S // HOUR_S)
    assert epochs_on_disk(consent) == {2}
    assert consent.release(sent).inner_wrap
    context = consent.app.context
    assert kek_roll.oldest_age_s(context) == 0
    with pytest.raises(SafehandError) as lost, context.engine.connect() as connection:
        context.keks.open_key(connection, grants[0], "CARD")
    assert lost.value.reason is Reason.LEDGER_CORRUPT
    hours_pass(consent, kek_roll.ROLL_AFTER_S // HOUR_S)
    assert epochs_on_disk(consent) == {3}
    assert consent.release(sent).inner_wrap


def test_the_age_that_is_shown_is_of_the_oldest_kek_on_the_disk(
    consent: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new epoch is no comfort while the old one still opens every copy."""
    consent.grant(consent.session())
    context = consent.app.context
    consent.clock.advance(HOUR_S)
    with monkeypatch.context() as cut:
        cut.setattr(KekRing, "destroy_unused", lambda *_, **__: None)
        kek_roll.roll(context)
    consent.clock.advance(HOUR_S)
    assert kek_roll.age_s(context) == HOUR_S
    assert kek_roll.oldest_age_s(context) == 2 * HOUR_S
    kek_roll.finish(context)
    assert kek_roll.oldest_age_s(context) == HOUR_S


def test_a_clock_that_was_suspect_at_the_start_is_remembered_until_a_roll(
    consent: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    consent.grant(consent.session())
    context = consent.app.context
    consent.clock.jump_wall(10 * 24 * HOUR_S)
    due = kek_roll.RollDue(context)

    def failing(*_: object) -> None:
        raise SafehandError(Reason.UNAVAILABLE)

    with monkeypatch.context() as broken:
        broken.setattr(context.keks, "begin_epoch", failing)
        with refused(Reason.UNAVAILABLE):
            kek_roll.roll_if_due(context, due)
    context.writer.confirm_clock()
    assert kek_roll.roll_if_due(context, due)
    assert not kek_roll.roll_if_due(context, due)
