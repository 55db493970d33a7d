"""Where work in shards is done, as options."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fhirsynth.cli._pairs import pairs_of

if TYPE_CHECKING:
    from synthea_bridge.engines.local import LocalEngine
    from synthea_bridge.engines.spark import SparkEngine


class Where(click.ParamType[str]):
    """A folder, or the URL of one that Spark reaches; a text.

    Parameters
    ----------
    file
        It is a file.
    """

    def __init__(self, *, file: bool = False) -> None:
        self.file = file
        self.name = "file" if file else "directory"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        path = Path(value)
        if "://" not in value and not self.file and path.is_file():
            self.fail(f"Directory '{value}' is a file.", param, ctx)
        if "://" not in value and self.file and path.is_dir():
            self.fail(f"File '{value}' is a directory.", param, ctx)
        return str(value)


def engine_options(what: str = "shards are made") -> Callable[[Any], Any]:
    """``--engine``, ``--master`` and ``--conf``, as ``spark-submit`` has the last two; ``what`` the engine is for."""
    options = [
        click.option(
            "--engine",
            type=click.Choice(["local", "spark"]),
            default="local",
            show_default=True,
            help=f"Where {what}: processes of this machine, or executors of Apache Spark.",
        ),
        click.option("--master", metavar="URL", help="Of Spark.  [default: what Spark's configuration says]"),
        click.option("--conf", multiple=True, metavar="KEY=VALUE", help="A setting of Spark; repeat it."),
    ]

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def wants_shards(asked: object, options: Mapping[str, Any]) -> bool:
    """Whether what is made is to be in shards: they are asked for, or it is made on Spark.

    Parameters
    ----------
    asked
        What says that they are, where this machine makes them.
    options
        Those of shards; without shards none may be given.

    Raises
    ------
    UsageError
        When one is.
    """
    from synthea_bridge.errors import UsageError

    if asked or options["engine"] == "spark":
        return True
    given = [name for name, value in options.items() if value and name != "engine"]
    if given:
        raise UsageError(f"--{given[0].replace('_', '-')} is for shards; ask for them too, or leave it away")
    return False


def check_reached(engine: str, places: Mapping[str, str | None]) -> None:
    """Check that an engine reaches places, which are given by what the user calls them.

    Raises
    ------
    UsageError
        When one is a URL, and it does not.
    """
    from synthea_bridge.errors import UsageError
    from synthea_bridge.place import folder_of

    for name, where in places.items():
        if where is not None and engine == "local" and folder_of(where) is None:
            advice = "give a folder" if name == "--out" else "copy it into a folder, and give that"
            raise UsageError(f"{name} {where}: is a URL, which needs --engine spark; or {advice}")


def path_of(where: str) -> Path:
    """The path of what :func:`check_reached` has found to be no URL."""
    from synthea_bridge.place import folder_of

    folder = folder_of(where)
    assert folder is not None
    return folder


@contextmanager
def engine_of(
    engine: str, master: str | None, conf: tuple[str, ...], workers: int
) -> Iterator[LocalEngine | SparkEngine]:
    """The engine that the options ask for.

    Raises
    ------
    UsageError
        When they contradict each other.
    """
    from synthea_bridge.engines.local import LocalEngine
    from synthea_bridge.errors import UsageError

    if engine == "local":
        if master is not None or conf:
            raise UsageError("--master and --conf are Spark's; say --engine spark, or leave them away")
        yield LocalEngine(workers)
        return
    from synthea_bridge.engines.spark import SparkEngine

    spark = SparkEngine(master, pairs_of("--conf", conf))
    try:
        yield spark
    finally:
        spark.close()
