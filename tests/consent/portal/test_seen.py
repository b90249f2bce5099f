"""Who looked: rows tied to what allowed them, filters, pages without gaps, who was heard when."""

from __future__ import annotations

from typing import Any

import pytest
from safehand.common.v1 import reason_pb2
from safehand.consent.v1 import asks_pb2, consent_pb2, recorded_pb2
from safehand_consent_service.portal_numbers import ORGANISATION
from safehand_core.reasons import Reason

from tests.consent.helpers import stop_for_her
from tests.consent.portal.world import (
    LOOK,
    MINUTE,
    NOBODYS,
    A,
    B,
    C,
    Her,
    PortalWorld,
    refused,
)
from tests.harness.world import eventually


def _tries(world: PortalWorld, grant: str, count: int, *, agency: str = B, at: int = 0) -> None:
    """Refused tries on file, past the service: it keeps only so many an hour."""
    for _ in range(count):
        world.store.execute(
            "INSERT INTO refused_look (grant_id, agency, category, worker_ref, reason, at) "
            "VALUES (?, ?, 'CARD', 'worker-9', 'CONSENT_ENDED', ?)",
            grant,
            agency,
            at or world.now,
        )


def test_a_look_names_the_sharing_that_allowed_it(pages_world: PortalWorld, she: Her) -> None:
    given = pages_world.now
    sent = pages_world.send(pages_world.give(she))
    pages_world.later(MINUTE)
    pages_world.look(sent)
    (row,) = pages_world.seen(she).seen
    assert row.at.seconds == given + MINUTE
    assert (row.organisation_name, row.category, row.purpose) == (f"The {B}", "CARD", "housing")
    assert (row.worker_ref, row.refused) == ("worker-7", reason_pb2.REASON_UNSPECIFIED)
    assert row.sharing == pages_world.only(she).number
    assert row.allowed_at.seconds == given


@pytest.mark.parametrize("answer", ["", "yes", "no"])
def test_what_she_never_said_is_not_called_her_yes(
    pages_world: PortalWorld, she: Her, answer: str
) -> None:
    sent = pages_world.send(pages_world.recorded(she))
    pages_world.look(sent)
    if answer:
        reply = recorded_pb2.Reply.Value(f"REPLY_{answer.upper()}")
        pages_world.confirm(she, pages_world.only(she).number, reply)
    if answer == "no":
        pages_world.refuse(sent)
    rows = pages_world.seen(she).seen
    wanted = {"": "record", "yes": "yes", "no": "void"}[answer]
    assert [row.allowed_by for row in rows] == [wanted] * len(rows)
    assert len(rows) == (2 if answer == "no" else 1)


def test_a_yes_under_coercion_allowed_nothing(pages_world: PortalWorld, she: Her) -> None:
    grant = pages_world.give(she)
    pages_world.look(pages_world.send(grant))
    assert [row.allowed_by for row in pages_world.seen(she).seen] == ["yes"]
    world: Any = pages_world
    stop_for_her(world, A, grant=grant, why="coercion")
    assert [row.allowed_by for row in pages_world.seen(she).seen] == ["void"]


def test_a_refused_try_is_a_row_of_its_own(pages_world: PortalWorld, she: Her) -> None:
    grant = pages_world.give(she)
    sent = pages_world.send(grant)
    pages_world.look(sent)
    pages_world.stop_one(she, pages_world.only(she).number)
    pages_world.refuse(sent)
    # At the same second what was opened stands first.
    look, refusal = pages_world.seen(she).seen
    assert refusal.refused == reason_pb2.REASON_CONSENT_ENDED
    assert refusal.sharing == look.sharing == pages_world.only(she).number
    assert [row.number for row in pages_world.seen(she, refused_only=True).seen] == [refusal.number]
    assert len({refusal.number, look.number, refusal.sharing}) == 3


def test_what_nobody_signed_is_no_reference(pages_world: PortalWorld, she: Her) -> None:
    grant = pages_world.give(she)
    _tries(pages_world, grant, 1)
    pages_world.store.execute("UPDATE refused_look SET worker_ref = 'unverified'")
    (row,) = pages_world.seen(she).seen
    assert row.worker_ref == ""


def test_it_can_be_asked_for_one_sharing_and_one_organisation(
    pages_world: PortalWorld, she: Her
) -> None:
    to_b, to_c = pages_world.give(she), pages_world.give(she, C)
    _tries(pages_world, to_b, 2)
    _tries(pages_world, to_c, 3, agency=C)
    # One that is nobody's recipient tried too.
    _tries(pages_world, to_c, 1, agency=A)
    answer = pages_world.seen(she)
    assert len(answer.seen) == 6
    names = [one.name for one in answer.organisations]
    assert names == [f"The {name}" for name in (A, B, C)]
    for organisation, count in zip(answer.organisations, (1, 2, 3), strict=True):
        assert organisation.number == pages_world.number(she, organisation.name[4:], ORGANISATION)
        found = pages_world.seen(she, organisation=organisation.number).seen
        assert {row.organisation_name for row in found} == {organisation.name}
        assert len(found) == count
    assert len(pages_world.seen(she, sharing=pages_world.number(she, to_c)).seen) == 4
    of_b = pages_world.number(she, B, ORGANISATION)
    both = pages_world.seen(she, sharing=pages_world.number(she, to_c), organisation=of_b)
    assert not both.seen
    for wrong in (NOBODYS, pages_world.number(she, to_c), pages_world.number(she, "nobody")):
        with refused(Reason.NOT_FOUND):
            pages_world.seen(she, organisation=wrong)
    other = pages_world.her()
    with refused(Reason.NOT_FOUND):
        pages_world.seen(other, organisation=pages_world.number(other, B, ORGANISATION))
    assert not pages_world.seen(other).organisations


def test_pages_leave_no_gap_and_stay_where_they_are(pages_world: PortalWorld, she: Her) -> None:
    grant = pages_world.give(she)
    start = pages_world.now
    for passed in range(15):
        _tries(pages_world, grant, 3, at=start + passed)
    sent = pages_world.send(grant)
    pages_world.look(sent)
    first = pages_world.seen(she)
    assert len(first.seen) == 20
    whole = [row.number for row in pages_world.all_seen(she)]
    assert len(whole) == len(set(whole)) == 46
    times = [row.at.seconds for row in pages_world.all_seen(she)]
    assert times == sorted(times, reverse=True)
    for size in (1, 2, 7, 50):
        assert [row.number for row in pages_world.all_seen(she, page_size=size)] == whole
    assert len(pages_world.seen(she, page_size=1000).seen) == 46
    _tries(pages_world, grant, 10, at=start + 15)
    assert len(pages_world.seen(she, page_size=1000).seen) == 50
    # A new look does not move what stands on a page.
    second = pages_world.seen(she, page_token=first.next_page_token)
    assert [row.number for row in second.seen] == whole[20:40]


def test_a_row_that_is_hidden_where_a_page_ends_takes_no_other_with_it(
    pages_world: PortalWorld, she: Her
) -> None:
    grant = pages_world.give(she)
    for second in range(2):
        _tries(pages_world, grant, 3, at=pages_world.now + second)
    first = pages_world.seen(she, page_size=2)
    whole = [row.number for row in pages_world.all_seen(she)]
    pages_world.hide(she, first.seen[1].number)
    rest: list[str] = []
    answer = pages_world.seen(she, page_size=2, page_token=first.next_page_token)
    rest += [row.number for row in answer.seen]
    while answer.next_page_token:
        answer = pages_world.seen(she, page_size=2, page_token=answer.next_page_token)
        rest += [row.number for row in answer.seen]
    assert set(whole[2:]) <= set(rest)
    assert whole[1] not in rest


def test_a_page_token_is_for_its_own_question_and_session(
    pages_world: PortalWorld, she: Her
) -> None:
    grant = pages_world.give(she)
    _tries(pages_world, grant, 5)
    token = pages_world.seen(she, page_size=2).next_page_token
    again = pages_world.again(she)
    for her, changed in ((she, {"refused_only": True}), (again, {}), (pages_world.her(), {})):
        with refused(Reason.PAGE_TOKEN_INVALID):
            pages_world.seen(her, page_token=token, **changed)


def test_the_list_starts_with_her_first_sharing(pages_world: PortalWorld, she: Her) -> None:
    assert not pages_world.seen(she).HasField("since")
    first = pages_world.now
    one = pages_world.give(she)
    pages_world.later(MINUTE)
    pages_world.give(she)
    assert pages_world.seen(she).since.seconds == first
    pages_world.hide(she, pages_world.number(she, one))
    assert pages_world.seen(she).since.seconds == first + MINUTE


def test_a_hidden_sharing_takes_its_looks_along(pages_world: PortalWorld, she: Her) -> None:
    to_b, to_c = pages_world.give(she), pages_world.give(she, C)
    _tries(pages_world, to_b, 1)
    _tries(pages_world, to_c, 1, agency=C)
    pages_world.hide(she, pages_world.number(she, to_c))
    answer = pages_world.seen(she)
    assert [row.organisation_name for row in answer.seen] == [f"The {B}"]
    assert [one.name for one in answer.organisations] == [f"The {B}"]
    for wrong in (
        {"sharing": pages_world.number(she, to_c)},
        {"organisation": pages_world.number(she, C, ORGANISATION)},
    ):
        with refused(Reason.NOT_FOUND):
            pages_world.seen(she, **wrong)
    item = f"r.{pages_world.store.rows('SELECT max(refused_id) FROM refused_look')[0][0]}"
    with refused(Reason.NOT_FOUND):
        pages_world.hide(she, pages_world.number(she, item, LOOK))


def test_nobody_reads_what_others_did_with_hers(pages_world: PortalWorld, she: Her) -> None:
    grant = pages_world.give(she)
    _tries(pages_world, grant, 1)
    other = pages_world.her()
    assert not pages_world.seen(other).seen
    with refused(Reason.NOT_FOUND):
        pages_world.seen(other, sharing=pages_world.number(other, grant))
    with refused(Reason.SESSION_INVALID):
        pages_world.seen(Her(she.card, she.ref, bytes(32)))


# --- when an agency was heard --------------------------------------------------------------------


def _heard(world: PortalWorld, her: Her) -> dict[str, int | None]:
    return {
        one.name.removeprefix("The "): one.heard_at.seconds if one.HasField("heard_at") else None
        for one in world.seen(her).organisations
    }


def _call(world: PortalWorld, agency: str) -> None:
    """Whatever an agency asks: here, something that does not concern her."""
    world.agency(agency).ListAgencyGrants(consent_pb2.ListAgencyGrantsRequest())


def test_each_call_of_an_agency_is_heard(pages_world: PortalWorld, she: Her) -> None:
    pages_world.give(she)
    pages_world.give(she, C)
    assert _heard(pages_world, she)[C] is None
    pages_world.later(MINUTE)
    _call(pages_world, C)
    assert _heard(pages_world, she)[C] == pages_world.now
    pages_world.later(MINUTE)
    with refused(Reason.MALFORMED):
        # Also one that is refused.
        pages_world.agency(C).ReleaseKey(consent_pb2.ReleaseKeyRequest())
    assert _heard(pages_world, she) == {B: pages_world.now - 2 * MINUTE, C: pages_world.now}


def test_an_end_of_the_process_forgets_a_quarter_of_an_hour_at_most(
    pages_world: PortalWorld, she: Her
) -> None:
    pages_world.give(she)
    heard = pages_world.app.context.heard
    _call(pages_world, B)
    assert heard.write() > 0
    written = pages_world.now
    pages_world.later(MINUTE)
    _call(pages_world, B)
    assert heard.write() == 0
    on_disk = pages_world.store.rows("SELECT at FROM agency_heard WHERE agency = ?", B)
    assert on_disk == [(written,)]
    pages_world.later(8 * MINUTE)
    she = pages_world.again(she)
    pages_world.later(6 * MINUTE)
    _call(pages_world, B)
    assert heard.write() == 1
    assert _heard(pages_world, she)[B] == pages_world.now
    pages_world.later(MINUTE)
    _call(pages_world, B)
    pages_world.restart()
    # An orderly end writes what was not written yet.
    assert _heard(pages_world, she)[B] == pages_world.now


def test_the_sweeper_writes_it(pages_world: PortalWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.consent.portal.world.NEVER_S", 0.01)
    pages_world.restart()
    _call(pages_world, C)
    rows = "SELECT agency FROM agency_heard"
    eventually(lambda: (C,) in pages_world.store.rows(rows), "the sweeper writes who was heard")


def test_who_is_not_enrolled_is_not_written_down(pages_world: PortalWorld) -> None:
    stub: Any = pages_world.consent("stranger")
    with refused(Reason.AGENCY_UNKNOWN):
        stub.AskConsent(_some_ask(pages_world))
    pages_world.app.context.heard.write()
    assert ("stranger",) not in pages_world.store.rows("SELECT agency FROM agency_heard")


def _some_ask(world: PortalWorld) -> Any:
    return asks_pb2.AskConsentRequest(
        request_id=world.request_id(),
        subject_ref="11" * 16,
        releasing_agency="stranger",
        recipient_agency=B,
        purpose="housing",
        categories=["NAME"],
        days=7,
        notice_sha256="ab" * 32,
        language="en",
        worker_ref="worker-1",
    )
