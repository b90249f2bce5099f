"""Recipient keys: making and publishing ours, trusting a peer's."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from safehand.consent.v1 import ledger_pb2
from safehand.referral.v1 import directory_pb2, referral_pb2
from safehand_core import ids
from safehand_core.errors import SafehandError
from safehand_core.keystore import write_atomic
from safehand_core.reasons import Reason
from safehand_formats import sealing
from safehand_formats.checkpoint import Checkpoint, open_checkpoint
from safehand_formats.keyrecord import KeyRecord, SignedKeyRecord
from safehand_formats.kinds import Kind, key_tag
from safehand_formats.leaf import Leaf
from safehand_formats.note import NoteVerifier
from safehand_formats.proof import TlogProof

from safehand_client._internal.base import CachedKey
from safehand_client._internal.calls import DEADLINE_S
from safehand_client._internal.known_keys import KnownKey, verified
from safehand_client._internal.peer_keys import LOOK_S, PeerKeys
from safehand_client._internal.pending import PASSING, Statement
from safehand_client._internal.receipts import verify_receipt

RECIPIENT_KEY_DAYS: Final = 90
"""Days that a recipient key is meant to live: base-mode HPKE has no forward secrecy."""
KEY_CACHE_S: Final = 600.0
"""Seconds for which a verified recipient key is used again without asking the directory."""
DAY_S: Final = 86_400
PENDING_KEY: Final = "key-record"

CLOSED: Final = frozenset(
    {
        referral_pb2.REFERRAL_STATE_COMPLETED,
        referral_pb2.REFERRAL_STATE_DECLINED,
        referral_pb2.REFERRAL_STATE_WITHDRAWN,
    }
)


class RecipientKeys(PeerKeys):
    """Ours through the ledger, a peer's through our own copy of the protocol."""

    def publish_key(self, days: int = RECIPIENT_KEY_DAYS) -> SignedKeyRecord:
        """Make the next recipient key, log it as a KEY leaf, and publish both.

        An interrupted publication is finished first, and is then the answer: its record is kept
        until both services have it, and its seed lies in the keystore before anybody is asked.
        """
        kept = self._pending.get(PENDING_KEY)
        if kept is None:
            kept = self._pending.keep(PENDING_KEY, self._make_key(days))
        signed = SignedKeyRecord(kept.data, kept.signature)
        try:
            receipt = self._log_key(signed)
            self.stubs.directory.PublishKey(
                directory_pb2.PublishKeyRequest(
                    request_id=ids.new_request_id(self._entropy),
                    record=signed.record_bytes,
                    signature=signed.signature,
                    receipt=receipt,
                ),
                timeout=DEADLINE_S,
            )
        except SafehandError as error:
            if error.reason not in PASSING:
                self._pending.forget(PENDING_KEY)
            raise
        self._pending.forget(PENDING_KEY)
        return signed

    def _make_key(self, days: int) -> Statement:
        seed, public = sealing.generate_recipient_key(self._entropy)
        now = self._clock.wall()
        record = KeyRecord(self.agency, self._next_sequence(), public, now, now + days * DAY_S)
        signed = SignedKeyRecord.sign(record, self._identity)
        self._keys.put_secret(f"recipient-{record.kid}", seed)
        return Statement(signed.record_bytes, signed.signature)

    def _log_key(self, signed: SignedKeyRecord) -> ledger_pb2.Receipt:
        asked_at = self.head.now()
        answer = self.stubs.ledger.AppendKey(
            ledger_pb2.AppendKeyRequest(
                request_id=ids.new_request_id(self._entropy),
                record=signed.record_bytes,
                signature=signed.signature,
            ),
            timeout=DEADLINE_S,
        )
        # Whatever the directory says to it, the sequence is used up.
        write_atomic(self._sequence_file, str(signed.record.sequence).encode())
        self._verify_key_receipt(signed, answer.receipt)
        self.head.accept(*_checkpoint(answer.receipt, self._verifier), asked_at)
        return answer.receipt

    def recipient_key(self, recipient: str, not_after: int) -> SignedKeyRecord:
        """``recipient``'s key, trusted only through our own copy of the protocol.

        Raises SIGNATURE_INVALID for a key that its pinned identity key did not sign,
        PROOF_INVALID for one that is not in the ledger, KEY_ENDS_TOO_SOON.
        """
        with suppress(SafehandError):
            self.look_at_peer(recipient, older_than_s=LOOK_S)
        now = self._clock.wall()
        with self._key_lock:
            cached = self._key_cache.get(recipient)
        if (
            cached
            and self._clock.monotonic() < cached.until
            and (cached.ends_at is None or now < cached.ends_at)
            and not_after <= cached.signed.record.not_after
        ):
            return cached.signed
        found = self.stubs.directory.GetKey(
            directory_pb2.GetKeyRequest(agency=recipient), timeout=DEADLINE_S
        )
        signed = SignedKeyRecord(found.record, found.signature)
        self.trust.protocol_with(recipient)
        # It says itself when it was made, so only a key that holds now counts: whoever gets hold
        # of a retired one makes no recipient key of the year before with it.
        record = self._peer_verified(recipient, lambda key: key.holds_on(now), signed.verify)
        if record.agency != recipient:
            raise SafehandError(Reason.SIGNATURE_INVALID, "the key record is of another agency")
        self._verify_key_receipt(signed, found.receipt)
        record.covers(not_after, now=now)
        ends = [
            key.retired_at for key in self.trust.known.of(recipient) if key.retired_at is not None
        ]
        with self._key_lock:
            self._key_cache[recipient] = CachedKey(
                self._clock.monotonic() + KEY_CACHE_S,
                min((end for end in ends if end > now), default=None),
                signed,
            )
        return signed

    def _verify_key_receipt(self, signed: SignedKeyRecord, receipt: ledger_pb2.Receipt) -> None:
        record = signed.record
        verify_receipt(
            receipt,
            Kind.KEY,
            {
                "agency": record.agency,
                "sequence": record.sequence,
                "record": signed.digest.hex(),
            },
            self._verifier,
        )
        if Leaf.decode(receipt.leaf).tag != key_tag(record.agency, record.sequence):
            raise SafehandError(Reason.PROOF_INVALID, "the leaf has another key's tag")

    @property
    def _sequence_file(self) -> Path:
        return self._party.state / "key-sequence"

    def _next_sequence(self) -> int:
        """One above the last one that the directory carries or that we know to be logged."""
        try:
            logged = int(self._sequence_file.read_text())
        except (FileNotFoundError, ValueError):
            logged = -1
        return max(self._published_sequence(), logged) + 1

    def _published_sequence(self) -> int:
        """-1 where none was published."""
        found = self._published()
        return -1 if found is None else found.record.sequence

    def _published(self) -> SignedKeyRecord | None:
        """Our own newest record as the directory carries it, under any key that we ever had."""
        try:
            found = self.stubs.directory.GetKey(
                directory_pb2.GetKeyRequest(agency=self.agency), timeout=DEADLINE_S
            )
        except SafehandError as error:
            if error.reason in (Reason.NOT_FOUND, Reason.KEY_UNKNOWN):
                return None
            raise
        signed = SignedKeyRecord(found.record, found.signature)
        ours = [KnownKey(self.identity_public.hex()), *self.own_identity_keys()]
        verified(ours, signed.verify)
        return signed


def _checkpoint(receipt: ledger_pb2.Receipt, verifier: NoteVerifier) -> tuple[Checkpoint, str]:
    proof = TlogProof.from_text(receipt.proof)
    return open_checkpoint(proof.checkpoint_note, verifier), proof.checkpoint_note
