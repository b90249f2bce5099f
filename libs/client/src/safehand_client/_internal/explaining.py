"""Why we may or may not, as it would be decided now. Asking is no look and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from safehand.consent.v1 import consent_pb2, explain_pb2
from safehand.referral.v1 import directory_pb2, referral_pb2
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import CARD
from safehand_formats.sharing_protocol import SharingProtocol

from safehand_client._internal.calls import DEADLINE_S
from safehand_client._internal.keys import DAY_S
from safehand_client._internal.opening import Fetched, Opening
from safehand_client._internal.pending import PASSING
from safehand_client._internal.sending import REFERRAL_DAYS, Sending
from safehand_client._internal.verdict import (
    BEYOND_OPENING,
    BEYOND_SENDING,
    SERVICE_NOT_NAMED,
    Name,
    Verdict,
)


class Explaining(Sending, Opening):
    """Questions of one agency: to consent alone (``explain_*``), or to all that decide (``may_*``).

    Consent decides first; what it refuses, nobody else is asked.
    """

    def explain_open(self, referral: str, part: int) -> explain_pb2.ExplainResponse:
        """Whether consent would let the recipient open ``part`` of ``referral`` now, rule by rule.

        Raises NOT_ALLOWED for a referral of others, as for none.
        """
        return self.stubs.consent.Explain(
            explain_pb2.ExplainRequest(open=explain_pb2.OpenQuestion(referral=referral, part=part)),
            timeout=DEADLINE_S,
        )

    def explain_send(
        self, grant: str, purpose: str, categories: Sequence[str]
    ) -> explain_pb2.ExplainResponse:
        """Whether consent would let us send ``categories`` for ``purpose`` under ``grant`` now."""
        return self.stubs.consent.Explain(
            explain_pb2.ExplainRequest(
                send=explain_pb2.SendQuestion(
                    grant=grant, purpose=purpose, categories=sorted(set(categories))
                )
            ),
            timeout=DEADLINE_S,
        )

    def may_open(self, referral: str, part: int) -> Verdict:
        """Whether ``part`` (0..15) of ``referral`` could be opened now: consent's rules, then those
        of the referral service and our own.

        To the sender, for whom nothing is handed out, ``beyond`` says what it cannot ask. Raises
        NOT_ALLOWED for a referral of others, as for none.
        """
        verdict = Verdict.of_consent(self.explain_open(referral, part))
        found: list[referral_pb2.Referral] = []
        verdict.ask(Name.KEPT, lambda: found.append(self._kept(referral)))
        if found and found[0].sender == self.agency:
            verdict.beyond.append(BEYOND_OPENING)
            return verdict
        got = _Got()
        verdict.ask(Name.HANDED_OUT, lambda: got.fetch(self, referral))
        verdict.ask(Name.GENUINE, got.require_genuine)
        verdict.ask(Name.OUR_KEY, lambda: self._require_key(got.require_genuine()))
        return verdict

    def may_send(
        self,
        grant: str,
        purpose: str,
        categories: Sequence[str],
        *,
        service: str = "",
        not_after: int | None = None,
    ) -> Verdict:
        """Whether ``send`` of the same would pass now: consent's rules, then our own and those of
        the referral service. CARD is always in.

        ``not_after`` (seconds since the epoch): the referral's end, by default that of ``send``.
        """
        wanted = sorted({CARD, *categories})
        now = self._clock.wall()
        verdict = Verdict.of_consent(self.explain_send(grant, purpose, wanted))
        terms = self._terms_of(grant) if verdict.allowed else consent_pb2.Terms()
        usual = min(now + REFERRAL_DAYS * DAY_S, terms.expires_at.seconds)
        end = usual if not_after is None else not_after
        to = terms.recipient_agency
        verdict.ask(Name.ENDS_INSIDE, lambda: _require_inside(end, terms))
        verdict.ask(Name.OUR_AGREEMENT, lambda: self.trust.covering(to, purpose, wanted, now))
        verdict.ask(Name.RECIPIENT_KEY, lambda: self.recipient_key(to, end))
        verdict.ask(Name.PUBLISHED, lambda: self._require_published(to, purpose, wanted, now))
        if service:
            verdict.ask(Name.SERVICE_NEEDS, lambda: self._require_needs(service, to, wanted))
        else:
            verdict.beyond.append(SERVICE_NOT_NAMED)
        verdict.beyond.append(BEYOND_SENDING)
        return verdict

    def _kept(self, referral: str) -> referral_pb2.Referral:
        return self.stubs.referral.GetReferral(
            referral_pb2.GetReferralRequest(referral=referral), timeout=DEADLINE_S
        ).referral

    def _require_key(self, fetched: Fetched) -> None:
        self._keys.secret(f"recipient-{fetched.manifest.header.recipient_key}", create=False)

    def _require_published(
        self, recipient: str, purpose: str, categories: Sequence[str], now: int
    ) -> None:
        """Raise PROTOCOL_MISSING unless the referral service carries one that covers it."""
        token = ""
        while True:
            page = self.stubs.directory.ListProtocols(
                directory_pb2.ListProtocolsRequest(page_token=token), timeout=DEADLINE_S
            )
            for item in page.protocols:
                protocol = SharingProtocol.decode(item.protocol)
                if recipient in (protocol.a.agency, protocol.b.agency):
                    with suppress(SafehandError):
                        protocol.covers(purpose, categories, now)
                        return
            token = page.next_page_token
            if not token:
                raise SafehandError(Reason.PROTOCOL_MISSING)

    def _require_needs(self, service: str, recipient: str, categories: Sequence[str]) -> None:
        """Raise NOT_FOUND, SERVICE_NEEDS_EXCEEDED as the referral service would."""
        found = self.stubs.directory.GetService(
            directory_pb2.GetServiceRequest(service=service), timeout=DEADLINE_S
        ).service
        if found.agency != recipient:
            raise SafehandError(Reason.NOT_FOUND, "the recipient delivers no such service")
        if not set(categories) <= set(found.categories):
            raise SafehandError(Reason.SERVICE_NEEDS_EXCEEDED)


class _Got:
    """One try to fetch: what the service refused, and what our own check of it says."""

    _REFUSED = PASSING - {Reason.PROOF_INVALID} | {
        Reason.CONSENT_ENDED,
        Reason.REFERRAL_CLOSED,
    }
    """The service's own refusals; every other is our check's."""

    def __init__(self) -> None:
        self._fetched: Fetched | None = None
        self._refusal: SafehandError | None = None

    def fetch(self, client: Opening, referral: str) -> None:
        """Raise what the service refuses."""
        try:
            self._fetched = client.fetch(referral)
        except SafehandError as error:
            if error.reason in self._REFUSED:
                raise
            self._refusal = error

    def require_genuine(self) -> Fetched:
        """What was fetched; raises why our own check refused it."""
        if self._refusal is not None or self._fetched is None:
            raise self._refusal or SafehandError(Reason.SIGNATURE_INVALID)
        return self._fetched


def _require_inside(end: int, terms: consent_pb2.Terms) -> None:
    if end > terms.expires_at.seconds:
        raise SafehandError(Reason.EXPIRY_INVALID, "the referral would outlive the consent")
