"""What she says to what others wrote for her, and about who may sign beside her."""

from __future__ import annotations

from typing import Final

from safehand.consent.v1 import consent_pb2, guardians_pb2, recorded_pb2
from safehand_core import ids
from safehand_core.entropy import Entropy

from safehand_client._internal.calls import DEADLINE_S, Stubs

REPLIES: Final = {
    "yes": recorded_pb2.REPLY_YES,
    "no": recorded_pb2.REPLY_NO,
    "not-sure": recorded_pb2.REPLY_NOT_SURE,
}
"""Her answers to "Your worker wrote this for you. Is it right?" """


class HerWord:
    """Mixin of the client of one signed-in person."""

    stubs: Stubs
    session: bytes
    _entropy: Entropy

    def confirm(self, grant: str, reply: str) -> recorded_pb2.ConfirmGrantResponse:
        """Answer what a worker recorded: one of ``REPLIES``. No ends it at once and for good."""
        return self.stubs.consent.ConfirmGrant(
            recorded_pb2.ConfirmGrantRequest(
                request_id=ids.new_request_id(self._entropy),
                session=self.session,
                grant=grant,
                reply=REPLIES[reply],
            ),
            timeout=DEADLINE_S,
        )

    def invalidate(self, grant: str) -> consent_pb2.StopGrantResponse:
        """She was made to say yes: it was no consent. It ends at once and for good."""
        return self.stubs.consent.StopGrant(
            consent_pb2.StopGrantRequest(
                request_id=ids.new_request_id(self._entropy),
                session=self.session,
                grant=grant,
                mode=consent_pb2.STOP_MODE_INVALIDATE,
            ),
            timeout=DEADLINE_S,
        )

    def confirmations(self) -> list[recorded_pb2.Confirmation]:
        """What was recorded for her, who stood by it, and what she is asked, newest first."""
        out: list[recorded_pb2.Confirmation] = []
        token = ""
        while True:
            page = self.stubs.consent.ListConfirmations(
                recorded_pb2.ListConfirmationsRequest(session=self.session, page_token=token),
                timeout=DEADLINE_S,
            )
            out += page.confirmations
            token = page.next_page_token
            if not token:
                return out

    def guardians(self) -> guardians_pb2.ListGuardiansResponse:
        """Who may sign beside her, who was barred, and who says that somebody must."""
        return self.stubs.consent.ListGuardians(
            guardians_pb2.ListGuardiansRequest(session=self.session), timeout=DEADLINE_S
        )

    def dismiss_guardian(self, guardian: str) -> None:
        """Bar a guardian, at once and for ever."""
        self.stubs.consent.DismissGuardian(
            guardians_pb2.DismissGuardianRequest(
                request_id=ids.new_request_id(self._entropy),
                session=self.session,
                guardian=guardian,
            ),
            timeout=DEADLINE_S,
        )
