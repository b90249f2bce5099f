"""Channels and deadlines of the client."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc
from safehand.consent.v1 import consent_pb2_grpc, keys_pb2_grpc, ledger_pb2_grpc
from safehand.notify.v1 import notify_pb2_grpc
from safehand.referral.v1 import directory_pb2_grpc, referral_pb2_grpc
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_rpc.dial import connect
from safehand_rpc.tls import TlsFiles

from safehand_client.party import Addresses

DEADLINE_S = 15.0
"""Seconds for one call: a stop may wait for a held release."""


class _Nobody:
    """A service that nobody connected."""

    def __getattr__(self, method: str) -> NoReturn:
        raise SafehandError(Reason.UNAVAILABLE, "this client is not connected to that service")


def _nobody() -> Any:
    return _Nobody()


@dataclass(frozen=True, slots=True)
class Stubs:
    """One stub for each service, on three channels."""

    consent: consent_pb2_grpc.ConsentServiceStub
    ledger: ledger_pb2_grpc.LedgerServiceStub
    referral: referral_pb2_grpc.ReferralServiceStub
    directory: directory_pb2_grpc.DirectoryServiceStub
    notify: notify_pb2_grpc.NotifyServiceStub
    channels: tuple[grpc.Channel, ...]
    keys: keys_pb2_grpc.KeyServiceStub = field(default_factory=_nobody)

    def close(self) -> None:
        for channel in self.channels:
            channel.close()


def dial(addresses: Addresses, tls: TlsFiles) -> Stubs:
    """Connect to the three services; each must prove with its certificate that it is the one."""
    consent = connect(addresses.consent, tls, service="consent")
    referral = connect(addresses.referral, tls, service="referral")
    notify = connect(addresses.notify, tls, service="notify")
    return Stubs(
        consent_pb2_grpc.ConsentServiceStub(consent),
        ledger_pb2_grpc.LedgerServiceStub(consent),
        referral_pb2_grpc.ReferralServiceStub(referral),
        directory_pb2_grpc.DirectoryServiceStub(referral),
        notify_pb2_grpc.NotifyServiceStub(notify),
        (consent, referral, notify),
        keys_pb2_grpc.KeyServiceStub(consent),
    )
