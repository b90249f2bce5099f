"""What the portal does for her: sign in, see, give, stop, resume, keep her receipt.

In this issue's command line it runs with the portal's certificate (``--as her``). It holds her
short session in memory and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from google.protobuf.timestamp_pb2 import Timestamp
from safehand.consent.v1 import consent_pb2, explain_pb2
from safehand_core import ids
from safehand_core.entropy import Entropy, SystemEntropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.bodies import decode_body
from safehand_formats.checkpoint import Checkpoint
from safehand_formats.kinds import Kind, grant_tag
from safehand_formats.leaf import Leaf, body_commitment
from safehand_formats.note import NoteVerifier
from safehand_formats.proof import TlogProof

from safehand_client._internal.calls import DEADLINE_S, Stubs, dial
from safehand_client._internal.her_helpers import HerHelpers
from safehand_client._internal.her_word import HerWord
from safehand_client._internal.notice import NOTICE_SHA256
from safehand_client._internal.questions import Questions
from safehand_client.party import Addresses, Party

NEEDS_LIVE: Final = frozenset({Kind.REFER, Kind.DISCLOSE})
"""Entries that may not stand behind a stop."""
ENDS: Final = frozenset({Kind.STOP, Kind.REVOKE, Kind.EXPIRE})


@dataclass(frozen=True, slots=True)
class ReceiptLine:
    """One leaf of her receipt, verified: what was logged, and where."""

    index: int
    kind: Kind
    body: dict[str, object]


class SurvivorClient(Questions, HerWord, HerHelpers):
    """One signed-in person."""

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
        self._vkey_path = party.trust / "ledger.vkey"
        self.session = b""

    def close(self) -> None:
        self.stubs.close()

    def sign_in(self, card_number: str, pin: str) -> None:
        """Open a session. Raises SIGN_IN_FAILED, THROTTLED."""
        self.session = self.stubs.consent.OpenSession(
            consent_pb2.OpenSessionRequest(card_number=card_number, pin=pin), timeout=DEADLINE_S
        ).session

    def sign_out(self) -> None:
        """End the session on the server."""
        if self.session:
            self.stubs.consent.CloseSession(
                consent_pb2.CloseSessionRequest(session=self.session), timeout=DEADLINE_S
            )
        self.session = b""

    def options(self) -> list[consent_pb2.SharingOption]:
        """Who could receive something."""
        return list(
            self.stubs.consent.ListSharingOptions(
                consent_pb2.ListSharingOptionsRequest(session=self.session), timeout=DEADLINE_S
            ).options
        )

    def grant(
        self,
        *,
        releasing: str,
        recipient: str,
        purpose: str,
        categories: Sequence[str],
        expires_at: int | None = None,
        erase_by: int | None = None,
        language: str = "en",
        given_how: str = "read",
        present: str = "alone",
    ) -> consent_pb2.GrantResponse:
        """Say yes. Times are seconds since the epoch; None takes the service's default."""
        terms = consent_pb2.Terms(
            releasing_agency=releasing,
            recipient_agency=recipient,
            purpose=purpose,
            categories=sorted(set(categories)),
            notice_sha256=NOTICE_SHA256,
            language=language,
            given_how=given_how,
            present=present,
        )
        if expires_at is not None:
            terms.expires_at.CopyFrom(Timestamp(seconds=expires_at))
        if erase_by is not None:
            terms.erase_by.CopyFrom(Timestamp(seconds=erase_by))
        return self.stubs.consent.Grant(
            consent_pb2.GrantRequest(
                request_id=ids.new_request_id(self._entropy), session=self.session, terms=terms
            ),
            timeout=DEADLINE_S,
        )

    def stop(self, grant: str, *, destroy_now: bool = False) -> consent_pb2.StopGrantResponse:
        """Stop sharing at once; ``destroy_now`` also destroys the keys for good."""
        return self.stubs.consent.StopGrant(
            consent_pb2.StopGrantRequest(
                request_id=ids.new_request_id(self._entropy),
                session=self.session,
                grant=grant,
                mode=consent_pb2.STOP_MODE_DESTROY_NOW
                if destroy_now
                else consent_pb2.STOP_MODE_STOP,
            ),
            timeout=DEADLINE_S,
        )

    def resume(self, grant: str) -> consent_pb2.ResumeGrantResponse:
        """Undo a stop within its window."""
        return self.stubs.consent.ResumeGrant(
            consent_pb2.ResumeGrantRequest(
                request_id=ids.new_request_id(self._entropy), session=self.session, grant=grant
            ),
            timeout=DEADLINE_S,
        )

    def grants(self) -> list[consent_pb2.GrantView]:
        """All of her grants, newest first."""
        out: list[consent_pb2.GrantView] = []
        token = ""
        while True:
            page = self.stubs.consent.ListGrants(
                consent_pb2.ListGrantsRequest(session=self.session, page_token=token),
                timeout=DEADLINE_S,
            )
            out += page.grants
            token = page.next_page_token
            if not token:
                return out

    def looks(self, grant: str = "") -> list[consent_pb2.Look]:
        """Who looked, and who tried and was refused, newest first."""
        out: list[consent_pb2.Look] = []
        token = ""
        while True:
            page = self.stubs.consent.ListLooks(
                consent_pb2.ListLooksRequest(session=self.session, grant=grant, page_token=token),
                timeout=DEADLINE_S,
            )
            out += page.looks
            token = page.next_page_token
            if not token:
                return out

    def explain_sharing(self, grant: str, category: str) -> explain_pb2.ExplainSharingResponse:
        """Whether one kind of her information can be opened under a grant now, and why."""
        return self.stubs.consent.ExplainSharing(
            explain_pb2.ExplainSharingRequest(session=self.session, grant=grant, category=category),
            timeout=DEADLINE_S,
        )

    def receipt(self, grant: str) -> consent_pb2.GetReceiptResponse:
        """Her receipt: the grant's secret and every leaf of it, opened."""
        return self.stubs.consent.GetReceipt(
            consent_pb2.GetReceiptRequest(session=self.session, grant=grant), timeout=DEADLINE_S
        )

    def verified_receipt(self, grant: str) -> list[ReceiptLine]:
        """Her receipt, checked: every proof, every opening, every tag, no gap in any counter,
        nothing sent or opened behind a stop, or of what she had taken out.

        Raises PROOF_INVALID (``read_receipt``). Checked under the vkey that this party pinned,
        not the one that came with the receipt.
        """
        verifier = NoteVerifier.from_vkey(self._vkey_path.read_text().strip())
        return read_receipt(self.receipt(grant), grant, verifier)[0]


def read_receipt(
    receipt: consent_pb2.GetReceiptResponse, grant: str, verifier: NoteVerifier
) -> tuple[list[ReceiptLine], Checkpoint]:
    """The lines of a receipt of ``grant`` in ledger order, and the one head that proves them all.

    Raises PROOF_INVALID: a proof, an opening or a tag is wrong, a counter has a gap, a line is out
    of its order, or something was sent or opened behind a stop or the end, or of what she had taken
    out before. Lines left out at the end of a counter leave no gap: whoever has all leaves finds
    those (``auditor.check_complete``).
    """
    try:
        return _read(receipt, grant, verifier)
    except SafehandError as error:
        raise SafehandError(Reason.PROOF_INVALID, error.detail) from error


def _read(
    receipt: consent_pb2.GetReceiptResponse, grant: str, verifier: NoteVerifier
) -> tuple[list[ReceiptLine], Checkpoint]:
    lines: list[ReceiptLine] = []
    heads: set[Checkpoint] = set()
    counters: dict[Kind, int] = {}
    for item in receipt.receipts:
        proof = TlogProof.from_text(item.proof)
        heads.add(proof.verify(item.leaf, verifier))
        leaf = Leaf.decode(item.leaf)
        body = decode_body(leaf.kind, item.body)
        counter = counters.get(leaf.kind, 0)
        counters[leaf.kind] = counter + 1
        if (
            proof.index != item.index
            or (lines and item.index <= lines[-1].index)
            or body_commitment(item.salt, item.body) != leaf.commitment
            or leaf.tag != grant_tag(leaf.kind, receipt.secret, counter)
            or body.get("grant") != grant
        ):
            raise SafehandError(Reason.PROOF_INVALID, "a line of the receipt does not hold")
        lines.append(ReceiptLine(item.index, leaf.kind, dict(body)))
    if not lines or lines[0].kind is not Kind.GRANT:
        raise SafehandError(Reason.PROOF_INVALID, "the receipt does not begin with the grant")
    if len(heads) != 1:
        raise SafehandError(Reason.PROOF_INVALID, "the receipt is not under one head")
    _require_order(lines)
    return lines, heads.pop()


def _require_order(lines: Sequence[ReceiptLine]) -> None:
    live, final = True, False
    scope = _Scope(lines[0])
    for line in lines:
        scope.require(line)
        if line.kind in ENDS:
            live, final = False, final or line.kind is not Kind.STOP
        elif line.kind is Kind.RESUME:
            live = not final
        elif line.kind in NEEDS_LIVE and not live:
            raise SafehandError(Reason.PROOF_INVALID, "something was opened behind a stop")


class _Scope:
    """What the consent lets be shared, from one line to the next: it can only shrink."""

    def __init__(self, grant: ReceiptLine) -> None:
        self._categories, self._end = _names(grant), _number(grant, "expires_at")

    def require(self, line: ReceiptLine) -> None:
        """Raise PROOF_INVALID for a line that goes beyond what is left at its place."""
        if line.kind is Kind.NARROW:
            left, end = _names(line), _number(line, "expires_at")
            if not left <= self._categories or end > self._end:
                raise SafehandError(Reason.PROOF_INVALID, "a narrowing that widens")
            self._categories, self._end = left, end
        elif line.kind in NEEDS_LIVE:
            if not _names(line) <= self._categories:
                raise SafehandError(Reason.PROOF_INVALID, "something was opened that is not in it")
            if _number(line, "at") >= self._end:
                raise SafehandError(Reason.PROOF_INVALID, "something was opened after its end")


def _names(line: ReceiptLine) -> set[str]:
    """The categories of a line; its body was checked."""
    if line.kind is Kind.DISCLOSE:
        return {cast(str, line.body["category"])}
    return set(cast("list[str]", line.body["categories"]))


def _number(line: ReceiptLine, key: str) -> int:
    return cast(int, line.body[key])
