"""A consent that ends while a request for it waits its turn: the ledger's order decides."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from safehand_formats.leaf import Leaf
from safehand_ledger.tables import TABLES
from safehand_ledger.transaction import WriterTransaction
from safehand_store.engine import begin_read
from sqlalchemy import select

from tests.consent.release.world import (
    DAY_S,
    PATIENCE_S,
    World,
    in_background,
    refused,
    wait_for,
)

T = TypeVar("T")


@contextmanager
def busy_writer(world: World) -> Iterator[None]:
    """The writer is in the middle of a transaction for as long as the block runs."""
    begun, over = threading.Event(), threading.Event()

    def hold(_: WriterTransaction) -> None:
        begun.set()
        assert over.wait(PATIENCE_S)

    done = in_background(lambda: world.app.context.writer.submit(hold))
    assert begun.wait(PATIENCE_S)
    try:
        yield
    finally:
        over.set()
        done()


def waiting(world: World) -> int:
    return len(world.app.context.writer._lanes._others)


def entries(world: World, kind: Kind) -> int:
    """How many there are; an EXPIRE may have come since, by the sweeper."""
    with begin_read(world.app.context.engine) as connection:
        leaves = connection.execute(select(TABLES.leaf.c.leaf)).scalars()
        return sum(Leaf.decode(leaf).kind is kind for leaf in leaves)


def ends_meanwhile(world: World, ask: Callable[[], T]) -> Callable[[], T]:
    """``ask`` passes every check before the writer; then a day passes; then its turn comes."""
    with busy_writer(world):
        outcome = in_background(ask)
        wait_for(lambda: waiting(world) == 1)
        world.clock.advance(DAY_S)
    return outcome


def test_a_consent_that_ends_while_it_waits_for_the_writer_refers_nothing(
    fresh_world: World,
) -> None:
    world = fresh_world
    end = world.now + DAY_S
    grant = world.grant(world.session(), world.terms(expires_at={"seconds": end}))
    sealed = world.seal(grant, not_after=end)
    outcome = ends_meanwhile(world, lambda: world.authorise(sealed))
    with refused(Reason.CONSENT_ENDED):
        outcome()
    assert entries(world, Kind.REFER) == 0


def test_a_consent_that_ends_while_it_waits_for_the_writer_opens_nothing(
    fresh_world: World,
) -> None:
    world = fresh_world
    end = world.now + DAY_S
    grant = world.grant(world.session(), world.terms(expires_at={"seconds": end}))
    sent = world.authorise(world.seal(grant, not_after=end))
    outcome = ends_meanwhile(world, lambda: world.release(sent))
    with refused(Reason.CONSENT_ENDED):
        outcome()
    assert entries(world, Kind.DISCLOSE) == 0
