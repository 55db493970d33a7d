"""The columns that vary, as codes and as scores, for three frames at once: what the measures of fidelity share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from fhirsynth.schema import Feature
from fhirsynth.seeds import rng
from fhirsynth.trilemma.encode import codes
from fhirsynth.trilemma.intervals import Z95, Floats, Ints
from fhirsynth.trilemma.measure import Cohort, Measure, at_most, noticed
from fhirsynth.trilemma.samples import Samples

DRAWS = 60
"""Resamples for the noise floor and for spreads: enough for a standard deviation (to 10 %) and a 95th percentile."""

REAL, MADE, POOL = 0, 1, 2
"""Places of the frames: holdout, synthetic, and all real rows (which only help to find the noise floor)."""

Rows = tuple[int, Ints]
"""A frame, and rows of it."""


@dataclass(frozen=True, slots=True)
class Beyond:
    """A distance over ``n`` columns or combinations, that of two real samples, its bootstrap spread, and its bound."""

    seen: float
    floor: float
    spread: float
    n: int
    bound: float
    note: str


@dataclass(frozen=True, slots=True)
class View:
    """Columns that vary, as codes (for distances) and as scores (for associations), for real, synthetic and pool."""

    cohort: Cohort
    seed: int
    samples: Samples
    frames: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]
    features: tuple[Feature, ...]
    coded: dict[str, tuple[list[Ints], int]]
    scores: tuple[dict[str, Floats], ...]

    @classmethod
    def of(cls, samples: Samples, synthetic: pd.DataFrame, cohort: Cohort) -> View:
        """Look at the holdout and ``synthetic`` of one cohort."""
        pool = pd.concat([samples.train, samples.holdout], ignore_index=True)
        frames = (samples.holdout, synthetic.reset_index(drop=True), pool)
        coded = {f.name: codes([frame[f.name] for frame in frames], f.kind) for f in samples.schema.features}
        varying = [f for f in samples.schema.features if _varies(coded[f.name][0])]
        scores = tuple({f.name: _scores(f, coded[f.name], index) for f in varying} for index in range(3))
        return cls(cohort, samples.seed, samples, frames, tuple(varying), coded, scores)

    @property
    def sizes(self) -> tuple[int, int]:
        """Rows of the holdout and of the synthetic frame."""
        return len(self.frames[REAL]), len(self.frames[MADE])

    @property
    def seen(self) -> tuple[Rows, Rows]:
        """All rows of the holdout and of the synthetic frame."""
        return (REAL, np.arange(self.sizes[0])), (MADE, np.arange(self.sizes[1]))

    def generator(self, purpose: str) -> np.random.Generator:
        """Randomness for one purpose."""
        return rng(self.seed, "fidelity", self.cohort, purpose)

    def null(self, generator: np.random.Generator) -> tuple[Rows, Rows]:
        """Two real samples of these sizes."""
        return self._draw(generator, POOL, self.sizes[0]), self._draw(generator, POOL, self.sizes[1])

    def boot(self, generator: np.random.Generator) -> tuple[Rows, Rows]:
        """A bootstrap draw of either frame."""
        return self._draw(generator, REAL, self.sizes[0]), self._draw(generator, MADE, self.sizes[1])

    def _draw(self, generator: np.random.Generator, frame: int, n: int) -> Rows:
        return frame, generator.integers(0, len(self.frames[frame]), n)

    def measure(self, name: str, title: str, value: float | None, n: int, **more: Any) -> Measure:
        """A measure of fidelity for this cohort."""
        return Measure(name=name, title=title, dimension="fidelity", cohort=self.cohort, value=value, n=n, **more)

    def beyond_noise(self, name: str, title: str, figures: Beyond) -> Measure:
        """A distance less what two real samples have, held against a bound."""
        value, half = figures.seen - figures.floor, Z95 * figures.spread
        return self.measure(
            name,
            f"{title} beyond the noise floor",
            value,
            figures.n,
            low=value - half,
            high=value + half,
            target=f"upper bound ≤ {figures.bound:.2f}",
            met=value + half <= figures.bound,
            verdict=at_most(value - half, value + half, figures.bound),
            baseline=0.0,
            detectable=noticed(figures.bound, half),
            note=figures.note,
        )


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
