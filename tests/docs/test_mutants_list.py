"""The list of guards is not stale: every edit applies once and every killer exists.

Whether the killers turn red is what ``make mutants`` finds out.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.guard import Edit, Guard, StaleError, names_of_tests
from tests.mutants.guards import GUARDS


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_a_guard_can_be_switched_off_and_its_test_exists(guard: Guard) -> None:
    guard.check()


def test_names_and_edits_are_given_once() -> None:
    assert [n for n, count in Counter(g.name for g in GUARDS).items() if count > 1] == []
    edits = Counter((guard.edits, guard.test) for guard in GUARDS)
    assert [edit for edit, count in edits.items() if count > 1] == []


def test_the_makefile_runs_the_list() -> None:
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    assert "-m tests.mutants" in makefile


def test_a_stale_edit_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("x = 1\nx = 1\ny = 2\n")
    (tmp_path / "test_it.py").write_text("def test_y() -> None: ...\n")

    def stale(old: str, new: str, test: str) -> bool:
        try:
            Guard("g", "p", Edit("code.py", old, new), test).check(tmp_path)
        except StaleError:
            return True
        return False

    assert not stale("y = 2", "y = 3", "test_it.py::test_y")
    assert not stale("y = 2", "y = 3", "test_it.py::test_y[a-parameter]")
    assert stale("x = 1", "x = 2", "test_it.py::test_y"), "twice there"
    assert stale("z = 1", "z = 2", "test_it.py::test_y"), "not there"
    assert stale("y = 2", "y = 2", "test_it.py::test_y"), "no change"
    assert stale("y = 2", "y = (", "test_it.py::test_y"), "no Python"
    assert stale("y = 2", "y = 3", "test_it.py::test_z"), "no such test"
    assert stale("y = 2", "y = 3", "test_other.py::test_y"), "no such file"


def test_only_functions_at_the_top_are_tests() -> None:
    assert names_of_tests("def test_a(): ...\nasync def test_b(): ...\ndef other(): ...\n") == {
        "test_a",
        "test_b",
    }
