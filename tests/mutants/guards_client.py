"""Guards of the client: it believes nothing that is unproven (PROTOCOL rule 8)."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Guard, guard

_SRC: Final = "libs/client/src/safehand_client/"
_OPENING: Final = _SRC + "_internal/opening.py"
_SENDING: Final = _SRC + "_internal/sending.py"
_RECEIPTS: Final = _SRC + "_internal/receipts.py"
_HEADS: Final = _SRC + "_internal/heads.py"
_KEYS: Final = _SRC + "_internal/keys.py"
_TRUST: Final = _SRC + "trust.py"

_T_LYING: Final = "tests/flow/test_lying_consent.py::"
_T_LIES: Final = "tests/flow/test_lies.py::"
_T_FETCH: Final = "tests/client/test_fetch.py::"
_T_TRUST: Final = "tests/client/test_trust.py::"


def _disclose(field: str, line: str) -> Guard:
    return guard(
        f"disclose-body-{field.replace('_', '-')}",
        f"a release is used only if its logged entry names this {field}",
        _OPENING,
        f"                {line},\n",
        "",
        f"{_T_LYING}test_an_entry_about_something_else[{field}]",
    )


RELEASE: Final[tuple[Guard, ...]] = (
    _disclose("grant", '"grant": header.grant'),
    _disclose("manifest", '"manifest": request.manifest'),
    _disclose("part", '"part": request.part'),
    _disclose("category", '"category": part.label.category'),
    _disclose("stage", '"stage": part.label.stage'),
    _disclose("recipient", '"recipient": self.agency'),
    _disclose("worker_ref", '"worker_ref": request.worker_ref'),
    _disclose("request", '"request": look.signed.digest.hex()'),
    guard(
        "receipt-proof",
        "an entry that is shown is in the ledger",
        _RECEIPTS,
        "        checkpoint = proof.verify(receipt.leaf, verifier)\n",
        '        lines = proof.checkpoint_note.split("\\n")[:3]\n'
        '        checkpoint = Checkpoint.from_text("\\n".join(lines) + "\\n")\n',
        _T_LYING + "test_a_right_leaf_wrongly_opened_or_proven",
    ),
    guard(
        "receipt-opening",
        "the body that is shown is what the entry commits to",
        _RECEIPTS,
        "    if body_commitment(receipt.salt, receipt.body) != leaf.commitment:\n",
        "    if False:\n",
        _T_LYING + "test_a_right_leaf_wrongly_opened_or_proven",
    ),
    guard(
        "receipt-index",
        "an entry stands where the receipt says",
        _RECEIPTS,
        "    if proof.index != receipt.index:\n",
        "    if False:\n",
        _T_LYING + "test_a_right_leaf_wrongly_opened_or_proven",
    ),
    guard(
        "inner-wrap-at-client",
        "only the inner wrap that the sender signed for is opened",
        _OPENING,
        "        part.match_wrap(answer.inner_wrap)\n",
        "",
        _T_LYING + "test_another_wrap_than_the_sender_signed_for",
    ),
    guard(
        "head-not-older",
        "an answer under an older head than one seen is not believed",
        _HEADS,
        "        if asked_at is not None and checkpoint.size < asked_at.size:\n",
        "        if False:\n",
        _T_LYING + "test_an_older_head_than_one_seen_before",
    ),
    guard(
        "head-consistent",
        "a ledger that does not continue the one seen is not believed",
        _HEADS,
        "                self._require_one_history(newest, checkpoint)\n",
        "",
        _T_LYING + "test_a_history_that_does_not_continue_the_one_seen",
    ),
    guard(
        "refer-body",
        "an authorisation is of this referral, manifest and recipient",
        _RECEIPTS,
        "        if body.get(key) != value:\n",
        "        if value is None:\n",
        _T_LYING + "test_an_authorisation_of_something_else",
    ),
)

TRUST: Final[tuple[Guard, ...]] = (
    guard(
        "manifest-signature-at-client",
        "a fetched manifest counts only under the sender's key in our own protocol copy",
        _OPENING,
        "lambda key: key.held_at(header.created), signed.verify\n",
        "lambda key: key.held_at(header.created), lambda _: signed.manifest\n",
        _T_FETCH + "test_a_manifest_that_another_key_signed_is_not_believed",
    ),
    guard(
        "ciphertext-at-client",
        "a fetched part is what the sender signed for",
        _OPENING,
        "            part.match_ciphertext(sealed.ciphertext)\n",
        "            pass\n",
        _T_FETCH + "test_other_parts_than_the_signed_ones_are_not_believed",
    ),
    guard(
        "fetched-referral",
        "a fetched referral is the one that was asked for",
        _OPENING,
        "        if header.recipient != self.agency or header.referral != referral:\n",
        "        if header.recipient != self.agency:\n",
        _T_FETCH + "test_another_referral_than_the_one_asked_for_is_not_believed",
    ),
    guard(
        "parts-count-at-client",
        "no part is missing and none is added",
        _OPENING,
        "        if len(answer.parts) != len(manifest.parts):\n",
        "        if len(answer.parts) < len(manifest.parts):\n",
        _T_FETCH + "test_other_parts_than_the_signed_ones_are_not_believed",
    ),
    guard(
        "protocol-covers-at-fetch",
        "nothing is taken that the two agencies did not agree",
        _OPENING,
        "        self.trust.covering(header.sender, header.purpose, manifest.categories,"
        " header.created)\n",
        "",
        _T_FETCH + "test_what_no_kept_protocol_covers_is_not_taken",
    ),
    guard(
        "keyrecord-signature-at-client",
        "a recipient key counts only under the identity key in our own protocol copy",
        _KEYS,
        "self._peer_verified(recipient, lambda key: key.holds_on(now), signed.verify)\n",
        "signed.record\n",
        _T_TRUST + "test_a_key_that_the_peers_identity_did_not_sign_is_not_sealed_to",
    ),
    guard(
        "keyrecord-owner-at-client",
        "a recipient key is of the agency that was asked for",
        _KEYS,
        "        if record.agency != recipient:\n",
        "        if False:\n",
        _T_TRUST + "test_a_key_of_the_peers_for_another_agency_is_not_sealed_to",
    ),
    guard(
        "key-end-at-client",
        "nothing is sealed to a key that ends before the manifest",
        _KEYS,
        "        record.covers(not_after, now=now)\n",
        "",
        _T_TRUST + "test_a_key_that_ends_before_the_manifest_is_not_sealed_to",
    ),
    guard(
        "key-receipt-at-client",
        "nothing is sealed to a key that its agency could not have seen in the ledger",
        _KEYS,
        "        self._verify_key_receipt(signed, found.receipt)\n",
        "",
        _T_LIES + "test_a_record_without_a_receipt",
    ),
    guard(
        "key-tag-at-client",
        "a KEY entry stands where its agency looks for it",
        _KEYS,
        "        if Leaf.decode(receipt.leaf).tag != key_tag(record.agency, record.sequence):\n",
        "        if False:\n",
        _T_LIES + "test_a_record_logged_where_its_agency_does_not_look",
    ),
    guard(
        "protocol-covers-at-client",
        "nothing is sealed that the two agencies did not agree",
        _SENDING,
        "        self.trust.covering(recipient, purpose, wanted, now)\n",
        "",
        _T_TRUST + "test_what_the_protocol_does_not_cover_is_not_even_sealed",
    ),
    guard(
        "protocol-signatures-at-client",
        "a protocol that the peer did not sign is not kept",
        _TRUST,
        "        protocol = signed.verify()\n        other",
        "        protocol = signed.protocol\n        other",
        _T_TRUST + "test_a_protocol_that_the_peer_did_not_sign_is_not_kept",
    ),
    guard(
        "kept-protocol-verified",
        "our own copy of the protocol is verified whenever it is read",
        _TRUST,
        "        protocol = signed.verify()\n        if protocol.party(other)",
        "        protocol = signed.protocol\n        if protocol.party(other)",
        _T_TRUST + "test_the_kept_copy_is_verified_whenever_it_is_read",
    ),
    guard(
        "protocol-ledger-at-client",
        "a protocol about another ledger is not kept",
        _TRUST,
        "        if protocol.ledger.vkey != self.vkey:\n",
        "        if False:\n",
        _T_TRUST + "test_a_protocol_about_another_ledger_is_not_kept",
    ),
    guard(
        "typed-fingerprint",
        "a peer's key is the one that a person typed",
        _TRUST,
        "        if identity_key_id(public) != typed:\n",
        "        if False:\n",
        _T_TRUST + "test_a_key_whose_fingerprint_was_not_typed_is_not_pinned",
    ),
)

GUARDS: Final[tuple[Guard, ...]] = (*RELEASE, *TRUST)
