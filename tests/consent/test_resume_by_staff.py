"""Two workers of the releasing agency and her code word undo what somebody stopped for her."""

from __future__ import annotations

import pytest
from safehand_consent_service import stop_quotas
from safehand_consent_service.code_words import normalise
from safehand_consent_service.throttle import EARN_BACK_S, TRIES
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind

from tests.consent.helpers import (
    SECOND,
    WORD,
    WORKER,
    leaf_kinds,
    notes,
    resume_for_her,
    resume_request,
    set_word,
    state,
    stop_for_her,
)
from tests.consent.refusals import refused
from tests.consent.world import DAY, World


@pytest.fixture
def grant(world: World, her: bytes) -> str:
    """A grant of hers that a worker of legal stopped for her; her code word is set."""
    set_word(world, her)
    made = str(world.grant(her).grant.grant)
    stop_for_her(world, "legal", grant=made)
    return made


def test_two_workers_and_her_word_resume_it(world: World, her: bytes, grant: str) -> None:
    world.clock.advance(60)
    answer = resume_for_her(world, grant)
    opening = world.opened(answer.receipt)
    assert opening.kind is Kind.RESUME
    assert opening.body == {
        "kind": "RESUME",
        "grant": grant,
        "counter": 0,
        "by": "staff",
        "agency": "haven",
        "worker_ref": WORKER,
        "second_ref": SECOND,
        "at": world.clock.wall(),
    }
    assert answer.resumed_at.seconds == world.clock.wall()
    assert state(world, grant) == ("active", None, None)
    assert world.key_rows(grant) == 3
    assert not world.app.context.gates.is_up(grant)
    assert [e.audience for e in world.events()[-2:]] == [
        "agency/haven",
        "service/referral",
    ]
    note = notes(world, her)[0]
    assert (note.action, note.by, note.agency, note.refused) == ("resume", "staff", "haven", False)
    assert (note.worker_ref, note.second_ref) == (WORKER, SECOND)


def test_a_repeat_is_the_same(world: World, her: bytes, grant: str) -> None:
    request = resume_request(world, grant)
    stub = world.consent("haven")
    first = stub.ResumeForHer(request)
    world.clock.advance(5)
    again = stub.ResumeForHer(request)
    assert (again.receipt.index, again.resumed_at) == (first.receipt.index, first.resumed_at)
    assert leaf_kinds(world, grant).count(Kind.RESUME) == 1
    request.code_word = "another word"
    with refused(Reason.REQUEST_ID_REUSED):
        stub.ResumeForHer(request)


@pytest.mark.parametrize("said", ["BLUE  kettle", " blue kettle\t", "blue\u00a0kettle"])
def test_the_word_is_heard_not_spelled(world: World, her: bytes, grant: str, said: str) -> None:
    resume_for_her(world, grant, said)
    assert state(world, grant)[0] == "active"


def test_accents_are_compared_as_they_are_said() -> None:
    assert normalise("CAF\u00c9 AZUL") == normalise("cafe\u0301  azul")
    assert normalise("Stra\u00dfe") == normalise("STRASSE")


@pytest.mark.parametrize("word", ["abc", " a b ", "x" * 65, "bell\u0007bell", "   "])
def test_a_word_has_four_to_64_characters_that_can_be_said(
    world: World, her: bytes, word: str
) -> None:
    with refused(Reason.MALFORMED):
        set_word(world, her, word)
    set_word(world, her, "x" * 64)


def test_a_new_word_takes_the_place_of_the_old(world: World, her: bytes, grant: str) -> None:
    set_word(world, her, "red wagon")
    with refused(Reason.RESUME_REFUSED):
        resume_for_her(world, grant, WORD)
    resume_for_her(world, grant, "red wagon")


def test_the_word_is_stored_as_a_hash_alone_and_needs_her_session(
    world: World, her: bytes, grant: str
) -> None:
    (stored,) = world.rows("SELECT word_hash FROM code_word")
    assert stored[0].startswith("$argon2id$")
    files = [path.read_bytes() for path in world.root.rglob("*") if path.is_file()]
    for data in [*files, *world.store.raw()]:
        assert b"blue kettle" not in data
    with refused(Reason.SESSION_INVALID):
        set_word(world, bytes(32))


def test_one_person_is_not_two(world: World, her: bytes, grant: str) -> None:
    with pytest.raises(SafehandError) as caught:
        resume_request(world, grant, second_ref=WORKER)
    assert caught.value.reason is Reason.MALFORMED
    request = resume_request(world, grant)
    request.resume = request.resume.replace(SECOND.encode(), WORKER.encode())
    with refused(Reason.MALFORMED):
        world.consent("haven").ResumeForHer(request)
    assert state(world, grant)[0] == "stopped"


def test_the_agency_stands_for_it_with_its_own_key(world: World, her: bytes, grant: str) -> None:
    with refused(Reason.SIGNATURE_INVALID):
        world.consent("haven").ResumeForHer(resume_request(world, grant, key="legal"))
    with refused(Reason.NOT_ALLOWED):
        world.consent("legal").ResumeForHer(resume_request(world, grant))
    with refused(Reason.AGENCY_UNKNOWN):
        resume_for_her(world, grant, agency="stranger")
    with refused(Reason.MALFORMED):
        world.consent("haven").ResumeForHer(
            resume_request(world, grant, outer_request_id=world.request_id())
        )
    for at in (world.clock.wall() + 601, world.clock.wall() - 601):
        with refused(Reason.MALFORMED):
            resume_for_her(world, grant, at=at)
    assert state(world, grant)[0] == "stopped"


def test_staff_do_not_undo_her_own_stop(world: World, her: bytes, grant: str) -> None:
    world.stop_grant(her, grant)
    with refused(Reason.RESUME_REFUSED):
        resume_for_her(world, grant)
    assert state(world, grant)[:2] == ("stopped", "self")


def test_the_recipient_does_not_resume(world: World, her: bytes, grant: str) -> None:
    with refused(Reason.RESUME_REFUSED):
        resume_for_her(world, grant, agency="legal")
    assert state(world, grant)[0] == "stopped"


def test_every_refusal_is_one_and_the_same(world: World, her: bytes, grant: str) -> None:
    """Wrong word, none set, not stopped, not weakly, not theirs, not there."""
    live = str(world.grant(her).grant.grant)
    strong = str(world.grant(her).grant.grant)
    world.stop_grant(her, strong)
    world.register("haven", 2, "another-one")
    wordless = str(world.grant(world.sign_in(2)).grant.grant)
    stop_for_her(world, grant=wordless)
    tries = [
        ("haven", grant, "not the word"),
        ("haven", live, WORD),
        ("haven", strong, WORD),
        ("haven", wordless, WORD),
        ("legal", grant, WORD),
        ("clinic", grant, WORD),
        ("haven", "0" * 32, WORD),
    ]
    before = world.rows("SELECT count(*) FROM ledger_leaf")
    seen = set()
    for agency, name, word in tries:
        rows = world.rows("SELECT count(*) FROM stop_note")[0][0]
        with refused(Reason.RESUME_REFUSED) as caught:
            resume_for_her(world, name, word, agency=agency)
        error = caught.value
        seen.add((error.reason, error.detail, error.fix, tuple(error.metadata.items())))
        assert world.rows("SELECT count(*) FROM stop_note")[0][0] == rows + 1
    assert len(seen) == 1
    assert world.rows("SELECT count(*) FROM ledger_leaf") == before


def test_every_refusal_takes_the_same_work(
    world: World, her: bytes, grant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = world.app.context.cards
    verify = cards._hasher.verify
    count = []

    class Counting:
        def verify(self, *arguments: object) -> object:
            count.append(1)
            return verify(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(cards, "_hasher", Counting())
    for agency, name in (("haven", grant), ("legal", grant), ("haven", "0" * 32)):
        with refused(Reason.RESUME_REFUSED):
            resume_for_her(world, name, "not the word", agency=agency)
    assert len(count) == 3


def test_tries_are_bounded_for_each_agency_and_grant_and_apart_from_her_pin(
    world: World, her: bytes, grant: str
) -> None:
    for name in (grant, "0" * 32):
        for _ in range(TRIES):
            with refused(Reason.RESUME_REFUSED):
                resume_for_her(world, name, "not the word")
        with refused(Reason.THROTTLED):
            resume_for_her(world, name)
    assert world.sign_in(1)
    with refused(Reason.RESUME_REFUSED):
        resume_for_her(world, grant, "not the word", agency="legal")
    world.clock.advance(EARN_BACK_S)
    resume_for_her(world, grant)


def test_she_sees_refused_tries_of_the_releasing_agency(
    world: World, her: bytes, grant: str
) -> None:
    with refused(Reason.RESUME_REFUSED):
        resume_for_her(world, grant, "not the word", worker_ref="worker-77")
    note = notes(world, her)[0]
    assert (note.action, note.refused, note.worker_ref) == ("resume", True, "worker-77")
    assert [(one.grant, one.ledger_index) for one in note.grants] == [(grant, -1)]


def test_she_is_told_how_many_more_tries_there_were(
    world: World, her: bytes, grant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who guesses at her word all day does not hide behind the first few that she is shown."""
    monkeypatch.setattr(stop_quotas, "SHOWN", 2)
    for _ in range(TRIES):
        with refused(Reason.RESUME_REFUSED):
            resume_for_her(world, grant, "not the word")
    assert [(n.refused, n.more) for n in notes(world, her) if n.agency == "haven"] == [
        (True, TRIES - 2),
        (True, 0),
    ]
    assert [n.more for n in notes(world, her) if n.agency == "legal"] == [0]


def test_tries_that_she_is_told_by_number_alone_are_forgotten_after_a_day(
    world: World, her: bytes, grant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_quotas, "SHOWN", 2)
    for _ in range(TRIES):
        with refused(Reason.RESUME_REFUSED):
            resume_for_her(world, grant, "not the word")
    about_nobody = "SELECT count(*) FROM stop_note WHERE subject_id IS NULL"
    assert world.rows(about_nobody) == [(TRIES - 2,)]
    world.clock.advance(DAY)
    world.sweep()
    assert world.rows(about_nobody) == [(0,)]
    assert world.rows("SELECT count(*) FROM stop_note_grant") == [(3,)], "one stop, two tries"


def test_staff_resume_one_grant_so_often_and_she_any_number_of_times(
    world: World, her: bytes, grant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_quotas, "STAFF_RESUMES", 2)
    for _ in range(2):
        resume_for_her(world, grant)
        stop_for_her(world, "haven", grant=grant)
    with refused(Reason.RESUME_REFUSED):
        resume_for_her(world, grant)
    world.resume_grant(her, grant)
