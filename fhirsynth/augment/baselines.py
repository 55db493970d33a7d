"""Comparators that learn nothing: a generator has to be better than both to be worth its training.

``bootstrap`` hands out real rows: all of the utility, no privacy. ``marginals`` draws every column on its own: no
dependence, hardly a risk. Neither may be published as synthetic data in earnest.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from fhirsynth.augment.encode import Encoding
from fhirsynth.augment.protocol import Keep, Tally
from fhirsynth.augment.sampling import acceptor, exactly, matches
from fhirsynth.errors import Shortfall
from fhirsynth.schema import FeatureSchema
from fhirsynth.seeds import rng
from synthea_bridge.files import atomic_file
from synthea_bridge.progress import Progress


class Bootstrap:
    """Real rows, drawn with replacement."""

    name: ClassVar[str] = "bootstrap"
    default_steps: ClassVar[int] = 0

    def __init__(self) -> None:
        self.tally = Tally()
        self._schema: FeatureSchema
        self._rows: pd.DataFrame

    def fit(
        self,
        features: pd.DataFrame,
        schema: FeatureSchema,
        *,
        seed: int,
        steps: int | None,
        progress: Progress,
        prior: pd.DataFrame | None = None,
    ) -> None:
        """Keep the rows."""
        self._schema = schema
        self._rows = schema.conform(features)[schema.columns].reset_index(drop=True)
        progress(1, 1, "kept the rows")

    def sample(
        self, n: int, where: Mapping[str, Any] | None = None, *, seed: int, keep: Keep | None = None
    ) -> pd.DataFrame:
        """Exactly ``n`` rows, drawn from those that ``where`` asks for."""
        self.tally = Tally()
        pool = self._rows[matches(self._rows, where)]
        if pool.empty:
            raise Shortfall(n, 0, "no row of the training data is like that; give data that has some")
        accept = acceptor(self._schema, where, keep, self.tally)
        rows = exactly(
            n,
            lambda size, attempt: self._draw(pool, size, rng(seed, self.name, attempt)),
            accept,
            "the constraints leave too few; look at the training data",
        )
        return self._schema.conform(rows)

    def _draw(self, pool: pd.DataFrame, size: int, random: np.random.Generator) -> pd.DataFrame:
        return pool.iloc[random.integers(0, len(pool), size)].reset_index(drop=True)

    def parameters(self) -> dict[str, Any]:
        """Nothing but the number of rows."""
        return {"rows": len(self._rows)}

    def save(self, folder: Path) -> None:
        """Write the rows: this model *is* the training data."""
        self._schema.save(folder / "schema.json")
        with atomic_file(folder / "rows.parquet") as scratch:
            self._rows.to_parquet(scratch, index=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote."""
        model = cls()
        model._schema = FeatureSchema.load(folder / "schema.json")
        model._rows = model._schema.conform(pd.read_parquet(folder / "rows.parquet"))
        return model


class Marginals(Bootstrap):
    """Every column drawn on its own from the rows that are asked for."""

    name: ClassVar[str] = "marginals"

    def _draw(self, pool: pd.DataFrame, size: int, random: np.random.Generator) -> pd.DataFrame:
        encoding = Encoding.learn(pool, self._schema)
        encoded = encoding.encode(pool, random)
        mixed = {name: encoded[name].to_numpy()[random.integers(0, len(pool), size)] for name in encoded.columns}
        return encoding.decode(pd.DataFrame(mixed, index=range(size)))
