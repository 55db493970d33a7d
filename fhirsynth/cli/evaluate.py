"""``fhirsynth evaluate``: three tables → a report on utility, privacy and fidelity."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fhirsynth.cli._engine import engine_of, engine_options
from fhirsynth.cli._progress import bar

if TYPE_CHECKING:
    from fhirsynth.trilemma import Report
    from fhirsynth.trilemma.inputs import Inputs
    from fhirsynth.trilemma.lives.timeline import Histories

_FOLDER = click.Path(path_type=Path, file_okay=False)
_TABLE = click.Path(path_type=Path, dir_okay=False)


@click.command("evaluate")
@click.option("--train", type=_TABLE, required=True, help="Rows that the generator has seen (Parquet or CSV).")
@click.option("--holdout", type=_TABLE, required=True, help="Real rows that it has never seen.")
@click.option("--synthetic", type=_TABLE, required=True, help="Rows that it has made.")
@click.option(
    "--schema", "schema_path", type=_TABLE, help="Feature schema.  [default: schema.json beside --train, or guessed]"
)
@click.option("--target", metavar="COL", help="Flag to predict.  [default: the schema's condition]")
@click.option("--sensitive", metavar="COL", multiple=True, help="Column that an attacker would guess; repeat it.")
@click.option("--oracle", type=_TABLE, help="A fresh draw of the real population, as a simulator can give.")
@click.option("--uplift", is_flag=True, help="Also measure whether adding synthetic positives helps (minutes).")
@click.option(
    "--also",
    metavar="NAME=FILE",
    multiple=True,
    help="Rows of another generator, to compare in the uplift; repeat it.",
)
@click.option("--tables", type=_FOLDER, help="Tables of the real patients (from flatten), to judge histories.")
@click.option("--synthetic-tables", type=_FOLDER, help="Tables of the synthetic patients, likewise.")
@click.option(
    "--years",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="Judge histories over the last N years alone, as far as synthetic ones go back.  [default: as their tables "
    "say, or all]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of every random choice.")
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: all cores, from 2,000 rows on]")
@engine_options("the models of --uplift are fitted")
@click.option("--json", "as_json", is_flag=True, help="Print what report.json holds.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the report.")
def command(
    train: Path,
    holdout: Path,
    synthetic: Path,
    schema_path: Path | None,
    target: str | None,
    sensitive: tuple[str, ...],
    oracle: Path | None,
    uplift: bool,
    also: tuple[str, ...],
    tables: Path | None,
    synthetic_tables: Path | None,
    years: float | None,
    seed: int,
    workers: int | None,
    as_json: bool,
    out: Path,
    **fitting: Any,
) -> None:
    """Judge synthetic rows: utility, privacy and fidelity, each with its uncertainty.

    \b
    Example:
      fhirsynth evaluate --train tables/train.parquet --holdout tables/holdout.parquet \\
        --synthetic synthetic/synthetic.parquet --out report
      fhirsynth evaluate --train a.csv --holdout b.csv --synthetic c.csv --target relapse --uplift --out report
      fhirsynth evaluate --train a.parquet --holdout b.parquet --synthetic c.parquet --uplift \\
        --engine spark --master yarn --out report
    """
    from fhirsynth.errors import UsageError
    from fhirsynth.trilemma import Extras, evaluate
    from fhirsynth.trilemma.documents.croissant import DataFile
    from fhirsynth.trilemma.documents.report import as_json as as_body
    from fhirsynth.trilemma.documents.report import write_report
    from fhirsynth.trilemma.inputs import made_by, read_inputs
    from fhirsynth.trilemma.threads import MANY
    from synthea_bridge.cores import cores

    if (tables is None) != (synthetic_tables is None):
        raise UsageError("histories are compared with each other: give --tables and --synthetic-tables, or neither")
    if years is not None and tables is None:
        raise UsageError("--years cuts histories; give --tables and --synthetic-tables as well")
    if also and not uplift:
        raise UsageError("--also names rows for the uplift; give --uplift as well")
    if fitting["engine"] != "local" and not uplift:
        raise UsageError("--engine spark fits the models of the uplift; give --uplift as well, or leave it away")
    more = {"oracle": oracle} if oracle is not None else {}
    provenance = made_by(synthetic)
    others = _named(also, provenance.name)
    inputs = read_inputs(train, holdout, synthetic, schema_path, target, {**more, **others})
    for line in inputs.notices:
        click.echo(line, err=True)
    extras = Extras(
        oracle=inputs.more.get("oracle"),
        histories=_histories(inputs, tables, synthetic_tables, oracle, years),
        uplift={provenance.name: inputs.frames[2], **{name: inputs.more[name] for name in others}} if uplift else {},
    )
    number = workers or (cores() if len(inputs.frames[0]) >= MANY else 1)
    with engine_of(**fitting, workers=number) as engine, bar("evaluate") as progress:
        report = evaluate(
            *inputs.frames,
            inputs.schema,
            target=target,
            sensitive=sensitive,
            seed=seed,
            extras=extras,
            workers=number,
            engine=engine,
            progress=progress,
        )
    # What was guessed and left out belongs to whoever reads the report, not only to whoever made it.
    report = report.model_copy(update={"warnings": (*inputs.notices, *report.warnings)})
    write_report(report, provenance.stages, out, schema=inputs.schema, files=[DataFile.of(synthetic, out)])
    if as_json:
        click.echo(json.dumps(as_body(report, provenance.stages), indent=2))
    else:
        _show(report, out, told=inputs.notices)


def _named(also: tuple[str, ...], generator: str) -> dict[str, Path]:
    from fhirsynth.errors import UsageError

    found: dict[str, Path] = {}
    for one in also:
        name, equals, path = one.partition("=")
        if not equals or not name or not path:
            raise UsageError(f"--also {one}: is not NAME=FILE; say for example --also tvae=tvae/synthetic.parquet")
        if name in found or name in {"train", "holdout", "synthetic", "oracle", generator}:
            raise UsageError(f"--also {one}: the name '{name}' is taken; choose another")
        found[name] = Path(path)
    return found


def _histories(
    inputs: Inputs, tables: Path | None, synthetic: Path | None, oracle: Path | None, years: float | None
) -> Histories | None:
    from fhirsynth.errors import UsageError
    from fhirsynth.guess import UNKNOWN
    from fhirsynth.stored import stored
    from fhirsynth.trilemma.lives.histories import Oracle, read_histories

    if tables is None or synthetic is None:
        return None
    if inputs.schema.index_date == UNKNOWN:
        raise UsageError(
            "histories are compared up to the index date of a schema, and there is none; give the --schema that "
            "flatten has written beside the features"
        )
    train, holdout, made = inputs.frames
    # A fresh draw brings its histories where it lies among its tables.
    fresh = None
    if oracle is not None and stored(oracle.parent, "encounters") and "patient_id" in inputs.more["oracle"]:
        fresh = Oracle(oracle.parent, inputs.more["oracle"])
    return read_histories(
        tables,
        synthetic,
        train=train,
        holdout=holdout,
        made=made,
        schema=inputs.schema,
        oracle=fresh,
        years=years or _told(synthetic),
    )


def _told(tables: Path) -> float | None:
    """Of how many last years tables tell, as their manifest says; None: of whole lives, or it says nothing."""
    try:
        said = json.loads((tables / "manifest.json").read_bytes())["years"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return float(said) if isinstance(said, int | float) and said > 0 else None


def _show(report: Report, out: Path, *, told: tuple[str, ...]) -> None:
    click.echo(f"report: {out / 'report.html'}")
    click.echo(f"valid: {report.valid}")
    for line in report.warnings[len(told) :]:
        click.echo(f"warning: {line}")
    for finding in report.findings:
        click.echo(f"{finding.dimension}, {finding.cohort}: {finding.verdict}. {finding.sentence}")
    if report.uplift is not None:
        click.echo(f"uplift: {report.uplift.sentence}")
