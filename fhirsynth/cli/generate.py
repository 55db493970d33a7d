"""``fhirsynth generate``: parameters → Bundles of simulated patients."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fhirsynth.cli._engine import Where, check_reached, engine_of, engine_options
from fhirsynth.cli._feed import NO_SERVER, feed, feed_options, tell, with_loaded
from fhirsynth.cli._pairs import pairs_of
from fhirsynth.cli._progress import bar

if TYPE_CHECKING:
    from fhirsynth.publish.access import Access
    from synthea_bridge.sharded import What
    from synthea_bridge.sinks import Compression
    from synthea_bridge.spec import GenerateSpec


@click.command("generate")
@click.option("--population", type=click.IntRange(0), default=100, show_default=True, help="Living patients.")
@click.option(
    "--condition", "named", multiple=True, help="Condition (see: fhirsynth conditions), or 'C1 and C2'; repeat it."
)
@click.option("--cases", multiple=True, type=click.IntRange(0), help="Living patients with it; repeat it as often.")
@click.option("--natural", is_flag=True, help="Wait for cases as they come; do not make the onset more frequent.")
@click.option(
    "--attempts", type=click.IntRange(1), help="People to simulate at most, for each part.  [default: 200 a case]"
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the patients.")
@click.option("--clinician-seed", type=int, help="Seed of the clinicians.  [default: the same]")
@click.option(
    "--reference-date", metavar="YYYY-MM-DD", default="2026-01-01", show_default=True, help="Ages count from here."
)
@click.option(
    "--end-date", metavar="YYYY-MM-DD", default="2026-01-01", show_default=True, help="The simulation ends here."
)
@click.option("--state", default="Massachusetts", show_default=True, help="US state.")
@click.option("--city", help="City in that state.")
@click.option("--gender", type=click.Choice(["M", "F"]), help="Only this gender.")
@click.option("--min-age", type=click.IntRange(0, 140), help="Youngest age; ages are then drawn evenly.")
@click.option("--max-age", type=click.IntRange(0, 140), help="Oldest age; ages are then drawn evenly.")
@click.option("--resource", "resources", multiple=True, help="Resource type to keep; repeat it.  [default: six]")
@click.option("--years-of-history", type=click.IntRange(0), default=0, show_default=True, help="0: the whole life.")
@click.option("--modules", type=click.Path(path_type=Path), help="Folder with more Synthea modules.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any other Synthea setting; repeat it.")
@click.option("--as-is", is_flag=True, help="Leave Bundles as Synthea makes them; a server may refuse them.")
@click.option("--threads", type=click.IntRange(1), help="Threads of each worker.  [default: all cores]")
@click.option(
    "--tables", type=click.Path(path_type=Path, file_okay=False), help="Also fill tables here, while simulating."
)
@click.option("--tables-only", is_flag=True, help="Fill --out with tables, and let each Bundle go.")
@click.option("--write", metavar="WHAT,…", help="Of tables, ndjson, bundles: write these into --out, a file a shard.")
@click.option("--compress", type=click.Choice(["gzip", "zstd", "none"]), help="Files of --write.  [default: gzip]")
@click.option("--shard-size", type=click.IntRange(1), default=1000, show_default=True, help="Patients of a shard.")
@click.option(
    "--workers", type=click.IntRange(1), help="Processes of --write.  [default: one for two cores, at most one a shard]"
)
@feed_options
@engine_options()
@click.option(
    "--out",
    type=Where(),
    default="generated",
    show_default=True,
    help="Folder to write; with Spark also the URL of one.",
)
def command(
    out: str,
    tables: Path | None,
    tables_only: bool,
    named: tuple[str, ...],
    cases: tuple[int, ...],
    settings: tuple[str, ...],
    resources: tuple[str, ...],
    threads: int | None,
    write: str | None,
    compress: Compression | None,
    workers: int | None,
    engine: str,
    master: str | None,
    conf: tuple[str, ...],
    url: str | None,
    max_disk: int | None,
    sign_in: Callable[[str], Access],
    **options: Any,
) -> None:
    """Simulate patients with Synthea; the same parameters give the same bytes.

    With --write the result is in shards, made by several workers: what is done stays after a kill, and the same call
    goes on. With --load each shard goes to a FHIR server while the next one is simulated; with --max-disk its Bundles
    are then removed, and the simulation waits for the server.

    \b
    Example:
      fhirsynth generate --population 50 --seed 7 --out generated
      fhirsynth generate --population 60 --condition lupus --cases 40 --seed 7 --out generated
      fhirsynth generate --population 100000 --write tables,ndjson --workers 8 --out large
      fhirsynth generate --population 100000 --write tables --load http://127.0.0.1:8080/fhir --max-disk 2G --out large
      fhirsynth generate --population 1000000 --write tables --engine spark --master yarn --out hdfs:///large
    """
    from fhirsynth.workspace import fingerprint
    from synthea_bridge.errors import UsageError
    from synthea_bridge.generate import generate
    from synthea_bridge.sharded import generate_shards
    from synthea_bridge.shards import usual_workers

    _check(write, url, max_disk, tables_only=tables_only, tables=tables, as_is=options["as_is"], engine=engine)
    if write is None and (compress or workers or engine != "local" or master or conf or "://" in out):
        raise UsageError("--compress, --workers and --engine are for shards; say with --write what is to be written")
    spec = _spec(named, cases, settings, resources, options | ({} if threads is None else {"threads": threads}))
    fed, run = None, fingerprint(spec.key)[:12]
    if write is None:
        with bar("simulate") as progress:
            result = generate(spec, Path(out), progress, tables, tables_only=tables_only)
    else:
        number = workers or usual_workers(spec)
        if threads is None:
            cores = (
                int(pairs_of("--conf", conf).get("spark.task.cpus", 1)) if engine == "spark" else spec.threads // number
            )
            spec = spec.model_copy(update={"threads": max(1, cores)})
        what = _what(write if url is None else f"{write},bundles")
        check_reached(engine, {"--out": out})
        with engine_of(engine, master, conf, number) as chosen, bar("simulate") as progress:
            if url is not None:
                fed = feed(chosen, url, max_disk, run, sign_in(url))
                progress = with_loaded(progress, fed)
            result = generate_shards(
                spec, out, fed or chosen, what, compress or "gzip", progress, closed=fed is not None
            )
    outcome = result.outcome
    for part in outcome["parts"]:
        click.echo(f"{out}: {_told(part)}")
    if "mended" in outcome:
        made = outcome["mended"]
        click.echo(
            f"mended: {made['units']} units, {made['data_absent_reason']} observations without a value; added: "
            f"{made['shared_resources']} organisations, locations and practitioners that patients refer to"
        )
    if fed is not None and not tell(fed, run):
        sys.exit(1)


def _check(
    write: str | None,
    url: str | None,
    max_disk: int | None,
    *,
    tables_only: bool,
    tables: Path | None,
    as_is: bool,
    engine: str,
) -> None:
    """Refuse what contradicts itself."""
    from synthea_bridge.errors import UsageError

    if tables_only and tables is not None:
        raise UsageError("--tables-only writes the tables to --out; leave --tables away")
    if write is not None and (tables_only or tables is not None):
        raise UsageError("--write says all that is written; leave --tables and --tables-only away")
    if url is not None and (write is None or engine != "local" or as_is):
        raise UsageError(
            "--load takes shards that this machine makes, with all that they refer to: add --write tables or --write "
            "bundles, and leave --engine spark and --as-is away"
        )
    if max_disk is not None and url is None:
        raise UsageError(NO_SERVER)


def _spec(
    named: tuple[str, ...],
    cases: tuple[int, ...],
    settings: tuple[str, ...],
    resources: tuple[str, ...],
    options: dict[str, Any],
) -> GenerateSpec:
    from pydantic import ValidationError

    from synthea_bridge.errors import UsageError
    from synthea_bridge.spec import RESOURCES, Cohort, GenerateSpec

    wanted = pairs_of("--set", settings)
    if len(named) != len(cases):
        raise UsageError(
            f"{len(named)} × --condition and {len(cases)} × --cases: give each condition its number of cases"
        )
    if 0 in cases:
        raise UsageError(f"--cases 0 for {named[cases.index(0)]}: ask for at least 1, or leave the condition out")
    cohorts = [Cohort(condition=condition, cases=number) for condition, number in zip(named, cases, strict=True)]
    try:
        return GenerateSpec(
            cohorts=tuple(cohorts),
            resources=resources or RESOURCES,
            settings=wanted,
            **options,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"--{'-'.join(map(str, first['loc'])).replace('_', '-')}: {first['msg']}") from error


def _what(text: str) -> list[What]:
    from synthea_bridge.errors import UsageError
    from synthea_bridge.sharded import WHAT

    asked = text.split(",")
    for one in asked:
        if one not in WHAT:
            raise UsageError(f"--write {text}: '{one}' is none of {', '.join(WHAT)}; name some of these, with commas")
    return [one for one in WHAT if one in asked]


def _told(part: dict[str, Any]) -> str:
    share = part["natural_prevalence"]
    if share is None:
        return f"{part['kept']} patients"
    low, high = part["natural_prevalence_95"]
    how = f"onset × {part['onset_factor']:,.4g}" if part["onset_factor"] > 1 else "onset as it is"
    about = "about " if part["approximate"] else ""
    return (
        f"{part['kept']} with {part['name']}, from {part['simulated']:,} people ({how}); naturally {about}{share:.3g} "
        f"of the living have it ({low:.2g} to {high:.2g}), each stands for {part['weight']:.3g}"
    )
