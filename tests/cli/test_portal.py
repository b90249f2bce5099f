"""``safehand up --story`` and what it prints of the portal: a newcomer's first press.

The card and the PIN that it prints open her pages; what she stops there, the partner cannot open
any more in the terminal, with the very command that was printed.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from safehand_cli import sample_person
from safehand_cli.sandbox import Sandbox
from safehand_core.entropy import SystemEntropy

from tests.cli.test_story import SAFEHAND, STORY_S
from tests.harness.portal import Answer, Outside, Portal, Seated, asked_for
from tests.harness.world import Person, World

DENIED: Final = 3
CARD: Final = re.compile(r"TEST card ((?:\d{4} ){2}\d{4})")
PIN: Final = re.compile(r"TEST PIN +(\d{6})")
OPEN: Final = re.compile(r"open +(http://localhost:\d+)")
COMMAND: Final = re.compile(r"safehand (--dir .* referral open .*)")
STOP: Final = re.compile(
    r'action="(/list/\d{10}/stop)".*?name="c" value="([^"]+)".*?name="request_id" value="([^"]+)"',
    re.DOTALL,
)


@dataclass
class Up:
    """What a running ``safehand up --story`` printed."""

    url: str
    card: str
    pin: str
    command: list[str]

    def asked(self, path: str, **options: object) -> Answer:
        # No world: this one is somebody else's.
        place = Portal(None, self.url, Outside(""))  # type: ignore[arg-type]
        return asked_for(place, path, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    root = tmp_path_factory.mktemp("up") / "run"
    process = subprocess.Popen(
        [*SAFEHAND, "--dir", str(root), "up", "--story"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = ""
    try:
        for line in process.stdout:
            said += line
            if "stays up until" in line:
                break
        found = [pattern.search(said) for pattern in (OPEN, CARD, PIN, COMMAND)]
        assert all(found), said
        url, card, pin, command = (match[1] for match in found if match)
        yield Up(url, card, pin, command.split())
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=STORY_S)


def partner_opens(up: Up) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SAFEHAND, *up.command], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.timeout(300)
def test_what_she_stops_there_the_partner_cannot_open_here(up: Up) -> None:
    before = partner_opens(up)
    assert before.returncode == 0, before.stderr
    signed_in = up.asked("/in", form={"card": up.card, "pin": up.pin, "shared": "yes"})
    assert signed_in.headers["location"] == "/home"
    cookie = signed_in.headers["set-cookie"].partition(";")[0].partition("=")[2]
    hers = Seated(Person("", up.card, up.pin), Seated.session_of(cookie))
    home = up.asked("/home", seated=hers).text
    assert 'id="seat"' in home, "no new PIN is asked for: hers is her own"
    page = up.asked("/list", seated=hers).text
    assert "Lantern Law Centre (TEST)" in page
    assert "/list/new/" in page, "somebody asks her something"
    form = STOP.search(page)
    assert form is not None
    path, token, request_id = form.groups()
    stopped = up.asked(path, seated=hers, form={"c": token, "request_id": request_id})
    assert stopped.status == 303
    after = partner_opens(up)
    assert after.returncode == DENIED
    assert after.stderr.startswith("CONSENT_ENDED")
    assert "CONSENT_ENDED" not in before.stderr


def test_a_sandbox_has_one_person_to_be(world: World) -> None:
    """Started again, it prints the card that opened her pages before."""
    sandbox = Sandbox(world.sandbox.root)
    said: list[str] = []
    one = sample_person.load(sandbox, SystemEntropy(), say=said.append)
    other = sample_person.load(sandbox, SystemEntropy(), say=said.append)
    assert one == other
    assert len(said) == 1
    assert sample_person.found(sandbox) == one
    kept = Path(sandbox.party("her").state / sample_person.FILE)
    assert kept.stat().st_mode & 0o077 == 0
    with world.session(Person(sample_person.SUBJECT_REF, one.card, one.pin)) as her:
        assert her.grants() == []
