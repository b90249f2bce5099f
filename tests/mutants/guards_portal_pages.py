"""Guards of the portal's pages of sharing, questions, steps and looks."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Guard, guard

_SRC: Final = "services/portal/src/safehand_portal_service/pages/"
_ASKED: Final = _SRC + "asked.py"
_ASKING: Final = _SRC + "asking.py"
_SHARING: Final = _SRC + "sharing.py"
_T: Final = "tests/portal/"
_T_ASKED: Final = _T + "test_pages_asked.py::"
_T_BEHIND: Final = _T + "test_pages_behind_back.py::"
_T_HIDDEN: Final = "tests/consent/portal/test_hidden.py::"
_CONSENT: Final = "services/consent/src/safehand_consent_service/"
_T_ASKING: Final = _T + "test_pages_asking.py::"
_T_LIST: Final = _T + "test_pages_list.py::"
_T_TRUE: Final = _T + "test_pages_true.py::"
_T_HELD: Final = _T + "test_pages_held.py::"

GUARDS: Final[tuple[Guard, ...]] = (
    guard(
        "asked-someone-there",
        "with somebody beside her nothing of a question is shown",
        _ASKED,
        '    if page.form.field("present") == asking.SOMEONE:\n',
        "    if False:\n",
        _T_ASKED + "test_with_somebody_there_nothing_is_ever_shown",
    ),
    guard(
        "asked-moment",
        "no answer is taken before she has said that the moment is private",
        _ASKED,
        "    if not choices.present:\n",
        "    if False:\n",
        _T_ASKED + "test_an_answer_without_a_private_moment_is_not_taken",
    ),
    guard(
        "asked-notice",
        "an answer is to the words that she was shown, and to no others",
        _ASKED,
        "    if choices.notice != asking.notice(words, asked).sha256:\n",
        "    if not choices.notice:\n",
        _T_ASKED + "test_other_words_than_those_she_read_are_put_to_her_first",
    ),
    guard(
        "asked-language",
        "the language that is written down is the one of the words that she was shown",
        _ASKED,
        "        language=words.lang,\n",
        "        language=words.wanted,\n",
        _T_ASKED + "test_unchecked_words_are_never_what_she_says_yes_to",
    ),
    guard(
        "asked-group",
        "where she stays, what happened and her papers go in no group",
        _ASKING,
        "    crafted = bool(named - {*offered.ordinary, *offered.single} or groups - {GROUP})\n",
        "    crafted = bool(named - {*offered.ordinary, *offered.single})\n",
        _T_ASKED + "test_a_crafted_group_is_refused",
    ),
    guard(
        "asked-group-of-three",
        "the group holds no kind that stands on its own alone",
        _ASKING,
        "        tuple(code for code in codes if code not in SENSITIVE),\n",
        "        tuple(codes),\n",
        _T_ASKING + "test_the_group_never_holds_what_goes_on_its_own_alone",
    ),
    guard(
        "asked-days",
        "no end is later than what was asked for, or 180 days",
        _ASKING,
        "    return days if 1 <= days <= most_days(asked) else None\n",
        "    return days\n",
        _T_ASKED + "test_an_end_beyond_180_days_is_refused",
    ),
    guard(
        "stop-not-known",
        "a stop that nobody answered is not shown as done",
        _SHARING,
        '        return _not_known(page, f"/list/{number}/stop")\n',
        '        return page.render("list_shown.html", of="list")\n',
        _T_LIST + "test_with_consent_down_nothing_is_said_to_be_done",
    ),
    guard(
        "stop-of-hidden",
        "a stop finds what she took off her pages since the page was made",
        _CONSENT + "portal_stops.py",
        "        ids = (portal_shown.grant_ids if destroy_now else portal_shown.all_grant_ids)(\n",
        "        ids = portal_shown.grant_ids(\n",
        _T_HIDDEN + "test_a_stop_finds_what_was_hidden_since_the_page_was_made",
    ),
    guard(
        "stop-of-hidden-shows-nothing",
        "the answer to such a stop shows nothing of what she hid",
        _CONSENT + "rpc_portal_changes.py",
        "            if marked.has(GRANT, row.grant_id):\n                return None\n",
        "",
        _T_HIDDEN + "test_a_stop_finds_what_was_hidden_since_the_page_was_made",
    ),
    guard(
        "no-again-is-no",
        "a No that got no answer is sent again as a No",
        _SHARING,
        'return _not_known(page, f"/list/{number}/right", reply="no")',
        'return _not_known(page, f"/list/{number}/stop")',
        _T_BEHIND + "test_a_no_that_got_no_answer_is_sent_again_as_a_no",
    ),
    guard(
        "undo-behind-back",
        "no undo whose PIN nobody looked at stands behind Back",
        _SHARING,
        'Route("/list/{n}/undo", post=undo, later="/list/{n}/undo"),',
        'Route("/list/{n}/undo", post=undo),',
        _T_BEHIND + "test_a_wait_is_told_on_a_page_that_is_no_form",
    ),
    guard(
        "show-behind-back",
        "nor a form that shows again what she hid",
        _SHARING,
        'Route("/list/all", get=all_shown, post=show_all, later="/list/all"),',
        'Route("/list/all", get=all_shown, post=show_all),',
        _T_BEHIND + "test_that_nobody_knows_is_told_on_a_page_that_is_no_form",
    ),
    guard(
        "wait-address",
        "an address that somebody sends her says no wait that cannot be",
        _SRC + "late.py",
        "    if found is None or int(found[0]) > MOST:\n",
        "    if found is None:\n",
        _T_BEHIND + "test_such_an_address_says_nothing_that_cannot_be",
    ),
    guard(
        "fault-told-elsewhere",
        "a fault that is told on another page is logged as one",
        "services/portal/src/safehand_portal_service/doors.py",
        "            request.scope[FAULT] = answer.status_code\n",
        "            pass\n",
        _T_BEHIND + "test_that_nobody_knows_is_told_on_a_page_that_is_no_form",
    ),
    guard(
        "looks-under-a-record",
        "what a worker wrote down is not called her yes",
        _CONSENT + "portal_sharing.py",
        "return RECORD if row.recorded_by is not None and row.confirm_by is not None else YES\n",
        "return YES\n",
        _T + "test_pages_seen.py::test_what_she_never_said_is_not_called_her_yes",
    ),
    guard(
        "looks-under-nothing",
        "nor what counts as if it never was",
        _CONSENT + "portal_sharing.py",
        "    if grant_state.INVALIDATED_CAUSE in (row.end_cause, grant_state.window_cause(row)):\n",
        "    if False:\n",
        _T + "test_pages_seen.py::test_what_she_never_said_is_not_called_her_yes",
    ),
    guard(
        "guardian-not-on",
        "what a guardian has yet to sign is not counted as on",
        _CONSENT + "portal_home.py",
        "if grant_state.is_live(row, now) and row.cosign_by is None]",
        "if grant_state.is_live(row, now)]",
        "tests/consent/portal/test_home.py::test_what_a_guardian_has_yet_to_sign_is_not_on",
    ),
    guard(
        "guardian-not-listed-as-on",
        "nor listed as on",
        _SHARING,
        "    on = [item for item in items if item.on and not item.guardian]\n",
        "    on = [item for item in items if item.on]\n",
        _T_TRUE + "test_no_page_says_that_somebody_may_see_what_a_guardian_has_yet_to_sign",
    ),
    guard(
        "stop-of-one-others",
        "behind a stop she is told what the same organisation may still open",
        _SHARING,
        "    others = _others_on(page, sharing)\n",
        "    others = False\n",
        _T_TRUE + "test_behind_a_stop_she_is_told_what_they_may_still_open",
    ),
    guard(
        "stop-of-one-guardian",
        "what waits for a guardian is not told as on",
        _SHARING,
        "        one.state == shown_sharing.ON and not one.waits_for_guardian\n",
        "        one.state == shown_sharing.ON\n",
        _T_TRUE + "test_what_waits_for_a_guardian_is_not_said_to_be_on",
    ),
    guard(
        "list-by-name",
        "all that one organisation may see stands below one heading",
        _SHARING,
        "        under.setdefault(item.name, []).append(item)\n",
        "        under.setdefault(item.name + item.number, []).append(item)\n",
        _T_TRUE + "test_each_organisation_has_one_heading_and_each_sharing_its_own_stop",
    ),
    guard(
        "stopped-all-true",
        "the page behind stop everything claims nothing while something is on",
        _SHARING,
        "        on=[item for item in items if item.on],\n"
        "        stopped=[item for item in items if item.stopped],\n",
        "        on=[],\n        stopped=[item for item in items if item.stopped],\n",
        _T_LIST + "test_the_result_of_stop_everything_never_claims_what_is_not",
    ),
    guard(
        "held-home",
        "no unreviewed word stands on the first page's stop everything",
        _SRC + "home.py",
        '    held = page.words.sensitive("list")\n',
        '    held = page.words.sensitive("home")\n',
        _T_HELD + "test_the_block_of_home_is_in_english_until_it_is_reviewed",
    ),
    guard(
        "held-pin",
        "no unreviewed word stands on the stop everything that comes before a new PIN",
        _SRC + "signin.py",
        '        held=page.words.sensitive("list"),\n',
        '        held=page.words.sensitive("signin"),\n',
        _T_HELD + "test_so_is_the_block_before_a_new_pin",
    ),
    guard(
        "held-failed-stop",
        "a stop that failed is not told in words that nobody has reviewed",
        _SRC + "errors.py",
        '    return "list" if page.path.startswith("/list") else "errors"\n',
        '    return "errors"\n',
        _T_HELD + "test_a_stop_that_failed_is_told_in_reviewed_words",
    ),
    guard(
        "home-late",
        "the first page says of no day that is over that it is to come",
        _SRC + "shown_steps.py",
        "    if view.late:\n        return (who,)\n",
        "",
        _T + "test_home_next.py::test_a_day_that_is_over_is_never_said_to_come",
    ),
)
