"""Fidelity: do the synthetic rows look like the real ones, by column, in pairs and triples, and as a whole?

Every distance is held against the same distance between two real samples of the same sizes (its noise floor), because
a p-value only says how many rows there were. Classifier two-sample test: Lopez-Paz & Oquab (2017),
https://arxiv.org/abs/1610.06545.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from fhirsynth.seeds import derive
from fhirsynth.trilemma.columns import compare_columns
from fhirsynth.trilemma.encode import Encoder
from fhirsynth.trilemma.intervals import Bools, Floats, auc, bootstrap_curves, interval
from fhirsynth.trilemma.learning import fit
from fhirsynth.trilemma.measure import (
    Association,
    Cohort,
    ColumnFidelity,
    Measure,
    Rule,
    Verdict,
    at_most,
    noticed,
    verdict_of,
)
from fhirsynth.trilemma.pairs import compare_pairs, compare_triples
from fhirsynth.trilemma.samples import MIN_ROWS, Samples
from fhirsynth.trilemma.threads import threads_for
from fhirsynth.trilemma.view import View

ROWS = 20_000
"""Rows of each frame that are compared: enough to see a flag of 1 % double, in seconds."""

TWO_SAMPLE = 0.70
"""AUC up to which telling synthetic from real rows counts as hard."""


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Measures, the table of columns, matrices to draw and a sentence."""

    measures: list[Measure]
    columns: list[ColumnFidelity]
    association: Association | None
    verdict: Verdict
    sentence: str


def measure_fidelity(samples: Samples, cohort: Cohort, rules: Sequence[Rule] = ()) -> Fidelity:
    """Compare synthetic rows with the real holdout; real training rows only help to find the noise floor.

    Parameters
    ----------
    samples, cohort
        What is compared, and whom it is about.
    rules
        Rules of plausibility that were checked; one that synthetic rows break too often fails.
    """
    if cohort == "rare":
        samples = samples.rare()
    synthetic = samples.synthetic if cohort == "rare" else samples.completed(prevalence=True)
    samples = replace(samples, synthetic=synthetic).capped(ROWS)
    if min(len(samples.holdout), len(samples.synthetic)) < MIN_ROWS:
        reason = (
            f"There are only {len(samples.holdout)} holdout and {len(samples.synthetic)} synthetic rows of this "
            f"cohort; {MIN_ROWS} of each are needed."
        )
        return _nothing(cohort, reason)
    view = View.of(samples, samples.synthetic, cohort)
    if not view.features:
        return _nothing(cohort, "No column varies, so there is nothing to compare.")
    with threads_for(len(samples.synthetic)):
        columns, marginal = compare_columns(view)
        association, pairs = compare_pairs(view)
        measures = [*marginal, *pairs, *compare_triples(view), _two_sample(view), *_plausible(view, rules)]
    verdict = verdict_of(measures)
    return Fidelity(measures, columns, association, verdict, _sentence(measures, columns, verdict))


def _two_sample(view: View) -> Measure:
    labels, scores = _told_apart(view)
    value = auc(labels, scores)
    low, high = interval(bootstrap_curves(labels, [scores], view.generator("bootstrap"), 300)[0][0])
    return view.measure(
        "two_sample_auc",
        "Classifier two-sample test: AUC of telling synthetic from real rows",
        value,
        len(labels),
        low=low,
        high=high,
        target=f"≈ 0.50; upper bound ≤ {TWO_SAMPLE:.2f}",
        met=high <= TWO_SAMPLE,
        note="Gradient boosting, five-fold cross-validated, over all columns at once.",
        verdict=at_most(low, high, TWO_SAMPLE),
        baseline=0.5,
        detectable=min(1.0, noticed(TWO_SAMPLE, (high - low) / 2)),
    )


def _told_apart(view: View) -> tuple[Bools, Floats]:
    from sklearn.model_selection import StratifiedKFold

    kept = {feature.name for feature in view.features}
    skip = set(view.samples.schema.columns) - kept
    both = pd.concat(view.frames[:2], ignore_index=True)
    features = Encoder.fit(both, view.samples.schema, skip).transform(both)
    labels = np.arange(len(both)) >= view.sizes[0]
    state = derive(view.seed, "two-sample") % 2**32
    scores = np.zeros(len(both))
    folds = StratifiedKFold(5, shuffle=True, random_state=state)
    for fitted, asked in folds.split(features, labels):
        model = fit("boosting", features[fitted], labels[fitted], state, rounds=40)
        scores[asked] = model.predict_proba(features[asked])[:, 1]
    return labels, scores


def _plausible(view: View, rules: Sequence[Rule]) -> list[Measure]:
    """One measure for all rules: a patient that cannot be is wrong however well the columns agree."""
    if not rules:
        return []
    broken = [one for one in rules if one.verdict == "FAIL"]
    listed = "; ".join(
        f"{one.title}: broken in {one.synthetic_broken} of {one.synthetic_checked}, in real data in "
        f"{one.real_broken} of {one.real_checked}"
        for one in broken
    )
    return [
        view.measure(
            "rules_broken",
            "Rules of plausibility (constraints, ranges, order in time) that are broken more often than in real data",
            float(len(broken)),
            len(rules),
            target="none",
            met=not broken,
            note=f"{listed or 'None'}. All of them are in the table of rules.",
            verdict="FAIL" if broken else "PASS",
            baseline=0.0,
        )
    ]


def _nothing(cohort: Cohort, reason: str) -> Fidelity:
    measure = Measure(
        name="ks_columns_passing",
        title="Share of columns with two-sample p > 0.05",
        dimension="fidelity",
        cohort=cohort,
        value=None,
        n=0,
        target="p > 0.05 in every column",
        note=reason,
        literal=True,
        verdict="UNDERPOWERED",
    )
    return Fidelity([measure], [], None, "UNDERPOWERED", reason)


_WORDS = {
    "marginal_distance": "single columns differ",
    "columns_shifted": "single columns differ by more than chance",
    "association_error": "columns do not hang together as they do in real patients",
    "three_way_distance": "combinations of three columns differ",
    "two_sample_auc": "a classifier tells synthetic from real rows (AUC {value:.2f}; by chance 0.50)",
    "rules_broken": "some rows are clinically impossible",
}


def _sentence(measures: list[Measure], columns: list[ColumnFidelity], verdict: Verdict) -> str:
    far = sorted((one for one in columns if one.distance > one.band), key=lambda one: one.band - one.distance)[:3]
    names = ", ".join(one.title for one in far)
    tail = f" Furthest from real: {names}." if far else ""
    wanted = [one for one in measures if one.verdict == verdict and one.name in _WORDS]
    if {"marginal_distance", "columns_shifted"} <= {one.name for one in wanted}:
        wanted = [one for one in wanted if one.name != "marginal_distance"]
    words = "; ".join(_WORDS[one.name].format(value=one.value) for one in wanted)
    if verdict == "FAIL":
        return f"Synthetic rows do not look like real ones: {words}.{tail}"
    if verdict == "UNDERPOWERED":
        shift = next((one.detectable for one in measures if one.name == "columns_shifted"), None)
        least = f" A shift of less than {shift:.2f} in one column would not have been noticed." if shift else ""
        return f"The sample is too small to say whether {words}.{least}{tail}"
    return f"Single columns, pairs of columns and whole rows look like the real holdout's.{tail}"
