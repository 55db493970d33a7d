"""TVAE and the Gaussian copula, through SDV 2."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from math import ceil
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import pandas as pd

from fhirsynth.augment._scope import counted_steps, seeded
from fhirsynth.augment.advice import refuse_few
from fhirsynth.augment.encode import Encoding
from fhirsynth.augment.protocol import Keep, Tally
from fhirsynth.augment.sampling import acceptor, exactly
from fhirsynth.errors import AugmentError
from fhirsynth.schema import FeatureSchema
from fhirsynth.seeds import derive, rng
from synthea_bridge.files import atomic_file
from synthea_bridge.progress import Progress

TABLE: Final = "features"
LARGEST_BATCH: Final = 500
FITTED: Final = "fitted.pkl"
ENCODING: Final = "encoding.json"


class _Sdv:
    """What the three have in common."""

    name: ClassVar[str]
    default_steps: ClassVar[int] = 0
    advice: ClassVar[str]

    def __init__(self) -> None:
        self.tally = Tally()
        self._encoding: Encoding
        self._fitted: Any = None
        self._parameters: dict[str, Any] = {}

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
        """Encode the rows and train on them.

        Raises
        ------
        CohortError
            When there are too few rows to fill a batch.
        AugmentError
            When the library gives up.
        """
        refuse_few(len(features), self.name)
        frame = schema.conform(features)[schema.columns].reset_index(drop=True)
        self._encoding = Encoding.learn(frame, schema)
        encoded = self._encoding.encode(frame, rng(seed, "impute"))
        with seeded(derive(seed, "fit")):
            self._fitted = self._new(metadata_of(self._encoding), len(encoded), steps or self.default_steps)
            try:
                self._train(encoded, progress)
            except (ValueError, FloatingPointError) as error:
                raise AugmentError(f"{self.name} could not be fitted to {len(encoded)} rows: {error}") from error

    def _new(self, metadata: Any, rows: int, steps: int) -> Any:
        """A fresh SDV synthesizer; notes in ``_parameters`` how it is set."""
        raise NotImplementedError

    def _train(self, encoded: pd.DataFrame, progress: Progress) -> None:
        self._fitted.fit({TABLE: encoded})
        progress(1, 1, "fitted")

    def sample(
        self, n: int, where: Mapping[str, Any] | None = None, *, seed: int, keep: Keep | None = None
    ) -> pd.DataFrame:
        """Exactly ``n`` rows like ``where``, by rejection of the others.

        Raises
        ------
        Shortfall
            When the model makes too few of them.
        """
        self.tally = Tally()
        accept = acceptor(self._encoding.features, where, keep, self.tally)

        def draw(size: int, attempt: int) -> pd.DataFrame:
            with seeded(derive(seed, "sample", attempt)):
                return self._encoding.decode(self._draw(size).reset_index(drop=True))

        return self._encoding.features.conform(exactly(n, draw, accept, self.advice))

    def _draw(self, size: int) -> pd.DataFrame:
        _forget_seed(self._fitted)
        drawn: pd.DataFrame = self._fitted.sample(size)[TABLE]
        return drawn

    def parameters(self) -> dict[str, Any]:
        """Settings of the training and versions of the libraries."""
        return {**self._parameters, **{library: version(library) for library in ("sdv", "ctgan", "torch")}}

    def save(self, folder: Path) -> None:
        """Write SDV's own file (a pickle) and the encoding."""
        with atomic_file(folder / FITTED) as scratch:
            self._fitted.save(str(scratch))
        with atomic_file(folder / ENCODING) as scratch:
            scratch.write_text(self._encoding.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote. It unpickles: only from a folder whose hashes were checked."""
        from sdv.utils import load_synthesizer

        model = cls()
        with seeded(0):
            model._fitted = load_synthesizer(str(folder / FITTED))
        model._encoding = Encoding.model_validate_json((folder / ENCODING).read_bytes())
        return model


class Tvae(_Sdv):
    """Variational autoencoder of the CTGAN paper; it often makes no case of a rare condition at all."""

    name: ClassVar[str] = "tvae"
    default_steps: ClassVar[int] = 2000
    advice: ClassVar[str] = "use --model cart or ctgan, which can be asked for a condition"

    def _new(self, metadata: Any, rows: int, steps: int) -> Any:
        from sdv.single_table import TVAESynthesizer

        batch = min(LARGEST_BATCH, rows)
        epochs = ceil(steps / ceil(rows / batch))
        self._parameters = {"batch_size": batch, "epochs": epochs, "steps": epochs * ceil(rows / batch)}
        return TVAESynthesizer(
            metadata, enforce_min_max_values=False, enable_gpu=False, batch_size=batch, epochs=epochs
        )

    def _train(self, encoded: pd.DataFrame, progress: Progress) -> None:
        total = self._parameters["steps"]
        progress(0, total, "prepare columns")
        with counted_steps(lambda done: progress(done, total, "train")):
            self._fitted.fit({TABLE: encoded})


class GaussianCopula(_Sdv):
    """Gaussian copula over fitted marginals; there are no steps, it is fitted in one go."""

    name: ClassVar[str] = "gaussian-copula"
    advice: ClassVar[str] = "use --model cart or ctgan, which can be asked for a condition"

    def _new(self, metadata: Any, rows: int, steps: int) -> Any:
        from sdv.single_table import GaussianCopulaSynthesizer

        self._parameters = {"default_distribution": "beta"}
        return GaussianCopulaSynthesizer(metadata, enforce_min_max_values=False, default_distribution="beta")


def _forget_seed(fitted: Any) -> None:
    """Make SDV draw from the scope: it starts the first sample after a fit at a fixed seed of its own otherwise."""
    fitted._set_random_state(None)  # noqa: SLF001 - there is no public way


def metadata_of(encoding: Encoding) -> Any:
    """SDV's metadata, said outright: detection would take a column for an id or an e-mail address."""
    from sdv.metadata import Metadata

    discrete = set(encoding.discrete)
    columns = {name: {"sdtype": "categorical" if name in discrete else "numerical"} for name in encoding.columns}
    return Metadata.load_from_dict({"tables": {TABLE: {"columns": columns}}, "relationships": []})
