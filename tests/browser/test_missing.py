"""Where there is no browser the suite says what to install, and CI does not pass over it."""

from __future__ import annotations

import pytest

from tests.harness import browser


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv(browser.PROGRAM, raising=False)
    monkeypatch.delenv(browser.REQUIRED, raising=False)


def test_it_is_skipped_with_what_to_install() -> None:
    with pytest.raises(pytest.skip.Exception, match="apt-get install chromium"):
        browser.program()


def test_where_it_is_required_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(browser.REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"):
        browser.program()


def test_a_named_program_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(browser.PROGRAM, "/bin/sh")
    assert browser.program() == "/bin/sh"
    monkeypatch.setenv(browser.PROGRAM, "/nowhere/chromium")
    with pytest.raises(pytest.skip.Exception):
        browser.program()
