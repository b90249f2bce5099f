"""What she turned on in a question and did not answer: kept for a day, sealed, for her alone."""

from __future__ import annotations

from typing import Any

import pytest
from safehand.consent.v1 import asks_pb2
from safehand.consent.v1 import portal_pb2 as pb
from safehand_consent_service import draft_box
from safehand_consent_service.draft_box import KEY, PADDED_BYTES, SEALED_BYTES, DraftBox
from safehand_consent_service.drafts import KEPT_S, Draft
from safehand_core.errors import SafehandError
from safehand_core.keystore import FileKeystore
from safehand_core.reasons import Reason
from safehand_core.words import CARD, CATEGORIES
from safehand_formats.sealing import LENGTH_BYTES

from tests.consent.portal.world import (
    ASK,
    DAY,
    ENTROPY,
    MINUTE,
    NOBODYS,
    PIN,
    A,
    Her,
    PortalWorld,
    refused,
    without_numbers,
)

NOTICE = "5e" * 32
YES, NO, LATER = asks_pb2.DECISION_YES, asks_pb2.DECISION_NO, asks_pb2.DECISION_LATER


@pytest.fixture
def ask(pages_world: PortalWorld, she: Her) -> str:
    """The id of a question to her, for NAME and CONTACT and 60 days."""
    return pages_world.ask(she)


def keep(world: PortalWorld, her: Her, ask: str, *, number: str = "", **changed: Any) -> None:
    values = {"categories": ["NAME"], "days": 30, "notice_sha256": NOTICE, **changed}
    number = number or world.number(her, ask, ASK)
    world.pages.KeepDraft(pb.KeepDraftRequest(session=her.session, number=number, **values))


def forget(world: PortalWorld, her: Her, ask: str, *, number: str = "") -> None:
    number = number or world.number(her, ask, ASK)
    world.pages.ForgetDraft(pb.ForgetDraftRequest(session=her.session, number=number))


def get(world: PortalWorld, her: Her, ask: str) -> pb.GetAskedResponse:
    request = pb.GetAskedRequest(session=her.session, number=world.number(her, ask, ASK))
    found: pb.GetAskedResponse = world.pages.GetAsked(request)
    return found


def kept(world: PortalWorld, her: Her, ask: str) -> bool:
    return get(world, her, ask).HasField("draft")


def rows(world: PortalWorld) -> int:
    return int(world.store.rows("SELECT count(*) FROM ask_draft")[0][0])


# --- kept ----------------------------------------------------------------------------------------


def test_what_she_chose_is_there_in_her_next_session(
    pages_world: PortalWorld, she: Her, ask: str
) -> None:
    assert not kept(pages_world, she, ask)
    keep(pages_world, she, ask, categories=["NAME", "CONTACT"], days=30)
    chosen_at = pages_world.now
    pages_world.later(11 * MINUTE)
    with refused(Reason.SESSION_INVALID):
        get(pages_world, she, ask)
    draft = get(pages_world, pages_world.again(she), ask).draft
    assert (list(draft.categories), draft.days) == (["CONTACT", "NAME"], 30)
    assert (draft.notice_sha256, draft.kept_at.seconds) == (NOTICE, chosen_at)


def test_the_last_one_holds(pages_world: PortalWorld, she: Her, ask: str) -> None:
    keep(pages_world, she, ask, categories=["NAME", "CONTACT"])
    keep(pages_world, she, ask, categories=[], days=7)
    draft = get(pages_world, she, ask).draft
    assert (list(draft.categories), draft.days) == ([], 7)
    assert rows(pages_world) == 1


def test_it_is_no_answer_and_no_ledger_entry(pages_world: PortalWorld, she: Her, ask: str) -> None:
    def everything() -> list[Any]:
        """Her other pages, the ledger's size, what is to be told, and what the asker reads."""
        asker = pages_world.agency(A).ListAsks(asks_pb2.ListAsksRequest())
        told = pages_world.store.rows("SELECT count(*) FROM outbox_event")
        shown = [pages_world.home(she), pages_world.sharing(she), get(pages_world, she, ask).asked]
        return [*map(without_numbers, shown), asker, told, pages_world.size]

    before = everything()
    keep(pages_world, she, ask)
    assert everything() == before
    forget(pages_world, she, ask)
    assert everything() == before


# --- gone ----------------------------------------------------------------------------------------


def test_a_day_later_it_is_gone_swept_or_not(pages_world: PortalWorld, she: Her, ask: str) -> None:
    keep(pages_world, she, ask)
    pages_world.later(KEPT_S - 1)
    again = pages_world.again(she)
    assert kept(pages_world, again, ask)
    assert rows(pages_world) == 1
    pages_world.later(1)
    assert not kept(pages_world, again, ask)
    assert rows(pages_world) == 1, "nobody has swept"
    pages_world.app.sweep()
    assert rows(pages_world) == 0


def test_the_key_of_a_day_that_is_over_is_destroyed(
    pages_world: PortalWorld, she: Her, ask: str
) -> None:
    def keys() -> list[str]:
        return [path.name for path in pages_world.settings.keys_dir.glob(f"{KEY}*")]

    keep(pages_world, she, ask)
    (key,) = keys()
    day = int(key.removeprefix(KEY).partition(".")[0])
    pages_world.app.sweep()
    assert keys() == [key], "not before its day is over"
    pages_world.later((day + 1) * draft_box.DAY_S - pages_world.now - 1)
    pages_world.app.sweep()
    assert keys() == [key]
    pages_world.later(1)
    pages_world.app.sweep()
    assert keys() == []


@pytest.mark.parametrize("decision", [YES, NO])
def test_an_answer_for_good_deletes_it(
    pages_world: PortalWorld, she: Her, ask: str, decision: Any
) -> None:
    keep(pages_world, she, ask)
    pages_world.answer(she, pages_world.number(she, ask, ASK), decision)
    assert rows(pages_world) == 0
    assert not kept(pages_world, she, ask)
    with refused(Reason.STATE_CONFLICT, by=pages_world):
        keep(pages_world, she, ask)
    assert rows(pages_world) == 0


def test_a_row_that_outlives_its_question_is_not_shown(
    pages_world: PortalWorld, she: Her, ask: str
) -> None:
    """As when it is put back behind an answer, from a copy of the database."""
    keep(pages_world, she, ask)
    ((ends_at, sealed),) = pages_world.store.rows("SELECT ends_at, sealed FROM ask_draft")
    pages_world.answer(she, pages_world.number(she, ask, ASK), NO)
    sql = "INSERT INTO ask_draft (ask_id, ends_at, sealed) VALUES (?, ?, ?)"
    pages_world.store.execute(sql, ask, ends_at, bytes(sealed))
    assert not kept(pages_world, she, ask)


def test_a_later_leaves_it(pages_world: PortalWorld, she: Her, ask: str) -> None:
    keep(pages_world, she, ask)
    pages_world.answer(she, pages_world.number(she, ask, ASK), LATER)
    assert kept(pages_world, she, ask)


def test_it_ends_with_its_question(pages_world: PortalWorld, she: Her, ask: str) -> None:
    pages_world.later(14 * DAY - MINUTE)
    she = pages_world.again(she)
    keep(pages_world, she, ask)
    pages_world.later(MINUTE)
    assert not kept(pages_world, she, ask)
    with refused(Reason.STATE_CONFLICT, by=pages_world):
        keep(pages_world, she, ask)
    pages_world.app.sweep()
    assert rows(pages_world) == 0


def test_she_forgets_it_and_forgets_it_again(pages_world: PortalWorld, she: Her, ask: str) -> None:
    keep(pages_world, she, ask)
    forget(pages_world, she, ask)
    assert not kept(pages_world, she, ask)
    assert rows(pages_world) == 0
    forget(pages_world, she, ask)


# --- hers alone ----------------------------------------------------------------------------------


def test_nobody_else_reads_keeps_or_forgets_it(
    pages_world: PortalWorld, she: Her, ask: str
) -> None:
    keep(pages_world, she, ask)
    other, again = pages_world.her(), pages_world.again(she)
    hers = pages_world.number(she, ask, ASK)
    for her, number in (
        (other, hers),
        (other, pages_world.number(other, ask, ASK)),
        (again, hers),
        (she, NOBODYS),
    ):
        with refused(Reason.NOT_FOUND, by=pages_world):
            keep(pages_world, her, ask, number=number, days=7)
        with refused(Reason.NOT_FOUND, by=pages_world):
            forget(pages_world, her, ask, number=number)
    with refused(Reason.NOT_FOUND):
        get(pages_world, other, ask)
    assert get(pages_world, she, ask).draft.days == 30


def test_a_covered_session_and_one_that_is_over_read_and_change_nothing(
    pages_world: PortalWorld, she: Her, ask: str
) -> None:
    keep(pages_world, she, ask)
    pages_world.pages.LockSession(pb.LockSessionRequest(session=she.session))
    nobody = Her(she.card, she.ref, bytes(32))
    for her, reason in ((she, Reason.SESSION_COVERED), (nobody, Reason.SESSION_INVALID)):
        with refused(reason):
            get(pages_world, her, ask)
        with refused(reason):
            keep(pages_world, her, ask, days=7)
        with refused(reason):
            forget(pages_world, her, ask)
    unlocked = pages_world.pages.UnlockSession(
        pb.UnlockSessionRequest(session=she.session, pin=PIN)
    )
    open_again = Her(she.card, she.ref, bytes(unlocked.session))
    assert get(pages_world, open_again, ask).draft.days == 30


def test_of_a_hidden_question_nothing_is_there(
    pages_world: PortalWorld, she: Her, ask: str
) -> None:
    keep(pages_world, she, ask)
    pages_world.hide(she, pages_world.number(she, ask, ASK))
    with refused(Reason.NOT_FOUND):
        get(pages_world, she, ask)
    with refused(Reason.NOT_FOUND, by=pages_world):
        keep(pages_world, she, ask, days=7)
    with refused(Reason.NOT_FOUND, by=pages_world):
        forget(pages_world, she, ask)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"categories": ["HEALTH"]}, Reason.SCOPE_EXCEEDED),
        ({"categories": ["her own words"]}, Reason.SCOPE_EXCEEDED),
        ({"categories": [CARD]}, Reason.MALFORMED),
        ({"categories": [], "days": 0}, Reason.MALFORMED),
        ({"days": 61}, Reason.EXPIRY_INVALID),
        ({"days": 181}, Reason.MALFORMED),
        ({"notice_sha256": "words"}, Reason.MALFORMED),
    ],
)
def test_what_could_be_no_choice_of_hers_is_not_kept(
    pages_world: PortalWorld, she: Her, ask: str, changed: dict[str, Any], reason: Reason
) -> None:
    keep(pages_world, she, ask)
    with refused(reason, by=pages_world):
        keep(pages_world, she, ask, **changed)
    assert get(pages_world, she, ask).draft.days == 30


# --- at rest -------------------------------------------------------------------------------------


def test_a_copy_of_the_row_tells_nothing_and_has_one_length(
    pages_world: PortalWorld, she: Her, ask: str
) -> None:
    lengths = set()
    for categories in (["NAME"], ["NAME", "CONTACT"], []):
        keep(pages_world, she, ask, categories=categories)
        ((sealed,),) = pages_world.store.rows("SELECT sealed FROM ask_draft")
        lengths.add(len(bytes(sealed)))
        for word in (b"NAME", b"CONTACT", NOTICE.encode(), bytes.fromhex(NOTICE)):
            assert word not in bytes(sealed)
    assert lengths == {SEALED_BYTES}


def test_a_row_that_is_not_as_it_was_is_no_draft(
    pages_world: PortalWorld, she: Her, ask: str
) -> None:
    def changed(ends_at: int, sealed: bytes) -> bool:
        sql = "UPDATE ask_draft SET ends_at = ?, sealed = ? WHERE ask_id = ?"
        pages_world.store.execute(sql, ends_at, sealed, ask)
        return kept(pages_world, she, ask)

    keep(pages_world, she, ask)
    ((ends_at, data),) = pages_world.store.rows("SELECT ends_at, sealed FROM ask_draft")
    sealed = bytes(data)
    assert changed(ends_at, sealed)
    assert not changed(ends_at, sealed[:-1] + bytes([sealed[-1] ^ 1]))
    # Nobody makes it last longer, of the same day or of another one.
    assert not changed(ends_at - 1, sealed)
    assert not changed(ends_at + 30 * DAY, sealed)
    # Nor is it anybody else's, under another question.
    other = pages_world.her()
    hers = pages_world.ask(other)
    pages_world.store.execute("UPDATE ask_draft SET ends_at = ?, ask_id = ?", ends_at, hers)
    assert not kept(pages_world, other, hers)


def test_without_its_key_it_is_no_draft_and_the_question_is_there(
    pages_world: PortalWorld, she: Her, ask: str
) -> None:
    keep(pages_world, she, ask)
    (key,) = pages_world.settings.keys_dir.glob(f"{KEY}*")
    key.unlink()
    assert get(pages_world, she, ask).asked.days == 60
    assert not kept(pages_world, she, ask)
    assert not list(pages_world.settings.keys_dir.glob(f"{KEY}*")), "reading makes no key"
    keep(pages_world, she, ask)
    assert kept(pages_world, she, ask)


def test_the_largest_choice_fits(tmp_path: Any) -> None:
    everything = tuple(code for code in CATEGORIES if code != CARD)
    content = Draft(everything, 180, NOTICE, 2**40).encode()
    assert Draft.decode(content) == Draft(everything, 180, NOTICE, 2**40)
    assert len(content) + LENGTH_BYTES <= PADDED_BYTES
    box = DraftBox(FileKeystore(tmp_path / "keys"), ENTROPY)
    sealed = box.seal("a", "b", DAY, content)
    assert box.open("a", "b", DAY, sealed) == content
    assert box.open("b", "a", DAY, sealed) is None
    with pytest.raises(SafehandError) as too_large:
        box.seal("a", "b", DAY, bytes(PADDED_BYTES))
    assert too_large.value.reason is Reason.TOO_LARGE
