"""Privacy of histories: is a synthetic history that of a training patient, or nearly?

Two histories are as alike as the multisets of their coded triples overlap (weighted Jaccard, Ioffe 2010,
https://doi.org/10.1109/ICDM.2010.80): three events that follow each other, with the two gaps between them in classes.
Training patients and holdout patients are both real and exchangeable where nothing was kept, so that relabelling them
is an exact test (as for rows, see :mod:`fhirsynth.trilemma.membership` and :mod:`fhirsynth.trilemma.neighbours`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from math import ceil, log
from typing import Any, Final

import numpy as np
from scipy.sparse import csr_matrix, vstack

from fhirsynth.seeds import rng
from fhirsynth.trilemma.intervals import Z95, Bools, Floats, Ints, relabelled, stratified_auc, wilson
from fhirsynth.trilemma.lives.groups import MADE, Events, Groups, Sequences
from fhirsynth.trilemma.lives.histories import Histories
from fhirsynth.trilemma.lives.order import day_number
from fhirsynth.trilemma.measure import Control, Measure, Verdict, worst
from fhirsynth.trilemma.samples import MIN_ROWS
from fhirsynth.trilemma.selftest import CERTAIN, COARSE, COPIED, NOTHING
from fhirsynth.trilemma.world import ALPHA, AUC_FAIL, AUC_PASS, LEAK_PASS, POWER, leak_verdict

MOST: Final = 1000
"""Histories of each group that are compared with those of the others."""

GAPS: Final = np.array([1 / 24, 1.0, 7.0, 30.0, 90.0, 365.0])
"""Ends of classes of gaps between events, in days: an hour, a day, a week, a month, a quarter, a year."""

NEAR: Final = 0.99
"""Share of real histories whose nearest other real one is less like them than a near copy is."""

RELABELLINGS: Final = 2000

BLOCK: Final = 200
"""Histories that are compared with all others at a time."""


@dataclass(frozen=True, slots=True)
class Copies:
    """Measures of privacy, and the controls that show that they would notice; both empty without training histories."""

    measures: tuple[Measure, ...] = ()
    controls: tuple[Control, ...] = ()


def measure_copies(histories: Histories, *, index_date: date, seed: int) -> Copies:
    """Look for histories of training patients among the synthetic ones.

    Parameters
    ----------
    histories
        Real holdout and training patients, and synthetic ones.
    index_date
        The day at which every patient is described; what is later is left out.
    seed
        Of relabelling, and of who is compared where there are more than :data:`MOST`.

    Returns
    -------
    Copies
        A count of near copies and an attack on membership, each with a verdict; and two controls: holdout histories
        must fail nothing, and synthetic ones of which a fifth are training patients' must fail.
    """
    if histories.train is None:
        return Copies()
    groups = Groups.of(Histories(histories.real, histories.synthetic, histories.train), day_number(index_date) + 1)
    draw = rng(seed, "histories", "copies")
    triples = [_some(one, draw) for one in _triples(groups)]
    holdout, made, train = (one[np.diff(one.indptr) > 0] for one in triples)
    left_out = int(triples[MADE].shape[0] - made.shape[0])
    few = [
        f"{one.shape[0]} {name}"
        for name, one in (("training", train), ("holdout", holdout), ("synthetic", made))
        if one.shape[0] < MIN_ROWS
    ]
    if few:
        return Copies(_nothing(f"Only {' and '.join(few)} histories have three events; {MIN_ROWS} are needed."))
    near = _Nearness.of(train, holdout, made)
    measures = near.measures(seed, "synthetic", left_out)
    return Copies(measures, tuple(_controls(near, seed)))


# ---------------------------------------------------------------- likeness


def _triples(groups: Groups) -> list[csr_matrix]:
    """For each group which triples each history has: 0 and 1; the second time that it has one is another column."""
    told = Sequences.of(groups)
    found = [_coded(events, told.symbols) for events in told.events]
    keys = np.concatenate([one[1] for one in found])
    # Occurrences are numbered within each patient, so that multisets become sets and likeness a matrix product.
    whose = np.repeat(np.arange(len(found)), [len(one[1]) for one in found])
    patient = np.concatenate([one[0] for one in found])
    order = np.lexsort((keys, patient, whose))
    new = np.ones(len(keys), dtype=np.bool_)
    new[1:] = np.diff(keys[order]) != 0
    new[1:] |= (np.diff(patient[order]) != 0) | (np.diff(whose[order]) != 0)
    begin = np.flatnonzero(new)
    times = np.empty(len(keys), dtype=np.int64)
    times[order] = np.arange(len(keys)) - np.repeat(begin, np.diff(np.append(begin, len(keys))))
    number = np.unique(keys, return_inverse=True)[1] * (times.max(initial=0) + 1) + times
    column = np.unique(number, return_inverse=True)[1]
    width = int(column.max(initial=-1)) + 1
    rows = [whose == one for one in range(len(found))]
    return [
        csr_matrix((np.ones(int(mine.sum()), dtype=np.float32), (patient[mine], column[mine])), shape=(size, width))
        for mine, size in zip(rows, groups.sizes, strict=True)
    ]


def _coded(events: Events, symbols: int) -> tuple[Ints, Ints]:
    """Patient and triple, as one number, of each three events that follow each other."""
    gap = np.searchsorted(GAPS, np.diff(events.time), side="right")
    many, width = max(len(events.time) - 2, 0), len(GAPS) + 1
    key = np.zeros(many, dtype=np.int64)
    for step in range(3):
        key = key * symbols + events.symbol[step : step + many]
    for step in range(2):
        key = key * width + gap[step : step + many]
    same = events.patient[:many] == events.patient[2:] if many else np.zeros(0, dtype=np.bool_)
    return events.patient[:many][same], key[same]


def _some(one: csr_matrix, draw: np.random.Generator) -> csr_matrix:
    if one.shape[0] <= MOST:
        return one
    return one[np.sort(draw.choice(one.shape[0], MOST, replace=False))]


def likeness(one: csr_matrix, other: csr_matrix) -> Floats:
    """Weighted Jaccard similarity of all pairs of histories, 0 to 1, of shape (rows of one, rows of other)."""
    sizes = [np.asarray(side.sum(axis=1))[:, 0] for side in (one, other)]
    found = np.empty((one.shape[0], other.shape[0]))
    turned = other.T.tocsr()
    for first in range(0, one.shape[0], BLOCK):
        rows = slice(first, min(first + BLOCK, one.shape[0]))
        shared = (one[rows] @ turned).toarray()
        found[rows] = shared / np.maximum(sizes[0][rows, None] + sizes[1][None, :] - shared, 1)
    return found


# ---------------------------------------------------------------- measures


@dataclass(frozen=True, slots=True)
class _Nearness:
    """How alike synthetic and real histories are, real ones being training patients and then holdout patients.

    Parameters
    ----------
    made
        Synthetic with real ones, of shape (synthetic, real).
    real
        Real with real ones, of shape (real, real).
    member
        Which real ones the generator has seen.
    """

    made: Floats
    real: Floats
    member: Bools

    @classmethod
    def of(cls, train: csr_matrix, holdout: csr_matrix, made: csr_matrix) -> _Nearness:
        real = csr_matrix(vstack([train, holdout]))
        member = np.arange(real.shape[0]) < train.shape[0]
        return cls(likeness(made, real), likeness(real, real), member)

    @property
    def threshold(self) -> float:
        """The likeness that only one real history in a hundred has with another real one."""
        others = self.real.copy()
        np.fill_diagonal(others, -1.0)
        return float(np.quantile(others.max(axis=1), NEAR))

    @property
    def coincidence(self) -> float:
        """The share of holdout histories that equal a training one."""
        return float((self.real[~self.member][:, self.member].max(axis=1) >= 1 - 1e-9).mean())

    def measures(self, seed: int, purpose: str, left_out: int = 0) -> tuple[Measure, Measure]:
        """Near copies, and whether training histories are nearer to synthetic ones than others are."""
        return self._copied(rng(seed, "histories", "copied", purpose), left_out), self._attack(
            rng(seed, "histories", "attack", purpose)
        )

    def _copied(self, draw: np.random.Generator, left_out: int) -> Measure:
        most, rows = self.made.max(axis=1), len(self.made)
        tied = (self.made >= most[:, None] - 1e-9) & (most >= self.threshold)[:, None]
        each = (tied / np.maximum(tied.sum(axis=1, keepdims=True), 1)).sum(axis=0) / rows
        null = np.concatenate([block @ each for block in relabelled(self.member, draw, RELABELLINGS)])
        close, seen, expected = float(each.sum()), float(each[self.member].sum()), float(null.mean())
        scale = close / (close - expected) if close - expected > 1e-9 else 0.0
        value, spread = (seen - expected) * scale, float(null.std()) * scale
        half = Z95 * float(np.sqrt(spread**2 + max(value * (1 - value), 0) / rows))
        half = max(half, wilson(max(value, 0.0) * rows, rows)[1] - max(value, 0.0))
        p = float((1 + (null >= seen - 1e-12).sum()) / (len(null) + 1))
        return _measure(
            "history_copies",
            "Share of synthetic histories that nearly equal one because it was in the training data",
            value,
            rows,
            low=value - half,
            high=value + half,
            target=f"not above 0; upper bound < {LEAK_PASS:.2f}",
            met=value + half < LEAK_PASS,
            note=self._told(close, left_out),
            verdict=leak_verdict(value, half, p),
            baseline=0.0,
            p=p,
            detectable=max(POWER * spread, wilson(0, rows)[1], self._enough / rows),
        )

    @property
    def _enough(self) -> int:
        """Copies of as many training patients that no relabelling makes all of them members by chance."""
        return ceil(log(ALPHA) / log(float(self.member.mean()))) + 1

    def _told(self, close: float, left_out: int) -> str:
        train = np.median(self.made[:, self.member].max(axis=1))
        usual = np.median(self.real[~self.member][:, self.member].max(axis=1))
        gone = f" {left_out} synthetic histories with fewer than three events are left out." if left_out else ""
        return (
            f"Likeness of the nearest training history (median): {train:.2f} for synthetic ones, {usual:.2f} for "
            f"holdout ones. {close:.1%} of synthetic histories are as near to a real one as 1 in 100 real ones is to "
            f"another ({self.threshold:.2f}); membership was relabelled {RELABELLINGS:,} times to see how often it "
            f"would be a training patient's by chance.{gone}"
        )

    def _attack(self, draw: np.random.Generator) -> Measure:
        scores = self.made.max(axis=0)
        found = stratified_auc(self.member, scores, np.zeros(len(scores), dtype=np.bool_), draw)
        if found is None:
            raise AssertionError("members and non-members are there")
        grave = found.p < ALPHA and found.value >= AUC_FAIL
        # An AUC that happens to lie below 0.50 does not make a small sample a large one.
        highest = max(found.high, 0.5 + Z95 * found.spread)
        verdict: Verdict = "FAIL" if grave else "PASS" if highest < AUC_PASS else "UNDERPOWERED"
        return _measure(
            "history_auc",
            "Membership attack by histories: AUC (training histories nearer to synthetic ones than others are)",
            found.value,
            len(scores),
            low=found.low,
            high=found.high,
            target=f"≈ 0.50; upper bound < {AUC_PASS:.2f}",
            met=found.low <= 0.5 <= found.high,
            note="Each real history by its likeness to the nearest synthetic one.",
            verdict=verdict,
            baseline=0.5,
            p=found.p,
            detectable=min(1.0, max(AUC_FAIL, 0.5 + POWER * found.spread)),
        )


def _measure(name: str, title: str, value: float | None, n: int, **more: Any) -> Measure:
    return Measure(name=name, title=title, dimension="privacy", cohort="overall", value=value, n=n, **more)


def _nothing(reason: str) -> tuple[Measure, ...]:
    title = "Share of synthetic histories that nearly equal one because it was in the training data"
    return (_measure("history_copies", title, None, 0, target="not above 0", note=reason, verdict="UNDERPOWERED"),)


# ---------------------------------------------------------------- controls


def _controls(near: _Nearness, seed: int) -> list[Control]:
    found = [_mixed(near, seed)]
    held = np.flatnonzero(~near.member)
    if len(held) >= 2 * MIN_ROWS:
        half = rng(seed, "histories", "half").permutation(held)
        rows, rest = half[: len(half) // 2], np.concatenate([np.flatnonzero(near.member), half[len(half) // 2 :]])
        unseen = _Nearness(near.real[np.ix_(rows, rest)], near.real[np.ix_(rest, rest)], near.member[rest])
        verdict = worst([one.verdict for one in unseen.measures(seed, "half") if one.verdict])
        found.insert(
            0,
            Control(
                name="Half of the holdout's histories as synthetic ones",
                must="fail nothing",
                got={"privacy": verdict},
                ok=verdict != "FAIL",
                note=f"{len(rows)} unseen real patients.",
            ),
        )
    return found


def _mixed(near: _Nearness, seed: int) -> Control:
    """A fifth of the synthetic histories replaced by those of training patients."""
    draw, rows = rng(seed, "histories", "mixed"), len(near.made)
    wanted = min(-(-rows // round(1 / COPIED)), int(near.member.sum()))
    copied = draw.choice(np.flatnonzero(near.member), wanted, replace=False)
    kept = np.sort(draw.choice(rows, rows - wanted, replace=False))
    mixed = _Nearness(np.vstack([near.made[kept], near.real[copied]]), near.real, near.member)
    measures = mixed.measures(seed, "mixed")
    verdict = worst([one.verdict for one in measures if one.verdict])
    name = "The synthetic histories with a fifth replaced by training patients'"
    got = {"privacy": verdict}
    if near.coincidence >= COARSE:
        note = f"{near.coincidence:.0%} of unseen histories equal a training one: a copy of one gives nothing away."
        return Control(name=name, must=NOTHING, got=got, ok=True, note=note)
    noticed = near.measures(seed, "noticed")[0].detectable or 1.0
    small = noticed > wanted / rows / CERTAIN
    return Control(
        name=name,
        must="fail privacy, or be UNDERPOWERED" if small else "fail privacy",
        got=got,
        ok=verdict == "FAIL" or (small and verdict == "UNDERPOWERED"),
        note=f"Smallest share of copies that would have been noticed: {min(noticed, 1):.1%}.",
    )
