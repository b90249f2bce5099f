"""One guard of the product, and how to switch it off."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
"""The repository."""


class StaleError(Exception):
    """The text that a guard names is not in its file exactly once, or its test is not there."""


@dataclass(frozen=True, slots=True)
class Edit:
    """``old`` occurs exactly once in ``file`` (a path in the repository); ``new`` replaces it."""

    file: str
    old: str
    new: str

    def apply(self, tree: Path) -> None:
        """Change the file under ``tree``, a copy of the repository's sources."""
        path = tree / self.file
        text = path.read_text(encoding="utf-8")
        path.write_text(self.changed(text), encoding="utf-8")

    def changed(self, text: str) -> str:
        """``text`` with the guard switched off; raises StaleError."""
        count = text.count(self.old)
        if count != 1:
            raise StaleError(f"{self.file}: the text occurs {count} times: {self.old!r}")
        changed = text.replace(self.old, self.new)
        if changed == text:
            raise StaleError(f"{self.file}: the edit changes nothing: {self.old!r}")
        try:
            ast.parse(changed)
        except SyntaxError as error:
            raise StaleError(f"{self.file}: the edit is no Python: {self.new!r}") from error
        return changed


@dataclass(frozen=True, slots=True)
class Guard:
    """A guard that must have a test.

    Attributes:
        name: what ``make mutants ARGS=NAME`` selects.
        protects: what would be possible without it, or what it promises, in one line.
        edit: what switches it off.
        test: the pytest node that must turn red.
        also: further edits, where one guard stands in two layers, each of which holds alone.
    """

    name: str
    protects: str
    edit: Edit
    test: str
    also: tuple[Edit, ...] = ()

    @property
    def edits(self) -> tuple[Edit, ...]:
        return (self.edit, *self.also)

    def check(self, root: Path = ROOT) -> None:
        """Raise StaleError unless every edit still applies and the test is still there."""
        for edit in self.edits:
            path = root / edit.file
            if not path.is_file():
                raise StaleError(f"{edit.file}: there is no such file")
            edit.changed(path.read_text(encoding="utf-8"))
        file, _, function = self.test.partition("::")
        path = root / file
        if not path.is_file():
            raise StaleError(f"{file}: there is no such file")
        wanted = function.partition("[")[0]
        if wanted not in names_of_tests(path.read_text(encoding="utf-8")):
            raise StaleError(f"{file}: there is no test {wanted}")


def names_of_tests(source: str) -> set[str]:
    """The names of the test functions at the top of a module's source."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        node.name
        for node in ast.parse(source).body
        if isinstance(node, kinds) and node.name.startswith("test_")
    }


def guard(name: str, protects: str, file: str, old: str, new: str, test: str) -> Guard:
    """A guard with one edit."""
    return Guard(name, protects, Edit(file, old, new), test)
