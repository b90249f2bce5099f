"""She takes something out of a consent: an entry, keys that are gone, and the rest goes on."""

from __future__ import annotations

from typing import Any

import pytest
from safehand.consent.v1 import consent_pb2 as pb
from safehand.events.v1 import events_pb2
from safehand_client.survivor import read_receipt
from safehand_consent_service import events_out
from safehand_consent_service.stops import WINDOW_S
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from safehand_formats.note import NoteVerifier

from tests.consent.asking import narrow
from tests.consent.refusals import refused
from tests.consent.world import DAY, World

EVERYONE = ["agency/haven", "service/referral"]  # nothing was ever sent to legal


@pytest.fixture
def grant(world: World, her: bytes) -> str:
    """A live grant of CARD, CONTACT, HEALTH and NAME, for 90 days."""
    return str(world.grant(her, categories=["CONTACT", "HEALTH", "NAME"]).grant.grant)


def keys(world: World, grant: str) -> list[str]:
    sql = "SELECT category FROM category_key WHERE grant_id = ? ORDER BY category"
    return [row[0] for row in world.rows(sql, grant)]


def test_a_narrowing_is_an_entry_and_deletes_the_keys_of_what_it_takes_out(
    world: World, her: bytes, grant: str
) -> None:
    world.clock.advance(10)
    before = world.view(her, grant)
    done = narrow(world, her, grant, "NAME", "CONTACT")
    opening = world.opened(done.receipt)
    assert opening.kind is Kind.NARROW
    assert opening.body == {
        "kind": "NARROW",
        "grant": grant,
        "counter": 0,
        "categories": ["CARD", "CONTACT", "NAME"],
        "expires_at": before.terms.expires_at.seconds,
        "by": "self",
        "at": world.clock.wall(),
    }
    assert list(done.removed) == ["HEALTH"]
    assert keys(world, grant) == ["CARD", "CONTACT", "NAME"]
    before.terms.ClearField("categories")
    before.terms.categories.extend(["CARD", "CONTACT", "NAME"])
    assert done.grant == world.view(her, grant) == before


def test_it_is_answered_after_its_head_is_in_the_anchor(
    world: World, her: bytes, grant: str
) -> None:
    done = narrow(world, her, grant, "NAME")
    assert world.anchored() > done.receipt.index


def test_the_card_stays_named_or_not(world: World, her: bytes, grant: str) -> None:
    done = narrow(world, her, grant, "CARD")
    assert list(done.removed) == ["CONTACT", "HEALTH", "NAME"]
    assert list(done.grant.terms.categories) == ["CARD"]
    assert keys(world, grant) == ["CARD"]


def test_an_earlier_end_alone(world: World, her: bytes, grant: str) -> None:
    end = world.clock.wall() + 5 * DAY
    done = narrow(world, her, grant, "CONTACT", "HEALTH", "NAME", expires_at=end)
    assert list(done.removed) == []
    assert done.grant.terms.expires_at.seconds == end
    assert len(keys(world, grant)) == 4
    world.clock.advance(5 * DAY)
    her = world.sign_in(1)
    assert world.view(her, grant).state == pb.GRANT_STATE_EXPIRED
    assert world.sweep() == 1
    assert keys(world, grant) == []


def test_one_after_another_each_counted(world: World, her: bytes, grant: str) -> None:
    counters = [
        world.opened(narrow(world, her, grant, *left).receipt).body["counter"]
        for left in (("CONTACT", "NAME"), ("NAME",), ("CARD",))
    ]
    assert counters == [0, 1, 2]
    verifier = NoteVerifier.from_vkey(world.vkey)
    lines, _ = read_receipt(world.receipt(her, grant), grant, verifier)
    assert [line.kind for line in lines] == [Kind.GRANT, *[Kind.NARROW] * 3]


def test_it_never_widens(world: World, her: bytes, grant: str) -> None:
    end = world.view(her, grant).terms.expires_at.seconds
    with refused(Reason.SCOPE_EXCEEDED):
        narrow(world, her, grant, "NAME", "MONEY_WORK")
    with refused(Reason.EXPIRY_INVALID):
        narrow(world, her, grant, "NAME", expires_at=end + 1)
    narrow(world, her, grant, "NAME")
    with refused(Reason.SCOPE_EXCEEDED):
        narrow(world, her, grant, "NAME", "CONTACT")
    with refused(Reason.MALFORMED):
        narrow(world, her, grant, "NAME", "SHOE_SIZE")


def test_nothing_left_is_a_stop_and_nothing_taken_out_is_nothing(
    world: World, her: bytes, grant: str
) -> None:
    now = world.clock.wall()
    everything = ("CARD", "CONTACT", "HEALTH", "NAME")
    end = world.view(her, grant).terms.expires_at.seconds
    for left, expires_at in (
        ((), None),
        ((), now + DAY),
        (everything, now),
        (everything, now - 1),
        (everything, None),
        (everything, end),
    ):
        with refused(Reason.MALFORMED) as caught:
            narrow(world, her, grant, *left, expires_at=expires_at)
        if not left or expires_at in (now, now - 1):
            assert "StopGrant" in caught.value.detail
    assert world.view(her, grant).state == pb.GRANT_STATE_ACTIVE
    assert keys(world, grant) == ["CARD", "CONTACT", "HEALTH", "NAME"]


def test_a_repeat_is_the_same_and_another_body_is_refused(
    world: World, her: bytes, grant: str
) -> None:
    request_id = world.request_id()
    first = narrow(world, her, grant, "NAME", request_id=request_id)
    again = narrow(world, her, grant, "NAME", request_id=request_id)
    assert again.receipt.leaf == first.receipt.leaf
    assert list(again.removed) == list(first.removed) == ["CONTACT", "HEALTH"]
    with refused(Reason.REQUEST_ID_REUSED):
        narrow(world, her, grant, "CARD", request_id=request_id)
    assert keys(world, grant) == ["CARD", "NAME"]


def test_a_repeat_after_more_was_taken_out_brings_nothing_back(
    world: World, her: bytes, grant: str
) -> None:
    request_id = world.request_id()
    narrow(world, her, grant, "CONTACT", "NAME", request_id=request_id)
    narrow(world, her, grant, "NAME")
    again = narrow(world, her, grant, "CONTACT", "NAME", request_id=request_id)
    assert list(again.grant.terms.categories) == ["CARD", "NAME"]
    assert keys(world, grant) == ["CARD", "NAME"]


def test_what_would_be_resumed_can_be_made_smaller(world: World, her: bytes, grant: str) -> None:
    world.stop_grant(her, grant)
    done = narrow(world, her, grant, "NAME")
    assert done.grant.state == pb.GRANT_STATE_STOPPED
    assert keys(world, grant) == ["CARD", "NAME"]
    resumed = world.resume_grant(her, grant)
    assert list(resumed.grant.terms.categories) == ["CARD", "NAME"]
    assert resumed.grant.state == pb.GRANT_STATE_ACTIVE


def test_after_the_end_there_is_nothing_to_narrow(world: World, her: bytes, grant: str) -> None:
    world.stop_grant(her, grant, destroy_now=True)
    with refused(Reason.CONSENT_ENDED):
        narrow(world, her, grant, "NAME")
    other = world.grant(her, expires_at=world.clock.wall() + DAY).grant.grant
    third = world.grant(her).grant.grant
    world.stop_grant(her, third)
    world.clock.advance(max(DAY, WINDOW_S))
    her = world.sign_in(1)
    # Not swept yet: what decides is the clock.
    for over in (other, third):
        with refused(Reason.CONSENT_ENDED):
            narrow(world, her, over, "NAME")


def test_only_hers(world: World, her: bytes, grant: str) -> None:
    world.register("haven", 2, "other-at-haven")
    other = world.sign_in(2)
    for whose in (grant, "0" * 32):
        with refused(Reason.NOT_FOUND):
            narrow(world, other, whose, "NAME")
    with refused(Reason.SESSION_INVALID):
        narrow(world, bytes(32), grant, "NAME")
    assert len(keys(world, grant)) == 4


def test_who_knows_of_it_is_told_that_and_not_what(world: World, her: bytes, grant: str) -> None:
    seen = len(world.events())
    narrow(world, her, grant, "NAME")
    events = world.events(after=seen)
    assert [(e.type, e.audience, e.resource) for e in events] == [
        (events_pb2.EVENT_TYPE_CONSENT_NARROWED, who, f"grants/{grant}") for who in EVERYONE
    ]


def test_the_releasing_agency_sees_what_it_may_still_send(
    world: World, her: bytes, grant: str
) -> None:
    narrow(world, her, grant, "NAME")
    (listed,) = world.consent("haven").ListAgencyGrants(pb.ListAgencyGrantsRequest()).grants
    assert list(listed.terms.categories) == ["CARD", "NAME"]
    assert listed.live


def test_a_narrowing_that_failed_shuts_nothing(
    world: World, her: bytes, grant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise SafehandError(Reason.UNAVAILABLE)

    monkeypatch.setattr(events_out, "narrowed", fails)
    with refused(Reason.UNAVAILABLE):
        narrow(world, her, grant, "NAME")
    monkeypatch.undo()
    gates = world.app.context.gates
    gates.leave(gates.enter(grant, _Call(), "HEALTH"))
    assert len(keys(world, grant)) == 4
    narrow(world, her, grant, "NAME")
    with refused(Reason.CONSENT_ENDED):
        gates.enter(grant, _Call(), "HEALTH")


class _Call:
    def add_callback(self, callback: Any) -> bool:
        return True

    def cancel(self) -> None:
        raise AssertionError("nothing hangs here")
