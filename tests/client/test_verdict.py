"""The whole answer to "may we?": each rule outside consent is seen failing, in its own words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from safehand.common.v1 import reason_pb2
from safehand.consent.v1 import consent_pb2, explain_pb2
from safehand.referral.v1 import directory_pb2, referral_pb2
from safehand_client import AgencyClient, Outcome, Verdict
from safehand_client._internal.calls import Stubs
from safehand_client._internal.verdict import (
    BEYOND_OPENING,
    BEYOND_SENDING,
    SERVICE_NOT_NAMED,
    WORDS,
    Name,
)
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import sealing

from tests.client.party import DAY_S, OWN, PEER, REFERRAL, Scene

GRANT = "2" * 32
SERVICE = "svc-1"
HOLDS = explain_pb2.RULE_OUTCOME_HOLDS


class World:
    """Everybody who is asked, in one object: all of it allows, until a test changes it."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        signed = scene.signed()
        scene.trust.keep_protocol(OWN, signed)
        now = scene.clock.wall()
        self.asked: list[str] = []
        self.refuses: dict[str, Reason] = {}
        self.not_after: int | None = None
        rules = [explain_pb2.RuleFinding(rule="sharing_on", outcome=HOLDS, words="on")]
        self.consent = explain_pb2.ExplainResponse(allowed=True, findings=rules)
        self.terms = consent_pb2.Terms(
            recipient_agency=PEER, expires_at=Timestamp(seconds=now + 90 * DAY_S)
        )
        self.key = scene.key()
        self.protocols = [signed]
        self.entry = directory_pb2.ServiceEntry(agency=PEER, categories=["CARD", "NAME"])
        seed, public = sealing.generate_recipient_key(scene.entropy)
        kid = sealing.recipient_key_id(public)
        self.served = scene.served(recipient_key=kid, public=public)
        self.served.referral.sender = PEER
        scene.party.keys.put_secret(f"recipient-{kid}", seed)
        self.kid = kid

    def client(self) -> AgencyClient:
        one: Any = self
        stubs = Stubs(one, one, one, one, one, ())
        return AgencyClient(
            self.scene.party, clock=self.scene.clock, entropy=self.scene.entropy, stubs=stubs
        )

    def __getattr__(self, method: str) -> Callable[..., Any]:
        answer = object.__getattribute__(self, f"_{method}")

        def call(request: Any, timeout: float) -> Any:
            self.asked.append(method)
            if method in self.refuses:
                raise SafehandError(self.refuses[method])
            return answer(request)

        return call

    def _Explain(self, _: Any) -> Any:  # noqa: N802  the methods' own names
        return self.consent

    def _ListAgencyGrants(self, _: Any) -> Any:  # noqa: N802
        held = consent_pb2.AgencyGrant(grant=GRANT, terms=self.terms)
        return consent_pb2.ListAgencyGrantsResponse(grants=[held])

    def _GetKey(self, _: Any) -> Any:  # noqa: N802
        return directory_pb2.GetKeyResponse(
            record=self.key.record_bytes,
            signature=self.key.signature,
            receipt=self.scene.receipt(self.key),
        )

    def _ListProtocols(self, _: Any) -> Any:  # noqa: N802
        made = [
            directory_pb2.SignedProtocol(
                protocol=one.protocol_bytes,
                signature_a=one.signature_a,
                signature_b=one.signature_b,
            )
            for one in self.protocols
        ]
        return directory_pb2.ListProtocolsResponse(protocols=made)

    def _GetService(self, _: Any) -> Any:  # noqa: N802
        return directory_pb2.GetServiceResponse(service=self.entry)

    def _GetReferral(self, request: Any) -> Any:  # noqa: N802
        answer = referral_pb2.GetReferralResponse()
        answer.CopyFrom(self.served)
        if not request.with_parts:
            del answer.parts[:]
        elif "parts" in self.refuses:
            raise SafehandError(self.refuses["parts"])
        return answer

    def send(self, service: str = SERVICE) -> Verdict:
        return self.client().may_send(
            GRANT, "housing", ["NAME"], service=service, not_after=self.not_after
        )

    def open(self) -> Verdict:
        return self.client().may_open(REFERRAL, 0)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(Scene(tmp_path))


def decided_by(verdict: Verdict) -> tuple[str, str, str]:
    """The rule that fails, its words and the reason; nothing behind it was asked."""
    outcomes = [line.outcome for line in verdict.lines]
    at = outcomes.index(Outcome.FAILS)
    assert set(outcomes[:at]) <= {Outcome.HOLDS}
    assert set(outcomes[at + 1 :]) <= {Outcome.NOT_ASKED}
    assert not any(line.words for line in verdict.lines[at + 1 :])
    assert not verdict.allowed
    return verdict.lines[at].rule, verdict.lines[at].words, verdict.reason


def test_a_yes_to_sending_says_what_it_does_not_rest_on(world: World) -> None:
    verdict = world.send()
    assert verdict.allowed
    assert verdict.beyond == [BEYOND_SENDING]
    assert [line.words for line in verdict.lines[1:]] == [
        WORDS[name].holds
        for name in (
            Name.ENDS_INSIDE,
            Name.OUR_AGREEMENT,
            Name.RECIPIENT_KEY,
            Name.PUBLISHED,
            Name.SERVICE_NEEDS,
        )
    ]
    without = world.send(service="")
    assert without.allowed
    assert without.beyond == [SERVICE_NOT_NAMED, BEYOND_SENDING]
    assert Name.SERVICE_NEEDS not in [line.rule for line in without.lines]


def test_a_referral_ends_with_a_consent_that_ends_sooner(world: World) -> None:
    _ends_soon(world)
    world.not_after = None
    assert world.send().allowed


def _ends_soon(world: World) -> None:
    world.terms.expires_at.seconds = world.scene.clock.wall() + 29 * DAY_S
    world.not_after = world.scene.clock.wall() + 30 * DAY_S


def _no_copy(world: World) -> None:
    for path in (world.scene.party.trust / "protocols").iterdir():
        path.unlink()


def _key_ends(world: World) -> None:
    world.key = world.scene.key(not_after=world.scene.clock.wall() + 29 * DAY_S)


def _key_forged(world: World) -> None:
    world.key = world.scene.key(signer=world.scene.identity)


def _not_published(world: World) -> None:
    world.protocols = [world.scene.signed(world.scene.protocol(purposes=("legal",)))]


def _needs_less(world: World) -> None:
    del world.entry.categories[1:]


def _elsewhere(world: World) -> None:
    world.entry.agency = "agency-c"


SENDING: dict[str, tuple[Name, Reason, Callable[[World], object]]] = {
    "a consent that ends sooner": (Name.ENDS_INSIDE, Reason.EXPIRY_INVALID, _ends_soon),
    "no agreement of our own": (Name.OUR_AGREEMENT, Reason.PROTOCOL_MISSING, _no_copy),
    "no key": (
        Name.RECIPIENT_KEY,
        Reason.KEY_UNKNOWN,
        lambda world: world.refuses.update(GetKey=Reason.KEY_UNKNOWN),
    ),
    "a key that ends": (Name.RECIPIENT_KEY, Reason.KEY_ENDS_TOO_SOON, _key_ends),
    "a key of somebody else": (Name.RECIPIENT_KEY, Reason.SIGNATURE_INVALID, _key_forged),
    "nothing published": (Name.PUBLISHED, Reason.PROTOCOL_MISSING, _not_published),
    "a service that needs less": (Name.SERVICE_NEEDS, Reason.SERVICE_NEEDS_EXCEEDED, _needs_less),
    "another agency's service": (Name.SERVICE_NEEDS, Reason.NOT_FOUND, _elsewhere),
}


@pytest.mark.parametrize("name", SENDING)
def test_what_forbids_sending_is_said(world: World, name: str) -> None:
    rule, reason, happen = SENDING[name]
    happen(world)
    words = WORDS[rule].by_reason.get(reason, WORDS[rule].fails)
    assert decided_by(world.send()) == (rule, words, reason)


def test_what_consent_refuses_nobody_else_is_asked(world: World) -> None:
    world.consent = explain_pb2.ExplainResponse(
        reason=reason_pb2.REASON_CONSENT_ENDED,
        findings=[
            explain_pb2.RuleFinding(
                rule="sharing_on", outcome=explain_pb2.RULE_OUTCOME_FAILS, words="it has ended"
            )
        ],
    )
    for verdict in (world.send(), world.open()):
        assert decided_by(verdict) == ("sharing_on", "it has ended", "CONSENT_ENDED")
    assert set(world.asked) == {"Explain"}


@pytest.mark.parametrize("answer", [explain_pb2.ExplainResponse(allowed=True), None])
def test_an_answer_without_a_reason_to_say_yes_is_no_yes(
    world: World, answer: explain_pb2.ExplainResponse | None
) -> None:
    """Neither a yes that names no rule nor a no whose rules all hold."""
    if answer is not None:
        world.consent = answer
    else:
        world.consent.allowed = False
    assert not world.send().allowed
    assert not world.open().allowed
    assert set(world.asked) == {"Explain"}


def test_a_recipient_can_open_what_is_handed_out(world: World) -> None:
    verdict = world.open()
    assert verdict.allowed
    assert verdict.beyond == []
    names = (Name.KEPT, Name.HANDED_OUT, Name.GENUINE, Name.OUR_KEY)
    assert [line.words for line in verdict.lines[1:]] == [WORDS[name].holds for name in names]


def test_a_sender_is_told_what_it_cannot_ask(world: World) -> None:
    world.served.referral.sender = OWN
    verdict = world.open()
    assert verdict.allowed
    assert verdict.beyond == [BEYOND_OPENING]
    assert [line.rule for line in verdict.lines] == ["sharing_on", Name.KEPT]


def _swapped(world: World) -> None:
    world.served.parts[0].ciphertext = world.served.parts[1].ciphertext


OPENING: dict[str, tuple[Name, Reason, Callable[[World], object]]] = {
    "not there": (
        Name.KEPT,
        Reason.NOT_ALLOWED,
        lambda world: world.refuses.update(GetReferral=Reason.NOT_ALLOWED),
    ),
    "held back": (
        Name.HANDED_OUT,
        Reason.CONSENT_ENDED,
        lambda world: world.refuses.update(parts=Reason.CONSENT_ENDED),
    ),
    "closed": (
        Name.HANDED_OUT,
        Reason.REFERRAL_CLOSED,
        lambda world: world.refuses.update(parts=Reason.REFERRAL_CLOSED),
    ),
    "parts of another": (Name.GENUINE, Reason.MANIFEST_MISMATCH, _swapped),
    "no agreement": (Name.GENUINE, Reason.PROTOCOL_MISSING, _no_copy),
    "a key that is lost": (
        Name.OUR_KEY,
        Reason.CONFIG_INVALID,
        lambda world: world.scene.party.keys.destroy(f"recipient-{world.kid}"),
    ),
}


@pytest.mark.parametrize("name", OPENING)
def test_what_forbids_opening_is_said(world: World, name: str) -> None:
    rule, reason, happen = OPENING[name]
    happen(world)
    words = WORDS[rule].by_reason.get(reason, WORDS[rule].fails)
    assert decided_by(world.open()) == (rule, words, reason)


def test_who_cannot_be_asked_has_not_said_yes(world: World) -> None:
    world.refuses["parts"] = Reason.UNAVAILABLE
    rule, words, reason = decided_by(world.open())
    assert (rule, reason) == (Name.HANDED_OUT, "UNAVAILABLE")
    assert words.startswith("it could not be asked: ")
    world.refuses["GetService"] = Reason.OVERLOADED
    rule, words, _ = decided_by(world.send())
    assert rule == Name.SERVICE_NEEDS
    assert words.startswith("it could not be asked: ")


def test_every_rule_has_words_of_its_own() -> None:
    assert WORDS.keys() == set(Name)
    for said in WORDS.values():
        texts = [said.holds, said.fails, *said.by_reason.values()]
        assert len(set(texts)) == len(texts)
