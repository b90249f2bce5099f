"""Guards of sealing again, of explanations, and of slips."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Guard, guard

_SRC: Final = "services/consent/src/safehand_consent_service/"
_REFERRED: Final = _SRC + "referred.py"
_CREATE: Final = "services/referral/src/safehand_referral_service/create.py"
_T_RESEAL: Final = "tests/consent/release/test_reseal.py::"
_T_EXPLAIN: Final = "tests/consent/release/test_explain.py::"
_T_REFERRAL: Final = "tests/referral/test_reseal.py::"
_NOTHING_ELSE: Final = _T_RESEAL + "test_nothing_else_takes_its_place"

GUARDS: Final[tuple[Guard, ...]] = (
    guard(
        "reseal-same-person",
        "a consent of somebody else never takes the place of hers",
        _SRC + "authorise.py",
        "    if before is None or before.subject_id != grant.subject_id:\n",
        "    if before is None:\n",
        _NOTHING_ELSE,
    ),
    guard(
        "reseal-of-the-current",
        "a seal replaces the one that holds, and no other",
        _REFERRED,
        "    if current is None or current.digest != header.reseals:\n",
        "    if current is None:\n",
        _NOTHING_ELSE,
    ),
    guard(
        "reseal-same-referral",
        "a new seal changes no service and no urgency",
        _REFERRED,
        "    if same != (header.sender, header.recipient, header.service, header.urgency):\n",
        "    if False:\n",
        _NOTHING_ELSE,
    ),
    guard(
        "reseal-something-new",
        "nothing is sealed again without a new consent or a new key",
        _REFERRED,
        "    if (current.grant_id, current.recipient_key) =="
        " (header.grant, header.recipient_key):\n",
        "    if False:\n",
        _NOTHING_ELSE,
    ),
    guard(
        "replaced-opens-nothing",
        "what was sealed again opens no more",
        _REFERRED,
        "    if subject.replaced_by is not None:\n",
        "    if False:\n",
        _T_RESEAL + "test_what_was_sealed_before_is_never_opened_again",
    ),
    guard(
        "reseal-newer-only",
        "a late repeat of an older seal changes nothing",
        _CREATE,
        "        or refer_index <= existing.refer_index\n",
        "",
        _T_REFERRAL + "test_an_older_seal_never_comes_back",
    ),
    guard(
        "explain-parties",
        "only the two ends of a referral may ask about it",
        _SRC + "explain.py",
        '        if known is None or principal.kind != "agency" or principal.name not in ends:\n',
        "        if known is None:\n",
        _T_EXPLAIN + "test_who_is_no_party_hears_what_he_hears_of_nothing",
    ),
    guard(
        "explain-no-more",
        "behind the rule that decides nothing is said",
        _SRC + "decision.py",
        "        if refused:\n",
        "        if False:\n",
        _T_EXPLAIN + "test_behind_the_rule_that_decides_nothing_is_said",
    ),
    guard(
        "code-opens-nothing",
        "who has a code is not thereby the person",
        _SRC + "rpc_ledger.py",
        "                ledger_pb2.Receipt(index=one.index, leaf=one.leaf, proof=one.proof)"
        " for one in found\n",
        "                wire.receipt(one) for one in found\n",
        "tests/consent/release/test_slip_codes.py"
        "::test_every_decision_is_found_by_its_code_and_stays_closed",
    ),
)
