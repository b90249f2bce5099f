"""Guards of the bus: rights, TLS, dead letters, replay."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Guard, guard

_BUS: Final = "libs/bus/src/safehand_bus/"
_T_TLS: Final = "tests/bus/test_tls.py::"
_T_SERVER: Final = "tests/bus/test_server.py::"
_T_DEAD: Final = "tests/bus/test_dead_letters.py::"
_T_REPLAY: Final = "tests/bus/test_replay.py::"

GUARDS: Final[tuple[Guard, ...]] = (
    guard(
        "bus-server-name",
        "a service's certificate does not make it the bus",
        _BUS + "connection.py",
        '        "tls_hostname": link.tls.server_name,\n',
        '        "tls_hostname": "localhost",\n',
        _T_TLS + "test_a_renewed_server_certificate_is_used_after_a_hangup",
    ),
    guard(
        "bus-client-certificate",
        "who has no certificate of ours cannot speak to the bus",
        _BUS + "server.py",
        '                "verify": True,\n',
        '                "verify": False,\n',
        _T_TLS + "test_a_client_without_a_certificate_of_ours_is_refused",
    ),
    guard(
        "bus-plain-text",
        "production sends nothing in plain text over a network",
        _BUS + "link.py",
        '        if parts.scheme != TLS_SCHEME and not is_loopback(parts.hostname or ""):\n',
        "        if False:\n",
        _T_TLS + "test_production_sends_nothing_in_plain_text_over_a_network",
    ),
    guard(
        "bus-nkey",
        "production signs in with a key",
        _BUS + "link.py",
        "        if seed_file is None:\n",
        "        if False:\n",
        _T_TLS + "test_production_signs_in_with_a_key",
    ),
    guard(
        "bus-provisioner-rights",
        "who makes streams cannot read or delete them",
        _BUS + "topology.py",
        "        return [subject for stream in STREAMS for subject in _may_provision(stream)]\n",
        '        return ["$JS.API.>"]\n',
        _T_SERVER + "test_nobody_may_publish_beyond_their_own",
    ),
    guard(
        "dead-letter-bounded",
        "a broken event does not hold up a stop behind it",
        _BUS + "consumer.py",
        "        if attempts < self._max_attempts:\n",
        "        if True:\n",
        _T_DEAD + "test_a_burst_of_poison_does_not_stop_a_stop",
    ),
    guard(
        "dead-letter-surroundings",
        "trouble of the surroundings gives no event up",
        _BUS + "consumer.py",
        "            if of_the_surroundings(error):\n",
        "            if False:\n",
        _T_DEAD + "test_trouble_of_the_surroundings_is_waited_out",
    ),
    guard(
        "dead-letter-once",
        "a dead letter is applied once, however often it is replayed",
        _BUS + "letters.py",
        "            if letter is None or letter.state != dead_letter.OPEN:\n",
        "            if letter is None:\n",
        _T_DEAD + "test_a_replay_applies_once",
    ),
    guard(
        "replay-request",
        "a repeated request begins no second replay",
        "libs/store/src/safehand_store/outbox.py",
        "    if found is not None:\n        return int(found)\n",
        "    if False:\n        return 0\n",
        _T_REPLAY + "test_replays_follow_each_other_and_a_repeated_request_is_none",
    ),
    guard(
        "bus-tail-look",
        "what the bus lost behind its last message is asked for",
        _BUS + "pull.py",
        "            elif batch and quiet is not None:\n",
        "            elif False:\n",
        _T_REPLAY + "test_the_last_events_are_fetched_though_no_message_comes",
    ),
    guard(
        "bus-tail-again",
        "a quiet bus does not keep a reader from asking again",
        _BUS + "consumer.py",
        "            if not (events := asked.result()):\n"
        "                self._look_at = clock() + self._look_every_s\n",
        "            if not (events := asked.result()):\n"
        '                self._look_at = float("inf")\n',
        _T_REPLAY + "test_what_is_lost_while_a_reader_listens_is_fetched_in_the_next_silence",
    ),
    guard(
        "bus-tail-session",
        "each session asks the source, however lately the one before did",
        _BUS + "consumer.py",
        "            self._look_at = 0.0\n            try:\n",
        "            try:\n",
        _T_REPLAY + "test_each_session_begins_with_a_look",
    ),
    guard(
        "bus-tail-hanging",
        "a source that hangs does not hold up a stop that the bus brings",
        _BUS + "consumer.py",
        "            await asyncio.wait({self._asked}, timeout=ANSWER_S)\n",
        "            await asyncio.wait({self._asked})\n",
        _T_REPLAY + "test_a_source_that_hangs_holds_up_nothing_that_the_bus_brings",
    ),
    guard(
        "bus-sync",
        "what was acknowledged is on the disk",
        _BUS + "server.py",
        '                "sync_interval": "always",\n',
        '                "sync_interval": "2m",\n',
        _T_REPLAY + "test_what_was_acknowledged_survives_a_sigkill",
    ),
    guard(
        "sqlite-locks-kept",
        "opening a database again does not drop the locks that hold its log",
        "libs/store/src/safehand_store/sqlite.py",
        "    if path.is_file() and os.access(path, os.R_OK | os.W_OK):\n",
        "    if False:\n",
        "tests/store/test_second_engine.py::test_nothing_is_lost_between_engines_and_processes",
    ),
)
