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
_HEARS: Final = "tests/consent/release/test_who_hears.py::"
_CODES: Final = "tests/consent/test_representatives.py::"
_PRACTICE: Final = "tests/ledger/test_practice_rules.py::test_every_rule_of_practice_is_checked"
_LAWFUL: Final = "tests/ledger/test_practice_rules.py::test_what_people_really_do_is_lawful"

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
        "_write(context, txn, wish, named, gated, answered=answered), stop=True\n",
        "_write(context, txn, wish, named, gated, answered=answered)\n",
        _ATTACK + "test_a_wish_about_nobody_goes_the_whole_way",
    ),
    guard(
        "weak-stop-first",
        "no flood keeps a first stop out",
        _WEAK,
        "        if too_often and not _never_today(connection, open_grants, target, context.now)",
        "        if too_often",
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
        _QUOTAS,
        "    return None if enough else subject_id\n",
        "    return subject_id\n",
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
        _SRC + "code_words.py",
        "    context.writer.submit(lambda txn: throttle.take(txn.connection, tries, txn.now))\n",
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
        '        self._require(window in allowed, "TIME", index,'
        ' "another window than such a stop has")\n',
        "",
        _PRACTICE,
    ),
    guard(
        "fsck-resume-late",
        "and a resume in the second in which the stop was final",
        _RULES,
        '            inside = _number(body, "at") < _number(stop, "final_at")\n',
        '            inside = _number(body, "at") <= _number(stop, "final_at")\n',
        _PRACTICE,
    ),
    guard(
        "fsck-after-term",
        "and a stop or a resume when the consent's time was over",
        _RULES,
        '        inside = ends_at is None or _number(body, "at") < ends_at\n',
        "        inside = True\n",
        _PRACTICE,
    ),
    guard(
        "fsck-void-late",
        "and no problem where she says late that it was no consent",
        _RULES,
        "        if not self._void_late(grant, body, window):\n",
        "        if True:\n",
        _LAWFUL,
    ),
    guard(
        "fsck-window-taken",
        "and a window that was taken from her",
        _RULES,
        '        self._require(not (windowless and by_time), "TIME", index,'
        ' "a window that there was not")\n',
        "",
        _PRACTICE,
    ),
    guard(
        "fsck-never-final",
        "and a stop that never becomes final, while releases go on",
        _RULES,
        '            self._require(open_, "TIME", index, "a stop that did not become final")\n',
        "            pass\n",
        _PRACTICE,
    ),
    guard(
        "fsck-suspect-clock",
        "and no problem where nothing was deleted because nobody could trust the clock",
        "libs/ledger/src/safehand_ledger/releases.py",
        "        return place < len(self._kept) and self._last > self._kept[place] + LATE_S\n",
        "        return place < len(self._kept)\n",
        _LAWFUL,
    ),
    guard(
        "fsck-waits",
        "and a consent that waits for a word longer than 14 days",
        _RULES,
        '                self._require(soon, "TERM", index, "waits longer than 14 days")\n',
        "                pass\n",
        _PRACTICE,
    ),
    guard(
        "destroy-now-window",
        "the entry of a stop that destroys now promises no window",
        _SRC + "stops.py",
        "        window_s = NO_WINDOW_S if destroy_now else WINDOW_S\n",
        "        window_s = WINDOW_S\n",
        "tests/consent/test_stops.py::test_destroy_now_stops_and_revokes_in_one_step",
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
    guard(
        "recipient-unaware",
        "a recipient does not learn of a grant by its end, which it may have asked for itself",
        _SRC + "events_out.py",
        " * bool(row.next_refer)\n",
        "\n",
        _HEARS + "test_a_recipient_does_not_learn_of_a_grant_by_its_end[a stop by others]",
    ),
    guard(
        "recipient-aware",
        "a recipient hears that what it holds has ended",
        _SRC + "events_out.py",
        ' + [f"agency/{row.recipient}"] * bool(row.next_refer)\n',
        "\n",
        _HEARS + "test_a_recipient_hears_what_becomes_of_a_grant_with_a_referral[her own stop]",
    ),
    guard(
        "weak-code-once",
        "a code is one way of naming her, whoever shows it",
        _WEAK,
        '    by = "" if wish.whom == CODE else wish.agency or ""\n',
        '    by = wish.agency or ""\n',
        _ATTACK + "test_a_code_is_one_way_whoever_shows_it",
    ),
    guard(
        "portal-codes-counted",
        "trying codes at the portal fills nothing",
        _QUOTAS,
        "    waits.append(_wait(connection, counted, most, now))\n",
        "    waits += [_wait(connection, counted, most, now)] * (agency is not None)\n",
        _ATTACK + "test_who_tries_codes_keeps_no_first_stop_out_and_fills_nothing",
    ),
    guard(
        "portal-codes-alike",
        "the day's count of codes does not tell a right one from a wrong one",
        _QUOTAS,
        "    counted = (_N.agency == agency) & _N.named.is_not(None)\n",
        "    counted = (_N.agency == agency) & _N.named.is_not(None)"
        "\n    if agency is None:\n        counted &= _N.subject_id.is_(None)\n",
        _ATTACK + "test_a_right_code_is_answered_as_a_wrong_one_however_many_were_tried",
    ),
    guard(
        "weak-stop-same-statements",
        "a wish without effect asks the database as much about nobody as about somebody",
        _WEAK,
        "    if changed:\n        return target.subject_id\n",
        "    if changed or target.subject_id is None:\n        return target.subject_id\n",
        _ATTACK + "test_a_wish_without_effect_asks_the_database_as_much_about_nobody",
    ),
    guard(
        "weak-stop-leaves-him-time",
        "a stop by others lets no guardian's time run out",
        _SRC + "guardians.py",
        "grant_state.is_live(row, now) or stop_leaves.is_weakly_stopped(row, now)\n",
        "grant_state.is_live(row, now)\n",
        "tests/consent/test_guardians.py::test_a_stop_by_others_does_not_use_up_his_time",
    ),
    guard(
        "hidden-tries-counted",
        "she is told how many more tries there were than she is shown",
        _QUOTAS,
        "    hidden = subject_id if enough and subject_id else _NOBODY\n",
        "    hidden = _NOBODY\n",
        _RESUME + "test_she_is_told_how_many_more_tries_there_were",
    ),
    guard(
        "repeat-holds-nothing-up",
        "a repeat of a wish that was answered raises no gate",
        _WEAK,
        "    gated = [] if answered else [row.grant_id for row in open_grants]\n",
        "    gated = [row.grant_id for row in open_grants]\n",
        _OTHERS + "test_a_repeat_holds_no_release_up",
    ),
    guard(
        "look-behind-a-reseal",
        "a look that was on its way when its referral was sealed again opens nothing",
        _SRC + "release.py",
        "    referred.require_current(looks)\n",
        "",
        "tests/consent/release/test_reseal.py::"
        "test_a_look_that_was_on_its_way_when_it_was_sealed_again_opens_nothing",
    ),
    guard(
        "damaged-row-keeps-no-kek",
        "a key that does not open keeps no KEK from being destroyed",
        _SRC + "category_keys.py",
        "                lost.add(place)\n                continue\n",
        "                raise\n",
        "tests/keys/test_kek_damage.py::"
        "test_a_row_that_does_not_open_keeps_no_other_from_being_destroyed",
    ),
    guard(
        "oldest-kek-is-shown",
        "the age that is watched is of the oldest KEK on the disk",
        _SRC + "category_keys.py",
        "        return self.made_at() if oldest is None else int(oldest)\n",
        "        return self.made_at()\n",
        "tests/keys/test_kek_damage.py::"
        "test_the_age_that_is_shown_is_of_the_oldest_kek_on_the_disk",
    ),
    guard(
        "suspect-start-is-remembered",
        "a clock that was suspect at the start is remembered until a roll",
        _SRC + "kek_roll.py",
        "        self._since = self._context.clock.monotonic()\n        self._at_start = False\n",
        "        self._since = self._context.clock.monotonic()\n",
        "tests/keys/test_kek_damage.py::"
        "test_a_clock_that_was_suspect_at_the_start_is_remembered_until_a_roll",
    ),
)
