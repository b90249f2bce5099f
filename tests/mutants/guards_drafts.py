"""What she chose in a question and did not answer: hers, for a day, and never on by itself."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Guard, guard

_SRC: Final = "services/consent/src/safehand_consent_service/"
_DRAFTS: Final = _SRC + "drafts.py"
_BOX: Final = _SRC + "draft_box.py"
_QUESTIONS: Final = _SRC + "questions.py"
_PAGE: Final = "services/portal/src/safehand_portal_service/pages/drafts.py"
_T: Final = "tests/consent/portal/test_drafts.py::"
_T_PAGE: Final = "tests/portal/test_drafts.py::"

GUARDS: Final[tuple[Guard, ...]] = (
    guard(
        "draft-ends",
        "what she chose is not read after its day, swept or not",
        _DRAFTS,
        """        _T.ask_id == bindparam("wanted"), _T.ends_at > bindparam("now")\n""",
        """        _T.ask_id == bindparam("wanted")\n""",
        _T + "test_a_day_later_it_is_gone_swept_or_not",
    ),
    guard(
        "draft-swept",
        "what is not read any more is deleted",
        _SRC + "sweeper.py",
        "    drafts.prune(txn.connection, txn.now)",
        "    pass",
        _T + "test_a_day_later_it_is_gone_swept_or_not",
    ),
    guard(
        "draft-key",
        "an old copy of the database opens nothing once its day is over",
        _SRC + "sweeper.py",
        "        context.drafts.destroy_keys(context.now)\n",
        "",
        _T + "test_the_key_of_a_day_that_is_over_is_destroyed",
    ),
    guard(
        "draft-key-day",
        "a key is there as long as something under it is good",
        _BOX,
        "(int(name.removeprefix(KEY)) + 1) * DAY_S <= now",
        "int(name.removeprefix(KEY)) * DAY_S <= now + DAY_S",
        _T + "test_the_key_of_a_day_that_is_over_is_destroyed",
    ),
    guard(
        "draft-sealed-to",
        "a row is good for her, its question and its end alone",
        _BOX,
        '    return b"safehand/v1/draft\\x00" + owner + ends_at.to_bytes(8, "big")\n',
        '    return b"safehand/v1/draft\\x00" + owner\n',
        _T + "test_a_row_that_is_not_as_it_was_is_no_draft",
    ),
    guard(
        "draft-sealed-for",
        "what one chose is not shown to another",
        _BOX,
        "    owner = lp(subject_id.encode()) + lp(ask_id.encode())\n",
        '    owner = b""\n',
        _T + "test_a_row_that_is_not_as_it_was_is_no_draft",
    ),
    guard(
        "draft-unreadable",
        "what cannot be opened does not keep her from the question",
        _BOX,
        "        except (SafehandError, InvalidTag):\n",
        "        except InvalidTag:\n",
        _T + "test_without_its_key_it_is_no_draft_and_the_question_is_there",
    ),
    guard(
        "draft-yes",
        "her yes deletes what was kept",
        _QUESTIONS,
        "grant=grant.grant_id, now=txn.now)\n        drafts.drop(txn.hot, row.ask_id)\n",
        "grant=grant.grant_id, now=txn.now)\n",
        _T + "test_an_answer_for_good_deletes_it",
    ),
    guard(
        "draft-no",
        "her no deletes what was kept",
        _QUESTIONS,
        "index=index, now=txn.now)\n        drafts.drop(txn.hot, row.ask_id)\n",
        "index=index, now=txn.now)\n",
        _T + "test_an_answer_for_good_deletes_it",
    ),
    guard(
        "draft-answered",
        "nothing is kept of a question that is answered, or over",
        _DRAFTS,
        "        if found is None or not ask_row.is_open(found, txn.now):\n",
        "        if found is None:\n",
        _T + "test_an_answer_for_good_deletes_it",
    ),
    guard(
        "draft-open",
        "nothing is shown of a question that is answered, or over",
        _DRAFTS,
        "    if not ask_row.is_open(row, context.now):\n        return None\n",
        "",
        _T + "test_a_row_that_outlives_its_question_is_not_shown",
    ),
    guard(
        "draft-with-question",
        "it ends with its question",
        _DRAFTS,
        "    ends_at = min(now + KEPT_S, row.ends_at)\n",
        "    ends_at = now + KEPT_S\n",
        _T + "test_it_ends_with_its_question",
    ),
    guard(
        "draft-scope",
        "nothing is kept that could be no choice of hers",
        _DRAFTS,
        "    if not set(categories) <= set(ask_row.categories(row)):\n",
        "    if False:\n",
        _T + "test_what_could_be_no_choice_of_hers_is_not_kept",
    ),
    guard(
        "draft-hidden",
        "what she hid is neither changed nor found by its number",
        _SRC + "rpc_portal_drafts.py",
        "            shown = portal_shown.asks(connection, seat.subject_id, marked)\n",
        "            shown = portal_shown.all_asks(connection, seat.subject_id)\n",
        _T + "test_of_a_hidden_question_nothing_is_there",
    ),
    guard(
        "draft-never-on",
        "what she chose before is offered, and not on by itself",
        "services/portal/src/safehand_portal_service/pages/asked.py",
        "    before = drafts.offered(found, choices)\n",
        "    before = drafts.offered(found, choices)\n"
        "    choices = drafts.used(before, asked, choices) if before else choices\n",
        _T_PAGE + "test_what_she_chose_is_offered_and_every_switch_is_off",
    ),
    guard(
        "draft-words",
        "what she chose under other words is no choice under these",
        _PAGE,
        '    if not found.HasField("draft") or found.draft.notice_sha256 != choices.notice:\n',
        '    if not found.HasField("draft"):\n',
        _T_PAGE + "test_to_other_words_it_is_no_choice",
    ),
    guard(
        "draft-nothing-chosen",
        "going on with nothing turned on is a choice too",
        _PAGE,
        '        elif found.HasField("draft"):\n',
        "        elif False:\n",
        _T_PAGE + "test_a_new_choice_takes_its_place_and_nothing_is_one_too",
    ),
    guard(
        "draft-not-kept",
        "she goes on where nothing can be kept",
        _PAGE,
        "    except (Down, NotFound, Refused, Throttled):\n",
        "    except (NotFound, Refused, Throttled):\n",
        _T_PAGE + "test_a_full_disk_does_not_keep_her_from_going_on",
    ),
)
