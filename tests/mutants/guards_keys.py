"""Guards of keys that roll: the release KEK, token keys, certificates, agencies' keys."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Guard, guard

_SRC: Final = "services/consent/src/safehand_consent_service/"
_RING: Final = _SRC + "category_keys.py"
_ROLL: Final = _SRC + "kek_roll.py"
_TOKEN: Final = _SRC + "token_keys.py"
_AGENCIES: Final = _SRC + "agencies.py"
_RECORDS: Final = _SRC + "key_records.py"
_PROTOCOLS: Final = _SRC + "protocols.py"
_ANSWERS: Final = _SRC + "answers.py"
_FOLLOWED: Final = "services/referral/src/safehand_referral_service/token_keys.py"
_TLS: Final = "libs/rpc/src/safehand_rpc/tls.py"
_LIFE: Final = "libs/client/src/safehand_client/_internal/key_life.py"
_SENDING: Final = "libs/client/src/safehand_client/_internal/sending.py"
_SETTINGS: Final = "libs/core/src/safehand_core/settings.py"
_T_KEK: Final = "tests/keys/test_kek_roll.py::"
_T_TOKEN: Final = "tests/keys/test_token_keys.py::"
_T_AGENCY: Final = "tests/keys/test_agency_keys.py::"
_T_RECIPIENT: Final = "tests/keys/test_recipient_keys.py::"
_T_ROTATION: Final = "tests/rpc/test_rotation.py::"
_KNOWN: Final = "libs/client/src/safehand_client/_internal/known_keys.py"
_PEER: Final = "libs/client/src/safehand_client/_internal/peer_keys.py"
_T_PEER: Final = "tests/client/test_peer_keys.py::"
_T_SECRETS: Final = "tests/keys/test_secrets.py::"

KEK: Final[tuple[Guard, ...]] = (
    guard(
        "kek-rolls-in-time",
        "A KEK is replaced before it is a day old",
        _ROLL,
        "        return self._at_start or max(age, running) >= self._after_s\n",
        "        return self._at_start\n",
        _T_KEK + "test_a_kek_is_replaced_before_it_is_a_day_old",
    ),
    guard(
        "kek-rolls-by-monotonic-time",
        "A wall clock that was set back does not hold a roll back",
        _ROLL,
        "        running = self._context.clock.monotonic() - self._since\n",
        "        running = 0.0\n",
        _T_KEK + "test_a_clock_that_was_set_back_does_not_hold_a_roll_back",
    ),
    guard(
        "kek-rolls-while-suspect",
        "A start with a suspect clock rolls at once",
        _ROLL,
        "            self._at_start = self._context.writer.clock_suspect\n",
        "            self._at_start = False\n",
        _T_KEK + "test_a_start_with_a_suspect_clock_rolls_at_once",
    ),
    guard(
        "kek-not-overwritten",
        "No host writes over a KEK that another has just made",
        _RING,
        "        while not write_new(self._path(fresh), kek):\n",
        "        fresh -= len(self._on_disk()) > 1\n"
        "        while self._path(fresh).write_bytes(kek) == 0:\n",
        _T_KEK + "test_no_host_writes_over_or_destroys_a_kek_that_another_has_just_made",
    ),
    guard(
        "kek-newer-not-destroyed",
        "A KEK newer than the current one may be of a roll that another host began",
        _RING,
        "            if epoch >= keep or not (unknown or epoch in over):\n",
        "            if epoch == keep or not (unknown or epoch in over):\n",
        _T_KEK + "test_no_host_writes_over_or_destroys_a_kek_that_another_has_just_made",
    ),
    guard(
        "kek-volume",
        "A host that does not find the current KEK of a shared database refuses to start",
        _RING,
        "        if not (self._directory / LOST).exists():\n",
        "        if False:\n",
        _T_KEK + "test_a_host_without_the_shared_volume_refuses_to_start",
    ),
    guard(
        "kek-stale-batch",
        "A host whose roll was overtaken stores nothing",
        _RING,
        "        if batch.epoch != _require_current(connection):\n",
        "        if False:\n",
        _T_KEK + "test_a_host_whose_roll_was_overtaken_stores_nothing",
    ),
)

TOKENS: Final[tuple[Guard, ...]] = (
    guard(
        "token-key-destroyed",
        "The private half of a token key goes when it signs no more",
        _TOKEN,
        "                    self._keystore.destroy(_name(key.sequence))\n",
        "                    pass\n",
        _T_TOKEN + "test_a_keys_whole_life",
    ),
    guard(
        "token-key-stolen",
        "Nothing verifies under a token key that was stolen",
        _TOKEN,
        "update(_T).where(_T.c.sequence < fresh.sequence).values(ends_at=now)",
        "update(_T).where(_T.c.sequence < 0).values(ends_at=now)",
        _T_TOKEN + "test_a_stolen_key_ends_at_once",
    ),
    guard(
        "token-key-ends",
        "A token key ends at referral too, also while consent is away",
        _FOLLOWED,
        "            if key.ends_at is None or key.ends_at > now\n",
        "            if key.ends_at is None or now\n",
        _T_TOKEN + "test_while_consent_is_away_the_last_list_counts_and_ends_in_time",
    ),
    guard(
        "token-key-flood",
        "Made-up keys do not make referral flood consent",
        _FOLLOWED,
        "        if self._asks < 1:\n",
        "        if self._asks < -1000:\n",
        _T_TOKEN + "test_an_unknown_key_is_asked_for_at_once_and_not_in_a_flood",
    ),
    guard(
        "ack-signed-now",
        "An acknowledgement is signed by the token key of now",
        _ANSWERS,
        "    again = SignedAnswerAck.sign(AnswerAck.decode(row.ack), context.token_key)\n",
        "    again = SignedAnswerAck(row.ack, bytes(64))\n",
        _T_TOKEN + "test_an_acknowledgement_is_signed_by_the_key_of_now",
    ),
    guard(
        "client-authorises-again",
        "A certificate that changes between authorise and create is no failure",
        _SENDING,
        "                if error.reason not in STALE_TOKEN:\n",
        "                if error.reason:\n",
        _T_RECIPIENT + "test_a_certificate_that_changes_between_authorise_and_create",
    ),
)

AGENCIES: Final[tuple[Guard, ...]] = (
    guard(
        "identity-overlap-ends",
        "An old identity key ends with its overlap",
        _AGENCIES,
        '        or_(_K.not_after.is_(None), _K.not_after > bindparam("now")),\n',
        '        or_(_K.not_after.is_(None), _K.not_after > 0, _K.not_after < bindparam("now")),\n',
        _T_AGENCY + "test_both_keys_hold_for_the_overlap_and_then_the_new_one_alone",
    ),
    guard(
        "identity-revoked",
        "Nothing is believed under a revoked identity key",
        _AGENCIES,
        '    .where(_K.agency == bindparam("wanted"), _K.revoked_at.is_(None))\n',
        '    .where(_K.agency == bindparam("wanted"))\n',
        _T_AGENCY + "test_a_revoked_key_is_refused_at_once",
    ),
    guard(
        "identity-names-the-old",
        "Nobody replaces another key than the one that is named",
        _AGENCIES,
        "    if signing.identity_key_id(known.identity_key) != old_fingerprint:\n",
        "    if False:\n",
        _T_AGENCY + "test_a_rotation_that_is_not_right_pins_nothing",
    ),
    guard(
        "protocol-ends-with-its-key",
        "A protocol ends with an identity key that it pins, where that signed for no other",
        _PROTOCOLS,
        "            if party.key not in believed[party.agency]:\n",
        "            if False:\n",
        _T_AGENCY + "test_a_protocol_ends_with_the_key_that_it_pins",
    ),
    guard(
        "protocol-not-over-a-stolen-key",
        "A protocol does not go on over a key that was revoked",
        _AGENCIES,
        "found not in out and rows[found].revoked_at is None:\n",
        "found not in out:\n",
        _T_AGENCY + "test_a_protocol_does_not_reach_over_a_stolen_key",
    ),
    guard(
        "succession-at-consent",
        "Consent takes a succession only under both keys that it names",
        "libs/formats/src/safehand_formats/succession.py",
        "        signing.verify(said.new, CONTEXT, self.succession_bytes, self.signature_new)\n",
        "",
        _T_AGENCY + "test_a_signature_that_is_not_right_pins_nothing",
    ),
    guard(
        "peer-key-signed-for",
        "A peer's key counts only where one that we know signed for it",
        _KNOWN,
        "            signed.verify(agency, old.key)\n",
        "",
        _T_PEER + "test_consent_alone_brings_in_no_key",
    ),
    guard(
        "peer-key-listed",
        "A peer's key counts only where consent lists it as not revoked",
        _PEER,
        '            if not key.HasField("revoked_at") and key.HasField("succession"):\n',
        '            if key.HasField("succession"):\n',
        _T_PEER + "test_the_old_key_alone_brings_in_no_key",
    ),
    guard(
        "peer-key-one-successor",
        "A key has one successor: the first that was heard",
        _KNOWN,
        "            if any(key.follows == old.public and key.key != said.new for key in keys):\n",
        "            if False:\n",
        _T_PEER + "test_of_two_successors_the_first_one_stays",
    ),
    guard(
        "peer-key-retired",
        "A retired key makes no recipient key, whatever time the record claims",
        _KNOWN,
        "return self.revoked_at is None and (self.retired_at is None or now < self.retired_at)\n",
        "return self.revoked_at is None\n",
        _T_PEER + "test_a_retired_key_makes_no_recipient_key_any_more",
    ),
    guard(
        "peer-key-revoked-for-good",
        "A revoked key is never believed again",
        _KNOWN,
        "                if key.key == public and key.revoked_at is not None:\n",
        "                if False:\n",
        _T_PEER + "test_a_revoked_key_is_never_believed_again",
    ),
    guard(
        "own-key-in-a-protocol",
        "A protocol that names another key of ours is not kept",
        "libs/client/src/safehand_client/trust.py",
        "        if protocol.party(own) not in (own_keys or (protocol.party(own),)):\n",
        "        if False:\n",
        _T_PEER + "test_a_protocol_that_names_another_key_of_ours_is_not_kept",
    ),
    guard(
        "sealed-to-until",
        "A new manifest is not sealed to a key whose private half may be gone",
        _RECORDS,
        "    if until is not None and now >= until:\n",
        "    if False:\n",
        _T_RECIPIENT + "test_a_replaced_key_is_sealed_to_for_a_week_and_no_longer",
    ),
    guard(
        "retire-needed",
        "A private key that something may need is not deleted",
        _LIFE,
        "        if found.needed(self._clock.wall()):\n",
        "        if False:\n",
        _T_RECIPIENT + "test_a_rotation_under_open_referrals",
    ),
    guard(
        "key-use-own",
        "Nobody asks about the recipient key of another",
        _RECORDS,
        "        select(_T.c.sequence).where(_T.c.agency == agency, _T.c.kid == kid)\n",
        "        select(_T.c.sequence).where(_T.c.kid == kid)\n",
        _T_RECIPIENT + "test_nobody_asks_about_the_key_of_another",
    ),
)

FILES: Final[tuple[Guard, ...]] = (
    guard(
        "tls-last-good",
        "A bundle that was cut off is not taken",
        _TLS,
        "        _require_whole(cert, secret, ca)\n",
        "",
        _T_ROTATION + "test_a_bundle_that_was_cut_off_behind_a_whole_certificate_is_not_taken",
    ),
    guard(
        "no-password-in-url",
        "No URL of a setting holds a password",
        _SETTINGS,
        "            if isinstance(value, str) and _PASSWORD_IN_URL.search(value):\n",
        "            if False:\n",
        _T_SECRETS + "test_no_url_of_any_setting_may_hold_a_password",
    ),
)

GUARDS: Final[tuple[Guard, ...]] = (*KEK, *TOKENS, *AGENCIES, *FILES)
