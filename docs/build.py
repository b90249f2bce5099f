"""Write the generated parts of docs/: ``python docs/build.py`` (``make docs``), or ``--check``.

A generated part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``; the rest of a
page is written by hand. To generate another part, add a row to ``PARTS``.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import typer.main
from safehand.events.v1.events_pb2 import EventType
from safehand_bus import topology
from safehand_cli.main import app
from safehand_consent_service.policy import POLICY as CONSENT_POLICY
from safehand_consent_service.settings import ConsentSettings
from safehand_core import words
from safehand_core.reasons import TABLE, Reason
from safehand_core.settings import ServiceSettings
from safehand_notify_service.policy import POLICY as NOTIFY_POLICY
from safehand_notify_service.settings import NotifySettings
from safehand_notify_service.tables import DELIVERY
from safehand_portal_service.settings import PortalSettings
from safehand_referral_service import states
from safehand_referral_service.policy import POLICY as REFERRAL_POLICY
from safehand_referral_service.settings import ReferralSettings
from safehand_referral_service.tables import REFERRAL
from safehand_rpc.policy import Policy
from sqlalchemy import Table

HERE = Path(__file__).resolve().parent
PROTOS = HERE.parent / "protos"
POLICY: Policy = {**CONSENT_POLICY, **REFERRAL_POLICY, **NOTIFY_POLICY}
SETTINGS: tuple[type[ServiceSettings], ...] = (
    ConsentSettings,
    ReferralSettings,
    NotifySettings,
    PortalSettings,
)


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def quoted(items: Iterable[str]) -> str:
    return ", ".join(f"`{item}`" for item in items)


# --- formats.md ---------------------------------------------------------------------------------


def code_words() -> str:
    """The closed lists of section 6 of formats.md."""

    def listed(items: dict[str, str]) -> list[tuple[str, ...]]:
        return [(f"`{code}`", text) for code, text in items.items()]

    def span(seconds: int) -> str:
        hours = seconds // 3600
        return f"{hours} h" if hours <= 72 else f"{hours // 24} days"

    urgency = [(f"`{code}`", span(seconds)) for code, seconds in words.URGENCY_ANSWER_S.items()]
    return "\n".join(
        (
            table(("category", "as she reads it"), listed(words.CATEGORIES)),
            table(("purpose", "as she reads it"), listed(words.PURPOSES)),
            table(("urgency", "to be answered within"), urgency),
            table(("decline reason", "as she reads it"), listed(words.DECLINE_REASONS)),
            f"Stages: {quoted(words.STAGES)}.\n",
            f"`given_how`: {quoted(words.CONSENT_GIVEN_HOW)}.\n",
            f"`present`: {quoted(words.CONSENT_PRESENT)}.\n",
        )
    )


# --- errors.md ----------------------------------------------------------------------------------


def reasons() -> str:
    """One section for each reason: status, message, fix."""
    sections = []
    for reason in Reason:
        info = TABLE[reason]
        sections.append(
            f"### {reason.value}\n\n"
            f"- gRPC status: `{info.status}`\n"
            f"- What it says: {info.message}.\n"
            f"- What to do: {info.fix}.\n"
        )
    return "\n".join(sections)


# --- api.md -------------------------------------------------------------------------------------


@dataclass
class Block:
    """A service or a message of a proto file: its comment, and its members with theirs."""

    kind: str
    name: str
    comment: str
    members: list[tuple[str, ...]] = field(default_factory=list)


_BLOCK = re.compile(r"^(service|message|enum) (\w+) \{(\})?$")
_RPC = re.compile(r"^  rpc (\w+)\((\w+)\) returns \((stream )?(\w+)\)")
_FIELD = re.compile(r"^  (?:(repeated|optional) )?([\w.]+) (\w+) = \d+")
_VALUE = re.compile(r"^  ([A-Z0-9_]+) = (\d+);")


def blocks(text: str) -> Iterator[Block]:
    """The blocks of one proto file in buf's own formatting."""
    block: Block | None = None
    comment: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("//"):
            comment.append(stripped.removeprefix("//").strip())
            continue
        said, comment = " ".join(comment), []
        if found := _BLOCK.match(line):
            block = Block(found[1], found[2], said)
            if found[3]:
                yield block
        elif block is not None and line == "}":
            yield block
            block = None
        elif block is not None and (found := _RPC.match(line)):
            block.members.append((found[1], found[2], found[3] or "", found[4], said))
        elif block is not None and block.kind == "message" and (found := _FIELD.match(line)):
            block.members.append((found[3], f"{found[1] or ''} {found[2]}".strip(), said))
        elif block is not None and block.kind == "enum" and (found := _VALUE.match(line)):
            block.members.append((found[1], found[2], said))


def proto_files() -> list[Path]:
    return sorted((PROTOS / "safehand").rglob("*.proto"))


def package_of(text: str) -> str:
    found = re.search(r"^package ([\w.]+);", text, re.MULTILINE)
    if found is None:
        raise SystemExit("a proto file names no package")
    return found[1]


def api() -> str:
    """Every service with its methods, who may call them, and their messages."""
    packages: dict[str, list[Block]] = {}
    for path in proto_files():
        text = path.read_text("utf-8")
        packages.setdefault(package_of(text), []).extend(blocks(text))
    out = []
    for package, found in packages.items():
        messages = {block.name: block for block in found if block.kind == "message"}
        for service in (block for block in found if block.kind == "service"):
            out.append(_service(package, service, messages))
    return "\n".join(out)


def _service(package: str, service: Block, messages: dict[str, Block]) -> str:
    out = [f"### {package}.{service.name}\n", f"{service.comment}\n"]
    rows = []
    for name, _, _, _, said in service.members:
        callers = sorted(POLICY[f"/{package}.{service.name}/{name}"])
        rows.append(
            (
                f"[`{name}`](#{service.name.lower()}{name.lower()})",
                said.removeprefix(f"{name} "),
                quoted(callers),
            )
        )
    out.append(table(("method", "what it does", "who may call it"), rows))
    for name, request, stream, response, said in service.members:
        out.append(f"#### {service.name}.{name}\n\n{said}\n")
        for word, message in (
            ("Request", request),
            (f"Answer{', a stream' * bool(stream)}", response),
        ):
            out.append(_message(word, messages[message]))
    return "\n".join(out)


def _message(word: str, message: Block) -> str:
    if not message.members:
        return f"{word}: `{message.name}`, without fields.\n"
    rows = [
        (f"`{name}`", f"`{kind}`", said.replace("|", "\\|")) for name, kind, said in message.members
    ]
    return f"{word}: `{message.name}`\n\n{table(('field', 'type', 'meaning'), rows)}"


def messages() -> str:
    """Messages and enums that several methods share."""
    out = []
    for path in proto_files():
        text = path.read_text("utf-8")
        for block in blocks(text):
            shared = not re.search(r"(Request|Response)$", block.name) and block.kind != "service"
            if not shared or block.name == "Reason" or "intake" in path.parts:
                continue
            out.append(f"#### {block.name}\n\n{package_of(text)}. {block.comment}\n")
            head = (
                ("field", "type", "meaning") if block.kind == "message" else ("name", "", "meaning")
            )
            out.append(table(head, [(f"`{a}`", f"`{b}`", c) for a, b, c in block.members]))
    return "\n".join(out)


# --- operations.md ------------------------------------------------------------------------------


def settings() -> str:
    """Every setting of every service: variable, default, meaning."""
    out = []
    for model in SETTINGS:
        meanings = {**_meanings(ServiceSettings), **_meanings(model)}
        rows = []
        for name, info in model.model_fields.items():
            default = info.get_default()
            shown = "required" if info.is_required() else f"`{default}`" if default else "none"
            rows.append(
                (f"`{variable(model, name)}`", shown, meanings.get(name, MEANINGS.get(name, "")))
            )
        out += [f"**{model.service}**\n", table(("variable", "default", "meaning"), rows)]
    return "\n".join(out)


def variable(model: type[ServiceSettings], name: str) -> str:
    return model.env_prefix() + name.upper()


MEANINGS = {
    "tls_cert_file": "The service's certificate. `…_TLS_CERT` is the same setting.",
    "tls_key_file": "Its private key. `…_TLS_KEY` is the same setting.",
    "tls_ca_file": "The authority that callers' certificates come from. `…_TLS_CA` is the same.",
    "issuer": "The `iss` of consent tokens. The same at consent and referral.",
    "audience": "The `aud` of consent tokens. The same at consent and referral.",
}
"""For settings whose name says it in the code."""


def _meanings(model: type[ServiceSettings]) -> dict[str, str]:
    """The docstrings that stand below the fields of a settings class, in one line each."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    out, last = {}, ""
    for node in getattr(tree.body[0], "body", ()):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            last = node.target.id
        elif last and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            out[last] = " ".join(str(node.value.value).replace("``", "`").split())
            last = ""
        else:
            last = ""
    return out


# --- threat-model.md ----------------------------------------------------------------------------


def columns(found: Table) -> Callable[[], str]:
    """The columns of a table, in order."""
    return lambda: quoted(column.name for column in found.columns) + ".\n"


def bus() -> str:
    """Streams, who publishes and reads them, and every subject."""
    rows = [(f"`{s.name}`", s.source, ", ".join(s.durables)) for s in topology.STREAMS]
    subjects = [topology.subject_of(number) for number in EventType.values() if number]
    return table(("stream", "written by", "read by"), rows) + f"\nSubjects: {quoted(subjects)}.\n"


# --- cli.md -------------------------------------------------------------------------------------


def commands() -> str:
    """Every command of ``safehand`` with its arguments and options."""
    root = typer.main.get_command(app)
    out = [_options("options before every command", root)]
    for path, command in _walk((), root):
        said = " ".join((command.help or "").split())
        out.append(f"### safehand {' '.join(path)}\n\n{said}\n")
        out.append(_options("", command))
    return "\n".join(filter(None, out))


def _walk(path: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not hasattr(command, "list_commands"):
        yield path, command
        return
    context = click.Context(command)
    for name in sorted(command.list_commands(context)):
        yield from _walk((*path, name), command.get_command(context, name))


def _options(title: str, command: object) -> str:
    rows = []
    for parameter in getattr(command, "params", ()):
        if parameter.name == "help":
            continue
        if parameter.param_type_name == "argument":
            name = f"`{parameter.name.upper()}`"
        else:
            name = quoted(o for o in (*parameter.opts, *parameter.secondary_opts) if o)
        said = " ".join((parameter.help or "").split()).removesuffix(".")
        rows.append((name, f"{said}.{' Required.' * bool(parameter.required)}"))
    if not rows:
        return ""
    return (f"**{title}**\n\n" if title else "") + table(("", "meaning"), rows)


# --- the pages ----------------------------------------------------------------------------------

PARTS: dict[tuple[str, str], Callable[[], str]] = {
    # (page, name of the part): what writes it
    ("formats.md", "words"): code_words,
    ("concepts.md", "states"): states.to_markdown,
    ("errors.md", "reasons"): reasons,
    ("api.md", "services"): api,
    ("api.md", "messages"): messages,
    ("operations.md", "settings"): settings,
    ("threat-model.md", "referral-columns"): columns(REFERRAL),
    ("threat-model.md", "notify-columns"): columns(DELIVERY),
    ("threat-model.md", "bus"): bus,
    ("cli.md", "commands"): commands,
}


def rendered(page: str) -> str:
    """The text of ``page`` with its generated parts written anew."""
    text = (HERE / page).read_text("utf-8")
    for (where, name), write in PARTS.items():
        if where != page:
            continue
        pattern = rf"(<!-- generated: {name} -->\n).*?(<!-- end -->\n)"
        text, count = re.subn(
            pattern,
            lambda found, write=write: f"{found[1]}{write()}{found[2]}",  # type: ignore[misc]
            text,
            flags=re.DOTALL,
        )
        if count != 1:
            raise SystemExit(f"{page} has {count} places for the generated part {name}")
    return text


def stale() -> list[str]:
    """The pages whose generated parts are not up to date."""
    pages = sorted({page for page, _ in PARTS})
    return [page for page in pages if rendered(page) != (HERE / page).read_text("utf-8")]


def main(arguments: Sequence[str]) -> int:
    old = stale()
    if "--check" not in arguments:
        for page in old:
            (HERE / page).write_text(rendered(page), "utf-8")
        return 0
    for page in old:
        print(f"docs/{page} is not up to date: run make docs", file=sys.stderr)
    return 1 if old else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
