"""``safehand database``: an operator migrates as the owner; the service's role gets its rights."""

from __future__ import annotations

import json
from pathlib import Path

from safehand_cli.main import app
from safehand_store import migrate
from typer.testing import CliRunner

from tests.harness import database
from tests.harness.databases import SCHEMAS
from tests.harness.postgres import APP

VERSION = database.conformance()[-1]


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["--json", "database", "migrate", *words])
    return done.exit_code, done.output


def test_a_database_is_migrated_and_the_service_may_use_it(tmp_path: Path) -> None:
    service = "notify"
    store = database.new(tmp_path / "unused", VERSION)
    password = tmp_path / "password"
    password.write_text("not asked for\n")
    password.chmod(0o600)
    words = ["--service", service, "--url", store.owner_url, "--app-role", APP]
    code, out = run(*words, "--password-file", str(password))
    assert code == 0, out
    assert json.loads(out) == {"service": service, "revision": "0001"}
    migrate.open_service(store.location, *SCHEMAS[service]).dispose()
    store.drop()


def test_what_it_refuses(tmp_path: Path) -> None:
    store = database.new(tmp_path / "unused", VERSION)
    for words in (
        ["--service", "portal", "--url", store.owner_url, "--app-role", APP],
        ["--service", "notify", "--url", "postgresql://a:b@/db", "--app-role", APP],
        ["--service", "notify", "--url", "some/file", "--app-role", APP],
        ["--service", "notify", "--url", store.owner_url, "--app-role", "nobody-there"],
    ):
        code, out = run(*words)
        assert code in (2, 3), out
        assert "a:b" not in out
    store.drop()
