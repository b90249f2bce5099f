"""Services that keep what they are told, and whose answers can get lost on the way back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from safehand.consent.v1 import consent_pb2, ledger_pb2
from safehand.referral.v1 import directory_pb2, referral_pb2
from safehand_client import AgencyClient
from safehand_client._internal.calls import Stubs
from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.answer import SignedAnswer
from safehand_formats.keyrecord import SignedKeyRecord
from safehand_formats.kinds import Kind, key_tag

from tests.client.party import Scene
from tests.flow.liars import Fork


@dataclass
class Services:
    """Consent, ledger, referral and directory in one object: each method's own name.

    ``before`` and ``after``: methods that refuse their next call, before or after they did it.
    """

    scene: Scene
    served: referral_pb2.GetReferralResponse | None = None
    before: dict[str, Reason] = field(default_factory=dict)
    after: dict[str, Reason] = field(default_factory=dict)
    answers: dict[str, bytes] = field(default_factory=dict)
    filed: list[bytes] = field(default_factory=list)
    logged: list[SignedKeyRecord] = field(default_factory=list)
    published: list[SignedKeyRecord] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ledger = Fork([], self.scene.ledger)

    def __getattr__(self, method: str) -> Callable[..., Any]:
        try:
            work = object.__getattribute__(self, f"do_{method}")
        except AttributeError:
            raise AssertionError(f"{method} was called") from None

        def call(request: Any, timeout: float) -> Any:
            self.calls.append(method)
            if (reason := self.before.pop(method, None)) is not None:
                raise SafehandError(reason)
            answer = work(request)
            if (reason := self.after.pop(method, None)) is not None:
                raise SafehandError(reason)
            return answer

        return call

    def client(self) -> AgencyClient:
        """A new process of the same agency."""
        one: Any = self
        stubs = Stubs(one, one, one, one, one, ())
        scene = self.scene
        return AgencyClient(scene.party, clock=scene.clock, entropy=scene.entropy, stubs=stubs)

    # --- consent ---------------------------------------------------------------------------------

    def do_RecordAnswer(self, request: Any) -> Any:  # noqa: N802
        word = SignedAnswer(request.answer, request.signature).answer.answer
        if self.answers.setdefault(word, request.answer) != request.answer:
            raise SafehandError(Reason.ALREADY_EXISTS)
        return consent_pb2.RecordAnswerResponse(ack=b"ack", ack_signature=bytes(64))

    def do_AppendKey(self, request: Any) -> Any:  # noqa: N802
        signed = SignedKeyRecord(request.record, request.signature)
        if signed not in self.logged:
            if signed.record.sequence != len(self.logged):
                raise SafehandError(Reason.KEY_SEQUENCE)
            self.logged.append(signed)
            body: dict[str, Json] = {
                "kind": Kind.KEY.name,
                "agency": signed.record.agency,
                "sequence": signed.record.sequence,
                "record": signed.digest.hex(),
                "at": self.scene.clock.wall(),
            }
            self.ledger.append(
                Kind.KEY, body, key_tag(signed.record.agency, signed.record.sequence)
            )
        receipt = self.ledger.receipt(self.logged.index(signed))
        return ledger_pb2.AppendKeyResponse(receipt=receipt)

    def do_GetConsistencyProof(self, request: Any) -> Any:  # noqa: N802
        return self.ledger.consistency(request, lambda _: None)

    # --- referral --------------------------------------------------------------------------------

    def do_GetReferral(self, request: Any) -> Any:  # noqa: N802
        answer = referral_pb2.GetReferralResponse()
        assert self.served is not None
        answer.CopyFrom(self.served)
        if not request.with_parts:
            del answer.parts[:]
        return answer

    def do_AnswerReferral(self, request: Any) -> Any:  # noqa: N802
        self.filed.append(request.answer)
        said = SignedAnswer(request.answer, request.signature).answer
        return referral_pb2.AnswerReferralResponse(
            referral=referral_pb2.Referral(referral=said.referral)
        )

    def do_GetKey(self, request: Any) -> Any:  # noqa: N802
        if not self.published:
            raise SafehandError(Reason.NOT_FOUND)
        last = self.published[-1]
        return directory_pb2.GetKeyResponse(record=last.record_bytes, signature=last.signature)

    def do_PublishKey(self, request: Any) -> Any:  # noqa: N802
        signed = SignedKeyRecord(request.record, request.signature)
        if signed not in self.published:
            self.published.append(signed)
        return directory_pb2.PublishKeyResponse()
