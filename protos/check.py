"""Lint what buf cannot: intake fields without labels, mutations without request_id, code drift."""

from __future__ import annotations

import filecmp
import importlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor
from safehand.common.v1 import labels_pb2

HERE = Path(__file__).resolve().parent
READ_PREFIXES = ("Get", "List", "Search", "Follow", "Explain", "Check")
SESSION_METHODS = (
    "OpenSession",
    "CloseSession",
    "OpenGuardianSession",
    "CloseGuardianSession",
    "SetLanguage",
    "ChangePin",
    "LockSession",
    "UnlockSession",
)
"""Opening a session twice gives two sessions; closing, covering and a language are idempotent; a
second change of a PIN is refused with the old one: no request_id."""
DRAFT_METHODS = ("KeepDraft", "ForgetDraft")
"""The last one holds, and a remembered request would outlive what was kept: no request_id."""
SIGNED_METHODS = ("ReleaseKey", "RecordGrant", "SecondGrant")
"""The request_id is inside the signed request."""


def unlabelled(file: FileDescriptor) -> list[str]:
    """Names of the fields of ``file`` that lack a data category or a sensitivity."""
    out = []
    for message in file.message_types_by_name.values():
        for field in message.fields:
            options = field.GetOptions()
            if not (
                options.Extensions[labels_pb2.category]
                and options.Extensions[labels_pb2.sensitivity]
            ):
                out.append(field.full_name)
    return out


def without_request_id(file: FileDescriptor) -> list[str]:
    """Names of the mutating methods of ``file`` whose request has no request_id."""
    return [
        method.full_name
        for service in file.services_by_name.values()
        for method in service.methods
        if not method.name.startswith(READ_PREFIXES)
        and method.name not in SESSION_METHODS + DRAFT_METHODS + SIGNED_METHODS
        and "request_id" not in method.input_type.fields_by_name
    ]


def descriptors() -> list[FileDescriptor]:
    """Every generated file of ours."""
    return [
        importlib.import_module(
            ".".join(path.relative_to(HERE).with_suffix("").parts) + "_pb2"
        ).DESCRIPTOR
        for path in sorted((HERE / "safehand").rglob("*.proto"))
    ]


def drift() -> list[str]:
    """Generated files that differ from what the protos generate now."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "protos"
        shutil.copytree(HERE, copy, ignore=shutil.ignore_patterns("src", "__pycache__"))
        subprocess.run(  # noqa: S603 - our own script
            [str(copy / "generate.sh")],
            check=True,
            env={"PYTHON": sys.executable, "PATH": "/usr/bin:/bin"},
        )
        fresh = {p.relative_to(copy / "src") for p in (copy / "src").rglob("*_pb2*.py*")}
        here = {
            p.relative_to(HERE / "src")
            for p in (HERE / "src").rglob("*_pb2*.py*")
            if "__pycache__" not in p.parts
        }
        fresh = {p for p in fresh if "__pycache__" not in p.parts}
        changed = [
            str(p)
            for p in sorted(fresh & here)
            if not filecmp.cmp(copy / "src" / p, HERE / "src" / p, shallow=False)
        ]
        return changed + [str(p) for p in sorted(fresh ^ here)]


def main() -> int:
    found = []
    for file in descriptors():
        if file.package == "safehand.intake.v1":
            found += [f"{name}: no category or sensitivity" for name in unlabelled(file)]
        found += [f"{name}: mutation without request_id" for name in without_request_id(file)]
    found += [f"{name}: generated code differs; run make protos" for name in drift()]
    for line in found:
        print(f"protos: {line}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
