"""Guards of the consent service: what decides whether a key is released."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Guard, guard

_SRC: Final = "services/consent/src/safehand_consent_service/"
_RELEASE: Final = _SRC + "release.py"
_DECISION: Final = _SRC + "decision.py"
_AUTHORISE: Final = _SRC + "authorise.py"
_STOPS: Final = _SRC + "stops.py"
_GATE: Final = _SRC + "gate.py"
_STATE: Final = _SRC + "grant_state.py"
_RECORDS: Final = _SRC + "key_records.py"
_PROTOCOLS: Final = _SRC + "protocols.py"
_ANSWERS: Final = _SRC + "answers.py"
_T_RELEASE: Final = "tests/consent/release/test_release.py::"
_T_AUTHORISE: Final = "tests/consent/release/test_authorise.py::"
_T_EXPIRY: Final = "tests/consent/release/test_expiry_in_order.py::"
_T_GATE: Final = "tests/consent/release/test_gate.py::"
_T_ENROLMENT: Final = "tests/consent/release/test_enrolment.py::"
_T_ANSWERS: Final = "tests/consent/release/test_answers.py::"
_T_STOPS: Final = "tests/consent/test_stops.py::"
_T_TIME: Final = "tests/consent/test_time.py::"

ORDER: Final[tuple[Guard, ...]] = (
    guard(
        "disclose-conditional",
        "DISCLOSE is appended only while the grant is live in the writer's transaction",
        _DECISION,
        "    grant_state.require_shareable(grant, (category,), now)\n",
        "",
        _T_RELEASE + "test_a_restarted_service_still_refuses_after_a_stop",
    ),
    guard(
        "refer-conditional",
        "REFER is appended only while the grant is live in the writer's transaction",
        _DECISION,
        "        Rule(Name.SHARING_ON, lambda: grant_state.require_live(grant, now)),\n"
        "        Rule(Name.CONFIRMED,"
        " lambda: grant_state.require_shareable(grant, categories, now)),\n",
        "",
        _T_AUTHORISE + "test_the_same_manifest_on_a_stopped_grant_is_refused",
    ),
    guard(
        "stop-conditional",
        "a grant that is over takes no further STOP",
        _STOPS,
        "    if grant_state.is_live(row, txn.now) or"
        " stop_leaves.is_weakly_stopped(row, txn.now):\n",
        "    if True:\n",
        _T_STOPS + "test_a_stop_of_a_revoked_grant_answers_what_ended_it",
    ),
    guard(
        "resume-conditional",
        "a final grant never reopens",
        _STOPS,
        """    if grant_state.is_over(row, txn.now):
        raise SafehandError(Reason.CONSENT_ENDED)
    if row.final_at is None:
        raise SafehandError(Reason.STATE_CONFLICT, "the consent is not stopped")
    if txn.now >= row.final_at:
""",
        "    if row.final_at is not None and txn.now >= row.final_at:\n",
        _T_STOPS + "test_a_final_grant_never_reopens",
    ),
    guard(
        "resume-window",
        "a stop can be undone within its window only",
        _STOPS,
        "    if txn.now >= row.final_at:\n",
        "    if False:\n",
        _T_STOPS + "test_at_the_end_of_the_window_it_cannot_be_undone",
    ),
    guard(
        "expiry-at-ledger-now",
        "a grant is over at its very second, swept or not",
        _STATE,
        "    return row.state == ACTIVE and now < ends_at(row)\n",
        "    return row.state == ACTIVE\n",
        _T_EXPIRY + "test_a_consent_that_ends_while_it_waits_for_the_writer_refers_nothing",
    ),
    guard(
        "manifest-end-at-release",
        "nothing opens after the end that the sender signed",
        _DECISION,
        "    if now >= part.not_after:\n",
        "    if False:\n",
        _T_RELEASE + "test_a_manifest_past_its_end_opens_nothing",
    ),
    guard(
        "gate-recheck",
        "a release whose entry is committed is kept back by a stop that came meanwhile",
        _GATE,
        "            if gate.shut(category):\n",
        "            if False:\n",
        _T_RELEASE + "test_a_stop_between_the_entry_and_the_answer_keeps_the_key_back",
    ),
    guard(
        "gate-drain",
        "a stop waits until no release is on its way out",
        _GATE,
        "        for grant in ordered:\n            self._drain(grant, cancel_after_s)\n",
        "",
        _T_GATE + "test_a_stop_waits_for_a_release_on_its_way_out",
    ),
    guard(
        "gate-hand-over",
        "a release that a stop has put out of the gate is not handed to the transport",
        _GATE,
        "            if gate is None or passage not in gate.inside:\n",
        "            if False:\n",
        _T_GATE + "test_a_release_that_hangs_is_cancelled_and_cannot_hand_over_any_more",
    ),
    guard(
        "gate-order-of-reports",
        "a late report of an old RESUME does not lower the flag of a newer STOP",
        _GATE,
        "        return self.raisers > 0 or self.stopped_at > self.resumed_at\n",
        "        return self.raisers > 0 or (self.stopped_at > 0 and self.resumed_at < 0)\n",
        _T_GATE + "test_a_late_report_of_an_old_resume_does_not_lower_a_newer_stop",
    ),
    guard(
        "clock-suspect",
        "nothing is released by a clock that nobody believes",
        _DECISION,
        "    if suspect:\n",
        "    if False:\n",
        _T_RELEASE + "test_while_the_clock_is_suspect_nothing_opens_until_an_operator_confirms",
    ),
    guard(
        "clock-suspect-deletion",
        "no key is deleted by a clock that nobody believes",
        _SRC + "sweeper.py",
        "    while not context.writer.clock_suspect:\n",
        "    while True:\n",
        _T_TIME + "test_what_was_due_before_the_clock_became_suspect_waits_too",
    ),
    guard(
        "clock-suspect-deletion-in-writer",
        "no key is deleted by a clock that stopped being believed while the sweep waited",
        _SRC + "sweeper.py",
        "    if context.writer.clock_suspect:\n        # Asked again",
        "    if False:\n        # Asked again",
        _T_TIME + "test_what_was_due_before_the_clock_became_suspect_waits_too",
    ),
)

RELEASE: Final[tuple[Guard, ...]] = (
    guard(
        "release-caller",
        "only the recipient that manifest, grant and request name may ask",
        _RELEASE,
        "    if row is None or {row.recipient, row.grant_recipient, asked.request.recipient}"
        " != {caller}:\n",
        "    if row is None:\n",
        _T_RELEASE + "test_another_agency_hears_the_same_as_for_a_referral_that_is_not_there",
    ),
    guard(
        "release-signature",
        "a certificate alone, issued behind the recipient's back, opens nothing",
        _RELEASE,
        "    agencies.verified(connection, about.recipient, now, asked.signed.verify)\n",
        "",
        _T_RELEASE
        + "test_a_second_certificate_of_the_recipient_opens_nothing_without_its_signing_key",
    ),
    guard(
        "accept-before-identity",
        "identity parts open only after the recipient's signed Accept",
        _DECISION,
        "    if part.stage == STAGES[1] and ACCEPT not in on_file:\n",
        "    if False:\n",
        _T_RELEASE + "test_identity_parts_wait_for_a_signed_acceptance",
    ),
    guard(
        "closed-referral",
        "nothing opens after decline or withdrawal",
        _SRC + "referred.py",
        "    if any(kind in on_file for kind in CLOSING):\n",
        "    if False:\n",
        _T_RELEASE + "test_after_decline_or_withdraw_nothing_opens",
    ),
    guard(
        "inner-wrap-at-release",
        "only the inner wrap that the sender signed for is released",
        _RELEASE,
        "    if fields.sha256(inner) != about.wrap_hash:\n",
        "    if False:\n",
        _T_RELEASE + "test_another_inner_wrap_under_the_right_category_key_is_not_released",
    ),
    guard(
        "release-quota",
        "a loop cannot flood her page with looks",
        _RELEASE,
        "    if recent.count >= LOOKS:\n",
        "    if False:\n",
        _T_RELEASE + "test_one_referral_gives_so_many_looks_an_hour",
    ),
    guard(
        "release-repeat",
        "a repeated release is decided anew, also by a service that was restarted",
        _RELEASE,
        "    before = earlier_here(txn, asked.repeat)\n",
        "    before = earlier_here(txn, asked.repeat)\n"
        "    if before is not None:\n"
        "        txn.cite(int(str(before['index'])))\n"
        "        return int(str(before['index']))\n",
        "tests/consent/release/test_repeats.py::"
        "test_a_repeat_after_a_stop_is_refused_by_what_is_on_record",
    ),
    guard(
        "refused-looks",
        "she sees who tried and was refused",
        _RELEASE,
        "        if about.category is not None:\n",
        "        if False:\n",
        _T_RELEASE + "test_she_sees_the_looks_and_the_refused_ones",
    ),
    guard(
        "answer-signature-at-consent",
        "an answer counts only under the key pinned for its agency",
        _ANSWERS,
        "    agencies.verified(connection, giver, now, signed.verify)\n",
        "",
        _T_ANSWERS + "test_an_answer_that_another_key_signed",
    ),
    guard(
        "answer-party",
        "only the party whose answer it is may give it",
        _ANSWERS,
        "    if {answer.agency, giver} != {caller}:\n",
        "    if False:\n",
        _T_ANSWERS + "test_only_its_own_party_gives_an_answer",
    ),
)

AUTHORISE: Final[tuple[Guard, ...]] = (
    guard(
        "authorise-caller",
        "only the sender itself may have its manifest authorised",
        _AUTHORISE,
        '    if principal.kind != "agency" or principal.name != sender:\n',
        "    if False:\n",
        _T_AUTHORISE + "test_only_the_sender_itself_may_ask",
    ),
    guard(
        "manifest-signature-at-consent",
        "a manifest counts only under the key pinned for its sender",
        _AUTHORISE,
        "    return agencies.verified(connection, sender, now, signed.verify)\n",
        "    return signed.manifest\n",
        _T_AUTHORISE + "test_a_manifest_that_another_key_signed",
    ),
    guard(
        "grant-recipient",
        "she named the recipient; nobody else can be one",
        _AUTHORISE,
        "    if grant is None or (grant.releasing, grant.recipient)"
        " != (header.sender, header.recipient):\n",
        "    if grant is None:\n",
        _T_AUTHORISE + "test_another_recipient_than_she_named",
    ),
    guard(
        "grant-purpose",
        "she named the purpose",
        _DECISION,
        "    if purpose != grant.purpose:\n",
        "    if False:\n",
        _T_AUTHORISE + "test_another_purpose_than_she_named",
    ),
    guard(
        "grant-categories",
        "she named the categories",
        _DECISION,
        "    if not set(categories) <= grant_state.categories(grant):\n",
        "    if False:\n",
        _T_AUTHORISE + "test_a_category_that_she_did_not_name",
    ),
    guard(
        "protocol-covers-at-authorise",
        "sharing needs a protocol that is live now, not only when she granted",
        _DECISION,
        "    protocols.require_live(connection, grant.releasing, grant.recipient, grant.purpose,"
        " named, now)\n",
        "",
        _T_AUTHORISE + "test_a_protocol_must_still_cover_it",
    ),
    guard(
        "inner-wrap-at-authorise",
        "consent wraps only the inner wraps that the sender signed for",
        _AUTHORISE,
        "        part.match_wrap(inner)\n",
        "        pass\n",
        _T_AUTHORISE + "test_wraps_that_are_not_the_signed_ones",
    ),
    guard(
        "keyrecord-signature-at-consent",
        "a sender seals only to a key that the recipient's pinned identity signed",
        _AUTHORISE,
        "    record = agencies.verified_then(connection, header.recipient, signed.verify)\n",
        "    record = signed.record\n",
        _T_AUTHORISE + "test_a_key_that_the_recipient_did_not_sign",
    ),
    guard(
        "keyrecord-signature-at-key-entry",
        "a KEY entry is made only of what the agency's pinned identity signed",
        _RECORDS,
        "agencies.verified(connection, principal.name, context.now, signed.verify)\n",
        "signed.record\n",
        _T_ENROLMENT + "test_nobody_publishes_a_key_for_another_agency",
    ),
    guard(
        "key-logged",
        "a recipient key has its KEY entry before anything is sealed to it",
        _AUTHORISE,
        "    key_records.require_logged(connection, signed)\n",
        "",
        _T_AUTHORISE + "test_a_key_that_has_no_entry",
    ),
    guard(
        "key-end-at-consent",
        "a key that ends before the manifest does is refused",
        _AUTHORISE,
        "    record.covers(header.not_after, now=header.created)\n",
        "",
        _T_AUTHORISE + "test_a_key_that_ends_before_the_manifest",
    ),
    guard(
        "key-sequence",
        "the sequence of an agency's keys has no gap in which one could hide",
        _RECORDS,
        "    if record.sequence != (0 if last is None else last + 1):\n",
        "    if False:\n",
        _T_ENROLMENT + "test_sequences_leave_no_gap_and_do_not_repeat",
    ),
    guard(
        "protocol-signatures-at-consent",
        "a protocol counts only when both agencies signed it",
        _PROTOCOLS,
        "    signed.verify()\n",
        "",
        _T_ENROLMENT + "test_both_signatures_must_be_of_the_pinned_keys",
    ),
    guard(
        "protocol-pinned-keys-at-consent",
        "a protocol counts only with the keys that consent enrolled itself",
        _PROTOCOLS,
        "        if party.key not in agencies.keys_now(connection, party.agency, now):\n",
        "        if False:\n",
        _T_ENROLMENT + "test_a_protocol_with_a_key_of_its_own_is_refused",
    ),
    guard(
        "protocol-pins-this-ledger",
        "the ledger that both agencies pinned is this one",
        _PROTOCOLS,
        "    if protocol.ledger != ledger:\n",
        "    if False:\n",
        _T_ENROLMENT + "test_a_protocol_that_pins_another_ledger",
    ),
    guard(
        "one-key-one-agency",
        "an identity key is pinned once and convicts one agency",
        _SRC + "agencies.py",
        "    elif known.identity_key == identity_key:\n",
        "    elif known:\n",
        _T_ENROLMENT + "test_the_same_key_again_is_fine_and_another_is_not",
    ),
)

GUARDS: Final[tuple[Guard, ...]] = (*ORDER, *RELEASE, *AUTHORISE)
