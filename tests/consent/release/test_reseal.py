"""Sealing again: the same referral under a new consent or to a new key, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from safehand.consent.v1 import consent_pb2 as pb
from safehand_consent_service import release
from safehand_core.reasons import Reason
from safehand_formats.bodies import decode_body
from safehand_formats.kinds import Kind

from tests.consent.release.world import DAY_S, B, Sealed, Sent, World, refused


def again(world: World, sent: Sent, grant: str, **changes: object) -> Sealed:
    """What the sender would seal in the place of ``sent``."""
    values: dict[str, object] = {
        "referral": sent.sealed.referral,
        "reseals": sent.sealed.digest,
        **changes,
    }
    return world.seal(grant, **values)  # type: ignore[arg-type]


def ended(world: World, session: bytes) -> Sent:
    """A referral that B accepted, whose consent she ended for good."""
    grant = world.grant(session)
    sent = world.send(grant)
    world.accept(sent)
    world.stop_grant(session, grant, pb.STOP_MODE_DESTROY_NOW)
    return sent


def test_after_a_final_stop_a_new_consent_opens_the_same_referral(world: World) -> None:
    session = world.session()
    sent = ended(world, session)
    newer = world.authorise(again(world, sent, world.grant(session)))
    # The acceptance of the referral stands: identity opens without another one.
    opened = world.release(newer, "NAME")
    assert world.open(newer, "NAME", opened.inner_wrap) == b"content of NAME"
    body = decode_body(Kind.REFER, newer.receipt.body)
    assert body["reseals"] == sent.sealed.digest
    assert body["referral"] == sent.sealed.referral


def test_to_a_new_key_under_the_same_consent(fresh_world: World) -> None:
    world = fresh_world
    session = world.session()
    grant = world.grant(session)
    sent = world.send(grant)
    world.append_key(world.key_record(B))
    newer = world.authorise(again(world, sent, grant))
    assert world.release(newer).inner_wrap
    with refused(Reason.STATE_CONFLICT):
        world.release(sent)


def test_what_was_sealed_before_is_never_opened_again(world: World) -> None:
    session = world.session()
    grant = world.grant(session)
    sent = world.send(grant)
    newer = world.authorise(again(world, sent, world.grant(session)))
    size = world.size
    with refused(Reason.STATE_CONFLICT):
        world.release(sent)
    with refused(Reason.STATE_CONFLICT):
        world.authorise(sent.sealed)
    assert world.size == size
    assert world.authorise(newer.sealed).receipt.index == newer.receipt.index


def test_a_look_that_was_on_its_way_when_it_was_sealed_again_opens_nothing(
    fresh_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = fresh_world
    session = world.session()
    sent = world.send(world.grant(session))
    newer = again(world, sent, world.grant(session))
    unwrap = release._unwrap
    sizes: list[int] = []

    def slow(*given: Any) -> bytes:
        """Everything was looked at; before it is entered the newer seal is."""
        monkeypatch.undo()
        inner = unwrap(*given)
        world.authorise(newer)
        sizes.append(world.size)
        return inner

    monkeypatch.setattr(release, "_unwrap", slow)
    with refused(Reason.STATE_CONFLICT):
        world.release(sent)
    assert sizes == [world.size]


def test_an_answer_to_the_one_before_is_an_answer(world: World) -> None:
    session = world.session()
    sent = world.send(world.grant(session))
    newer = world.authorise(again(world, sent, world.grant(session)))
    with refused(Reason.NOT_ACCEPTED):
        world.release(newer, "NAME")
    world.accept(sent)
    assert world.release(newer, "NAME").inner_wrap
    world.accept(newer)  # and one to the newer is no second one
    world.decline(newer)
    with refused(Reason.REFERRAL_CLOSED):
        world.release(newer)


def test_a_closed_referral_is_not_sealed_again(world: World) -> None:
    session = world.session()
    sent = world.send(world.grant(session))
    world.decline(sent)
    with refused(Reason.REFERRAL_CLOSED):
        world.authorise(again(world, sent, world.grant(session)))


def _another_person(world: World, sent: Sent, _session: bytes) -> Sealed:
    return again(world, sent, world.grant(world.session()))


def _without_saying_so(world: World, sent: Sent, session: bytes) -> Sealed:
    return again(world, sent, world.grant(session), reseals="")


def _nothing_new(world: World, sent: Sent, _session: bytes) -> Sealed:
    return again(world, sent, sent.sealed.manifest.header.grant)


def _another_service(world: World, sent: Sent, session: bytes) -> Sealed:
    return again(world, sent, world.grant(session), service="svc-2")


def _more_urgent(world: World, sent: Sent, session: bytes) -> Sealed:
    return again(world, sent, world.grant(session), urgency="emergency")


def _for_something_else(world: World, sent: Sent, session: bytes) -> Sealed:
    """The purpose is that of its own consent: only the one before shows that it changed."""
    other = world.grant(session, world.terms(purpose="legal"))
    return again(world, sent, other, purpose="legal")


def _of_no_referral(world: World, sent: Sent, session: bytes) -> Sealed:
    return again(world, sent, world.grant(session), referral="0" * 32)


def _in_place_of_another(world: World, sent: Sent, session: bytes) -> Sealed:
    return again(world, sent, world.grant(session), reseals="0" * 64)


def _in_place_of_the_one_before(world: World, sent: Sent, session: bytes) -> Sealed:
    world.authorise(again(world, sent, world.grant(session)))
    return again(world, sent, world.grant(session))


@pytest.mark.parametrize(
    ("reason", "attempt"),
    [
        (Reason.CONSENT_MISSING, _another_person),
        (Reason.ALREADY_EXISTS, _without_saying_so),
        (Reason.MANIFEST_MISMATCH, _nothing_new),
        (Reason.MANIFEST_MISMATCH, _another_service),
        (Reason.MANIFEST_MISMATCH, _more_urgent),
        (Reason.MANIFEST_MISMATCH, _for_something_else),
        (Reason.MANIFEST_MISMATCH, _of_no_referral),
        (Reason.MANIFEST_MISMATCH, _in_place_of_another),
        (Reason.MANIFEST_MISMATCH, _in_place_of_the_one_before),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_nothing_else_takes_its_place(
    world: World, reason: Reason, attempt: Callable[[World, Sent, bytes], Sealed]
) -> None:
    session = world.session()
    sent = world.send(world.grant(session))
    sealed = attempt(world, sent, session)
    size = world.size
    with refused(reason):
        world.authorise(sealed)
    assert world.size == size


def test_a_new_seal_starts_no_new_count_of_looks(
    fresh_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are counted for a recipient and a referral; its manifests are one referral."""
    monkeypatch.setattr(release, "LOOKS", 2)
    world = fresh_world
    session = world.session()
    sent, other = world.send(world.grant(session)), world.send(world.grant(session))
    world.release(sent)
    newer = world.authorise(again(world, sent, world.grant(session)))
    world.release(newer)
    with refused(Reason.QUOTA_EXCEEDED):
        world.release(newer)
    world.release(other)
    world.clock.advance(release.LOOKS_WINDOW_S)
    world.release(newer)


def test_a_stop_of_the_new_consent_ends_it_and_one_of_the_old_does_not(fresh_world: World) -> None:
    world = fresh_world
    card = world.register_subject()
    session = world.sign_in(card)
    old = world.grant(session)
    sent = world.send(old)
    grant = world.grant(session)
    newer = world.authorise(again(world, sent, grant))
    world.stop_grant(session, old)
    assert world.release(newer).inner_wrap
    world.stop_grant(session, grant)
    with refused(Reason.CONSENT_ENDED):
        world.release(newer)
    world.clock.advance(DAY_S)
    world.app.sweep()
    third = world.authorise(again(world, newer, world.grant(world.sign_in(card))))
    assert world.release(third).inner_wrap
