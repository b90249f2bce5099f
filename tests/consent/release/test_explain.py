"""An explanation is the verdict: what ``Explain`` says is what the act itself then does.

Each scenario asks first and acts after. And an explanation says no more than the act would have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from safehand.common.v1 import reason_pb2
from safehand.consent.v1 import consent_pb2 as pb
from safehand.consent.v1 import explain_pb2
from safehand_consent_service import grant_leaves, release
from safehand_consent_service.decision import Name
from safehand_consent_service.rule_words import TO_AGENCY, TO_HER, TO_SENDER
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind

from tests.consent.release.world import DAY_S, A, B, C, Sent, World, refused

HOLDS = explain_pb2.RULE_OUTCOME_HOLDS
FAILS = explain_pb2.RULE_OUTCOME_FAILS
NOT_ASKED = explain_pb2.RULE_OUTCOME_NOT_ASKED


def ask_open(
    world: World, sent: Sent, category: str = "CARD", caller: str = B
) -> explain_pb2.ExplainResponse:
    question = explain_pb2.OpenQuestion(
        referral=sent.sealed.referral, part=sent.sealed.part(category)
    )
    return world.agency(caller).Explain(explain_pb2.ExplainRequest(open=question))


def ask_send(
    world: World, grant: str, categories: Sequence[str], purpose: str = "housing", caller: str = A
) -> explain_pb2.ExplainResponse:
    question = explain_pb2.SendQuestion(grant=grant, purpose=purpose, categories=categories)
    return world.agency(caller).Explain(explain_pb2.ExplainRequest(send=question))


def word(answer: explain_pb2.ExplainResponse) -> str:
    return reason_pb2.Reason.Name(answer.reason).removeprefix("REASON_") if answer.reason else ""


def verdict(act: Callable[[], object]) -> str:
    """The reason with which ``act`` is refused, or an empty text."""
    try:
        act()
    except SafehandError as error:
        return error.reason.value
    return ""


def _stop(world: World, sent: Sent, session: bytes) -> None:
    world.stop_grant(session, sent.sealed.manifest.header.grant)


def _destroy(world: World, sent: Sent, session: bytes) -> None:
    world.stop_grant(session, sent.sealed.manifest.header.grant, pb.STOP_MODE_DESTROY_NOW)


def _resume(world: World, sent: Sent, session: bytes) -> None:
    _stop(world, sent, session)
    world.resume_grant(session, sent.sealed.manifest.header.grant)


def _ninety_days(world: World, _sent: Sent, _session: bytes) -> None:
    world.clock.advance(90 * DAY_S)
    world.app.context.writer.confirm_clock()


def _thirty_days(world: World, _sent: Sent, _session: bytes) -> None:
    world.clock.advance(30 * DAY_S)
    world.app.context.writer.confirm_clock()


def _suspect(world: World, _sent: Sent, _session: bytes) -> None:
    world.clock.jump_wall(3600)
    assert world.app.context.writer.clock_suspect


def _too_often(world: World, sent: Sent, _session: bytes) -> None:
    for _ in range(release.LOOKS):
        world.release(sent)


OPENING: dict[str, tuple[str, Callable[[World, Sent, bytes], object]]] = {
    "as sent": ("", lambda *_: None),
    "accepted": ("", lambda w, s, _: w.accept(s)),
    "declined": ("REFERRAL_CLOSED", lambda w, s, _: w.decline(s)),
    "withdrawn": ("REFERRAL_CLOSED", lambda w, s, _: w.withdraw(s)),
    "stopped": ("CONSENT_ENDED", _stop),
    "destroyed": ("CONSENT_ENDED", _destroy),
    "resumed": ("", _resume),
    "expired": ("CONSENT_ENDED", _ninety_days),
    "past its own end": ("CONSENT_ENDED", _thirty_days),
    "a clock that jumped": ("CLOCK_SUSPECT", _suspect),
    "too many looks": ("QUOTA_EXCEEDED", _too_often),
}


@pytest.mark.parametrize("name", OPENING)
def test_what_it_says_of_opening_is_what_opening_does(fresh_world: World, name: str) -> None:
    expected, happen = OPENING[name]
    session = fresh_world.session()
    sent = fresh_world.send(fresh_world.grant(session))
    happen(fresh_world, sent, session)
    answer = ask_open(fresh_world, sent)
    assert word(answer) == expected
    assert answer.allowed == (expected == "")
    assert verdict(lambda: fresh_world.release(sent)) == expected


def test_identity_waits_for_the_acceptance(world: World) -> None:
    sent = world.send(world.grant(world.session()))
    answer = ask_open(world, sent, "NAME")
    assert word(answer) == verdict(lambda: world.release(sent, "NAME")) == "NOT_ACCEPTED"
    world.accept(sent)
    assert ask_open(world, sent, "NAME").allowed
    assert world.release(sent, "NAME").inner_wrap


def test_what_fits_her_receipt_is_explained_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grant_leaves, "MOST", {Kind.REFER: 1, Kind.DISCLOSE: 1})
    grant = world.grant(world.session())
    assert ask_send(world, grant, ["CARD"]).allowed
    sent = world.send(grant)
    full = ask_send(world, grant, ["CARD"])
    assert word(full) == verdict(lambda: world.send(grant)) == "QUOTA_EXCEEDED"
    assert ask_open(world, sent).allowed
    world.release(sent)
    full = ask_open(world, sent)
    assert word(full) == verdict(lambda: world.release(sent)) == "QUOTA_EXCEEDED"


SENDING: dict[str, tuple[str, list[str], str]] = {
    "inside": ("", ["CARD", "NAME"], "housing"),
    "another purpose": ("PURPOSE_MISMATCH", ["CARD"], "legal"),
    "another category": ("SCOPE_EXCEEDED", ["CARD", "HEALTH"], "housing"),
}


@pytest.mark.parametrize("name", SENDING)
def test_what_it_says_of_sending_is_what_sending_does(world: World, name: str) -> None:
    expected, categories, purpose = SENDING[name]
    grant = world.grant(world.session())
    answer = ask_send(world, grant, categories, purpose)
    assert word(answer) == expected
    sealed = world.seal(grant, categories, purpose=purpose)
    assert verdict(lambda: world.authorise(sealed)) == expected


def test_sending_under_a_stopped_grant(world: World) -> None:
    session = world.session()
    grant = world.grant(session)
    world.stop_grant(session, grant)
    answer = ask_send(world, grant, ["CARD"])
    assert word(answer) == verdict(lambda: world.send(grant, ["CARD"])) == "CONSENT_ENDED"


# --- no more than the act would have said --------------------------------------------------------


def test_stopped_and_destroyed_are_explained_alike(world: World) -> None:
    session = world.session()
    answers = []
    for mode in (pb.STOP_MODE_STOP, pb.STOP_MODE_DESTROY_NOW):
        grant = world.grant(session)
        sent = world.send(grant)
        world.stop_grant(session, grant, mode)
        answers.append(ask_open(world, sent).SerializeToString(deterministic=True))
    assert answers[0] == answers[1]


def test_the_sender_is_told_of_the_recipients_act_and_not_of_its_own(world: World) -> None:
    sent = world.send(world.grant(world.session()))
    world.accept(sent)
    mine, other = ask_open(world, sent, "NAME"), ask_open(world, sent, "NAME", caller=A)
    assert [item.outcome for item in mine.findings] == [item.outcome for item in other.findings]
    said = {item.rule: item.words for item in other.findings}
    assert "the recipient's signed acceptance" in said[Name.ACCEPTED]
    assert "your" not in said[Name.ACCEPTED]
    for item in other.findings:
        assert item.words == TO_SENDER[Name(item.rule)].holds


def test_behind_the_rule_that_decides_nothing_is_said(world: World) -> None:
    session = world.session()
    grant = world.grant(session)
    sent = world.send(grant)
    world.decline(sent)
    world.stop_grant(session, grant)
    found = ask_open(world, sent).findings
    decided = [item.outcome for item in found].index(FAILS)
    assert found[decided].rule == Name.REFERRAL_OPEN
    assert {item.outcome for item in found[decided + 1 :]} == {NOT_ASKED}
    assert not any(item.words for item in found[decided + 1 :])


def test_who_is_no_party_hears_what_he_hears_of_nothing(world: World) -> None:
    grant = world.grant(world.session())
    sent = world.send(grant)
    with refused(Reason.NOT_ALLOWED):
        ask_open(world, sent, caller=C)
    with refused(Reason.NOT_ALLOWED):
        world.agency(C).Explain(
            explain_pb2.ExplainRequest(open=explain_pb2.OpenQuestion(referral="0" * 32))
        )
    nothing = ask_send(world, "0" * 32, ["CARD"], caller=C)
    for caller in (B, C):
        assert ask_send(world, grant, ["CARD"], caller=caller) == nothing
    assert word(nothing) == "CONSENT_MISSING"


def test_asking_is_no_look(world: World) -> None:
    session = world.session()
    grant = world.grant(session)
    sent = world.send(grant)
    size = world.size
    assert ask_open(world, sent).allowed
    assert ask_open(world, sent, caller=A).allowed
    world.stop_grant(session, grant)
    ask_open(world, sent)
    assert world.size == size + 1
    looks = world.portal().ListLooks(pb.ListLooksRequest(session=session, grant=grant))
    assert not looks.looks


# --- to her --------------------------------------------------------------------------------------


def ask_hers(
    world: World, session: bytes, grant: str, category: str
) -> explain_pb2.ExplainSharingResponse:
    return world.portal().ExplainSharing(
        explain_pb2.ExplainSharingRequest(session=session, grant=grant, category=category)
    )


def test_she_hears_all_of_it(world: World) -> None:
    session = world.session()
    grant = world.grant(session)
    assert ask_hers(world, session, grant, "NAME").allowed
    outside = ask_hers(world, session, grant, "HEALTH")
    assert not outside.allowed
    assert outside.findings[0].words == TO_HER[Name.INSIDE_GRANT].fails
    world.stop_grant(session, grant)
    stopped = ask_hers(world, session, grant, "NAME")
    assert [item.rule for item in stopped.findings if item.outcome == FAILS] == [Name.NOT_STOPPED]


@pytest.mark.parametrize("mode", [pb.STOP_MODE_DESTROY_NOW, pb.STOP_MODE_INVALIDATE])
def test_she_is_not_told_that_she_never_stopped_what_she_stopped_for_good(
    world: World, mode: pb.StopMode.ValueType
) -> None:
    session = world.session()
    grant = world.grant(session)
    world.stop_grant(session, grant, mode)
    answer = ask_hers(world, session, grant, "NAME")
    assert [item.rule for item in answer.findings if item.outcome == FAILS] == [Name.NOT_STOPPED]


def test_what_was_turned_on_again_is_not_stopped(world: World) -> None:
    session = world.session()
    grant = world.grant(session)
    world.stop_grant(session, grant)
    world.resume_grant(session, grant)
    assert ask_hers(world, session, grant, "NAME").allowed


def test_she_hears_that_a_clock_which_nobody_trusts_opens_nothing(fresh_world: World) -> None:
    session = fresh_world.session()
    grant = fresh_world.grant(session)
    sent = fresh_world.send(grant)
    _suspect(fresh_world, sent, session)
    answer = ask_hers(fresh_world, session, grant, "CARD")
    assert not answer.allowed
    assert [item.rule for item in answer.findings if item.outcome == FAILS] == [Name.CLOCK_RIGHT]
    assert verdict(lambda: fresh_world.release(sent)) == "CLOCK_SUSPECT"


def test_nobody_asks_for_another(world: World) -> None:
    grant = world.grant(world.session())
    with refused(Reason.NOT_FOUND):
        ask_hers(world, world.session(), grant, "NAME")
    with refused(Reason.MALFORMED):
        ask_hers(world, world.session(), grant, "SECRETS")


def test_every_rule_that_is_asked_has_words(world: World) -> None:
    session = world.session()
    grant = world.grant(session)
    sent = world.send(grant)
    asked = {item.rule for item in ask_open(world, sent).findings}
    asked |= {item.rule for item in ask_send(world, grant, ["CARD"]).findings}
    assert asked == {name.value for name in TO_AGENCY}
    hers = {item.rule for item in ask_hers(world, session, grant, "CARD").findings}
    assert hers == {name.value for name in TO_HER}
    assert TO_SENDER.keys() == TO_AGENCY.keys()
    for words in (*TO_AGENCY.values(), *TO_SENDER.values(), *TO_HER.values()):
        assert words.holds != words.fails
