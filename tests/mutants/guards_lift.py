"""Guards of a number from her worker: who gets one, what it does, and what she sees of it."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Edit, Guard, guard

_SRC: Final = "services/consent/src/safehand_consent_service/"
_LIFT: Final = _SRC + "lift_wait.py"
_NUMBERS: Final = _SRC + "worker_numbers.py"
_PINS: Final = _SRC + "pins.py"
_HELPED: Final = _SRC + "portal_helped.py"
_T: Final = "tests/consent/portal/test_lift.py::"
_SEEN: Final = "tests/consent/portal/test_lift_seen.py::"
_P: Final = "tests/portal/test_worker_number.py::"

GUARDS: Final[tuple[Guard, ...]] = (
    guard(
        "lift-own-tries",
        "with the number she waits for nobody who guesses beside her",
        _PINS,
        "            if not lifted:\n",
        "            if True:\n",
        _T + "test_beside_one_who_takes_every_try_she_is_in_at_once",
    ),
    guard(
        "lift-right-number",
        "whoever guesses beside her cannot use the number without knowing it",
        _NUMBERS,
        '        _N.number_hmac == bindparam("number"),\n',
        "",
        _T + "test_a_wrong_number_is_a_try_as_any_other",
    ),
    Guard(
        "lift-own-card",
        "a number is for one card, by its row and by its hash",
        Edit(
            _NUMBERS,
            '    .where(\n        _N.card_hmac == bindparam("card"),\n',
            "    .where(\n",
        ),
        _T + "test_it_is_for_her_card_alone",
        also=(
            Edit(
                _SRC + "cards.py",
                'b"number/" + card_hmac + number.encode()',
                'b"number/" + number.encode()',
            ),
        ),
    ),
    guard(
        "lift-life",
        "a number does nothing after fifteen minutes, swept or not",
        _NUMBERS,
        '        _N.expires_at > bindparam("now"),\n',
        "",
        _T + "test_after_fifteen_minutes_it_does_nothing",
    ),
    guard(
        "lift-three-tries",
        "a number is three tries and no more",
        _NUMBERS,
        "        _N.tries_left > 0,\n",
        "        _N.tries_left > -9,\n",
        _T + "test_a_fourth_try_with_it_waits_as_any_other",
    ),
    guard(
        "lift-once",
        "one number opens one session",
        _PINS,
        "        if proven.number is not None and ended != proven.number:\n",
        "        if False:\n",
        _T + "test_two_at_once_with_one_number_are_one_session",
    ),
    guard(
        "lift-ends",
        "the right PIN ends the number",
        _PINS,
        "        ended = worker_numbers.end(connection, proven.card_hmac)\n",
        "        ended = proven.number\n",
        _T + "test_it_is_good_for_one_session",
    ),
    guard(
        "lift-word",
        "no word, no number",
        _LIFT,
        "        if her is None or not matches or current != stored:\n",
        "        if her is None:\n",
        _T + "test_every_refusal_is_one_and_the_same_after_the_same_work",
    ),
    guard(
        "lift-own-people",
        "an agency asks for those alone whom it knows itself",
        _LIFT,
        "        .where(subject_ref.c.agency == agency, subject_ref.c.subject_ref == reference)\n",
        "        .where(subject_ref.c.subject_ref == reference)\n",
        _T + "test_every_refusal_is_one_and_the_same_after_the_same_work",
    ),
    guard(
        "lift-word-tries",
        "her word cannot be guessed by asking for numbers",
        _SRC + "code_words.py",
        "    context.writer.submit(lambda txn: throttle.take(txn.connection, tries, txn.now))\n",
        "",
        _T + "test_her_word_cannot_be_guessed_by_asking",
    ),
    guard(
        "lift-numbers-of-a-day",
        "whoever knows her word does not try PINs as fast as he asks for numbers",
        _LIFT,
        "        if wait_s is not None:\n",
        "        if False:\n",
        _T + "test_a_day_has_five_numbers_whoever_asks",
    ),
    guard(
        "lift-seed",
        "the number is in no row, not even in the one that remembers the request",
        _LIFT,
        '        remember(txn, request, {"seed": seed, "expires_at": expires_at})\n',
        "        given = context.cards.number_from(seed)\n"
        '        remember(txn, request, {"seed": seed, "expires_at": expires_at, "n": given})\n',
        _T + "test_neither_number_nor_word_is_in_a_log_or_on_a_disk",
    ),
    guard(
        "lift-refused-note",
        "she is shown words that were wrong as such, and no number where none was given",
        _LIFT,
        "            refused=refused,\n",
        "            refused=False,\n",
        _SEEN + "test_nothing_that_was_refused_is_said_to_be_a_number",
    ),
    guard(
        "lift-shown-week",
        "who signs in with a number does not keep her from hearing of it",
        _HELPED,
        "    since = min(seat.previous_sign_in or 0, now - SHOWN_S)\n",
        "    since = seat.previous_sign_in or 0\n",
        _SEEN + "test_who_signs_in_with_it_does_not_keep_her_from_hearing_of_it",
    ),
    guard(
        "lift-hidden-agency",
        "her first page does not name an agency of which she hides something",
        _HELPED,
        '    return Helped(len(rows), last.at, "" if quiet else last.display_name)\n',
        "    return Helped(len(rows), last.at, last.display_name)\n",
        _SEEN + "test_an_agency_of_which_she_hides_something_is_not_named",
    ),
    guard(
        "lift-sweep",
        "numbers that are over are forgotten",
        _SRC + "sweeper.py",
        "    worker_numbers.prune(txn.connection, txn.now)\n",
        "",
        _T + "test_the_sweep_forgets_numbers_that_are_over",
    ),
    guard(
        "lift-not-sent-back",
        "what is no number is a try without one, and the same page",
        "services/portal/src/safehand_portal_service/pages/signin.py",
        '        worker_number=number if _NUMBER.fullmatch(number) else "",\n',
        "        worker_number=number,\n",
        _P + "test_what_is_no_number_is_a_try_without_one",
    ),
)
