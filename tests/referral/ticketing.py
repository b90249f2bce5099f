"""Tickets as consent would sign them for her session, and her pages that use them."""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from safehand.referral.v1 import referral_pb2 as pb
from safehand.referral.v1 import referral_pb2_grpc
from safehand_core.ids import new_id
from safehand_formats import signing, steps_ticket, token
from safehand_rpc.tls import TlsFiles

from tests.referral.making import AUDIENCE, ENTROPY, ISSUER
from tests.referral.world import World


class Pages:
    """Her pages: a client with the portal's certificate. ``again``: another one of the portal's."""

    def __init__(self, world: World, *, again: str = "") -> None:
        self.world = world
        self.tls = world.party("service", "portal", again=again)
        self.stub = referral_pb2_grpc.ReferralServiceStub(world.channel(self.tls))

    def ticket(self, *referrals: str, **changes: Any) -> str:
        """What consent signs for this certificate; ``changes`` replace what it says."""
        key = changes.pop("key", self.world.token_key)
        values: dict[str, Any] = {
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "certificate_sha256": thumbprint(self.tls),
            "referrals": referrals,
            "now": self.world.clock.wall(),
            "jti": new_id(ENTROPY),
        }
        kid = token.token_key_id(signing.public_bytes(key))
        return steps_ticket.mint(key, kid, **{**values, **changes})

    def steps(self, *referrals: str, **changes: Any) -> list[pb.StepView]:
        """ListSteps with a ticket for ``referrals``."""
        return self.listed(self.ticket(*referrals, **changes))

    def listed(self, ticket: str) -> list[pb.StepView]:
        return list(self.stub.ListSteps(pb.ListStepsRequest(ticket=ticket)).steps)

    def step(self, referral: str) -> pb.StepView:
        (found,) = self.steps(referral)
        return found


def thumbprint(tls: TlsFiles) -> bytes:
    """``x5t#S256`` of the certificate in ``tls``."""
    certificate = x509.load_pem_x509_certificate(tls.cert.read_bytes())
    return token.certificate_thumbprint(certificate.public_bytes(Encoding.DER))
