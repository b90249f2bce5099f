"""What every command shares: whose party it is, how it prints, how it fails.

Exit codes: 0 done; 1 checked and found wrong; 2 usage or malformed input; 3 denied; 4 not found;
5 unavailable, try again.
"""

from __future__ import annotations

import functools
import json
import math
import os
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import typer
from safehand_core import ids
from safehand_core.errors import SafehandError
from safehand_core.reasons import TABLE, Reason

if TYPE_CHECKING:
    from safehand_client import AgencyClient, OperatorClient, Party, SurvivorClient

EXIT_WRONG: Final = 1
EXIT_USAGE: Final = 2
EXIT_DENIED: Final = 3
EXIT_NOT_FOUND: Final = 4
EXIT_UNAVAILABLE: Final = 5

_EXIT_BY_STATUS: Final = {
    "INVALID_ARGUMENT": EXIT_USAGE,
    "UNIMPLEMENTED": EXIT_USAGE,
    "NOT_FOUND": EXIT_NOT_FOUND,
    "UNAVAILABLE": EXIT_UNAVAILABLE,
    "RESOURCE_EXHAUSTED": EXIT_UNAVAILABLE,
    "INTERNAL": EXIT_UNAVAILABLE,
    "DATA_LOSS": EXIT_WRONG,
}
DEFAULT_DIR: Final = "run"

P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class Settings:
    """Set once by the global options."""

    party: str = ""
    root: Path = Path(DEFAULT_DIR)
    json: bool = False


CURRENT: Final = Settings()


def party() -> Party:
    """The party named by ``--as``; raises CONFIG_INVALID where it is missing."""
    from safehand_client import Party

    if not CURRENT.party:
        raise SafehandError(
            Reason.CONFIG_INVALID,
            "say who you are: safehand --as PARTY",
            metadata={"parties": _parties()},
        )
    folder = CURRENT.root / "parties"
    if not (folder / CURRENT.party / "tls" / "cert.pem").is_file():
        raise SafehandError(
            Reason.CONFIG_INVALID,
            "there is no party of that name",
            metadata={"parties": _parties(), "folder": str(folder)},
        )
    return Party.open(folder / CURRENT.party)


def _parties() -> str:
    found = sorted(path.parent.parent.name for path in CURRENT.root.glob("parties/*/tls/cert.pem"))
    return ", ".join(found) or "none: start the sandbox with safehand up, or name it with --dir"


def agency() -> AgencyClient:
    """The client of the agency named by ``--as``."""
    from safehand_client import AgencyClient

    return AgencyClient(party())


def operator() -> OperatorClient:
    """The operator of the service named by ``--as``."""
    from safehand_client import OperatorClient

    return OperatorClient(party())


def survivor() -> SurvivorClient:
    """What the portal does for her, with ``--as her``."""
    from safehand_client import SurvivorClient

    return SurvivorClient(party())


def emit(data: Any, text: str) -> None:
    """Print ``data`` as JSON with ``--json``, else ``text``."""
    if CURRENT.json:
        typer.echo(json.dumps(data, sort_keys=True, default=str))
    else:
        typer.echo(text)


def fail(error: SafehandError) -> typer.Exit:
    """Print the refusal, its reason and what to do next; the exit to raise."""
    if CURRENT.json:
        payload: dict[str, Any] = {
            "error": error.reason.value,
            "message": error.message,
            "fix": error.fix,
            "metadata": error.metadata,
        }
        if error.retry_after_s is not None:
            payload["retry_after_s"] = math.ceil(error.retry_after_s)
        typer.echo(json.dumps(payload, sort_keys=True), err=True)
    else:
        extra = "".join(f"\n  {key}: {value}" for key, value in sorted(error.metadata.items()))
        if error.retry_after_s is not None:
            extra += f"\n  wait: {math.ceil(error.retry_after_s)} s"
        typer.echo(f"{error.reason.value}: {error.message}{extra}\n  → {error.fix}", err=True)
    status = TABLE[error.reason].status
    return typer.Exit(_EXIT_BY_STATUS.get(status, EXIT_DENIED))


def command(function: Callable[P, R]) -> Callable[P, R]:
    """Turn a SafehandError into a message and an exit code."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except SafehandError as error:
            raise fail(error) from None
        except OSError as error:
            typer.echo(
                f"cannot read or write a file: {os.strerror(error.errno or 0)}: {error.filename}",
                err=True,
            )
            raise typer.Exit(EXIT_USAGE) from None

    return wrapped


def words(allowed: Collection[str]) -> str:
    """A closed list, for a help text."""
    return ", ".join(allowed)


def one_of(value: str, allowed: Collection[str], option: str) -> str:
    """``value``, if it is in the closed list; raises MALFORMED that shows the list."""
    if value not in allowed:
        raise SafehandError(
            Reason.MALFORMED,
            "an option has a word that is not in its list",
            metadata={"option": option, "allowed": words(allowed)},
        )
    return value


def each_of(values: Collection[str], allowed: Collection[str], option: str) -> list[str]:
    """As ``one_of``, for an option that is repeated."""
    return [one_of(value, allowed, option) for value in values]


REFERENCE: Final = "4 to 64 of a-z, 0-9 and -, beginning with a letter or digit; never a name"
"""The shape of an agency's own opaque reference, in words."""


def reference(value: str, option: str) -> str:
    """``value``, if it has the shape of an opaque reference; raises MALFORMED that says it."""
    try:
        return ids.require(ids.REF_PATTERN, value, option)
    except SafehandError as error:
        raise SafehandError(
            error.reason, error.detail, metadata={"option": option, "shape": REFERENCE}
        ) from None


def read_text(path: Path) -> str:
    """The text of a file that the user named; raises MALFORMED where it is none."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        raise SafehandError(
            Reason.MALFORMED, "a file is not text", metadata={"file": str(path)}
        ) from None


def read_hex(path: Path) -> bytes:
    """The bytes that a file holds as hex digits; raises MALFORMED where it does not."""
    try:
        return bytes.fromhex(read_text(path).strip())
    except ValueError:
        raise SafehandError(
            Reason.MALFORMED, "a file does not hold hex digits", metadata={"file": str(path)}
        ) from None


def secret(prompt: str, file: Path | None) -> str:
    """A card number or PIN: from a file or a prompt, never from argv."""
    if file is not None:
        return read_text(file).strip().replace(" ", "")
    if not sys.stdin.isatty():
        raise SafehandError(Reason.CONFIG_INVALID, "no terminal to ask: use the option for a file")
    answer: str = typer.prompt(prompt, hide_input=True)
    return answer.strip().replace(" ", "")
