"""The generated parts of docs/ say what the code says."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest
from safehand_core import words

from tests.shared_data import REPO


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_build", REPO / "docs" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


def test_every_page_is_up_to_date(build: ModuleType) -> None:
    assert build.stale() == [], "run make docs"


def test_a_page_that_lags_behind_the_code_is_noticed(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(words.PURPOSES, "invented", "a purpose that no page names")
    assert "formats.md" in build.stale()


def test_every_code_word_is_on_the_page() -> None:
    page = (REPO / "docs" / "formats.md").read_text("utf-8")
    for word in (
        *words.CATEGORIES,
        *words.PURPOSES,
        *words.URGENCY_ANSWER_S,
        *words.DECLINE_REASONS,
        *words.STAGES,
        *words.CONSENT_GIVEN_HOW,
        *words.CONSENT_PRESENT,
    ):
        assert f"`{word}`" in page
