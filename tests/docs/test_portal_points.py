"""The page of points: each once, in order, with tests that exist or with the reason for none."""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import Final

import pytest

from tests.shared_data import REPO

PAGE: Final = REPO / "docs" / "portal-points.md"
ROW: Final = re.compile(r"^\| S-(\d\d)\.(\d+) \| (.+) \| (.+) \|$", re.MULTILINE)
NAMED: Final = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
POINTS: Final = {0: 16, 1: 3, 2: 8, 3: 3, 4: 9, 5: 7, 7: 5, 8: 7, 13: 3}
"""How many there are of each part; of 14 the third and the fourth are of pages that stand."""


def rows() -> list[tuple[int, int, str, str]]:
    return [
        (int(part), int(point), what, tests)
        for part, point, what, tests in ROW.findall(PAGE.read_text("utf-8"))
    ]


@cache
def functions_of(path: str) -> frozenset[str]:
    tree = ast.parse((REPO / path).read_text("utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_every_point_is_there_once_and_in_order() -> None:
    wanted = [(part, number + 1) for part, most in POINTS.items() for number in range(most)]
    assert [row[:2] for row in rows()] == [*wanted, (14, 3), (14, 4)]


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row[0]}.{row[1]}")
def test_each_has_tests_that_exist_or_says_why_not(row: tuple[int, int, str, str]) -> None:
    named = NAMED.findall(row[3])
    reason = re.match(r"not built: (.+)", row[3])
    assert named or (reason and len(reason[1]) > 20)
    assert row[3].count("`") == 2 * len(named), "a name of another shape is not looked for"
    for path, test in named:
        assert test.startswith("test_")
        assert test in functions_of(path), f"{path}::{test}"
