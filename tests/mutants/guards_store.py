"""Guards of PostgreSQL: whose rights, one writer, nothing that a failover could lose."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Guard, guard

_STORE: Final = "libs/store/src/safehand_store/"
_ELECTION: Final = "libs/ledger/src/safehand_ledger/election.py"
_WRITER: Final = "libs/ledger/src/safehand_ledger/writer.py"
_WATCH: Final = "libs/ledger/src/safehand_ledger/watch.py"
_POSTGRES: Final = "libs/store/src/safehand_store/postgres.py"
_RELEASE: Final = "services/consent/src/safehand_consent_service/release.py"
_LEAVING: Final = "services/consent/src/safehand_consent_service/leaving.py"
_T_STORE: Final = "tests/store/test_postgres.py::"
_T_ELECTION: Final = "tests/ledger/test_election.py::"
_T_STANDBY: Final = "tests/fault/test_standby.py::"
_T_WATCH: Final = "tests/ledger/test_watch.py::"
_T_LEAVING: Final = "tests/consent/release/test_leaving.py::"

GUARDS: Final[tuple[Guard, ...]] = (
    guard(
        "postgres-role",
        "a service whose role may change what only grows does not start",
        _STORE + "guard.py",
        "    if row.owns or row.super or row.changes:\n",
        "    if False:\n",
        _T_STORE + "test_a_services_role_with_more_rights_does_not_start",
    ),
    guard(
        "postgres-grants",
        "the service's role may only read and insert where a table only grows",
        _STORE + "roles.py",
        "        if not guard.is_append_only(table):\n",
        "        if True:\n",
        _T_STORE + "test_it_grows",
    ),
    guard(
        "postgres-triggers-always",
        "a session that plays a replica fires the triggers too",
        _STORE + "guard.py",
        "    enable = f'ALTER TABLE \"{table}\" ENABLE ALWAYS TRIGGER'\n",
        "    enable = f'ALTER TABLE \"{table}\" ENABLE TRIGGER'\n",
        _T_STORE + "test_it_grows",
    ),
    guard(
        "postgres-durable",
        "a service does not start where a commit may be lost",
        _STORE + "postgres.py",
        '    if not durable or shown("synchronous_commit") not in _WAITED_FOR_STANDBY:\n',
        "    if False:\n",
        _T_STORE + "test_commits_that_wait_for_nothing_are_refused",
    ),
    guard(
        "postgres-aborted-commit",
        "a transaction that the server has given up does not look committed",
        _STORE + "postgres.py",
        '    event.listen(engine, "commit", _refuse_aborted)\n',
        "",
        _T_STORE + "test_a_transaction_that_went_on_after_an_error_does_not_look_committed",
    ),
    guard(
        "postgres-password",
        "no password lies in a URL",
        _STORE + "location.py",
        "    if _SECRET & given.keys():\n",
        "    if False:\n",
        _T_STORE + "test_a_url_with_a_password_or_of_another_kind_is_refused",
    ),
    guard(
        "postgres-one-write-transaction",
        "what was read before a write still holds when it is written",
        _STORE + "postgres.py",
        "    f\"SELECT pg_advisory_xact_lock({key_of('write transactions')})\"\n",
        '    "SELECT 1"\n',
        _T_STORE + "test_write_transactions_are_one_after_the_other",
    ),
    guard(
        "postgres-election",
        "a ledger has one writer",
        _ELECTION,
        "        return bool(got.scalar_one())\n",
        "        return got.scalar_one() in (True, False)\n",
        _T_ELECTION + "test_a_second_process_is_not_elected_until_the_first_is_gone",
    ),
    guard(
        "postgres-fatal-loss",
        "a writer that lost its lock does not go on with another session",
        _ELECTION,
        "    def recover(self) -> None:\n        raise LostError\n",
        "    def recover(self) -> None:\n"
        "        self.connection = for_writing(self._engine.connect())\n",
        _T_ELECTION + "test_a_session_that_ends_in_a_transaction_is_fatal_and_commits_nothing",
    ),
    guard(
        "postgres-takeover-wait",
        "a stop is not answered while a release of the writer before may be on its way out",
        _WRITER,
        "        if stop and self._takeover_s:\n",
        "        if False:\n",
        _T_ELECTION + "test_the_first_stop_waits_until_no_release_of_the_one_before_is_on_its_way",
    ),
    guard(
        "postgres-late-release",
        "what was released leaves before another writer answers a stop, or not at all",
        _WRITER,
        "        if until is not None and self._monotonic() >= until:\n",
        "        if False:\n",
        _T_ELECTION + "test_what_a_commit_released_leaves_in_time_or_not_at_all",
    ),
    guard(
        "postgres-cancelled-release",
        "a release that its recipient does not read is cancelled before another writer answers",
        _LEAVING,
        "            for passage in late:\n                self._cancel(passage)\n",
        "",
        _T_LEAVING + "test_a_recipient_that_does_not_read_gets_nothing_after_its_time",
    ),
    guard(
        "postgres-leaves-by",
        "every release has a time by which it must be out",
        _RELEASE,
        "    until = context.writer.leaves_by(done)\n",
        "    until = None\n",
        _T_LEAVING + "test_a_recipient_that_does_not_read_gets_nothing_after_its_time",
    ),
    guard(
        "postgres-lost-session",
        "a session that an operation finds lost is not replaced by one without the lock",
        _WRITER,
        "        if lost(self._connection):\n"
        "            self._election.recover()\n"
        "        return self._connection.begin()\n",
        "        return self._connection.begin()\n",
        _T_ELECTION + "test_a_session_that_an_operation_finds_lost_is_not_replaced",
    ),
    guard(
        "postgres-busy-check",
        "a writer without a pause asks as often whether its standby is synchronous",
        _WRITER,
        "        if every is not None and (idle or now - self._checked_at >= every):\n",
        "        if every is not None and idle:\n",
        _T_ELECTION + "test_a_writer_without_a_pause_is_checked_as_often_as_an_idle_one",
    ),
    guard(
        "postgres-anchor-anew",
        "a writer that wakes up late does not put the anchor back",
        "libs/ledger/src/safehand_ledger/startup.py",
        "            if anchored < 0 or is_postgres(engine):\n",
        "            if anchored < 0:\n",
        _T_ELECTION + "test_a_writer_that_wakes_up_late_does_not_put_the_anchor_back",
    ),
    guard(
        "anchor-another-file",
        "a head in a file that nobody will read is not called anchored",
        "libs/ledger/src/safehand_ledger/anchor.py",
        "            if _identity(self._path.stat()) != self._file:\n",
        "            if False:\n",
        "tests/ledger/test_startup.py::"
        "test_an_anchor_that_is_another_file_now_holds_nothing[replaced]",
    ),
    guard(
        "postgres-frozen",
        "a frozen writer loses its lock",
        _ELECTION,
        "                driver(connection).execute(self._postgres.end_when_idle(FROZEN_MS))\n",
        "",
        _T_ELECTION + "test_a_writer_that_is_frozen_loses_its_session",
    ),
    guard(
        "postgres-silence",
        "a writer whose way to the server is dark ends its process",
        _WATCH,
        "        if silent >= SILENT_S:\n",
        "        if False:\n",
        _T_WATCH + "test_silence_on_both_ways_ends_it",
    ),
    guard(
        "postgres-watch-held",
        "a commit that waits for its standby is let wait",
        _WATCH,
        "                self._sign_of_life = begun\n",
        "                pass\n",
        _T_WATCH + "test_a_commit_that_waits_for_a_standby_may_wait_for_ever",
    ),
    guard(
        "postgres-service-standby",
        "referral and notify write nothing that no standby has",
        _POSTGRES,
        "            require_standby_names(*answered.fetchone())  # type: ignore[misc]\n",
        "            pass\n",
        _T_STORE + "test_what_requires_a_standby_writes_nothing_without_and_reads_on",
    ),
    guard(
        "migration-triggers",
        "a migration that drops append-only triggers changes nothing",
        "libs/store/src/safehand_store/migrate.py",
        "            guard.require_triggers(connection, metadata)\n",
        "            pass\n",
        "tests/store/test_migrations.py::"
        "test_a_migration_that_drops_the_triggers_is_refused_and_changes_nothing",
    ),
    guard(
        "postgres-service-standby-start",
        "a service that requires a standby does not start without",
        "libs/store/src/safehand_store/migrate.py",
        "            require_standby(engine)\n",
        "            pass\n",
        _T_STORE + "test_a_service_that_requires_a_standby_does_not_start_without",
    ),
    guard(
        "postgres-service-cancelled-wait",
        "what a standby may not have is not answered as done",
        "libs/store/src/safehand_store/engine.py",
        "            _postgres().require_replicated(connection)\n",
        "            pass\n",
        _T_STANDBY + "test_a_service_without_a_ledger_writes_only_what_its_standby_has",
    ),
    guard(
        "postgres-require-standby",
        "an asynchronous standby is refused",
        _ELECTION,
        "                    self._postgres.require_standby(connection)\n",
        "                    pass\n",
        _T_STANDBY + "test_an_asynchronous_standby_is_refused_where_one_is_required",
    ),
    guard(
        "postgres-await-standby",
        "consent waits a while for a standby before it gives up",
        "services/consent/src/safehand_consent_service/standby.py",
        "            if error.reason not in _LATER or monotonic() >= until:\n",
        "            if error:\n",
        _T_STANDBY + "test_a_process_that_starts_before_its_standby_waits_for_it",
    ),
    guard(
        "postgres-cancelled-wait",
        "a commit that did not wait for its standby is not answered",
        _WRITER,
        "        self._election.committed()\n",
        "",
        _T_STANDBY + "test_a_commit_that_an_operator_told_not_to_wait_is_not_answered",
    ),
)
