"""Privacy: does the synthetic data give away who was in the training data, or what is true of them?

Members (train) and non-members (holdout) are both real; the attacker sees the synthetic rows. Distance attack:
Chen et al., GAN-Leaks (2020), https://doi.org/10.1145/3372297.3417238; attribute inference as members minus
non-members: Giomi et al. (2023), https://doi.org/10.56553/popets-2023-0055.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fhirsynth.seeds import rng
from fhirsynth.trilemma.encode import Encoder, numbers
from fhirsynth.trilemma.intervals import Z95, Bools, Floats, Ints, StratifiedAuc, stratified_auc, wilson
from fhirsynth.trilemma.measure import Cohort, Distances, Measure, Roc, Verdict, worst
from fhirsynth.trilemma.samples import MIN_ROWS, Samples
from fhirsynth.trilemma.threads import threads_for
from fhirsynth.trilemma.utility import roc

ALPHA = 0.005
"""Per test: ten tests over two cohorts then keep the chance of one false alarm below 5 %."""

AUC_FAIL, AUC_PASS = 0.55, 0.60
"""A significant membership AUC fails from 0.55; passing needs an upper bound below 0.60."""

LEAK_FAIL, LEAK_PASS = 0.02, 0.10
"""Copied share and attribute leak: significant and from 2 % on fails; passing needs an upper bound below 10 %."""

POWER = 2.576 + 0.842
"""Standard deviations that are noticed at this level with 80 % probability."""

NEIGHBOURS = 8
DIGITS = 5
"""Distances are rounded: two ways to compute a distance of zero differ by rounding noise."""

RELABELLINGS = 1000


@dataclass(frozen=True, slots=True)
class Privacy:
    """Measures, pictures and a sentence."""

    measures: list[Measure]
    rocs: list[Roc]
    distances: Distances | None
    verdict: Verdict
    sentence: str


def nearest(points: Floats, among: Floats | None = None, k: int = 1) -> tuple[Floats, Ints]:
    """Distances to and indices of the ``k`` nearest rows; without ``among`` to the other rows of ``points``."""
    from sklearn.neighbors import NearestNeighbors

    index = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(points if among is None else among)
    distances, rows = index.kneighbors(None if among is None else points)
    return np.round(distances, DIGITS), rows


def measure_privacy(samples: Samples, cohort: Cohort, sensitive: Sequence[str]) -> Privacy:
    """Membership inference, attribute inference and nearest neighbours, for one cohort."""
    if cohort == "rare":
        samples = samples.rare()
    samples = samples.capped()
    small = [
        f"{len(frame)} {name}"
        for name, frame in (("training", samples.train), ("holdout", samples.holdout), ("synthetic", samples.synthetic))
        if len(frame) < MIN_ROWS
    ]
    if small:
        reason = f"There are only {' and '.join(small)} rows of this cohort; {MIN_ROWS} of each are needed."
        return _nothing(cohort, reason)
    with threads_for(len(samples.train)):
        world = _World.of(samples, cohort)
        member, curve = _membership(world)
        measures = [member, *_neighbours(world), *_attributes(world, sensitive)]
        distances = _distances(world)
    verdict = worst([one.verdict for one in measures if one.verdict is not None])
    return Privacy(measures, [curve], distances, verdict, _sentence(measures, verdict))


@dataclass(frozen=True, slots=True)
class _World:
    """Encoded frames; ``asked`` marks the real rows of the classes that the synthetic rows have."""

    samples: Samples
    cohort: Cohort
    train: Floats
    holdout: Floats
    synthetic: Floats
    strata: Bools
    threshold: float
    loo: Floats

    @classmethod
    def of(cls, samples: Samples, cohort: Cohort) -> _World:
        encoder = Encoder.fit(pd.concat([samples.train, samples.holdout], ignore_index=True), samples.schema)
        train, holdout, made = (encoder.transform(f) for f in (samples.train, samples.holdout, samples.synthetic))
        loo = nearest(train)[0][:, 0][_alike(samples, samples.train)]
        loo = loo if len(loo) else nearest(train)[0][:, 0]
        strata = np.concatenate([samples.cases(samples.train), samples.cases(samples.holdout)])
        return cls(samples, cohort, train, holdout, made, strata, float(np.quantile(loo, 0.05)), loo)

    @property
    def real(self) -> Floats:
        return np.vstack([self.train, self.holdout])

    @property
    def member(self) -> Bools:
        return np.arange(len(self.train) + len(self.holdout)) < len(self.train)

    def draw(self, purpose: str) -> np.random.Generator:
        return rng(self.samples.seed, "privacy", self.cohort, purpose)

    def measure(self, name: str, title: str, value: float | None, n: int, **more: Any) -> Measure:
        return Measure(name=name, title=title, dimension="privacy", cohort=self.cohort, value=value, n=n, **more)


def _alike(samples: Samples, frame: pd.DataFrame) -> Bools:
    """Rows of the classes that were made: a patient without the condition lies elsewhere than one with it."""
    lacking = samples.missing_class
    return np.ones(len(frame), dtype=np.bool_) if lacking is None else samples.cases(frame) != lacking


def _membership(world: _World) -> tuple[Measure, Roc]:
    scores = -nearest(world.real, world.synthetic)[0][:, 0]
    result = stratified_auc(world.member, scores, world.strata, world.draw("membership"))
    curve = roc("Distance attack", "membership", world.member, scores)
    title, target = "Membership-inference AUC (distance attack)", "≈ 0.50"
    if result is None:
        note = "Training and holdout rows share no class, so members cannot be compared with non-members."
        return world.measure(
            "membership_auc", title, None, 0, target=target, note=note, literal=True, verdict="UNDERPOWERED"
        ), curve
    return world.measure(
        "membership_auc",
        title,
        result.value,
        len(scores),
        low=result.low,
        high=result.high,
        target=target,
        met=result.low <= 0.5 <= result.high,
        note=f"{len(world.train)} members (train) against {len(world.holdout)} real non-members (holdout), by their "
        "distance to the nearest synthetic row, ties one half, within the cohort and outside of it separately. "
        "Values below 0.50 are no leak.",
        literal=True,
        verdict=_membership_verdict(result),
        baseline=0.5,
        p=result.p,
        detectable=0.5 + POWER * result.spread,
    ), curve


def _membership_verdict(result: StratifiedAuc) -> Verdict:
    if result.p < ALPHA and result.value >= AUC_FAIL:
        return "FAIL"
    # An AUC that happens to lie below 0.50 does not make a small sample a large one.
    return "PASS" if max(result.high, 0.5 + Z95 * result.spread) < AUC_PASS else "UNDERPOWERED"


def _leak_verdict(value: float, half: float, p: float) -> Verdict:
    high = max(value, 0.0) + half
    if p < ALPHA and value >= LEAK_FAIL:
        return "FAIL"
    return "PASS" if high < LEAK_PASS else "UNDERPOWERED"


def _below(distances: Floats, threshold: float) -> float:
    return float((distances < threshold).sum() + (distances == threshold).sum() / 2)


def _neighbours(world: _World) -> list[Measure]:
    made = nearest(world.synthetic, world.train)[0][:, 0]
    asked = world.holdout[_alike(world.samples, world.samples.holdout)]
    fresh = nearest(asked if len(asked) else world.holdout, world.train)[0][:, 0]
    threshold = round(world.threshold, DIGITS)
    close, usual = _below(made, threshold), _below(fresh, threshold) / len(fresh)
    low, high = wilson(close, len(made))
    literal = world.measure(
        "nearest_below_5th_percentile",
        "Share of synthetic rows closer to a training row than the 5th percentile of real-to-real distances",
        close / len(made),
        len(made),
        low=low,
        high=high,
        target="every row above the percentile (share 0; an honest fresh draw: about 0.05)",
        met=close == 0,
        note="Real-to-real distances are leave-one-out within train, ties one half, normalised columns. Real holdout "
        f"rows, which nobody copied, have {usual:.1%} below it.",
        literal=True,
        baseline=usual,
    )
    return [literal, _copied(world), _exact(world, made, fresh)]


def _copied(world: _World) -> Measure:
    """Excess of training rows among the near neighbours of synthetic rows.

    A row as close as the 5th percentile to its nearest real record proves nothing (a generator that favours the
    typical is close to everybody); that this record is a training one more often than chance does.
    """
    k = min(NEIGHBOURS, len(world.real))
    distances, rows = nearest(world.synthetic, world.real, k)
    tied = distances == distances[:, :1]
    tied &= distances[:, :1] <= round(world.threshold, DIGITS)
    weights = tied / np.maximum(tied.sum(axis=1, keepdims=True), 1)
    close = float(weights.sum() / len(rows))
    draw = world.draw("copied")
    null = np.array([_members_near(weights, rows, _relabel(world, draw)) for _ in range(RELABELLINGS)])
    seen, expected, room = _members_near(weights, rows, world.member), float(null.mean()), close - float(null.mean())
    scale = close / room if room > 1e-9 else 0.0
    value, spread = (seen - expected) * scale, float(null.std()) * scale
    half = Z95 * float(np.sqrt(spread**2 + max(value * (1 - value), 0) / len(rows)))
    # Of few rows none may be close, and that is no proof that none of many would be.
    half = max(half, wilson(max(value, 0.0) * len(rows), len(rows))[1] - max(value, 0.0))
    p = float((1 + (null >= seen - 1e-12).sum()) / (RELABELLINGS + 1))
    return world.measure(
        "copied_share",
        "Share of synthetic rows that sit beside a record because it was in the training data",
        value,
        len(rows),
        low=value - half,
        high=value + half,
        target=f"not above 0; upper bound < {LEAK_PASS:.2f}",
        met=value + half < LEAK_PASS,
        note=f"{close:.1%} of synthetic rows have a real record within the 5th percentile; membership was relabelled "
        f"{RELABELLINGS:,} times to see how often it would be a training record by chance.",
        verdict=_leak_verdict(value, half, p),
        baseline=0.0,
        p=p,
        detectable=POWER * spread,
    )


def _relabel(world: _World, draw: np.random.Generator) -> Bools:
    labels = world.member.copy()
    for part in (world.strata, ~world.strata):
        labels[part] = draw.permutation(labels[part])
    return labels


def _members_near(weights: Floats, rows: Ints, member: Bools) -> float:
    return float((weights * member[rows]).sum() / len(rows))


def _exact(world: _World, made: Floats, fresh: Floats) -> Measure:
    copies, usual = int((made == 0).sum()), float((fresh == 0).mean())
    low, high = wilson(copies, len(made))
    return world.measure(
        "exact_copies",
        "Share of synthetic rows that equal a training row in every column",
        copies / len(made),
        len(made),
        low=low,
        high=high,
        target="not above the holdout's own share",
        met=low <= usual,
        note=f"Of the holdout rows {usual:.1%} equal a training row by chance.",
        verdict="FAIL" if low > usual + LEAK_FAIL else None,
        baseline=usual,
    )


def default_sensitive(samples: Samples) -> tuple[str, ...]:
    """Flags and categories worth guessing: at least 5 % of the training rows differ from the commonest value."""
    result = []
    for feature in samples.schema.of_kind("flag", "category"):
        shares = samples.train[feature.name].value_counts(normalize=True)
        if feature.name not in {samples.target, samples.cohort} and len(shares) and shares.iloc[0] <= 0.95:
            result.append(feature.name)
    return tuple(result[:4])


def _secret(world: _World, name: str) -> list[Any]:
    """What the attacker guesses: the value, or for numbers whether it is above the median."""
    frames = (world.samples.train, world.samples.holdout, world.samples.synthetic)
    if world.samples.schema[name].kind in ("flag", "category"):
        return [np.array([None if pd.isna(v) else str(v) for v in frame[name]], dtype=object) for frame in frames]
    values = [numbers(frame[name]) for frame in frames]
    known = np.concatenate(values[:2])
    middle = float(np.median(known[~np.isnan(known)])) if not np.isnan(known).all() else 0.0
    return [np.array([None if np.isnan(v) else v > middle for v in one], dtype=object) for one in values]


def _attributes(world: _World, sensitive: Sequence[str]) -> list[Measure]:
    right, majority = [], []
    for name in sensitive:
        guess = _guesses(world, name)
        if guess is not None:
            right.append(guess[0])
            majority.append(guess[1])
    if not right:
        note = "No sensitive column was given and none varies enough to be guessed."
        return [
            world.measure(
                "attribute_accuracy",
                "Attribute-inference accuracy",
                None,
                0,
                target="≈ baseline",
                note=note,
                literal=True,
            )
        ]
    return _leak(world, np.vstack(right), float(np.mean(majority)), sensitive)


def _guesses(world: _World, name: str) -> tuple[Floats, float] | None:
    """Whether the nearest synthetic row, by the other columns, gives the value away; NaN where it is unknown."""
    train, holdout, made = _secret(world, name)
    real = np.concatenate([train, holdout])
    usable, known = np.array([v is not None for v in made]), np.array([v is not None for v in real])
    if not usable.any() or not known[world.member].any() or not known[~world.member].any():
        return None
    samples = world.samples
    encoder = Encoder.fit(pd.concat([samples.train, samples.holdout], ignore_index=True), samples.schema, skip={name})
    asked = encoder.transform(pd.concat([samples.train, samples.holdout], ignore_index=True))
    rows = nearest(asked, encoder.transform(samples.synthetic)[usable])[1][:, 0]
    right = np.where(known, (made[usable][rows] == real).astype(np.float64), np.nan)
    values, counts = np.unique(train[known[world.member]].astype(str), return_counts=True)
    common = values[counts.argmax()]
    return right, float(np.mean(holdout[known[~world.member]].astype(str) == common))


def _leak(world: _World, right: Floats, majority: float, sensitive: Sequence[str]) -> list[Measure]:
    known = ~np.isnan(right)
    counted = known.any(axis=0)
    person = np.where(known, right, 0).sum(axis=0)[counted] / known.sum(axis=0)[counted]
    member, strata = world.member[counted], world.strata[counted]
    inside, outside = person[member], person[~member]
    value, spread = _difference(person, member, strata)
    low, high = value - Z95 * spread, value + Z95 * spread
    error = Z95 * float(inside.std()) / np.sqrt(len(inside))
    accuracy = float(inside.mean())
    columns = ", ".join(sensitive)
    baseline = float(outside.mean())
    literal = world.measure(
        "attribute_accuracy",
        "Attribute-inference accuracy on members",
        accuracy,
        len(inside),
        low=accuracy - error,
        high=accuracy + error,
        target="≈ baseline",
        met=low <= 0 <= high,
        note=f"Mean over {columns}, guessed from the nearest synthetic row by all other columns. Baselines: "
        f"{baseline:.3f} on non-members, {majority:.3f} by always saying the commonest value.",
        literal=True,
        baseline=baseline,
    )
    p = _one_sided(value, spread)
    leak = world.measure(
        "attribute_leak",
        "Attribute inference, members minus non-members",
        value,
        len(person),
        low=low,
        high=high,
        target=f"not above 0; upper bound < {LEAK_PASS:.2f}",
        met=high < LEAK_PASS,
        note=f"Over {columns}; within the cohort and outside of it separately.",
        verdict=_leak_verdict(value, Z95 * spread, p),
        baseline=0.0,
        p=p,
        detectable=POWER * spread,
    )
    return [literal, leak]


def _difference(person: Floats, member: Bools, strata: Bools) -> tuple[float, float]:
    value, variance, total = 0.0, 0.0, 0
    for part in (strata, ~strata):
        inside, outside = person[part & member], person[part & ~member]
        if len(inside) < 2 or len(outside) < 2:
            continue
        weight = len(inside)
        value += weight * float(inside.mean() - outside.mean())
        variance += weight**2 * float(inside.var(ddof=1) / len(inside) + outside.var(ddof=1) / len(outside))
        total += weight
    return (value / total, float(np.sqrt(variance)) / total) if total else (0.0, 1.0)


def _one_sided(value: float, spread: float) -> float:
    from scipy.stats import norm

    return float(norm.sf(value / spread)) if spread > 0 else float(value <= 0)


def _distances(world: _World) -> Distances:
    asked = world.holdout[_alike(world.samples, world.samples.holdout)]
    series = {
        "synthetic to train": nearest(world.synthetic, world.train)[0][:, 0],
        "holdout to train": nearest(asked if len(asked) else world.holdout, world.train)[0][:, 0],
        "train, leave one out": world.loo,
    }
    # The end bin holds everything beyond the 99th percentile: no single outlier can be read off the picture.
    end = float(np.quantile(np.concatenate(list(series.values())), 0.99)) or 1.0
    edges = np.linspace(0, end, 26)
    shares = {
        name: tuple(np.round(np.histogram(np.minimum(values, end), edges)[0] / len(values), 4).tolist())
        for name, values in series.items()
    }
    return Distances(edges=tuple(np.round(edges, 3).tolist()), series=shares, threshold=round(world.threshold, 3))


def _nothing(cohort: Cohort, reason: str) -> Privacy:
    rows = (
        ("membership_auc", "Membership-inference AUC (distance attack)", "≈ 0.50"),
        ("attribute_accuracy", "Attribute-inference accuracy", "≈ baseline"),
        ("nearest_below_5th_percentile", "Distance to the nearest training row", "every row above the 5th percentile"),
    )
    measures = [
        Measure(
            name=name,
            title=title,
            dimension="privacy",
            cohort=cohort,
            value=None,
            n=0,
            target=target,
            note=reason,
            literal=True,
            verdict="UNDERPOWERED",
        )
        for name, title, target in rows
    ]
    return Privacy(measures, [], None, "UNDERPOWERED", reason)


_SHORT = {
    "membership_auc": "membership inference",
    "copied_share": "near copies",
    "attribute_leak": "attribute inference",
    "attribute_accuracy": "attribute inference",
}

_WORDS = {
    "membership_auc": "whether somebody was in the training data can be told (AUC {value:.2f}, by chance 0.50)",
    "copied_share": "{value:.0%} of synthetic rows sit beside a training record because it was trained on",
    "exact_copies": "{value:.0%} of synthetic rows equal a training row (by chance {baseline:.0%})",
    "attribute_leak": "hidden values of training patients are guessed better by {value:.0%} than of others",
}


def _sentence(measures: list[Measure], verdict: Verdict) -> str:
    by_name = {one.name: one for one in measures}
    if verdict == "FAIL":
        failed = [one for one in measures if one.verdict == "FAIL"]
        words = [_WORDS[one.name].format(value=one.value, baseline=one.baseline) for one in failed]
        return f"The generator remembers training patients: {'; '.join(words)}."
    area = by_name["membership_auc"]
    if verdict == "UNDERPOWERED":
        weak = [_SHORT[one.name] for one in measures if one.verdict == "UNDERPOWERED"]
        effect = (
            f" A membership AUC below {area.detectable:.2f} would not have been noticed." if area.detectable else ""
        )
        return f"No leak was found, but this sample is too small to rule one out ({'; '.join(weak)}).{effect}"
    return (
        f"Training patients look no more familiar than others: membership AUC {area.value:.2f} "
        f"(95 % interval {area.low:.2f} to {area.high:.2f}; 0.50 is chance), and no excess of near copies."
    )
