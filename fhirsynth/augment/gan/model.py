"""The model ``ctgan``: fit on rows and, if given, on a public prior before; made row by row for the class asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
import pandas as pd
import torch
from pydantic import BaseModel, ConfigDict

from fhirsynth.augment._scope import seeded
from fhirsynth.augment.advice import refuse_few
from fhirsynth.augment.gan.columns import Columns
from fhirsynth.augment.gan.settings import PAC, Settings
from fhirsynth.augment.gan.stopping import CHECK, Bools, best, held_back, usefulness
from fhirsynth.augment.gan.training import Matrix, Networks, Pool
from fhirsynth.augment.protocol import Keep, Tally
from fhirsynth.augment.sampling import acceptor, exactly
from fhirsynth.schema import FeatureSchema
from fhirsynth.seeds import derive, rng
from synthea_bridge.files import atomic_file
from synthea_bridge.progress import Progress

PRIOR_STEPS: Final = 0.5
"""Steps on the prior alone, beside those that follow."""
PRIOR_SHARE: Final = 0.25
"""Of every batch after that: what the prior taught must not be forgotten while few cases are learned."""
Look = Callable[[Networks, int], None]
WEIGHTS: Final = "weights.pt"
DESCRIPTION: Final = "ctgan.json"
ADVICE: Final = "train longer with --steps, or use --model cart"


class _Fitted(BaseModel):
    """What is kept beside the weights."""

    model_config = ConfigDict(frozen=True)

    settings: Settings
    columns: Columns
    case_share: float
    parameters: dict[str, Any]


class Ctgan:
    """Conditional tabular GAN (Xu et al. 2019, https://arxiv.org/abs/1907.00503) for cohorts with few cases.

    The networks are the library's. What differs from it, and what each difference is worth, is in
    :class:`~fhirsynth.augment.gan.settings.Settings`; the condition is asked for exactly, other columns by rejection.
    """

    name: ClassVar[str] = "ctgan"
    default_steps: ClassVar[int] = 3000

    def __init__(self, settings: Settings | None = None) -> None:
        self.tally = Tally()
        self._settings = settings or Settings()
        self._fitted: _Fitted
        self._networks: Networks

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
        """Train on the rows, and on those of the prior before and beside them.

        Raises
        ------
        CohortError
            When there are too few rows.
        """
        refuse_few(len(features), self.name)
        data = _Data.of(features, prior, schema, self._settings, seed)
        taken = steps or self.default_steps
        with seeded(derive(seed, "fit")):
            if self._settings.stopping:
                taken = self._enough(data, taken, seed, progress)
            self._networks = _trained(data, self._settings, taken, rng(seed, "batches"), progress)
        self._fitted = _Fitted(
            settings=self._settings,
            columns=data.columns,
            case_share=float(data.cases.mean()),
            parameters={"steps": taken, "pac": PAC, "prior_rows": len(data.before)},
        )

    def sample(
        self, n: int, where: Mapping[str, Any] | None = None, *, seed: int, keep: Keep | None = None
    ) -> pd.DataFrame:
        """Exactly ``n`` rows like ``where``: told to the network for the condition, by rejection for other columns.

        Raises
        ------
        Shortfall
            When the model makes too few of them.
        """
        self.tally = Tally()
        schema = self._fitted.columns.encoding.features
        accept = acceptor(schema, where, keep, self.tally)
        told = (where or {}).get(schema.condition.column) if schema.condition is not None else False

        def draw(size: int, attempt: int) -> pd.DataFrame:
            random = rng(seed, "class", attempt)
            cases = random.random(size) < self._fitted.case_share if told is None else np.full(size, bool(told))
            with seeded(derive(seed, "sample", attempt)):
                return self.make(cases)

        return schema.conform(exactly(n, draw, accept, ADVICE))

    def make(self, cases: Bools) -> pd.DataFrame:
        """One row for each of ``cases``, as the network makes it: nothing is rejected."""
        return self._fitted.columns.decode(self._networks.make(cases), cases)

    def parameters(self) -> dict[str, Any]:
        """Settings of the training and versions of the libraries."""
        libraries = {library: version(library) for library in ("ctgan", "torch")}
        return {**self._fitted.settings.model_dump(), **self._fitted.parameters, **libraries}

    def save(self, folder: Path) -> None:
        """Write the weights (tensors alone, no code) and how columns are encoded (quantiles of the training data)."""
        with atomic_file(folder / WEIGHTS) as scratch:
            torch.save({"now": self._networks.generator.state_dict(), "average": self._networks.average}, scratch)
        with atomic_file(folder / DESCRIPTION) as scratch:
            scratch.write_text(self._fitted.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote."""
        fitted = _Fitted.model_validate_json((folder / DESCRIPTION).read_bytes())
        model = cls(fitted.settings)
        model._fitted = fitted
        with seeded(0):
            model._networks = Networks(len(fitted.columns.scales), fitted.columns.choices, fitted.settings)
        kept = torch.load(folder / WEIGHTS, weights_only=True)
        model._networks.generator.load_state_dict(kept["now"])
        model._networks.average = kept["average"]
        return model

    def _enough(self, data: _Data, budget: int, seed: int, progress: Progress) -> int:
        """The number of steps, up to ``budget``, that serves rows best which are held back."""
        held = held_back(data.cases, rng(seed, "held"))
        shown = replace(data, rows=data.rows[~held], cases=data.cases[~held])
        scores: dict[int, float] = {}

        def look(networks: Networks, step: int) -> None:
            if step % CHECK == 0 or step == budget:
                made = networks.make(shown.cases)
                scores[step] = usefulness(made, shown.cases, data.rows[held], data.cases[held])

        _trained(shown, self._settings, budget, rng(seed, "trial"), progress, look)
        return best(scores)


@dataclass(frozen=True, slots=True)
class _Data:
    """What is learned from, as matrices: rows, who of them has the condition, and the same of the prior."""

    columns: Columns
    rows: Matrix
    cases: Bools
    before: Matrix
    before_cases: Bools

    @classmethod
    def of(
        cls, features: pd.DataFrame, prior: pd.DataFrame | None, schema: FeatureSchema, settings: Settings, seed: int
    ) -> _Data:
        rows = schema.conform(features)[schema.columns].reset_index(drop=True)
        before = schema.conform(rows[:0] if prior is None else prior)[schema.columns].reset_index(drop=True)
        columns = Columns.learn(pd.concat([rows, before], ignore_index=True), schema, settings, seed)
        encoded = columns.encode(pd.concat([rows, before], ignore_index=True), rng(seed, "encode"))
        cases = [_cases(part, schema) for part in (rows, before)]
        return cls(columns, encoded[: len(rows)], cases[0], encoded[len(rows) :], cases[1])

    def pools(self, settings: Settings) -> list[Pool]:
        """The rows by class and origin, with their shares of a batch."""
        share = 0.5 if settings.balanced and settings.told and 0 < self.cases.mean() < 1 else float(self.cases.mean())
        found = []
        for case, of_class in ((True, share), (False, 1 - share)):
            own, before = self.rows[self.cases == case], self.before[self.before_cases == case]
            lent = PRIOR_SHARE if len(before) and len(own) else float(len(before) > 0)
            found += [Pool(own, case, of_class * (1 - lent)), Pool(before, case, of_class * lent)]
        return [pool for pool in found if pool.share > 0]


def _trained(
    data: _Data,
    settings: Settings,
    steps: int,
    random: np.random.Generator,
    progress: Progress,
    look: Look | None = None,
) -> Networks:
    """Networks after ``steps`` steps, and half as many on the prior before, if there is one."""
    networks = Networks(len(data.columns.scales), data.columns.choices, settings)
    first = round(PRIOR_STEPS * steps) if len(data.before) else 0
    total = first + steps
    if first:
        pools = [
            Pool(data.before[data.before_cases == case], case, float((data.before_cases == case).mean()))
            for case in (True, False)
            if (data.before_cases == case).any()
        ]
        networks.train(pools, first, random, lambda step: progress(step, total, "learn from the prior"))
        networks.begin_anew(untold=not data.before_cases.any())

    def told(step: int) -> None:
        progress(first + step, total, "train")
        if look is not None:
            look(networks, step)

    networks.train(data.pools(settings), steps, random, told)
    return networks


def _cases(rows: pd.DataFrame, schema: FeatureSchema) -> Bools:
    if schema.condition is None:
        return np.zeros(len(rows), dtype=np.bool_)
    return rows[schema.condition.column].fillna(value=False).to_numpy(dtype=np.bool_)
