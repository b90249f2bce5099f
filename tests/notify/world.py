"""Notify with everything real around it: bus, certificates, sources with outbox and gRPC."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from safehand.consent.v1 import consent_pb2, consent_pb2_grpc
from safehand.notify.v1 import notify_pb2, notify_pb2_grpc
from safehand.referral.v1 import referral_pb2, referral_pb2_grpc
from safehand_core.clock import SystemClock
from safehand_core.entropy import SystemEntropy
from safehand_core.errors import SafehandError
from safehand_notify_service import app
from safehand_notify_service.settings import NotifySettings
from safehand_rpc.ca import DevCa
from safehand_rpc.dial import connect
from safehand_rpc.identity import Kind, principal_of, spiffe_id
from safehand_rpc.tls import TlsFiles, server_credentials

from tests.bus.world import Bus, Source, eventually
from tests.harness import databases


class ServedSource(Source):
    """A source that also answers ListEvents over mTLS, and counts who asked."""

    def __init__(self, directory: Path, name: str, bus: Bus, tls: TlsFiles) -> None:
        super().__init__(directory, name, bus)
        self.asked: list[str] = []
        pb: Any = {"consent": consent_pb2, "referral": referral_pb2}[name]
        base: Any = {
            "consent": consent_pb2_grpc.ConsentServiceServicer,
            "referral": referral_pb2_grpc.ReferralServiceServicer,
        }[name]
        add: Any = {
            "consent": consent_pb2_grpc.add_ConsentServiceServicer_to_server,
            "referral": referral_pb2_grpc.add_ReferralServiceServicer_to_server,
        }[name]
        source = self

        class Servicer(base):  # type: ignore[misc]
            def ListEvents(self, request: Any, context: Any) -> Any:  # noqa: N802
                source.asked.append(principal_of(context).role)
                return pb.ListEventsResponse(events=source.fetch(request.after))

        self._pool = ThreadPoolExecutor(2)
        self._server = grpc.server(self._pool)
        add(Servicer(), self._server)
        port = self._server.add_secure_port("127.0.0.1:0", server_credentials(tls))
        self.address = f"127.0.0.1:{port}"
        self._server.start()

    def close(self) -> None:
        self._server.stop(0).wait()
        self._pool.shutdown()
        super().close()


class Follower:
    """An agency's stream, read by a thread into ``got``."""

    def __init__(self, world: World, agency: str, after: int = 0) -> None:
        self.got: list[notify_pb2.Delivery] = []
        self.error: SafehandError | None = None
        self._channel = world.channel("agency", agency)
        stub = notify_pb2_grpc.NotifyServiceStub(self._channel)
        self._stream: Any = stub.Follow(notify_pb2.FollowRequest(after=after))
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            for response in self._stream:
                self.got.append(response.delivery)
        except SafehandError as error:
            self.error = error

    def ids(self) -> list[str]:
        return [delivery.event.id for delivery in self.got]

    def wait_for(self, count: int) -> None:
        eventually(lambda: len(self.got) >= count or self.error is not None)
        assert len(self.got) == count

    def wait_end(self) -> None:
        self._thread.join(10)
        assert not self._thread.is_alive()

    def close(self) -> None:
        self._stream.cancel()
        self._thread.join(10)
        self._channel.close()


class World:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ca = DevCa.create(directory / "ca")
        self._tls: dict[str, TlsFiles] = {}
        self.store = databases.of_service(
            "notify", directory / "notify" / "data" / "notify.sqlite3"
        )
        self.bus = Bus(directory, self.ca)
        self.consent = ServedSource(directory, "consent", self.bus, self.tls("service", "consent"))
        self.referral = ServedSource(
            directory, "referral", self.bus, self.tls("service", "referral")
        )
        self.consent.worker.start()
        self.referral.worker.start()
        self.app: app.App | None = None
        self.port = 0
        self._followers: list[Follower] = []

    def tls(self, kind: Kind, name: str) -> TlsFiles:
        key = f"{kind}-{name}"
        if key not in self._tls:
            self._tls[key] = self.ca.issue(self.directory / "tls" / key, spiffe_id(kind, name))
        return self._tls[key]

    def environment(self) -> dict[str, str]:
        tls = self.tls("service", "notify")
        values = {
            "PROFILE": "test",
            "DATA_DIR": self.directory / "notify" / "data",
            "KEYS_DIR": self.directory / "notify" / "keys",
            "LISTEN": f"127.0.0.1:{self.port}",
            "TLS_CERT": tls.cert,
            "TLS_KEY": tls.key,
            "TLS_CA": tls.ca,
            "CONSENT_ADDRESS": self.consent.address,
            "REFERRAL_ADDRESS": self.referral.address,
            "DATABASE_URL": self.store.url,
            "NATS_URL": self.bus.server.url,
            "NATS_SEED_FILE": self.bus.seeds["notify"],
        }
        return {f"SAFEHAND_NOTIFY_{key}": str(value) for key, value in values.items()}

    def start(self) -> app.App:
        """Notify in this process."""
        settings = NotifySettings.load(self.environment())
        self.app = app.build(settings, clock=SystemClock(), entropy=SystemEntropy())
        self.port = self.app.start()
        return self.app

    def stop(self) -> None:
        if self.app is not None:
            self.app.stop()
            self.app = None

    @contextmanager
    def process(self, failpoints: str = "") -> Iterator[subprocess.Popen[str]]:
        """Notify as a process of its own."""
        extra = {"SAFEHAND_FAILPOINTS": failpoints} if failpoints else {}
        child = subprocess.Popen(
            [sys.executable, "-m", "safehand_notify_service", "api"],
            env={**os.environ, **self.environment(), **extra},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert child.stdout is not None
        try:
            line = child.stdout.readline()
            if not failpoints:
                assert '"event": "serving"' in line
                self.port = int(line.partition('"port":')[2].strip(" }\n"))
            yield child
        finally:
            child.terminate()
            child.wait(10)
            child.stdout.close()

    def channel(self, kind: Kind, name: str) -> Any:
        return connect(f"127.0.0.1:{self.port}", self.tls(kind, name), "notify", retry=False)

    def follow(self, agency: str, after: int = 0) -> Follower:
        follower = Follower(self, agency, after)
        self._followers.append(follower)
        return follower

    def list(self, agency: str, **fields: Any) -> notify_pb2.ListDeliveriesResponse:
        with self.channel("agency", agency) as channel:
            stub = notify_pb2_grpc.NotifyServiceStub(channel)
            request = notify_pb2.ListDeliveriesRequest(**fields)
            answer: notify_pb2.ListDeliveriesResponse = stub.ListDeliveries(request, timeout=5)
            return answer

    def close(self) -> None:
        for follower in self._followers:
            follower.close()
        self.stop()
        self.consent.close()
        self.referral.close()
        self.bus.server.kill()
        self.store.drop()
