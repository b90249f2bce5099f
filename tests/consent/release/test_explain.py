"""An explanation is the verdict: what ``Explain`` says is what the act itself then does.

Each scenario asks first and acts after. And an explanation says no more than the act would have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from safehand.common.v1 import reason_pb2
from safehand.consent.v1 import consent_pb2 as pb
from safehand.consent.v1 import explain_pb2, recorded_pb2
from safehand_consent_service import decision, grant_leaves, release
from safehand_consent_service.decision import Name
from safehand_consent_service.rule_words import TO_AGENCY, TO_HER, TO_SENDER
from safehand_core.errors import SafehandError
from safehand_core.ids import new_id
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from safehand_formats.record import Record, RecordedTerms, SignedRecord
from safehand_store.engine import begin_read

from tests.consent.release.world import (
    DAY_S,
    ENTROPY,
    NOTICE,
    PURPOSE,
    A,
    B,
    C,
    Sent,
    World,
    new_request_id,
    refused,
)

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


def known(world: World, ref: str, *, cosign: bool = False) -> bytes:
    """The session of somebody new whom A knows as ``ref``."""
    card = world.new_card()
    world.agency(A).RegisterSubject(
        pb.RegisterSubjectRequest(
            request_id=new_request_id(),
            subject_ref=ref,
            card_number=card.number,
            pin=card.pin,
            cosign=cosign,
        )
    )
    return world.sign_in(card)


def recorded(world: World, ref: str, *categories: str) -> str:
    """The grant that a worker of A's wrote down for her; she has not answered it."""
    terms = RecordedTerms(
        releasing=A,
        recipient=B,
        purpose=PURPOSE,
        categories=categories,
        expires_at=world.now + 90 * DAY_S,
        erase_by=world.now + 120 * DAY_S,
        notice=NOTICE,
        language="en",
        given_how="heard",
        present="with_worker",
    )
    made = Record(A, "worker-7", ref, "paper", terms, new_request_id(), world.now)
    signed = SignedRecord.sign(made, world.agencies[A].identity)
    request = recorded_pb2.RecordGrantRequest(
        record=signed.record_bytes, signature=signed.signature
    )
    return str(world.agency(A).RecordGrant(request).grant)


def confirm(world: World, session: bytes, grant: str) -> None:
    """She says that it is right."""
    world.portal().ConfirmGrant(
        recorded_pb2.ConfirmGrantRequest(
            request_id=new_request_id(), session=session, grant=grant, reply=recorded_pb2.REPLY_YES
        )
    )


def decided_by(
    answer: explain_pb2.ExplainResponse | explain_pb2.ExplainSharingResponse,
) -> tuple[str, str] | None:
    """The rule that fails and what it says, or None. There is never a second one."""
    found = [(item.rule, item.words) for item in answer.findings if item.outcome == FAILS]
    assert len(found) == (0 if answer.allowed else 1)
    return found[0] if found else None


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


OPENING: dict[str, tuple[str, Name | None, Callable[[World, Sent, bytes], object]]] = {
    "as sent": ("", None, lambda *_: None),
    "accepted": ("", None, lambda w, s, _: w.accept(s)),
    "declined": ("REFERRAL_CLOSED", Name.REFERRAL_OPEN, lambda w, s, _: w.decline(s)),
    "withdrawn": ("REFERRAL_CLOSED", Name.REFERRAL_OPEN, lambda w, s, _: w.withdraw(s)),
    "stopped": ("CONSENT_ENDED", Name.SHARING_ON, _stop),
    "destroyed": ("CONSENT_ENDED", Name.SHARING_ON, _destroy),
    "resumed": ("", None, _resume),
    "expired": ("CONSENT_ENDED", Name.REFERRAL_IN_TIME, _ninety_days),
    "past its own end": ("CONSENT_ENDED", Name.REFERRAL_IN_TIME, _thirty_days),
    "a clock that jumped": ("CLOCK_SUSPECT", Name.CLOCK_RIGHT, _suspect),
    "too many looks": ("QUOTA_EXCEEDED", Name.LOOKS_LEFT, _too_often),
}
"""What happened before, and the reason and the rule that then decide."""


@pytest.mark.parametrize("name", OPENING)
def test_what_it_says_of_opening_is_what_opening_does(fresh_world: World, name: str) -> None:
    expected, rule, happen = OPENING[name]
    session = fresh_world.session()
    sent = fresh_world.send(fresh_world.grant(session))
    happen(fresh_world, sent, session)
    answer = ask_open(fresh_world, sent)
    assert word(answer) == expected
    assert answer.allowed == (expected == "")
    assert decided_by(answer) == (None if rule is None else (rule, TO_AGENCY[rule].fails))
    assert verdict(lambda: fresh_world.release(sent)) == expected


def test_a_part_that_is_not_in_the_manifest_is_not_there(world: World) -> None:
    sent = world.send(world.grant(world.session()))
    question = explain_pb2.OpenQuestion(referral=sent.sealed.referral, part=15)
    for caller, words in ((B, TO_AGENCY), (A, TO_SENDER)):
        answer = world.agency(caller).Explain(explain_pb2.ExplainRequest(open=question))
        assert decided_by(answer) == (Name.PART_THERE, words[Name.PART_THERE].fails)
        assert word(answer) == "MANIFEST_MISMATCH"
    # The act is asked with some wrap; it is refused before that is looked at.
    acted = verdict(lambda: world.release(sent, part=15, outer_wrap=sent.outer_wraps[0]))
    assert acted == "MANIFEST_MISMATCH"


def test_it_is_about_the_newest_seal_and_an_older_one_opens_nothing(world: World) -> None:
    session = world.session()
    sent = world.send(world.grant(session))
    newer = world.authorise(
        world.seal(world.grant(session), referral=sent.sealed.referral, reseals=sent.sealed.digest)
    )
    assert ask_open(world, newer).allowed
    assert verdict(lambda: world.release(newer)) == ""
    assert verdict(lambda: world.release(sent)) == "STATE_CONFLICT"
    # A question names the referral, so only who still holds the older seal meets this rule.
    with begin_read(world.app.context.engine) as connection:
        older = release.about(connection, sent.sealed.digest, 0)
    first, *rest = decision.findings(decision.of_referral(older, {}, world.now))
    assert (first.rule, first.reason) == (Name.NEWEST_SEAL, Reason.STATE_CONFLICT)
    assert {one.outcome for one in rest} == {decision.Outcome.NOT_ASKED}
    assert "fetch it" in TO_AGENCY[Name.NEWEST_SEAL].fails


def test_identity_waits_for_the_acceptance(world: World) -> None:
    sent = world.send(world.grant(world.session()))
    answer = ask_open(world, sent, "NAME")
    assert decided_by(answer) == (Name.ACCEPTED, TO_AGENCY[Name.ACCEPTED].fails)
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


SENDING: dict[str, tuple[str, Name | None, list[str], str]] = {
    "inside": ("", None, ["CARD", "NAME"], "housing"),
    "another purpose": ("PURPOSE_MISMATCH", Name.SAME_PURPOSE, ["CARD"], "legal"),
    "another category": ("SCOPE_EXCEEDED", Name.INSIDE_GRANT, ["CARD", "HEALTH"], "housing"),
}


@pytest.mark.parametrize("name", SENDING)
def test_what_it_says_of_sending_is_what_sending_does(world: World, name: str) -> None:
    expected, rule, categories, purpose = SENDING[name]
    grant = world.grant(world.session())
    answer = ask_send(world, grant, categories, purpose)
    assert word(answer) == expected
    assert decided_by(answer) == (None if rule is None else (rule, TO_AGENCY[rule].fails))
    sealed = world.seal(grant, categories, purpose=purpose)
    assert verdict(lambda: world.authorise(sealed)) == expected


def test_sending_under_a_stopped_grant(world: World) -> None:
    session = world.session()
    grant = world.grant(session)
    world.stop_grant(session, grant)
    answer = ask_send(world, grant, ["CARD"])
    assert decided_by(answer) == (Name.SHARING_ON, TO_AGENCY[Name.SHARING_ON].fails)
    assert word(answer) == verdict(lambda: world.send(grant, ["CARD"])) == "CONSENT_ENDED"


def test_sending_without_a_live_agreement(fresh_world: World) -> None:
    world = fresh_world
    short = world.protocol(A, C, not_after=world.now + DAY_S)
    world.register_protocol(world.sign_protocol(short))
    grant = world.grant(world.session(), world.terms(recipient_agency=C))
    assert ask_send(world, grant, ["CARD"]).allowed
    world.clock.advance(2 * DAY_S)
    world.app.context.writer.confirm_clock()
    answer = ask_send(world, grant, ["CARD"])
    assert decided_by(answer) == (Name.AGREEMENT, TO_AGENCY[Name.AGREEMENT].fails)
    key = world.key_record(C)
    sealed = world.seal(grant, ["CARD"], key, recipient=C, recipient_key=key.record.kid)
    assert word(answer) == verdict(lambda: world.authorise(sealed)) == "PROTOCOL_MISSING"


def test_sending_what_a_guardian_has_yet_to_sign(world: World) -> None:
    session = known(world, new_id(ENTROPY), cosign=True)
    grant = world.grant(session)
    answer = ask_send(world, grant, ["CARD"])
    assert decided_by(answer) == (Name.CONFIRMED, TO_AGENCY[Name.CONFIRMED].fails)
    assert word(answer) == verdict(lambda: world.send(grant, ["CARD"])) == "CONSENT_UNCONFIRMED"
    # Whom it concerns is told what is missing, in her own words.
    hers = ask_hers(world, session, grant, "CARD")
    assert decided_by(hers) == (Name.SIGNED, TO_HER[Name.SIGNED].fails)


def test_sending_what_stands_on_one_workers_word(world: World) -> None:
    ref = new_id(ENTROPY)
    session = known(world, ref)
    grant = recorded(world, ref, "CARD", "NAME", "PAPERS")
    for category, allowed in (("NAME", True), ("PAPERS", False)):
        answer = ask_send(world, grant, ["CARD", category])
        hers = ask_hers(world, session, grant, category)
        assert answer.allowed == hers.allowed == allowed
    assert decided_by(answer) == (Name.CONFIRMED, TO_AGENCY[Name.CONFIRMED].fails)
    assert decided_by(hers) == (Name.CONFIRMED, TO_HER[Name.CONFIRMED].fails)
    acted = verdict(lambda: world.send(grant, ["CARD", "PAPERS"]))
    assert word(answer) == acted == "CONSENT_UNCONFIRMED"
    confirm(world, session, grant)
    assert ask_send(world, grant, ["CARD", "PAPERS"]).allowed
    assert ask_hers(world, session, grant, "PAPERS").allowed
    assert verdict(lambda: world.send(grant, ["CARD", "PAPERS"])) == ""


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
    assert decided_by(outside) == (Name.INSIDE_GRANT, TO_HER[Name.INSIDE_GRANT].fails)
    world.stop_grant(session, grant)
    stopped = ask_hers(world, session, grant, "NAME")
    assert decided_by(stopped) == (Name.NOT_STOPPED, TO_HER[Name.NOT_STOPPED].fails)


@pytest.mark.parametrize("swept", [False, True], ids=["its time passed", "and it was written down"])
def test_she_hears_that_its_time_is_over(fresh_world: World, *, swept: bool) -> None:
    world = fresh_world
    card = world.register_subject()
    grant = world.grant(world.sign_in(card))
    sent = world.send(grant)
    world.clock.advance(90 * DAY_S)
    world.app.context.writer.confirm_clock()
    if swept:
        world.app.sweep()
    answer = ask_hers(world, world.sign_in(card), grant, "CARD")
    assert decided_by(answer) == (Name.NOT_OVER, TO_HER[Name.NOT_OVER].fails)
    assert verdict(lambda: world.release(sent)) == "CONSENT_ENDED"


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
