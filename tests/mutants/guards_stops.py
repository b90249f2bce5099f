"""Guards of stops by others, and of their undoing."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Guard, guard

_SRC: Final = "services/consent/src/safehand_consent_service/"
_WEAK: Final = _SRC + "weak_stops.py"
_STAFF: Final = _SRC + "resume_staff.py"
_QUOTAS: Final = _SRC + "stop_quotas.py"
_RULES: Final = "libs/ledger/src/safehand_ledger/rules.py"
_ATTACK: Final = "tests/consent/attack/test_weak_stops.py::"
_OTHERS: Final = "tests/consent/test_stops_by_others.py::"
_RESUME: Final = "tests/consent/test_resume_by_staff.py::"
_CODES: Final = "tests/consent/test_representatives.py::"
_PRACTICE: Final = "tests/ledger/test_practice_rules.py::test_every_rule_of_practice_is_checked"

GUARDS: Final[tuple[Guard, ...]] = (
    guard(
        "weak-stop-window",
        "a stop by others destroys nothing for 72 hours",
        _WEAK,
        "WINDOW_S: Final = 72 * 3600\n",
        "WINDOW_S: Final = 71 * 3600\n",
        _OTHERS + "test_nothing_is_destroyed_before_its_window_ends",
    ),
    guard(
        "weak-stop-ends",
        "an agency stops only what it is an end of",
        _WEAK,
        "    if wish.whom != CODE:\n        statement",
        "    if False:\n        statement",
        _OTHERS + "test_it_stops_every_grant_that_the_agency_is_an_end_of_and_no_other",
    ),
    guard(
        "weak-stop-once",
        "a second wish moves no deadline",
        _WEAK,
        "    if not grant_state.is_live(row, txn.now):\n        return None\n",
        "",
        _OTHERS + "test_it_never_moves_a_deadline_that_she_set",
    ),
    guard(
        "weak-stop-gate",
        "nothing leaves after somebody's stop for her was answered",
        _WEAK,
        "            one.keep(index)\n",
        "            one.drop()\n",
        _OTHERS + "test_a_worker_of_either_end_stops_it_however_she_is_named",
    ),
    guard(
        "weak-stop-lane",
        "a stop for her is not held up by what waits, and its head is in the anchor",
        _WEAK,
        "            lambda txn: _write(context, txn, wish, named, gated), stop=True\n",
        "            lambda txn: _write(context, txn, wish, named, gated)\n",
        _ATTACK + "test_a_wish_about_nobody_goes_the_whole_way",
    ),
    guard(
        "weak-stop-first",
        "no flood keeps a first stop out",
        _WEAK,
        "    if wait is not None and not open_grants:\n",
        "    if wait is not None:\n",
        _ATTACK + "test_a_first_stop_is_made_whatever_was_asked_before",
    ),
    guard(
        "weak-stop-quota",
        "one agency makes so many stops of a grant a day",
        _QUOTAS,
        "    return max((wait for wait in waits if wait is not None), default=None)\n",
        "    return None\n",
        _ATTACK + "test_one_agency_makes_so_many_stops_of_one_grant_a_day",
    ),
    guard(
        "weak-stop-uncounted",
        "when the next wish may come does not tell whether this one stopped anything",
        _WEAK,
        "            named=None if wait is not None else named,\n",
        "            named=named,\n",
        _ATTACK
        + "test_when_the_next_wish_may_come_does_not_tell_whether_this_one_stopped_anything",
    ),
    guard(
        "weak-stop-shown",
        "her list is not flooded by wishes that change nothing",
        _WEAK,
        "    return target.subject_id if shown else None\n",
        "    return target.subject_id\n",
        _ATTACK + "test_her_list_is_not_flooded_by_wishes_that_change_nothing",
    ),
    guard(
        "weak-stop-threads",
        "one agency takes its share of the threads for stops, and no more",
        "libs/rpc/src/safehand_rpc/shares.py",
        "            if self._held[key] >= most:\n",
        "            if False:\n",
        _ATTACK + "test_calls_that_never_send_their_request_keep_no_stop_out",
    ),
    guard(
        "removed-code",
        "a code that she took back stops nothing",
        _SRC + "representatives.py",
        "            _R.code_hmac == code_hmac, _R.removed_at.is_(None)\n",
        "            _R.code_hmac == code_hmac\n",
        _CODES + "test_a_removed_representative_stops_nothing_and_hears_the_same",
    ),
    guard(
        "strong-over-weak",
        "her own stop takes the place of a weak one",
        _SRC + "stops.py",
        " or stop_leaves.is_weakly_stopped(row, txn.now):\n",
        ":\n",
        _OTHERS + "test_her_own_stop_takes_its_place_with_her_own_window",
    ),
    guard(
        "staff-releasing",
        "only the releasing agency resumes for her",
        _STAFF,
        "    return row if row is not None and row.releasing == agency else None\n",
        "    return row\n",
        _RESUME + "test_the_recipient_does_not_resume",
    ),
    guard(
        "staff-weak-only",
        "staff do not undo her own stop",
        _STAFF,
        " or not stop_leaves.is_weakly_stopped(row, txn.now):\n",
        ":\n",
        _RESUME + "test_staff_do_not_undo_her_own_stop",
    ),
    guard(
        "staff-word",
        "no word, no resume",
        _STAFF,
        "        allowed = matches and current == stored and again\n",
        "        allowed = again\n",
        _RESUME + "test_every_refusal_is_one_and_the_same",
    ),
    guard(
        "staff-throttle",
        "her word cannot be guessed by trying",
        _STAFF,
        "        context.writer.submit("
        "lambda txn: throttle.take(txn.connection, tries, txn.now))\n",
        "",
        _RESUME + "test_tries_are_bounded_for_each_agency_and_grant_and_apart_from_her_pin",
    ),
    guard(
        "staff-signature",
        "the agency stands for it that she said the word",
        _STAFF,
        "        agencies.verified(connection, said.agency, context.now, signed.verify)\n",
        "        agencies.require(connection, said.agency)\n",
        _RESUME + "test_the_agency_stands_for_it_with_its_own_key",
    ),
    guard(
        "staff-two",
        "one person is not two",
        "libs/formats/src/safehand_formats/resume.py",
        "        if self.worker_ref == self.second_ref:\n",
        "        if False:\n",
        _RESUME + "test_one_person_is_not_two",
    ),
    guard(
        "fsck-weak-window",
        "whoever reads the ledger sees a stop by others that could not be undone for 72 hours",
        _RULES,
        '        self._require(hers or window >= WEAK_WINDOW_S, "TIME", index,'
        ' "a weak stop with less time")\n',
        "",
        _PRACTICE,
    ),
    guard(
        "fsck-weak-end",
        "and one by a worker of neither end",
        _RULES,
        '            self._require(end, "SCOPE", index, "a worker of neither end")\n',
        "            pass\n",
        _PRACTICE,
    ),
    guard(
        "fsck-staff-end",
        "and a resume by staff of another agency than the releasing one",
        _RULES,
        '            self._require(holds, "SCOPE", index, "staff of another agency")\n',
        "            pass\n",
        _PRACTICE,
    ),
)
