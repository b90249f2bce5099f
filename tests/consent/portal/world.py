"""A consent service and her pages at it: real referrals, real looks, real stops, over gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand.consent.v1 import asks_pb2, consent_pb2, guardians_pb2, portal_pb2_grpc
from safehand.consent.v1 import portal_pb2 as pb
from safehand_consent_service.app import build
from safehand_consent_service.portal_numbers import ASK, GRANT, LOOK, REFERRAL, Kind, Numbers
from safehand_core import ids
from safehand_core.reasons import Reason

from tests.consent import asking, recording
from tests.consent.release.world import (
    ENTROPY,
    NOTICE,
    PURPOSE,
    A,
    B,
    C,
    Card,
    Sent,
    World,
    new_request_id,
    refused,
)

NEVER_S = 3600.0
FIRST_PIN = "135790"
PIN = "097531"
MINUTE, HOUR, DAY = 60, 3600, 24 * 3600
SHOWN = asks_pb2.Shown(notice_sha256=NOTICE, language="es", given_how="read", present="alone")
NOBODYS = "0000000000"
"""A number that nothing has, but for one chance in ten milliards."""


@dataclass
class Her:
    """She, signed in with a PIN of her own. ``ref``: what ``A`` calls her."""

    card: Card
    ref: str
    session: bytes


class PortalWorld(World):
    """As the release world; nothing is swept unless a test says so."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.secrets: dict[str, bytes] = {}

    def start(self) -> PortalWorld:
        self.app = build(self.settings, clock=self.clock, entropy=ENTROPY, sweep_every_s=NEVER_S)
        self.port = self.app.start()
        return self

    def set_up(self) -> PortalWorld:
        super().set_up()
        self.register_protocol(self.sign_protocol(self.protocol(A, C)))
        return self

    # --- what ``asking`` and ``recording`` need -------------------------------------------------

    @property
    def keys(self) -> dict[str, Ed25519PrivateKey]:
        return {name: agency.identity for name, agency in self.agencies.items()}

    def consent(self, party: str) -> Any:
        return self.agency(party)

    def request_id(self) -> str:
        return new_request_id()

    # --- she ------------------------------------------------------------------------------------

    @property
    def pages(self) -> Any:
        """A PortalService stub as the portal."""
        return portal_pb2_grpc.PortalServiceStub(self.channel("service", "portal"))

    def her(self) -> Her:
        """Somebody new, known to ``A``, whose PIN nobody else has seen."""
        card, ref = self.new_card(), ids.new_id(ENTROPY)
        self.agency(A).RegisterSubject(
            consent_pb2.RegisterSubjectRequest(
                request_id=new_request_id(),
                subject_ref=ref,
                card_number=card.number,
                pin=FIRST_PIN,
            )
        )
        session = self.sign_in(Card(card.number, FIRST_PIN))
        changed = self.pages.ChangePin(
            pb.ChangePinRequest(session=session, pin=FIRST_PIN, new_pin=PIN)
        )
        return Her(Card(card.number, PIN), ref, bytes(changed.session))

    def again(self, her: Her) -> Her:
        """She signs in once more; the session before stays what it is."""
        return Her(her.card, her.ref, self.sign_in(her.card))

    def needs_guardian(self, her: Her) -> None:
        """What she gives from now on waits for a guardian's signature."""
        card = self.new_card()
        self.agency(A).SetCosign(
            guardians_pb2.SetCosignRequest(
                request_id=new_request_id(), subject_ref=her.ref, cosign=True, alone_purposes=[]
            )
        )
        self.agency(A).RegisterGuardian(
            guardians_pb2.RegisterGuardianRequest(
                request_id=new_request_id(),
                subject_ref=her.ref,
                card_number=card.number,
                pin=card.pin,
            )
        )

    def give(self, her: Her, recipient: str = B, **changes: Any) -> str:
        """A grant of hers; its id."""
        return self.grant(her.session, self.terms(recipient_agency=recipient, **changes))

    def ask(self, her: Her, **changed: Any) -> str:
        """``A`` asks her for NAME and CONTACT for ``B``; the question's id."""
        values = {"releasing_agency": A, "recipient_agency": B, **changed}
        world: Any = self
        return str(asking.ask(world, her.ref, A, **values).ask)

    def recorded(self, her: Her, **changed: Any) -> str:
        """A worker of ``A`` wrote a grant to ``B`` down for her; its id."""
        world: Any = self
        values = {"releasing": A, "recipient": B, **changed}
        signed = recording.signed_record(world, agency=A, ref=her.ref, **values)
        return str(recording.file_record(world, signed, A).grant)

    def look(self, sent: Sent, category: str = "CARD", **changes: Any) -> None:
        """``B`` opens a part; identity parts once it accepted."""
        self.release(sent, category, **changes)

    def refuse(self, sent: Sent, category: str = "CARD") -> None:
        """``B`` tries to open a part and is refused; its row is written when this returns."""
        with refused(Reason.CONSENT_ENDED):
            self.release(sent, category)
        self.app.context.refused.settle()

    # --- her pages ------------------------------------------------------------------------------

    def home(self, her: Her) -> pb.GetHomeResponse:
        found: pb.GetHomeResponse = self.pages.GetHome(pb.GetHomeRequest(session=her.session))
        return found

    def sharing(self, her: Her) -> pb.ListSharingResponse:
        request = pb.ListSharingRequest(session=her.session)
        found: pb.ListSharingResponse = self.pages.ListSharing(request)
        return found

    def only(self, her: Her) -> pb.Sharing:
        """The one sharing that her list shows."""
        (one,) = self.sharing(her).sharings
        return one

    def number(self, her: Her, item: str, kind: Kind = GRANT) -> str:
        """Her session's number for an id, shown or not."""
        return Numbers(her.session).of(kind, item)

    def one(self, her: Her, number: str) -> pb.Sharing:
        request = pb.GetSharingRequest(session=her.session, number=number)
        found: pb.Sharing = self.pages.GetSharing(request).sharing
        return found

    def stop_one(self, her: Her, number: str, request_id: str = "") -> pb.StopSharingResponse:
        request = pb.StopSharingRequest(
            request_id=request_id or new_request_id(), session=her.session, number=number
        )
        found: pb.StopSharingResponse = self.pages.StopSharing(request)
        return found

    def stop_all(self, her: Her, request_id: str = "") -> pb.StopEverythingResponse:
        request = pb.StopEverythingRequest(
            request_id=request_id or new_request_id(), session=her.session
        )
        found: pb.StopEverythingResponse = self.pages.StopEverything(request)
        return found

    def undo(
        self, her: Her, number: str, pin: str = PIN, request_id: str = ""
    ) -> pb.UndoStopResponse:
        request = pb.UndoStopRequest(
            request_id=request_id or new_request_id(), session=her.session, number=number, pin=pin
        )
        found: pb.UndoStopResponse = self.pages.UndoStop(request)
        return found

    def destroy(self, her: Her, number: str, request_id: str = "") -> pb.DestroyNowResponse:
        request = pb.DestroyNowRequest(
            request_id=request_id or new_request_id(), session=her.session, number=number
        )
        found: pb.DestroyNowResponse = self.pages.DestroyNow(request)
        return found

    def confirm(self, her: Her, number: str, reply: Any, request_id: str = "") -> pb.Sharing:
        request = pb.ConfirmRecordedRequest(
            request_id=request_id or new_request_id(),
            session=her.session,
            number=number,
            reply=reply,
        )
        found: pb.Sharing = self.pages.ConfirmRecorded(request).sharing
        return found

    def answer_request(
        self, her: Her, number: str, decision: Any, **changed: Any
    ) -> pb.AnswerAskedRequest:
        values: dict[str, Any] = {
            "request_id": new_request_id(),
            "session": her.session,
            "number": number,
            "decision": decision,
        }
        if decision != asks_pb2.DECISION_LATER:
            values["shown"] = SHOWN
        if decision == asks_pb2.DECISION_YES:
            values["categories"] = ["NAME"]
        return pb.AnswerAskedRequest(**{**values, **changed})

    def answer(
        self, her: Her, number: str, decision: Any, **changed: Any
    ) -> pb.AnswerAskedResponse:
        request = self.answer_request(her, number, decision, **changed)
        found: pb.AnswerAskedResponse = self.pages.AnswerAsked(request)
        return found

    def seen(self, her: Her, **what: Any) -> pb.ListSeenResponse:
        request = pb.ListSeenRequest(session=her.session, **what)
        found: pb.ListSeenResponse = self.pages.ListSeen(request)
        return found

    def all_seen(self, her: Her, **what: Any) -> list[pb.Seen]:
        """Every page, one after the other."""
        found: list[pb.Seen] = []
        answer = self.seen(her, **what)
        found += answer.seen
        while answer.next_page_token:
            answer = self.seen(her, page_token=answer.next_page_token, **what)
            found += answer.seen
        return found

    def steps(self, her: Her) -> pb.GetStepsResponse:
        found: pb.GetStepsResponse = self.pages.GetSteps(pb.GetStepsRequest(session=her.session))
        return found

    def hide(self, her: Her, number: str, request_id: str = "") -> None:
        self.pages.HideItem(
            pb.HideItemRequest(
                request_id=request_id or new_request_id(), session=her.session, number=number
            )
        )

    def show_all(self, her: Her, pin: str = PIN, request_id: str = "") -> pb.ShowEverythingResponse:
        request = pb.ShowEverythingRequest(
            request_id=request_id or new_request_id(), session=her.session, pin=pin
        )
        found: pb.ShowEverythingResponse = self.pages.ShowEverything(request)
        return found

    # --- looking in -----------------------------------------------------------------------------

    def kinds(self, grant: str) -> list[int]:
        """The kinds of a grant's leaves, in order."""
        sql = "SELECT kind FROM grant_leaf WHERE grant_id = ? ORDER BY leaf_index"
        return [int(row[0]) for row in self.store.rows(sql, grant)]

    def later(self, seconds: int) -> None:
        self.clock.advance(seconds)


def without_numbers(message: Any, blank: Sequence[str] = ("number", "sharing")) -> Any:
    """A copy in which every number, page token, ticket and id is one and the same."""
    copy = type(message)()
    copy.CopyFrom(message)
    _blank(copy, {*blank, "next_page_token", "ticket", "referral", "seat"})
    return copy


def _blank(message: Any, names: set[str]) -> None:
    for descriptor, value in message.ListFields():
        if descriptor.name in names and not (
            descriptor.name == "sharing" and descriptor.message_type is not None
        ):
            message.ClearField(descriptor.name)
        elif descriptor.message_type is not None:
            for one in value if descriptor.is_repeated else [value]:
                _blank(one, names)


__all__ = [
    "ASK",
    "DAY",
    "ENTROPY",
    "GRANT",
    "HOUR",
    "LOOK",
    "MINUTE",
    "NOBODYS",
    "PIN",
    "PURPOSE",
    "REFERRAL",
    "SHOWN",
    "A",
    "B",
    "C",
    "Her",
    "PortalWorld",
    "new_request_id",
    "refused",
    "without_numbers",
]
