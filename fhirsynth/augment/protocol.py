"""What every generator can do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import pandas as pd

from fhirsynth.schema import FeatureSchema
from synthea_bridge.progress import Progress

Keep = Callable[[pd.DataFrame], pd.DataFrame]
"""A filter (it may also repair) on drawn rows: what it drops is drawn again."""


@dataclass(slots=True)
class Tally:
    """What one call of ``sample`` drew and threw away.

    Parameters
    ----------
    drawn
        Rows that the model made.
    unasked
        Rows that were not what ``where`` asked for.
    bounds
        Values outside their declared bounds, by ``bounds:COLUMN``; such a row is dropped.
    """

    drawn: int = 0
    unasked: int = 0
    bounds: Counter[str] = field(default_factory=Counter)


class Synthesizer(Protocol):
    """A generator of feature rows."""

    name: ClassVar[str]
    default_steps: ClassVar[int]
    tally: Tally

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
        """Learn from ``features``, and from nothing else but a public ``prior``.

        Parameters
        ----------
        features
            Rows of ``schema``; ``patient_id`` is ignored.
        steps
            Training length in generator steps, where the model has such; None: :attr:`default_steps`.
        prior
            Rows of ``schema`` that are nobody's (simulated patients), to learn from before; only for
            models in :data:`fhirsynth.augment.registry.TAKE_PRIOR`, otherwise it is None.
        """
        ...

    def sample(
        self, n: int, where: Mapping[str, Any] | None = None, *, seed: int, keep: Keep | None = None
    ) -> pd.DataFrame:
        """Exactly ``n`` rows of the schema, within its bounds, the same for the same seed.

        Raises
        ------
        fhirsynth.errors.Shortfall
            When fewer could be made; it says how many.
        """
        ...

    def parameters(self) -> dict[str, Any]:
        """What the model was fitted with, as JSON values."""
        ...

    def save(self, folder: Path) -> None:
        """Write into an existing folder; see :mod:`fhirsynth.augment.store` for what makes it safe to read back."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote, from a folder that is known to be unaltered."""
        ...
