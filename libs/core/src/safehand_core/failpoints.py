"""Named places where a test may kill or slow the process.

One table, one place: a failpoint that is not listed here cannot be armed, and an armed one that
no code passes shows up as an empty cell of the crash matrix. They do nothing unless the
process was started with ``SAFEHAND_FAILPOINTS``, which only the ``test`` profile accepts.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENT = "SAFEHAND_FAILPOINTS"
"""``name=kill``, ``name=kill@3`` (the third passing), ``name=sleep:0.05``; comma-separated.

Or ``@PATH``: a file with the same text, read at every passing, so that a test arms a running
process. A kill empties the file first: the restarted process finds nothing armed.
"""

TABLE: dict[str, tuple[str, str]] = {
    # name: (process, what has just happened)
    "consent.writer.begin": ("consent", "the batch was taken, nothing is written"),
    "consent.writer.appended": ("consent", "leaves are inserted, the head is not"),
    "consent.writer.before_commit": ("consent", "the head is signed, not committed"),
    "consent.writer.committed": ("consent", "committed, the anchor is not written"),
    "consent.writer.anchored": ("consent", "the anchor is written, nobody is answered"),
    "consent.release.before_answer": ("consent", "DISCLOSE is committed, the key is not sent"),
    "consent.keys.new_kek": ("consent", "the new KEK is on disk, its epoch has not begun"),
    "consent.keys.begun": ("consent", "the new epoch is committed, no key is re-wrapped"),
    "consent.keys.some_rewrapped": ("consent", "some keys are re-wrapped, others are not"),
    "consent.keys.rewrapped": ("consent", "all keys are re-wrapped, the old KEK still exists"),
    "consent.relay.published": ("consent-worker", "published, the cursor is not moved"),
    "referral.create.before_commit": ("referral", "the referral is inserted, not committed"),
    "referral.create.committed": ("referral", "committed, nobody is answered"),
    "referral.follow.before_commit": ("referral", "a consent event is applied, not committed"),
    "referral.relay.published": ("referral-worker", "published, the cursor is not moved"),
    "notify.consume.before_commit": ("notify", "a delivery is stored, not committed"),
    "notify.consume.committed": ("notify", "committed, the message is not acknowledged"),
}


@dataclass(slots=True)
class _Armed:
    action: str
    argument: float
    passes_left: int


def _parse(text: str) -> dict[str, _Armed]:
    armed: dict[str, _Armed] = {}
    for item in filter(None, text.split(",")):
        name, _, action = item.partition("=")
        if name not in TABLE:
            raise ValueError(f"unknown failpoint {name}")
        word, _, count = action.partition("@")
        verb, _, argument = word.partition(":")
        if verb not in ("kill", "sleep"):
            raise ValueError(f"unknown failpoint action {verb}")
        armed[name] = _Armed(verb, float(argument or 0), int(count or 1))
    return armed


_given = os.environ.get(ENVIRONMENT, "")
_file = Path(_given[1:]) if _given.startswith("@") else None
_text = "" if _file else _given
_armed = _parse(_text)
_lock = threading.Lock()


def arm(text: str) -> None:
    """Replace what is armed in this process (tests that run a service in process)."""
    global _armed, _text
    with _lock:
        _text = text
        _armed = _parse(text)


def hit(name: str) -> None:
    """Pass the failpoint ``name``: usually nothing, in a crash test SIGKILL or a pause."""
    if _file is not None:
        _read_again(_file)
    if not _armed:
        return
    with _lock:
        point = _armed.get(name)
        if point is None:
            return
        point.passes_left -= 1
        if point.action == "kill" and point.passes_left > 0:
            return
    if point.action == "sleep":
        time.sleep(point.argument)
        return
    if _file is not None:
        _file.write_text("")
    os.kill(os.getpid(), signal.SIGKILL)


def _read_again(file: Path) -> None:
    try:
        text = file.read_text().strip()
    except OSError:
        text = ""
    if text != _text:
        arm(text)
