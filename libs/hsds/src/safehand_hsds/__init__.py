"""HSDS 3.0 tabular packages: read, check, report. Pure: no storage, no wire.

``check(path)`` gives the report alone, ``read(path)`` the typed records with it, and
``read_files(files)`` the same for files in memory.
"""

from __future__ import annotations

from safehand_hsds.package import Files, Result, check, load, read, read_files
from safehand_hsds.records import AddressLevel, Package
from safehand_hsds.report import (
    FileCount,
    Notice,
    NoticeCode,
    Problem,
    ProblemCode,
    Report,
)

__all__ = [
    "AddressLevel",
    "FileCount",
    "Files",
    "Notice",
    "NoticeCode",
    "Package",
    "Problem",
    "ProblemCode",
    "Report",
    "Result",
    "check",
    "load",
    "read",
    "read_files",
]
