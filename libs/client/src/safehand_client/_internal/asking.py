"""We ask her for a consent; she answers at the portal, or not."""

from __future__ import annotations

from collections.abc import Sequence

from safehand.consent.v1 import asks_pb2
from safehand_core import ids

from safehand_client._internal.base import AgencyBase
from safehand_client._internal.calls import DEADLINE_S
from safehand_client._internal.notice import NOTICE_SHA256


class Asking(AgencyBase):
    """Questions of one agency to the people whom it knows."""

    def ask_consent(
        self,
        *,
        subject_ref: str,
        worker_ref: str,
        releasing: str,
        recipient: str,
        purpose: str,
        categories: Sequence[str],
        days: int,
        notice_sha256: str = NOTICE_SHA256,
        language: str = "en",
        request_id: str | None = None,
    ) -> asks_pb2.AgencyAsk:
        """Ask her, by our own reference; we are the releasing agency or the recipient.

        ``days``: the term from her answer on, at most 180. The answer is the same whether it
        reaches anybody or not. ``notice_sha256``: of the text that explains it, by default the
        client's own. Raises PROTOCOL_MISSING, QUOTA_EXCEEDED with the time to wait.
        """
        return self.stubs.consent.AskConsent(
            asks_pb2.AskConsentRequest(
                request_id=request_id or ids.new_request_id(self._entropy),
                subject_ref=subject_ref,
                releasing_agency=releasing,
                recipient_agency=recipient,
                purpose=purpose,
                categories=sorted(set(categories)),
                days=days,
                notice_sha256=notice_sha256,
                language=language,
                worker_ref=worker_ref,
            ),
            timeout=DEADLINE_S,
        ).ask

    def asks(self, subject_ref: str = "") -> list[asks_pb2.AgencyAsk]:
        """What we asked in the last 90 days, newest first: open, given, or over."""
        out: list[asks_pb2.AgencyAsk] = []
        token = ""
        while True:
            page = self.stubs.consent.ListAsks(
                asks_pb2.ListAsksRequest(subject_ref=subject_ref, page_token=token),
                timeout=DEADLINE_S,
            )
            out += page.asks
            token = page.next_page_token
            if not token:
                return out
