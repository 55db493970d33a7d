"""``fhirsynth run``: the main job."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from fhirsynth.augment.registry import DEFAULT, MODELS, check_available, check_prior
from fhirsynth.cli._access import access_options
from fhirsynth.cli._progress import bar
from fhirsynth.cli._years import years_option
from synthea_bridge.cores import cores

if TYPE_CHECKING:
    from fhirsynth.publish.access import Access


@click.command("run")
@click.option("--condition", required=True, help="Condition to enlarge: a name, slug or SNOMED CT code.")
@click.option("--population", type=click.IntRange(1), default=300, show_default=True, help="Patients without it.")
@click.option("--cases", type=click.IntRange(1), default=150, show_default=True, help="Simulated patients with it.")
@click.option("--augment", type=click.IntRange(1), default=150, show_default=True, help="Synthetic patients to make.")
@click.option("--model", default=DEFAULT, show_default=True, help=f"{', '.join(MODELS)}.")
@click.option("--steps", type=click.IntRange(1), help="Training length in generator steps.  [default: the model's own]")
@click.option("--holdout", type=click.FloatRange(0.1, 0.9), default=0.4, show_default=True, help="Share never learned.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything.")
@click.option("--state", default="Massachusetts", show_default=True, help="US state of the simulated patients.")
@click.option("--workers", type=click.IntRange(1), default=cores, help="Processes.  [default: all cores]")
@click.option("--oracle", is_flag=True, help="Simulate the population again, to judge beside what is perfect.")
@click.option("--prior", type=click.IntRange(1), help="Simulate so many others, to learn from before (ctgan, auto).")
@click.option("--uplift", is_flag=True, help="Measure whether adding the synthetic cases to the real ones helps.")
@years_option()
@click.option("--server", metavar="URL", help="POST the Bundles to this FHIR server at the end.")
@access_options()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Work folder.")
def command(
    condition: str,
    population: int,
    cases: int,
    augment: int,
    model: str,
    steps: int | None,
    holdout: float,
    seed: int,
    state: str,
    workers: int,
    oracle: bool,
    prior: int | None,
    uplift: bool,
    years: float | None,
    server: str | None,
    out: Path,
    sign_in: Callable[[str], Access],
) -> None:
    """Everything: Synthea → tables → synthetic rows → Bundles → report, in one work folder.

    A second call does only what is missing; a call with other parameters into the same folder is refused.

    \b
    Example:
      fhirsynth run --condition cystic-fibrosis --population 300 --cases 150 --augment 150 --seed 7 --out work
    """
    from fhirsynth.augment.pipeline import MODEL_FOLDER
    from fhirsynth.augment.store import warning_of
    from fhirsynth.pipeline import Run, RunSpec
    from fhirsynth.workspace import Workspace
    from synthea_bridge.conditions import find
    from synthea_bridge.spec import Cohort, GenerateSpec

    check_available(model)
    if prior is not None:
        check_prior(model)
    generate = GenerateSpec(
        population=population,
        cohorts=(Cohort(condition=find(condition).slug, cases=cases),),
        seed=seed,
        state=state,
        threads=workers,
    )
    spec = RunSpec(
        generate=generate,
        augment=augment,
        model=model,
        steps=steps,
        holdout=holdout,
        seed=seed,
        oracle=oracle,
        uplift=uplift,
        prior=prior,
        years=years,
    )
    run = Run(spec, Workspace(out), bar, workers)
    outcome: dict[str, Any] = {}
    began = monotonic()
    for report in run.stages():
        outcome = report.outcome
        took = "already there" if report.resumed else f"{monotonic() - began:.0f} s"
        click.echo(f"{report.stage:<10} {took:>13}  {_headline(report.stage, outcome)}", err=True)
        began = monotonic()
    click.echo(f"warning: {out / 'synthetic' / MODEL_FOLDER}: {warning_of(model)}", err=True)
    click.echo(f"report: {out / 'report' / 'report.html'}")
    click.echo(f"valid: {outcome['valid']}")
    for dimension, verdict in outcome["verdicts"].items():
        click.echo(f"{dimension}: {verdict}")
    if server is not None:
        from fhirsynth.cli.load import load_and_report

        if not load_and_report(out / "bundles", server, sign_in=sign_in):
            sys.exit(1)


def _headline(stage: str, outcome: dict[str, Any]) -> str:
    """What a stage made, in one line."""
    if stage == "generated":
        kept = outcome["kept"]
        return f"{kept['control']} simulated patients and {kept['case']} with the condition"
    if stage == "tables":
        parts = [
            f"{outcome[name]['patients']} to {use}" for name, use in (("train", "learn from"), ("holdout", "judge by"))
        ]
        return f"{sum(outcome['rows'].values()):,} rows; {parts[0]}, {parts[1]}"
    if stage == "oracle":
        kept = outcome["generated"]["kept"]
        return f"{kept['control']} others without the condition and {kept['case']} with it, to compare with"
    if stage == "prior":
        return f"{outcome['features']} others to learn from before"
    if stage == "synthetic":
        why = outcome["model"].get("parameters", {}).get("why")
        made = f"{outcome['made']} synthetic patients with the condition, from {outcome['drawn']} drawn"
        return f"{made}. {why}" if why else made
    if stage == "bundles":
        found = outcome["clinical"]
        made = f"{sum(outcome['resources'].values()):,} resources"
        return f"{made}; {found['rules']} clinical rules, {found['errors']} errors, {found['warnings']} warnings"
    if stage == "ndjson":
        return f"{sum(outcome['resources'].values()):,} resources"
    return ""
