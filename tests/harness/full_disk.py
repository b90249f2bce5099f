"""A disk that is full: a small one of its own where we may mount, else files that cannot grow.

``mounted`` gives a folder on a file system of its own, in a file on a loop device or (``memory``)
in memory; its ``fill`` leaves no block free. Where nothing may be mounted (a container without
CAP_SYS_ADMIN) ``Limited`` takes the place of a disk: the kernel refuses every write of the
processes themselves (RLIMIT_FSIZE, EFBIG instead of ENOSPC), also of those that start meanwhile.
Both are real refusals of real writes; which one it is, ``how`` says.

Source: setrlimit(2), prlimit(2), mount(8), fallocate(2).
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from safehand_cli.supervisor import Supervisor

from tests.harness.postgres import Cluster, _children, _nobody

PREFIX: Final = "safehand-disk-"
OWNED_BY: Final = "test.pid"
BALLAST: Final = "ballast"
BIGGEST: Final = 64 * 2**20
BLOCK: Final = 4096
"""Bytes: the ballast is laid in steps from ``BIGGEST`` down to one block."""
NOTHING: Final = 0
"""Bytes that a limited process may write."""
_LIMITER: Final = """
import os, resource, sys
user, group, soft = map(int, sys.argv[1:4])
if os.geteuid() == 0 and user:
    os.setgroups(())
    os.setgid(group)
    os.setuid(user)
for pid in map(int, sys.argv[4:]):
    try:
        hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
    except ProcessLookupError:
        pass
"""
"""Limits processes as their own user: without CAP_SYS_RESOURCE nobody else may."""
_LIMITED: Final = """
import os, resource, sys
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), hard))
os.execvp(sys.argv[2], sys.argv[2:])
"""
"""Becomes a command that begins with the limit."""


class Disk(Protocol):
    """Something that can be full. ``fill`` may be called again to take what was freed since."""

    @property
    def how(self) -> str: ...
    def fill(self) -> None: ...
    def free(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Mounted:
    """A file system of its own at ``folder``."""

    folder: Path
    how: str

    def fill(self) -> None:
        """Until not a block is left for anybody."""
        with (self.folder / BALLAST).open("ab") as ballast:
            size, step = ballast.tell(), BIGGEST
            while step >= BLOCK:
                try:
                    os.posix_fallocate(ballast.fileno(), size, step)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    step //= 2
                else:
                    size += step

    def free(self) -> None:
        (self.folder / BALLAST).unlink(missing_ok=True)

    def remove(self) -> None:
        """Unmount it, whoever still looks, and leave nothing."""
        _remove(self.folder.parent)


def mounted(megabytes: int, *, memory: bool = False) -> Mounted | None:
    """A fresh, empty file system; None where none may be mounted here.

    ``memory``: one in memory will do where there is no loop device; a service on SQLite refuses it.
    """
    _sweep()
    made = Path(tempfile.mkdtemp(prefix=PREFIX))
    (made / OWNED_BY).write_text(str(os.getpid()))
    made.chmod(0o755)
    folder, image = made / "disk", made / "image"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(megabytes * 2**20)
    # Without a journal: the machine under it does not fail, and the ballast is laid at once.
    formatted = _run("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", str(image))
    how = ""
    if formatted and _run("mount", "-o", "loop", str(image), str(folder)):
        how = f"a disk of {megabytes} MB (ext4, loop)"
    elif memory and _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(folder)):
        how = f"a disk of {megabytes} MB (tmpfs)"
    if not how:
        _remove(made)
        return None
    atexit.register(_remove, made)
    with contextlib.suppress(OSError):
        (folder / "lost+found").rmdir()
    folder.chmod(0o755)
    return Mounted(folder, how)


class Limited:
    """Processes whose writes are refused: those of ``supervisor`` and those of ``clusters``.

    ``clusters`` is asked at every fill. Not nats-server: its disk is another one.
    """

    how = "no disk can be mounted here: the kernel refuses the processes' writes (RLIMIT_FSIZE)"

    def __init__(
        self,
        supervisor: Supervisor | None = None,
        clusters: Callable[[], Iterable[Cluster]] = tuple,
    ) -> None:
        self._clusters = clusters
        self._children = (
            [supervisor.child(name) for name in supervisor.names() if name != "nats-server"]
            if supervisor is not None
            else []
        )
        self._commands = {child.name: child.argv for child in self._children}

    def fill(self) -> None:
        for child in self._children:
            begins = self._commands[child.name]
            child.argv = lambda begins=begins: [  # type: ignore[misc]
                sys.executable, "-ISc", _LIMITED, str(NOTHING), *begins(),
            ]  # fmt: skip
        self._limit(NOTHING)

    def free(self) -> None:
        for child in self._children:
            child.argv = self._commands[child.name]
        self._limit(resource.RLIM_INFINITY)

    def _limit(self, soft: int) -> None:
        ours = [child.process.pid for child in self._children if child.process is not None]
        _limit(ours, soft, os.getuid(), os.getgid())
        for cluster in self._clusters():
            if cluster.running and cluster._process is not None:
                server = cluster._process.pid
                # The server first: what it forks from now on inherits the limit.
                user, group = _nobody() if os.geteuid() == 0 else (os.getuid(), os.getgid())
                _limit([server], soft, user, group)
                _limit(_children(server), soft, user, group)


def _limit(pids: Iterable[int], soft: int, user: int, group: int) -> None:
    named = [str(pid) for pid in pids]
    if named:
        script = [sys.executable, "-ISc", _LIMITER, str(user), str(group), str(soft), *named]
        subprocess.run(script, check=True, cwd="/")


def _run(*command: str) -> bool:
    """Whether it worked; a program that is not installed did not."""
    try:
        return subprocess.run(command, capture_output=True, check=False, cwd="/").returncode == 0
    except OSError:
        return False


def _remove(made: Path) -> None:
    if (made / "disk").is_mount():
        _run("umount", "--lazy", str(made / "disk"))
    shutil.rmtree(made, ignore_errors=True)


def _sweep() -> None:
    """Remove what a test process left that was killed."""
    for made in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError, ValueError):
            if not Path(f"/proc/{int((made / OWNED_BY).read_text())}").exists():
                _remove(made)
