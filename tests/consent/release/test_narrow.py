"""A narrowing against releases: nothing of what she took out opens behind it; the rest opens."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from safehand.consent.v1 import consent_pb2 as pb
from safehand.consent.v1 import consent_pb2_grpc, narrow_pb2
from safehand_consent_service import grant_leaves, release
from safehand_consent_service.tables import category_key
from safehand_core import failpoints
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from safehand_ledger.fsck import fsck
from safehand_ledger.transaction import WriterTransaction
from safehand_store.engine import begin_read
from sqlalchemy import select

from tests.consent.release.test_order import STEPS
from tests.consent.release.world import (
    DAY_S,
    PATIENCE_S,
    A,
    B,
    Sent,
    World,
    in_background,
    new_request_id,
    refused,
    wait_for,
)
from tests.harness.database import releases_may_leave_late

WHOLE = ("CARD", "CONTACT", "HEALTH", "NAME")


def narrow(
    world: World, session: bytes, grant: str, *left: str, expires_at: int | None = None
) -> narrow_pb2.NarrowGrantResponse:
    sent = narrow_pb2.NarrowGrantRequest(
        request_id=new_request_id(), session=session, grant=grant, categories=left
    )
    if expires_at is not None:
        sent.expires_at.CopyFrom(Timestamp(seconds=expires_at))
    return world.portal().NarrowGrant(sent)


@pytest.fixture
def session(world: World) -> bytes:
    return world.session()


@pytest.fixture
def grant(world: World, session: bytes) -> str:
    return world.grant(session, world.terms(WHOLE))


@pytest.fixture
def sent(world: World, grant: str) -> Sent:
    """Accepted, with a part of each category."""
    made = world.send(grant, WHOLE)
    world.accept(made)
    return made


def test_what_she_took_out_is_refused_and_the_rest_opens(
    world: World, session: bytes, grant: str, sent: Sent
) -> None:
    world.release(sent, "HEALTH")
    narrow(world, session, grant, "NAME", "CONTACT")
    size = world.size
    with refused(Reason.CONSENT_ENDED):
        world.release(sent, "HEALTH")
    assert world.size == size
    answer = world.release(sent, "NAME")
    assert world.open(sent, "NAME", answer.inner_wrap) == b"content of NAME"
    world.release(sent, "CARD")


def test_a_repeat_of_a_release_from_before_is_refused_too(
    world: World, session: bytes, grant: str, sent: Sent
) -> None:
    request = world.release_request(sent, "HEALTH")
    world.agency(B).ReleaseKey(request)
    narrow(world, session, grant, "NAME")
    with refused(Reason.CONSENT_ENDED):
        world.agency(B).ReleaseKey(request)


def test_a_try_at_what_she_took_out_is_on_her_list(
    world: World, session: bytes, grant: str, sent: Sent
) -> None:
    narrow(world, session, grant, "NAME")
    with refused(Reason.CONSENT_ENDED):
        world.release(sent, "HEALTH")
    request = pb.ListLooksRequest(session=session, grant=grant)
    wait_for(lambda: len(world.portal().ListLooks(request).looks) == 1)
    (tried,) = world.portal().ListLooks(request).looks
    assert (tried.agency, tried.category, tried.ledger_index) == (B, "HEALTH", -1)


def test_the_sender_is_told_what_is_too_much_and_sends_the_rest(
    world: World, session: bytes, grant: str, sent: Sent
) -> None:
    narrow(world, session, grant, "NAME")
    size = world.size
    for again in (sent.sealed, world.seal(grant, WHOLE)):
        with refused(Reason.SCOPE_EXCEEDED):
            world.authorise(again)
    assert world.size == size
    world.send(grant, ("CARD", "NAME"))


def test_a_manifest_beyond_the_new_end_is_refused_and_what_was_sent_ends_with_the_grant(
    fresh_world: World,
) -> None:
    world = fresh_world
    card = world.register_subject()
    session = world.sign_in(card)
    grant = world.grant(session, world.terms(WHOLE))
    sent = world.send(grant, WHOLE)
    end = world.now + 2 * DAY_S
    narrow(world, session, grant, *WHOLE, expires_at=end)
    with refused(Reason.EXPIRY_INVALID):
        world.authorise(world.seal(grant, WHOLE))
    world.authorise(world.seal(grant, WHOLE, not_after=end))
    world.release(sent, "CARD")
    world.clock.advance(2 * DAY_S)
    with refused(Reason.CONSENT_ENDED):
        world.release(sent, "CARD")


def test_a_referral_that_was_being_authorised_does_not_outlive_a_narrowing_before_it(
    world: World, session: bytes, grant: str
) -> None:
    """It was read as allowed, and stands behind the narrowing in the writer's queue."""
    end = world.now + 2 * DAY_S
    sealed, beyond = world.seal(grant, WHOLE), world.seal(grant, ("CARD", "NAME"))
    writer = world.app.context.writer
    running, go_on = threading.Event(), threading.Event()

    def holds_the_writer(_: WriterTransaction) -> bool:
        running.set()
        return go_on.wait(PATIENCE_S)

    holding = in_background(lambda: writer.submit(holds_the_writer))
    assert running.wait(PATIENCE_S)
    waiting = [in_background(lambda s=one: world.authorise(s)) for one in (sealed, beyond)]  # type: ignore[misc]
    wait_for(lambda: len(writer._lanes._others) == 2)
    narrowing = in_background(lambda: narrow(world, session, grant, "NAME", expires_at=end))
    wait_for(lambda: len(writer._lanes._stops) == 1)
    go_on.set()
    holding()
    narrowing()
    with refused(Reason.SCOPE_EXCEEDED):
        waiting[0]()
    with refused(Reason.EXPIRY_INVALID):
        waiting[1]()


def test_a_narrowing_between_the_entry_and_the_answer_keeps_the_key_back(
    world: World, session: bytes, grant: str, sent: Sent
) -> None:
    """The entry is committed, its thread is not yet told, and the narrowing comes first."""
    handed: list[str] = []
    world.app.hooks.release_handed = lambda which, _at: handed.append(which)
    size = world.size
    failpoints.arm("consent.writer.committed=sleep:0.4")
    outcome = in_background(lambda: world.release(sent, "HEALTH"))
    wait_for(lambda: world.app.context.writer.head.size > size)
    narrow(world, session, grant, "NAME")
    failpoints.arm("")
    with refused(Reason.CONSENT_ENDED):
        outcome()
    world.app.hooks.release_handed = None
    assert not handed
    assert world.size == size + 2


@releases_may_leave_late
def test_a_narrowing_cancels_what_does_not_leave_and_lets_the_rest_go(
    world: World, session: bytes, grant: str, sent: Sent
) -> None:
    failpoints.arm("consent.release.before_answer=sleep:2.5")
    outcomes = {
        category: in_background(lambda c=category: world.release(sent, c))  # type: ignore[misc]
        for category in ("HEALTH", "NAME")
    }
    wait_for(lambda: world.app.context.gates.inside(grant) == 2)
    narrow(world, session, grant, "NAME")
    with refused(Reason.UNAVAILABLE):  # cancelled: how gRPC ends a call without a status of ours
        outcomes["HEALTH"]()
    assert outcomes["NAME"]().inner_wrap


def test_after_a_restart_it_is_still_so(fresh_world: World) -> None:
    world = fresh_world
    session = world.session()
    grant = world.grant(session, world.terms(WHOLE))
    sent = world.send(grant, WHOLE)
    world.accept(sent)
    narrow(world, session, grant, "NAME")
    world.restart()
    with refused(Reason.CONSENT_ENDED):
        world.release(sent, "HEALTH")
    world.release(sent, "NAME")


def test_the_key_is_gone_also_from_a_copy_once_the_keks_were_rolled(
    world: World, session: bytes, grant: str
) -> None:
    """Deleted now; destroyed, where a copy of the database is kept, with the next roll."""
    mine = (category_key.c.grant_id == grant) & (category_key.c.category == "HEALTH")
    with begin_read(world.app.context.engine) as connection:
        kept = connection.execute(select(category_key.c.epoch).where(mine)).one()
    narrow(world, session, grant, "NAME")
    assert world.category_key(grant, "HEALTH") is None
    keks = world.app.context.keks
    assert keks._kek(kept.epoch) is not None
    world.operator().RollKeys(pb.RollKeysRequest(request_id=new_request_id()))
    assert keks._kek(kept.epoch) is None
    assert world.category_key(grant, "NAME") is not None


@pytest.mark.parametrize("step", STEPS)
def test_no_look_at_what_she_took_out_stands_behind_it(
    fresh_world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Recipients open at random while she takes out one category after another; the order of the
    ledger is read back, and nobody got what was taken out after she had her answer."""
    world = fresh_world
    monkeypatch.setattr(release, "LOOKS", 10**6)
    monkeypatch.setattr(grant_leaves, "MOST", {})
    session = world.session()
    whole = ("CARD", "CONTACT", "EVENTS", "HEALTH", "MONEY_WORK", "NAME", "PAPERS")
    grant = world.grant(session, world.terms(whole))
    sent = world.send(grant, whole)
    world.accept(sent)
    over = threading.Event()
    taken_out: dict[str, float] = {}
    asked_late: list[str] = []
    outcomes: Counter[str] = Counter()

    def recipient(seed: int) -> None:
        pick = random.Random(seed)
        with world.new_channel(world.tls("agency", B)) as channel:
            stub = consent_pb2_grpc.ConsentServiceStub(channel)
            while not over.is_set():
                category = pick.choice(whole)
                began = time.monotonic()
                try:
                    stub.ReleaseKey(world.release_request(sent, category))
                except SafehandError as error:
                    outcomes[error.reason] += 1
                    continue
                outcomes["released"] += 1
                if began > taken_out.get(category, began):
                    asked_late.append(category)

    works: list[Callable[[], None]] = [lambda s=seed: recipient(s) for seed in range(3)]  # type: ignore[misc]
    failpoints.arm(step)
    running = [in_background(work) for work in works]
    left = list(whole[1:])
    pick = random.Random(step)
    while len(left) > 1:
        seen = outcomes["released"]
        wait_for(lambda: outcomes["released"] > seen + 3)  # noqa: B023  waited for here
        gone = pick.choice(left)
        left.remove(gone)
        narrow(world, session, grant, *left)
        taken_out[gone] = time.monotonic()
    ended = outcomes[Reason.CONSENT_ENDED]
    wait_for(lambda: outcomes[Reason.CONSENT_ENDED] > ended + 3)
    over.set()
    for work in running:
        work()
    failpoints.arm("")
    assert not asked_late
    assert outcomes.keys() <= {"released", Reason.CONSENT_ENDED, Reason.UNAVAILABLE}, outcomes
    _check_order(world, grant)
    vkey = world.app.context.ledger.vkey
    world.stop()
    report = fsck(world.settings.database, vkey, world.settings.anchor)
    world.start()
    assert report.ok, report.problems


def _check_order(world: World, grant: str) -> None:
    """In ledger order no DISCLOSE names a category that the last GRANT or NARROW does not."""
    allowed: set[str] = set()
    looks = narrowings = 0
    for index in range(world.size):
        opening = world.app.context.reader.opening(index)
        assert opening is not None
        if opening.body.get("grant") != grant:
            continue
        if opening.kind in (Kind.GRANT, Kind.NARROW):
            allowed = {str(name) for name in opening.body["categories"]}  # type: ignore[union-attr]
            narrowings += opening.kind is Kind.NARROW
        elif opening.kind is Kind.DISCLOSE:
            assert opening.body["category"] in allowed, f"at {index}"
            looks += 1
    assert narrowings == 5
    assert looks


def test_another_agency_cannot_narrow(world: World, grant: str) -> None:
    sent = narrow_pb2.NarrowGrantRequest(
        request_id=new_request_id(), session=bytes(32), grant=grant, categories=["NAME"]
    )
    for name in (A, B):
        with refused(Reason.NOT_ALLOWED):
            world.agency(name).NarrowGrant(sent)
