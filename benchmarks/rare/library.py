"""CTGAN as it comes out of the box: the library's own settings, on columns as they are."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import pandas as pd

from fhirsynth.augment._scope import seeded
from fhirsynth.augment.protocol import Keep, Tally
from fhirsynth.augment.sampling import acceptor, exactly
from fhirsynth.schema import FeatureSchema
from fhirsynth.seeds import derive
from synthea_bridge.progress import Progress

TABLE: Final = "features"
EPOCHS: Final = 300
"""The library's default. With fewer than a thousand rows an epoch is one step."""


class LibraryCtgan:
    """SDV's CTGAN with nothing set but the number of epochs; a condition is asked for by rejection, as SDV does it.

    It is there to be compared with, so it cannot be saved.
    """

    name: ClassVar[str] = "ctgan-library"
    default_steps: ClassVar[int] = 0

    def __init__(self) -> None:
        self.tally = Tally()
        self._schema: FeatureSchema
        self._fitted: Any = None
        self._epochs = EPOCHS

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
        """Train on the rows; ``steps`` is taken as epochs, where it is given."""
        from sdv.metadata import Metadata
        from sdv.single_table import CTGANSynthesizer

        self._schema, self._epochs = schema, steps or EPOCHS
        numbers = {feature.name for feature in schema.of_kind("number", "count")}
        kinds = {name: {"sdtype": "numerical" if name in numbers else "categorical"} for name in schema.columns}
        metadata = Metadata.load_from_dict({"tables": {TABLE: {"columns": kinds}}, "relationships": []})
        frame = schema.conform(features)[schema.columns].reset_index(drop=True)
        frame = frame.astype({name: _dtype(frame[name], number=name in numbers) for name in schema.columns})
        with seeded(derive(seed, "fit")):
            self._fitted = CTGANSynthesizer(metadata, epochs=self._epochs, enable_gpu=False)
            self._fitted.fit({TABLE: frame})
        progress(1, 1, "fitted")

    def sample(
        self, n: int, where: Mapping[str, Any] | None = None, *, seed: int, keep: Keep | None = None
    ) -> pd.DataFrame:
        """Exactly ``n`` rows like ``where``.

        Raises
        ------
        fhirsynth.errors.Shortfall
            When the model makes too few of them.
        """
        self.tally = Tally()
        counts = [feature.name for feature in self._schema.of_kind("count")]

        def draw(size: int, attempt: int) -> pd.DataFrame:
            with seeded(derive(seed, "sample", attempt)):
                # Otherwise the first sample after a fit begins at a fixed seed of the library's own.
                self._fitted._set_random_state(None)  # noqa: SLF001 - there is no public way
                made: pd.DataFrame = self._fitted.sample(size)[TABLE]
            made = made.reset_index(drop=True)
            return self._schema.conform(made.assign(**{name: made[name].round() for name in counts}))

        accept = acceptor(self._schema, where, keep, self.tally)
        return self._schema.conform(exactly(n, draw, accept, "it makes hardly any such patients"))

    def parameters(self) -> dict[str, Any]:
        """Epochs and the versions of the libraries."""
        return {"epochs": self._epochs, **{library: version(library) for library in ("sdv", "ctgan", "torch")}}

    def save(self, folder: Path) -> None:
        """Do nothing but refuse: there is no use for it."""
        raise NotImplementedError("the library's CTGAN is only compared with")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Do nothing but refuse: there is no use for it."""
        raise NotImplementedError("the library's CTGAN is only compared with")


def _dtype(column: pd.Series[Any], *, number: bool) -> str:
    """What a file read by default would give: SDV takes no nullable dtypes of pandas."""
    if number:
        return "float64"
    return "bool" if pd.api.types.is_bool_dtype(column) and not column.isna().any() else "object"
