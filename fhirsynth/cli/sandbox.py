"""``fhirsynth sandbox``: a real FHIR server, until Ctrl-C."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fhirsynth.cli._heap import heap_size
from fhirsynth.cli._progress import bar

if TYPE_CHECKING:
    from fhirsynth.hapi import Sandbox

PATIENT = 3600.0
"""Seconds that a Bundle may take: it is our own server, and a whole life is one transaction."""


@click.command("sandbox")
@click.option("--port", type=int, default=0, help="Where it listens, on 127.0.0.1 only.  [default: a free one]")
@click.option("--load", "work", type=click.Path(path_type=Path), help="Start with this in: a work folder, or Bundles.")
@click.option("--heap", default="2g", show_default=True, callback=heap_size, help="Memory of the server.")
def command(port: int, work: Path | None, heap: str) -> None:
    """Start a FHIR R4 server (HAPI, on an in-memory database) and keep it until Ctrl-C.

    Prints "ready" and its address when it answers and what was to be loaded is in. Nothing is kept on disk.

    \b
    Example:
      fhirsynth sandbox --load work
    """
    from fhirsynth.errors import UsageError
    from fhirsynth.hapi.sandbox import LOCK, sandbox
    from synthea_bridge.artifacts import fetch

    if work is not None and not work.exists():
        raise UsageError(f"{work}: there is no such folder; make one with: fhirsynth run")
    with bar("fetch the server") as progress:
        fetch(LOCK, progress)
    with sandbox(port, heap) as server:
        try:
            if work is not None:
                _load(work, server)
            click.echo(f"ready {server.url}")
            server.wait()
        except KeyboardInterrupt:
            click.echo("stopped", err=True)


def _load(work: Path, server: Sandbox) -> None:
    """What is refused is told, and the server stays: it is there to find out why."""
    from fhirsynth.cli.load import load_and_report
    from fhirsynth.errors import PublishError

    bundles = work / "bundles" if (work / "bundles").is_dir() else work
    with tempfile.TemporaryDirectory() as scratch:
        journal = Path(scratch) / "journal"
        try:
            load_and_report(bundles, server.url, journal=journal, timeout=PATIENT, err=True)
        except PublishError:
            server.check()
            raise
