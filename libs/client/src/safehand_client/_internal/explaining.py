"""Why we may or may not, as consent would decide now. Asking is no look and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from safehand.consent.v1 import explain_pb2

from safehand_client._internal.base import AgencyBase
from safehand_client._internal.calls import DEADLINE_S


class Explaining(AgencyBase):
    """Questions of one agency."""

    def explain_open(self, referral: str, part: int) -> explain_pb2.ExplainResponse:
        """Whether the recipient could open ``part`` of ``referral`` now, rule by rule.

        Raises NOT_ALLOWED for a referral of others, as for none.
        """
        return self.stubs.consent.Explain(
            explain_pb2.ExplainRequest(open=explain_pb2.OpenQuestion(referral=referral, part=part)),
            timeout=DEADLINE_S,
        )

    def explain_send(
        self, grant: str, purpose: str, categories: Sequence[str]
    ) -> explain_pb2.ExplainResponse:
        """Whether we could send ``categories`` for ``purpose`` under ``grant`` now."""
        return self.stubs.consent.Explain(
            explain_pb2.ExplainRequest(
                send=explain_pb2.SendQuestion(
                    grant=grant, purpose=purpose, categories=sorted(set(categories))
                )
            ),
            timeout=DEADLINE_S,
        )
