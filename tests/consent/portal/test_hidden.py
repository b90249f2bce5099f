""" "Do not show": what she marked is nowhere, as if it had never been, and it all comes back."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from safehand.consent.v1 import portal_pb2 as pb
from safehand.consent.v1 import recorded_pb2
from safehand.consent.v1.grant_pb2 import GRANT_STATE_STOPPED
from safehand_core.reasons import Reason

from tests.consent.portal.world import (
    ASK,
    ENTROPY,
    GRANT,
    LOOK,
    MINUTE,
    NOBODYS,
    REFERRAL,
    B,
    C,
    Her,
    PortalWorld,
    new_request_id,
    refused,
    without_numbers,
)


def _marks(world: PortalWorld) -> list[tuple[Any, ...]]:
    return world.store.rows("SELECT kind, item_id FROM hidden_item ORDER BY kind")


def test_a_sharing_that_she_hides_is_nowhere(pages_world: PortalWorld, she: Her) -> None:
    empty = _pages(pages_world, she)
    sent = pages_world.send(pages_world.give(she))
    pages_world.look(sent)
    pages_world.hide(she, pages_world.only(she).number)
    assert _pages(pages_world, she) == empty
    assert _pages(pages_world, pages_world.again(she))[1:] == empty[1:]
    # It goes on as it was: hiding is no stop.
    pages_world.look(sent)


def test_each_kind_of_thing_can_be_hidden_and_comes_back(
    pages_world: PortalWorld, she: Her
) -> None:
    sent = pages_world.send(pages_world.give(she))
    pages_world.look(sent)
    pages_world.ask(she, purpose="health")
    before = _pages(pages_world, she)
    (asked,) = pages_world.sharing(she).asked
    (look,) = pages_world.seen(she).seen
    (step,) = pages_world.steps(she).steps
    for number in (look.number, step.number, asked.number, pages_world.only(she).number):
        pages_world.hide(she, number)
    assert [mark[0] for mark in _marks(pages_world)] == [ASK, GRANT, LOOK, REFERRAL]
    pages_world.show_all(she)
    assert _marks(pages_world) == []
    assert _pages(pages_world, she) == before


def test_what_is_hidden_can_be_named_by_nothing(pages_world: PortalWorld, she: Her) -> None:
    grant = pages_world.recorded(she)
    number = pages_world.only(she).number
    pages_world.hide(she, number)
    calls: list[Callable[[], object]] = [
        lambda: pages_world.one(she, number),
        lambda: pages_world.undo(she, number),
        lambda: pages_world.destroy(she, number),
        lambda: pages_world.confirm(she, number, recorded_pb2.REPLY_YES),
        lambda: pages_world.seen(she, sharing=number),
    ]
    for call in calls:
        with refused(Reason.NOT_FOUND, by=pages_world):
            call()
    assert not pages_world.app.context.gates.is_up(grant)


def test_a_stop_finds_what_was_hidden_since_the_page_was_made(
    pages_world: PortalWorld, she: Her
) -> None:
    sent = pages_world.send(pages_world.give(she))
    number = pages_world.only(she).number
    pages_world.hide(she, number)
    stop = pb.StopSharingRequest(request_id=new_request_id(), session=she.session, number=number)
    for _ in range(2):
        assert not pages_world.pages.StopSharing(stop).HasField("sharing")
    pages_world.refuse(sent)
    pages_world.show_all(she)
    assert pages_world.only(she).state == GRANT_STATE_STOPPED


def test_a_second_press_hides_nothing_more(pages_world: PortalWorld, she: Her) -> None:
    pages_world.give(she)
    number = pages_world.only(she).number
    request_id = new_request_id()
    with ThreadPoolExecutor(4) as pool:
        for job in [pool.submit(pages_world.hide, she, number, request_id) for _ in range(4)]:
            job.result()
    assert len(_marks(pages_world)) == 1
    pages_world.hide(she, number, request_id)
    with refused(Reason.NOT_FOUND):
        pages_world.hide(she, number)
    other = pages_world.give(she, C)
    with refused(Reason.REQUEST_ID_REUSED):
        pages_world.hide(she, pages_world.number(she, other), request_id)
    assert len(_marks(pages_world)) == 1


def test_everything_comes_back_with_the_pin_alone(pages_world: PortalWorld, she: Her) -> None:
    nothing = pages_world.show_all(she)
    pages_world.give(she)
    pages_world.hide(she, pages_world.only(she).number)
    with refused(Reason.SIGN_IN_FAILED):
        pages_world.show_all(she, pin="000000")
    assert len(_marks(pages_world)) == 1
    assert pages_world.show_all(she) == nothing
    assert len(pages_world.sharing(she).sharings) == 1


def test_nobody_hides_or_shows_anothers(pages_world: PortalWorld, she: Her) -> None:
    grant = pages_world.give(she)
    other = pages_world.her()
    wrong = (
        (other, pages_world.only(she).number),
        (other, pages_world.number(other, grant)),
        (pages_world.again(she), pages_world.only(she).number),
        (she, NOBODYS),
    )
    for her, number in wrong:
        with refused(Reason.NOT_FOUND):
            pages_world.hide(her, number)
    pages_world.hide(she, pages_world.only(she).number)
    pages_world.show_all(other)
    assert len(_marks(pages_world)) == 1
    nobody = Her(she.card, she.ref, bytes(32))
    with refused(Reason.SESSION_INVALID):
        pages_world.hide(nobody, NOBODYS)
    with refused(Reason.SESSION_INVALID):
        pages_world.show_all(nobody)


def test_what_is_hidden_is_not_in_the_ledger(pages_world: PortalWorld, she: Her) -> None:
    pages_world.give(she)
    size = pages_world.size
    pages_world.hide(she, pages_world.only(she).number)
    pages_world.show_all(she)
    assert pages_world.size == size


# --- as if it had never been ---------------------------------------------------------------------

PURPOSES = ("housing", "health", "legal", "counselling")
_PLACES = itertools.count(1_000_000)


@dataclass(frozen=True)
class Thing:
    """One sharing and what came of it. ``hidden``: all of it. Of looks, tries and steps each says
    whether it alone is hidden."""

    recipient: str
    stopped: bool
    recorded: bool
    hidden: bool
    looks: tuple[bool, ...]
    tries: tuple[bool, ...]
    steps: tuple[bool, ...]
    asked: bool | None  # also a question, hidden or not


_FLAGS = st.lists(st.booleans(), max_size=3).map(tuple)
THINGS = st.lists(
    st.builds(
        Thing,
        recipient=st.sampled_from([B, C]),
        stopped=st.booleans(),
        recorded=st.booleans(),
        hidden=st.booleans(),
        looks=_FLAGS,
        tries=_FLAGS,
        steps=_FLAGS,
        asked=st.none() | st.booleans(),
    ),
    min_size=1,
    max_size=4,
)


# Not made smaller when it fails: each try is two women's whole story.
@settings(max_examples=12, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(things=THINGS)
def test_it_is_as_if_what_she_hid_had_never_been(
    pages_world: PortalWorld, things: list[Thing]
) -> None:
    """Two women: one hid what the other never had. Their pages are the same, byte by byte."""
    hiding, other = pages_world.her(), pages_world.her()
    asks = 0
    for thing in things:
        marked = _have(pages_world, hiding, thing, everything=True)
        if not thing.hidden:
            _have(pages_world, other, thing, everything=False)
        if thing.asked is not None and asks < len(PURPOSES):
            marked += _be_asked(pages_world, hiding, PURPOSES[asks], hidden=thing.asked)
            if not thing.asked:
                _be_asked(pages_world, other, PURPOSES[asks], hidden=False)
            asks += 1
        for kind, item in marked:
            pages_world.hide(hiding, pages_world.number(hiding, item, kind))
        pages_world.later(MINUTE)
        hiding, other = pages_world.again(hiding), pages_world.again(other)
    assert _pages(pages_world, hiding) == _pages(pages_world, other)
    stopped = [without_numbers(pages_world.stop_all(her)) for her in (hiding, other)]
    assert stopped[0].SerializeToString() == stopped[1].SerializeToString()
    assert _pages(pages_world, hiding) == _pages(pages_world, other)


def _have(world: PortalWorld, her: Her, thing: Thing, *, everything: bool) -> list[Any]:
    """Give her the thing, with or without what is hidden; what to hide, ``(kind, id)``."""
    give = world.recorded if thing.recorded else world.give
    grant = give(her, recipient=thing.recipient)
    marked: list[Any] = []
    steps = [False, *thing.steps]  # the first one carries the looks
    first = ""
    for hidden in steps:
        if everything or not hidden:
            digest, referral = _step(world, grant)
            first = first or digest
            marked += [(REFERRAL, referral)] * hidden
    for number, hidden in enumerate(thing.looks):
        if everything or not hidden:
            marked += [(LOOK, _look(world, grant, first, number))] * hidden
    for number, hidden in enumerate(thing.tries):
        if everything or not hidden:
            marked += [(LOOK, _try(world, grant, number))] * hidden
    if thing.stopped:
        world.stop_one(her, world.number(her, grant))
    return [*marked, (GRANT, grant)] if thing.hidden else marked


def _be_asked(world: PortalWorld, her: Her, purpose: str, *, hidden: bool) -> list[Any]:
    ask = world.ask(her, purpose=purpose)
    return [(ASK, ask)] if hidden else []


def _step(world: PortalWorld, grant: str) -> tuple[str, str]:
    """An authorised referral, as the service files one."""
    digest, referral = ENTROPY.bytes(32).hex(), ENTROPY.bytes(16).hex()
    ((releasing, recipient),) = world.store.rows(
        "SELECT releasing, recipient FROM consent_grant WHERE grant_id = ?", grant
    )
    world.store.execute(
        "INSERT INTO refer (manifest_digest, manifest, signature, referral, grant_id, sender, "
        "recipient, recipient_key, not_after, service, urgency, refer_index, referred_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, 'k', ?, 's', 'normal', ?, ?)",
        *(digest, b"{}", bytes(64), referral, grant, releasing, recipient),
        *(world.now + MINUTE, next(_PLACES), world.now),
    )
    return digest, referral


def _look(world: PortalWorld, grant: str, digest: str, number: int) -> str:
    place = next(_PLACES)
    ((recipient,),) = world.store.rows(
        "SELECT recipient FROM consent_grant WHERE grant_id = ?", grant
    )
    world.store.execute(
        "INSERT INTO look VALUES (?, ?, ?, 0, ?, ?, 'worker-1', ?, ?)",
        *(place, grant, digest, ("CARD", "NAME")[number % 2], recipient),
        *(ENTROPY.bytes(32).hex(), world.now + number // 2),
    )
    return f"l.{place}"


def _try(world: PortalWorld, grant: str, number: int) -> str:
    world.store.execute(
        "INSERT INTO refused_look (grant_id, agency, category, worker_ref, reason, at) "
        "VALUES (?, ?, 'CARD', 'worker-2', 'CONSENT_ENDED', ?)",
        *(grant, (B, C)[number % 2], world.now + number // 2),
    )
    return f"r.{world.store.rows('SELECT max(refused_id) FROM refused_look')[0][0]}"


def _pages(world: PortalWorld, her: Her) -> list[bytes]:
    """Everything that her pages say, but for numbers and tokens. The first is her home page."""
    listed = world.sharing(her)
    answers: list[Any] = [world.home(her), listed]
    answers += [world.one(her, one.number) for one in listed.sharings]
    answers.append(world.steps(her))
    organisations = world.seen(her).organisations
    wishes: list[dict[str, Any]] = [{}, {"refused_only": True}, {"since_last": True}]
    wishes += [{"sharing": one.number} for one in listed.sharings]
    wishes += [{"organisation": one.number} for one in organisations]
    for wish in wishes:
        answer = world.seen(her, page_size=2, **wish)
        answers.append(answer)
        while answer.next_page_token:
            answer = world.seen(her, page_size=2, page_token=answer.next_page_token, **wish)
            answers.append(answer)
    return [without_numbers(answer).SerializeToString(deterministic=True) for answer in answers]
