"""Encoded rows as a matrix that a network makes, and back: scores of numbers, flags of hurdles, one-hot categories."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, ConfigDict
from scipy.special import ndtr, ndtri

from fhirsynth.augment.encode import NO, YES, Encoding
from fhirsynth.augment.gan.settings import Settings
from fhirsynth.schema import FeatureSchema
from fhirsynth.seeds import rng

Floats = npt.NDArray[np.float64]

HURDLE: Final = 0.1
"""Share of the rows from which on a number's commonest value is a flag of its own."""

GRID: Final = 1001
"""Quantiles at most that are kept of a column: more would only keep more of the training data."""

REACH: Final = 4.0
"""Normal scores, and standard deviations, are divided by it: tanh reaches 1, and one in 16,000 is beyond."""


class Scale(BaseModel):
    """One column of numbers: its quantiles, and the value that is a flag of its own, if any."""

    model_config = ConfigDict(frozen=True)

    quantiles: tuple[float, ...]
    hurdle: float | None = None

    @classmethod
    def learn(cls, values: Floats, settings: Settings) -> Scale:
        """The scale of ``values``, shape (rows,)."""
        found, counts = np.unique(values, return_counts=True)
        often = int(counts.argmax())
        is_hurdle = settings.hurdle and len(found) > 1 and counts[often] >= HURDLE * len(values)
        rest = values[values != found[often]] if is_hurdle else values
        quantiles = np.quantile(rest, np.linspace(0, 1, min(len(rest), GRID)))
        return cls(quantiles=tuple(quantiles.tolist()), hurdle=float(found[often]) if is_hurdle else None)

    def encode(self, values: Floats, random: np.random.Generator, *, normal: bool) -> Floats:
        """Scores, shape (rows,); equal values are spread over the ranks that they share, a hurdle over all ranks."""
        grid = np.array(self.quantiles)
        if self.hurdle is not None:
            jumped = values == self.hurdle
            values = np.where(jumped, grid[random.integers(0, len(grid), len(values))], values)
        if not normal:
            standardised: Floats = np.clip((values - grid.mean()) / self._spread(grid) / REACH, -1, 1)
            return standardised
        low, high = np.searchsorted(grid, values, "left"), np.searchsorted(grid, values, "right")
        rank = (low + (high - low) * random.random(len(values))) / len(grid)
        half = 0.5 / len(grid)
        scores: Floats = ndtri(np.clip(rank, half, 1 - half)) / REACH
        return scores

    def decode(self, scores: Floats, *, normal: bool) -> Floats:
        """Values of scores, between the smallest and the largest that were learned from."""
        grid = np.array(self.quantiles)
        values: Floats
        if normal:
            values = np.interp(ndtr(scores * REACH) * len(grid) - 0.5, np.arange(len(grid)), grid)
        else:
            values = np.clip(scores * REACH * self._spread(grid) + grid.mean(), grid[0], grid[-1])
        return values

    @staticmethod
    def _spread(grid: Floats) -> float:
        return float(grid.std()) or 1.0


class Columns(BaseModel):
    """How rows become a matrix: for each number a score, for each hurdle two columns, for each category one a level.

    The condition is not among them where it is what a network is told.
    """

    model_config = ConfigDict(frozen=True)

    encoding: Encoding
    scales: dict[str, Scale]
    levels: dict[str, tuple[str, ...]]
    normal: bool

    @classmethod
    def learn(cls, frame: pd.DataFrame, schema: FeatureSchema, settings: Settings, seed: int) -> Columns:
        """Learn from rows of ``schema``."""
        encoding = Encoding.learn(frame, schema)
        if not settings.flagged:
            encoding = encoding.model_copy(update={"missing": {}})
        encoded = encoding.encode(frame, rng(seed, "learn"))
        told = schema.condition.column if schema.condition is not None and settings.told else None
        return cls(
            encoding=encoding,
            scales={name: Scale.learn(encoded[name].to_numpy(np.float64), settings) for name in encoding.continuous},
            levels={name: tuple(sorted(encoded[name].unique())) for name in encoding.discrete if name != told},
            normal=settings.normal_scores,
        )

    @property
    def choices(self) -> tuple[int, ...]:
        """Widths of the one-hot parts, which come after the scores: those of hurdles, then those of levels."""
        hurdles = [2 for scale in self.scales.values() if scale.hurdle is not None]
        return (*hurdles, *(len(levels) for levels in self.levels.values()))

    def encode(self, frame: pd.DataFrame, random: np.random.Generator) -> npt.NDArray[np.float32]:
        """Rows as a matrix, shape (rows, scores + sum of :attr:`choices`)."""
        encoded = self.encoding.encode(frame, random)
        numbers = {name: encoded[name].to_numpy(np.float64) for name in self.scales}
        scores = [scale.encode(numbers[name], random, normal=self.normal) for name, scale in self.scales.items()]
        hurdles = [
            np.eye(2)[(numbers[name] == scale.hurdle).astype(np.int64)]
            for name, scale in self.scales.items()
            if scale.hurdle is not None
        ]
        chosen = [encoded[name].to_numpy()[:, None] == np.array(levels) for name, levels in self.levels.items()]
        return np.column_stack([np.zeros((len(frame), 0)), *scores, *hurdles, *chosen]).astype(np.float32)

    def decode(self, matrix: npt.NDArray[np.float32], cases: npt.NDArray[np.bool_]) -> pd.DataFrame:
        """Rows of the schema from a matrix; ``cases``, shape (rows,), says who has the condition, if that was told."""
        schema = self.encoding.features
        columns: dict[str, Any] = {
            name: scale.decode(matrix[:, place].astype(np.float64), normal=self.normal)
            for place, (name, scale) in enumerate(self.scales.items())
        }
        edges = np.cumsum([len(self.scales), *self.choices])
        picks = iter([matrix[:, a:b].argmax(axis=1) for a, b in pairwise(edges)])
        for name, scale in self.scales.items():
            if scale.hurdle is not None:
                columns[name] = np.where(next(picks) == 1, scale.hurdle, columns[name])
        for name, levels in self.levels.items():
            columns[name] = np.array(levels, dtype=object)[next(picks)]
        if schema.condition is not None and schema.condition.column not in self.levels:
            columns[schema.condition.column] = np.where(cases, YES, NO)
        return self.encoding.decode(pd.DataFrame(columns, index=range(len(matrix))))
