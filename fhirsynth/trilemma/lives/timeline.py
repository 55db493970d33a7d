"""Histories, real against synthetic: how many encounters, how far apart, how long, and what is done at them.

The distance of each property is the Kolmogorov-Smirnov D (https://doi.org/10.2307/2280095). What chance does is found
by drawing patients, with all that is theirs, from the real ones (Field & Welsh 2007,
https://doi.org/10.1111/j.1467-9868.2007.00593.x): the values of one patient are not independent, and a band that took
them for it would be far too narrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np
from scipy.sparse import csr_matrix

from fhirsynth.seeds import rng
from fhirsynth.trilemma.intervals import Floats, Ints, interval
from fhirsynth.trilemma.lives.aspects import NO_VERDICT, Aspect, Divisions, compare
from fhirsynth.trilemma.lives.codes import code_frequency, code_shares, grams, panels
from fhirsynth.trilemma.lives.courses import abatement, durations, encounters_by_class, onset_ages, reasons, seasons
from fhirsynth.trilemma.lives.groups import MADE, REAL, Groups, Sequences
from fhirsynth.trilemma.lives.histories import Histories, alike, read_histories
from fhirsynth.trilemma.lives.order import day_number, order_in_time
from fhirsynth.trilemma.lives.properties import PROPERTIES, Property, Values
from fhirsynth.trilemma.lives.shown import CODED, CodeShares, TimelineMeasure
from fhirsynth.trilemma.lives.values import within_patients
from fhirsynth.trilemma.measure import Marginal, Rule
from fhirsynth.trilemma.samples import MIN_ROWS

__all__ = ["Histories", "alike", "measure_histories", "read_histories"]

DRAWS = 200
"""Draws of patients: ten of them are beyond the 95th percentile."""

GRID = 1000
"""Values at which two distributions are compared; a distance is exact to a thousandth."""

RULE_OF_THREE = 3.0
"""What none of n patients has, up to 3/n of all may have (95 %): no band is narrower than that."""

FEWEST = 5
"""Patients in an end bin, at least: a tail of fewer is one with its neighbour."""


def measure_histories(
    histories: Histories, *, index_date: date, seed: int
) -> tuple[tuple[TimelineMeasure, ...], tuple[Marginal, ...], tuple[Rule, ...]]:
    """Compare the histories of synthetic patients with those of the real holdout.

    Parameters
    ----------
    histories
        Both sides, and real training patients and a fresh draw where there are any: they sharpen the bands.
    index_date
        The day at which every patient is described; what is later is left out, but for the rule about it.
    seed
        Of the draws of patients.

    Returns
    -------
    measures, pictures, rules
        A line for each property with its figures, its distance, and the 95th percentile of that between two groups of
        real patients of these sizes; the distribution of some of them, with the band in which 95 of 100 draws of real
        patients lie that are as many as the synthetic ones; and the rules of order in time. Only rules carry a verdict.
    """
    groups = Groups.of(histories, day_number(index_date) + 1)
    chance = _Chance.of([groups.sizes[place] for place in (REAL, MADE, *groups.pool[1:])], rng(seed, "histories"))
    measures, pictures = [], []
    for one in PROPERTIES:
        sides = [one.values(view) for view in groups.views]
        pool = _pooled([sides[place] for place in groups.pool], [groups.sizes[place] for place in groups.pool])
        measures.append(_measure(one, sides, pool, chance, groups.fresh))
        if one.edges:
            pictures.append(_picture(one, sides[REAL], sides[MADE], pool, chance))
    divisions = Divisions.of(groups, rng(seed, "histories", "divisions"))
    measures += [compare(aspect, groups, divisions) for aspect in aspects(groups)]
    rules = order_in_time(histories.real, histories.synthetic, index_date)
    return tuple(measures), tuple(one for one in pictures if one is not None), rules


def frequencies(histories: Histories, index_date: date) -> CodeShares | None:
    """How many patients have each of the commonest codes, to draw; None where nobody has any."""
    return code_shares(Groups.of(histories, day_number(index_date) + 1))


def aspects(groups: Groups) -> Iterator[Aspect]:
    """Everything that is compared beside the properties of single patients, one after the other."""
    yield encounters_by_class(groups)
    yield seasons(groups)
    for table in CODED:
        yield code_frequency(groups, table)
    yield panels(groups)
    told = Sequences.of(groups)
    yield from (grams(groups, told, length) for length in (2, 3))
    yield onset_ages(groups)
    yield abatement(groups)
    yield durations(groups)
    yield from reasons(groups)
    yield within_patients(groups)


def _pooled(sides: list[Values], sizes: list[int]) -> Values:
    """The values of several groups of patients as those of one."""
    starts = np.cumsum([0, *sizes[:-1]])
    patient = np.concatenate([one.patient + start for one, start in zip(sides, starts, strict=True)])
    return Values(patient, np.concatenate([one.value for one in sides]))


@dataclass(frozen=True, slots=True)
class _Chance:
    """How often each patient of the real pool is in each draw: arrays of shape (draws, pool).

    Parameters
    ----------
    real, made
        Draws as large as the holdout, and as there are synthetic patients.
    next
        Draws as large as there are synthetic patients, each out of a draw of the pool: the pool is a sample too, and
        what it does not know of all real patients belongs into the band of a picture.
    sizes
        Holdout and synthetic patients.
    """

    real: Floats
    made: Floats
    next: Floats
    sizes: tuple[int, int]

    @classmethod
    def of(cls, sizes: list[int], generator: np.random.Generator) -> _Chance:
        """Draw; ``sizes`` are those of the holdout, of the synthetic patients and of what else is in the pool."""
        pool = sizes[0] + sum(sizes[2:])
        even = np.full((DRAWS, pool), 1 / pool)
        real, made, again = (generator.multinomial(size, even) for size in (*sizes[:2], pool))
        other = generator.multinomial(sizes[1], again / pool)
        return cls(real.astype(float), made.astype(float), other.astype(float), (sizes[0], sizes[1]))


def _cells(values: Values, cell: Ints, shape: tuple[int, int]) -> csr_matrix:
    """How many values of each patient are in each cell."""
    return csr_matrix((np.ones(len(cell)), (values.patient, cell)), shape=shape)


def _shares(weights: Floats, cells: csr_matrix) -> Floats:
    """Share of each cell by draw, of shape (draws, cells); NaN in a draw without any value."""
    counts = np.asarray((cells.T @ weights.T).T)
    total = counts.sum(axis=1, keepdims=True)
    shares: Floats = np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)
    return shares


def _measure(one: Property, sides: list[Values], pool: Values, chance: _Chance, fresh: int | None) -> TimelineMeasure:
    real, made = sides[:2]
    few = [name for name, side in (("real", real), ("synthetic", made)) if side.patients < MIN_ROWS]
    distance = band = usual = None
    if not few:
        distance, band, usual = _distance(real, made, pool, chance)
        if fresh is not None:
            usual = _apart(real, sides[fresh]) if sides[fresh].patients >= MIN_ROWS else None
    scarce = f"Fewer than {MIN_ROWS} patients have any ({', '.join(few)})." if few else ""
    return TimelineMeasure(
        name=one.name,
        title=one.title,
        unit=one.unit,
        real=_median(real),
        synthetic=_median(made),
        distance=distance,
        band=band,
        fresh=usual,
        n_real=len(real.value),
        n_synthetic=len(made.value),
        patients_real=real.patients,
        patients_synthetic=made.patients,
        note=" ".join(filter(None, (one.note, scarce, NO_VERDICT))),
    )


def _median(values: Values) -> float | None:
    """None where it would be the value of a few."""
    return float(np.median(values.value)) if values.patients >= MIN_ROWS else None


def _distance(real: Values, made: Values, pool: Values, chance: _Chance) -> tuple[float, float, float]:
    """D between the two sides, and the 95th percentile and the median of D between two draws from the pool."""
    grid = _grid(real, made, pool)
    cell = np.searchsorted(grid, pool.value)
    cells = _cells(pool, cell, (chance.real.shape[1], len(grid) + 1))
    left, right = (_shares(weights, cells).cumsum(axis=1) for weights in (chance.real, chance.made))
    null = np.abs(left - right).max(axis=1)
    band = max(float(np.nanquantile(null, 0.95)), RULE_OF_THREE / pool.patients)
    return _apart(real, made, grid), band, float(np.nanmedian(null))


def _apart(real: Values, made: Values, grid: Floats | None = None) -> float:
    """D between two sides."""
    grid = _grid(real, made) if grid is None else grid
    heights = [_height(side.value, grid) for side in (real, made)]
    return float(np.abs(heights[0] - heights[1]).max())


def _grid(real: Values, made: Values, *more: Values) -> Floats:
    grid = np.unique(np.concatenate([one.value for one in (real, made, *more)]))
    if len(grid) > GRID:
        grid = np.unique(np.quantile(np.concatenate([real.value, made.value]), np.linspace(0, 1, GRID), method="lower"))
    return grid


def _height(values: Floats, grid: Floats) -> Floats:
    """The share of values up to each value of the grid."""
    shares: Floats = np.searchsorted(np.sort(values), grid, side="right") / len(values)
    return shares


def _picture(one: Property, real: Values, made: Values, pool: Values, chance: _Chance) -> Marginal | None:
    """Shares by bin; missing are patients without any value. None where a side has too few patients to show."""
    if min(real.patients, made.patients) < MIN_ROWS:
        return None
    edges = _edges(np.array(one.edges), real, made)
    bands = _bands(pool, _bin(pool.value, edges), len(edges), chance)
    has = np.bincount(pool.patient, minlength=chance.next.shape[1]) > 0
    without = [1 - side.patients / size for side, size in zip((real, made), chance.sizes, strict=True)]
    missing = interval(1 - chance.next @ has / chance.sizes[1])
    shown = [np.bincount(_bin(side.value, edges), minlength=len(edges)) / len(side.value) for side in (real, made)]
    return Marginal(
        name=one.name,
        title=f"{one.title} ({one.unit})" if one.unit else one.title,
        discrete=False,
        labels=_labels(edges, whole=all((side.value == np.round(side.value)).all() for side in (real, made))),
        real=_rounded(shown[0]),
        synthetic=_rounded(shown[1]),
        low=_rounded([low for low, _ in bands]),
        high=_rounded([high for _, high in bands]),
        missing_real=round(without[0], 4),
        missing_synthetic=round(without[1], 4),
        missing_low=round(missing[0], 4),
        missing_high=round(missing[1], 4),
    )


def _bands(pool: Values, cell: Ints, bins: int, chance: _Chance) -> list[tuple[float, float]]:
    """The band of each bin; one that no real patient is in may still hold three of as many (rule of three)."""
    cells = _cells(pool, cell, (chance.next.shape[1], bins))
    empty = np.bincount(cell, minlength=bins) == 0
    found = [interval(column[np.isfinite(column)]) for column in _shares(chance.next, cells).T]
    return [
        (low, RULE_OF_THREE / pool.patients if none else high) for (low, high), none in zip(found, empty, strict=True)
    ]


def _bin(values: Floats, edges: Floats) -> Ints:
    """The bin of each value; what is below the first edge is in the first bin."""
    return np.maximum(np.searchsorted(edges, values, side="right") - 1, 0)


def _edges(edges: Floats, real: Values, made: Values) -> Floats:
    """``edges`` without those that cut off a tail of fewer than :data:`FEWEST` patients, of both sides together."""
    both = _pooled([real, made], [int(real.patient.max()) + 1, 0])
    while len(edges) > 1 and len(np.unique(both.patient[both.value >= edges[-1]])) < FEWEST:
        edges = edges[:-1]
    while len(edges) > 1 and len(np.unique(both.patient[both.value < edges[1]])) < FEWEST:
        edges = np.delete(edges, 1)
    return edges


def _labels(edges: Floats, *, whole: bool) -> tuple[str, ...]:
    """Bins in words: ``0``, ``3–4``, ``≥50`` of counts; ``<2``, ``2–7`` of others, the upper end not included."""
    made = []
    for low, high in zip(edges, [*edges[1:], np.inf], strict=True):
        if not np.isfinite(high):
            made.append(f"≥{low:g}")
        elif whole:
            made.append(f"{low:g}" if high - low <= 1 else f"{low:g}–{high - 1:g}")
        else:
            made.append(f"{low:g}–{high:g}" if low > 0 else f"<{high:g}")
    return tuple(made)


def _rounded(shares: Floats | list[float]) -> tuple[float, ...]:
    return tuple(np.round(np.asarray(shares, dtype=np.float64), 4).tolist())
