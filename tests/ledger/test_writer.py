"""The writer: one order, one transaction, and the proof in the answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from safehand_core import failpoints
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind, key_tag
from safehand_ledger import anchor
from safehand_ledger.transaction import WriterTransaction
from safehand_store.engine import begin_read
from sqlalchemy import text

from tests.ledger.world import World, key_body


def test_every_prefix_of_a_growing_log_verifies_whole(world: World) -> None:
    for size in range(1, 20):
        world.append_keys(1)
        world.check_log(size)


def test_the_whole_story_verifies_and_survives_a_reload(world: World) -> None:
    world.whole_story()
    world.check_log(13)
    world.reload()
    world.check_log(13)
    world.append_keys(3)
    world.check_log(16)


def test_a_receipt_carries_the_opening_that_its_leaf_commits_to(world: World) -> None:
    committed = world.submit(world.key_operation())
    receipt = committed.receipts[committed.value]
    assert receipt.body["kind"] == "KEY"
    assert len(receipt.salt) == 32
    assert receipt.opening is not None
    from safehand_formats.leaf import Leaf

    receipt.opening.require_match(Leaf.decode(receipt.leaf))


def test_equal_bodies_give_leaves_that_differ_everywhere_but_in_the_tag(world: World) -> None:
    def twice(tx: WriterTransaction) -> tuple[int, int]:
        body, tag = key_body(tx, 0), key_tag("agency-a", 0)
        return tx.append(Kind.KEY, tag, body), tx.append(Kind.KEY, tag, body)

    committed = world.writer.submit(twice)
    first, second = (committed.receipts[index].leaf for index in committed.value)
    assert first[8:40] == second[8:40]
    assert first[40:72] != second[40:72]
    assert first[72:] != second[72:]


def reserved(kind: Kind) -> Callable[[WriterTransaction], int]:
    return lambda tx: tx.append(kind, bytes(32), {})


def test_an_older_entry_can_be_cited_under_the_newest_head(world: World) -> None:
    world.append_keys(7)
    committed = world.submit(lambda tx: tx.cite(2))
    assert set(committed.receipts) == {2}
    assert committed.receipts[2].leaf == world.receipts[2].leaf
    assert committed.head.size == 7
    world.check_log(7)


def test_an_entry_and_an_older_one_come_back_together(world: World) -> None:
    world.append_keys(5)

    def both(tx: WriterTransaction) -> int:
        tx.cite(0)
        return world.key_operation()(tx)

    committed = world.submit(both)
    assert set(committed.receipts) == {0, 5}
    world.check_log(6)


def test_what_is_not_there_cannot_be_cited(world: World) -> None:
    with pytest.raises(SafehandError) as refused:
        world.submit(lambda tx: tx.cite(0))
    assert refused.value.reason is Reason.NOT_FOUND


def test_a_reserved_kind_cannot_be_appended(world: World) -> None:
    for kind in Kind:
        if kind.built:
            continue
        with pytest.raises(SafehandError) as refused:
            world.submit(reserved(kind))
        assert refused.value.reason is Reason.NOT_BUILT
    world.check_log(0)


def test_a_body_of_the_wrong_shape_or_time_changes_nothing(world: World) -> None:
    def operation(tx: WriterTransaction, **changes: object) -> int:
        body = {**key_body(tx, 0), **changes}
        return tx.append(Kind.KEY, bytes(32), body)  # type: ignore[arg-type]

    wrong: list[dict[str, Any]] = [{"at": 1}, {"sequence": -1}, {"extra": 1}, {"record": "x"}]
    for changes in wrong:
        with pytest.raises(SafehandError) as refused:
            world.submit(partial(operation, **changes))
        assert refused.value.reason is Reason.MALFORMED
    with pytest.raises(SafehandError):
        world.submit(lambda tx: tx.append(Kind.KEY, b"short", key_body(tx, 0)))
    with pytest.raises(SafehandError):
        world.submit(lambda tx: tx.append(Kind.KEY, bytes(32), None))
    world.check_log(0)


def _hold(world: World) -> tuple[threading.Thread, threading.Event]:
    """Keep the writer inside an operation until the event is set."""
    inside, go = threading.Event(), threading.Event()

    def wait(tx: WriterTransaction) -> None:
        inside.set()
        assert go.wait(10)

    thread = threading.Thread(target=lambda: world.writer.submit(wait))
    thread.start()
    assert inside.wait(10)
    return thread, go


def _waiting(world: World, count: int) -> None:
    lanes = world.writer._lanes
    for _ in range(1000):
        if len(lanes._stops) + len(lanes._others) == count:
            return
        time.sleep(0.005)
    raise AssertionError("the queue did not fill")


def test_what_queued_during_a_commit_is_committed_together(world: World) -> None:
    holder, go = _hold(world)
    done: list[int] = []
    threads = [
        threading.Thread(target=lambda: done.append(world.submit(world.key_operation()).head.size))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    _waiting(world, 16)
    go.set()
    for thread in [holder, *threads]:
        thread.join()
    assert done == [16] * 16, "one head for all of them"
    world.check_log(16)


def test_one_refusal_in_a_batch_touches_none_of_the_others(world: World) -> None:
    with begin_read(world.engine) as connection:
        connection.execute(text("SELECT 1"))
    world.store.add_table("mine", "n INTEGER")
    holder, go = _hold(world)
    outcomes: dict[int, object] = {}

    def operation(tx: WriterTransaction, number: int) -> int:
        tx.connection.execute(text("INSERT INTO mine VALUES (:n)"), {"n": number})
        index = tx.append(Kind.KEY, bytes(32), key_body(tx, number))
        if number % 3 == 0:
            raise SafehandError(Reason.CONSENT_ENDED)
        if number % 3 == 1:
            tx.connection.execute(text("INSERT INTO nowhere VALUES (1)"))
        return index

    def submit(number: int) -> None:
        try:
            outcomes[number] = world.writer.submit(lambda tx: operation(tx, number)).value
        except Exception as error:
            outcomes[number] = type(error).__name__

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    _waiting(world, 12)
    go.set()
    for thread in [holder, *threads]:
        thread.join()
    assert {outcomes[n] for n in (0, 3, 6, 9)} == {"SafehandError"}
    assert {outcomes[n] for n in (1, 4, 7, 10)} <= {"OperationalError", "ProgrammingError"}
    assert {outcomes[n] for n in (2, 5, 8, 11)} == {0, 1, 2, 3}
    assert {n for (n,) in world.store.rows("SELECT n FROM mine")} == {2, 5, 8, 11}
    assert world.store.rows("SELECT count(*) FROM ledger_leaf") == [(4,)]


def test_stops_go_before_everything_that_waits(world: World) -> None:
    scripts = [world.grant() for _ in range(3)]
    holder, go = _hold(world)
    order: list[str] = []
    others = [
        threading.Thread(target=lambda: world.writer.submit(lambda tx: order.append("other")))
        for _ in range(5)
    ]
    for thread in others:
        thread.start()
    _waiting(world, 5)

    def stop(number: int) -> None:
        operation = scripts[number].operation(Kind.STOP)

        def noted(tx: WriterTransaction) -> int:
            order.append("stop")
            return operation(tx)

        world.submit(noted, stop=True)

    stops = [threading.Thread(target=stop, args=(number,)) for number in range(3)]
    for thread in stops:
        thread.start()
    _waiting(world, 8)
    go.set()
    for thread in [holder, *others, *stops]:
        thread.join()
    assert order == ["stop"] * 3 + ["other"] * 5
    world.check_log(6)


def test_a_stop_passes_a_slow_queue(world: World) -> None:
    script = world.grant()
    world.reload(max_batch=1)
    failpoints.arm("consent.writer.begin=sleep:0.02")
    try:
        threads = [
            threading.Thread(target=lambda: world.submit(world.key_operation())) for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.05)
        index = script.append(Kind.STOP).value
        for thread in threads:
            thread.join()
    finally:
        failpoints.arm("")
    assert index < 8, "the stop overtook what had queued before it"
    world.check_log(22)


def test_a_stop_is_answered_only_after_the_anchor_holds_it(world: World) -> None:
    script = world.grant()
    committed = script.append(Kind.STOP)
    seen = anchor.read(world.anchor, world.signer.verifier)
    assert seen is not None
    assert (seen.size, seen.root) == (committed.head.size, committed.head.root)


def test_a_stop_without_its_anchor_is_not_confirmed_but_holds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = world.grant()

    def full(*_arguments: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(world.writer._anchor, "write", full)
    with pytest.raises(SafehandError) as refused:
        script.append(Kind.STOP)
    assert refused.value.reason is Reason.UNAVAILABLE
    monkeypatch.undo()
    world.check_log(2)
    committed = world.submit(lambda tx: tx.cite(1), stop=True)
    assert committed.receipts[1].body["kind"] == "STOP"
    assert world.writer.anchored_size == 2


def test_the_anchor_follows_other_commits_within_a_second(world: World) -> None:
    world.append_keys(1)
    deadline = time.monotonic() + 1.0
    while world.writer.anchored_size < 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert world.writer.anchored_size == 1


def test_close_finishes_what_is_queued_and_writes_the_anchor(world: World) -> None:
    holder, go = _hold(world)
    done: list[int] = []
    threads = [
        threading.Thread(target=lambda: done.append(world.submit(world.key_operation()).value))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    _waiting(world, 5)
    closer = threading.Thread(target=world.writer.close)
    closer.start()
    go.set()
    for thread in [holder, closer, *threads]:
        thread.join()
    assert sorted(done) == [0, 1, 2, 3, 4]
    seen = anchor.read(world.anchor, world.signer.verifier)
    assert seen is not None
    assert seen.size == 5
    with pytest.raises(SafehandError) as refused:
        world.append_keys(1)
    assert refused.value.reason is Reason.UNAVAILABLE


def test_a_full_queue_refuses_others_and_still_takes_stops(world: World) -> None:
    script = world.grant()
    world.reload(max_waiting=1)
    holder, go = _hold(world)
    waiting = threading.Thread(target=lambda: world.writer.submit(lambda tx: None))
    waiting.start()
    _waiting(world, 1)
    with pytest.raises(SafehandError) as refused:
        world.writer.submit(lambda tx: None)
    assert refused.value.reason is Reason.OVERLOADED
    stopping = threading.Thread(target=lambda: script.append(Kind.STOP))
    stopping.start()
    _waiting(world, 2)
    go.set()
    for thread in (holder, waiting, stopping):
        thread.join()
    world.check_log(2)


def test_a_start_takes_stops_and_housekeeping_alone_for_its_delay(world: World) -> None:
    script = world.grant()
    world.reload(start_delay_s=3.0)
    with pytest.raises(SafehandError) as refused:
        world.append_keys(1)
    assert refused.value.reason is Reason.LEDGER_STARTING
    assert refused.value.retry_after_s == 3.0
    script.append(Kind.STOP)
    world.writer.submit(lambda tx: None, housekeeping=True)
    world.clock.advance(2)
    with pytest.raises(SafehandError) as refused:
        world.append_keys(1)
    assert refused.value.retry_after_s == 1.0
    world.clock.advance(1)
    world.append_keys(1)


def test_an_empty_ledger_takes_everything_at_once(world: World) -> None:
    world.reload(start_delay_s=3.0)
    world.append_keys(1)
    world.check_log(1)


def test_sixty_four_submitters_all_get_receipts_that_verify(world: World) -> None:
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(8):
                world.submit(world.key_operation())
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert sorted(receipt.index for receipt in world.receipts) == list(range(512))
    for receipt in world.receipts[::37]:
        assert receipt.opening is not None
    world.receipts = world.receipts[::16]
    world.check_log(512)


def test_two_writers_of_one_ledger_cannot_run(world: World) -> None:
    second = world.new_writer()
    with pytest.raises(SafehandError) as refused:
        second.start()
    assert refused.value.reason is Reason.CONFIG_INVALID
    world.append_keys(1)
    world.check_log(1)
