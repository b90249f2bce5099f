"""Guards that the model of a consent's life must miss, in the lives that it always lives.

Most of them have a test of their own besides: here it is the model that is tried.
"""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Guard, guard

_SRC: Final = "services/consent/src/safehand_consent_service/"
_WEAK: Final = _SRC + "weak_stops.py"
_STATE: Final = _SRC + "grant_state.py"
_WRITER: Final = "libs/ledger/src/safehand_ledger/writer.py"
_LIVES: Final = "tests/model/test_known_lives.py::"

GUARDS: Final[tuple[Guard, ...]] = (
    guard(
        "model-repeated-wish",
        "the last wish of a day is answered again, not refused as one too many",
        _WEAK,
        "        answered = earlier(connection, wish.request) is not None\n",
        "        answered = False\n",
        _LIVES + "test_the_last_wish_of_a_day_is_repeated",
    ),
    guard(
        "model-weak-window",
        "a weak stop can be undone for 72 hours, to the second",
        _WEAK,
        "WINDOW_S: Final = 72 * 3600\n",
        "WINDOW_S: Final = 72 * 3600 - 1\n",
        _LIVES + "test_a_weak_stop_can_be_undone_until_its_last_second_and_not_in_the_next",
    ),
    guard(
        "model-second-wish",
        "a second wish moves no deadline",
        _WEAK,
        "    if not grant_state.is_live(row, txn.now):\n        return None\n",
        "",
        _LIVES + "test_a_weak_stop_can_be_undone_until_its_last_second_and_not_in_the_next",
    ),
    guard(
        "model-resume-window",
        "nothing is resumed once its window is over",
        _SRC + "stops.py",
        "    if txn.now >= row.final_at:\n        raise SafehandError(Reason.WINDOW_CLOSED)\n",
        "",
        _LIVES + "test_her_own_stop_takes_the_place_of_a_weak_one",
    ),
    guard(
        "model-staff-resume",
        "staff undo a weak stop and never her own",
        _SRC + "stop_leaves.py",
        "    return inside and row.stop_by != SELF and not grant_state.is_over(row, now)\n",
        "    return inside and not grant_state.is_over(row, now)\n",
        _LIVES + "test_her_own_stop_takes_the_place_of_a_weak_one",
    ),
    guard(
        "model-lapse",
        "what nobody confirms is over after 14 days",
        _STATE,
        "    return min(at for at in (row.expires_at, row.confirm_by, row.cosign_by)"
        " if at is not None)\n",
        "    return min(at for at in (row.expires_at, row.cosign_by) if at is not None)\n",
        _LIVES + "test_what_nobody_confirms_lapses_to_the_second",
    ),
    guard(
        "model-sensitive",
        "a sensitive kind that was recorded waits for a second person",
        _STATE,
        "    if row.confirm_by is not None and not row.seconded and not"
        " SENSITIVE.isdisjoint(wanted):\n",
        "    if False:\n",
        _LIVES + "test_a_sensitive_kind_waits_for_a_second_person",
    ),
    guard(
        "model-confirm-due",
        "what is due to end is confirmed by nobody, swept or not",
        _SRC + "confirm.py",
        "    if grant_state.is_over(row, txn.now) or grant_state.due_end(row, txn.now)"
        " is not None:\n",
        "    if grant_state.is_over(row, txn.now):\n",
        _LIVES + "test_what_a_weak_stop_ended_is_confirmed_by_nobody",
    ),
    guard(
        "model-narrow-keys",
        "the keys of what she took out are deleted with it",
        _SRC + "narrow.py",
        "    context.keks.delete_some(txn.connection, row.grant_id, removed)\n",
        "",
        _LIVES + "test_what_was_taken_out_opens_no_more_and_its_key_is_gone",
    ),
    guard(
        "fatal-ends",
        "a dead writer ends its process also where nobody can be told",
        _WRITER,
        "    finally:\n        # Also where nobody can be told",
        "    except ValueError:\n        # Also where nobody can be told",
        "tests/ledger/test_faults.py::"
        "test_a_fatal_writer_ends_its_process_also_where_its_log_cannot_be_written",
    ),
    guard(
        "full-disk-again",
        "a statement that meets a full disk is told as something to try again",
        _WRITER,
        "            with usable():  # a statement of it may have met a full disk\n"
        "                raise job.error\n",
        "            raise job.error\n",
        "tests/ledger/test_election.py::"
        "test_an_operation_that_meets_a_full_disk_says_that_it_may_be_tried_again",
    ),
)
