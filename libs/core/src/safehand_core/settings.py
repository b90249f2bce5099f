"""Settings: environment variables ``SAFEHAND_<SERVICE>_*``, under them one optional TOML file.

One frozen model per service. An environment variable wins over the file named by
``SAFEHAND_CONFIG``, whose table ``[<service>]`` holds the same names in lower case. Unknown names
are refused. A secret is never a value: it is the path of a file, and its setting ends in ``_file``.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from safehand_core import failpoints
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

CONFIG_VARIABLE = "SAFEHAND_CONFIG"
"""Names the TOML file."""

TRACE_RATIO: Final = 0.1
"""The default share of traces that is recorded: enough to see what is slow."""

_SECRET_WORDS = re.compile(r"secret|password|passphrase|token|pepper|pin|kek|seed|private|key")
_PATH_SUFFIXES = ("_file", "_dir")
_PASSWORD_IN_URL = re.compile(r"://[^/?#@]*:[^/?#]*@")


class ServiceSettings(BaseSettings):
    """Base of every service's settings; a subclass sets ``service`` and adds fields.

    Build it with ``load()``. A field whose name speaks of a secret must be a path and end in
    ``_file`` or ``_dir``; a class that breaks this does not come to exist.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", validate_default=True)

    service: ClassVar[str] = ""

    profile: Literal["production", "sandbox", "test"] = "production"
    """``sandbox`` turns reflection on; ``test`` alone accepts failpoints."""

    metrics_listen: str = ""
    """``host:port`` of this process's metrics page; port 0 picks one and writes it to a file in
    the data directory. Off this machine's own address it is mutual TLS. Empty: no page."""
    otlp_endpoint: str = ""
    """Where spans go: ``https://host:port``, or ``http://`` on this machine. Empty: no spans."""
    otlp_ca_file: Path | None = None
    """The CA of the collector's certificate, for ``https``."""
    trace_ratio: float = Field(default=TRACE_RATIO, ge=0, le=1)
    """The share of traces that is recorded."""

    @field_validator("otlp_ca_file", mode="before")
    @classmethod
    def _empty_is_no_file(cls, value: object) -> object:
        return None if value == "" else value

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if not re.fullmatch(r"[a-z][a-z_]*", cls.service):
            raise TypeError("a settings class must name its service")
        for name in cls.model_fields:
            words = name.split("_")
            if any(_SECRET_WORDS.fullmatch(w) for w in words) and not name.endswith(_PATH_SUFFIXES):
                raise TypeError(f"setting {name} must be a path that ends in _file or _dir")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # ``load`` reads the environment itself, so that unknown names are seen and none is lost.
        return (init_settings,)

    @classmethod
    def env_prefix(cls) -> str:
        """What every variable of this service begins with."""
        return f"SAFEHAND_{cls.service.upper()}_"

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the environment and the TOML file.

        Raises:
            SafehandError: CONFIG_INVALID; metadata ``settings`` lists the names of the offending
                variables, never a value.
        """
        environ = os.environ if environ is None else environ
        values = _file_values(environ.get(CONFIG_VARIABLE), cls.service)
        prefix = cls.env_prefix()
        for variable, value in environ.items():
            if variable.startswith(prefix):
                values[variable.removeprefix(prefix).lower()] = _from_text(value)
        for name, value in values.items():
            if isinstance(value, str) and _PASSWORD_IN_URL.search(value):
                raise _invalid("a URL holds a password: name a file instead", prefix + name.upper())
        try:
            settings = cls(**values)
        except ValidationError as error:
            names = sorted({".".join(map(str, e["loc"])) or "settings" for e in error.errors()})
            raise _invalid(
                "a setting is missing, unknown or has the wrong shape",
                *(prefix + name.upper() for name in names),
            ) from None
        if environ.get(failpoints.ENVIRONMENT) and settings.profile != "test":
            raise _invalid("failpoints need the test profile", failpoints.ENVIRONMENT)
        return settings


def _from_text(value: str) -> Any:
    """A variable that looks like a JSON array or object is one; the field's type decides on it."""
    if value[:1] in ("[", "{"):
        with contextlib.suppress(ValueError):
            return json.loads(value)
    return value


def _invalid(detail: str, *names: str) -> SafehandError:
    return SafehandError(Reason.CONFIG_INVALID, detail, metadata={"settings": ", ".join(names)})


def _file_values(path: str | None, service: str) -> dict[str, Any]:
    if not path:
        return {}
    try:
        with Path(path).open("rb") as handle:
            document = tomllib.load(handle)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise _invalid("the settings file is missing or is not TOML", CONFIG_VARIABLE) from None
    table = document.get(service, {})
    if not isinstance(table, dict):
        raise _invalid("the service's entry in the settings file is no table", CONFIG_VARIABLE)
    return dict(table)
