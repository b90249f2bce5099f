"""The consent service in one process: the only place where its parts are put together.

Gate, unwrapping and ledger writer must share a process (DESIGN 3.4); this is it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from safehand.consent.v1 import consent_pb2, consent_pb2_grpc, ledger_pb2, ledger_pb2_grpc
from safehand_bus.wake import Waker
from safehand_core.clock import Clock
from safehand_core.entropy import Entropy
from safehand_core.keystore import FileKeystore, make_private_dir, write_atomic
from safehand_formats import signing
from safehand_formats.note import NoteSigner
from safehand_ledger.reader import LedgerReader
from safehand_ledger.writer import LedgerWriter
from safehand_rpc.lanes import Lane
from safehand_rpc.paging import Pager
from safehand_rpc.server import RunningServer, build_server
from safehand_store import migrate
from safehand_store.engine import open_engine
from sqlalchemy import Engine

from safehand_consent_service.cards import Cards
from safehand_consent_service.category_keys import KekRing
from safehand_consent_service.context import Context
from safehand_consent_service.gate import Gates
from safehand_consent_service.hooks import Hooks
from safehand_consent_service.policy import HERS, INSIDE, POLICY, STOP
from safehand_consent_service.refused_looks import RefusedLooks
from safehand_consent_service.rpc import ConsentServicer
from safehand_consent_service.rpc_ledger import LedgerServicer
from safehand_consent_service.settings import ConsentSettings
from safehand_consent_service.sweeper import EVERY_S, Sweeper, forget, sweep

MIGRATIONS: Final = Path(__file__).parent / "migrations"
LOG_KEY: Final = "log"
TOKEN_KEY: Final = "token"  # noqa: S105  a name
PAGE_KEY: Final = "page-token"
"""Names in the keystore: what signs checkpoints, what signs tokens, what makes page tokens."""
THREADS: Final = 16
"""A thread waits for each commit, and a stop may wait a second at its gate: more than one core of
Python needs, so that neither keeps other calls out."""
STOP_THREADS: Final = 16
HER_THREADS: Final = 8
INSIDE_THREADS: Final = 2
"""Threads for stops alone, for her other calls, and for operators and the other services:
whatever agencies do, these get through."""


class App:
    """The service; ``start`` answers the port. Made by ``build``.

    ``context`` and ``hooks`` are for tests that run it in their own process.
    """

    def __init__(
        self,
        context: Context,
        server: RunningServer,
        settings: ConsentSettings,
        waker: Waker,
        sweep_every_s: float,
    ) -> None:
        self.context = context
        self.hooks = context.hooks
        self.server = server
        self._settings = settings
        self._waker = waker
        self._sweeper = Sweeper(context, sweep_every_s)
        self._closed = False

    def prepare(self) -> int:
        """Everything before the first call, in this order: check the ledger against itself and
        its anchor, finish an open KEK roll, end what is due, say where the port is.

        Raises LEDGER_ROLLED_BACK, LEDGER_CORRUPT or CONFIG_INVALID.
        """
        context = self.context
        context.writer.start()
        context.keks.start(context.now)
        sweep(context)
        forget(context)
        self._sweeper.start()
        context.refused.start()
        port = self.server.port
        write_atomic(self._settings.port_file, f"{port}\n".encode())
        return port

    def start(self) -> int:
        """Serve; returns the port."""
        port = self.prepare()
        self.server.start()
        return port

    def sweep(self) -> int:
        """What the sweeper does, now; returns how many grants ended. (For tests.)"""
        ended = sweep(self.context)
        forget(self.context)
        return ended

    def stop(self) -> None:
        """Drain and close. A second stop changes nothing."""
        self.server.drain()
        self.close()

    def close(self) -> None:
        """Close what the handlers used, after the last call has ended."""
        if self._closed:
            return
        self._closed = True
        self._sweeper.stop()
        self.context.refused.close()
        self.context.writer.close()
        self.context.engine.dispose()
        self._waker.close()


def build(
    settings: ConsentSettings,
    *,
    clock: Clock,
    entropy: Entropy,
    sweep_every_s: float = EVERY_S,
) -> App:
    """The service, its database migrated, its port bound, not yet serving.

    On the first start the keys are made, and their public parts written for others to copy.
    Raises CONFIG_INVALID for what settings, keys or the database are not.
    """
    make_private_dir(settings.data_dir)
    engine = open_database(settings)
    keystore = FileKeystore(settings.keys_dir, entropy=entropy)
    signer = NoteSigner(settings.origin, keystore.ed25519(LOG_KEY))
    token_key = keystore.ed25519(TOKEN_KEY)
    _publish(settings, signer.verifier.vkey, signing.public_bytes(token_key))
    waker = Waker(settings.relay_wake)
    writer = LedgerWriter(
        engine,
        signer=signer,
        clock=clock,
        entropy=entropy,
        anchor=settings.anchor,
        start_delay_s=settings.start_delay_s,
    )
    context = Context(
        engine=engine,
        writer=writer,
        reader=LedgerReader(engine),
        clock=clock,
        entropy=entropy,
        gates=Gates(),
        keks=KekRing(settings.release_dir, engine, entropy),
        cards=Cards(keystore),
        pager=Pager(keystore.secret(PAGE_KEY)),
        ledger=signer.verifier,
        token_key=token_key,
        issuer=settings.issuer,
        audience=settings.audience,
        wake=waker.wake,
        refused=RefusedLooks(writer),
        hooks=Hooks(),
    )
    server = build_server(
        services=[
            (
                consent_pb2_grpc.add_ConsentServiceServicer_to_server,
                ConsentServicer(context),
                consent_pb2.DESCRIPTOR.services_by_name["ConsentService"],
            ),
            (
                ledger_pb2_grpc.add_LedgerServiceServicer_to_server,
                LedgerServicer(context),
                ledger_pb2.DESCRIPTOR.services_by_name["LedgerService"],
            ),
        ],
        policy=POLICY,
        tls=settings.tls,
        clock=clock,
        address=settings.listen,
        reflection=settings.profile != "production",
        threads=THREADS,
        lanes=(
            Lane(STOP, STOP_THREADS),
            Lane(HERS, HER_THREADS),
            Lane(INSIDE, INSIDE_THREADS),
        ),
    )
    return App(context, server, settings, waker, sweep_every_s)


def open_database(settings: ConsentSettings) -> Engine:
    """The service's database, at the newest revision of its schema."""
    engine = open_engine(settings.database)
    migrate.upgrade(engine, MIGRATIONS)
    return engine


def _publish(settings: ConsentSettings, vkey: str, token_public: bytes) -> None:
    make_private_dir(settings.public_dir)
    write_atomic(settings.public_dir / "vkey", f"{vkey}\n".encode())
    write_atomic(settings.public_dir / "token.hex", f"{token_public.hex()}\n".encode())
