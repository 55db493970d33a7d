"""``fhirsynth augment``: tables → a fitted generator → synthetic rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fhirsynth.cli._progress import bar

if TYPE_CHECKING:
    import pandas as pd

    from fhirsynth.assemble import Timeline
    from fhirsynth.augment import AugmentResult
    from fhirsynth.schema import FeatureSchema

_FOLDER: Any = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.argument("folder", metavar="[DIR]", required=False, type=_FOLDER)
@click.option("--condition", help="Condition to enlarge: slug, name or SNOMED CT code.  [default: that of the tables]")
@click.option("--n", "count", type=click.IntRange(1), required=True, help="Synthetic patients to make.")
@click.option("--model", default="ctgan", show_default=True, help="ctgan, tvae, gaussian-copula, bootstrap, marginals.")
@click.option("--steps", type=click.IntRange(1), help="Training length in generator steps.  [default: the model's own]")
@click.option("--holdout", type=click.FloatRange(0.1, 0.9), default=0.4, show_default=True, help="Share never learned.")
@click.option("--constraints", type=click.Path(path_type=Path, dir_okay=False), help="TOML file with more constraints.")
@click.option("--resample", metavar="MODELDIR", type=_FOLDER, help="Sample again from a saved model, without DIR.")
@click.option("--no-model", is_flag=True, help="Leave no model behind: it can give training rows away.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything.")
@click.option("--out", type=_FOLDER, required=True, help="Folder to write.")
def command(
    folder: Path | None,
    condition: str | None,
    count: int,
    model: str,
    steps: int | None,
    holdout: float,
    constraints: Path | None,
    resample: Path | None,
    no_model: bool,
    seed: int,
    out: Path,
) -> None:
    """Learn from DIR (made by flatten) and make exactly N synthetic patients with the condition.

    Patients are split first, and the generator learns from the training part only. Writes train.parquet,
    holdout.parquet, synthetic.parquet, schema.json, timeline.json (for assemble), manifest.json and model/, which can
    be sampled again and must be kept like the training data (or left out with --no-model).

    \b
    Example:
      fhirsynth augment tables --condition cystic-fibrosis --n 150 --model ctgan --seed 7 --out synthetic
      fhirsynth augment --resample synthetic/model --n 500 --seed 8 --out more
    """
    from fhirsynth import augment as stage
    from fhirsynth.augment.pipeline import MODEL_FOLDER
    from fhirsynth.augment.registry import check_available
    from fhirsynth.augment.store import WARNING
    from fhirsynth.constraints import ConstraintSet
    from fhirsynth.errors import UsageError
    from synthea_bridge.files import atomic_folder, write_json

    if (folder is None) == (resample is None):
        raise UsageError("give a folder of tables, or --resample MODELDIR, and not both")
    rules = ConstraintSet.load(constraints)
    if folder is not None:
        check_available(model)
        features, schema = _read(folder, condition)
    with atomic_folder(out) as scratch, bar("augment") as progress:
        if resample is not None:
            lives = _timeline(resample.parent / "timeline.json", scratch)
            result = stage.resample(resample, n=count, out=scratch, seed=seed, livable=lives.livable if lives else None)
        else:
            assert folder is not None
            train = _split(features, schema, holdout, seed, scratch)
            timeline = _learned(folder, train, schema, scratch)
            result = stage.augment(
                train,
                schema,
                n=count,
                out=scratch,
                model=model,
                steps=steps,
                seed=seed,
                constraints=rules,
                livable=timeline.livable if timeline else None,
                keep_model=not no_model,
                progress=progress,
            )
        write_json(scratch / "manifest.json", {"stage": "synthetic", **result.outcome})
    _report(result, out)
    if resample is None and not no_model:
        click.echo(f"warning: {out / MODEL_FOLDER}: {WARNING}", err=True)


def _read(folder: Path, condition: str | None) -> tuple[pd.DataFrame, FeatureSchema]:
    import pandas as pd

    from fhirsynth.errors import UsageError
    from fhirsynth.schema import FeatureSchema

    schema = FeatureSchema.load(folder / "schema.json")
    asked = schema.condition
    if asked is None:
        raise UsageError(f"{folder}: was flattened without a condition; flatten again with --condition")
    names = {asked.slug, asked.name, asked.snomed}
    if condition is not None and _plain(condition) not in {_plain(name) for name in names}:
        raise UsageError(
            f"{folder}: was flattened for {asked.slug} and not for {condition}; flatten again with --condition"
        )
    path = folder / "features.parquet"
    try:
        return schema.conform(pd.read_parquet(path)), schema
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: does not hold the features of schema.json ({error}); flatten again") from error


def _learned(folder: Path, train: pd.DataFrame, schema: FeatureSchema, out: Path) -> Timeline | None:
    """The timeline of the training patients; None, with a word, where DIR has features and nothing else."""
    from fhirsynth.assemble import learn

    if not (folder / "encounters.parquet").exists():
        click.echo(f"{folder}: has no encounters to learn a timeline from; assemble will need one", err=True)
        return None
    timeline = learn(folder, list(train["patient_id"]), schema)
    timeline.save(out / "timeline.json")
    return timeline


def _timeline(path: Path, out: Path) -> Timeline | None:
    """The timeline beside a saved model, copied into ``out``; None where there is none."""
    from fhirsynth.assemble import Timeline

    if not path.exists():
        return None
    timeline = Timeline.load(path)
    timeline.save(out / "timeline.json")
    return timeline


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "-").replace(" ", "-")


def _split(features: pd.DataFrame, schema: FeatureSchema, share: float, seed: int, out: Path) -> pd.DataFrame:
    from fhirsynth.cohort import split

    assert schema.condition is not None
    parts = split(features, schema.condition.column, holdout=share, seed=seed)
    for name, part in (("train", parts.train), ("holdout", parts.holdout)):
        part.to_parquet(out / f"{name}.parquet", index=False)
    return parts.train


def _report(result: AugmentResult, out: Path) -> None:
    outcome = result.outcome
    click.echo(f"{out / 'synthetic.parquet'}: {outcome['made']} synthetic patients from {outcome['drawn']} drawn")
    for constraint, count in outcome["rejected"].items():
        if count:
            click.echo(f"rejected {count} by {constraint}", err=True)
    for constraint, share in outcome["switched_off"].items():
        click.echo(f"switched off {constraint}: only {share:.1%} of the training patients satisfy it", err=True)
