"""SMOTE-NC: rows between a row and one of its neighbours; the usual remedy for few cases, and a comparator.

Source: Chawla et al. (2002), https://doi.org/10.1613/jair.953, as imbalanced-learn computes it. Nothing is learned but
who is near to whom, and every made row lies between two real ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from fhirsynth.augment.baselines import Bootstrap
from fhirsynth.augment.encode import Encoding
from fhirsynth.augment.protocol import Keep
from fhirsynth.augment.sampling import matches
from fhirsynth.errors import Shortfall
from fhirsynth.schema import Feature, FeatureSchema

NEIGHBOURS: Final = 5
"""As in the paper."""

FEWEST: Final = 2
"""Rows that something can lie between."""

LARGEST: Final = 5_000
"""Rows that one draw interpolates among: all distances between them are computed. Of more, each draw takes others."""

Floats = npt.NDArray[np.float64]


class SmoteNc(Bootstrap):
    """Real rows, interpolated among those that are asked for, and within each class where the class is not asked for.

    The number of neighbours is 5, or one less than there are rows. A class of a single row has nothing to lie between:
    it is interpolated together with the other.
    """

    name: ClassVar[str] = "smote-nc"

    def sample(
        self, n: int, where: Mapping[str, Any] | None = None, *, seed: int, keep: Keep | None = None
    ) -> pd.DataFrame:
        """Exactly ``n`` rows, each between two of the rows that ``where`` asks for.

        Raises
        ------
        Shortfall
            When fewer than two rows are like that, or too few of what is made respects bounds and constraints.
        """
        base = int(matches(self._rows, where).sum())
        if base < FEWEST:
            raise Shortfall(
                n,
                0,
                f"{self.name} needs {FEWEST} rows of the training data that are like that and found {base}; "
                "give more data, or ask for less",
            )
        return super().sample(n, where, seed=seed, keep=keep)

    def _draw(self, pool: pd.DataFrame, size: int, random: np.random.Generator) -> pd.DataFrame:
        if len(pool) > LARGEST:
            pool = pool.iloc[np.sort(random.choice(len(pool), LARGEST, replace=False))]
        follows = Encoding.learn(self._rows, self._schema).follows
        parts = _classes(pool, self._schema)
        counts = random.multinomial(size, [len(part) / len(pool) for part in parts])
        made = [
            interpolate(part, pool.drop(part.index), int(count), self._schema, random, follows)
            for part, count in zip(parts, counts, strict=True)
            if count
        ]
        return pd.concat(made, ignore_index=True).iloc[random.permutation(size)].reset_index(drop=True)

    def parameters(self) -> dict[str, Any]:
        """Rows, neighbours, and the version of the library."""
        return {**super().parameters(), "neighbours": NEIGHBOURS, "imbalanced-learn": version("imbalanced-learn")}


def interpolate(
    rows: pd.DataFrame,
    others: pd.DataFrame,
    size: int,
    schema: FeatureSchema,
    random: np.random.Generator,
    follows: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """``size`` rows, between one of ``rows`` and a neighbour of it for numbers, the neighbours' commonest value else.

    Numbers are in standard deviations of ``rows``, gaps are filled with their median, and whether a number is missing
    is a category of its own, from which gaps are made again; counts are rounded.

    Parameters
    ----------
    rows, others
        What is interpolated, two rows at least, and rows of the other class: where there are no numbers, categories
        are as far apart as the classes differ in them.
    size
        How many rows to make, at least 1.
    schema
        The columns of both and of the result, in its order.
    random
        Decides which rows, which neighbours, and where between them.
    follows
        Column → the count that it is missing with where that is 0, and only there; see
        :data:`fhirsynth.augment.encode.FOLLOWS`.
    """
    # The library wants two classes; without another one a row stands for it, of which nothing is used.
    table = _Table.of(rows, others if len(others) else rows.iloc[:1], schema)
    sampler = _sampler(len(table.numbers), table.width, min(NEIGHBOURS, len(rows) - 1), len(rows) + size, random)
    labels = np.arange(len(table.values)) < len(rows)
    resampled, _ = sampler.fit_resample(table.values, labels.astype(np.int64))
    return table.frame(np.asarray(resampled[len(labels) :], dtype=np.float64), follows or {})


def _classes(pool: pd.DataFrame, schema: FeatureSchema) -> list[pd.DataFrame]:
    """The rows by class, if there are two of each; otherwise all together."""
    if schema.condition is None:
        return [pool]
    cases = pool[schema.condition.column].fillna(value=False).astype(bool)
    parts = [part for part in (pool[cases], pool[~cases]) if len(part)]
    return parts if min(map(len, parts)) >= FEWEST else [pool]


def _sampler(numeric: int, width: int, neighbours: int, total: int, random: np.random.Generator) -> Any:
    from imblearn.over_sampling import SMOTEN, SMOTENC

    options: dict[str, Any] = {
        "k_neighbors": neighbours,
        "sampling_strategy": {1: total},
        "random_state": int(random.integers(2**32)),
    }
    # SMOTE-NC refuses tables without numbers; its authors' variant for categories alone is SMOTE-N.
    return SMOTENC(list(range(numeric, width)), **options) if numeric else SMOTEN(**options)


@dataclass(frozen=True, slots=True)
class _Table:
    """Rows as SMOTE-NC takes them: scaled numbers, then whether each is missing, then codes of flags and categories."""

    schema: FeatureSchema
    values: Floats
    numbers: tuple[Feature, ...]
    centres: Floats
    scales: Floats
    levels: dict[str, Any]

    @property
    def width(self) -> int:
        return int(self.values.shape[1])

    @classmethod
    def of(cls, rows: pd.DataFrame, others: pd.DataFrame, schema: FeatureSchema) -> _Table:
        both = pd.concat([rows, others], ignore_index=True)
        numeric = schema.of_kind("number", "count")
        raw = np.column_stack([np.zeros((len(both), 0)), *(_numbers(both[feature.name]) for feature in numeric)])
        centres, scales = _centres(raw[: len(rows)])
        scaled = (np.where(np.isnan(raw), centres, raw) - centres) / scales
        coded = {
            feature.name: pd.factorize(both[feature.name], use_na_sentinel=False)
            for feature in schema.of_kind("flag", "category")
        }
        values = np.column_stack([scaled, np.isnan(raw), *(codes for codes, _ in coded.values())])
        levels = {name: found for name, (_, found) in coded.items()}
        return cls(schema, values, tuple(numeric), centres, scales, levels)

    def frame(self, values: Floats, follows: Mapping[str, str]) -> pd.DataFrame:
        """Rows of the schema again."""
        count = len(self.numbers)
        raw = values[:, :count] * self.scales + self.centres
        missing = values[:, count : 2 * count] > 0.5
        places = {feature.name: index for index, feature in enumerate(self.numbers)}
        for column, of in follows.items():
            missing[:, places[column]] = np.round(raw[:, places[of]]) == 0
        raw = np.where(missing, np.nan, raw)
        columns: dict[str, Any] = {
            # A fraction of a visit would tell made rows from real ones.
            feature.name: np.round(raw[:, index]) if feature.kind == "count" else raw[:, index]
            for index, feature in enumerate(self.numbers)
        }
        for index, (name, levels) in enumerate(self.levels.items()):
            columns[name] = levels.take(np.rint(values[:, 2 * count + index]).astype(np.int64))
        return self.schema.conform(pd.DataFrame(columns))


def _numbers(series: pd.Series[Any]) -> Floats:
    """A number or count as float64, missing as NaN."""
    values: Floats = series.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan).astype(np.float64)
    return values


def _centres(raw: Floats) -> tuple[Floats, Floats]:
    """Median and standard deviation of what is known of each column; 0 and 1 where nothing is, or nothing varies."""
    known = [column[~np.isnan(column)] for column in raw.T]
    centres = np.array([np.median(column) if len(column) else 0.0 for column in known])
    spreads = np.array([column.std() if len(column) else 0.0 for column in known])
    return centres, np.where(spreads > 1e-9 * np.maximum(1.0, np.abs(centres)), spreads, 1.0)
