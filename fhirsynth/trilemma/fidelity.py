"""Fidelity: do the synthetic rows look like the real ones, column by column, in pairs and as a whole?

Every distance is held against the same distance between two real samples of the same sizes (its noise floor), because
a p-value only says how many rows there were. Bias-corrected Cramér's V: Bergsma (2013),
https://doi.org/10.1016/j.jkss.2012.10.002; classifier two-sample test: Lopez-Paz & Oquab (2017),
https://arxiv.org/abs/1610.06545.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency, ks_2samp, rankdata

from fhirsynth.schema import Feature
from fhirsynth.seeds import derive, rng
from fhirsynth.trilemma.encode import Encoder, codes, numbers
from fhirsynth.trilemma.intervals import Z95, Bools, Floats, Ints, auc, bootstrap_curves, holm, interval, wilson
from fhirsynth.trilemma.measure import Association, Cohort, ColumnFidelity, Measure, Verdict, at_most, worst
from fhirsynth.trilemma.samples import MIN_ROWS, Samples
from fhirsynth.trilemma.threads import threads_for
from fhirsynth.trilemma.utility import fit

MARGINAL = 0.10
"""Mean distance of columns beyond the noise floor: one patient in ten would have to change the bin."""

ASSOCIATION = 0.25
"""Relative error of the association matrix beyond the noise floor; independent columns have 1."""

TWO_SAMPLE = 0.70
"""AUC up to which telling synthetic from real rows counts as hard."""

DRAWS = 60
"""Resamples for the noise floor and for spreads: enough for a standard deviation (to 10 %) and a 95th percentile."""


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Measures, the table of columns, matrices to draw and a sentence."""

    measures: list[Measure]
    columns: list[ColumnFidelity]
    association: Association | None
    verdict: Verdict
    sentence: str


def measure_fidelity(samples: Samples, cohort: Cohort) -> Fidelity:
    """Compare synthetic rows with the real holdout; real training rows only help to find the noise floor."""
    if cohort == "rare":
        samples = samples.rare()
    synthetic = samples.synthetic if cohort == "rare" else samples.completed(prevalence=True)
    samples = replace(samples, synthetic=synthetic).capped()
    synthetic = samples.synthetic
    if min(len(samples.holdout), len(synthetic)) < MIN_ROWS:
        reason = (
            f"There are only {len(samples.holdout)} holdout and {len(synthetic)} synthetic rows of this cohort; "
            f"{MIN_ROWS} of each are needed."
        )
        return _nothing(cohort, reason)
    view = _View.of(samples, synthetic, cohort)
    if not view.features:
        return _nothing(cohort, "No column varies, so there is nothing to compare.")
    with threads_for(len(synthetic)):
        columns, marginal = _columns(view)
        association, pairs = _pairs(view)
        measures = [*marginal, *pairs, _two_sample(view)]
    verdict = worst([one.verdict for one in measures if one.verdict is not None])
    return Fidelity(measures, columns, association, verdict, _sentence(measures, columns, verdict))


@dataclass(frozen=True, slots=True)
class _View:
    """Columns that vary, as codes (for distances) and as scores (for associations), for real, synthetic and pool."""

    cohort: Cohort
    seed: int
    samples: Samples
    frames: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]
    features: tuple[Feature, ...]
    coded: dict[str, tuple[list[Ints], int]]
    scores: tuple[dict[str, Floats], ...]

    @classmethod
    def of(cls, samples: Samples, synthetic: pd.DataFrame, cohort: Cohort) -> _View:
        pool = pd.concat([samples.train, samples.holdout], ignore_index=True)
        frames = (samples.holdout, synthetic.reset_index(drop=True), pool)
        coded = {f.name: codes([frame[f.name] for frame in frames], f.kind) for f in samples.schema.features}
        varying = [f for f in samples.schema.features if _varies(coded[f.name][0])]
        scores = tuple({f.name: _scores(f, coded[f.name], index) for f in varying} for index in range(3))
        return cls(cohort, samples.seed, samples, frames, tuple(varying), coded, scores)

    @property
    def sizes(self) -> tuple[int, int]:
        return len(self.frames[0]), len(self.frames[1])

    def draws(self, purpose: str) -> np.random.Generator:
        return rng(self.seed, "fidelity", self.cohort, purpose)

    def measure(self, name: str, title: str, value: float | None, n: int, **more: Any) -> Measure:
        return Measure(name=name, title=title, dimension="fidelity", cohort=self.cohort, value=value, n=n, **more)


def _varies(parts: list[Ints]) -> bool:
    return len(np.unique(np.concatenate(parts))) > 1


def _scores(feature: Feature, coded: tuple[list[Ints], int], index: int) -> Floats:
    """Pooled ranks with mean 0 (missing: 0) for ordered columns; one column of 0 and 1 per value for categories."""
    parts, size = coded
    if feature.kind == "category":
        return np.eye(size)[parts[index]]
    every = np.concatenate(parts)
    ranks = rankdata(every).astype(np.float64)
    known = every > 0
    centred = np.where(known, ranks - (ranks[known].mean() if known.any() else 0.0), 0.0)
    ends = np.cumsum([len(part) for part in parts])[:-1]
    return np.split(centred, ends)[index]


# ---------------------------------------------------------------- columns


def _distance(feature: Feature, one: Ints, other: Ints, size: int) -> float:
    gap = np.bincount(one, minlength=size) / len(one) - np.bincount(other, minlength=size) / len(other)
    if feature.kind in ("number", "count"):
        return float(np.abs(gap.cumsum()).max())
    return float(np.abs(gap).sum() / 2)


def _column_distances(view: _View, left: tuple[int, Ints], right: tuple[int, Ints]) -> Floats:
    """Distance of every column between rows of one frame and rows of another."""
    result = []
    for feature in view.features:
        parts, size = view.coded[feature.name]
        result.append(_distance(feature, parts[left[0]][left[1]], parts[right[0]][right[1]], size))
    return np.array(result)


def _draw(view: _View, generator: np.random.Generator, frame: int, n: int) -> tuple[int, Ints]:
    return frame, generator.integers(0, len(view.frames[frame]), n)


def _columns(view: _View) -> tuple[list[ColumnFidelity], list[Measure]]:
    real, made = view.sizes
    generator = view.draws("columns")
    seen = _column_distances(view, (0, np.arange(real)), (1, np.arange(made)))
    null, boot = [], []
    for _ in range(DRAWS):
        null.append(_column_distances(view, _draw(view, generator, 2, real), _draw(view, generator, 2, made)))
        boot.append(_column_distances(view, _draw(view, generator, 0, real), _draw(view, generator, 1, made)))
    p = np.array([_p_value(view, feature) for feature in view.features])
    bands, adjusted = np.quantile(null, 0.95, axis=0), holm(p)
    columns = [
        ColumnFidelity(
            name=feature.name,
            title=feature.title,
            cohort=view.cohort,
            test="Kolmogorov-Smirnov" if feature.kind in ("number", "count") else "chi-square",
            distance=float(seen[index]),
            band=float(bands[index]),
            p=float(p[index]),
            p_holm=float(adjusted[index]),
        )
        for index, feature in enumerate(view.features)
    ]
    return columns, [_literal(view, p, adjusted, columns), _excess(view, seen, np.array(null), np.array(boot))]


def _p_value(view: _View, feature: Feature) -> float:
    parts, size = view.coded[feature.name]
    if feature.kind in ("number", "count"):
        one, other = (numbers(frame[feature.name]) for frame in view.frames[:2])
        one, other = one[~np.isnan(one)], other[~np.isnan(other)]
        return float(ks_2samp(one, other, method="asymp").pvalue) if len(one) and len(other) else 0.0
    table = np.array([np.bincount(part, minlength=size) for part in parts[:2]])
    table = table[:, table.sum(axis=0) > 0]
    return float(chi2_contingency(table).pvalue) if table.shape[1] > 1 else 1.0


def _literal(view: _View, p: Floats, adjusted: Floats, columns: list[ColumnFidelity]) -> Measure:
    passing, n = int((p > 0.05).sum()), len(p)
    low, high = wilson(passing, n)
    far = max(columns, key=lambda one: one.distance - one.band)
    return view.measure(
        "ks_columns_passing",
        "Share of columns with two-sample p > 0.05",
        passing / n,
        n,
        low=low,
        high=high,
        target="p > 0.05 in every column",
        met=passing == n,
        note=f"{view.sizes[1]} synthetic against {view.sizes[0]} holdout rows; Kolmogorov-Smirnov for numbers and "
        f"counts, chi-square for flags and categories. A perfect generator passes all {n} columns with probability "
        f"{0.95**n:.0%}; after Holm's correction {int((adjusted > 0.05).sum())} of {n} pass. "
        f"Largest distance beyond noise: {far.title} ({far.distance:.2f}; two real samples reach {far.band:.2f}).",
        literal=True,
    )


def _excess(view: _View, seen: Floats, null: Floats, boot: Floats) -> Measure:
    floor = float(null.mean())
    value = float(seen.mean()) - floor
    half = Z95 * float(boot.mean(axis=1).std())
    return view.measure(
        "marginal_distance",
        "Mean distance of columns beyond the noise floor (KS D, total variation)",
        value,
        len(seen),
        low=value - half,
        high=value + half,
        target=f"upper bound ≤ {MARGINAL:.2f}",
        met=value + half <= MARGINAL,
        note=f"Mean distance {seen.mean():.3f}; two real samples of these sizes are {floor:.3f} apart.",
        verdict=at_most(value - half, value + half, MARGINAL),
        baseline=0.0,
    )


# ---------------------------------------------------------------- pairs


def association(features: tuple[Feature, ...], scores: dict[str, Floats], rows: Ints) -> Floats:
    """Strength of association of every pair of columns, 0 to 1.

    Spearman's |rho| between ordered columns, the correlation ratio of ranks between an ordered column and a category,
    and bias-corrected Cramér's V between categories.
    """
    size = len(features)
    result = np.eye(size)
    ordered = [index for index, feature in enumerate(features) if feature.kind != "category"]
    named = [index for index, feature in enumerate(features) if feature.kind == "category"]
    matrix = (
        np.column_stack([scores[features[index].name][rows] for index in ordered])
        if ordered
        else np.zeros((len(rows), 0))
    )
    matrix = matrix - matrix.mean(axis=0)
    norms = np.sqrt((matrix**2).sum(axis=0))
    matrix = np.divide(matrix, norms, out=np.zeros_like(matrix), where=norms > 1e-9)
    result[np.ix_(ordered, ordered)] = np.abs(matrix.T @ matrix)
    for place, index in enumerate(named):
        groups = scores[features[index].name][rows]
        counts = np.maximum(groups.sum(axis=0), 1)
        ratio = np.sqrt(np.minimum(((groups.T @ matrix) ** 2 / counts[:, None]).sum(axis=0), 1.0))
        result[index, ordered] = result[ordered, index] = ratio
        for other in named[:place]:
            result[index, other] = result[other, index] = cramers_v(groups.T @ scores[features[other].name][rows])
    np.fill_diagonal(result, 1.0)
    return np.clip(result, 0.0, 1.0)


def cramers_v(table: Floats) -> float:
    """Bias-corrected Cramér's V of a contingency table (Bergsma 2013)."""
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    rows, columns, n = table.shape[0], table.shape[1], table.sum()
    if min(rows, columns) < 2 or n < 2:
        return 0.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    phi2 = ((table - expected) ** 2 / expected).sum() / n
    phi2 = max(0.0, phi2 - (rows - 1) * (columns - 1) / (n - 1))
    fewest = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return float(np.sqrt(min(1.0, phi2 / fewest))) if fewest > 0 else 0.0


def _matrix(view: _View, frame: int, rows: Ints) -> Floats:
    return association(view.features, view.scores[frame], rows)


def _error(real: Floats, made: Floats) -> float:
    pairs = np.triu_indices(len(real), 1)
    size = float(np.sqrt((real[pairs] ** 2).sum()))
    return float(np.sqrt(((made[pairs] - real[pairs]) ** 2).sum())) / size if size > 1e-9 else 0.0


def _pairs(view: _View) -> tuple[Association | None, list[Measure]]:
    if len(view.features) < 2:
        return None, []
    real, made = view.sizes
    matrices = _matrix(view, 0, np.arange(real)), _matrix(view, 1, np.arange(made))
    generator = view.draws("pairs")
    null, boot = [], []
    for _ in range(DRAWS):
        left, right = _draw(view, generator, 2, real), _draw(view, generator, 2, made)
        null.append(_error(_matrix(view, *left), _matrix(view, *right)))
        left, right = _draw(view, generator, 0, real), _draw(view, generator, 1, made)
        boot.append(_error(_matrix(view, *left), _matrix(view, *right)))
    floor, seen = float(np.mean(null)), _error(*matrices)
    value, half = seen - floor, Z95 * float(np.std(boot))
    names = tuple(feature.title for feature in view.features)
    drawn = Association(labels=names, real=_rows(matrices[0]), synthetic=_rows(matrices[1]))
    measure = view.measure(
        "association_error",
        "Relative error of the association matrix beyond the noise floor",
        value,
        len(view.features) * (len(view.features) - 1) // 2,
        low=value - half,
        high=value + half,
        target=f"upper bound ≤ {ASSOCIATION:.2f}",
        met=value + half <= ASSOCIATION,
        note=f"Error {seen:.2f} of the size of the real matrix; two real samples of these sizes: {floor:.2f}.",
        verdict=at_most(value - half, value + half, ASSOCIATION),
        baseline=0.0,
    )
    return drawn, [measure]


def _rows(matrix: Floats) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in np.round(matrix, 3).tolist())


# ---------------------------------------------------------------- as a whole


def _two_sample(view: _View) -> Measure:
    labels, scores = _told_apart(view)
    value = auc(labels, scores)
    low, high = interval(bootstrap_curves(labels, [scores], view.draws("bootstrap"), 300)[0][0])
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
    )


def _told_apart(view: _View) -> tuple[Bools, Floats]:
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
    "association_error": "columns do not hang together as they do in real patients",
    "two_sample_auc": "a classifier tells synthetic from real rows (AUC {value:.2f}; by chance 0.50)",
}


def _sentence(measures: list[Measure], columns: list[ColumnFidelity], verdict: Verdict) -> str:
    far = sorted((one for one in columns if one.distance > one.band), key=lambda one: one.band - one.distance)[:3]
    names = ", ".join(one.title for one in far)
    tail = f" Furthest from real: {names}." if far else ""
    wanted = [one for one in measures if one.verdict == verdict and one.name in _WORDS]
    words = "; ".join(_WORDS[one.name].format(value=one.value) for one in wanted)
    if verdict == "FAIL":
        return f"Synthetic rows do not look like real ones: {words}.{tail}"
    if verdict == "UNDERPOWERED":
        return f"The sample is too small to say whether {words}.{tail}"
    return f"Single columns, pairs of columns and whole rows look like the real holdout's.{tail}"
