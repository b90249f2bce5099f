"""Export the ledger of a sandbox and check the export, as an outsider would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_ledger import bundle, check
from safehand_ledger.audit import audit
from safehand_ledger.export import export
from safehand_ledger.fsck import fsck
from safehand_store.engine import open_engine
from safehand_store.location import Location

from safehand_cli.sandbox import Sandbox
from safehand_cli.story import Step


def ledger_database(sandbox: Sandbox) -> Location:
    """Consent's database: the ledger is in it."""
    return sandbox.database("consent")


def anchor_file(sandbox: Sandbox) -> Path:
    return sandbox.party_dir("consent") / "anchor" / "ledger.anchor"


def export_and_audit(sandbox: Sandbox, steps: Sequence[Step], out: Path) -> list[str]:
    """Write the export directory and check everything; one line for each check.

    Raises LEDGER_CORRUPT where a check fails.
    """
    vkey = (sandbox.party_dir("oversight") / "trust" / "ledger.vkey").read_text().strip()
    engine = open_engine(ledger_database(sandbox), read_only=True)
    try:
        count = export(
            engine,
            out,
            vkey=vkey,
            story=[bundle.Step(s.name, s.tried, s.result, s.index) for s in steps],
        )
    finally:
        engine.dispose()
    whole = fsck(ledger_database(sandbox), vkey, anchor_file(sandbox))
    outside = audit(out, vkey=vkey)
    for report in (whole, outside):
        if not report.ok:
            raise SafehandError(
                Reason.LEDGER_CORRUPT,
                "a check of the story failed",
                metadata={"first": "; ".join(f"{p.code} {p.where}" for p in report.problems[:3])},
            )
    first = check.verify(
        (out / "000.tlog-proof").read_text(), (out / "000.leaf").read_bytes(), vkey
    )
    return [
        f"fsck    {whole.size} entries rebuilt from their leaves; root {whole.root[:16]}…",
        f"audit   {outside.steps} steps re-derived from {count} openings and proofs",
        f"verify  entry {first.index} is in the ledger {first.origin} of size {first.size}",
        f"try it  safehand ledger audit --openings {out}",
    ]
