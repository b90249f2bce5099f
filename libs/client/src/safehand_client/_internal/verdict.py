"""The whole answer to "may we?": the rules of everybody who decides, in the order of the act.

Behind the first rule that does not hold nobody is asked anything more. What nobody can be asked
before the act itself is said in words, so that no answer promises more than it rests on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from safehand.common.v1 import reason_pb2
from safehand.consent.v1 import explain_pb2
from safehand_core.errors import SafehandError
from safehand_core.reasons import TABLE, Reason

from safehand_client._internal.pending import PASSING


class Outcome(StrEnum):
    HOLDS = "holds"
    FAILS = "fails"
    NOT_ASKED = "not_asked"


class Name(StrEnum):
    """Every rule that is asked outside consent; ``WORDS`` says each in plain words."""

    KEPT = "kept"
    HANDED_OUT = "handed_out"
    GENUINE = "genuine"
    OUR_KEY = "our_key"
    ENDS_INSIDE = "ends_inside"
    OUR_AGREEMENT = "our_agreement"
    RECIPIENT_KEY = "recipient_key"
    PUBLISHED = "published"
    SERVICE_NEEDS = "service_needs"


class Words(NamedTuple):
    """One sentence for each outcome; every text is constant. ``by_reason``: where a refusal has a
    sentence of its own."""

    holds: str
    fails: str
    by_reason: Mapping[Reason, str] = MappingProxyType({})


WORDS: Final[dict[Name, Words]] = {
    Name.KEPT: Words(
        "the referral service has the referral",
        "the referral service does not have the referral: sending was not finished; its sender has "
        "to send it once more",
    ),
    Name.HANDED_OUT: Words(
        "the referral service hands out the sealed parts",
        "the referral service hands out nothing under this consent now; do not ask her why, and do "
        "not press her; if it stays so, tell the service's operator",
        {
            Reason.REFERRAL_CLOSED: "the referral was declined or withdrawn; a new one can be made "
            "if it is still wanted",
        },
    ),
    Name.GENUINE: Words(
        "what it hands out is what the sender signed",
        "what it hands out does not prove to be what the sender signed; open nothing, and ask the "
        "sender over another channel",
        {
            Reason.PROTOCOL_MISSING: "we have no sharing protocol of our own with the sender that "
            "covers it; collect it first",
        },
    ),
    Name.OUR_KEY: Words(
        "we hold the private key that the parts are sealed to",
        "we do not hold the private key that the parts are sealed to; ask the sender to seal the "
        "referral again",
    ),
    Name.ENDS_INSIDE: Words(
        "the referral would end before her consent does",
        "the referral would outlive her consent; let it end sooner, or ask her for a new consent",
    ),
    Name.OUR_AGREEMENT: Words(
        "our own copy of the sharing protocol covers it",
        "no live sharing protocol that we keep covers it; sign one, or collect it",
    ),
    Name.RECIPIENT_KEY: Words(
        "the recipient has a key of its own that lasts until the referral ends",
        "the recipient's key does not prove to be its own; send nothing, and ask the recipient "
        "over another channel",
        {
            Reason.KEY_UNKNOWN: "the recipient has no key to seal to; it has to publish one",
            Reason.KEY_ENDS_TOO_SOON: "the recipient's key ends before the referral would; it has "
            "to publish a new one",
        },
    ),
    Name.PUBLISHED: Words(
        "the referral service has a sharing protocol that is live now and covers it",
        "the referral service has no live sharing protocol that covers it; publish it there",
    ),
    Name.SERVICE_NEEDS: Words(
        "the recipient delivers the service, and it may receive everything you would send",
        "the recipient delivers no such service; search the directory again",
        {
            Reason.SERVICE_NEEDS_EXCEEDED: "the service does not need something you would send; "
            "leave it out",
        },
    ),
}
BEYOND_OPENING: Final = (
    "whether the referral service hands out the sealed parts: only their recipient can ask"
)
BEYOND_SENDING: Final = (
    "whether the referral service holds this consent back, because it could not apply a message "
    "about it: sending itself shows that"
)
SERVICE_NOT_NAMED: Final = "what the service may receive: no service was named"


_OUTCOMES: Final = {
    explain_pb2.RULE_OUTCOME_HOLDS: Outcome.HOLDS,
    explain_pb2.RULE_OUTCOME_FAILS: Outcome.FAILS,
}


@dataclass(frozen=True, slots=True)
class Line:
    """One rule. ``words`` is empty where it was not asked."""

    rule: str
    outcome: Outcome
    words: str = ""


@dataclass(slots=True)
class Verdict:
    """Every rule in order. ``reason``: a Reason's name where a rule fails, else empty.

    ``refused``: consent's own no, whatever its rules say. ``beyond``: what was asked of nobody
    although it could still forbid the act, in plain words.
    """

    lines: list[Line] = field(default_factory=list)
    reason: str = ""
    refused: bool = False
    beyond: list[str] = field(default_factory=list)

    @property
    def allowed(self) -> bool:
        """Whether consent says yes, and every rule that was asked holds; none is no yes."""
        return (
            not self.refused
            and bool(self.lines)
            and all(line.outcome is Outcome.HOLDS for line in self.lines)
        )

    @classmethod
    def of_consent(cls, answer: explain_pb2.ExplainResponse) -> Verdict:
        """What consent says. An outcome that this client does not know counts as not asked."""
        found = cls(_lines(answer.findings), refused=not answer.allowed)
        if answer.reason:
            found.reason = reason_pb2.Reason.Name(answer.reason).removeprefix("REASON_")
        return found

    @classmethod
    def of_hers(cls, answer: explain_pb2.ExplainSharingResponse) -> Verdict:
        """What consent says to her: every rule, and no reason's name."""
        return cls(_lines(answer.findings), refused=not answer.allowed)

    def ask(self, rule: Name, check: Callable[[], object]) -> None:
        """Add the rule that ``check`` asks: it raises SafehandError where the rule does not hold.

        A service that cannot be asked now is no yes: the rule fails, in the words of that reason.
        """
        if not self.allowed:
            self.lines.append(Line(rule, Outcome.NOT_ASKED))
            return
        try:
            check()
        except SafehandError as error:
            self.reason = error.reason.value
            self.lines.append(Line(rule, Outcome.FAILS, _fails(rule, error.reason)))
        else:
            self.lines.append(Line(rule, Outcome.HOLDS, WORDS[rule].holds))


def _lines(findings: Iterable[explain_pb2.RuleFinding]) -> list[Line]:
    return [
        Line(one.rule, _OUTCOMES.get(one.outcome, Outcome.NOT_ASKED), one.words) for one in findings
    ]


def _fails(rule: Name, reason: Reason) -> str:
    said = WORDS[rule]
    if reason in PASSING - {Reason.PROOF_INVALID}:
        return f"it could not be asked: {TABLE[reason].message}; {TABLE[reason].fix}"
    return said.by_reason.get(reason, said.fails)
