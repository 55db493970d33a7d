"""The command line: one thin file per command, imported only when it is called."""

from __future__ import annotations

from importlib import import_module

import click

from fhirsynth import __version__
from fhirsynth.cli._errors import run_and_explain

COMMANDS = {
    "run": "Everything, from Synthea to the report, into one work folder.",
    "generate": "Simulate patients with Synthea and write their Bundles.",
    "flatten": "Turn FHIR Bundles, NDJSON, .gz, .zip or folders of them into tables.",
    "augment": "Learn from tables and make synthetic patients with a condition.",
    "assemble": "Turn synthetic rows, or tables, into valid FHIR R4 transaction Bundles.",
    "export": "Write Bundles in the shape that a server wants.",
    "defects": "List the defects that can be planted, and score a check that looked for them.",
    "load": "Send Bundles to a FHIR server, each resource once.",
    "unload": "Delete from a FHIR server what a run has put there.",
    "validate": "Ask the HL7 validator whether FHIR is valid.",
    "sandbox": "Start a real FHIR server on this machine.",
    "evaluate": "Judge synthetic rows: utility, privacy, fidelity.",
    "registry": "List the runs and reports below a folder.",
    "conditions": "List the conditions that can be asked for.",
    "doctor": "Say what is present on this machine and what is missing.",
}
"""Name and one line of help of each command; its code is ``fhirsynth.cli.NAME``, object ``command``."""


class LazyGroup(click.Group):
    """A group that imports a command's file when the command is called, and not for ``--help``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"fhirsynth.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fhirsynth")
def cli() -> None:
    """Rare, valid and trustworthy synthetic FHIR patients.

    \b
    Example:
      fhirsynth run --condition cystic-fibrosis --population 300 --cases 150 --augment 150 --seed 7 --out work
    """


def main() -> None:
    """Entry point of the console script: runs the command and turns errors into one line and an exit code."""
    run_and_explain(cli)
