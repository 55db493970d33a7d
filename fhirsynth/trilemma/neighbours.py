"""Nearest neighbours: do synthetic rows sit where training patients are, and nobody else?"""

from __future__ import annotations

import numpy as np

from fhirsynth.trilemma.intervals import Z95, Bools, Floats, wilson
from fhirsynth.trilemma.measure import Distances, Measure
from fhirsynth.trilemma.world import DIGITS, LEAK_FAIL, LEAK_PASS, POWER, World, leak_verdict, nearest

NEIGHBOURS = 8
"""Records at the same distance that are told apart."""

RELABELLINGS = 2000


def measure_neighbours(world: World) -> tuple[list[Measure], Distances]:
    """The literal distance to the closest record, what of it is copying, and exact copies."""
    made = nearest(world.synthetic, world.train)[0][:, 0]
    fresh = nearest(world.asked, world.train)[0][:, 0]
    measures = [_literal(world, made, fresh), _copied(world), _exact(world, made, fresh)]
    return measures, _distances(world, made, fresh)


def _below(distances: Floats, threshold: float) -> float:
    return float((distances < threshold).sum() + (distances == threshold).sum() / 2)


def _literal(world: World, made: Floats, fresh: Floats) -> Measure:
    threshold = round(world.threshold, DIGITS)
    close, usual = _below(made, threshold), _below(fresh, threshold) / len(fresh)
    low, high = wilson(close, len(made))
    return world.measure(
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


def _copied(world: World) -> Measure:
    """Excess of training rows among the near neighbours of synthetic rows.

    A row as close as the 5th percentile to its nearest real record proves nothing (a generator that favours the
    typical is close to everybody); that this record is a training one more often than chance does.
    """
    # Equal records are one place; who lives there counts by shares, so that coarse data favour nobody.
    places, place = np.unique(np.round(world.real, DIGITS), axis=0, return_inverse=True)
    distances, rows = nearest(world.synthetic, places, min(NEIGHBOURS, len(places)))
    tied = distances == distances[:, :1]
    tied &= distances[:, :1] <= round(world.threshold, DIGITS)
    weights = tied / np.maximum(tied.sum(axis=1, keepdims=True), 1)
    close = float(weights.sum() / len(rows))
    # What each place counts: how many synthetic rows are beside it, shared out among those who live there.
    weight = np.bincount(rows.ravel(), weights=weights.ravel(), minlength=len(places)) / np.bincount(place)
    each = weight[place] / len(rows)
    draw = world.generator("copied")
    null = np.array([each[_relabel(world, draw)].sum() for _ in range(RELABELLINGS)])
    seen, expected = float(each[world.member].sum()), float(null.mean())
    room = close - expected
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
        verdict=leak_verdict(value, half, p),
        baseline=0.0,
        p=p,
        detectable=max(POWER * spread, wilson(0, len(rows))[1]),
    )


def _relabel(world: World, draw: np.random.Generator) -> Bools:
    labels = world.member.copy()
    for part in (world.strata, ~world.strata):
        labels[part] = draw.permutation(labels[part])
    return labels


def _exact(world: World, made: Floats, fresh: Floats) -> Measure:
    copies, usual = int((made == 0).sum()), float((fresh == 0).mean())
    low, high = wilson(copies, len(made))
    by_chance = wilson(float((fresh == 0).sum()), len(fresh))[1]
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
        verdict="FAIL" if low > by_chance + LEAK_FAIL else None,
        baseline=usual,
    )


def _distances(world: World, made: Floats, fresh: Floats) -> Distances:
    series = {"synthetic to train": made, "holdout to train": fresh, "train, leave one out": world.loo}
    # The end bin holds everything beyond the 99th percentile: no single outlier can be read off the picture.
    end = float(np.quantile(np.concatenate(list(series.values())), 0.99)) or 1.0
    edges = np.linspace(0, end, 26)
    shares = {
        name: tuple(np.round(np.histogram(np.minimum(values, end), edges)[0] / len(values), 4).tolist())
        for name, values in series.items()
    }
    return Distances(edges=tuple(np.round(edges, 3).tolist()), series=shares, threshold=round(world.threshold, 3))
