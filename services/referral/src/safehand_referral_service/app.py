"""The referral service in one process: the only place where its parts are put together."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from safehand.referral.v1 import (
    directory_pb2,
    directory_pb2_grpc,
    referral_pb2,
    referral_pb2_grpc,
)
from safehand_bus.letters import Letters
from safehand_bus.wake import Waker
from safehand_core.clock import Clock
from safehand_core.entropy import Entropy
from safehand_core.keystore import FileKeystore, make_private_dir, write_atomic
from safehand_rpc.paging import Pager
from safehand_rpc.server import RunningServer, build_server
from safehand_store import idempotency, migrate
from safehand_store.engine import begin_write
from sqlalchemy import Engine

from safehand_referral_service.consent_events import ConsentEvents
from safehand_referral_service.context import Context
from safehand_referral_service.follow import Follower, letters
from safehand_referral_service.policy import POLICY
from safehand_referral_service.rpc_directory import DirectoryServicer
from safehand_referral_service.rpc_referral import ReferralServicer
from safehand_referral_service.settings import ReferralSettings
from safehand_referral_service.tables import METADATA
from safehand_referral_service.token_keys import TokenKeys

MIGRATIONS: Final = Path(__file__).parent / "migrations"
PAGE_KEY: Final = "page-token"
"""Name of the keystore's secret under which page tokens are made."""

_CREATE = "/safehand.referral.v1.ReferralService/CreateReferral"
_IMPORT = "/safehand.referral.v1.DirectoryService/ImportPackage"
MAX_BYTES: Final = {
    # Sixteen parts of the largest bucket, with their wraps, the manifest and the token.
    _CREATE: 2 * 1024 * 1024,
    # A whole package in one transaction; the largest that was seen is half a megabyte.
    _IMPORT: 4 * 1024 * 1024,
}
"""Methods whose request may be larger than the default, in bytes."""


class App:
    """The service; ``start`` answers the port. Made by ``build``."""

    def __init__(
        self,
        context: Context,
        server: RunningServer,
        follower: Follower,
        waker: Waker,
        settings: ReferralSettings,
    ) -> None:
        self.context = context
        self.server = server
        self.follower = follower
        self._waker = waker
        self._settings = settings

    def prepare(self) -> int:
        """Everything before the first call: read consent's keys and events, write the port."""
        self.context.token_keys.start()
        self.follower.start(first_within_s=self._settings.first_follow_s)
        port = self.server.port
        write_atomic(self._settings.port_file, f"{port}\n".encode())
        return port

    def start(self) -> int:
        """Serve; returns the port."""
        port = self.prepare()
        self.server.start()
        return port

    def stop(self) -> None:
        """Drain and close. A second stop changes nothing."""
        self.server.drain()
        self.close()

    def close(self) -> None:
        """Close what the handlers used, after the last call has ended."""
        self.follower.close()
        self.context.token_keys.close()
        self._waker.close()
        self.context.engine.dispose()


def build(settings: ReferralSettings, *, clock: Clock, entropy: Entropy) -> App:
    """The service, its database migrated, its port bound, not yet serving.

    Raises CONFIG_INVALID for what settings, keys or the database are not.
    """
    make_private_dir(settings.data_dir)
    keystore = FileKeystore(settings.keys_dir, entropy=entropy)
    pinned, ledger = settings.token_keys(), settings.ledger()
    with contextlib.ExitStack() as undo:
        engine = open_database(settings)
        undo.callback(engine.dispose)
        waker = Waker(settings.relay_wake)
        undo.callback(waker.close)
        asked = ConsentEvents(settings.consent_now, settings.tls)
        undo.callback(asked.close)
        token_keys = TokenKeys(pinned, clock, asked)
        context = Context(
            engine=engine,
            clock=clock,
            token_keys=token_keys,
            issuer=settings.issuer,
            audience=settings.audience,
            ledger=ledger,
            wake=waker.wake,
        )
        with begin_write(engine) as connection:
            idempotency.prune(connection, now=clock.wall())
        events = ConsentEvents(settings.consent_now, settings.tls)
        undo.callback(events.close)
        follower = Follower(context, events, settings.follow_wake)
        undo.callback(follower.close)
        pager = Pager(keystore.secret(PAGE_KEY))
        server = _server(settings, context, pager, letters(context, follower), clock)
        undo.pop_all()
    return App(context, server, follower, waker, settings)


def _server(
    settings: ReferralSettings, context: Context, pager: Pager, letters: Letters, clock: Clock
) -> RunningServer:
    return build_server(
        services=[
            (
                referral_pb2_grpc.add_ReferralServiceServicer_to_server,
                ReferralServicer(context, pager, letters),
                referral_pb2.DESCRIPTOR.services_by_name["ReferralService"],
            ),
            (
                directory_pb2_grpc.add_DirectoryServiceServicer_to_server,
                DirectoryServicer(context, pager),
                directory_pb2.DESCRIPTOR.services_by_name["DirectoryService"],
            ),
        ],
        policy=POLICY,
        tls=settings.tls,
        clock=clock,
        address=settings.listen,
        reflection=settings.profile != "production",
        method_max_bytes=MAX_BYTES,
    )


def open_database(settings: ReferralSettings) -> Engine:
    """The service's database, at the newest revision of its schema."""
    return migrate.open_service(
        settings.database, MIGRATIONS, METADATA, with_standby=settings.require_standby
    )
