"""Stop everything: one press, one transaction, whatever she hid and whoever stopped what before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from safehand.consent.v1 import consent_pb2, stops_pb2
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from safehand_ledger.writer import LedgerWriter

from tests.consent.portal.world import (
    DAY,
    HOUR,
    A,
    B,
    C,
    Her,
    PortalWorld,
    new_request_id,
    refused,
)

STOPPED = consent_pb2.GRANT_STATE_STOPPED
ACTIVE = consent_pb2.GRANT_STATE_ACTIVE


def _stop_leaves(world: PortalWorld, grants: list[str]) -> list[int]:
    marks = ", ".join("?" for _ in grants)
    sql = f"SELECT leaf_index FROM grant_leaf WHERE kind = 3 AND grant_id IN ({marks})"
    return sorted(int(row[0]) for row in world.store.rows(sql, *grants))


def test_one_press_stops_all_of_it(
    pages_world: PortalWorld, she: Her, monkeypatch: pytest.MonkeyPatch
) -> None:
    grants = [pages_world.give(she, recipient) for recipient in (B, C, B)]
    sent = [pages_world.send(grant) for grant in (grants[0], grants[2])]
    other = pages_world.her()
    others = pages_world.give(other)
    begun: list[list[str]] = []
    real = pages_world.app.context.gates.raise_all

    def raise_all(wanted: Any, *rest: Any) -> Any:
        begun.append(list(wanted))
        return real(wanted, *rest)

    monkeypatch.setattr(pages_world.app.context.gates, "raise_all", raise_all)
    done = pages_world.stop_all(she)
    assert {one.number for one in done.stopped} == {
        pages_world.number(she, grant) for grant in grants
    }
    assert begun == [sorted(grants)]
    for one in done.stopped:
        assert (one.state, one.stopped_by) == (STOPPED, "self")
        assert one.undo_until.seconds == pages_world.now + DAY
    for each in sent:
        with refused(Reason.CONSENT_ENDED, by=pages_world):
            pages_world.release(each)
    assert pages_world.kinds(others).count(Kind.STOP) == 0
    # In one transaction: nothing stands between the entries.
    first, *rest = _stop_leaves(pages_world, grants)
    assert rest == [first + 1, first + 2]


def test_what_she_hid_is_stopped_and_not_told(pages_world: PortalWorld, she: Her) -> None:
    shown, hidden = pages_world.give(she), pages_world.give(she, C)
    pages_world.hide(she, pages_world.number(she, hidden))
    (one,) = pages_world.stop_all(she).stopped
    assert one.number == pages_world.number(she, shown)
    assert pages_world.kinds(hidden).count(Kind.STOP) == 1
    pages_world.show_all(she)
    assert {one.state for one in pages_world.sharing(she).sharings} == {STOPPED}


def test_a_stop_that_a_worker_made_becomes_her_own(pages_world: PortalWorld, she: Her) -> None:
    grant = pages_world.give(she)
    pages_world.agency(A).StopForHer(
        stops_pb2.StopForHerRequest(
            request_id=new_request_id(), worker_ref="worker-1", channel="phone", grant=grant
        )
    )
    assert pages_world.only(she).stopped_by == "worker"
    (one,) = pages_world.stop_all(she).stopped
    assert (one.stopped_by, one.undo_until.seconds) == ("self", pages_world.now + DAY)
    assert pages_world.kinds(grant).count(Kind.STOP) == 2


def test_nothing_to_stop_is_no_error(pages_world: PortalWorld, she: Her) -> None:
    assert list(pages_world.stop_all(she).stopped) == []
    grant = pages_world.give(she)
    pages_world.stop_one(she, pages_world.only(she).number)
    size = pages_world.size
    assert list(pages_world.stop_all(she).stopped) == []
    assert pages_world.size == size
    assert pages_world.kinds(grant).count(Kind.STOP) == 1


def test_the_same_press_again_stops_nothing_new(pages_world: PortalWorld, she: Her) -> None:
    grant = pages_world.give(she)
    request_id = new_request_id()
    first = pages_world.stop_all(she, request_id)
    later = pages_world.give(she)
    assert pages_world.stop_all(she, request_id).stopped == first.stopped
    pages_world.undo(she, pages_world.number(she, grant))
    # Its answer says how what it stopped stands now.
    (again,) = pages_world.stop_all(pages_world.again(she), request_id).stopped
    assert again.state == ACTIVE
    assert not pages_world.app.context.gates.is_up(grant)
    assert pages_world.kinds(later).count(Kind.STOP) == 0
    pages_world.look(pages_world.send(later))
    pages_world.look(pages_world.send(grant))


def test_presses_at_the_same_time_are_one_entry_for_each(
    pages_world: PortalWorld, she: Her
) -> None:
    grants = [pages_world.give(she) for _ in range(3)]
    request_id = new_request_id()
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(pages_world.stop_all, she, request_id) for _ in range(3)]
        jobs.append(pool.submit(pages_world.stop_all, she))
        answers = [len(job.result().stopped) for job in jobs]
    # The three are one request; whichever of the two requests came first stopped all of it.
    assert answers in ([3, 3, 3, 0], [0, 0, 0, 3])
    for grant in grants:
        assert pages_world.kinds(grant).count(Kind.STOP) == 1
        assert pages_world.app.context.gates.is_up(grant)


def test_another_request_under_its_id_is_refused(pages_world: PortalWorld, she: Her) -> None:
    pages_world.give(she)
    request_id = new_request_id()
    pages_world.stop_all(she, request_id)
    other = pages_world.her()
    pages_world.give(other)
    # Somebody else's press is another press.
    assert len(pages_world.stop_all(other, request_id).stopped) == 1


def test_a_stop_that_fails_lowers_what_is_not_stopped(
    pages_world: PortalWorld, she: Her, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, stopped = pages_world.give(she), pages_world.give(she)
    pages_world.stop_one(she, pages_world.number(she, stopped))
    sent = pages_world.send(live)
    gates = pages_world.app.context.gates
    real = LedgerWriter.submit

    def fail(self: LedgerWriter, *given: Any, **how: Any) -> Any:
        if how.get("stop"):
            assert gates.is_up(live)
            assert gates.is_up(stopped)
            raise SafehandError(Reason.UNAVAILABLE)
        return real(self, *given, **how)

    with monkeypatch.context() as patch:
        patch.setattr(LedgerWriter, "submit", fail)
        with refused(Reason.UNAVAILABLE, by=pages_world):
            pages_world.stop_all(she)
    assert not gates.is_up(live)
    assert gates.is_up(stopped)
    pages_world.look(sent)
    assert len(pages_world.stop_all(she).stopped) == 1


def test_a_stop_on_record_without_an_answer_stays(
    pages_world: PortalWorld, she: Her, monkeypatch: pytest.MonkeyPatch
) -> None:
    grants = [pages_world.give(she) for _ in range(2)]
    sent = [pages_world.send(grant) for grant in grants]
    request_id = new_request_id()
    anchor = type(pages_world.app.context.writer._anchor)

    def fails(*_: Any) -> None:
        raise OSError(28, "no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(anchor, "write", fails)
        with refused(Reason.UNAVAILABLE):
            pages_world.stop_all(she, request_id)
    for grant, each in zip(grants, sent, strict=True):
        assert pages_world.app.context.gates.is_up(grant)
        with refused(Reason.CONSENT_ENDED):
            pages_world.release(each)
    assert len(pages_world.stop_all(she, request_id).stopped) == 2
    assert all(pages_world.kinds(grant).count(Kind.STOP) == 1 for grant in grants)


def test_what_is_over_is_left_alone(pages_world: PortalWorld, she: Her) -> None:
    terms = pages_world.terms()
    terms.expires_at.seconds = pages_world.now + HOUR
    over = pages_world.grant(she.session, terms)
    pages_world.later(HOUR)
    she = pages_world.again(she)
    live = pages_world.give(she)
    (one,) = pages_world.stop_all(she).stopped
    assert one.number == pages_world.number(she, live)
    assert pages_world.kinds(over).count(Kind.STOP) == 0


def test_it_needs_her_session(pages_world: PortalWorld, she: Her) -> None:
    pages_world.give(she)
    with refused(Reason.SESSION_INVALID, by=pages_world):
        pages_world.stop_all(Her(she.card, she.ref, bytes(32)))
