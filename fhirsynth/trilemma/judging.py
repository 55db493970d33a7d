"""One comparison from frames to a :class:`~fhirsynth.trilemma.measure.Report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from fhirsynth.schema import FeatureSchema
from fhirsynth.trilemma.fidelity import Fidelity, measure_fidelity
from fhirsynth.trilemma.literal import set_beside
from fhirsynth.trilemma.measure import DIMENSIONS, Cohort, Dimension, Finding, Pictures, Report, Verdict, worst
from fhirsynth.trilemma.natural import natural_precision, natural_view
from fhirsynth.trilemma.pictures import marginals
from fhirsynth.trilemma.privacy import Privacy, default_sensitive, measure_privacy
from fhirsynth.trilemma.samples import Samples, prepare
from fhirsynth.trilemma.selftest import self_test
from fhirsynth.trilemma.utility import Utility, measure_utility
from synthea_bridge.progress import Progress, silent

Parts = tuple[Utility, Privacy, Fidelity]


def evaluate(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    schema: FeatureSchema,
    *,
    target: str | None = None,
    sensitive: Sequence[str] = (),
    seed: int = 0,
    progress: Progress = silent,
) -> Report:
    """Judge ``synthetic`` by what its generator saw and by what it never saw.

    Parameters
    ----------
    train, holdout, synthetic
        One row per patient with the schema's columns; no patient may be in both of the first two. A column ``weight``
        in these says how many people of the natural population each stands for.
    target
        The flag that utility predicts; by default the condition of the schema.
    sensitive
        Columns that attribute inference guesses; by default up to four flags and categories that vary.
    seed
        Of every random choice; the same input and seed give the same report.

    Raises
    ------
    UsageError
        When a column is missing or unknown, or ``target`` is no flag.
    EvaluateError
        When a frame is too small, or holds a value that its column cannot hold.
    """
    samples = prepare(train, holdout, synthetic, schema, target, sensitive, seed)
    guessed = tuple(sensitive) or default_sensitive(samples)
    cohorts: tuple[Cohort, ...] = ("overall", "rare") if samples.cohort else ("overall",)
    steps = 3 * len(cohorts) + 1
    results: dict[Cohort, Parts] = {}
    for index, cohort in enumerate(cohorts):
        progress(3 * index, steps, f"utility, {cohort}")
        utility = measure_utility(samples, cohort, overall=results["overall"][0].learned if results else None)
        progress(3 * index + 1, steps, f"privacy, {cohort}")
        privacy = measure_privacy(samples, cohort, guessed)
        progress(3 * index + 2, steps, f"fidelity, {cohort}")
        results[cohort] = (utility, privacy, measure_fidelity(samples, cohort))
    progress(steps - 1, steps, "self-test")
    learned = results["overall"][0].learned
    controls = self_test(samples, guessed, learned.real if learned else None)
    progress(steps, steps, "")
    findings = _findings(results)
    drawn: Cohort = "overall" if samples.missing_class is None else "rare"
    title = schema[samples.cohort].title if samples.cohort else ""
    return Report(
        valid=len(controls) >= 2 and all(control.ok for control in controls),
        verdicts=_combined(findings),
        findings=findings,
        sizes=samples.sizes,
        target=samples.target,
        cohort_column=samples.cohort,
        cohort_title=title,
        sensitive=guessed,
        seed=seed,
        composition=samples.composition(),
        measures=(
            *(
                one
                for parts in results.values()
                for one in set_beside([one for part in parts for one in part.measures])
            ),
            *natural_precision(train, holdout, samples, learned),
        ),
        columns=tuple(one for parts in results.values() for one in parts[2].columns),
        controls=controls,
        natural=natural_view(train, holdout, schema),
        pictures=_pictures(samples, results, drawn),
    )


def _findings(results: Mapping[Cohort, Parts]) -> tuple[Finding, ...]:
    return tuple(
        Finding(dimension=dimension, cohort=cohort, verdict=part.verdict, sentence=part.sentence)
        for index, dimension in enumerate(DIMENSIONS)
        for cohort, parts in results.items()
        for part in (parts[index],)
    )


def _combined(findings: Sequence[Finding]) -> dict[Dimension, Verdict]:
    return {name: worst([one.verdict for one in findings if one.dimension == name]) for name in DIMENSIONS}


def _pictures(samples: Samples, results: Mapping[Cohort, Parts], drawn: Cohort) -> Pictures:
    utility, privacy, _ = results["overall"]
    shown = results.get(drawn, results["overall"])
    return Pictures(
        cohort=drawn,
        marginals=marginals(samples, drawn),
        association=shown[2].association,
        rocs=(*utility.rocs, *privacy.rocs),
        distances=shown[1].distances,
    )
