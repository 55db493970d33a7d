"""One aspect of histories compared: real with synthetic, with a fresh draw, and real patients with real ones.

What chance does is found by dividing the real patients at random into two groups of these sizes, each with all that is
theirs: nobody is in both, so that what is rare does not count as shared. It is the distribution of the distance under
exchangeability (Fisher 1935; Good 2005, https://doi.org/10.1007/b138696). Where there are too few real patients for
that, both the division and what is compared are of fewer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy.sparse import csr_matrix, vstack

from fhirsynth.trilemma.intervals import Floats, Ints
from fhirsynth.trilemma.lives.groups import MADE, REAL, Groups, showable
from fhirsynth.trilemma.lives.shown import Difference, TimelineMeasure
from fhirsynth.trilemma.samples import MIN_ROWS

DRAWS = 200
"""Divisions: ten of them are beyond the 95th percentile."""

NAMED = 5
"""Differences that are named, the largest ones."""

SLACK = 1e-9
"""A distance that is larger by so little is not."""

NO_VERDICT = "Decides no verdict."

Statistic = Literal["mean Kolmogorov-Smirnov D", "total variation", "mean difference"]
D: Final = "mean Kolmogorov-Smirnov D"
VARIATION: Final = "total variation"
DIFFERENCE: Final = "mean difference"

Form = Callable[[Floats, Floats], Floats]
"""From sums over patients, shape (draws, columns), and their number, shape (draws, 1), to (draws, items, bins)."""


@dataclass(frozen=True, slots=True)
class Aspect:
    """What is compared.

    Parameters
    ----------
    name, title, unit, note
        As in :class:`~fhirsynth.trilemma.lives.shown.TimelineMeasure`; ``unit`` says what ``figures`` are.
    sums
        For each group what is added up over patients, of shape (patients, columns).
    form
        Makes figures of the sums: a distribution over bins for each of several items.
    statistic
        Cumulative shares are compared by the largest gap of each item (D), the one distribution over bins by half the
        sum of its gaps (total variation), and single figures by their difference; means are over items.
    name_of
        What an item (of one distribution: a bin) is called; None: there is one figure alone.
    part
        The item (or bin) that each column belongs to, -1: none, shape (columns,).
    figures
        One figure for real and one for synthetic patients.
    middle
        The value of each bin, where a distribution has a middle.
    lopsided
        It means something even where one side has none at all.
    counts
        How many values there are, where that is not what ``sums`` add up to.
    """

    name: str
    title: str
    unit: str
    sums: tuple[csr_matrix, ...]
    form: Form
    statistic: Statistic
    name_of: Callable[[int], str] | None
    part: Ints
    figures: tuple[float, float]
    middle: Floats | None = None
    lopsided: bool = False
    counts: tuple[int, int] | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Divisions:
    """Who is in which group in each draw: arrays of 0 and 1 of shape (draws, patients).

    Parameters
    ----------
    left, right
        Two groups of the real pool that have nobody in common.
    real, made, fresh
        Holdout, synthetic and freshly drawn patients, as many as are in ``left``, ``right`` and ``right``; all of them
        (one draw) where there are no more.
    """

    left: Floats
    right: Floats
    real: Floats
    made: Floats
    fresh: Floats | None

    @classmethod
    def of(cls, groups: Groups, generator: np.random.Generator) -> Divisions | None:
        """Divide; None where there are too few patients."""
        sizes = groups.sizes
        total = sum(sizes[place] for place in groups.pool)
        others = total - sizes[REAL]
        halves = 2 * others < sizes[REAL]
        one = min(sizes[REAL], total // 2) if halves else sizes[REAL]
        other = min(sizes[MADE], total - one)
        if min(one, other) < MIN_ROWS:
            return None
        order = np.argsort(generator.random((DRAWS, total)), axis=1)
        left, right = (_marked(order[:, part], total) for part in (slice(one), slice(one, one + other)))
        drawn = None if groups.fresh is None else _drawn(sizes[groups.fresh], other, generator)
        return cls(left, right, _drawn(sizes[REAL], one, generator), _drawn(sizes[MADE], other, generator), drawn)


def _marked(places: Ints, total: int) -> Floats:
    marks = np.zeros((len(places), total))
    np.put_along_axis(marks, places, 1.0, axis=1)
    return marks


def _drawn(total: int, wanted: int, generator: np.random.Generator) -> Floats:
    if total <= wanted:
        return np.ones((1, total))
    return _marked(np.argsort(generator.random((DRAWS, total)), axis=1)[:, :wanted], total)


def compare(aspect: Aspect, groups: Groups, divisions: Divisions | None) -> TimelineMeasure:
    """One aspect as the report holds it; without a distance where too few patients have any."""
    having = [np.diff(one.indptr) > 0 for one in aspect.sums[:2]]
    patients = [int(one.sum()) for one in having]
    few = [side for side, count in zip(("real", "synthetic"), patients, strict=True) if count < MIN_ROWS]
    told = max(patients) >= MIN_ROWS if aspect.lopsided else not few
    scarce = f"Fewer than {MIN_ROWS} patients have any ({', '.join(few)})." if few and not told else ""
    if divisions is None:
        told, scarce = False, scarce or f"A comparison needs {MIN_ROWS} patients of each group."
    if not aspect.part.size:
        told, scarce = False, scarce or "Nothing in it is common enough to be compared."
    found = _Compared.of(aspect, groups, divisions) if told and divisions is not None else None
    counts = aspect.counts or tuple(int(one.sum()) for one in aspect.sums[:2])
    shown = [float(value) if told and np.isfinite(value) else None for value in aspect.figures]
    return TimelineMeasure(
        name=aspect.name,
        title=aspect.title,
        unit=aspect.unit,
        real=shown[0],
        synthetic=shown[1],
        distance=found.distance if found else None,
        band=found.band if found else None,
        n_real=counts[REAL],
        n_synthetic=counts[MADE],
        patients_real=patients[0],
        patients_synthetic=patients[1],
        note=" ".join(filter(None, (aspect.note, scarce, NO_VERDICT))),
        statistic=aspect.statistic,
        fresh=found.fresh if found else None,
        furthest=found.furthest if found else (),
    )


@dataclass(frozen=True, slots=True)
class _Compared:
    distance: float
    band: float
    fresh: float
    furthest: tuple[Difference, ...]

    @classmethod
    def of(cls, aspect: Aspect, groups: Groups, divisions: Divisions) -> _Compared:
        pool = csr_matrix(vstack([aspect.sums[place] for place in groups.pool]))
        null = _gaps(aspect, _figures(aspect, pool, divisions.left), _figures(aspect, pool, divisions.right))
        real = _figures(aspect, aspect.sums[REAL], divisions.real)
        seen = _gaps(aspect, real, _figures(aspect, aspect.sums[MADE], divisions.made))
        every = _total(aspect, null)
        fresh = every
        if groups.fresh is not None and divisions.fresh is not None:
            fresh = _total(aspect, _gaps(aspect, real, _figures(aspect, aspect.sums[groups.fresh], divisions.fresh)))
        return cls(
            distance=float(_total(aspect, seen).mean()),
            band=float(np.quantile(every, 0.95)) + SLACK,
            fresh=float(fresh.mean()) if groups.fresh is not None else float(np.median(every)),
            furthest=_furthest(aspect, groups, seen.mean(axis=0), np.quantile(null, 0.95, axis=0)),
        )


def _figures(aspect: Aspect, sums: csr_matrix, chosen: Floats) -> Floats:
    added = np.asarray((sums.T @ chosen.T).T, dtype=np.float64)
    return aspect.form(added, chosen.sum(axis=1, keepdims=True))


def _gaps(aspect: Aspect, one: Floats, other: Floats) -> Floats:
    """How far apart each item is (of one item: each bin), of shape (draws, items or bins)."""
    gaps = np.abs(one - other)
    found: Floats = gaps.max(axis=2) if aspect.statistic == D else gaps[:, 0] if gaps.shape[1] == 1 else gaps[:, :, 0]
    # What nobody of a draw has cannot differ in it.
    return np.nan_to_num(found)


def _total(aspect: Aspect, gaps: Floats) -> Floats:
    whole: Floats = gaps.sum(axis=1) / 2 if aspect.statistic == VARIATION else gaps.mean(axis=1)
    return whole


def _having(aspect: Aspect, sums: csr_matrix) -> Ints:
    """How many patients have anything of each item (or bin)."""
    columns = np.bincount(sums.indices, minlength=len(aspect.part))
    belongs = aspect.part >= 0
    found: Ints = np.bincount(aspect.part[belongs], weights=columns[belongs]).astype(np.int64)
    return found


def _furthest(aspect: Aspect, groups: Groups, seen: Floats, band: Floats) -> tuple[Difference, ...]:
    """The largest differences beyond their band; nothing that one to four real patients have is named."""
    if aspect.name_of is None:
        return ()
    figures = [_named(aspect, place) for place in (REAL, MADE)]
    every = np.sum([_having(aspect, aspect.sums[place]) for place in groups.pool], axis=0)
    shown = (seen > band + SLACK) & showable(_having(aspect, aspect.sums[REAL]), every)
    order = [int(one) for one in np.argsort(band - seen, kind="stable") if shown[one]][:NAMED]
    return tuple(
        Difference(
            title=aspect.name_of(one),
            real=_plain(figures[0][one]),
            synthetic=_plain(figures[1][one]),
            distance=_plain(seen[one]),
            band=_plain(band[one]),
        )
        for one in order
    )


def _named(aspect: Aspect, place: int) -> Floats:
    """The figure of each item of a whole group: its share, or the middle of its distribution."""
    whole = _figures(aspect, aspect.sums[place], np.ones((1, aspect.sums[place].shape[0])))[0]
    found: Floats = whole[0] if len(whole) == 1 else whole[:, 0]
    if aspect.statistic == D and aspect.middle is not None:
        found = aspect.middle[(whole >= 0.5 - SLACK).argmax(axis=1)]
    return found


def _plain(value: float) -> float:
    return round(float(np.nan_to_num(value)), 6)
