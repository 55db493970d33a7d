"""``fhirsynth evaluate``: three tables → a report on utility, privacy and fidelity."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fhirsynth.cli._progress import bar

if TYPE_CHECKING:
    from fhirsynth.trilemma import Report

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
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of every random choice.")
@click.option("--json", "as_json", is_flag=True, help="Print verdicts and measures as JSON.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the report.")
def command(
    train: Path,
    holdout: Path,
    synthetic: Path,
    schema_path: Path | None,
    target: str | None,
    sensitive: tuple[str, ...],
    seed: int,
    as_json: bool,
    out: Path,
) -> None:
    """Judge synthetic rows: utility, privacy and fidelity, each with its uncertainty.

    \b
    Example:
      fhirsynth evaluate --train tables/train.parquet --holdout tables/holdout.parquet \\
        --synthetic synthetic/synthetic.parquet --out report
    """
    from fhirsynth.trilemma import evaluate
    from fhirsynth.trilemma.inputs import read_inputs
    from fhirsynth.trilemma.report import write_report

    inputs = read_inputs(train, holdout, synthetic, schema_path, target)
    if inputs.guessed:
        kinds = ", ".join(f"{feature.name}: {feature.kind}" for feature in inputs.schema.features)
        click.echo(f"no schema given; taken as {kinds}", err=True)
    with bar("evaluate") as progress:
        report = evaluate(
            *inputs.frames, inputs.schema, target=target, sensitive=sensitive, seed=seed, progress=progress
        )
    write_report(report, {}, out)
    _show(report, out, as_json=as_json)


def _show(report: Report, out: Path, *, as_json: bool) -> None:
    if as_json:
        click.echo(report.model_dump_json(indent=2, exclude={"pictures"}))
        return
    click.echo(f"report: {out / 'report.html'}")
    click.echo(f"valid: {report.valid}")
    for finding in report.findings:
        click.echo(f"{finding.dimension}, {finding.cohort}: {finding.verdict}. {finding.sentence}")
