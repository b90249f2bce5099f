"""The consent service in one process: the only place where its parts are put together.

Gate, unwrapping and ledger writer must share a process (DESIGN 3.4); this is it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from safehand.consent.v1 import (
    consent_pb2,
    consent_pb2_grpc,
    keys_pb2,
    keys_pb2_grpc,
    ledger_pb2,
    ledger_pb2_grpc,
    portal_pb2,
    portal_pb2_grpc,
)
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
from safehand_store.engine import is_postgres
from sqlalchemy import Engine

from safehand_consent_service.cards import Cards
from safehand_consent_service.category_keys import KekRing
from safehand_consent_service.context import Context
from safehand_consent_service.draft_box import DraftBox
from safehand_consent_service.gate import Gates
from safehand_consent_service.hooks import Hooks
from safehand_consent_service.measures import Watched
from safehand_consent_service.policy import (
    HERS,
    INSIDE,
    POLICY,
    SIGN_IN,
    STOP,
    STOP_BY_CODE,
    STOP_FOR_HER,
)
from safehand_consent_service.portal_heard import Heard
from safehand_consent_service.refused_looks import RefusedLooks
from safehand_consent_service.rotation import Rotation, advance_token_keys
from safehand_consent_service.rpc import ConsentServicer
from safehand_consent_service.rpc_keys import KeyServicer
from safehand_consent_service.rpc_ledger import LedgerServicer
from safehand_consent_service.rpc_portal import PortalServicer
from safehand_consent_service.settings import ConsentSettings
from safehand_consent_service.sweeper import EVERY_S, Sweeper, forget, sweep
from safehand_consent_service.tables import METADATA
from safehand_consent_service.token_keys import Schedule, TokenKeys

MIGRATIONS: Final = Path(__file__).parent / "migrations"
LOG_KEY: Final = "log"
PAGE_KEY: Final = "page-token"
"""Names in the keystore: what signs checkpoints, what makes page tokens."""
THREADS: Final = 16
"""A thread waits for each commit, and a stop may wait a second at its gate: more than one core of
Python needs, so that neither keeps other calls out."""
STOP_THREADS: Final = 16
STOP_FOR_HER_THREADS: Final = 40
STOPS_OF_ONE_AGENCY: Final = 8
"""Threads for stops by workers, and how many of them one agency may hold: more than a hotline
needs at once, and four agencies that attack at the same time leave as many free."""
STOP_BY_CODE_THREADS: Final = 4
"""Threads for stops by representatives: whoever tries codes waits for these."""
SIGN_IN_THREADS: Final = 4
"""Threads for sign-ins: who floods them waits for these. Each that checks a PIN holds 19 MiB
(``cards.ARGON2_MEMORY_KIB``) and one core, so that more would sign nobody in sooner."""
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
        self.rotation = Rotation(context)
        self._closed = False

    def elect(self) -> bool:
        """Become the ledger's writer if no other process is; says whether. ``prepare`` does it too.

        Raises CONFIG_INVALID where the database may lose what it committed, UNAVAILABLE.
        """
        # A standby learns at its start that it could not take over, not when it must.
        self.context.keks.require_volume()
        return self.context.writer.elect()

    @property
    def can_stand_by(self) -> bool:
        """Whether a second process may wait for its turn: not on a file."""
        return is_postgres(self.context.engine)

    def prepare(self) -> int:
        """Everything before the first call, in this order: check the ledger against itself and
        its anchor, find the KEK and the token key, end what is due, say where the port is.

        Raises LEDGER_ROLLED_BACK, LEDGER_CORRUPT or CONFIG_INVALID.
        """
        context = self.context
        context.keks.require_volume()
        context.writer.start()
        context.keks.start(context.now)
        advance_token_keys(context)
        self._publish_token_key()
        sweep(context)
        forget(context)
        self._sweeper.start()
        self.rotation.start()
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

    def _publish_token_key(self) -> None:
        """For whoever pins it by hand; the referral service asks (``KeyService``)."""
        public = signing.public_bytes(self.context.token_key)
        write_atomic(self._settings.public_dir / "token.hex", f"{public.hex()}\n".encode())

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
        self.rotation.stop()
        self.context.heard.close()
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
    token_schedule: Schedule | None = None,
) -> App:
    """The service, its database migrated, its port bound, not yet serving.

    On the first start the keys are made, and their public parts written for others to copy.
    Raises CONFIG_INVALID for what settings, keys or the database are not.
    """
    make_private_dir(settings.data_dir)
    engine = open_database(settings)
    keystore = FileKeystore(settings.keys_dir, entropy=entropy)
    signer = NoteSigner(settings.origin, keystore.ed25519(LOG_KEY))
    _publish(settings, signer.verifier.vkey)
    waker = Waker(settings.relay_wake)
    writer = LedgerWriter(
        engine,
        signer=signer,
        clock=clock,
        entropy=entropy,
        anchor=settings.anchor,
        start_delay_s=settings.start_delay_s,
        require_standby=settings.require_standby,
        observer=Watched(),
    )
    context = Context(
        engine=engine,
        writer=writer,
        reader=LedgerReader(engine),
        clock=clock,
        entropy=entropy,
        gates=Gates(),
        keks=KekRing(settings.release_dir, engine, entropy, shared=engine.dialect.name != "sqlite"),
        cards=Cards(keystore),
        drafts=DraftBox(keystore, entropy),
        pager=Pager(keystore.secret(PAGE_KEY)),
        ledger=signer.verifier,
        token_keys=TokenKeys(keystore, engine, token_schedule),
        issuer=settings.issuer,
        audience=settings.audience,
        wake=waker.wake,
        refused=RefusedLooks(writer),
        heard=Heard(writer),
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
                portal_pb2_grpc.add_PortalServiceServicer_to_server,
                PortalServicer(context),
                portal_pb2.DESCRIPTOR.services_by_name["PortalService"],
            ),
            (
                ledger_pb2_grpc.add_LedgerServiceServicer_to_server,
                LedgerServicer(context),
                ledger_pb2.DESCRIPTOR.services_by_name["LedgerService"],
            ),
            (
                keys_pb2_grpc.add_KeyServiceServicer_to_server,
                KeyServicer(context),
                keys_pb2.DESCRIPTOR.services_by_name["KeyService"],
            ),
        ],
        policy=POLICY,
        tls=settings.tls,
        clock=clock,
        address=settings.listen,
        reflection=settings.profile != "production",
        threads=THREADS,
        heard=context.heard.note,
        lanes=(
            Lane(STOP, STOP_THREADS),
            Lane(STOP_FOR_HER, STOP_FOR_HER_THREADS, STOPS_OF_ONE_AGENCY),
            Lane(STOP_BY_CODE, STOP_BY_CODE_THREADS),
            Lane(SIGN_IN, SIGN_IN_THREADS),
            Lane(HERS, HER_THREADS),
            Lane(INSIDE, INSIDE_THREADS),
        ),
    )
    return App(context, server, settings, waker, sweep_every_s)


def open_database(settings: ConsentSettings) -> Engine:
    """The service's database, at the newest revision of its schema."""
    return migrate.open_service(settings.database, MIGRATIONS, METADATA)


def _publish(settings: ConsentSettings, vkey: str) -> None:
    make_private_dir(settings.public_dir)
    write_atomic(settings.public_dir / "vkey", f"{vkey}\n".encode())
