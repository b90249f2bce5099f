"""The watch over what is put off sees what it is there for (``conftest`` has it in each test)."""

from __future__ import annotations

import pytest
from safehand_ledger.transaction import WriterTransaction

from tests.consent.put_off import PUT_OFF, Watch
from tests.consent.world import World
from tests.harness.database import sqlite_alone

pytestmark = sqlite_alone


@pytest.mark.parametrize("table", sorted(PUT_OFF))
def test_a_table_that_is_read_past_what_is_put_off_is_seen(
    bare_world: World, watch: Watch, table: str
) -> None:
    def read(txn: WriterTransaction) -> None:
        txn.hot.exec_driver_sql(f'SELECT count(*) FROM "{table}"')

    bare_world.app.context.writer.submit(read)
    assert [text for text in watch.seen if table in text]
    watch.seen.clear()


def test_one_that_is_read_behind_it_is_not(bare_world: World, watch: Watch) -> None:
    def read(txn: WriterTransaction) -> None:
        txn.connection.exec_driver_sql("SELECT count(*) FROM grant_leaf")

    bare_world.app.context.writer.submit(read)
    assert watch.seen == []


def test_what_is_put_off_is_on_the_list(world: World, her: bytes, watch: Watch) -> None:
    grant = world.grant(her).grant.grant
    world.stop_grant(her, grant)
    assert watch.put_off >= {"category_key", "grant_leaf", "idempotency", "outbox_event"}
