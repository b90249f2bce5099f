"""No secret is a value: not in a setting, not in the environment of a process, not in argv."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import safehand_consent_service
import safehand_notify_service
import safehand_portal_service
import safehand_referral_service
from pydantic import SecretBytes, SecretStr
from safehand_cli.sandbox import SERVICES, Sandbox
from safehand_cli.system import System
from safehand_consent_service.settings import ConsentSettings
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.settings import ServiceSettings
from safehand_notify_service.settings import NotifySettings
from safehand_portal_service.settings import PortalSettings
from safehand_referral_service.settings import ReferralSettings
from safehand_store.location import locate

STORING: set[type[ServiceSettings]] = {ConsentSettings, ReferralSettings, NotifySettings}
KNOWN = STORING | {PortalSettings}
PLAIN = {"str", "int", "float", "bool", "Path"}
"""What a setting may be made of; text is looked at below."""
SPEAKS_OF_A_SECRET = re.compile(
    r"secret|passw|passphrase|token|pepper|\bpin\b|kek|seed|private|credential|(^|_)key"
)
TEXT = {
    "profile": "one of three words",
    "listen": "an address",
    "metrics_listen": "an address",
    "otlp_endpoint": "an address",
    "origin": "a public name",
    "issuer": "a public name",
    "audience": "a public name",
    "nats_url": "an address, without anything before an @",
    "nats_server_name": "a public name",
    "consent_address": "an address",
    "referral_address": "an address",
    "database_url": "an address; a password in it is refused",
    "database_app_role": "a public name",
    "hosts": "public names",
    "proxies": "addresses",
    "name": "stands on every page",
    "exit_url": "an address that anybody may ask for",
    "phone": "stands on every page",
    "hours": "stands on every page",
    "emergency": "stands on every page",
    "zone": "a public name",
}
"""Every setting that takes text, and why that text is no secret. A new one needs a line here."""


def settings_classes() -> Iterator[type[ServiceSettings]]:
    """Every settings class of every service, found by importing all there is."""
    for package in (
        safehand_consent_service,
        safehand_referral_service,
        safehand_notify_service,
        safehand_portal_service,
    ):
        for module in pkgutil.iter_modules(package.__path__):
            if module.name == "__main__" or module.ispkg:
                continue
            importlib.import_module(f"{package.__name__}.{module.name}")
    waiting = [ServiceSettings]
    while waiting:
        for found in waiting.pop().__subclasses__():
            waiting.append(found)
            if found.__module__.startswith("safehand_"):
                yield found


FOUND = sorted(set(settings_classes()), key=lambda kind: (kind.__module__, kind.__qualname__))


def test_every_service_is_looked_at() -> None:
    assert set(FOUND) >= KNOWN


@pytest.mark.parametrize("settings", FOUND, ids=lambda kind: kind.__module__)
def test_no_setting_holds_a_secret(settings: type[ServiceSettings]) -> None:
    for name, field in settings.model_fields.items():
        said = re.findall(r"[A-Za-z_]+", str(field.annotation))
        assert not {"SecretStr", "SecretBytes", "bytes"} & set(said), name
        text = "str" in said or "Literal" in said
        if SPEAKS_OF_A_SECRET.search(name):
            assert name.endswith(("_file", "_dir")), name
            assert "Path" in said, name
            assert not text, name
        elif text:
            assert name in TEXT, f"is {name} a secret? say why not"


@pytest.mark.parametrize(
    "url", ["postgresql://role:hunter2@host/db", "postgresql://role@host/db?password=hunter2"]
)
def test_a_database_url_with_a_password_is_refused(url: str) -> None:
    with pytest.raises(SafehandError) as refused:
        locate(url)
    assert refused.value.reason is Reason.CONFIG_INVALID
    for settings in STORING:
        assert "database_password_file" in settings.model_fields


@pytest.mark.parametrize("variable", ["NATS_URL", "DATABASE_URL", "OTLP_ENDPOINT"])
def test_no_url_of_any_setting_may_hold_a_password(variable: str) -> None:
    environ = {
        "SAFEHAND_NOTIFY_DATA_DIR": "/nowhere",
        f"SAFEHAND_NOTIFY_{variable}": "tls://notify:hunter2@host:4222",
    }
    with pytest.raises(SafehandError) as refused:
        NotifySettings.load(environ)
    assert refused.value.metadata == {"settings": f"SAFEHAND_NOTIFY_{variable}"}
    assert "hunter2" not in str(refused.value)


def test_pydantics_own_secret_types_are_not_a_way_around() -> None:
    """They hide a value in a repr; the value is in the environment all the same."""
    for settings in FOUND:
        kinds = [field.annotation for field in settings.model_fields.values()]
        assert SecretStr not in kinds
        assert SecretBytes not in kinds


def test_no_secret_is_in_the_environment_or_argv_of_a_process(tmp_path: Path) -> None:
    """What the supervisor hands to each process: paths, addresses and words."""
    sandbox = Sandbox(tmp_path / "sandbox")
    sandbox.create()
    system = System(sandbox, profile="test")
    for service in SERVICES:
        given = system._environment(service, service)
        assert given
        for variable, value in given.items():
            name = variable.removeprefix(f"SAFEHAND_{service.upper()}_").lower()
            assert not re.fullmatch(r"[0-9a-fA-F+/=_-]{32,}", value), variable
            assert "BEGIN " not in value, variable
            if SPEAKS_OF_A_SECRET.search(name):
                assert not value or Path(value).is_absolute(), variable
