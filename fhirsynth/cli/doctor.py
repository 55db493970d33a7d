"""``fhirsynth doctor``: what is present and what is missing."""

from __future__ import annotations

import json
import platform
from importlib.util import find_spec

import click

from fhirsynth.cli._progress import bar

LOCKS = {
    "ecj": ("our Java helpers", "3 MB"),
    "synthea": ("generate", "203 MB"),
    "validator": ("validate", "154 MB"),
    "hapi": ("sandbox", "397 MB"),
}
"""Sets of artifacts: what they are for, and their size."""
EXTRAS = {"ctgan": ("sdv", "ctgan", "torch"), "spark": ("pyspark",)}
"""The packages of each extra."""


@click.command("doctor")
@click.option("--fetch", "get", is_flag=True, help="Fetch what is missing of the Java side now.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(get: bool, as_json: bool) -> None:
    """Say what is present on this machine, what is missing, and how to get it.

    \b
    Example:
      fhirsynth doctor --fetch
    """
    from synthea_bridge import artifacts, jvm

    if get:
        for lock in LOCKS:
            with bar(f"fetch {lock}") as progress:
                artifacts.fetch(lock, progress)
    java = jvm.java()
    found: dict[str, str] = {
        "python": platform.python_version(),
        "java": f"{jvm.version(java)} ({java})",
        "cache": str(artifacts.cache_folder()),
    }
    for lock, (use, size) in LOCKS.items():
        locked = artifacts.locked(lock)
        absent = len(artifacts.missing(locked))
        found[lock] = (
            f"{absent} of {len(locked)} artifacts missing ({size} in all, for {use}); fetched on first use, or now "
            "with: fhirsynth doctor --fetch"
            if absent
            else f"{len(locked)} artifacts present, for {use}"
        )
    for extra, names in EXTRAS.items():
        missing = [name for name in names if find_spec(name) is None]
        found[f"fhirsynth[{extra}]"] = (
            f"missing: {', '.join(missing)}; get it with: pip install 'fhirsynth[{extra}]'" if missing else "present"
        )
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        for name, state in found.items():
            click.echo(f"{name:<18} {state}")
