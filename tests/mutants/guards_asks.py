"""Guards of asking, answering and narrowing."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Guard, guard

_SRC: Final = "services/consent/src/safehand_consent_service/"
_ASKS: Final = _SRC + "asks.py"
_QUESTIONS: Final = _SRC + "questions.py"
_NARROW: Final = _SRC + "narrow.py"
_GATE: Final = _SRC + "gate.py"
_WIRE: Final = _SRC + "wire_asks.py"
_SURVIVOR: Final = "libs/client/src/safehand_client/survivor.py"
_T_ASKS: Final = "tests/consent/test_asks.py::"
_T_QUESTIONS: Final = "tests/consent/test_questions.py::"
_T_NARROW: Final = "tests/consent/test_narrow.py::"
_T_ATTACK: Final = "tests/consent/attack/test_questions.py::"
_T_GATE: Final = "tests/consent/release/test_gate_narrow.py::"
_T_RELEASE: Final = "tests/consent/release/test_narrow.py::"
_T_RECEIPT: Final = "tests/client/test_narrowed_receipt.py::"

GUARDS: Final[tuple[Guard, ...]] = (
    # --- asking ---
    guard(
        "ask-own-name",
        "an agency asks in its own name alone",
        _ASKS,
        '    if principal.kind != "agency" or principal.name not in'
        " (wanted.releasing, wanted.recipient):\n",
        '    if principal.kind != "agency":\n',
        _T_ASKS + "test_only_one_of_the_two_may_ask",
    ),
    guard(
        "ask-own-reference",
        "a question reaches nobody whom the releasing agency does not know",
        _ASKS,
        "    if not subjects.knows(connection, wanted.releasing, subject_id or _NOBODY):\n",
        "    if False:\n",
        _T_ASKS + "test_a_question_that_reaches_nobody_is_like_one_that_does",
    ),
    guard(
        "ask-again",
        "what was no yes is not asked again at once",
        _ASKS,
        "    if asked.state != GIVEN:\n        return False\n",
        "    if asked.state != GIVEN:\n        return True\n",
        _T_ASKS + "test_what_did_not_end_in_a_yes_is_asked_again_after_30_days_and_no_sooner",
    ),
    guard(
        "ask-again-no-oracle",
        "how long an agency waits does not tell what she said",
        _ASKS,
        "    if asked.state != GIVEN:\n        return False\n",
        "    if asked.state != GIVEN:\n        return bool(asked.state != OPEN)\n",
        _T_ASKS + "test_what_did_not_end_in_a_yes_is_asked_again_after_30_days_and_no_sooner",
    ),
    guard(
        "ask-again-taken-back",
        "a yes that she took back is not asked for again at once",
        _ASKS,
        "    return grant is not None and grant_state.is_live(grant, now)\n",
        "    return grant is not None\n",
        _T_ASKS + "test_a_yes_that_holds_no_more_is_none",
    ),
    guard(
        "ask-again-recipient",
        "a recipient's wait does not tell it that she took a yes back",
        _ASKS,
        "        and not (asker == wanted.releasing and _holds(connection, row, now))\n",
        "        and not _holds(connection, row, now)\n",
        _T_ASKS + "test_a_recipient_waits_alike_whatever_became_of_a_yes",
    ),
    guard(
        "ask-most",
        "one agency asks one person so much and no more",
        _ASKS,
        "    if len(recent) >= MOST:\n",
        "    if False:\n",
        _T_ASKS + "test_so_many_questions_in_30_days_and_no_more",
    ),
    guard(
        "ask-most-a-day",
        "made-up references do not fill the disk",
        _ASKS,
        "    if today.count >= MOST_A_DAY:\n",
        "    if False:\n",
        _T_ASKS + "test_references_that_nobody_has_do_not_fill_the_disk",
    ),
    guard(
        "ask-refusal-hidden",
        "a no does not show before the question's time is over",
        _WIRE,
        "    elif now < row.ends_at:\n        state = asks_pb2.ASK_STATE_OPEN\n",
        "    elif ask_row.is_open(row, now):\n        state = asks_pb2.ASK_STATE_OPEN\n",
        _T_ASKS + "test_a_no_a_later_and_a_silence_look_alike_to_the_asker",
    ),
    guard(
        "ask-grant-hidden",
        "a recipient that asked does not get the grant's id before a referral",
        _WIRE,
        '        grant=(row.grant_id or "") if row.asker == row.releasing else "",\n',
        '        grant=row.grant_id or "",\n',
        _T_ASKS + "test_a_yes_is_seen_at_once_and_its_grant_by_the_releasing_agency_alone",
    ),
    # --- answering ---
    guard(
        "answer-hers",
        "nobody answers another person's question",
        _QUESTIONS,
        "    if row is None or row.subject_id != subject_id:\n",
        "    if row is None:\n",
        _T_ATTACK + "test_nobody_answers_for_another",
    ),
    guard(
        "answer-scope",
        "a yes gives nothing that was not asked",
        _QUESTIONS,
        "    if not set(given.categories) <= set(ask_row.categories(row)) | {CARD}:\n",
        "    if False:\n",
        _T_QUESTIONS + "test_a_yes_cannot_give_what_was_not_asked",
    ),
    guard(
        "answer-term",
        "a yes runs no longer than was asked",
        _QUESTIONS,
        "    if expires_at > latest:\n",
        "    if False:\n",
        _T_ASKS + "test_a_term_beyond_the_question_is_refused",
    ),
    guard(
        "answer-once",
        "a question is answered once, and in its time",
        _QUESTIONS,
        "            if not ask_row.is_open(row, txn.now):\n",
        "            if False:\n",
        _T_ATTACK + "test_yes_and_no_at_once_in_two_sessions_is_one_answer",
    ),
    # --- narrowing ---
    guard(
        "narrow-keys",
        "the keys of what she took out go with the entry",
        _NARROW,
        "    context.keks.delete_some(txn.connection, row.grant_id, removed)\n",
        "",
        _T_NARROW + "test_a_narrowing_is_an_entry_and_deletes_the_keys_of_what_it_takes_out",
    ),
    guard(
        "narrow-wider",
        "a narrowing brings no category in",
        _NARROW,
        "    if not wanted <= before:\n",
        "    if False:\n",
        _T_NARROW + "test_it_never_widens",
    ),
    guard(
        "narrow-longer",
        "a narrowing moves no end further",
        _NARROW,
        "    if expires_at > row.expires_at:\n",
        "    if False:\n",
        _T_NARROW + "test_it_never_widens",
    ),
    guard(
        "narrow-over",
        "what is over is not narrowed, swept or not",
        _NARROW,
        "    if grant_state.is_over(row, txn.now) or"
        " grant_state.due_end(row, txn.now) is not None:\n",
        "    if False:\n",
        _T_NARROW + "test_after_the_end_there_is_nothing_to_narrow",
    ),
    guard(
        "narrow-empty",
        "an empty list is never read as: leave everything as it is",
        _NARROW,
        "    if not categories:\n",
        "    if False:\n",
        _T_NARROW + "test_nothing_left_is_a_stop_and_nothing_taken_out_is_nothing",
    ),
    guard(
        "narrow-gate",
        "a release whose entry is committed is kept back by a narrowing that came meanwhile",
        _GATE,
        "        return self.up or taken_out\n",
        "        return self.up\n",
        _T_RELEASE + "test_a_narrowing_between_the_entry_and_the_answer_keeps_the_key_back",
    ),
    guard(
        "narrow-gate-kept",
        "the gate stays shut for what is on record as taken out",
        _GATE,
        "                gate.removed |= done.removed\n",
        "                pass\n",
        _T_GATE + "test_it_is_shut_while_the_narrowing_runs_and_for_ever_once_it_is_on_record",
    ),
    guard(
        "narrow-drain",
        "a narrowing waits until no release of what it takes out is on its way",
        _GATE,
        "        self._drain(grant, cancel_after_s, out)\n",
        "",
        _T_GATE + "test_it_waits_for_what_it_takes_out_and_for_nothing_else",
    ),
    guard(
        "narrow-refer-end",
        "a referral in the writer's queue does not outlive a narrowing before it",
        _SRC + "authorise.py",
        "            # Asked again here: she may have moved its end since.\n"
        "            raise SafehandError("
        'Reason.EXPIRY_INVALID, "the manifest outlives the consent")\n',
        "            pass\n",
        _T_RELEASE
        + "test_a_referral_that_was_being_authorised_does_not_outlive_a_narrowing_before_it",
    ),
    # --- what others find out ---
    guard(
        "receipt-scope",
        "her receipt convicts a look at what she had taken out",
        _SURVIVOR,
        "            if not _names(line) <= self._categories:\n",
        "            if False:\n",
        _T_RECEIPT + "test_what_goes_beyond_it_is_convicted",
    ),
    guard(
        "rules-one-answer",
        "fsck finds a question with two answers",
        "libs/ledger/src/safehand_ledger/rules.py",
        '        self._require(ask not in self._answered, "ORDER", index,'
        ' "a question answered twice")\n',
        "",
        "tests/ledger/test_ask_rules.py::test_a_question_answered_twice_is_a_problem",
    ),
)
