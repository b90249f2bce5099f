"""Guards of accounts on the bus, of database roles and of secrets in files."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Guard, guard

_BUS: Final = "libs/bus/src/safehand_bus/"
_STORE: Final = "libs/store/src/safehand_store/"
_T_RELAY: Final = "tests/bus/test_relay.py::"
_T_DEAD: Final = "tests/bus/test_dead_letters.py::"
_T_STORE: Final = "tests/store/test_postgres.py::"
_T_ROTATION: Final = "tests/rpc/test_rotation.py::"
_T_PAGE: Final = "tests/telemetry/test_page.py::"
_T_WATCHING: Final = "tests/telemetry/test_watching.py::"

GUARDS: Final[tuple[Guard, ...]] = (
    guard(
        "bus-disguised-message",
        "a message of the stream is one, whatever its headers say",
        _BUS + "pull.py",
        "    if message.reply.startswith(_ACKNOWLEDGED):\n",
        "    if False:\n",
        _T_DEAD + "test_a_message_that_looks_like_the_servers_own_is_set_aside",
    ),
    guard(
        "bus-foreign-message",
        "a foreign message holds up no event behind it",
        _BUS + "relay.py",
        '                return Place(*parsed, "" if back else text, state.last_seq)\n',
        "                return Place(*parsed, text, state.last_seq)\n",
        _T_RELAY + "test_a_foreign_message_is_stepped_over",
    ),
    guard(
        "dead-letter-driver",
        "trouble that the driver itself reports gives no event up",
        _BUS + "consumer.py",
        "    return isinstance(error, _SURROUNDINGS) or says_unavailable(error)\n",
        "    return isinstance(error, _SURROUNDINGS)\n",
        _T_DEAD + "test_trouble_of_the_surroundings_is_waited_out",
    ),
    guard(
        "database-network",
        "production sends nothing to a database in clear over a network",
        _STORE + "location.py",
        "        if profile == PRODUCTION and _is_remote(parameters) and not checked:\n",
        "        if False:\n",
        _T_STORE + "test_production_sends_nothing_in_clear_over_a_network",
    ),
    guard(
        "database-role-member",
        "a service's role can become no mightier one",
        _STORE + "roles.py",
        "        WHERE pg_has_role(session_user, r.oid, 'MEMBER')\n",
        "        WHERE r.rolname = session_user\n",
        _T_STORE + "test_a_services_role_with_more_rights_does_not_start",
    ),
    guard(
        "secret-file-mode",
        "a mounted secret is no file that everyone may read",
        "libs/core/src/safehand_core/keystore.py",
        "    if path.stat().st_mode & 0o027:\n",
        "    if False:\n",
        _T_STORE + "test_a_password_file_open_to_others_is_refused",
    ),
    guard(
        "certificate-ended",
        "an ended certificate replaces none that works",
        "libs/rpc/src/safehand_rpc/tls.py",
        "                _require_valid(fresh)\n",
        "                pass\n",
        _T_ROTATION + "test_a_certificate_that_has_ended_replaces_none",
    ),
    guard(
        "metrics-page-last-good",
        "the page is served while its files do not fit together",
        "libs/rpc/src/safehand_rpc/observe.py",
        "            if not last:\n",
        "            if True:\n",
        _T_PAGE + "test_a_renewed_certificate_needs_no_restart",
    ),
    guard(
        "first-failure-counted",
        "the first failure of a stop is seen by who watches a rate",
        "libs/rpc/src/safehand_rpc/registry.py",
        "    metrics.rpc_served(rules.allowed)\n",
        "    pass\n",
        _T_WATCHING + "test_every_way_to_stop_is_watched_from_its_first_failure",
    ),
)
