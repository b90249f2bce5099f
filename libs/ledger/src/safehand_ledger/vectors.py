"""Run a file of proof vectors (JSON, as transparency-dev/merkle's ``testdata`` gathered)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import merkle
from safehand_formats.note import decode_base64


@dataclass(frozen=True, slots=True)
class VectorsReport:
    """``failures``: the names of the cases that did not come out as they should."""

    passed: int
    failed: int
    failures: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return self.failed == 0

    def to_json(self) -> dict[str, Json]:
        return {"passed": self.passed, "failed": self.failed, "failures": list(self.failures)}


def run_vectors(path: Path) -> VectorsReport:
    """Run every case of ``path``: a list of objects with ``wantErr``.

    A case with ``leafIdx`` is an inclusion proof, one with ``size1`` a consistency proof; hashes
    are base64. Raises MALFORMED when the file is no such list.
    """
    try:
        cases = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise SafehandError(Reason.MALFORMED, "the file of vectors cannot be read") from error
    if not isinstance(cases, list) or not all(isinstance(case, dict) for case in cases):
        raise SafehandError(Reason.MALFORMED, "a file of vectors is a list of cases")
    failures = [
        str(case.get("case", number)) for number, case in enumerate(cases) if not _holds(case)
    ]
    return VectorsReport(len(cases) - len(failures), len(failures), tuple(failures))


def _holds(case: dict[str, Any]) -> bool:
    try:
        _verify(case)
    except SafehandError:
        return case.get("wantErr") is True
    except (KeyError, TypeError, AttributeError) as error:
        raise SafehandError(Reason.MALFORMED, "a case lacks a field") from error
    return case.get("wantErr") is False


def _verify(case: dict[str, Any]) -> None:
    proof = [decode_base64(value) for value in case["proof"] or ()]
    if "leafIdx" in case:
        leaf, root = decode_base64(case["leafHash"] or ""), decode_base64(case["root"] or "")
        merkle.verify_inclusion(leaf, case["leafIdx"], case["treeSize"], proof, root)
    else:
        root1, root2 = decode_base64(case["root1"] or ""), decode_base64(case["root2"] or "")
        merkle.verify_consistency(case["size1"], case["size2"], proof, root1, root2)
