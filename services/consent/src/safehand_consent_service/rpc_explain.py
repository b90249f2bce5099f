"""Explanations: messages to use cases and back."""

from __future__ import annotations

from typing import Any, Final

from safehand.consent.v1 import explain_pb2
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_rpc import call

from safehand_consent_service import explain, wire
from safehand_consent_service.context import Context
from safehand_consent_service.decision import Finding, Name, Outcome
from safehand_consent_service.rule_words import TO_AGENCY, TO_HER, TO_SENDER, Words

_OUTCOMES: Final = {
    Outcome.HOLDS: explain_pb2.RULE_OUTCOME_HOLDS,
    Outcome.FAILS: explain_pb2.RULE_OUTCOME_FAILS,
    Outcome.NOT_ASKED: explain_pb2.RULE_OUTCOME_NOT_ASKED,
}


class ExplainMethods:
    """Mixin of the ConsentService servicer."""

    _context: Context

    def Explain(  # noqa: N802
        self, request: explain_pb2.ExplainRequest, _: Any
    ) -> explain_pb2.ExplainResponse:
        caller = call.current().principal
        if request.HasField("open"):
            asked = request.open
            found = explain.opening(self._context, caller, asked.referral, asked.part)
        elif not request.HasField("send"):
            raise SafehandError(
                Reason.MALFORMED, "no question is asked", metadata={"field": "open"}
            )
        else:
            wanted = request.send
            found = explain.sending(
                self._context, caller, wanted.grant, wanted.purpose, tuple(wanted.categories)
            )
        words = TO_SENDER if found.of_other else TO_AGENCY
        return explain_pb2.ExplainResponse(
            allowed=found.allowed,
            reason=wire.reason(found.reason),
            findings=[_finding(one, words) for one in found.findings],
        )

    def ExplainSharing(  # noqa: N802
        self, request: explain_pb2.ExplainSharingRequest, _: Any
    ) -> explain_pb2.ExplainSharingResponse:
        found = explain.sharing(self._context, request.session, request.grant, request.category)
        return explain_pb2.ExplainSharingResponse(
            allowed=found.allowed, findings=[_finding(one, TO_HER) for one in found.findings]
        )


def _finding(found: Finding, words: dict[Name, Words]) -> explain_pb2.RuleFinding:
    said = words[found.rule]
    text = {Outcome.HOLDS: said.holds, Outcome.FAILS: said.fails}.get(found.outcome, "")
    return explain_pb2.RuleFinding(
        rule=found.rule.value, outcome=_OUTCOMES[found.outcome], words=text
    )
