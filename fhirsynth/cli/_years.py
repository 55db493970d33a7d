"""How far back lives are told, as an option."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

WHOLE = "all"


def _years(_context: click.Context, _parameter: click.Parameter, value: str) -> float | None:
    """Years as a number; None for whole lives."""
    if value == WHOLE:
        return None
    try:
        years = float(value)
    except ValueError:
        years = 0.0
    if not 1 <= years <= 150:
        raise click.BadParameter(f"'{value}' is neither a number of years from 1 to 150 nor '{WHOLE}'")
    return years


def years_option() -> Callable[[Any], Any]:
    """``--years N``; None for whole lives."""
    return click.option(
        "--years",
        metavar="N|all",
        callback=_years,
        default="3",
        show_default=True,
        help="How far back visits are told; all: whole lives. Conditions that last are there whenever they began.",
    )
