"""What a stop by others must not become: a question, a flood, a way to destroy, or a lock.

The attacker may be an agency, somebody with a telephone who makes a worker ask, or somebody who
tries codes at the portal.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from safehand.consent.v1 import consent_pb2
from safehand.consent.v1 import stops_pb2 as pb
from safehand_consent_service import stop_notes, stop_quotas
from safehand_consent_service.stop_quotas import DAY_S, WISHES
from safehand_core import logs
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from sqlalchemy import event

from tests.consent.attack.test_receipt_size import DEPTH, HASH_LINE, HER_OWN
from tests.consent.attack.test_threads import AT_ONCE_S, HALF_OPEN, half_open
from tests.consent.helpers import (
    add,
    leaf_kinds,
    notes,
    remove,
    resume_for_her,
    set_word,
    state,
    stop_as_representative,
    stop_for_her,
)
from tests.consent.refusals import refused
from tests.consent.release.world import A, B, C, Sent, new_request_id
from tests.consent.release.world import World as Releasing
from tests.consent.world import World, card

ABSENT = "0" * 32
WRONG_CODE = card(99_999)

LEFT_BYTES = 10**6
"""What ``grant_leaves.MOST`` leaves of an answer for stops and resumes."""

Act = Callable[[], Any]


@pytest.fixture
def settled(bare_world: World) -> World:
    """As the ``world`` of the tests beside this folder."""
    return bare_world.settle()


@pytest.fixture
def her(settled: World) -> bytes:
    settled.register("haven", 1, "her-at-haven")
    return settled.sign_in(1)


def counts(world: World) -> dict[str, int]:
    """Rows of every table."""
    names = world.store.tables()
    return {name: int(world.rows(f'SELECT count(*) FROM "{name}"')[0][0]) for name in names}


def written(world: World, act: Act) -> dict[str, int]:
    """How many rows ``act`` adds to which table."""
    before = counts(world)
    act()
    after = counts(world)
    return {name: after[name] - before[name] for name in after if after[name] != before[name]}


def outcome(act: Act) -> tuple[Any, ...]:
    """The whole answer or the whole refusal, as its bytes and words."""
    try:
        return ("answered", act().SerializeToString())
    except SafehandError as error:
        return (error.reason, error.detail, error.retry_after_s, tuple(error.metadata.items()))


# --- to learn --------------------------------------------------------------------------------


def ways(world: World, her: bytes) -> dict[str, Act]:
    """Wishes about somebody with a live grant, with none, and about nobody at all."""
    world.grant(her)
    foreign = str(world.grant(her).grant.grant)
    ended = str(world.grant(her).grant.grant)
    world.stop_grant(her, ended, destroy_now=True)
    world.register("haven", 2, "without-grants")
    right, removed = add(world, her), add(world, her)
    remove(world, her, removed.representative.representative)
    return {
        "live": lambda: stop_for_her(world, subject_ref="her-at-haven"),
        "no grants": lambda: stop_for_her(world, subject_ref="without-grants"),
        "unknown": lambda: stop_for_her(world, subject_ref="nobody-at-all"),
        "card without grants": lambda: stop_for_her(world, card_number=card(2)),
        "unknown card": lambda: stop_for_her(world, card_number=card(77)),
        "foreign grant": lambda: stop_for_her(world, "clinic", grant=foreign),
        "foreign person": lambda: stop_for_her(world, "clinic", card_number=card(1)),
        "ended grant": lambda: stop_for_her(world, grant=ended),
        "unknown grant": lambda: stop_for_her(world, grant=ABSENT),
        "right code": lambda: stop_for_her(world, representative_code=right.representative_code),
        "wrong code": lambda: stop_for_her(world, representative_code=WRONG_CODE),
        "removed code": lambda: stop_for_her(
            world, representative_code=removed.representative_code
        ),
        "right code, portal": lambda: stop_as_representative(world, right.representative_code),
        "wrong code, portal": lambda: stop_as_representative(world, WRONG_CODE),
        "removed code, portal": lambda: stop_as_representative(world, removed.representative_code),
    }


def test_every_answer_is_the_same(settled: World, her: bytes) -> None:
    answers = {name: outcome(act) for name, act in ways(settled, her).items()}
    assert len(set(answers.values())) == 1, answers


def test_so_is_every_refusal_of_too_many(settled: World, her: bytes) -> None:
    acts = ways(settled, her)
    for _ in range(WISHES):
        for act in acts.values():
            outcome(act)  # a code that a worker heard and the portal too is refused sooner
    settled.clock.advance(60)
    answers = {name: outcome(act) for name, act in acts.items()}
    assert len(set(answers.values())) == 1, answers
    (only,) = set(answers.values())
    assert only[0] is Reason.QUOTA_EXCEEDED
    assert only[2] == DAY_S - 60


def test_when_the_next_wish_may_come_does_not_tell_whether_this_one_stopped_anything(
    settled: World, her: bytes
) -> None:
    """Beyond the count a first stop is still made; the refusal is that of nobody's."""
    grant = str(settled.grant(her).grant.grant)
    settled.stop_grant(her, grant)
    for _ in range(WISHES):
        stop_for_her(settled, grant=grant)
        stop_for_her(settled, grant=ABSENT)
        settled.clock.advance(60)
    settled.resume_grant(her, grant)
    for _ in range(2):
        found = [outcome(partial(stop_for_her, settled, grant=one)) for one in (grant, ABSENT)]
        assert found[0] == found[1]
        assert found[0][0] is Reason.QUOTA_EXCEEDED
    assert state(settled, grant)[0] == "stopped"


def test_a_wish_about_nobody_writes_as_much_as_one_that_changes_nothing(
    settled: World, her: bytes
) -> None:
    acts = ways(settled, her)
    acts.pop("live")()
    acts.pop("right code")()
    found = {name: written(settled, act) for name, act in acts.items()}
    about = {"her own": found.pop("right code, portal")}
    assert all(rows == {"stop_note": 1, "idempotency": 1} for rows in found.values()), found
    # What is stopped already is named in her note: a row for each, and no leaf.
    assert about["her own"] == {"stop_note": 1, "idempotency": 1, "stop_note_grant": 2}


def test_a_wish_about_nobody_goes_the_whole_way(
    settled: World, her: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One pass of the gates, one operation in the stop lane, and no PIN is looked at."""
    context = settled.app.context
    seen: list[str] = []
    raise_all, submit, verify = context.gates.raise_all, context.writer.submit, context.cards

    def passing(grants: Any, *rest: Any) -> Any:
        seen.append("gates")
        return raise_all(grants, *rest)

    def submitting(operation: Any, **how: Any) -> Any:
        seen.append(f"writer {sorted(k for k, v in how.items() if v)}")
        return submit(operation, **how)

    def hashing(*_: Any) -> bool:
        seen.append("argon2")
        return False

    acts = ways(settled, her)
    monkeypatch.setattr(context.gates, "raise_all", passing)
    monkeypatch.setattr(context.writer, "submit", submitting)
    monkeypatch.setattr(verify, "pin_matches", hashing)
    monkeypatch.setattr(verify, "word_matches", hashing)
    for name, act in acts.items():
        seen.clear()
        act()
        assert seen == ["gates", "writer ['stop']"], name


def test_the_log_says_no_more(settled: World, her: bytes) -> None:
    acts = ways(settled, her)
    stream = io.StringIO()
    logs.configure("consent", stream=stream, strict=True)
    said = set()
    for act in acts.values():
        before = len(stream.getvalue())
        act()
        lines = [json.loads(line) for line in stream.getvalue()[before:].splitlines()]
        # Who calls, how, and how long it took: that is the caller's own doing.
        for line in lines:
            for key in ("timestamp", "duration_ms", "method", "role"):
                line.pop(key, None)
        said.add(json.dumps(lines, sort_keys=True))
    assert len(said) == 1, said
    assert "rpc." in said.pop()


# --- to flood --------------------------------------------------------------------------------


def test_one_agency_makes_so_many_stops_of_one_grant_a_day(settled: World, her: bytes) -> None:
    """A worker is talked into it again and again, she resumes each time."""
    grant = str(settled.grant(her).grant.grant)
    refusals = 0
    ways_of_naming = ({"grant": grant}, {"subject_ref": "her-at-haven"}, {"card_number": card(1)})
    for whom in ways_of_naming:
        act = partial(stop_for_her, settled, **whom)
        for _ in range(WISHES + 5):
            refusals += outcome(act)[0] is Reason.QUOTA_EXCEEDED
            if state(settled, grant)[0] == "stopped":
                settled.resume_grant(her, grant)
    assert leaf_kinds(settled, grant).count(Kind.STOP) == 3 * WISHES
    assert refusals == 15
    # Another agency's flood keeps nobody else's stop out, and hers least of all.
    stop_for_her(settled, "legal", grant=grant)
    assert state(settled, grant)[0] == "stopped"
    settled.resume_grant(her, grant)
    settled.stop_grant(her, grant)
    settled.resume_grant(her, grant)
    settled.clock.advance(DAY_S)
    stop_for_her(settled, grant=grant)
    assert state(settled, grant)[0] == "stopped"


def test_a_first_stop_is_made_whatever_was_asked_before(
    settled: World, her: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the flood used up her own name, or the agency's whole day."""
    monkeypatch.setattr(stop_quotas, "WISHES_OF_AGENCY", 5)
    for _ in range(WISHES):
        stop_for_her(settled, subject_ref="her-at-haven")
    grant = str(settled.grant(her).grant.grant)
    with refused(Reason.QUOTA_EXCEEDED):
        stop_for_her(settled, subject_ref="her-at-haven")
    assert state(settled, grant)[0] == "stopped"
    assert settled.app.context.gates.is_up(grant)
    assert len(notes(settled, her)) == WISHES + 1, "what was stopped is shown"
    for number in range(2):
        stop_for_her(settled, subject_ref=f"nobody-{number}")
    with refused(Reason.QUOTA_EXCEEDED):
        stop_for_her(settled, subject_ref="somebody-else")
    settled.register("haven", 2, "her-neighbour")
    other = settled.sign_in(2)
    second = str(settled.grant(other).grant.grant)
    with refused(Reason.QUOTA_EXCEEDED):
        stop_for_her(settled, subject_ref="her-neighbour")
    assert state(settled, second)[0] == "stopped"
    settled.resume_grant(other, second)
    with refused(Reason.QUOTA_EXCEEDED):
        stop_for_her(settled, subject_ref="her-neighbour")
    assert state(settled, second)[0] == "active", "once a day beyond the count"
    stop_for_her(settled, "legal", grant=second)
    assert state(settled, second)[0] == "stopped"


def test_beyond_the_count_nothing_is_written(
    settled: World, her: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_quotas, "WISHES_OF_AGENCY", 4)
    for number in range(4):
        stop_for_her(settled, subject_ref=f"nobody-{number}")

    def more() -> None:
        for number in range(4, 12):
            with refused(Reason.QUOTA_EXCEEDED):
                stop_for_her(settled, subject_ref=f"nobody-{number}")

    assert written(settled, more) == {}


def test_her_list_is_not_flooded_by_wishes_that_change_nothing(
    settled: World, her: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_quotas, "SHOWN", 4)
    made = [str(settled.grant(her).grant.grant) for _ in range(6)]
    for grant in made:
        settled.stop_grant(her, grant)
    rows = written(settled, lambda: [stop_for_her(settled, grant=grant) for grant in made])
    assert rows["stop_note"] == 6, "the caller's wish leaves the same row"
    shown = [note.more for note in notes(settled, her) if note.by == "worker"]
    assert shown == [2, 0, 0, 0], "of the others she is told how many"
    stop_for_her(settled, "legal", grant=made[0])
    assert notes(settled, her)[0].agency == "legal"


def test_notes_about_nobody_are_forgotten_after_a_day(settled: World, her: bytes) -> None:
    stop_for_her(settled, subject_ref="nobody-at-all")
    stop_for_her(settled, subject_ref="her-at-haven")
    settled.clock.advance(stop_notes.KEEP_UNKNOWN_S)
    settled.sweep()
    assert [note.agency for note in notes(settled, settled.sign_in(1))] == ["haven"]
    assert settled.rows("SELECT count(*) FROM stop_note") == [(1,)]


def test_who_tries_codes_keeps_no_first_stop_out_and_fills_nothing(
    settled: World, her: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_quotas, "CODES_AT_PORTAL", 3)
    grant = str(settled.grant(her).grant.grant)
    code = add(settled, her).representative_code
    tried = [outcome(partial(stop_as_representative, settled, card(n))) for n in range(50, 60)]
    assert len(set(tried[:3])) == len(set(tried[3:])) == 1
    assert tried[3][0] is Reason.QUOTA_EXCEEDED
    assert settled.rows("SELECT count(*) FROM stop_note") == [(3,)]
    assert outcome(lambda: stop_as_representative(settled, code)) == tried[3]
    assert state(settled, grant)[0] == "stopped"
    (note,) = notes(settled, her)
    assert note.by == "representative"
    # A worker who is shown the code is not held up by what comes in at the portal.
    settled.resume_grant(her, grant)
    stop_for_her(settled, representative_code=code)
    assert state(settled, grant)[0] == "stopped"


@pytest.mark.parametrize("tried_before", [0, 2, 3, 9])
def test_a_right_code_is_answered_as_a_wrong_one_however_many_were_tried(
    settled: World, her: bytes, monkeypatch: pytest.MonkeyPatch, tried_before: int
) -> None:
    """Also what it leaves of the day's count, and what a request id under which it was said is."""
    monkeypatch.setattr(stop_quotas, "CODES_AT_PORTAL", 6)
    submits: list[bool] = []
    writer = settled.app.context.writer
    submit = writer.submit

    def counted(operation: Any, **how: Any) -> Any:
        submits.append(how.get("stop", False))
        return submit(operation, **how)

    code = add(settled, her).representative_code
    monkeypatch.setattr(writer, "submit", counted)
    heard = []
    for one in (code, WRONG_CODE):
        for n in range(tried_before):
            outcome(partial(stop_as_representative, settled, card(60 + n)))
        submits.clear()
        request_id = settled.request_id()
        said = [outcome(partial(stop_as_representative, settled, one, request_id))]
        said += [outcome(partial(stop_as_representative, settled, one)) for _ in range(4)]
        said += [outcome(partial(stop_as_representative, settled, card(99), request_id))]
        said += [outcome(partial(stop_as_representative, settled, card(98)))]
        heard.append((said, list(submits)))
        settled.clock.advance(DAY_S)
        settled.sweep()
    at_once, a_day_later = heard
    assert at_once[0][0][0] == ("answered" if tried_before < 6 else Reason.QUOTA_EXCEEDED)
    assert [one[0] for one in at_once[0]] == [one[0] for one in a_day_later[0]]
    assert at_once[1] == a_day_later[1]


def test_a_wish_without_effect_asks_the_database_as_much_about_nobody(
    settled: World, her: bytes
) -> None:
    settled.register("haven", 2, "without-grants")
    context = settled.app.context
    statements: list[str] = []

    def noted(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    event.listen(context.engine, "before_cursor_execute", noted)
    found = []
    for who in ("without-grants", "nobody-at-all"):
        statements.clear()
        stop_for_her(settled, subject_ref=who)
        found.append(list(statements))
    event.remove(context.engine, "before_cursor_execute", noted)
    assert found[0] == found[1]


def test_a_code_is_one_way_whoever_shows_it(settled: World, her: bytes) -> None:
    """Three a day in all, at the portal and with every agency."""
    settled.register_protocol("clinic", "legal")
    grant = str(settled.grant(her).grant.grant)
    code = add(settled, her).representative_code
    acts: list[Act] = [lambda: stop_as_representative(settled, code)]
    acts += [
        partial(stop_for_her, settled, agency, representative_code=code)
        for agency in ("haven", "legal", "clinic")
    ]
    for act in acts:
        for _ in range(2):
            outcome(act)
            if state(settled, grant)[0] == "stopped":
                settled.resume_grant(her, grant)
    assert leaf_kinds(settled, grant).count(Kind.STOP) == WISHES


def test_the_largest_receipt_that_staff_can_cause_fits_an_answer(
    settled: World, her: bytes
) -> None:
    """Each stop by others needs a resume before it: hers, or one of the few that staff have."""
    grant = str(settled.grant(her).grant.grant)
    set_word(settled, her)
    stop_for_her(settled, grant=grant, worker_ref="w" * 64, why="coercion")
    resume_for_her(settled, grant, worker_ref="w" * 64, second_ref="v" * 64)
    receipt = settled.portal.GetReceipt(
        consent_pb2.GetReceiptRequest(session=her, grant=grant)
    ).receipts
    _, stop, resume = (
        one.ByteSize() - HASH_LINE * (one.proof.count("\n") - 8) + HASH_LINE * DEPTH + 32
        for one in receipt
    )
    assert stop_quotas.STAFF_RESUMES * (stop + resume) + HER_OWN * stop < LEFT_BYTES


# --- to keep her, or others, out -------------------------------------------------------------


def wish(world: Releasing, agency: str, **whom: str) -> pb.StopForHerResponse:
    request = pb.StopForHerRequest(
        request_id=new_request_id(),
        worker_ref="worker-9",
        channel="phone",
        **whom,
    )
    return world.agency(agency).StopForHer(request)


@pytest.mark.parametrize("method", ["StopForHer", "StopAsRepresentative"])
def test_calls_that_never_send_their_request_keep_no_stop_out(
    fresh_world: Releasing, method: str
) -> None:
    """An agency that may call it takes its own share of the threads, and of no others."""
    world = fresh_world
    session = world.session()
    first, second = world.grant(session), world.grant(session)
    with half_open(world, method, HALF_OPEN):
        time.sleep(0.5)
        started = time.monotonic()
        world.stop_grant(session, first)
        wish(world, A, grant=second)
        assert time.monotonic() - started < AT_ONCE_S
    for grant in (first, second):
        assert world.app.context.gates.is_up(grant)


# --- the promise -----------------------------------------------------------------------------


@pytest.mark.parametrize("by", [A, B])
def test_after_it_is_answered_nothing_opens_and_nothing_is_sent(
    fresh_world: Releasing, by: str
) -> None:
    world = fresh_world
    session = world.session()
    grant = world.grant(session)
    sent: Sent = world.send(grant)
    world.accept(sent)
    repeat = world.release_request(sent)
    world.agency(B).ReleaseKey(repeat)
    wish(world, by, grant=grant)
    size = world.size
    for act in (
        lambda: world.release(sent),
        lambda: world.release(sent, "NAME"),
        lambda: world.agency(B).ReleaseKey(repeat),
        lambda: world.send(grant),
    ):
        with refused(Reason.CONSENT_ENDED):
            act()
    assert world.size == size
    assert world.category_key(grant, "NAME") is not None, "stopped is not destroyed"
    wish(world, C, grant=grant)
    world.resume_grant(session, grant)
    world.release(sent, "NAME")
