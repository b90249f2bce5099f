"""The crash matrix: every failpoint of the one table, with what is asked of the system there.

A *drive* is something a user asks for, with request ids of its own, so that it can be asked again
after the crash. It must be answered once in the end, and count once in the ledger.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import pytest
from safehand.consent.v1 import consent_pb2, stops_pb2
from safehand.notify.v1 import notify_pb2
from safehand_cli.story import PURPOSE
from safehand_client import Fetched, SurvivorClient
from safehand_core import failpoints, ids
from safehand_core.entropy import SystemEntropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from tests.harness.world import Person, World

T = TypeVar("T")

AGAIN_S = 30.0
"""Seconds in which a killed process must be back and answer."""
PASSING = (Reason.UNAVAILABLE, Reason.LEDGER_STARTING, Reason.INTERNAL)
"""What a caller sees while a process is away; it asks again with the same request_id."""


def persist(attempt: Callable[[], T]) -> T:
    """Ask again until answered, as every client must."""
    deadline = time.monotonic() + AGAIN_S
    while True:
        try:
            return attempt()
        except SafehandError as error:
            if error.reason not in PASSING or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@dataclass
class Scene:
    """What a drive works on: a person with one accepted referral."""

    world: World
    person: Person
    her: SurvivorClient
    grant: str
    fetched: Fetched

    @classmethod
    def set(cls, world: World) -> Scene:
        person = world.person()
        her = SurvivorClient(world.party("her"))
        her.sign_in(person.card, person.pin)
        grant = world.grant(person)
        return cls(world, person, her, grant, world.accepted(grant))

    def kinds(self) -> list[str]:
        """The kinds of her grant's leaves in ledger order, from her own verified receipt."""
        return [line.kind.name for line in persist(lambda: self.her.verified_receipt(self.grant))]


def _request_id() -> str:
    return ids.new_request_id(SystemEntropy())


def drive_grant(scene: Scene) -> None:
    """A second grant, asked for until answered: one grant, one GRANT leaf."""
    before = {item.grant for item in persist(scene.her.grants)}
    request = consent_pb2.GrantRequest(
        request_id=_request_id(),
        session=scene.her.session,
        terms=consent_pb2.Terms(
            releasing_agency="agency-a",
            recipient_agency="agency-b",
            purpose=PURPOSE,
            categories=["CARD", "NAME"],
            notice_sha256="00" * 32,
            language="en",
            given_how="read",
            present="alone",
        ),
    )
    stub = scene.her.stubs.consent
    answer = persist(lambda: stub.Grant(request, timeout=5))
    again = persist(lambda: stub.Grant(request, timeout=5))
    assert again.receipt.index == answer.receipt.index
    after = {item.grant for item in persist(scene.her.grants)}
    assert after - before == {answer.grant.grant}


def drive_stop(scene: Scene) -> None:
    """A stop: one STOP leaf, and nothing opens afterwards."""
    persist(lambda: scene.her.stop(scene.grant))
    assert scene.kinds().count("STOP") == 1
    with pytest.raises(SafehandError) as refused:
        persist(lambda: scene.world.agency_b.open(scene.fetched, "CARD", worker_ref="worker-x1"))
    assert refused.value.reason is Reason.CONSENT_ENDED


def drive_stop_for_her(scene: Scene) -> None:
    """A stop by a worker, asked for until answered: one leaf, one note, nothing opens after."""
    request = stops_pb2.StopForHerRequest(
        request_id=_request_id(), grant=scene.grant, worker_ref="worker-x1", channel="phone"
    )
    stub = scene.world.agency_b.stubs.consent
    persist(lambda: stub.StopForHer(request, timeout=5))
    persist(lambda: stub.StopForHer(request, timeout=5))
    assert scene.kinds().count("STOP") == 1
    assert [note.by for note in persist(scene.her.stops)] == ["worker"]
    with pytest.raises(SafehandError) as refused:
        persist(lambda: scene.world.agency_b.open(scene.fetched, "CARD", worker_ref="worker-x1"))
    assert refused.value.reason is Reason.CONSENT_ENDED


def drive_release(scene: Scene) -> None:
    """One look, its request repeated until answered: exactly one DISCLOSE leaf."""
    before = scene.kinds().count("DISCLOSE")
    b = scene.world.agency_b
    look = b.prepare_look(scene.fetched, "NAME", worker_ref="worker-x1")
    opened = persist(lambda: b.finish_look(look))
    assert opened.form.preferred_name
    assert scene.kinds().count("DISCLOSE") == before + 1


def drive_roll(scene: Scene) -> None:
    """A KEK roll, finished by the start if it was interrupted; what was sealed still opens."""
    persist(scene.world.consent_operator.roll_keys)
    opened = persist(
        lambda: scene.world.agency_b.open(scene.fetched, "NAME", worker_ref="worker-x2")
    )
    assert opened.form.preferred_name
    files = list(scene.world.sandbox.party_dir("consent").rglob("*kek*"))
    assert len(files) == 1, "one KEK after the roll"


def drive_create(scene: Scene) -> None:
    """A send, finished from its kept draft: one REFER leaf, one referral, one event."""
    a = scene.world.agency_a
    drafts = set(a.drafts)
    try:
        sent = scene.world.send(scene.grant)
    except SafehandError as error:
        if error.reason not in PASSING:
            raise
        (referral,) = set(a.drafts) - drafts
        sent = persist(lambda: a.resend(referral))
    again = persist(lambda: a.resend(sent.referral))
    assert again.refer_index == sent.refer_index
    assert sum(item.referral == sent.referral for item in persist(a.referrals)) == 1
    _once_delivered(scene.world, sent.referral)


def drive_events(scene: Scene) -> None:
    """A referral's event arrives once in effect, in order, whichever process died on the way."""
    sent = persist(lambda: scene.world.send(scene.grant))
    _once_delivered(scene.world, sent.referral)
    persist(lambda: scene.her.stop(scene.grant))
    deadline = time.monotonic() + AGAIN_S
    while not persist(lambda: scene.world.agency_a.status(sent.referral)).sharing_stopped:
        assert time.monotonic() < deadline, "the stop did not reach the referral"
        time.sleep(0.1)


def _once_delivered(world: World, referral: str) -> None:
    deadline = time.monotonic() + AGAIN_S
    while True:
        found = [
            item for item in all_deliveries(world) if item.event.resource == f"referrals/{referral}"
        ]
        if found:
            break
        assert time.monotonic() < deadline, "the event did not arrive"
        time.sleep(0.1)
    assert len({item.event.id for item in found}) == len(found), "an event was delivered twice"


def all_deliveries(world: World) -> list[notify_pb2.Delivery]:
    """Everything that agency B was ever told, in cursor order."""
    out: list[notify_pb2.Delivery] = []
    while page := _page(world, out[-1].cursor if out else 0):
        out += page
    return out


def _page(world: World, after: int) -> list[notify_pb2.Delivery]:
    return persist(lambda: world.agency_b.deliveries(after))


Drive = Callable[[Scene], None]

_WRITER: dict[str, Drive] = {
    "grant": drive_grant,
    "stop": drive_stop,
    "stop-for-her": drive_stop_for_her,
    "release": drive_release,
    "create": drive_create,
}

MATRIX: dict[str, dict[str, Drive]] = {
    "consent.writer.begin": _WRITER,
    "consent.writer.appended": _WRITER,
    "consent.writer.before_commit": _WRITER,
    "consent.writer.committed": _WRITER,
    "consent.writer.anchored": {"stop": drive_stop, "stop-for-her": drive_stop_for_her},
    "consent.release.before_answer": {"release": drive_release},
    "consent.keys.new_kek": {"roll": drive_roll},
    "consent.keys.begun": {"roll": drive_roll},
    "consent.keys.some_rewrapped": {"roll": drive_roll},
    "consent.keys.rewrapped": {"roll": drive_roll},
    "consent.relay.published": {"events": drive_events},
    "referral.create.before_commit": {"create": drive_create},
    "referral.create.committed": {"create": drive_create},
    "referral.follow.before_commit": {"events": drive_events},
    "referral.relay.published": {"events": drive_events},
    "notify.consume.before_commit": {"events": drive_events},
    "notify.consume.committed": {"events": drive_events},
}
"""Failpoint to drives. A failpoint of the table that is missing here fails the test."""


def process_of(failpoint: str) -> str:
    return failpoints.TABLE[failpoint][0]


def gapless(world: World) -> None:
    """Agency B's cursors have no gap and no repetition."""
    cursors = [item.cursor for item in all_deliveries(world)]
    assert cursors == list(range(1, len(cursors) + 1))
