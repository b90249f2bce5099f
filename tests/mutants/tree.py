"""Copies of the source trees: mutants are made in them and never in the repository."""

from __future__ import annotations

import compileall
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from py_compile import PycInvalidationMode

from tests.mutants.guard import ROOT, Edit


def source_roots(root: Path = ROOT) -> list[Path]:
    """Every ``src`` directory of the workspace, relative to ``root``."""
    found = [
        Path("protos/src"),
        *sorted(root.glob("libs/*/src")),
        *sorted(root.glob("services/*/src")),
    ]
    return [path.relative_to(root) if path.is_absolute() else path for path in found]


def packages(root: Path = ROOT) -> list[str]:
    """The import names of everything that is copied."""
    return sorted(
        {
            entry.name
            for source in source_roots(root)
            for entry in (root / source).iterdir()
            if entry.is_dir() and any(entry.rglob("*.py")) and entry.name.startswith("safehand")
        }
    )


def copy(to: Path, root: Path = ROOT) -> None:
    """Copy every source tree under ``to``.

    Byte code is compiled once and checked against the source's hash, so that a mutant of the same
    second and size as the original is never mistaken for it.
    """
    for source in source_roots(root):
        shutil.copytree(root / source, to / source, ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(to, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)


def environment(tree: Path, scratch: Path) -> dict[str, str]:
    """For a test process: the copy under ``tree`` comes before the editable installations."""
    path = os.pathsep.join(str(tree / source) for source in source_roots(tree))
    return {
        **os.environ,
        "PYTHONPATH": path,
        "PYTHONDONTWRITEBYTECODE": "1",
        # Failing examples of a mutant are no examples for anybody else.
        "HYPOTHESIS_STORAGE_DIRECTORY": str(scratch / "hypothesis"),
    }


class Mutated:
    """A tree in which ``edits`` are made for the length of a ``with`` block."""

    def __init__(self, tree: Path, edits: Iterable[Edit]) -> None:
        self._tree = tree
        self._edits = tuple(edits)
        self._before: dict[Path, bytes] = {}

    def __enter__(self) -> None:
        for edit in self._edits:
            path = self._tree / edit.file
            self._before.setdefault(path, path.read_bytes())
        try:
            for edit in self._edits:
                edit.apply(self._tree)
        except BaseException:
            self._restore()
            raise

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _restore(self) -> None:
        for path, data in self._before.items():
            path.write_bytes(data)
