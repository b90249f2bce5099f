"""Fail on a skip whose reason is not allowed, on xfail, on reruns and on an empty run."""

from __future__ import annotations

import os
import sys
import xml.etree.ElementTree as ET

ALLOWED_SKIPS: tuple[str, ...] = (
    *(() if os.environ.get("CI") else ("shared data absent",)),
    *(
        ("about SQLite's files", "on PostgreSQL what leaves so late is refused")
        if os.environ.get("SAFEHAND_TEST_DATABASE", "sqlite") != "sqlite"
        else ()
    ),
)
"""Prefixes of skip reasons that are accepted: none in CI, where the shared data is present, but for
what a test says of SQLite alone when the suite runs on PostgreSQL."""


def problems(path: str) -> list[str]:
    """What is wrong with the JUnit report at ``path``; empty when nothing is."""
    root = ET.parse(path).getroot()  # noqa: S314 - our own pytest wrote it
    cases = list(root.iter("testcase"))
    found = [] if cases else ["the report holds no test"]
    for case in cases:
        name = f"{case.get('classname')}::{case.get('name')}"
        for skip in case.findall("skipped"):
            kind, reason = skip.get("type", ""), skip.get("message", "")
            if "xfail" in kind:
                found.append(f"{name}: xfail")
            elif not reason.startswith(ALLOWED_SKIPS):
                found.append(f"{name}: skipped: {reason}")
        if case.find("rerunFailure") is not None or case.find("flakyFailure") is not None:
            found.append(f"{name}: rerun")
    return found


if __name__ == "__main__":
    bad = problems(sys.argv[1])
    for line in bad:
        print(f"ci: {line}")
    sys.exit(1 if bad else 0)
