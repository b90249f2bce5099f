"""Bringing the whole sandbox up as real processes, in the order in which they need each other.

Those that do not need each other start together: most of a start is Python's imports.
"""

from __future__ import annotations

import http.client
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from safehand_bus.link import BusTls
from safehand_bus.server import NatsServer
from safehand_client import Addresses
from safehand_core.errors import SafehandError
from safehand_rpc.dial import connect
from safehand_rpc.tls import TlsFiles

from safehand_cli.sandbox import PORTAL, SERVICES, Sandbox
from safehand_cli.supervisor import Child, Supervisor

PROCESSES: Final = (
    "nats-server",
    "consent",
    "consent-worker",
    "referral",
    "referral-worker",
    "notify",
)
"""Every process but the portal."""
NEWS: Final = frozenset({"nats-server", "consent-worker", "referral-worker", "notify"})
"""Processes that carry news of what has happened."""
NEWS_NICENESS: Final = 10
"""All parties share one machine here: her stop must not wait for the news of other stops. On an
idle machine it changes nothing. Not in the ``test`` profile, whose machine is never idle."""
HEALTH_S: Final = 2.0
"""Seconds for one health question."""
PORTAL_HOST: Final = "localhost"
"""A browser keeps a cookie that is Secure for this name without TLS, and for no other."""
TEST_PHONE: Final = "000-0100"
TEST_HOURS: Final = "09:00-17:00"
START_PAGE: Final = "/"
"""What tells that the portal serves: a page that asks no other service for anything."""


class System:
    """The running sandbox. ``profile`` is ``sandbox``, or ``test`` for failpoints.

    ``portal``: start her pages too. They can be started later, with ``start_portal``.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        *,
        profile: str = "sandbox",
        portal: bool = False,
        extra_environment: Mapping[str, Mapping[str, str]] | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.sandbox = sandbox
        self.supervisor = Supervisor()
        self._profile = profile
        self._portal = portal
        self.extra: dict[str, dict[str, str]] = {
            name: dict(values) for name, values in (extra_environment or {}).items()
        }
        self._say = say
        self._ports: dict[str, int] = {}
        self.nats = NatsServer(sandbox.root / "nats", tls=BusTls.in_dir(sandbox.nats_tls))

    def start(self) -> Addresses:
        """Start everything; returns once every process serves."""
        sandbox = self.sandbox
        sandbox.create()
        supervisor = self.supervisor
        self._begin_nats()
        self._begin("consent", "api")
        supervisor.wait_ready("nats-server")
        supervisor.wait_ready("consent")
        sandbox.hand_over_public_keys()
        self._begin("consent-worker", "worker")
        self._begin("referral", "api")
        self._begin("notify", "api")
        supervisor.wait_ready("referral")
        self._referral_address.write_text(f"127.0.0.1:{self._ports['referral']}")
        self._begin("referral-worker", "worker")
        if self._portal:
            self._begin_portal()
        supervisor.wait_ready("notify")
        if self._portal:
            supervisor.wait_ready(PORTAL)
        addresses = self.addresses
        sandbox.write_addresses(addresses)
        return addresses

    def start_portal(self) -> str:
        """Start her pages beside what runs, where they do not run yet; where they are."""
        if PORTAL not in self.supervisor.names():
            self._begin_portal()
            self.supervisor.wait_ready(PORTAL)
        return self.portal_url

    def stop(self) -> None:
        self.supervisor.stop()

    @property
    def portal_url(self) -> str:
        """Where her pages are: ``http://localhost:PORT``."""
        return f"http://{PORTAL_HOST}:{self._ports[PORTAL]}"

    @property
    def addresses(self) -> Addresses:
        return Addresses(*(f"127.0.0.1:{self._ports[name]}" for name in SERVICES))

    # --- children -------------------------------------------------------------------------

    def _seed_file(self, service: str) -> Path:
        return self.sandbox.party_dir(service) / "keys" / "nats.seed"

    @property
    def _referral_address(self) -> Path:
        """Where notify reads it: the two start together, and notify asks only for lost events."""
        return self.sandbox.party_dir("notify") / "referral.address"

    def _begin_nats(self) -> None:
        self._say("starting nats-server")
        self.nats.prepare(seed_files={name: self._seed_file(name) for name in SERVICES})
        self.supervisor.begin(
            Child(
                name="nats-server",
                argv=self.nats.argv,
                environment=dict,
                ready=self.nats.is_ready,
                log=self.sandbox.logs("nats-server"),
                # At every start: it may have lost its store, streams and all.
                on_ready=self._nats_ready,
            )
        )

    def _nats_ready(self) -> None:
        self.nats.provision()
        self._make_way("nats-server")

    def _make_way(self, name: str) -> None:
        if name in NEWS and self._profile == "sandbox":
            self.supervisor.make_way(name, NEWS_NICENESS)

    def _begin(self, name: str, role: str) -> None:
        self._say(f"starting {name}")
        service = name.removesuffix("-worker")
        self.supervisor.begin(
            Child(
                name=name,
                argv=lambda: [sys.executable, "-m", f"safehand_{service}_service", role],
                environment=lambda: self._environment(service, name),
                ready=(lambda: self._healthy(service)) if role == "api" else _always,
                log=self.sandbox.logs(name),
                on_ready=lambda: self._make_way(name),
            )
        )

    def _begin_portal(self) -> None:
        self._say(f"starting {PORTAL}")
        # Of a run before this one: somebody else may have that port by now.
        self._portal_port_file.unlink(missing_ok=True)
        self.supervisor.begin(
            Child(
                name=PORTAL,
                argv=lambda: [sys.executable, "-m", f"safehand_{PORTAL}_service", "api"],
                environment=self._portal_environment,
                ready=self._portal_serves,
                log=self.sandbox.logs(PORTAL),
            )
        )

    def _portal_environment(self) -> dict[str, str]:
        tls = self.sandbox.service_tls(PORTAL)
        values = {
            "PROFILE": self._profile,
            "DATA_DIR": str(self.sandbox.data(PORTAL)),
            "TLS_CERT": str(tls / "cert.pem"),
            "TLS_KEY": str(tls / "key.pem"),
            "TLS_CA": str(tls / "ca.pem"),
            "LISTEN": f"127.0.0.1:{self._ports.get(PORTAL, 0)}",
            "CONSENT_ADDRESS": f"127.0.0.1:{self._ports['consent']}",
            "REFERRAL_ADDRESS": f"127.0.0.1:{self._ports['referral']}",
            "METRICS_LISTEN": "127.0.0.1:0",
            # Fictional, like everybody here. Nobody has reviewed the texts yet: shown, and marked.
            "PHONE": TEST_PHONE,
            "HOURS": TEST_HOURS,
            "ALLOW_UNREVIEWED": "true",
        }
        environment = {f"SAFEHAND_{PORTAL.upper()}_{key}": value for key, value in values.items()}
        environment.update(self.extra.get(PORTAL, {}))
        return environment

    @property
    def _portal_port_file(self) -> Path:
        return self.sandbox.data(PORTAL) / f"{PORTAL}.port"

    def _portal_serves(self) -> bool:
        try:
            port = int(self._portal_port_file.read_text())
        except (OSError, ValueError):
            return False
        asked = http.client.HTTPConnection("127.0.0.1", port, timeout=HEALTH_S)
        try:
            asked.request("GET", START_PAGE, headers={"Host": f"{PORTAL_HOST}:{port}"})
            answer = asked.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            asked.close()
        self._ports[PORTAL] = port
        return answer.status == http.HTTPStatus.OK

    def _environment(self, service: str, process: str) -> dict[str, str]:
        sandbox = self.sandbox
        home = sandbox.party_dir(service)
        prefix = f"SAFEHAND_{service.upper()}_"
        values = {
            "PROFILE": self._profile,
            "DATA_DIR": str(sandbox.data(service)),
            "KEYS_DIR": str(home / "keys"),
            "TLS_CERT": str(sandbox.service_tls(service) / "cert.pem"),
            "TLS_KEY": str(sandbox.service_tls(service) / "key.pem"),
            "TLS_CA": str(sandbox.service_tls(service) / "ca.pem"),
            "LISTEN": f"127.0.0.1:{self._ports.get(service, 0)}",
            "NATS_URL": self.nats.url,
            "NATS_SEED_FILE": str(self._seed_file(service)),
            "DATABASE_URL": sandbox.database_url(service),
            # On this machine only; the port is in <service>-<process>.metrics beside the database.
            "METRICS_LISTEN": "127.0.0.1:0",
        }
        if service == "consent":
            values["ANCHOR"] = str(home / "anchor" / "ledger.anchor")
        if service == "referral":
            values["CONSENT_VKEY_FILE"] = str(home / "trust" / "ledger.vkey")
            values["TOKEN_KEY_FILE"] = str(home / "trust" / "token.hex")
        if service in ("referral", "notify"):
            values["CONSENT_ADDRESS"] = f"127.0.0.1:{self._ports.get('consent', 0)}"
        if service == "notify":
            values["REFERRAL_ADDRESS_FILE"] = str(self._referral_address)
        environment = {prefix + key: value for key, value in values.items()}
        environment.update(self.extra.get(process, {}))
        return environment

    def _healthy(self, service: str) -> bool:
        port_file = self.sandbox.data(service) / f"{service}.port"
        try:
            port = int(port_file.read_text())
        except (OSError, ValueError):
            return False
        if not _listens(port):
            return False
        self._ports[service] = port
        tls = TlsFiles.in_dir(self.sandbox.party_dir(service) / "tls")
        with connect(f"127.0.0.1:{port}", tls, service, retry=False) as channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(), timeout=HEALTH_S
                )
            except (SafehandError, grpc.RpcError):
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _always() -> bool:
    return True


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def memory_pss(pids: Mapping[str, int]) -> dict[str, int]:
    """Proportional set size in bytes by process name, from /proc (0 where it cannot be read)."""
    out = {}
    for name, pid in pids.items():
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            line = next(row for row in text.splitlines() if row.startswith("Pss:"))
            out[name] = int(line.split()[1]) * 1024
        except (OSError, StopIteration):
            out[name] = 0
    return out
