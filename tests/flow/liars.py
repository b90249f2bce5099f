"""Services that lie, and a ledger's owner who does: what the tests of lies are made with.

``Proxy`` has a certificate for a service's name, as its operator's authority can issue, and
stands between a client and the real service: it passes everything on but what it lies about.
``Fork`` is the ledger in the hands of whoever holds its key: real leaves, any others behind them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass
from safehand.consent.v1 import consent_pb2, ledger_pb2
from safehand.referral.v1 import directory_pb2, referral_pb2
from safehand_client import Addresses, AgencyClient, Party
from safehand_client import auditor as auditing
from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.keystore import FileKeystore
from safehand_formats import merkle
from safehand_formats.bodies import encode_body
from safehand_formats.checkpoint import Checkpoint
from safehand_formats.kinds import Kind
from safehand_formats.leaf import Leaf, body_commitment
from safehand_formats.note import NoteSigner
from safehand_formats.proof import TlogProof
from safehand_rpc import status
from safehand_rpc.ca import DevCa
from safehand_rpc.dial import connect
from safehand_rpc.identity import TRUST_DOMAIN
from safehand_rpc.tls import TlsFiles, server_credentials

from tests.harness.world import World

SERVICES: Final[Mapping[str, Sequence[ServiceDescriptor]]] = {
    "consent": (
        consent_pb2.DESCRIPTOR.services_by_name["ConsentService"],
        ledger_pb2.DESCRIPTOR.services_by_name["LedgerService"],
    ),
    "referral": (
        referral_pb2.DESCRIPTOR.services_by_name["ReferralService"],
        directory_pb2.DESCRIPTOR.services_by_name["DirectoryService"],
    ),
}

Ask = Callable[[Any], Any]
"""Asks the real service."""
Lie = Callable[[Any, Ask], Any]
"""``(request, ask the real service)`` to the answer."""

SALT: Final = b"\x07" * 32


@dataclass
class Proxy:
    """What the lying service says, by method name, and which methods were called."""

    address: str
    lies: dict[str, Lie] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)


@contextmanager
def lying(world: World, service: str, caller: str, folder: Path) -> Iterator[Proxy]:
    """A service between ``caller`` and the real ``service``; it asks with the caller's name."""
    files = authority(world).issue(folder, f"spiffe://{TRUST_DOMAIN}/service/{service}")
    real = connect(getattr(world.system.addresses, service), world.party(caller).tls, service)
    proxy = Proxy("")
    pool = ThreadPoolExecutor(4)
    server = grpc.server(pool)
    for descriptor in SERVICES[service]:
        handlers = {m.name: _handler(proxy, real, descriptor, m) for m in descriptor.methods}
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(descriptor.full_name, handlers),)
        )
    port = server.add_secure_port("127.0.0.1:0", server_credentials(files))
    proxy.address = f"127.0.0.1:{port}"
    server.start()
    try:
        yield proxy
    finally:
        server.stop(None).wait()
        pool.shutdown()
        real.close()


def _handler(proxy: Proxy, real: Any, service: ServiceDescriptor, method: Any) -> Any:
    request_type = GetMessageClass(method.input_type)
    response_type = GetMessageClass(method.output_type)
    ask = real.unary_unary(
        f"/{service.full_name}/{method.name}",
        request_serializer=request_type.SerializeToString,
        response_deserializer=response_type.FromString,
    )

    def handle(request: Any, context: Any) -> Any:
        proxy.calls.append(method.name)
        try:
            lie = proxy.lies.get(method.name)
            return ask(request, timeout=10) if lie is None else lie(request, ask)
        except SafehandError as error:
            context.abort_with_status(status.to_grpc(error))

    return grpc.unary_unary_rpc_method_handler(
        handle,
        request_deserializer=request_type.FromString,
        response_serializer=response_type.SerializeToString,
    )


# --- parties -------------------------------------------------------------------------------------


def authority(world: World) -> DevCa:
    """The operator's certificate authority, which the operator may misuse."""
    return DevCa.load(world.sandbox.authority)


def second_certificate(world: World, folder: Path, principal: str) -> TlsFiles:
    """Another certificate for ``principal``, e.g. ``agency/agency-b``, from the same authority."""
    return authority(world).issue(folder, f"spiffe://{TRUST_DOMAIN}/{principal}")


def copy_party(world: World, name: str, folder: Path) -> Party:
    """The party with all its keys in a folder of its own: what it believes here stays here."""
    shutil.copytree(world.sandbox.party_dir(name), folder / name)
    return Party.open(folder / name)


@contextmanager
def client(
    world: World, party: Party, *, consent: str = "", referral: str = ""
) -> Iterator[AgencyClient]:
    """``party`` as it is when somebody answers at these addresses."""
    real = world.system.addresses
    addresses = Addresses(consent or real.consent, referral or real.referral, real.notify)
    found = AgencyClient(party, addresses=addresses)
    try:
        yield found
    finally:
        found.close()


# --- the ledger's dishonest owner ----------------------------------------------------------------


def log_signer(world: World) -> NoteSigner:
    """The real log key, from consent's own keystore."""
    keys = FileKeystore(world.sandbox.party_dir("consent") / "keys")
    return NoteSigner(world.vkey.split("+", 1)[0], keys.ed25519("log", create=False))


def real_leaves(world: World) -> tuple[bytes, ...]:
    """All leaves, checked under the real head."""
    return auditing.fetch_ledger(world.agency_a.stubs, log_signer(world).verifier).leaves


class Fork:
    """A ledger that begins with ``leaves`` and goes on as its owner likes, signed by its key."""

    def __init__(self, leaves: Sequence[bytes], signer: NoteSigner) -> None:
        self.leaves = list(leaves)
        self._signer = signer
        self._openings: dict[int, tuple[bytes, bytes]] = {}

    def append(self, kind: Kind, body: Mapping[str, Json], tag: bytes = bytes(32)) -> int:
        """Log a body; its index."""
        data = encode_body(kind, body)
        self.leaves.append(Leaf(kind, tag, body_commitment(SALT, data), bytes(32)).encode())
        self._openings[len(self.leaves) - 1] = (SALT, data)
        return len(self.leaves) - 1

    def receipt(self, index: int, size: int = 0) -> ledger_pb2.Receipt:
        """A receipt that verifies, at ``size`` (0: the newest)."""
        size = size or len(self.leaves)
        name = self._signer.name
        note = Checkpoint(name, size, merkle.root_at(size, self._node)).sign(self._signer)
        path = merkle.inclusion_proof(index, size, self._node)
        salt, body = self._openings.get(index, (b"", b""))
        return ledger_pb2.Receipt(
            index=index,
            leaf=self.leaves[index],
            proof=TlogProof(index, tuple(path), note).to_text(),
            salt=salt,
            body=body,
        )

    def consistency(
        self, request: ledger_pb2.GetConsistencyProofRequest, _: Ask
    ) -> ledger_pb2.GetConsistencyProofResponse:
        """Serves ``GetConsistencyProof`` of this ledger."""
        hashes = merkle.consistency_proof(request.from_size, request.to_size, self._node)
        return ledger_pb2.GetConsistencyProofResponse(hashes=hashes)

    def _node(self, level: int, index: int) -> bytes:
        part = self.leaves[index << level : (index + 1) << level]
        return merkle.root_from_leaves(part)
