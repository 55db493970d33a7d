"""What the sampling weights of a cohort say of the population that it was drawn from.

A cohort holds far more of the rare than the population does. Weights (``weight`` in the real frames) restore the
natural shares: for means, and for what depends on prevalence, as the precision of a classifier does (Saito &
Rehmsmeier 2015, https://doi.org/10.1371/journal.pone.0118432).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from fhirsynth.schema import FeatureSchema
from fhirsynth.trilemma.intervals import Floats
from fhirsynth.trilemma.learning import MODELS, Learned
from fhirsynth.trilemma.measure import Measure, Natural
from fhirsynth.trilemma.samples import Samples

WEIGHT = "weight"


def natural_view(train: pd.DataFrame, holdout: pd.DataFrame, schema: FeatureSchema) -> tuple[Natural, ...]:
    """The mean of each number, count and flag in the cohort, and weighted; nothing where there are no weights."""
    if not is_weighted(schema, train, holdout):
        return ()
    both = pd.concat([train, holdout], ignore_index=True)
    weights = both[WEIGHT].to_numpy(dtype=np.float64)
    made = []
    for feature in schema.features:
        if feature.kind != "category":
            values = pd.to_numeric(both[feature.name]).astype("float64").to_numpy(dtype=np.float64)
            known = ~np.isnan(values) & (weights > 0)
            if known.any():
                made.append(
                    Natural(
                        name=feature.name,
                        title=feature.title,
                        share=feature.kind == "flag",
                        cohort=float(values[known].mean()),
                        natural=float(np.average(values[known], weights=weights[known])),
                        n=int(known.sum()),
                    )
                )
    return tuple(made)


def natural_precision(
    train: pd.DataFrame, holdout: pd.DataFrame, samples: Samples, learned: Learned | None
) -> list[Measure]:
    """The average precision of each classifier on the holdout, weighted to the natural prevalence; shown only."""
    if learned is None or samples.target is None or not is_weighted(samples.schema, train, holdout):
        return []
    weights = holdout.loc[holdout[samples.target].notna().to_numpy(), WEIGHT].to_numpy(dtype=np.float64)
    prevalence = float(np.average(learned.labels, weights=weights))
    return [_measure(name, learned, weights, prevalence) for name in MODELS]


def _measure(name: str, learned: Learned, weights: Floats, prevalence: float) -> Measure:
    from sklearn.metrics import average_precision_score

    made, real = (
        float(average_precision_score(learned.labels, arm[name], sample_weight=weights))
        for arm in (learned.synthetic, learned.real)
    )
    return Measure(
        name=f"average_precision_natural_{name}",
        title=f"Average precision at the natural prevalence, trained on synthetic, {MODELS[name].lower()}",
        dimension="utility",
        cohort="overall",
        value=made,
        n=len(learned.labels),
        target="as trained on real",
        note=f"Trained on real {real:.3f}; by chance {prevalence:.2g}, the weighted share of the condition in the "
        "holdout. So few are ill that a few false alarms among the healthy outweigh them; the cohort's own precision "
        "hides that.",
        baseline=prevalence,
    )


def is_weighted(schema: FeatureSchema, *frames: pd.DataFrame) -> bool:
    """Whether every row of the frames says how many people it stands for; a column to compare is no weight."""
    return WEIGHT not in schema.columns and all(_holds_weights(frame) for frame in frames)


def _holds_weights(frame: pd.DataFrame) -> bool:
    if WEIGHT not in frame or not pd.api.types.is_numeric_dtype(frame[WEIGHT]):
        return False
    weights = frame[WEIGHT]
    return bool(weights.notna().all() and (weights >= 0).all() and weights.sum() > 0)
