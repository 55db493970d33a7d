"""One comparison from frames to a :class:`~fhirsynth.trilemma.measure.Report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from fhirsynth.beside import beside
from fhirsynth.errors import EvaluateError
from fhirsynth.schema import FeatureSchema
from fhirsynth.tables import conform
from fhirsynth.trilemma.attributes import default_sensitive
from fhirsynth.trilemma.columns import unlike
from fhirsynth.trilemma.fidelity import Fidelity, measure_fidelity
from fhirsynth.trilemma.literal import set_beside
from fhirsynth.trilemma.lives.charts import Charts, example_charts
from fhirsynth.trilemma.lives.copies import Copies, measure_copies
from fhirsynth.trilemma.lives.histories import Histories
from fhirsynth.trilemma.lives.shown import CodeShares, TimelineMeasure
from fhirsynth.trilemma.lives.timeline import frequencies, measure_histories
from fhirsynth.trilemma.measure import (
    DIMENSIONS,
    Cohort,
    Dimension,
    Finding,
    Marginal,
    Measure,
    Pictures,
    Report,
    Rule,
    Uplift,
    Verdict,
    worst,
)
from fhirsynth.trilemma.natural import WEIGHT, is_weighted, natural_precision, natural_view
from fhirsynth.trilemma.notices import listed
from fhirsynth.trilemma.pictures import marginals, pca_map
from fhirsynth.trilemma.privacy import Privacy, measure_privacy
from fhirsynth.trilemma.rules import plausibility
from fhirsynth.trilemma.samples import Samples, prepare
from fhirsynth.trilemma.selftest import self_test
from fhirsynth.trilemma.uplift.uplift import measure_uplift
from fhirsynth.trilemma.utility import Utility, measure_utility
from fhirsynth.trilemma.view import View
from synthea_bridge.engines import Mapper
from synthea_bridge.engines.local import LocalEngine
from synthea_bridge.progress import Progress, silent

Parts = tuple[Utility, Privacy, Fidelity]


@dataclass(frozen=True, slots=True)
class Extras:
    """What more can be judged where it is at hand.

    Parameters
    ----------
    oracle
        A fresh real draw of the same population, as a simulator can give: the control that must pass, and the ceiling
        of the uplift.
    histories
        Tables of real holdout patients and of synthetic ones: order in time, and what histories look like.
    uplift
        Synthetic rows by name of their generator, whose positives are added to the real ones to see whether they help;
        empty: this is not measured.
    """

    oracle: pd.DataFrame | None = None
    histories: Histories | None = None
    uplift: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def evaluate(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    schema: FeatureSchema,
    *,
    target: str | None = None,
    sensitive: Sequence[str] = (),
    seed: int = 0,
    extras: Extras = Extras(),
    workers: int = 1,
    engine: Mapper | None = None,
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
    extras
        An oracle, histories, and whether augmentation helps.
    workers
        With more than one, the self-test is made in another process, and so many fit the models of the uplift; the
        report is the same.
    engine
        Fits the models of the uplift in their place.

    Raises
    ------
    UsageError
        When a column is missing or unknown, or ``target`` is no flag.
    EvaluateError
        When a frame is too small, or holds a value that its column cannot hold.
    """
    samples = prepare(train, holdout, synthetic, schema, target, sensitive, seed)
    guessed = tuple(sensitive) or default_sensitive(samples)
    fresh = None if extras.oracle is None else conform("oracle", extras.oracle, schema)
    cohorts: tuple[Cohort, ...] = ("overall", "rare") if samples.cohort else ("overall",)
    steps = 3 * len(cohorts) + 2
    progress(0, steps, "utility, overall")
    taught = measure_utility(samples, "overall")
    learned = taught.learned
    with beside(workers, self_test, samples, guessed, learned.real if learned else None, fresh) as tested:
        lived = _lived(extras.histories, schema, seed)
        rules = (*plausibility(samples), *lived.rules)
        # Histories are compared like with like: where only cases were made, they are about cases alone.
        whose: Cohort = "rare" if samples.cohort and samples.missing_class is False else "overall"
        copied = [one.model_copy(update={"cohort": whose}) for one in lived.copies.measures]
        results: dict[Cohort, Parts] = {}
        for index, cohort in enumerate(cohorts):
            progress(3 * index, steps, f"utility, {cohort}")
            utility = measure_utility(samples, cohort, overall=learned) if results else taught
            progress(3 * index + 1, steps, f"privacy, {cohort}")
            privacy = measure_privacy(samples, cohort, guessed, copied if cohort == whose else ())
            progress(3 * index + 2, steps, f"fidelity, {cohort}")
            fidelity = measure_fidelity(samples, cohort, rules if cohort == "overall" else ())
            results[cohort] = (utility, privacy, fidelity)
        progress(steps - 2, steps, "self-test")
        controls = (*tested(), *lived.copies.controls)
    progress(steps - 1, steps, "")
    uplift, unmeasured = _uplift(
        samples, extras.uplift, fresh, holdout, schema, engine or LocalEngine(workers), progress
    )
    progress(steps, steps, "")
    findings = _findings(results)
    drawn: Cohort = "overall" if samples.missing_class is None else "rare"
    return Report(
        valid=len(controls) >= 2 and all(control.ok for control in controls),
        verdicts=_combined(findings),
        findings=findings,
        sizes=samples.sizes,
        target=samples.target,
        cohort_column=samples.cohort,
        cohort_title=schema[samples.cohort].title if samples.cohort else "",
        sensitive=guessed,
        seed=seed,
        composition=samples.composition(),
        measures=(*_measures(results), *natural_precision(train, holdout, samples, learned)),
        columns=tuple(one for parts in results.values() for one in parts[2].columns),
        controls=controls,
        warnings=(*samples.notices, *_split_unlike(samples), *unmeasured),
        attributes=tuple(one for parts in results.values() for one in parts[1].attributes),
        rules=rules,
        timeline=lived.measures,
        years=extras.histories.years if extras.histories is not None else None,
        uplift=uplift,
        natural=natural_view(train, holdout, schema),
        pictures=_pictures(samples, results, drawn, lived, _charts(extras.histories, schema, findings)),
    )


def _split_unlike(samples: Samples) -> list[str]:
    """A line where train and holdout are no random split: everything here rests on that."""
    view = View.of(replace(samples, synthetic=samples.train).capped(), samples.train, "overall")
    found = unlike(view)
    if not found:
        return []
    line = (
        f"Train and holdout differ beyond chance ({listed(found)}): they should be a random split by patient, or what "
        "differs between them is taken for the generator's."
    )
    return [line]


@dataclass(frozen=True, slots=True)
class _Lived:
    """What was found of histories; nothing where there are none."""

    measures: tuple[TimelineMeasure, ...] = ()
    pictures: tuple[Marginal, ...] = ()
    rules: tuple[Rule, ...] = ()
    codes: CodeShares | None = None
    copies: Copies = field(default_factory=Copies)


def _lived(histories: Histories | None, schema: FeatureSchema, seed: int) -> _Lived:
    if histories is None:
        return _Lived()
    measures, pictures, rules = measure_histories(histories, index_date=schema.index_date, seed=seed)
    codes = frequencies(histories, schema.index_date)
    return _Lived(measures, pictures, rules, codes, measure_copies(histories, index_date=schema.index_date, seed=seed))


def _charts(histories: Histories | None, schema: FeatureSchema, findings: Sequence[Finding]) -> Charts:
    """Examples of histories; of a generator that leaks, none that might be a real patient's."""
    if histories is None:
        return Charts()
    leaked = any(one.dimension == "privacy" and one.verdict == "FAIL" for one in findings)
    return example_charts(histories, schema.index_date, leaked=leaked)


def _uplift(
    samples: Samples,
    generators: Mapping[str, pd.DataFrame],
    oracle: pd.DataFrame | None,
    holdout: pd.DataFrame,
    schema: FeatureSchema,
    engine: Mapper,
    progress: Progress,
) -> tuple[Uplift | None, list[str]]:
    """The uplift where it was asked for; where it cannot be measured, why, in one line."""
    if not generators:
        return None, []
    made = {name: conform(name, frame, schema) for name, frame in generators.items()}
    weights = holdout[WEIGHT].to_numpy(dtype=np.float64) if is_weighted(schema, holdout) else None
    try:
        return measure_uplift(samples, made, oracle=oracle, weights=weights, engine=engine, progress=progress), []
    except EvaluateError as error:
        return None, [f"Whether augmentation helps was not measured: {error}"]


def _measures(results: Mapping[Cohort, Parts]) -> list[Measure]:
    return [one for parts in results.values() for one in set_beside([one for part in parts for one in part.measures])]


def _findings(results: Mapping[Cohort, Parts]) -> tuple[Finding, ...]:
    return tuple(
        Finding(dimension=dimension, cohort=cohort, verdict=part.verdict, sentence=part.sentence)
        for index, dimension in enumerate(DIMENSIONS)
        for cohort, parts in results.items()
        for part in (parts[index],)
    )


def _combined(findings: Sequence[Finding]) -> dict[Dimension, Verdict]:
    return {name: worst([one.verdict for one in findings if one.dimension == name]) for name in DIMENSIONS}


def _pictures(
    samples: Samples, results: Mapping[Cohort, Parts], drawn: Cohort, lived: _Lived, charts: Charts
) -> Pictures:
    utility, privacy, _ = results["overall"]
    shown = results.get(drawn, results["overall"])
    return Pictures(
        cohort=drawn,
        marginals=marginals(samples, drawn),
        association=shown[2].association,
        rocs=(*utility.rocs, *privacy.rocs),
        distances=shown[1].distances,
        map=pca_map(samples, drawn),
        timeline=lived.pictures,
        codes=lived.codes,
        charts=charts.charts,
        charts_note=charts.note,
    )
