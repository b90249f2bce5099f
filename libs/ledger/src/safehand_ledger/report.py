"""What a check found: problems as values, so that one run shows all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from safehand_core.canonical import Json

MAX_PROBLEMS: Final = 100
"""Problems that are kept; a damaged ledger has thousands, and the first ones tell."""


@dataclass(frozen=True, slots=True)
class Problem:
    """``code`` names the rule, ``where`` the entry's index or the file, ``detail`` a constant."""

    code: str
    where: str
    detail: str

    def to_json(self) -> dict[str, Json]:
        return {"code": self.code, "where": self.where, "detail": self.detail}


@dataclass(slots=True)
class Problems:
    """Collects problems; counts all, keeps the first ``MAX_PROBLEMS``."""

    kept: list[Problem] = field(default_factory=list)
    count: int = 0

    def add(self, code: str, where: str | int, detail: str) -> None:
        self.count += 1
        if len(self.kept) < MAX_PROBLEMS:
            self.kept.append(Problem(code, str(where), detail))

    def require(self, condition: bool, code: str, where: str | int, detail: str) -> bool:
        """Add a problem unless ``condition``; returns it."""
        if not condition:
            self.add(code, where, detail)
        return condition


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of ``fsck`` or ``audit``.

    ``size`` leaves under ``root`` (hex); ``opened`` of them with their body, ``forgotten``
    without; ``steps``: those of the story that were checked.
    """

    size: int
    root: str
    opened: int
    forgotten: int
    steps: int
    problem_count: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        return self.problem_count == 0

    def to_json(self) -> dict[str, Json]:
        return {
            "ok": self.ok,
            "size": self.size,
            "root": self.root,
            "opened": self.opened,
            "forgotten": self.forgotten,
            "steps": self.steps,
            "problem_count": self.problem_count,
            "problems": [problem.to_json() for problem in self.problems],
        }
