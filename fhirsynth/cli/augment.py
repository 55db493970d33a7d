"""``fhirsynth augment``: tables → a fitted generator → synthetic rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fhirsynth.augment.registry import DEFAULT, MODELS, TAKE_PRIOR
from fhirsynth.cli import _augment as around
from fhirsynth.cli._progress import bar

if TYPE_CHECKING:
    from fhirsynth.augment import AugmentResult
    from fhirsynth.augment.inputs import Source
    from synthea_bridge.progress import Progress

_FOLDER: Any = click.Path(path_type=Path, file_okay=False)
_FILE: Any = click.Path(path_type=Path, dir_okay=False)
_EITHER: Any = click.Path(path_type=Path)


@click.command()
@click.argument("source", metavar="[SOURCE]", required=False, type=_EITHER)
@click.option("--condition", help="Condition to enlarge: slug, name or SNOMED CT code.  [default: that of the tables]")
@click.option("--target", metavar="COL", help="Column that makes a case: a flag, or the rarer of two values.")
@click.option("--schema", type=_FILE, help="Feature schema of a file.  [default: schema.json beside it, or guessed]")
@click.option("--n", "count", type=click.IntRange(1), required=True, help="Synthetic patients to make.")
@click.option("--model", default=DEFAULT, show_default=True, help=f"{', '.join(MODELS)}.")
@click.option("--steps", type=click.IntRange(1), help="Training length in generator steps.  [default: the model's own]")
@click.option("--prior", type=_EITHER, help=f"Simulated patients to learn from before ({', '.join(TAKE_PRIOR)}).")
@click.option("--epsilon", type=float, help="Differential privacy: how much one patient may change (model private).")
@click.option("--delta", type=float, help="Differential privacy: chance that it is more (model private).")
@click.option("--holdout", type=click.FloatRange(0.1, 0.9), default=0.4, show_default=True, help="Share never learned.")
@click.option("--constraints", type=_FILE, help="TOML file with more constraints.")
@click.option("--resample", metavar="MODELDIR", type=_FOLDER, help="Sample again from a saved model, without SOURCE.")
@click.option("--no-model", is_flag=True, help="Leave no model behind: it can give training rows away.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything.")
@click.option("--out", type=_FOLDER, required=True, help="Folder to write.")
def command(
    source: Path | None,
    condition: str | None,
    target: str | None,
    schema: Path | None,
    count: int,
    model: str,
    steps: int | None,
    prior: Path | None,
    epsilon: float | None,
    delta: float | None,
    holdout: float,
    constraints: Path | None,
    resample: Path | None,
    no_model: bool,
    seed: int,
    out: Path,
) -> None:
    """Learn from SOURCE and make exactly N synthetic patients: cases, where it is known what makes one.

    SOURCE is a folder made by flatten, or a CSV or Parquet file, whose columns are taken for what they look like
    (which is said), or for what --schema says. Patients are split first, and the generator learns from the training
    part only. Writes train.parquet, holdout.parquet, synthetic.parquet (of a CSV file synthetic.csv, too),
    schema.json, timeline.json (for assemble), manifest.json and model/, which can be sampled again and must be kept
    like the training data (or left out with --no-model).

    \b
    Example:
      fhirsynth augment tables --condition cystic-fibrosis --n 150 --model ctgan --seed 7 --out synthetic
      fhirsynth augment patients.csv --target relapse --n 100 --model cart --seed 7 --out synthetic
      fhirsynth augment --resample synthetic/model --n 500 --seed 8 --out more
    """
    from fhirsynth.augment.inputs import read_source
    from fhirsynth.augment.pipeline import MODEL_FOLDER
    from fhirsynth.augment.registry import check_available, check_options, check_prior
    from fhirsynth.augment.store import warning_of
    from fhirsynth.constraints import ConstraintSet
    from fhirsynth.errors import UsageError
    from synthea_bridge.files import atomic_folder, write_json

    if (source is None) == (resample is None):
        raise UsageError("give a folder of tables, or --resample MODELDIR, or a CSV or Parquet file: one of them")
    rules = ConstraintSet.load(constraints)
    options = around.options_of(epsilon=epsilon, delta=delta)
    given = None
    if resample is not None:
        around.refuse_unused(condition=condition, target=target, schema=schema, prior=prior, **options)
    else:
        assert source is not None
        check_available(model)
        check_options(model, options)
        if prior is not None:
            check_prior(model)
        given = read_source(source, schema=schema, target=target, condition=condition)
    for line in given.notices if given else ():
        click.echo(line, err=True)
    around.say_repeated(given, model)
    with atomic_folder(out) as scratch, bar("augment") as progress:
        if resample is not None:
            result = _again(resample, count, seed, scratch)
        else:
            assert source is not None
            assert given is not None
            fitting = {"model": model, "steps": steps, "options": options, "constraints": rules}
            settings = {**fitting, "n": count, "seed": seed, "keep_model": not no_model}
            result = _fitted(source, given, prior, holdout, scratch, progress, settings)
        write_json(scratch / "manifest.json", {"stage": "synthetic", **result.outcome, **around.told(given)})
    around.report(result, out)
    if resample is None and not no_model:
        click.echo(f"warning: {out / MODEL_FOLDER}: {warning_of(model)}", err=True)


def _again(model: Path, count: int, seed: int, out: Path) -> AugmentResult:
    """Rows of a saved model."""
    from fhirsynth.augment import resample

    lives = around.kept_timeline(model.parent, out)
    result = resample(model, n=count, out=out, seed=seed, livable=lives.livable if lives else None)
    around.write_like(around.kept_forms(model.parent), result, out)
    return result


def _fitted(
    source: Path,
    given: Source,
    prior: Path | None,
    holdout: float,
    out: Path,
    progress: Progress,
    settings: dict[str, Any],
) -> AugmentResult:
    """Rows of a model that is fitted with these ``settings`` of :func:`fhirsynth.augment.augment`."""
    from fhirsynth.augment import augment

    before = around.read_prior(prior, given)
    if before is not None:
        settings = {**settings, "prior": before.frame, "prior_source": before.source}
    train = around.split_source(given, holdout, settings["seed"], out)
    around.say_advice(train, given.schema, prior=before is not None)
    timeline = around.learned(source, train, given.schema, out)
    livable = timeline.livable if timeline else None
    result = augment(train, given.schema, out=out, livable=livable, progress=progress, **settings)
    around.write_like(given.forms, result, out)
    return result
