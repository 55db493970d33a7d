"""What an attacker and the defender see: real rows, members or not, and the synthetic ones, in one common scaling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fhirsynth.seeds import rng
from fhirsynth.trilemma.encode import Encoder
from fhirsynth.trilemma.intervals import Bools, Floats, Ints
from fhirsynth.trilemma.measure import Cohort, Measure, Verdict
from fhirsynth.trilemma.samples import Samples

ALPHA = 0.0025
"""Per test: ten tests over two cohorts then give at most 2.5 % of false alarms, and the self-test hardly any."""

AUC_FAIL, AUC_PASS = 0.55, 0.60
"""A significant membership AUC fails from 0.55; passing needs an upper bound below 0.60."""

LEAK_FAIL, LEAK_PASS = 0.02, 0.10
"""Copied share and attribute leak: significant and from 2 % on fails; passing needs an upper bound below 10 %."""

POWER = 2.807 + 0.842
"""Standard deviations that are noticed at this level with 80 % probability."""

DIGITS = 5
"""Distances are rounded: two ways to compute a distance of zero differ by rounding noise."""


def nearest(points: Floats, among: Floats | None = None, k: int = 1) -> tuple[Floats, Ints]:
    """Distances to and indices of the ``k`` nearest rows; without ``among`` to the other rows of ``points``."""
    from sklearn.neighbors import NearestNeighbors

    index = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(points if among is None else among)
    distances, rows = index.kneighbors(None if among is None else points)
    return np.round(distances, DIGITS), rows


@dataclass(frozen=True, slots=True)
class World:
    """Encoded frames, real rows being training rows and then holdout rows.

    Parameters
    ----------
    train, holdout, synthetic
        Encoded rows, of shape (rows, columns).
    strata
        Of the real rows: who belongs to the rare cohort.
    threshold, loo
        Distances of training rows to the nearest other one, and their 5th percentile.
    """

    samples: Samples
    cohort: Cohort
    train: Floats
    holdout: Floats
    synthetic: Floats
    strata: Bools
    threshold: float
    loo: Floats

    @classmethod
    def of(cls, samples: Samples, cohort: Cohort) -> World:
        """Encode the frames of ``samples`` in the scaling of all real rows."""
        encoder = Encoder.fit(pd.concat([samples.train, samples.holdout], ignore_index=True), samples.schema)
        train, holdout, made = (encoder.transform(f) for f in (samples.train, samples.holdout, samples.synthetic))
        every = nearest(train)[0][:, 0]
        loo = every[alike(samples, samples.train)]
        loo = loo if len(loo) else every
        strata = np.concatenate([samples.cases(samples.train), samples.cases(samples.holdout)])
        return cls(samples, cohort, train, holdout, made, strata, float(np.quantile(loo, 0.05)), loo)

    @property
    def real(self) -> Floats:
        """Training rows, then holdout rows."""
        return np.vstack([self.train, self.holdout])

    @property
    def member(self) -> Bools:
        """Which real rows the generator has seen."""
        return np.arange(len(self.train) + len(self.holdout)) < len(self.train)

    @property
    def asked(self) -> Floats:
        """Holdout rows of the classes that the synthetic rows have; all of them, if there are none."""
        rows = self.holdout[alike(self.samples, self.samples.holdout)]
        return rows if len(rows) else self.holdout

    def generator(self, purpose: str) -> np.random.Generator:
        """Randomness for one purpose."""
        return rng(self.samples.seed, "privacy", self.cohort, purpose)

    def measure(self, name: str, title: str, value: float | None, n: int, **more: Any) -> Measure:
        """A measure of privacy for this cohort."""
        return Measure(name=name, title=title, dimension="privacy", cohort=self.cohort, value=value, n=n, **more)


def alike(samples: Samples, frame: pd.DataFrame) -> Bools:
    """Rows of the classes that were made: a patient without the condition lies elsewhere than one with it."""
    lacking = samples.missing_class
    return np.ones(len(frame), dtype=np.bool_) if lacking is None else samples.cases(frame) != lacking


def leak_verdict(value: float, half: float, p: float) -> Verdict:
    """FAIL for a significant leak of a size that matters, PASS where a grave one would have been noticed."""
    high = max(value, 0.0) + half
    if p < ALPHA and value >= LEAK_FAIL:
        return "FAIL"
    return "PASS" if high < LEAK_PASS else "UNDERPOWERED"
