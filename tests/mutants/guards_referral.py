"""Guards of the referral service: no referral without a valid token, none served after a stop."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Guard, guard

_SRC: Final = "services/referral/src/safehand_referral_service/"
_CREATE: Final = _SRC + "create.py"
_ANSWER: Final = _SRC + "answer.py"
_KEYS: Final = _SRC + "keys.py"
_REGISTRY: Final = _SRC + "registry.py"
_STATES: Final = _SRC + "states.py"

_T_CREATE: Final = "tests/referral/test_create.py::"
_T_COURSE: Final = "tests/referral/test_course.py::"
_T_SHARING: Final = "tests/referral/test_sharing.py::"
_T_DIRECTORY: Final = "tests/referral/test_directory.py::"
_T_STATES: Final = "tests/referral/test_states.py::"
_T_POISON: Final = "tests/referral/test_poison.py::"
_T_IDENTITY: Final = "tests/referral/test_identity_keys.py::"
_IDENTITY: Final = _SRC + "identity_keys.py"

CREATE: Final[tuple[Guard, ...]] = (
    guard(
        "create-caller",
        "only the sender of the manifest may create the referral",
        _CREATE,
        "    if header.sender != submission.agency:\n",
        "    if False:\n",
        _T_CREATE + "test_another_agency_cannot_send_it",
    ),
    guard(
        "manifest-signature-at-referral",
        "a manifest counts only under the sender's registered key",
        _CREATE,
        "identity_keys.verified_under(sender_keys, made_at, submission.signed.verify)\n",
        "submission.signed.manifest\n",
        _T_CREATE + "test_a_changed_signature_is_refused",
    ),
    guard(
        "ciphertext-at-create",
        "only the ciphertexts that the sender signed for are stored",
        _CREATE,
        "        part.match_ciphertext(given.ciphertext)\n",
        "",
        _T_CREATE + "test_a_changed_ciphertext_is_refused",
    ),
    guard(
        "ciphertext-bucket",
        "a ciphertext is of its bucket: sizes tell nothing more",
        _CREATE,
        "        if len(given.ciphertext) != part.label.bucket + sealing.TAG_BYTES:\n",
        "        if False:\n",
        _T_CREATE + "test_a_ciphertext_of_another_size_than_its_label_says_is_refused",
    ),
    guard(
        "token-matched-at-create",
        "the token is of this manifest and these outer wraps",
        _CREATE,
        "    claims.match(submission.signed, [part.outer_wrap for part in submission.parts])\n",
        "",
        _T_CREATE + "test_another_outer_wrap_than_the_tokens_is_refused",
    ),
    guard(
        "manifest-end-at-create",
        "a manifest that has ended makes no referral",
        _CREATE,
        "    if header.not_after <= now:\n",
        "    if False:\n",
        _T_CREATE + "test_a_manifest_that_has_ended_is_refused",
    ),
    guard(
        "sharing-stopped-at-create",
        "after a stop no referral is created, a repeat neither",
        _CREATE,
        "    if referral_store.grant_stopped(connection, header.grant):\n",
        "    if False:\n",
        _T_SHARING + "test_while_stopped_create_is_refused_also_as_a_repeat",
    ),
    guard(
        "protocol-covers-at-create",
        "a referral passes only inside a protocol that covers it",
        _CREATE,
        "    registry.require_protocol(\n"
        "        connection, header.sender, header.recipient, header.purpose,"
        " manifest.categories, now\n"
        "    )\n",
        "",
        _T_CREATE + "test_what_no_protocol_covers_is_refused",
    ),
    guard(
        "service-needs",
        "a service receives no category that it does not need",
        _SRC + "services.py",
        "    if not set(categories) <= set("
        "directory_store.get_service_needs(connection, service)):\n",
        "    if False:\n",
        _T_CREATE + "test_a_category_that_the_service_does_not_need_is_refused",
    ),
    guard(
        "service-recipient",
        "a service is delivered by the recipient that the manifest names",
        _SRC + "services.py",
        "    if organization is None or registry.agency_of(connection, organization)"
        " != recipient:\n",
        "    if organization is None:\n",
        _T_CREATE + "test_a_service_that_the_recipient_does_not_deliver_is_refused",
    ),
    guard(
        "referral-id-once",
        "one referral id is one manifest's",
        _CREATE,
        "        _require_newer(existing, header, refer_index)\n",
        "        pass\n",
        _T_CREATE + "test_the_same_id_with_another_manifest_is_refused",
    ),
)

COURSE: Final[tuple[Guard, ...]] = (
    guard(
        "sharing-stopped-at-fetch",
        "after a stop the sealed parts are served no more",
        _SRC + "fetch.py",
        "        stopped = found.sharing_stopped or referral_store.grant_stopped(\n"
        "            connection, found.consent_grant\n"
        "        )\n",
        "        stopped = False\n",
        _T_SHARING + "test_while_stopped_fetch_is_refused_and_the_state_can_be_read",
    ),
    guard(
        "closed-at-fetch",
        "the sealed parts of a declined or withdrawn referral are served no more",
        _SRC + "fetch.py",
        "        if found.state in REFUSED:\n",
        "        if False:\n",
        _T_COURSE + "test_parts_are_not_served_after_decline_withdrawal_or_the_end",
    ),
    guard(
        "parts-for-the-recipient",
        "nobody but the recipient gets the sealed parts",
        _SRC + "fetch.py",
        "        if side is not Side.RECIPIENT:\n",
        "        if False:\n",
        _T_COURSE + "test_only_the_recipient_gets_the_sealed_parts",
    ),
    guard(
        "referral-ends-only",
        "a third agency learns nothing of a referral",
        _SRC + "referral_store.py",
        "            return Side.RECIPIENT\n        raise SafehandError(Reason.NOT_ALLOWED)\n",
        "            return Side.RECIPIENT\n        return Side.RECIPIENT\n",
        _T_COURSE + "test_a_third_agency_learns_nothing_and_does_nothing",
    ),
    guard(
        "followed-before-serving",
        "a restarted service serves nothing before it knows of every stop",
        _SRC + "context.py",
        "        if not self.followed.is_set():\n",
        "        if False:\n",
        _T_SHARING
        + "test_until_consent_was_read_once_create_and_fetch_are_refused_and_help_goes_on",
    ),
    guard(
        "gap-in-consents-events",
        "an event of consent that is missing may be a stop: it is not passed over",
        _SRC + "follow.py",
        "        if event.sequence != sequence:\n",
        "        if False:\n",
        _T_SHARING + "test_a_gap_in_consents_sequence_is_not_passed_over",
    ),
    guard(
        "answer-signature-at-referral",
        "an answer counts only under its agency's key",
        _ANSWER,
        "        identity_keys.verified(connection, agency, said.at, filing.signed.verify)\n",
        "",
        _T_COURSE + "test_an_answer_signed_by_another_key_is_refused",
    ),
    guard(
        "answer-ack-signature",
        "an answer moves the referral only once consent has it",
        _ANSWER,
        "            return ack.verify(key).answer\n",
        "            return ack.ack.answer if key else ack.verify(key).answer\n",
        _T_COURSE + "test_an_acknowledgement_by_another_key_is_refused",
    ),
    guard(
        "answer-ack-of-this-answer",
        "consent's acknowledgement is of this answer",
        _ANSWER,
        "    if _verify_ack(context, filing.ack) != filing.signed.digest.hex():\n",
        "    if not _verify_ack(context, filing.ack):\n",
        _T_COURSE + "test_an_acknowledgement_of_another_answer_is_refused",
    ),
    guard(
        "answer-for-this-manifest",
        "an answer is to one signed manifest",
        _ANSWER,
        "    if not referral_store.is_manifest_of(connection, found, said.manifest):\n",
        "    if False:\n",
        _T_COURSE + "test_an_answer_for_another_manifest_is_refused",
    ),
    guard(
        "side-of-an-action",
        "neither side can say what is the other's to say",
        _STATES,
        "    if _BY[action] is not side:\n",
        "    if False:\n",
        _T_STATES + "test_every_state_action_and_party",
    ),
    guard(
        "closed-state",
        "a closed referral never moves",
        _STATES,
        "    row = _INDEX.get((state, action))\n",
        "    row = _INDEX.get((state, action)) or _INDEX.get((State.ACCEPTED, action))\n",
        _T_STATES + "test_every_state_action_and_party",
    ),
)

POISON: Final[tuple[Guard, ...]] = (
    guard(
        "held-grant",
        "under a grant of which an event is set aside nothing is fetched",
        _SRC + "referral_store.py",
        '    " UNION ALL SELECT 1 FROM grant_hold WHERE consent_grant = ?"\n',
        '    " UNION ALL SELECT 1 FROM grant_hold WHERE consent_grant = ? AND sequence < 0"\n',
        _T_POISON + "test_a_stop_that_cannot_be_written_down_denies_until_it_is",
    ),
    guard(
        "held-everything",
        "an event that may end anything lets nothing pass",
        _SRC + "follow.py",
        "                    self._know(not anything)\n",
        "                    self._know(True)\n",
        _T_POISON + "test_an_event_about_nobody_knows_what_denies_everything",
    ),
    guard(
        "not-current-while-it-fails",
        "while an event waits to be applied nothing is served",
        _SRC + "follow.py",
        "                    self._know(False)\n",
        "                    pass\n",
        _T_POISON + "test_an_event_of_a_newer_consent_denies_its_grant_and_no_other",
    ),
    guard(
        "unknown-event-type",
        "an event of a type that is not known is not taken for one without effect",
        _SRC + "follow.py",
        '        raise UnknownEventError("type")\n',
        "        return\n",
        _T_POISON + "test_an_event_of_a_newer_consent_denies_its_grant_and_no_other",
    ),
    guard(
        "late-replay",
        "a replayed event does not undo what consent said since",
        _SRC + "follow.py",
        "    if not newer:\n",
        "    if True:\n",
        _T_POISON + "test_a_late_replay_does_not_undo_what_consent_said_since",
    ),
    guard(
        "follow-surroundings",
        "trouble of the surroundings gives no event of consent's up",
        _SRC + "follow.py",
        "            if of_the_surroundings(error):\n",
        "            if False:\n",
        _T_POISON + "test_trouble_of_the_surroundings_is_waited_out",
    ),
)

IDENTITY: Final[tuple[Guard, ...]] = (
    guard(
        "retired-at-directory",
        "a retired identity key publishes nothing at the directory",
        _IDENTITY,
        "        if not key.held_at(at):\n",
        "        if key.revoked_at is not None:\n",
        _T_IDENTITY + "test_a_retired_key_publishes_nothing_more",
    ),
    guard(
        "revoked-at-directory",
        "under a revoked identity key the directory takes nothing",
        _IDENTITY,
        "return self.revoked_at is None and (self.retired_at is None or at < self.retired_at)\n",
        "return self.retired_at is None or at < self.retired_at\n",
        _T_IDENTITY + "test_a_revoked_key_is_refused_and_its_protocols_are_gone",
    ),
    guard(
        "succession-at-directory",
        "an agency lists a next key by the old one's signature alone",
        _SRC + "rpc_directory.py",
        '        if caller.kind == "agency" and (caller.name != request.agency or not given):\n',
        '        if caller.kind == "agency" and caller.name != request.agency:\n',
        _T_IDENTITY + "test_who_may_list_a_next_key",
    ),
)

DIRECTORY: Final[tuple[Guard, ...]] = (
    guard(
        "keyrecord-signature-at-directory",
        "the directory carries only keys that the agency's identity signed",
        _KEYS,
        "        record = identity_keys.verified(connection, agency, now, key.signed.verify)\n",
        "        record = key.signed.record\n",
        _T_DIRECTORY + "test_a_record_under_another_key_is_refused",
    ),
    guard(
        "key-receipt-at-directory",
        "the directory carries no key without the proof of its KEY entry",
        _KEYS,
        "    verify_receipt(key, record, context.ledger)\n",
        "",
        _T_DIRECTORY + "test_a_receipt_that_does_not_prove_this_record_is_refused",
    ),
    guard(
        "key-receipt-proof-at-directory",
        "the KEY entry is in the ledger under its pinned key",
        _KEYS,
        "    proof.verify(receipt.leaf, ledger)\n",
        "",
        _T_DIRECTORY + "test_a_changed_receipt_is_refused",
    ),
    guard(
        "key-owner-at-directory",
        "nobody publishes a key for another agency",
        _KEYS,
        "    if key.signed.record.agency != agency:\n",
        "    if False:\n",
        _T_DIRECTORY + "test_nobody_publishes_for_another_agency",
    ),
    guard(
        "protocol-signatures-at-directory",
        "the directory carries only protocols that both parties signed",
        _REGISTRY,
        "    signed.verify()\n",
        "",
        _T_DIRECTORY + "test_both_signatures_must_be_there",
    ),
    guard(
        "protocol-keys-at-directory",
        "the directory carries only protocols of the registered keys",
        _REGISTRY,
        "        if key != wanted:\n",
        "        if False:\n",
        _T_DIRECTORY + "test_a_party_with_another_key_than_the_registrys_is_refused",
    ),
    guard(
        "registered-key-stays",
        "a registered identity key is not replaced by registering again",
        _REGISTRY,
        "    elif found != entry.identity_key:\n",
        "    elif False:\n",
        _T_DIRECTORY + "test_an_agencys_key_cannot_be_replaced_by_registering_it_again",
    ),
)

GUARDS: Final[tuple[Guard, ...]] = (*CREATE, *COURSE, *POISON, *IDENTITY, *DIRECTORY)
