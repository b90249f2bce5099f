"""Guards of the consent service around her, her keys, and who may call at all."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Guard, guard

_SRC: Final = "services/consent/src/safehand_consent_service/"
_STATE: Final = _SRC + "grant_state.py"
_GRANTS: Final = _SRC + "grants.py"
_KEYS: Final = _SRC + "category_keys.py"
_ROLL: Final = _SRC + "kek_roll.py"
_T_KEYS: Final = "tests/consent/release/test_category_keys.py::"
_T_STOPS: Final = "tests/consent/test_stops.py::"
_T_GRANTS: Final = "tests/consent/test_grants.py::"
_T_SESSIONS: Final = "tests/consent/test_sessions.py::"
_T_TIME: Final = "tests/consent/test_time.py::"

HER: Final[tuple[Guard, ...]] = (
    guard(
        "session-for-grant",
        "without her session there is no grant",
        _GRANTS,
        "        subject_id = sessions.require(txn.hot, message.session, txn.now)\n",
        '        every = "SELECT subject_id FROM subject"\n'
        "        subject_id = txn.connection.exec_driver_sql(every).scalar_one()\n",
        _T_GRANTS + "test_without_her_session_there_is_no_grant",
    ),
    guard(
        "session-end",
        "her session ends to the second",
        _SRC + "sessions.py",
        '    session_table.c.expires_at > bindparam("now"),\n',
        '    session_table.c.expires_at > bindparam("now") - 86400,\n',
        _T_SESSIONS + "test_a_session_ends_to_the_second_and_these_calls_do_not_extend_it",
    ),
    guard(
        "pin",
        "a card without its PIN signs nobody in",
        _SRC + "pins.py",
        "            raise found\n"
        "        if not self._cards.pin_matches(found.pin_hash if found else None, pin)"
        " or found is None:\n",
        "            raise found\n        if found is None:\n",
        _T_SESSIONS + "test_a_wrong_card_and_a_wrong_pin_get_the_same_bytes",
    ),
    guard(
        "session-hashed",
        "a copy of the database holds no session that could be used",
        _SRC + "sessions.py",
        "    return hashlib.sha256(secret).digest()\n",
        "    return secret\n",
        _T_SESSIONS + "test_a_session_is_not_in_the_database",
    ),
    guard(
        "card-pepper",
        "a copy of the database alone does not tell whose card is in it",
        _SRC + "cards.py",
        '        return hmac.digest(self._card_pepper, card_number.encode("ascii"), "sha256")\n',
        '        return hmac.digest(b"", card_number.encode("ascii"), "sha256")\n',
        "tests/consent/test_subjects.py::test_without_the_peppers_the_same_card_is_another_subject",
    ),
    guard(
        "same-work",
        "a wrong card cannot be told from a wrong PIN by the time it takes",
        _SRC + "cards.py",
        "        try:\n            self._hasher.verify(pin_hash or self._dummy_hash,",
        "        if pin_hash is None:\n            return False\n"
        "        try:\n            self._hasher.verify(pin_hash,",
        _T_SESSIONS + "test_a_wrong_card_and_a_wrong_pin_take_the_same_work",
    ),
    guard(
        "throttle",
        "a PIN cannot be guessed by trying",
        _SRC + "throttle.py",
        "    left = TRIES - tries\n",
        "    left = TRIES\n",
        _T_SESSIONS + "test_five_tries_then_one_more_every_three_minutes",
    ),
    guard(
        "her-grant",
        "somebody else's grant is not there",
        _STATE,
        "    if row is None or row.subject_id != subject_id:\n",
        "    if row is None:\n",
        _T_STOPS + "test_somebody_elses_grant_is_not_there",
    ),
    guard(
        "protocol-covers-at-grant",
        "she cannot be asked for what the agencies did not agree",
        _GRANTS,
        "        [category for category in terms.all_categories() if category != CARD],\n",
        "        [],\n",
        _T_GRANTS + "test_the_protocol_must_cover_purpose_and_categories",
    ),
    guard(
        "longest-term",
        "a consent runs for 180 days at most",
        _GRANTS,
        "        if not now < expires_at <= now + MAX_TERM_S:\n",
        "        if False:\n",
        _T_GRANTS + "test_the_longest_term_is_180_days_to_the_second",
    ),
)

KEYS: Final[tuple[Guard, ...]] = (
    guard(
        "kek-unlinked",
        "after a roll the old KEK is no file any more",
        _KEYS,
        "            self._path(epoch).unlink(missing_ok=True)\n",
        "",
        _T_KEYS + "test_a_roll_rewraps_every_live_key_and_destroys_the_old_kek",
    ),
    guard(
        "kek-forgotten",
        "after a roll the old KEK is in no memory of the service either",
        _KEYS,
        "                self._keks.pop(epoch, None)\n",
        "                pass\n",
        _T_KEYS + "test_the_old_kek_is_forgotten_in_memory_too",
    ),
    guard(
        "kek-rewrap",
        "a roll wraps every live key again under the new KEK",
        _KEYS,
        "                .limit(most)\n",
        "                .limit(0)\n",
        _T_KEYS + "test_a_roll_rewraps_every_live_key_and_destroys_the_old_kek",
    ),
    guard(
        "kek-roll-finished-at-start",
        "a start finishes the roll that a crash left open",
        _ROLL,
        "    if not ring.unfinished():\n",
        "    if True:\n",
        _T_KEYS + "test_a_start_finishes_a_roll_that_a_crash_left_open",
    ),
    guard(
        "category-key-epoch",
        "a wrapped key of one epoch, grant or category is none of another",
        "libs/formats/src/safehand_formats/wraps.py",
        '        + epoch.to_bytes(8, "big")\n',
        "",
        "tests/formats/test_sealing.py::test_a_category_key_at_rest_opens_only_in_its_own_row",
    ),
    guard(
        "keys-deleted-on-final",
        "a final stop and an expiry delete the grant's keys",
        _STATE,
        "    keks.delete_keys(txn.connection, row.grant_id)\n",
        "",
        _T_TIME + "test_a_grant_expires_at_its_very_second_and_its_keys_go",
    ),
)

POLICY: Final[tuple[Guard, ...]] = (
    guard(
        "policy-row-consent",
        "nobody but an agency may even ask for a key",
        _SRC + "policy.py",
        '    _CONSENT + "ReleaseKey": _AGENCY,\n',
        '    _CONSENT + "ReleaseKey": _AGENCY | _OPERATOR,\n',
        "tests/consent/test_policy.py::test_the_table_is_the_one_written_here",
    ),
    guard(
        "policy-row-referral",
        "nobody but an agency may ask for a referral",
        "services/referral/src/safehand_referral_service/policy.py",
        '    _REFERRAL + "GetReferral": _AGENCY,\n',
        '    _REFERRAL + "GetReferral": _SEEKERS,\n',
        "tests/referral/test_policy.py::test_every_method_for_every_role",
    ),
    guard(
        "policy-row-notify",
        "nobody but an agency may follow deliveries",
        "services/notify/src/safehand_notify_service/policy.py",
        '    _NOTIFY + "Follow": _AGENCY,\n',
        '    _NOTIFY + "Follow": _AGENCY | {"oversight"},\n',
        "tests/notify/test_policy.py::test_the_table_is_the_one_written_here",
    ),
)

GUARDS: Final[tuple[Guard, ...]] = (*HER, *KEYS, *POLICY)
