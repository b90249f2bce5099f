"""What the portal does for a guardian: sign in, see what waits, sign. Nothing else."""

from __future__ import annotations

from safehand.consent.v1 import guardians_pb2
from safehand_core import ids
from safehand_core.entropy import Entropy, SystemEntropy

from safehand_client._internal.calls import DEADLINE_S, Stubs, dial
from safehand_client.party import Addresses, Party


class GuardianClient:
    """One signed-in guardian. Not to sign is to let it lapse."""

    def __init__(
        self,
        party: Party,
        *,
        addresses: Addresses | None = None,
        entropy: Entropy | None = None,
        stubs: Stubs | None = None,
    ) -> None:
        self._entropy = entropy or SystemEntropy()
        self.stubs = stubs or dial(addresses or party.addresses, party.tls)
        self.session = b""

    def close(self) -> None:
        self.stubs.close()

    def sign_in(self, card_number: str, pin: str) -> None:
        """Open a session with the guardian's own card. Raises SIGN_IN_FAILED, THROTTLED."""
        self.session = self.stubs.consent.OpenGuardianSession(
            guardians_pb2.OpenGuardianSessionRequest(card_number=card_number, pin=pin),
            timeout=DEADLINE_S,
        ).session

    def sign_out(self) -> None:
        """End the session on the server."""
        if self.session:
            self.stubs.consent.CloseGuardianSession(
                guardians_pb2.CloseGuardianSessionRequest(session=self.session),
                timeout=DEADLINE_S,
            )
        self.session = b""

    def waiting(self) -> list[guardians_pb2.CosignRequest]:
        """What waits for the signature: terms alone, oldest first."""
        return list(
            self.stubs.consent.ListCosignRequests(
                guardians_pb2.ListCosignRequestsRequest(session=self.session), timeout=DEADLINE_S
            ).requests
        )

    def sign(self, grant: str) -> None:
        """Sign one. Raises NOT_FOUND for whatever does not wait."""
        self.stubs.consent.CosignGrant(
            guardians_pb2.CosignGrantRequest(
                request_id=ids.new_request_id(self._entropy), session=self.session, grant=grant
            ),
            timeout=DEADLINE_S,
        )
