"""Defects as an option of commands that write Bundles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fhirsynth.defects import Planted, Profile

HELP = (
    "Plant defects: light, heavy, all, a kind (fhirsynth defects kinds), or a .toml file; lists them in defects.jsonl."
)


def _profile(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Profile | None:
    """The profile, read before anything is started."""
    from fhirsynth.defects import profile

    return None if value is None else profile(value)


def defects_option() -> Callable[[Any], Any]:
    """``--defects PROFILE``."""
    return click.option("--defects", "profile", metavar="PROFILE", callback=_profile, help=HELP)


def plant_into(folder: Path, profile: Profile | None, seed: int) -> tuple[dict[str, Any], Planted | None]:
    """Plant what was asked for into a folder that is being written; what its manifest should say of that."""
    from fhirsynth.defects import plant

    if profile is None:
        return {}, None
    planted = plant(folder, profile, seed)
    return {"defects": planted.outcome}, planted


def say(planted: Planted | None, out: Path) -> None:
    """Say how many were planted, and what could not be."""
    if planted is None:
        return
    counts = planted.counts
    click.echo(f"{out / 'defects.jsonl'}: {len(planted.defects):,} defects of {len(counts)} kinds")
    for why in dict.fromkeys(planted.short.values()):
        names = [name for name, one in planted.short.items() if one == why]
        click.echo(f"not planted ({why}): {', '.join(names)}", err=True)
