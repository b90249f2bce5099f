"""Guards of the ledger: one order, one head, nothing before its anchor."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Edit, Guard, guard

_SRC: Final = "libs/ledger/src/safehand_ledger/"
_WRITER: Final = _SRC + "writer.py"
_STARTUP: Final = _SRC + "startup.py"
_AUDIT: Final = _SRC + "audit.py"

_T_STARTUP: Final = "tests/ledger/test_startup.py::"
_T_WRITER: Final = "tests/ledger/test_writer.py::"
_T_LATER: Final = "tests/ledger/test_later.py::"
_T_CLOCK: Final = "tests/ledger/test_clock.py::"

START: Final[tuple[Guard, ...]] = (
    guard(
        "anchor-at-start",
        "an old copy of the database does not become the ledger",
        _STARTUP,
        "            anchored = check_anchor(connection, head, anchor_path, signer.verifier)\n",
        "            anchored = -1 if anchor.read(anchor_path, signer.verifier) is None else 0\n",
        _T_STARTUP + "test_an_old_copy_of_the_database_does_not_start",
    ),
    guard(
        "anchor-root-at-start",
        "a copy that went its own way does not become the ledger",
        _STARTUP,
        "    if root != seen.root:\n",
        "    if False:\n",
        _T_STARTUP + "test_an_old_copy_that_went_its_own_way_does_not_start",
    ),
    guard(
        "anchor-missing-at-start",
        "a volume that is not mounted is no reason to believe the database",
        _STARTUP,
        "        if head.size:\n            raise SafehandError(Reason.LEDGER_ROLLED_BACK,"
        ' "the anchor file is missing")\n',
        "",
        _T_STARTUP + "test_a_missing_anchor_is_not_an_answer",
    ),
    guard(
        "head-signature-at-start",
        "the writer continues only a head that its own key signed",
        _STARTUP,
        "        checkpoint = open_checkpoint(head.note, verifier)\n",
        "        checkpoint = Checkpoint(verifier.name, head.size, head.root)\n",
        _T_STARTUP + "test_tables_that_do_not_agree_with_the_head_do_not_start",
    ),
    guard(
        "right-edge-at-start",
        "the stored subtrees give the signed root",
        _STARTUP,
        '    _require(frontier.root() == head.root, "the right edge")\n',
        "",
        _T_STARTUP + "test_tables_that_do_not_agree_with_the_head_do_not_start",
    ),
    guard(
        "entry-count-at-start",
        "there are as many leaves as the head says",
        _STARTUP,
        '    _require((-1 if last is None else last) == head.size - 1, "the number of entries")\n',
        "    last = head.size - 1\n",
        _T_STARTUP + "test_tables_that_do_not_agree_with_the_head_do_not_start",
    ),
    guard(
        "append-only-triggers",
        "leaves and subtrees cannot be changed by mistake",
        "libs/store/src/safehand_store/guard.py",
        "    if problems(connection, table):\n",
        "    if False:\n",
        _T_STARTUP + "test_a_missing_trigger_does_not_start",
    ),
    guard(
        "one-writer",
        "two processes never write one ledger",
        _SRC + "election.py",
        "            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "            pass\n",
        _T_WRITER + "test_two_writers_of_one_ledger_cannot_run",
    ),
)

WRITE: Final[tuple[Guard, ...]] = (
    guard(
        "anchor-before-stops-answer",
        "a stop is answered only when its head is in the anchor",
        _WRITER,
        "        if not any(job.stop for job in done):\n",
        "        if True:\n",
        _T_WRITER + "test_a_stop_is_answered_only_after_the_anchor_holds_it",
    ),
    guard(
        "anchor-failure-is-said",
        "a stop that could not be anchored is not confirmed",
        _WRITER,
        "                if job.stop:\n"
        "                    job.error = SafehandError(Reason.UNAVAILABLE,"
        ' "the anchor is not written")\n'
        "                    job.error.__cause__ = error\n",
        "                pass\n",
        _T_WRITER + "test_a_stop_without_its_anchor_is_not_confirmed_but_holds",
    ),
    guard(
        "stop-first",
        "a stop goes before everything that waits",
        _WRITER,
        "        self._lanes.put(job, stop=stop)\n",
        "        self._lanes.put(job, stop=False)\n",
        _T_WRITER + "test_stops_go_before_everything_that_waits",
    ),
    guard(
        "stops-alone-after-start",
        "after a start stops are taken before everything else",
        _WRITER,
        "        if not stop and not housekeeping and (wait := self.starting_for()) > 0:\n",
        "        if (wait := self.starting_for()) < 0:\n",
        _T_WRITER + "test_a_start_takes_stops_and_housekeeping_alone_for_its_delay",
    ),
    guard(
        "put-off-rows-are-seen",
        "who reads in the writer's transaction sees what others put off",
        _SRC + "transaction.py",
        "        self.later.write(self.hot)\n",
        "",
        _T_LATER + "test_an_operation_sees_what_others_put_off_before_it",
    ),
    guard(
        "refusal-is-undone-alone",
        "what a refused operation changed is undone, and nothing of the others",
        _WRITER,
        "            elif len(batch) > 1 and not (\n",
        "            elif len(batch) < 0 and not (\n",
        _T_LATER + "test_a_refusal_that_changed_something_is_undone_alone",
    ),
    guard(
        "put-off-row-ends-nothing",
        "a row that the driver refuses is its operation's error, and no end of the process",
        _WRITER,
        "        except Exception:\n"
        "            # Whose row it is shows when each operation writes its own.\n",
        "        except database_errors():\n",
        _T_LATER + "test_a_row_that_no_database_takes_ends_nothing_but_its_operation",
    ),
    guard(
        "repeat-within-a-batch",
        "a repeat gets the first answer although that is not written yet",
        "libs/store/src/safehand_store/idempotency.py",
        "    put_off = None if later is None else later.find(_ROWS, caller, method, request_id)\n",
        "    put_off = None\n",
        _T_LATER + "test_a_repeat_within_one_transaction_gets_the_first_answer",
    ),
    guard(
        "head-compare-and-swap",
        "a head that somebody else moved is not written over",
        _SRC + "rows.py",
        "    if changed != 1:\n",
        "    if changed < 0:\n",
        "tests/ledger/test_faults.py::test_a_second_writer_that_moved_the_head_is_fatal",
    ),
    Guard(
        "commit-unknown-is-fatal",
        "after a commit of unknown outcome the writer signs nothing more",
        Edit(
            _WRITER,
            '            failpoints.hit("consent.writer.before_commit")\n',
            '            failpoints.hit("consent.writer.before_commit")\n'
            "            transaction.commit()\n",
        ),
        "tests/ledger/test_unknown_commit.py::test_after_it_nothing_more_is_taken",
        also=(
            Edit(
                _WRITER,
                "        transaction.commit()  # an error here is an unknown outcome:"
                " _run makes it fatal\n",
                "",
            ),
        ),
    ),
    guard(
        "one-refusal-touches-no-other",
        "an operation that is refused leaves no entry behind",
        _WRITER,
        "            del pending.entries[entries:]\n",
        "",
        _T_WRITER + "test_one_refusal_in_a_batch_touches_none_of_the_others",
    ),
    guard(
        "ledger-now-never-backwards",
        "a clock that is set back does not lengthen a consent",
        _SRC + "clockguard.py",
        "        self._now = max(self._now, int(expected) if self._suspect else wall)\n",
        "        self._now = int(expected) if self._suspect else wall\n",
        _T_CLOCK + "test_a_clock_set_back_stops_the_ledgers_time_and_never_turns_it",
    ),
    guard(
        "clock-leap",
        "a clock that leaps is not believed",
        _SRC + "clockguard.py",
        "        if wall > expected + MAX_LEAD_S:\n",
        "        if False:\n",
        _T_CLOCK + "test_a_leap_forward_makes_the_clock_suspect_and_moves_nothing",
    ),
    guard(
        "reserved-kinds",
        "no entry is made of a kind that is not built",
        _SRC + "transaction.py",
        "        if not kind.built:\n",
        "        if False:\n",
        _T_WRITER + "test_a_reserved_kind_cannot_be_appended",
    ),
    guard(
        "entry-time",
        "an entry carries the ledger's own time",
        _SRC + "transaction.py",
        "        if body_time(kind, body) != self.now:\n",
        "        if False:\n",
        _T_WRITER + "test_a_body_of_the_wrong_shape_or_time_changes_nothing",
    ),
)

CHECKS: Final[tuple[Guard, ...]] = (
    guard(
        "audit-sums",
        "a changed byte anywhere in an export is found",
        _AUDIT,
        "            elif hashlib.sha256(self._files[name]).hexdigest() != listed[name]:\n",
        "            elif False:\n",
        "tests/ledger/test_export_audit.py::test_any_changed_byte_of_any_file_fails",
    ),
    guard(
        "audit-proof",
        "every entry of an export is proven under its checkpoint",
        _AUDIT,
        "        proof.verify(leaf, verifier)\n",
        "",
        "tests/ledger/test_export_audit.py::test_any_changed_byte_fails_even_with_new_sums",
    ),
    guard(
        "audit-opening",
        "every opening of an export is of its leaf",
        _AUDIT,
        "                opening.require_match(leaf)\n",
        "",
        "tests/ledger/test_export_audit.py::test_any_changed_byte_fails_even_with_new_sums",
    ),
    guard(
        "audit-pinned-key",
        "an export of another ledger is not taken for ours",
        _AUDIT,
        "        if self._pinned is not None and verifier.vkey != self._pinned.vkey:\n",
        "        if False:\n",
        "tests/ledger/test_export_audit.py::test_another_pinned_key_fails",
    ),
)

GUARDS: Final[tuple[Guard, ...]] = (*START, *WRITE, *CHECKS)
