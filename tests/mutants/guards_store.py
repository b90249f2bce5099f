"""Guards of PostgreSQL: whose rights, one writer, nothing that a failover could lose."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Guard, guard

_STORE: Final = "libs/store/src/safehand_store/"
_ELECTION: Final = "libs/ledger/src/safehand_ledger/election.py"
_WRITER: Final = "libs/ledger/src/safehand_ledger/writer.py"
_T_STORE: Final = "tests/store/test_postgres.py::"
_T_ELECTION: Final = "tests/ledger/test_election.py::"
_T_STANDBY: Final = "tests/fault/test_standby.py::"

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
        "        if self._election.takeover_s and held >= HOLD_S:\n",
        "        if False:\n",
        _T_ELECTION + "test_what_a_commit_released_leaves_in_time_or_not_at_all",
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
        "postgres-cancelled-wait",
        "a commit that did not wait for its standby is not answered",
        _WRITER,
        "        self._election.committed()\n",
        "",
        _T_STANDBY + "test_a_commit_that_an_operator_told_not_to_wait_is_not_answered",
    ),
)
