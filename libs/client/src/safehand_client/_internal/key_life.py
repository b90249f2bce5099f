"""The life of our recipient keys: rotate, retire, and what to do when one is lost.

A private half is kept as long as anything may still be sealed to it (DESIGN 3.6). Two services are
asked, and the one that names more decides: consent knows every manifest that was authorised,
referral every one that arrived. A service that lies can keep us from deleting a key; it cannot
make us delete one that the other says is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from safehand.consent.v1 import keys_pb2
from safehand.referral.v1 import referral_pb2
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.keyrecord import SignedKeyRecord
from safehand_formats.manifest import SignedManifest

from safehand_client._internal.calls import DEADLINE_S
from safehand_client._internal.keys import CLOSED, PENDING_KEY, RECIPIENT_KEY_DAYS
from safehand_client._internal.opening import Opening

PREFIX: Final = "recipient-"
"""A seed's name in the keystore is this and the key's id."""


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A recipient key whose private half we hold. Times: seconds since the epoch.

    Attributes:
        kid: its id, 64 hex.
        newest: everybody seals to it; it cannot be retired before the next one is published.
        open_manifests: how many may still need it.
        until: when the last of them ends; None where there is none.
        sealed_until: until when a sender may still be let to seal to it; None: no end yet.
    """

    kid: str
    newest: bool
    open_manifests: int
    until: int | None
    sealed_until: int | None

    def needed(self, now: int) -> bool:
        """Whether deleting it could lock us out of something."""
        if self.newest or self.open_manifests:
            return True
        return self.sealed_until is None or now < self.sealed_until


@dataclass(frozen=True, slots=True)
class Unopenable:
    """A referral that is sealed to a key that we do not hold: its sender must seal it again."""

    referral: str
    sender: str
    kid: str


class KeyLife(Opening):
    """What an agency does with its own recipient keys."""

    def rotate_key(self, days: int = RECIPIENT_KEY_DAYS) -> SignedKeyRecord:
        """Publish the next recipient key; what was sealed to the one before still opens."""
        return self.publish_key(days)

    def own_keys(self) -> list[OwnKey]:
        """Every recipient key whose private half we hold, the newest first."""
        newest = self._newest_kid()
        waiting = self._waiting()
        found = [self._state_of(kid, kid == newest, waiting) for kid in self._held()]
        return sorted(found, key=lambda key: (not key.newest, key.kid))

    def retire_key(self, kid: str) -> None:
        """Delete the private half of a key for good.

        Raises STATE_CONFLICT while something may need it, with how many manifests (``open``) and
        until when (``until``, seconds since the epoch); NOT_FOUND where we do not hold it.
        """
        found = next((key for key in self.own_keys() if key.kid == kid), None)
        if found is None:
            raise SafehandError(Reason.NOT_FOUND, "we hold no such key")
        if found.needed(self._clock.wall()):
            ends = [end for end in (found.until, found.sealed_until) if end is not None]
            raise SafehandError(
                Reason.STATE_CONFLICT,
                "everybody seals to it: publish the next one first"
                if found.newest
                else "something may still be sealed to it",
                metadata={
                    "open": str(found.open_manifests),
                    "until": "unknown" if found.newest else str(max(ends, default="unknown")),
                },
            )
        self._keys.destroy(PREFIX + kid)

    def retire_keys(self) -> tuple[list[str], list[OwnKey]]:
        """Delete every private half that nothing needs; returns the kids that went, and the keys
        that stay."""
        gone, kept = [], []
        for key in self.own_keys():
            if key.needed(self._clock.wall()):
                kept.append(key)
            else:
                self._keys.destroy(PREFIX + key.kid)
                gone.append(key.kid)
        return gone, kept

    def unopenable(self) -> list[Unopenable]:
        """Open referrals to us whose key we do not hold, as after a loss."""
        held = set(self._held())
        return [
            Unopenable(referral, sender, kid)
            for kid, referral, sender, _ in self._waiting()
            if kid not in held
        ]

    # --- pieces ----------------------------------------------------------------------------

    def _held(self) -> list[str]:
        return [name.removeprefix(PREFIX) for name in self._keys.list() if name.startswith(PREFIX)]

    def _newest_kid(self) -> str:
        """The kid that everybody seals to, or that is being published; "" where there is none."""
        pending = self._pending.get(PENDING_KEY)
        if pending is not None:
            return SignedKeyRecord(pending.data, pending.signature).record.kid
        found = self._published()
        return "" if found is None else found.record.kid

    def _waiting(self) -> list[tuple[str, str, str, int]]:
        """``(kid, referral, sender, not_after)`` of what was sent to us and is not closed.

        Of a manifest that does not verify, what it claims counts: keeping a key too long is the
        smaller mistake.
        """
        now, out = self._clock.wall(), []
        for state in self.referrals():
            if state.state in CLOSED or state.recipient != self.agency:
                continue
            answer = self.stubs.referral.GetReferral(
                referral_pb2.GetReferralRequest(referral=state.referral), timeout=DEADLINE_S
            )
            header = SignedManifest(answer.manifest, answer.signature).manifest.header
            if header.not_after > now:
                out.append((header.recipient_key, state.referral, header.sender, header.not_after))
        return out

    def _state_of(self, kid: str, newest: bool, waiting: list[tuple[str, str, str, int]]) -> OwnKey:
        ends = [not_after for named, _, _, not_after in waiting if named == kid]
        try:
            use = self.stubs.keys.GetKeyUse(keys_pb2.GetKeyUseRequest(kid=kid), timeout=DEADLINE_S)
        except SafehandError as error:
            if error.reason is not Reason.KEY_UNKNOWN:
                raise
            # It has no entry in the ledger, so no sender's client ever sealed to it.
            return OwnKey(kid, newest, len(ends), max(ends, default=None), 0)
        if use.HasField("until"):
            ends.append(use.until.seconds)
        return OwnKey(
            kid,
            newest,
            max(use.open_manifests, sum(1 for named, *_ in waiting if named == kid)),
            max(ends, default=None),
            use.sealed_until.seconds if use.HasField("sealed_until") else None,
        )
