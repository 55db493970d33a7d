"""Sizes of a JVM's memory, as an option."""

from __future__ import annotations

import re

import click

HEAP = re.compile(r"[1-9]\d*[kKmMgG]")


def heap_size(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """A heap as Java understands it; anything else is a wrong call."""
    if not HEAP.fullmatch(value):
        raise click.BadParameter(f"{value}: is no size of a heap; write it as 2g or 1500m")
    return value
