"""What ``fhirsynth augment`` does around the generator: the split, the timeline, the form of the file, what is said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import pandas as pd

    from fhirsynth.assemble import Timeline
    from fhirsynth.augment import AugmentResult
    from fhirsynth.augment.forms import Forms
    from fhirsynth.augment.inputs import Source
    from fhirsynth.augment.prior import Prior
    from fhirsynth.schema import FeatureSchema


def options_of(**given: float | None) -> dict[str, float]:
    """The options of a generator that were given."""
    return {name: value for name, value in given.items() if value is not None}


def refuse_unused(**given: Any) -> None:
    """Refuse what a saved model does not listen to.

    Raises
    ------
    UsageError
        When something of it was given.
    """
    from fhirsynth.errors import UsageError

    unused = [f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None]
    if unused:
        raise UsageError(f"--resample makes rows from a model as it was fitted; leave out {', '.join(unused)}")


def read_prior(path: Path | None, source: Source) -> Prior | None:
    """The prior, if one was given; none of its rows may be one of the source, learned from or held out."""
    from fhirsynth.augment import prior

    if path is None:
        return None
    found = prior.read_prior(path, source.schema, source.read)
    prior.refuse_own(found.frame, source.features, source.schema)
    return found


def split_source(source: Source, share: float, seed: int, out: Path) -> pd.DataFrame:
    """Hold patients out, write both parts, and give the one to learn from."""
    from fhirsynth.cohort import split

    condition = source.schema.condition
    parts = split(source.features, condition.column if condition else None, holdout=share, seed=seed)
    for name, part in (("train", parts.train), ("holdout", parts.holdout)):
        part.to_parquet(out / f"{name}.parquet", index=False)
    return parts.train


def say_advice(train: pd.DataFrame, schema: FeatureSchema, *, prior: bool) -> None:
    """Say of a small cohort that it is one, before minutes are spent on it."""
    from fhirsynth.augment.advice import advise

    cases = None if schema.condition is None else int(train[schema.condition.column].sum())
    advice = advise(len(train), cases, len(schema.columns), prior=prior)
    if advice is not None:
        click.echo(f"advice: {advice}", err=True)


def say_repeated(source: Source | None, model: str) -> None:
    """Say where a guarantee for a row is none for a patient."""
    from fhirsynth.augment.registry import PROTECTED

    if source is not None and model in PROTECTED and source.features["patient_id"].duplicated().any():
        click.echo(
            f"warning: what {model} guarantees is for one row; for patients with several rows epsilon is as many times "
            "as large; give one row a patient",
            err=True,
        )


def learned(folder: Path, train: pd.DataFrame, schema: FeatureSchema, out: Path) -> Timeline | None:
    """The timeline of the training patients; None where there are only features, with a word where that is odd."""
    from fhirsynth.assemble import learn
    from fhirsynth.stored import stored

    if not folder.is_dir():
        return None
    if not stored(folder, "encounters"):
        click.echo(f"{folder}: has no encounters to learn a timeline from; assemble will need one", err=True)
        return None
    timeline = learn(folder, list(train["patient_id"]), schema)
    timeline.save(out / "timeline.json")
    return timeline


def kept_timeline(folder: Path, out: Path) -> Timeline | None:
    """The timeline beside a saved model, copied into ``out``; None where there is none."""
    from fhirsynth.assemble import Timeline

    path = folder / "timeline.json"
    if not path.exists():
        return None
    timeline = Timeline.load(path)
    timeline.save(out / path.name)
    return timeline


def kept_forms(folder: Path) -> Forms | None:
    """How the file was written that a saved model was fitted to; None where it was no CSV file."""
    from fhirsynth.augment.forms import FORMS, Forms

    path = folder / FORMS
    return Forms.load(path) if path.exists() else None


def write_like(forms: Forms | None, result: AugmentResult, out: Path) -> None:
    """Write synthetic rows as the CSV file was written that was learned from, if it was one."""
    from fhirsynth.augment.forms import FORMS
    from fhirsynth.schema import FeatureSchema

    if forms is not None:
        forms.save(out / FORMS)
        forms.write(result.frame, FeatureSchema.load(out / "schema.json"), out / forms.file)


def told(source: Source | None) -> dict[str, Any]:
    """What a manifest says of the patients that were given."""
    if source is None:
        return {}
    return {
        "notices": list(source.notices),
        "given": {"rows": len(source.features) + source.unlabelled, "without_target": source.unlabelled},
    }


def report(result: AugmentResult, out: Path) -> None:
    """Say what was made, and what was drawn again and why."""
    outcome = result.outcome
    click.echo(f"{out / 'synthetic.parquet'}: {outcome['made']} synthetic patients from {outcome['drawn']} drawn")
    for constraint, count in outcome["rejected"].items():
        if count:
            click.echo(f"rejected {count} by {constraint}", err=True)
    for constraint, share in outcome["switched_off"].items():
        click.echo(
            f"switched off {constraint}: only {share:.1%} of the training patients, or of the cases, satisfy it",
            err=True,
        )
    why = outcome["model"].get("parameters", {}).get("why")
    if why:
        click.echo(why, err=True)
