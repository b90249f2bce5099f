"""Guards of her session at her pages: its life, its cover, her PIN, and the turns at her card."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Guard, guard

_SRC: Final = "services/consent/src/safehand_consent_service/"
_SEATS: Final = _SRC + "seats.py"
_SESSIONS: Final = _SRC + "sessions.py"
_PINS: Final = _SRC + "pins.py"
_THROTTLE: Final = _SRC + "throttle.py"
_T: Final = "tests/consent/portal/test_seats.py::"
_LANES: Final = (
    "tests/consent/portal/test_lanes.py::"
    "test_a_flood_of_sign_ins_keeps_no_page_and_no_stop_of_hers_waiting"
)
_TURNS: Final = "tests/consent/portal/test_turns.py::"

GUARDS: Final[tuple[Guard, ...]] = (
    guard(
        "seat-cover",
        "a covered session opens nothing until the PIN is given again",
        _SESSIONS,
        "    if row.covered_at <= now:\n",
        "    if False:\n",
        _T + "test_a_covered_session_opens_nothing_but_its_end_and_its_unlocking",
    ),
    guard(
        "seat-two-hours",
        "a session asks for the PIN after two hours, whatever is done in it",
        _SESSIONS,
        "                covered_at=txn.now + COVER_S,\n",
        "                covered_at=txn.now + 12 * COVER_S,\n",
        _T + "test_two_hours_after_it_was_opened_it_asks_for_the_pin",
    ),
    guard(
        "seat-idle",
        "a session that nobody uses ends, also at her pages",
        _SEATS,
        '    .where(session.c.session_hash == bindparam("hash"),'
        ' session.c.expires_at > bindparam("now"))\n',
        '    .where(session.c.session_hash == bindparam("hash"),'
        ' session.c.expires_at > bindparam("now") - 86400)\n',
        _T + "test_it_ends_ten_minutes_after_her_last_press_to_the_second",
    ),
    guard(
        "seat-kept-open",
        "covering a session again keeps it no longer",
        _SEATS,
        '    session.c.covered_at > bindparam("now"),\n)\n',
        ")\n",
        _T + "test_a_covered_session_ends_too",
    ),
    guard(
        "seat-rotates",
        "unlocking ends the session that was covered",
        _SEATS,
        "            _END.run(txn.hot, hash=hashed(secret), now=txn.now)\n",
        "",
        _T + "test_unlocking_puts_a_new_session_in_the_place_of_the_covered_one",
    ),
    guard(
        "pin-change-first",
        "whoever has seen her PIN cannot go on reading with it",
        _SEATS,
        "        if seat.must_change_pin:\n",
        "        if False:\n",
        _T + "test_a_pin_that_somebody_else_has_seen_comes_first",
    ),
    guard(
        "pin-seen-by-another",
        "another agency that has seen her PIN counts as somebody who has",
        _SRC + "subjects.py",
        "        if is_new and row is not None:\n",
        "        if False:\n",
        _T + "test_another_agency_that_sees_her_pin_makes_her_change_it_again",
    ),
    guard(
        "pin-change-ends-sessions",
        "a new PIN ends every session that the old one opened",
        _SEATS,
        "            _END_ALL.run(txn.hot, subject=proven.subject_id)\n",
        "            _END.run(txn.hot, hash=hashed(secret), now=txn.now)\n",
        _T + "test_a_new_pin_ends_every_session_and_opens_one",
    ),
    guard(
        "pin-change-overtakes",
        "an old PIN that was being checked opens nothing behind the change",
        _PINS,
        "        if row.pin_hash != proven.pin_hash:\n",
        "        if False:\n",
        _T + "test_a_sign_in_with_the_old_pin_that_is_under_way_comes_to_nothing",
    ),
    guard(
        "unlock-turns",
        "a session that asks for the PIN has turns of its own beside who guesses at the sign-in",
        _SEATS,
        "        return self._pins.check(card_hmac, pin, cards.seat_place(card_hmac, secret))\n",
        '        return self._pins.check(card_hmac, pin, cards.place(card_hmac, b""))\n',
        _TURNS + "test_who_guesses_at_the_sign_in_leaves_a_covered_session_its_turn",
    ),
    guard(
        "throttle-turns",
        "who guesses without end from one network does not keep her out",
        _THROTTLE,
        "    kept = KEPT_FOR_OTHERS if place == taken_by and set(waiting) - {place} else 0\n",
        "    kept = 0\n",
        _TURNS + "test_on_the_wire_she_gets_in_past_one_who_guesses_from_elsewhere",
    ),
    guard(
        "throttle-turns-both",
        "who took the last try and was refused counts as waiting too",
        _THROTTLE,
        "    if place in waiting or len(waiting) >= PLACES_WAITING:\n",
        "    if place in waiting or place == taken_by or len(waiting) >= PLACES_WAITING:\n",
        _TURNS + "test_after_her_wrong_try_he_gets_one_and_not_two",
    ),
    guard(
        "sign-in-threads",
        "a flood of sign-ins keeps no page of hers waiting",
        _SRC + "policy.py",
        "    - SIGN_IN\n    - _GUARDIANS\n",
        "    - _GUARDIANS\n",
        _LANES,
    ),
    guard(
        "wrong-tries-unknown",
        "a card that is none costs a try as much as one that is",
        _PINS,
        "            _COUNT_WRONG.run(txn.hot, card=card_hmac, now=txn.now)\n"
        "            return row\n",
        "            if row is not None:\n"
        "                _COUNT_WRONG.run(txn.hot, card=card_hmac, now=txn.now)\n"
        "            return row\n",
        _T + "test_a_try_at_no_card_runs_the_same_statements",
    ),
    guard(
        "wrong-tries-agency",
        "she hears of what an agency tried at her card",
        _PINS,
        "            self.write(wrong)\n",
        "",
        _T + "test_what_an_agency_tries_is_counted_for_her_too",
    ),
)
