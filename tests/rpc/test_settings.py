"""Settings: complete, known, typed, without secrets; and errors that name names, never values."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field, ValidationError
from safehand_core.reasons import Reason
from safehand_core.settings import ServiceSettings

from tests.rpc.conftest import refusal


class Example(ServiceSettings):
    service: ClassVar[str] = "consent"

    data_dir: Path
    listen: str = "127.0.0.1:0"
    threads: int = Field(default=8, ge=1)
    token_key_file: Path | None = None
    peers: tuple[str, ...] = ()


BASE = {"SAFEHAND_CONSENT_DATA_DIR": "/tmp/consent"}
CANARY = "Jane-Canary-1980"


def test_the_environment_is_read_with_its_prefix() -> None:
    environ = {**BASE, "SAFEHAND_CONSENT_THREADS": "3", "SAFEHAND_REFERRAL_THREADS": "x"}
    settings = Example.load({**environ, "PATH": "/bin"})
    assert settings.data_dir == Path("/tmp/consent")
    assert (settings.threads, settings.profile) == (3, "production")


def test_the_file_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    file = tmp_path / "safehand.toml"
    file.write_text(
        '[consent]\ndata_dir = "/file"\nthreads = 5\npeers = ["a", "b"]\n[referral]\nthreads = 1\n'
    )
    settings = Example.load({"SAFEHAND_CONFIG": str(file), "SAFEHAND_CONSENT_THREADS": "6"})
    assert (settings.data_dir, settings.threads) == (Path("/file"), 6)
    assert settings.peers == ("a", "b")


def test_a_list_can_be_given_by_the_environment() -> None:
    settings = Example.load({**BASE, "SAFEHAND_CONSENT_PEERS": '["a", "b"]'})
    assert settings.peers == ("a", "b")


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({}, "SAFEHAND_CONSENT_DATA_DIR"),
        ({**BASE, "SAFEHAND_CONSENT_THREADS": CANARY}, "SAFEHAND_CONSENT_THREADS"),
        ({**BASE, "SAFEHAND_CONSENT_THREADS": "0"}, "SAFEHAND_CONSENT_THREADS"),
        ({**BASE, "SAFEHAND_CONSENT_TREADS": CANARY}, "SAFEHAND_CONSENT_TREADS"),
        ({**BASE, "SAFEHAND_CONSENT_PROFILE": CANARY}, "SAFEHAND_CONSENT_PROFILE"),
        ({**BASE, "SAFEHAND_CONSENT_PEERS": CANARY}, "SAFEHAND_CONSENT_PEERS"),
        (
            {"SAFEHAND_CONSENT_THREADS": CANARY},
            "SAFEHAND_CONSENT_DATA_DIR, SAFEHAND_CONSENT_THREADS",
        ),
        ({**BASE, "SAFEHAND_CONFIG": "/nowhere/safehand.toml"}, "SAFEHAND_CONFIG"),
        ({**BASE, "SAFEHAND_FAILPOINTS": "x=kill"}, "SAFEHAND_FAILPOINTS"),
    ],
)
def test_what_is_wrong_is_named_without_its_value(environ: dict[str, str], names: str) -> None:
    error = refusal(lambda: Example.load(environ))
    assert error.reason is Reason.CONFIG_INVALID
    assert error.metadata == {"settings": names}
    assert CANARY not in str(error) + error.message
    # A chained exception would carry pydantic's own report, values included.
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__


@pytest.mark.parametrize("text", ["not toml", "consent = 3\n", "[consent]\nunknown = 1\n"])
def test_a_bad_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "safehand.toml"
    file.write_text(text)
    error = refusal(lambda: Example.load({**BASE, "SAFEHAND_CONFIG": str(file)}))
    assert error.reason is Reason.CONFIG_INVALID


def test_failpoints_need_the_test_profile() -> None:
    environ = {**BASE, "SAFEHAND_FAILPOINTS": "x=kill", "SAFEHAND_CONSENT_PROFILE": "test"}
    assert Example.load(environ).profile == "test"


def test_settings_do_not_change() -> None:
    settings = Example.load(BASE)
    with pytest.raises(ValidationError):
        settings.threads = 9


@pytest.mark.parametrize("name", ["token_key", "db_password", "pepper", "admin_pin", "secret"])
def test_a_secret_cannot_be_a_setting(name: str) -> None:
    body = {"__annotations__": {name: str}, "service": "consent", "__module__": __name__}
    with pytest.raises(TypeError, match=name):
        type("Bad", (ServiceSettings,), body)


def test_a_settings_class_names_its_service() -> None:
    with pytest.raises(TypeError, match="service"):
        type("Bad", (ServiceSettings,), {"__module__": __name__})
