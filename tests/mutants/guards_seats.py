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
        "    if index < left:\n",
        "    if left:\n        index = min(index, len(line) - 1)\n",
        _TURNS + "test_on_the_wire_she_gets_in_past_one_who_guesses_from_elsewhere",
    ),
    guard(
        "throttle-tried-last",
        "who tried last stands behind the networks that come before he may again",
        _THROTTLE,
        "        ranked.append(((rounds[turn.network], turn.network == tried_last), turn))\n",
        "        ranked.append(((rounds[turn.network], False), turn))\n",
        _TURNS + "test_in_many_browsers_of_one_network_he_has_one_turn_like_her",
    ),
    guard(
        "throttle-rounds",
        "who guesses in many browsers of one network has one turn in a round, as she has",
        _THROTTLE,
        "        rounds[turn.network] += 1\n",
        "        rounds[turn.network] = 1\n",
        _TURNS + "test_in_many_browsers_of_one_network_he_has_one_turn_like_her",
    ),
    guard(
        "throttle-beside-her",
        "in her own network the browser that tried last stands behind hers",
        _THROTTLE,
        "    for turn in sorted(line[left:], key=lambda turn: turn.place == taken_by):\n",
        "    for turn in line[left:]:\n",
        _TURNS + "test_in_her_own_network_another_browser_does_not_take_her_turn",
    ),
    guard(
        "throttle-kept",
        "nobody goes before her whose turn has come, not even a network that has not tried yet",
        _THROTTLE,
        "    return [*line[:left], *(turn for _, turn in ranked)]\n",
        "    return [*(turn for _, turn in ranked), *line[:left]]\n",
        _TURNS + "test_a_turn_is_kept_for_her_for_three_minutes",
    ),
    guard(
        "throttle-lapse",
        "a turn that nobody uses lapses",
        _THROTTLE,
        "if turn.at + TURN_S > now]\n",
        "if turn.at + 100 * TURN_S > now]\n",
        _TURNS + "test_a_turn_that_nobody_uses_lapses",
    ),
    guard(
        "throttle-line-bound",
        "the line at a card has a bound",
        _THROTTLE,
        "    line = _timed(line, left, last_at)[:PLACES_WAITING]\n",
        "    line = _timed(line, left, last_at)\n",
        _TURNS + "test_other_browsers_yield_their_places_in_a_full_line_and_other_networks_do_not",
    ),
    guard(
        "throttle-sweep",
        "the sweep forgets no turn that is kept",
        _THROTTLE,
        "    lapsed_at = full_at + LAST_TURN_S + TURN_S\n",
        "    lapsed_at = full_at\n",
        _TURNS + "test_the_sweep_forgets_no_turn_that_is_kept",
    ),
    guard(
        "throttle-browser-word",
        "another phone in her network is another place",
        "services/portal/src/safehand_portal_service/peer.py",
        "    return _half(salt, network) + _half(salt, network, *browser)\n",
        "    return _half(salt, network) + _half(salt, network)\n",
        "tests/portal/test_core_seat.py::"
        "test_who_guesses_beside_her_with_another_phone_does_not_take_her_turn",
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
        "            return row, lifted\n",
        "            if row is not None:\n"
        "                _COUNT_WRONG.run(txn.hot, card=card_hmac, now=txn.now)\n"
        "            return row, lifted\n",
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
