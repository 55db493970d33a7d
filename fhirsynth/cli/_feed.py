"""Options of commands that can load what they make while they make it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from fhirsynth.cli._access import access_options
from fhirsynth.cli.load import tell as tell_load

if TYPE_CHECKING:
    from fhirsynth.publish.access import Access
    from fhirsynth.publish.feed import Feed
    from fhirsynth.publish.result import LoadResult
    from synthea_bridge.engines import Engine
    from synthea_bridge.progress import Progress

Command = TypeVar("Command", bound=Callable[..., Any])
NO_SERVER: Final = "--max-disk bounds the Bundles that wait for a server; name it with --load"
UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def size(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    """Bytes, from a number with k, M, G or T; anything else is a wrong call."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)b?", value.strip(), re.IGNORECASE | re.ASCII)
    if not found:
        raise click.BadParameter(f"{value}: is no size; write it as 500M or 2G")
    return int(float(found[1]) * UNITS[found[2].lower()])


def feed_options(command: Command) -> Command:
    """``--load``, ``--max-disk``, and how to sign in."""
    loading = click.option("--load", "url", metavar="URL", help="Load each shard while the next one is made.")
    bound = click.option(
        "--max-disk",
        metavar="SIZE",
        callback=size,
        help="Bundles that wait for --load at most, as 2G; loaded ones go.  [default: all stay]",
    )
    decorated: Command = loading(bound(access_options()(command)))
    return decorated


def feed(inner: Engine, url: str, most: int | None, run: str | None, access: Access) -> Feed:
    """The engine ``inner``, whose shards are loaded, under the tag ``run`` where they have no other."""
    from fhirsynth.publish.feed import Feed
    from fhirsynth.publish.parcel import How
    from fhirsynth.publish.server import load

    def send(src: Path, journal: Path, dead_letters: Path) -> LoadResult:
        return load(src, url, how=How(tag=run), access=access, journal=journal, dead_letters=dead_letters)

    return Feed(inner, url, send, most)


def with_loaded(progress: Progress, made: Feed) -> Progress:
    """A progress that also says what has been loaded."""

    def told(done: int, total: int | None = None, note: str = "") -> None:
        progress(done, total, f"{note}, {made.total('created') + made.total('matched'):,} resources loaded")

    return told


def tell(made: Feed, run: str) -> bool:
    """Print what the server has taken, and how to take it off again; whether it has taken everything."""
    for key, result in made.results.items():
        tell_load(result, f"{key}: ")
    click.echo(
        f"{len(made.results):,} shards loaded; resources: {made.total('created'):,} created, "
        f"{made.total('matched'):,} already there, {made.total('refusals'):,} refused; to take them off again: "
        f"fhirsynth unload {run} {made.url}"
    )
    return made.whole
