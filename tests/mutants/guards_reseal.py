"""Guards of sealing again, of explanations, and of slips."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Guard, guard

_SRC: Final = "services/consent/src/safehand_consent_service/"
_REFERRED: Final = _SRC + "referred.py"
_CREATE: Final = "services/referral/src/safehand_referral_service/create.py"
_STORE: Final = "services/referral/src/safehand_referral_service/referral_store.py"
_T_RESEAL: Final = "tests/consent/release/test_reseal.py::"
_T_EXPLAIN: Final = "tests/consent/release/test_explain.py::"
_T_REFERRAL: Final = "tests/referral/test_reseal.py::"
_STAYS: Final = _T_REFERRAL + "test_place_and_clocks_stay_and_the_parts_are_new"
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
        "reseal-keeps-its-clocks",
        "a new seal gives nobody more time to answer",
        _CREATE,
        "        return _reseal(connection, existing, sealed, submission.parts, now)\n",
        "        return _reseal(\n"
        "            connection, existing, sealed | _columns(header, now), submission.parts, now\n"
        "        )\n",
        _STAYS,
    ),
    guard(
        "reseal-keeps-its-answer",
        "a new seal says not that it was answered just now",
        _STORE,
        '"resealed_at": now, "reseal_asked_at": None}\n',
        '"resealed_at": now, "reseal_asked_at": None, "answered_at": now}\n',
        _STAYS,
    ),
    guard(
        "reseal-keeps-its-place",
        "what is sealed again keeps its place in the list",
        _STORE,
        '"resealed_at": now, "reseal_asked_at": None}\n',
        '"resealed_at": now, "reseal_asked_at": None, "position": referral.position + 1000}\n',
        _STAYS,
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
        "explain-final-stop",
        "she is never told that nobody stopped what was stopped for good",
        _SRC + "decision.py",
        "        Rule(Name.NOT_STOPPED, lambda: _require(grant.stop_index is None)),\n",
        "        Rule(Name.NOT_STOPPED, lambda: _require(grant.final_at is None)),\n",
        _T_EXPLAIN + "test_she_is_not_told_that_she_never_stopped_what_she_stopped_for_good",
    ),
    guard(
        "explain-her-clock",
        "she is not told that something opens which a suspect clock keeps shut",
        _SRC + "decision.py",
        "        Rule(Name.CONFIRMED, lambda: grant_state.require_shareable("
        "grant, (category,), now)),\n"
        "        Rule(Name.CLOCK_RIGHT, lambda: _require_clock(clock_suspect)),\n",
        "        Rule(Name.CONFIRMED, lambda: grant_state.require_shareable("
        "grant, (category,), now)),\n",
        _T_EXPLAIN + "test_she_hears_that_a_clock_which_nobody_trusts_opens_nothing",
    ),
    guard(
        "explain-room",
        "nobody is told that an act is allowed which her receipt has no room for",
        _SRC + "explain.py",
        "        grant_leaves.require_room(Kind.DISCLOSE, grant.next_disclose)\n",
        "        pass\n",
        _T_EXPLAIN + "test_what_fits_her_receipt_is_explained_too",
    ),
    guard(
        "slip-no-undo",
        "a slip promises no undo where there is none",
        "libs/formats/src/safehand_formats/slips.py",
        '        undo if can_undo else said.line("no_undo"),\n',
        "        undo,\n",
        "tests/formats/test_slips.py::test_what_was_final_at_once_is_not_said_to_be_undone",
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
    guard(
        "reseal-same-purpose",
        "a new seal changes not what the referral is for",
        _SRC + "authorise.py",
        "    if before.purpose != grant.purpose:\n",
        "    if False:\n",
        _NOTHING_ELSE + "[MANIFEST_MISMATCH-_for_something_else]",
    ),
    guard(
        "refer-before-its-end",
        "a manifest that ended while it waited gets no entry",
        _SRC + "authorise.py",
        "        if header.not_after <= txn.now:\n",
        "        if False:\n",
        "tests/consent/release/test_authorise.py::test_a_manifest_that_ends_while_it_waits_is_over",
    ),
    guard(
        "looks-of-the-referral",
        "a new seal starts no new count of looks",
        _SRC + "release.py",
        '        select(_T.manifest_digest).where(_T.referral == bindparam("referral"))\n',
        '        select(_T.manifest_digest).where(_T.referral == bindparam("referral"))'
        ".where(_T.replaced_by.is_(None))\n",
        _T_RESEAL + "test_a_new_seal_starts_no_new_count_of_looks",
    ),
)
