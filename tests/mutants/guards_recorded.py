"""Guards of what is recorded for her, and of guardians."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Guard, guard

_SRC: Final = "services/consent/src/safehand_consent_service/"
_RECORDED: Final = _SRC + "recorded.py"
_STATE: Final = _SRC + "grant_state.py"
_COSIGN: Final = _SRC + "cosign.py"
_GUARDIANS: Final = _SRC + "guardians.py"
_SESSIONS: Final = _SRC + "guardian_sessions.py"
_INVALIDATE: Final = _SRC + "invalidate.py"
_AUTHORISE: Final = _SRC + "authorise.py"
_A: Final = "tests/consent/attack/test_recorded_attacks.py::"
_R: Final = "tests/consent/test_recorded.py::"
_G: Final = "tests/consent/test_guardians.py::"

GUARDS: Final[tuple[Guard, ...]] = (
    guard(
        "record-not-by-recipient",
        "the recipient's own staff record nothing",
        _RECORDED,
        "    if claimed.agency == claimed.terms.recipient:\n",
        "    if False:\n",
        _A + "test_the_recipients_own_staff_record_nothing",
    ),
    guard(
        "record-own-name",
        "an agency files its own records and seconds only",
        _RECORDED,
        '    if principal.kind != "agency" or principal.name != agency:\n',
        "    if False:\n",
        _A + "test_nobody_records_in_anothers_name",
    ),
    guard(
        "record-signed",
        "a record verifies under the agency's pinned key",
        _RECORDED,
        """    terms = _terms(claimed.terms)
    with begin_read(context.engine) as connection:
        agencies.verified(connection, claimed.agency, context.now, signed.verify)
""",
        "    terms = _terms(claimed.terms)\n",
        _A + "test_a_forged_or_changed_record_is_refused",
    ),
    guard(
        "record-once",
        "one record is one grant, also when its idempotency is forgotten",
        _RECORDED,
        "    if before is not None:\n        if before.body",
        "    if before is not None and False:\n        if before.body",
        _R + "test_the_same_record_again_is_the_same_grant_for_ever",
    ),
    guard(
        "record-same-terms",
        "another record under the same request id is refused",
        _RECORDED,
        "        if before.body != signed.record_bytes:\n",
        "        if False:\n",
        _R + "test_a_record_of_other_terms_under_the_same_request_is_refused",
    ),
    guard(
        "record-fresh",
        "a record is filed within a week",
        _RECORDED,
        "    if at < now - RECORD_AGE_MAX_S:\n",
        "    if False:\n",
        _R + "test_a_record_is_filed_within_a_week",
    ),
    guard(
        "record-quota",
        "no agency floods her list with records",
        _RECORDED,
        "        if recent.count >= most:\n",
        "        if False:\n",
        _R + "test_nobody_floods_her_list",
    ),
    guard(
        "record-tells-nothing",
        "who is not the releasing agency is not told what came of a record",
        _RECORDED,
        "    return grant if is_releasing else None, confirm_by\n",
        "    return grant, confirm_by\n",
        _R + "test_another_agency_that_knows_her_may_record_and_learns_nothing",
    ),
    guard(
        "record-lapses",
        "what nobody confirmed is over at its very second",
        _STATE,
        "(row.expires_at, row.confirm_by, row.cosign_by) if at is not None",
        "(row.expires_at, row.cosign_by) if at is not None",
        _R + "test_it_lapses_at_its_very_second",
    ),
    guard(
        "sensitive-on-one-word",
        "nothing sensitive goes out on one worker's word",
        _STATE,
        "not row.seconded and not SENSITIVE.isdisjoint(wanted)",
        "False",
        _A + "test_nothing_sensitive_is_sent_on_one_workers_word[EVENTS]",
    ),
    guard(
        "cosign-before-sharing",
        "nothing is shared before the guardian signed",
        _STATE,
        "    if row.cosign_by is not None:\n",
        "    if False:\n",
        _A + "test_nothing_is_sent_before_the_guardian_signs",
    ),
    guard(
        "second-not-by-recipient",
        "the recipient's own staff second nothing",
        _RECORDED,
        "    if claimed.agency == terms.recipient:\n",
        "    if False:\n",
        _A + "test_the_recipients_own_staff_second_nothing",
    ),
    guard(
        "second-another-person",
        "a second person is another person",
        _RECORDED,
        "    if (claimed.agency, claimed.worker_ref) == (about.agency, about.recorder_ref):\n",
        "    if False:\n",
        _A + "test_a_second_person_is_another_person",
    ),
    guard(
        "second-knows-her",
        "a second is about somebody whom its agency knows",
        _RECORDED,
        "    if her is None or about is None or about.subject_id != her:\n",
        "    if about is None:\n",
        _A + "test_a_second_is_about_somebody_whom_its_agency_knows",
    ),
    guard(
        "token-ends-with-the-grant",
        "no token outlives what is not confirmed",
        _AUTHORISE,
        "min(now + TOKEN_S, grant_state.ends_at(grant))",
        "min(now + TOKEN_S, grant.expires_at)",
        _A + "test_a_token_does_not_outlive_what_is_not_confirmed",
    ),
    guard(
        "invalidate-over-a-stop",
        "a stopped grant that is invalidated is final at once",
        _INVALIDATE,
        "    return grant_state.revoke(txn, keks, row, grant_state.INVALIDATED_CAUSE)\n",
        "    return row\n",
        _A + "test_a_stopped_grant_can_still_be_invalidated_and_an_ended_one_not",
    ),
    guard(
        "cosign-strictest",
        "the strictest word of all agencies holds",
        _COSIGN,
        "    if all(purpose in purposes_of(row.alone_purposes) for row in rows):\n",
        "    if not rows or any(purpose in purposes_of(row.alone_purposes) for row in rows):\n",
        _G + "test_the_strictest_word_of_all_agencies_holds",
    ),
    guard(
        "cosign-never-weaker",
        "filing her card again never weakens what the agency said",
        _COSIGN,
        "        left &= purposes_of(row.alone_purposes)\n",
        "",
        _G + "test_filing_her_card_again_never_weakens_what_the_agency_said",
    ),
    guard(
        "cosign-own-word",
        "an agency takes back its own word only",
        _COSIGN,
        '        _T.subject_id == bindparam("her"), _T.agency == bindparam("by")\n',
        '        _T.subject_id == bindparam("her"), bindparam("by") == bindparam("by")\n',
        _G + "test_only_the_agency_that_said_it_takes_it_back",
    ),
    guard(
        "guardian-barred-session",
        "the bar is asked in the query that finds a guardian's session",
        _SESSIONS,
        "        guardian.c.excluded_at.is_(None),\n",
        "",
        _A + "test_the_bar_holds_although_a_session_row_is_left",
    ),
    guard(
        "guardian-barred-sign-in",
        "who is barred does not sign in",
        _SESSIONS,
        "    if found.excluded:\n",
        "    if False:\n",
        _A + "test_a_barred_card_is_never_filed_again",
    ),
    guard(
        "guardian-barred-for-ever",
        "a barred card is never filed again",
        _GUARDIANS,
        "    if row.excluded_at is not None:\n",
        "    if False:\n",
        _A + "test_a_barred_card_is_never_filed_again",
    ),
    guard(
        "guardian-own-ward",
        "a guardian signs for his own ward alone",
        _GUARDIANS,
        "            or row.subject_id != who.subject_id\n",
        "",
        _A + "test_a_guardian_reads_and_signs_for_his_own_ward_alone",
    ),
    guard(
        "guardian-sees-own-ward",
        "a guardian sees what waits of his own ward alone",
        _GUARDIANS,
        "                consent_grant.c.subject_id == who.subject_id,\n",
        "",
        _A + "test_a_guardian_reads_and_signs_for_his_own_ward_alone",
    ),
    guard(
        "guardian-own-card",
        "her own card is no guardian's",
        _GUARDIANS,
        "        if _HER_CARD.first(txn.connection, card=own_card, her=her) is not None:\n",
        "        if False:\n",
        _G + "test_a_guardian_has_a_card_of_his_own",
    ),
    guard(
        "second-fresh-tells-nothing",
        "an old second does not tell whether somebody stands by the record",
        _RECORDED,
        "    if not repeated and not own_entry:\n",
        "    if before is None:\n",
        _R + "test_a_stale_second_does_not_tell_whether_somebody_stands_by_it",
    ),
    guard(
        "second-own-request",
        "one request id is one second, whatever came of it",
        _RECORDED,
        "    if not repeated:\n        remember(txn, request, {})\n",
        "    if before is None and about.grant_id is None:\n        remember(txn, request, {})\n",
        _R + "test_one_request_id_is_one_second_whatever_came_of_it",
    ),
    guard(
        "confirm-own-request",
        "a yes does not become a no under one request id",
        _SRC + "confirm.py",
        "        asked=request,\n",
        "",
        _R + "test_one_request_id_is_one_answer",
    ),
)
