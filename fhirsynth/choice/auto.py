"""The model ``auto``: the others are tried on parts of the training patients, and the one that does best is fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import pandas as pd

from fhirsynth.augment.protocol import Keep, Synthesizer, Tally
from fhirsynth.augment.registry import MODELS, TAKE_PRIOR, model_class
from fhirsynth.choice.decision import Choice, Tried, choose
from fhirsynth.choice.trial import SETS, SPLITS, Trial
from fhirsynth.errors import AugmentError, CohortError, UsageError
from fhirsynth.schema import FeatureSchema
from fhirsynth.seeds import derive
from synthea_bridge.files import read_json, write_json
from synthea_bridge.progress import Progress

CANDIDATES: Final = ("cart", "gaussian-copula", "smote-nc", "ctgan")
"""In the order in which ties are decided, from the simplest that learns. Left out: ``tvae``, which often makes no case
of a rare condition, and the comparators."""

NEVER: Final = ("auto", "private")
"""What cannot be a candidate. A choice that looks at the training data is covered by no guarantee of differential
privacy, whatever model is chosen by it."""

CHOICE: Final = "auto.json"
FEWEST_MADE: Final = 10
"""Rows that the chosen model has to make once it is fitted to everybody: where cases are rarer than in the trial, one
that cannot be asked for them may run out of draws."""


class Auto:
    """The model that serves best among several, by utility and privacy on training patients that were kept from it.

    Each candidate learns from two thirds of the training rows, three times, and is judged by the last third: by what
    its cases teach beside as many real ones, and by whether its rows give away who was learned from. One that remembers
    patients is out (see :mod:`fhirsynth.choice.decision`). The one that is chosen is fitted to all rows.

    Parameters
    ----------
    candidates
        Names of models, in the order in which ties are decided; None: :data:`CANDIDATES`.

    Raises
    ------
    UsageError
        When there is no such model to choose.
    """

    name: ClassVar[str] = "auto"
    default_steps: ClassVar[int] = 0

    def __init__(self, candidates: Sequence[str] | None = None) -> None:
        candidates = CANDIDATES if candidates is None else candidates
        possible = [name for name in MODELS if name not in NEVER]
        if not candidates or not set(candidates) <= set(possible):
            raise UsageError(
                f"auto cannot choose among {', '.join(candidates) or 'no models'}; give some of: {', '.join(possible)}"
            )
        self.tally = Tally()
        self._candidates = tuple(dict.fromkeys(candidates))
        self._chosen: Synthesizer
        self._choice: dict[str, Any]

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
        """Try the candidates, choose one, and fit it to all rows.

        ``steps`` and ``prior`` are passed on to those that have steps or take a prior; a trial takes 1,000 steps at
        most.

        Raises
        ------
        CohortError
            When there are too few rows to try anything on parts of them.
        AugmentError
            When no candidate is left: each failed, or remembers patients.
        """
        rows = schema.conform(features)[schema.columns].reset_index(drop=True)
        trial = Trial.of(rows, schema, derive(seed, "trial"))
        total = SPLITS * len(self._candidates)
        tried = [
            trial.tried(name, prior, steps, _from(SPLITS * place, total, progress))
            for place, name in enumerate(self._candidates)
        ]
        while True:
            choice = choose(tried, trial.judge)
            try:
                self._chosen = _fitted(choice.name, rows, schema, trial, seed, steps, progress, prior)
                break
            except (AugmentError, CohortError) as error:
                tried = [replace(one, reason=f"failed: {error}") if one.name == choice.name else one for one in tried]
        self._choice = _record(choice, tried, trial, prior)

    def sample(
        self, n: int, where: Mapping[str, Any] | None = None, *, seed: int, keep: Keep | None = None
    ) -> pd.DataFrame:
        """What the chosen model makes."""
        rows = self._chosen.sample(n, where, seed=seed, keep=keep)
        self.tally = self._chosen.tally
        return rows

    def parameters(self) -> dict[str, Any]:
        """The parameters of the chosen model, and beside them the choice, its reason and the figures of all candidates.

        ``utility`` with ``low`` and ``high`` is the share of what real rows reach (of ``figure``, above chance),
        ``privacy`` the membership AUC, ``verdict`` that of the trilemma; ``reason`` is there where a model is out.
        """
        return {**self._chosen.parameters(), **self._choice}

    def save(self, folder: Path) -> None:
        """Write the chosen model, and beside it which one it is."""
        self._chosen.save(folder)
        write_json(folder / CHOICE, self._choice)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote."""
        choice = read_json(folder / CHOICE)
        model = cls([choice["chosen"]])
        model._choice = choice
        model._chosen = model_class(model._choice["chosen"]).load(folder)
        return model


def _from(first: int, total: int, progress: Progress) -> Progress:
    """The progress of a part that begins at ``first`` of ``total``."""
    return lambda done, _=None, note="": progress(first + done, total, note)


def _fitted(
    name: str,
    rows: pd.DataFrame,
    schema: FeatureSchema,
    trial: Trial,
    seed: int,
    steps: int | None,
    progress: Progress,
    prior: pd.DataFrame | None,
) -> Synthesizer:
    """The model, fitted to all rows, and seen to make what was asked of it in the trial."""
    model = model_class(name)()
    taken = prior if name in TAKE_PRIOR else None
    model.fit(rows, schema, seed=derive(seed, "chosen"), steps=steps, progress=progress, prior=taken)
    model.sample(FEWEST_MADE, trial.judge.where, seed=derive(seed, "look"))
    return model


def _record(choice: Choice, tried: Sequence[Tried], trial: Trial, prior: pd.DataFrame | None) -> dict[str, Any]:
    unused = prior is not None and choice.name not in TAKE_PRIOR
    return {
        "chosen": choice.name,
        "why": f"{choice.why}; the prior was not used, as {choice.name} learns from none" if unused else choice.why,
        "trial": {
            "figure": "two-sample test" if trial.target is None else "average precision",
            "rows": trial.rows,
            "splits": SPLITS,
            "sets": SETS,
        },
        "candidates": [one.entry(trial.judge) for one in tried],
    }
