"""``safehand up``: start everything, and with ``--story`` play the guided story."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path
from typing import Annotated

import typer
from safehand_client import AgencyClient, OperatorClient, OversightClient, SurvivorClient
from safehand_core.entropy import SystemEntropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from safehand_cli import sample_person, seed
from safehand_cli.cards import spaced
from safehand_cli.context import CURRENT, DEFAULT_DIR, EXIT_WRONG, command
from safehand_cli.sample_person import SamplePerson
from safehand_cli.sandbox import AGENCIES, Sandbox
from safehand_cli.show import StoryPrinter, processes
from safehand_cli.story import SUBJECT_REF, Cast, Story
from safehand_cli.system import System, memory_pss
from safehand_cli.verdict import export_and_audit

WAIT_S = 3600.0
"""Seconds of one sleep while the sandbox is up; a signal ends it at once."""

app = typer.Typer(add_completion=False)


@app.command()
@command
def up(
    story: Annotated[bool, typer.Option("--story", help="Play the guided story once.")] = False,
    once: Annotated[
        bool, typer.Option("--once", help="Stop again after the story, or the start.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Leave here what an outsider needs to check the story."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Empty the sandbox folder first; --story does.")
    ] = False,
) -> None:
    """Start the sandbox: nats-server, consent, referral, notify, portal, agencies, services.

    Prints where the portal is, with a TEST card and PIN. Exits 0 after the story, 1 if a step
    did not hold.
    """
    began = time.monotonic()
    sandbox = Sandbox(CURRENT.root.absolute())
    if out is not None and out.exists() and any(out.iterdir()):
        raise SafehandError(Reason.CONFIG_INVALID, "the folder for --out is not empty")
    printer = StoryPrinter(quiet=CURRENT.json)
    with sandbox.held():
        if (fresh or story) and sandbox.wipe():
            printer.progress(f"emptied the sandbox folder {sandbox.root}")
        _run(sandbox, printer, began, story=story, once=once, out=out)


def _run(
    sandbox: Sandbox,
    printer: StoryPrinter,
    began: float,
    *,
    story: bool,
    once: bool,
    out: Path | None,
) -> None:
    system = System(sandbox, portal=True, say=printer.progress)
    # As Ctrl-C: a handler that sets an event could wait for a lock that this thread holds.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        addresses = system.start()
        seed.load(sandbox, say=printer.progress)
        printer.heading("running", processes(system))
        if story:
            played = _play(sandbox, printer, began)
            steps = played.steps
            target = out or sandbox.root / "out"
            if target.exists():
                shutil.rmtree(target)
            lines = export_and_audit(sandbox, steps, target)
            printer.heading("checked offline", "\n".join(f"  {line}" for line in lines))
            person = sample_person.after_story(
                sandbox, SystemEntropy(), played.card, played.pin, SUBJECT_REF
            )
        else:
            person = sample_person.load(sandbox, SystemEntropy(), say=printer.progress)
        pids = {name: system.supervisor.pid(name) for name in system.supervisor.names()}
        total = sum(memory_pss(pids).values()) // 2**20
        printer.heading(
            "addresses",
            f"  gRPC     consent {addresses.consent}, referral {addresses.referral}, "
            f"notify {addresses.notify}\n"
            f"  portal   {system.portal_url}\n"
            "  console  not built yet\n"
            f"  memory   {total} MiB for all processes together (PSS)",
        )
        printer.heading("the portal", _portal(system.portal_url, person))
        if story:
            printer.result(steps)
        elif once:
            printer.heading(
                "done",
                "  everything started and served, and is stopped again; "
                "with --story it also plays the story",
            )
        if not once:
            typer.echo("\nstays up until Ctrl-C; in another terminal try:\n  safehand --help")
            _wait()
    except AssertionError as error:
        typer.echo(f"the story did not hold: {error}", err=True)
        raise typer.Exit(EXIT_WRONG) from None
    except SafehandError as error:
        process = error.metadata.get("process", "")
        if said := system.supervisor.last_words(process):
            typer.echo(f"{process} said last: {said}", err=True)
        typer.echo(f"the processes' logs are in {sandbox.root / 'logs'}", err=True)
        raise
    finally:
        system.stop()


def _portal(url: str, person: SamplePerson) -> str:
    """Where her pages are, who can be there, and what to try."""
    lines = [
        f"  open      {url}",
        f"  TEST card {spaced(person.card)}",
        f"  TEST PIN  {person.pin}",
    ]
    if person.referral:
        directory = "" if CURRENT.root == Path(DEFAULT_DIR) else f"--dir {CURRENT.root} "
        lines += [
            f"  She sees what {AGENCIES['agency-b']} may see, and stops it with one press.",
            "  Try it before her stop and after it: afterwards the answer is CONSENT_ENDED.",
            f"  {person.command(directory)}",
        ]
    return "\n".join(lines)


def _play(sandbox: Sandbox, printer: StoryPrinter, began: float) -> Story:
    cast = Cast(
        AgencyClient(sandbox.party("agency-a")),
        AgencyClient(sandbox.party("agency-b")),
        SurvivorClient(sandbox.party("her")),
        OperatorClient(sandbox.party("consent")),
        OversightClient(sandbox.party("oversight")),
    )
    try:
        printer.begin(began)
        story = Story(cast, SystemEntropy(), printer.step)
        story.play()
        return story
    finally:
        cast.agency_a.close()
        cast.agency_b.close()
        cast.her.close()
        cast.consent_operator.close()
        cast.oversight.close()


def _wait() -> None:
    try:
        while True:
            time.sleep(WAIT_S)
    except KeyboardInterrupt:
        typer.echo("\nstopping")
