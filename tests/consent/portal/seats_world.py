"""What the tests of her session call: the plain consent world, with PortalService on top."""

from __future__ import annotations

from typing import Any

from safehand.consent.v1 import consent_pb2, portal_pb2_grpc
from safehand.consent.v1 import portal_pb2 as pb

from tests.consent.world import PIN, World, card

OWN_PIN = "013579"
WRONG = "000000"
NUMBER = 1
"""Her card, filed by haven with ``PIN``."""


def pages(world: World) -> Any:
    """A PortalService stub as the portal."""
    return portal_pb2_grpc.PortalServiceStub(world.channel("portal"))


def sign_in(world: World, pin: str = PIN, number: int = NUMBER, **how: Any) -> bytes:
    answer = world.portal.OpenSession(
        consent_pb2.OpenSessionRequest(card_number=card(number), pin=pin, **how)
    )
    return bytes(answer.session)


def change_pin(world: World, session: bytes, pin: str = PIN, new_pin: str = OWN_PIN) -> Any:
    return pages(world).ChangePin(pb.ChangePinRequest(session=session, pin=pin, new_pin=new_pin))


def own(world: World, **how: Any) -> bytes:
    """A session of hers with a PIN that nobody else has seen; call it once in a world."""
    return bytes(change_pin(world, sign_in(world, **how)).session)


def home(world: World, session: bytes) -> Any:
    return pages(world).GetHome(pb.GetHomeRequest(session=session))


def lock(world: World, session: bytes) -> None:
    pages(world).LockSession(pb.LockSessionRequest(session=session))


def unlock(world: World, session: bytes, pin: str = OWN_PIN) -> Any:
    return pages(world).UnlockSession(pb.UnlockSessionRequest(session=session, pin=pin))


def speak(world: World, session: bytes, language: str = "es") -> Any:
    return pages(world).SetLanguage(pb.SetLanguageRequest(session=session, language=language))


def close(world: World, session: bytes) -> None:
    world.portal.CloseSession(consent_pb2.CloseSessionRequest(session=session))
