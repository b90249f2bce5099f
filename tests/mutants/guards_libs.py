"""Guards of the formats, the RPC chain, the stores and the bus."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Edit, Guard, guard

_FORMATS: Final = "libs/formats/src/safehand_formats/"
_TOKEN: Final = _FORMATS + "token.py"
_RPC: Final = "libs/rpc/src/safehand_rpc/"
_STORE: Final = "libs/store/src/safehand_store/"

_T_TOKEN: Final = "tests/referral/test_token.py::"
_T_CHAIN: Final = "tests/rpc/test_chain.py::"
_T_INBOX: Final = "tests/bus/test_inbox.py::"
_VECTORS: Final = "tests/formats/test_vectors.py::test_both_readers_arrive_at_what_the_vector_says"

TOKEN: Final[tuple[Guard, ...]] = (
    guard(
        "token-cnf",
        "a token is good only on the sender's own connection",
        _TOKEN,
        "    if claims.certificate != certificate_thumbprint(peer_cert_der):\n",
        "    if False:\n",
        _T_TOKEN + "test_a_second_certificate_of_the_sender",
    ),
    guard(
        "token-expiry",
        "a token is over to the second",
        _TOKEN,
        "    if now >= claims.expires_at:\n",
        "    if False:\n",
        _T_TOKEN + "test_expired_by_one_second_and_by_none",
    ),
    guard(
        "token-not-before",
        "a token is not valid before its time",
        _TOKEN,
        "    if now < claims.not_before:\n",
        "    if False:\n",
        _T_TOKEN + "test_not_valid_yet",
    ),
    guard(
        "token-audience",
        "a token for another service is none here",
        _TOKEN,
        "    if claims.audience != audience:\n",
        "    if False:\n",
        _T_TOKEN + "test_a_claim_that_is_not_this_requests",
    ),
    guard(
        "token-issuer",
        "a token of another issuer is none here",
        _TOKEN,
        "    if claims.issuer != issuer:\n",
        "    if False:\n",
        _T_TOKEN + "test_a_claim_that_is_not_this_requests",
    ),
    Guard(
        "token-algorithm",
        "one algorithm under one name, chosen by the reader",
        Edit(
            _TOKEN,
            '        fields.one_of(obj["alg"], (ALGORITHM,), "alg")\n',
            "",
        ),
        _VECTORS,
        also=(
            Edit(
                _TOKEN,
                "        jws.deserialize_compact(token, key, algorithms=[ALGORITHM])\n",
                '        jws.deserialize_compact(token, key, algorithms=[ALGORITHM, "EdDSA"])\n',
            ),
        ),
    ),
    guard(
        "token-type",
        "a signed document of another type is no token",
        _TOKEN,
        '        fields.one_of(obj["typ"], (typ,), "typ")\n',
        "",
        _T_TOKEN + "test_another_type",
    ),
    guard(
        "token-signature",
        "a token counts only under consent's token key",
        _TOKEN,
        "        jws.deserialize_compact(token, key, algorithms=[ALGORITHM])\n",
        "        jws.extract_compact(token.encode())\n",
        _T_TOKEN + "test_another_key",
    ),
    guard(
        "token-manifest",
        "a token is of one signed manifest",
        _TOKEN,
        "        if self.manifest_digest != signed.digest:\n",
        "        if False:\n",
        _T_TOKEN + "test_a_claim_that_is_not_this_requests",
    ),
    guard(
        "outer-wraps-digest",
        "a token is of the outer wraps that came with it",
        _TOKEN,
        "        if self.outer_wraps_digest != wraps.outer_wraps_digest(outer_wraps):\n",
        "        if False:\n",
        "tests/formats/test_token.py::test_a_token_is_matched_with_its_manifest_and_wraps",
    ),
    guard(
        "token-names",
        "a token names the manifest's recipient, purpose and categories",
        _TOKEN,
        "        if named != (self.recipient, self.purpose, self.categories):\n",
        "        if False:\n",
        _T_TOKEN + "test_a_claim_that_is_not_this_requests",
    ),
    guard(
        "token-lifetime",
        "a token lives for five minutes at most",
        _TOKEN,
        "        if self.expires_at - self.issued_at > MAX_LIFETIME_S:\n",
        "        if False:\n",
        _VECTORS,
    ),
)

FORMATS: Final[tuple[Guard, ...]] = (
    guard(
        "canonical-json",
        "one value has one byte string",
        "libs/core/src/safehand_core/canonical.py",
        "    if encode(value) != data:\n",
        "    if False:\n",
        "tests/formats/test_refusals.py::test_two_readers_of_canonical_json_agree",
    ),
    guard(
        "signature-context",
        "a signature for one message is none for another",
        _FORMATS + "signing.py",
        '    return context.encode("ascii") + b"\\x00" + message\n',
        "    return message\n",
        _VECTORS,
    ),
    guard(
        "small-order-keys",
        "no key under which one signature fits many messages",
        _FORMATS + "signing.py",
        '    if int.from_bytes(public, "little") & (2**255 - 1) in SMALL_ORDER_Y:\n',
        "    if False:\n",
        _VECTORS,
    ),
    guard(
        "manifest-names-its-key",
        "a manifest names the key that signed it",
        _FORMATS + "manifest.py",
        "        if manifest.header.sender_key != signing.identity_key_id(sender_public):\n",
        "        if False:\n",
        "tests/consent/release/test_authorise.py::test_a_manifest_that_names_another_sender_key",
    ),
    guard(
        "protocol-signature-a",
        "the first party signed the protocol",
        _FORMATS + "sharing_protocol.py",
        "        signing.verify(protocol.a.key, CONTEXT, self.protocol_bytes, self.signature_a)\n",
        "",
        "tests/referral/test_directory.py::test_both_signatures_must_be_there",
    ),
    guard(
        "protocol-signature-b",
        "the second party signed the protocol",
        _FORMATS + "sharing_protocol.py",
        "        signing.verify(protocol.b.key, CONTEXT, self.protocol_bytes, self.signature_b)\n",
        "",
        "tests/referral/test_directory.py::test_both_signatures_must_be_there",
    ),
    guard(
        "stage-of-category",
        "nothing but the card can be labelled as readable before acceptance",
        _FORMATS + "manifest.py",
        "        if self.stage != stage_of(self.category):\n",
        "        if False:\n",
        "tests/formats/test_sealing.py::test_a_label_has_the_stage_of_its_category",
    ),
    guard(
        "outer-wrap-place",
        "an outer wrap opens for its own manifest and part only",
        _FORMATS + "wraps.py",
        '    return b"safehand/v1/outer\\x00" + manifest_digest + bytes([part_id])\n',
        '    return b"safehand/v1/outer\\x00"\n',
        "tests/formats/test_sealing.py::test_an_outer_wrap_opens_for_no_other_part_referral_or_category",
    ),
    guard(
        "inner-wrap-label",
        "a relabelled part does not open",
        _FORMATS + "sealing.py",
        "        + fields.lp(header.encode())\n        + fields.lp(label.encode())\n"
        "        + fields.sha256(ciphertext)\n",
        "        + fields.lp(header.encode())\n        + fields.sha256(ciphertext)\n",
        _VECTORS,
    ),
    guard(
        "inner-wrap-ciphertext",
        "a wrap opens with its own part's ciphertext only",
        _FORMATS + "sealing.py",
        "        + fields.lp(label.encode())\n        + fields.sha256(ciphertext)\n",
        "        + fields.lp(label.encode())\n",
        "tests/formats/test_sealing.py::test_a_wrap_does_not_open_with_another_parts_ciphertext",
    ),
)

PROOFS: Final[tuple[Guard, ...]] = (
    guard(
        "proof-inclusion",
        "a proof is of this leaf at this place",
        _FORMATS + "proof.py",
        "        merkle.verify_inclusion(\n"
        "            merkle.leaf_hash(leaf), self.index, checkpoint.size, self.hashes,"
        " checkpoint.root\n"
        "        )\n",
        "",
        "tests/formats/test_proof.py::test_it_proves_one_leaf_at_one_place",
    ),
    guard(
        "note-signature",
        "a checkpoint counts only under the pinned ledger key",
        _FORMATS + "note.py",
        "        if not verifier.verifies(text, signature.value):\n",
        "        if False:\n",
        "tests/formats/test_note.py::test_one_bad_line_of_the_pinned_key_refuses_the_note",
    ),
    guard(
        "note-signed-at-all",
        "a checkpoint that the pinned key did not sign at all is none",
        _FORMATS + "note.py",
        "    if not verified:\n",
        "    if False:\n",
        "tests/formats/test_note.py::test_a_note_without_the_pinned_key_is_refused",
    ),
)

RPC: Final[tuple[Guard, ...]] = (
    guard(
        "policy-enforced",
        "who is not in the table is refused",
        _RPC + "policy.py",
        "    if principal.role not in policy.get(method, frozenset()):\n",
        "    if False:\n",
        _T_CHAIN + "test_a_role_outside_the_table_is_refused",
    ),
    guard(
        "policy-total",
        "a server whose table is not exactly its methods does not start",
        _RPC + "policy.py",
        "    if found:\n",
        "    if False:\n",
        "tests/rpc/test_policy.py::test_any_other_table_stops_the_start",
    ),
    guard(
        "unknown-fields",
        "a field that this version does not know is not dropped silently",
        _RPC + "checks.py",
        "    if request.ByteSize() != size:\n",
        "    if False:\n",
        _T_CHAIN + "test_an_unknown_field_is_refused_at_any_depth",
    ),
    guard(
        "error-text",
        "no text of an exception leaves the server",
        _RPC + "status.py",
        "    return SafehandError(Reason.INTERNAL)\n\n\ndef to_status",
        "    return SafehandError(Reason.INTERNAL, str(error))\n\n\ndef to_status",
        _T_CHAIN + "test_no_text_of_a_handlers_own_making_leaves_the_server",
    ),
    guard(
        "log-fields",
        "a log line holds listed fields of their shape and nothing else",
        "libs/core/src/safehand_core/logs.py",
        "        if test is not None and test(value):\n",
        "        if True:\n",
        "tests/rpc/test_logs.py::test_what_is_not_listed_is_dropped_and_counted",
    ),
    guard(
        "validation",
        "a request that breaks a rule of its schema is refused",
        _RPC + "checks.py",
        "    require_valid(request)\n    return request\n",
        "    return request\n",
        _T_CHAIN + "test_a_broken_rule_is_named_by_field_and_rule_never_by_value",
    ),
    guard(
        "request-size",
        "a request above its limit is refused",
        _RPC + "checks.py",
        "    if len(raw) > method.max_bytes:\n",
        "    if False:\n",
        _T_CHAIN + "test_a_request_above_its_limit_is_too_large",
    ),
    guard(
        "deadline",
        "a call without a deadline pins no thread",
        _RPC + "checks.py",
        "    if too_short or (too_long and not streams):\n",
        "    if False:\n",
        _T_CHAIN + "test_a_call_without_a_deadline_is_refused",
    ),
    guard(
        "page-token",
        "a page token is good for one caller and one list",
        _RPC + "paging.py",
        "        if not hmac.compare_digest(tag, self._tag(position, request, scope)):\n",
        "        if False:\n",
        "tests/rpc/test_paging.py::test_another_caller_argument_message_or_key_makes_it_useless",
    ),
    guard(
        "one-uri-san",
        "a certificate names exactly one party",
        _RPC + "identity.py",
        "    if len(uris) != 1:\n",
        "    if not uris:\n",
        "tests/rpc/test_identity.py::test_a_certificate_that_names_nobody_is_unauthenticated",
    ),
    guard(
        "trust-domain",
        "names of another trust domain mean nothing here",
        _RPC + "identity.py",
        '    if not uri.startswith(_PREFIX + "/"):\n',
        '    if not uri.startswith("spiffe://"):\n',
        "tests/rpc/test_trust_domain.py::test_a_domain_that_differs_in_one_letter_is_another",
    ),
)

STORE: Final[tuple[Guard, ...]] = (
    guard(
        "request-id-reused",
        "a request id is for one request",
        _STORE + "idempotency.py",
        "    if stored_hash != request_hash:\n",
        "    if False:\n",
        "tests/ledger/test_store.py::test_a_repeat_gets_the_first_answer_and_a_reuse_is_refused",
    ),
    guard(
        "inbox-once",
        "an event that comes again has no second effect",
        _STORE + "inbox.py",
        "    if sequence <= last:\n",
        "    if False:\n",
        _T_INBOX + "test_an_event_counts_once",
    ),
    guard(
        "inbox-gap",
        "an event is not applied before the ones it follows",
        _STORE + "inbox.py",
        "    if sequence > last + 1:\n",
        "    if False:\n",
        _T_INBOX + "test_a_gap_is_said_and_changes_nothing",
    ),
    guard(
        "outbox-gapless",
        "an event that was rolled back leaves no gap in the sequence",
        _STORE + "outbox.py",
        "    last: int = _RAISE.scalar(connection, len(rows), len(rows))\n",
        "    last: int = _RAISE.scalar(connection, *[len(rows) + 1] * 2)\n",
        "tests/bus/test_envelope.py::test_the_sequence_has_no_gaps_and_a_rollback_leaves_none",
    ),
    guard(
        "chained-publish",
        "the bus itself refuses an event that does not follow the last one",
        "libs/bus/src/safehand_bus/relay.py",
        '            headers["Nats-Expected-Last-Msg-Id"] = place.message_id\n',
        "            pass\n",
        "tests/bus/test_relay.py::test_everything_in_the_outbox_arrives_in_order",
    ),
    Guard(
        "consumer-gap",
        "a source that skips an event is not believed",
        Edit(
            "libs/bus/src/safehand_bus/consumer.py",
            "            if event.sequence != place:\n",
            "            if False:\n",
        ),
        "tests/bus/test_consumer.py::test_a_source_that_skips_is_not_believed",
        also=(
            Edit(
                _STORE + "inbox.py",
                "    if sequence > last + 1:\n",
                "    if sequence > last + 100:\n",
            ),
        ),
    ),
    guard(
        "deliveries-of-one-agency",
        "an agency follows its own events and nobody else's",
        "services/notify/src/safehand_notify_service/deliveries.py",
        '    .where(DELIVERY.c.agency == bindparam("agency"), DELIVERY.c.cursor',
        '    .where(bindparam("agency") != "", DELIVERY.c.cursor',
        "tests/notify/test_follow.py::test_each_agency_sees_its_own_events_and_no_others",
    ),
    guard(
        "secret-file-modes",
        "a key file that others can read is not used",
        "libs/core/src/safehand_core/keystore.py",
        "    if found.st_mode & 0o077:\n",
        "    if False:\n",
        "tests/rpc/test_keystore.py::test_an_open_file_is_refused",
    ),
)

GUARDS: Final[tuple[Guard, ...]] = (*TOKEN, *FORMATS, *PROOFS, *RPC, *STORE)
