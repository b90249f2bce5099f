"""The life of our own identity key: the next one, its way to everybody, and an end of the old one.

Every step may be repeated, and what is done is asked for, not remembered: whoever is killed in
between says ``rotate`` again. The order is what makes it safe. Nothing is signed with the new key
before consent and the directory both hold it, and the old one signs until then.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from google.protobuf.duration_pb2 import Duration
from safehand.consent.v1 import keys_pb2
from safehand.referral.v1 import directory_pb2
from safehand_core import ids
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.keyrecord import SignedKeyRecord
from safehand_formats.signing import identity_key_id, public_bytes
from safehand_formats.succession import SignedSuccession, Succession

from safehand_client._internal.calls import DEADLINE_S
from safehand_client._internal.keys import DAY_S, RecipientKeys
from safehand_client._internal.known_keys import KnownKey
from safehand_client._internal.pending import Statement

OVERLAP_S: Final = 14 * DAY_S
"""Seconds for which the old key holds beside the new one: time for the operator of consent, and for
what is on its way."""
PENDING: Final = "succession"
_SIGNATURE_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class NewKey:
    """An agency's next identity key, as it is carried to operators in a file.

    ``old`` and ``new``: 32-byte public keys. ``signed`` is None where the old key is lost or
    stolen: then nobody but an operator can vouch for the new one.
    """

    agency: str
    old: bytes
    new: bytes
    signed: SignedSuccession | None

    def to_text(self) -> str:
        """JSON."""
        found = {"agency": self.agency, "old": self.old.hex(), "new": self.new.hex()}
        if self.signed is not None:
            found |= {
                "succession": base64.b64encode(self.signed.succession_bytes).decode(),
                "signature_old": base64.b64encode(self.signed.signature_old).decode(),
                "signature_new": base64.b64encode(self.signed.signature_new).decode(),
            }
        return json.dumps(found, indent=1) + "\n"

    @classmethod
    def from_text(cls, text: str) -> NewKey:
        """Raises MALFORMED for what is no such file."""
        try:
            found = json.loads(text)
            signed = None
            if "succession" in found:
                names = ("succession", "signature_old", "signature_new")
                signed = SignedSuccession(
                    *(base64.b64decode(found[name], validate=True) for name in names)
                )
            made = cls(
                ids.require(ids.AGENCY_PATTERN, found["agency"], "agency"),
                bytes.fromhex(found["old"]),
                bytes.fromhex(found["new"]),
                signed,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise SafehandError(Reason.MALFORMED, "the file holds no new identity key") from error
        if signed is not None and signed.verify(made.agency, made.old).new != made.new:
            raise SafehandError(Reason.SIGNATURE_INVALID, "another key was signed for")
        return made


@dataclass(frozen=True, slots=True)
class Rotation:
    """How far a rotation has come. ``waits_for``: "consent", "referral" (their operators), or ""
    when it is done. ``old_until``: seconds since the epoch; None where no overlap was signed."""

    key: NewKey
    waits_for: str
    old_until: int | None


class IdentityLife(RecipientKeys):
    """What an agency does with its own identity key."""

    def rotate_identity(
        self,
        overlap_s: int = OVERLAP_S,
        *,
        lost: bool = False,
        stolen: bool = False,
        step: Callable[[str], None] = lambda _: None,
    ) -> Rotation:
        """Begin, or go on with, the replacement of our identity key, as far as it can go now.

        ``lost`` or ``stolen``: the old key signs nothing for the new one, and operators and peers
        have its fingerprint typed. ``step`` hears the name of each step that is done.
        Raises what the services refuse, and STATE_CONFLICT where another replacement is under way.
        """
        wanted = self._begun(overlap_s, chained=not (lost or stolen))
        step("begun")
        until = None if wanted.signed is None else wanted.signed.succession.old_until
        if wanted.new not in self._listed_at_consent():
            return Rotation(wanted, "consent", until)
        step("admitted")
        if not self._list_in_directory(wanted):
            return Rotation(wanted, "referral", until)
        step("listed")
        self._remember(wanted, stolen=stolen)
        step("remembered")
        self._identities.switch(wanted.new)
        step("switched")
        while not self._newest_record_is_by(wanted.new):
            self.publish_key()
        step("published")
        self._pending.forget(PENDING)
        return Rotation(wanted, "", until)

    def retire_identity(self) -> tuple[list[str], list[str]]:
        """Delete the private halves of old identity keys that hold no more.

        Returns the fingerprints that went, and those that stay.
        """
        known = {key.fingerprint: key for key in self.own_identity_keys()}
        now, gone, kept = self._clock.wall(), [], []
        for fingerprint in self._identities.old():
            key = known.get(fingerprint)
            if key is not None and key.holds_on(now):
                kept.append(fingerprint)
            else:
                self._identities.destroy(fingerprint)
                gone.append(fingerprint)
        return gone, kept

    def pin_peer(self, agency: str, fingerprint: str) -> None:
        """Pin a peer's key that a person typed the fingerprint of, whoever carries the key.

        For a peer that lost its key. Raises SIGNATURE_INVALID where nobody carries that key.
        """
        request = directory_pb2.GetAgencyRequest(agency=agency)
        carried = self.stubs.directory.GetAgency(request, timeout=DEADLINE_S).agency.identity_key
        self.trust.pin_peer(agency, carried, fingerprint)
        self.forget_recipient_key(agency)

    # --- steps -----------------------------------------------------------------------------

    def _begun(self, overlap_s: int, *, chained: bool) -> NewKey:
        kept = self._pending.get(PENDING)
        if kept is None:
            kept = self._pending.keep(PENDING, self._say(overlap_s, chained=chained))
        begun = self._read(kept)
        if (begun.signed is not None) != chained:
            raise SafehandError(
                Reason.STATE_CONFLICT, "another replacement of the identity key is under way"
            )
        return begun

    def _say(self, overlap_s: int, *, chained: bool) -> Statement:
        new, now = self._identities.make_next(), self._clock.wall()
        if not chained:
            return Statement(self.identity_public + public_bytes(new), b"")
        said = Succession(
            self.agency, self.identity_public, public_bytes(new), now, now + overlap_s
        )
        signed = SignedSuccession.sign(said, self.identity, new)
        return Statement(signed.succession_bytes, signed.signature_old + signed.signature_new)

    def _read(self, kept: Statement) -> NewKey:
        if not kept.signature:
            return NewKey(self.agency, kept.data[:32], kept.data[32:], None)
        signed = SignedSuccession(
            kept.data, kept.signature[:_SIGNATURE_BYTES], kept.signature[_SIGNATURE_BYTES:]
        )
        said = signed.succession
        return NewKey(self.agency, said.old, said.new, signed)

    def _listed_at_consent(self) -> set[bytes]:
        """Our keys that consent believes."""
        listed = self.stubs.keys.ListAgencyKeys(
            keys_pb2.ListAgencyKeysRequest(agency=self.agency), timeout=DEADLINE_S
        ).keys
        return {key.identity_key for key in listed if not key.HasField("revoked_at")}

    def _list_in_directory(self, wanted: NewKey) -> bool:
        """Whether the directory has the key, after we asked for it where we can."""
        if wanted.signed is None:
            request = directory_pb2.GetAgencyRequest(agency=self.agency)
            entry = self.stubs.directory.GetAgency(request, timeout=DEADLINE_S).agency
        else:
            entry = self.stubs.directory.RotateAgencyKey(
                directory_pb2.RotateAgencyKeyRequest(
                    request_id=ids.new_request_id(self._entropy),
                    agency=self.agency,
                    old_fingerprint=identity_key_id(wanted.old),
                    identity_key=wanted.new,
                    succession=as_message(wanted.signed),
                ),
                timeout=DEADLINE_S,
            ).agency
        return entry.identity_key == wanted.new

    def _remember(self, wanted: NewKey, *, stolen: bool) -> None:
        """Know our old key as ours, before the file that holds it changes."""
        known = self._own_keys
        if wanted.new in {key.key for key in self.own_identity_keys()}:
            return
        known.pin(self.agency, wanted.old)
        if wanted.signed is not None:
            known.follow(self.agency, wanted.signed)
            return
        if stolen:
            known.revoke(self.agency, [wanted.old], self._clock.wall())
        known.add(self.agency, KnownKey(wanted.new.hex()), retire_at=self._clock.wall())

    def _newest_record_is_by(self, identity: bytes) -> bool:
        found = self._published()
        if found is None:
            return False
        try:
            SignedKeyRecord(found.record_bytes, found.signature).verify(identity)
        except SafehandError:
            return False
        return True


def as_message(signed: SignedSuccession) -> keys_pb2.SignedSuccession:
    """On the wire."""
    return keys_pb2.SignedSuccession(
        succession=signed.succession_bytes,
        signature_old=signed.signature_old,
        signature_new=signed.signature_new,
    )


def as_duration(seconds: int | None) -> Duration | None:
    """On the wire; None stays absent."""
    return None if seconds is None else Duration(seconds=seconds)
