"""``fhirsynth generate``: parameters → Bundles of simulated patients."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fhirsynth.cli._progress import bar

if TYPE_CHECKING:
    from synthea_bridge.generate import GenerateResult
    from synthea_bridge.progress import Progress
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
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="generated",
    show_default=True,
    help="Folder to write.",
)
def command(
    out: Path,
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
    **options: Any,
) -> None:
    """Simulate patients with Synthea; the same parameters give the same bytes.

    With --write the result is in shards, made by several workers: what is done stays after a kill, and the same call
    goes on.

    \b
    Example:
      fhirsynth generate --population 50 --seed 7 --out generated
      fhirsynth generate --population 60 --condition lupus --cases 40 --seed 7 --out generated
      fhirsynth generate --population 100000 --write tables,ndjson --workers 8 --out large
    """
    from synthea_bridge.errors import UsageError
    from synthea_bridge.generate import generate

    if tables_only and tables is not None:
        raise UsageError("--tables-only writes the tables to --out; leave --tables away")
    if write is None and (compress or workers):
        raise UsageError("--compress and --workers are for shards; say with --write what is to be written")
    if write is not None and (tables_only or tables is not None):
        raise UsageError("--write says all that is written; leave --tables and --tables-only away")
    what = None if write is None else _what(write)
    spec = _spec(named, cases, settings, resources, options | ({} if threads is None else {"threads": threads}))
    with bar("simulate") as progress:
        if what is None:
            result = generate(spec, out, progress, tables, tables_only=tables_only)
        else:
            result = _in_shards(spec, out, what, compress or "gzip", workers, progress, shared=threads is None)
    outcome = result.outcome
    for part in outcome["parts"]:
        click.echo(f"{out}: {_told(part)}")
    if "mended" in outcome:
        made = outcome["mended"]
        click.echo(
            f"mended: {made['units']} units, {made['data_absent_reason']} observations without a value; added: "
            f"{made['shared_resources']} organisations, locations and practitioners that patients refer to"
        )


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

    pairs = [setting.partition("=") for setting in settings]
    wrong = [name for name, sign, _ in pairs if not sign or not name]
    if wrong:
        raise UsageError(f"--set {wrong[0]}: write it as KEY=VALUE")
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
            settings={name: value for name, _, value in pairs},
            **options,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"--{'-'.join(map(str, first['loc'])).replace('_', '-')}: {first['msg']}") from error


def _in_shards(
    spec: GenerateSpec,
    out: Path,
    what: list[What],
    compression: Compression,
    workers: int | None,
    progress: Progress,
    *,
    shared: bool,
) -> GenerateResult:
    """Simulate shards; the workers share the threads among them where nobody has said how many each has."""
    from synthea_bridge.engines.local import LocalEngine
    from synthea_bridge.sharded import generate_shards
    from synthea_bridge.shards import usual_workers

    number = workers or usual_workers(spec)
    if shared:
        spec = spec.model_copy(update={"threads": max(1, spec.threads // number)})
    return generate_shards(spec, str(out), LocalEngine(number), what, compression, progress)


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
