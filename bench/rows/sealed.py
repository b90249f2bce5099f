"""Referrals that are sealed, authorised and ready to be sent, for rows that measure the sending."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, cast

from safehand.referral.v1 import referral_pb2
from safehand_cli.story import PURPOSE, SERVICE, TEST_FORM
from safehand_client import AgencyClient
from safehand_core import ids

from bench.load import Target
from bench.stand import ENTROPY, Stand

CATEGORIES: Final = ("CARD", "NAME")
PER_GRANT: Final = 200
"""Referrals of one grant: consent allows 500."""


class _CaughtError(Exception):
    """The request that would have been sent."""

    def __init__(self, request: referral_pb2.CreateReferralRequest) -> None:
        super().__init__()
        self.request = request


@dataclass
class _Catching:
    """The referral stub, but for ``CreateReferral``."""

    stub: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stub, name)

    def CreateReferral(self, request: Any, **_: Any) -> Any:  # noqa: N802
        raise _CaughtError(request)


@dataclass(frozen=True, slots=True)
class Ready:
    """A referral's id, and a ``CreateReferral`` with its token."""

    referral: str
    request: referral_pb2.CreateReferralRequest

    def again(self) -> bytes:
        """The same referral under a request id of its own: nothing is answered from memory."""
        self.request.request_id = ids.new_request_id(ENTROPY)
        return self.request.SerializeToString()


class Desk:
    """Agency A's desk: seals and authorises, and keeps what it would send."""

    def __init__(self, stand: Stand) -> None:
        self._world = stand.world
        stubs = stand.world.agency_a.stubs
        self._client = AgencyClient(
            stand.world.party("agency-a"),
            stubs=replace(stubs, referral=cast(Any, _Catching(stubs.referral))),
        )
        self._grant, self._left = "", 0

    def ready(self, grant: str = "") -> Ready:
        """One more, under ``grant`` or under one that the desk keeps for this."""
        try:
            self._client.send(
                grant=grant or self._any_grant(),
                recipient="agency-b",
                purpose=PURPOSE,
                service=SERVICE,
                form=TEST_FORM,
                categories=CATEGORIES,
            )
        except _CaughtError as caught:
            request = caught.request
        header = referral_of(request)
        self._client.drafts.forget(header)
        return Ready(header, request)

    def _any_grant(self) -> str:
        if self._left == 0:
            self._grant, self._left = self._world.grant(self._world.person()), PER_GRANT
        self._left -= 1
        return self._grant


def referral_of(request: referral_pb2.CreateReferralRequest) -> str:
    """The id of the referral that ``request`` creates."""
    from safehand_formats.manifest import SignedManifest

    return SignedManifest(request.manifest, request.signature).manifest.header.referral


def create(stand: Stand) -> Target:
    """``CreateReferral`` as agency A, whose certificate the tokens name."""
    return stand.target(
        "agency-a", "referral", "/safehand.referral.v1.ReferralService/CreateReferral"
    )
