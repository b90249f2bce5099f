"""Guards of her pages at consent: numbers, what is hidden, and her stops there."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Guard, guard

_SRC: Final = "services/consent/src/safehand_consent_service/"
_NUMBERS: Final = _SRC + "portal_numbers.py"
_SHOWN: Final = _SRC + "portal_shown.py"
_STOPS: Final = _SRC + "portal_stops.py"
_SEEN: Final = _SRC + "portal_seen.py"
_CHANGES: Final = _SRC + "rpc_portal_changes.py"
_T: Final = "tests/consent/portal/"
_T_NUMBERS: Final = _T + "test_numbers.py::"
_T_HIDDEN: Final = _T + "test_hidden.py::"
_T_ALL: Final = _T + "test_everything.py::"

GUARDS: Final[tuple[Guard, ...]] = (
    guard(
        "number-of-session",
        "a number means nothing in another session",
        _NUMBERS,
        '        digest = hmac.digest(self.secret, message, "sha256")\n',
        '        digest = hmac.digest(b"", message, "sha256")\n',
        _T_NUMBERS + "test_another_session_has_other_numbers_for_everything",
    ),
    guard(
        "number-of-one",
        "a number that means two things stops neither",
        _NUMBERS,
        "    if len(found) != 1:\n",
        "    if not found:\n",
        _T_NUMBERS + "test_a_number_that_means_two_things_means_nothing",
    ),
    guard(
        "hidden-sharing",
        "what she hid is in no list and no count",
        _SHOWN,
        "        row for row in all_grants(connection, subject_id)"
        " if not marked.has(GRANT, row.grant_id)\n",
        "        row for row in all_grants(connection, subject_id)\n",
        _T_HIDDEN + "test_a_sharing_that_she_hides_is_nowhere",
    ),
    guard(
        "hidden-sharing-named",
        "a number of what she hid changes nothing",
        _SHOWN,
        '        consent_grant.c.subject_id == bindparam("subject"), ~_HIDDEN_GRANT\n',
        '        consent_grant.c.subject_id == bindparam("subject")\n',
        _T_HIDDEN + "test_what_is_hidden_can_be_named_by_nothing",
    ),
    guard(
        "hidden-look",
        "a look that she hid is in no row, no count and no page's end",
        _SEEN,
        "        statement = statement.where(source.number.not_in(left_out))\n",
        "        pass\n",
        _T + "test_home.py::test_what_is_hidden_is_in_no_number",
    ),
    guard(
        "hidden-look-got",
        "a look that she hid is in nothing that is told about its sharing",
        _SRC + "portal_sharing.py",
        "        statement = statement.where(c.leaf_index.not_in(left_out))\n",
        "        pass\n",
        _T + "test_home.py::test_what_is_hidden_is_in_no_number",
    ),
    guard(
        "hidden-question",
        "with a sharing that she hid goes the question that it answers",
        _SHOWN,
        "    given = row.grant_id is not None and marked.has(GRANT, row.grant_id)\n",
        "    given = False\n",
        _T + "test_asked.py::test_with_a_hidden_sharing_goes_the_question_that_it_answers",
    ),
    guard(
        "show-everything-pin",
        "what she hid comes back with her PIN alone",
        _SRC + "rpc_portal_pages.py",
        "        self._seats.check_pin(seat, request.pin)\n",
        "",
        _T_HIDDEN + "test_everything_comes_back_with_the_pin_alone",
    ),
    guard(
        "undo-pin",
        "who holds her phone cannot take a stop back",
        _CHANGES,
        "        self._seats.check_pin(seat, request.pin)\n",
        "",
        _T + "test_sharing.py::test_an_undo_takes_the_pin_and_the_window",
    ),
    guard(
        "undo-offered",
        "an undo is offered only where it would be done",
        _SRC + "portal_sharing.py",
        "    return None if now >= row.final_at else min(row.final_at, grant_state.ends_at(row))\n",
        "    return row.final_at\n",
        _T + "test_sharing.py::test_a_stop_that_outlasts_the_term_can_be_undone_until_the_term",
    ),
    guard(
        "answer-repeat",
        "an answer that comes again from her next session is one answer",
        _CHANGES,
        "    copy.number = ask_id\n",
        "",
        _T + "test_asked.py::test_a_press_comes_again_from_her_next_session",
    ),
    guard(
        "stop-everything-gates",
        "nothing is on its way out when all of it was stopped",
        _STOPS,
        "    raised = context.gates.raise_all(gated)\n",
        "    raised = context.gates.raise_all([])\n",
        _T_ALL + "test_one_press_stops_all_of_it",
    ),
    guard(
        "stop-everything-weak",
        "a stop that somebody else made for her becomes her own",
        _STOPS,
        "        if grant_state.is_live(row, txn.now)"
        " or stop_leaves.is_weakly_stopped(row, txn.now):\n",
        "        if grant_state.is_live(row, txn.now):\n",
        _T_ALL + "test_a_stop_that_a_worker_made_becomes_her_own",
    ),
    guard(
        "stop-everything-settle",
        "a stop that is on record without an answer keeps its gate up",
        _STOPS,
        "                each.callback(stops.settle, context, one.grant, one)\n",
        "                each.callback(one.drop)\n",
        _T_ALL + "test_a_stop_on_record_without_an_answer_stays",
    ),
    guard(
        "ticket-certificate",
        "nobody but the portal can use a ticket",
        _SRC + "portal_steps.py",
        "        certificate_sha256=token.certificate_thumbprint(certificate_der),\n",
        "        certificate_sha256=bytes(32),\n",
        _T + "test_steps.py::test_a_ticket_is_for_the_portal_and_for_one_minute",
    ),
    guard(
        "agency-heard",
        "she is told when each agency's system last spoke",
        "libs/rpc/src/safehand_rpc/checks.py",
        "        self.heard(principal)\n",
        "",
        _T + "test_seen.py::test_each_call_of_an_agency_is_heard",
    ),
)
