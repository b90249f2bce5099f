"""Guards of slips, and of answers to "may we?" that promise no more than they rest on."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Guard, guard

_CLIENT: Final = "libs/client/src/safehand_client/"
_EXPLAINING: Final = _CLIENT + "_internal/explaining.py"
_VERDICT: Final = _CLIENT + "_internal/verdict.py"
_DECISION: Final = "services/consent/src/safehand_consent_service/decision.py"

_T_SLIPS: Final = "tests/consent/test_slips.py::"
_T_VERDICT: Final = "tests/client/test_verdict.py::"
_T_EXPLAIN: Final = "tests/consent/release/test_explain.py::"

GUARDS: Final[tuple[Guard, ...]] = (
    guard(
        "slip-code-of-a-no",
        "her no has a check code as every other decision",
        "services/consent/src/safehand_consent_service/questions.py",
        "    slip_codes.note(txn, index, Kind.REFUSE)\n",
        "",
        _T_SLIPS + "test_her_no_is_found_by_its_code",
    ),
    guard(
        "slip-of-that-no",
        "nobody else's no is shown to her as hers",
        _CLIENT + "slips.py",
        "    read_refusal(answer, ask, verifier)\n",
        "",
        _T_SLIPS + "test_the_slip_of_a_no_is_of_that_very_no",
    ),
    guard(
        "may-consent-first",
        "what consent refuses nobody else is asked, and no second reason is learnt",
        _VERDICT,
        "        if not self.allowed:\n",
        "        if False:\n",
        _T_VERDICT + "test_what_consent_refuses_nobody_else_is_asked",
    ),
    guard(
        "may-no-empty-yes",
        "consent's no stays a no, whatever its rules say",
        _VERDICT,
        "            not self.refused\n            and bool(self.lines)\n",
        "            bool(self.lines)\n",
        _T_VERDICT + "test_an_answer_without_a_reason_to_say_yes_is_no_yes",
    ),
    guard(
        "may-open-handed-out",
        "a yes to opening asks whether the referral service hands the parts out",
        _EXPLAINING,
        "            if error.reason in self._REFUSED:\n                raise\n",
        "",
        _T_VERDICT + "test_what_forbids_opening_is_said",
    ),
    guard(
        "may-send-needs",
        "a yes to sending asks what the service may receive",
        _EXPLAINING,
        "        if not set(categories) <= set(found.categories):\n",
        "        if False:\n",
        _T_VERDICT + "test_what_forbids_sending_is_said",
    ),
    guard(
        "may-send-inside",
        "a yes to sending asks whether the referral would outlive the consent",
        _EXPLAINING,
        "    if end > terms.expires_at.seconds:\n",
        "    if False:\n",
        _T_VERDICT + "test_what_forbids_sending_is_said",
    ),
    guard(
        "explain-her-guardian",
        "she reads that her guardian has yet to sign",
        _DECISION,
        "        Rule(Name.SIGNED, lambda: "
        "_require(grant.cosign_by is None, Reason.CONSENT_UNCONFIRMED)),\n",
        "",
        _T_EXPLAIN + "test_sending_what_a_guardian_has_yet_to_sign",
    ),
    guard(
        "explain-her-end",
        "she reads that its time is over, and not that nobody confirmed it",
        _DECISION,
        "        Rule(Name.NOT_OVER, lambda: _require(not grant_state.is_over(grant, now))),\n",
        "",
        _T_EXPLAIN + "test_she_hears_that_its_time_is_over",
    ),
)
