"""Trees one after the other: every column is drawn from patients who are alike in the columns before.

Sequential synthesis by classification and regression trees (Reiter 2005; Nowok, Raab & Dibben 2016, synthpop,
https://doi.org/10.18637/jss.v074.i11), for cohorts with few cases: each class of the condition has trees of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fhirsynth.augment.advice import refuse_few
from fhirsynth.augment.encode import Encoding
from fhirsynth.augment.protocol import Keep, Tally
from fhirsynth.augment.sampling import acceptor, exactly
from fhirsynth.augment.trees import Bools, Coding, Floats, Given, Growth, Ints
from fhirsynth.errors import AugmentError, Shortfall, UsageError
from fhirsynth.schema import Feature, FeatureSchema
from fhirsynth.seeds import derive, rng
from synthea_bridge.files import atomic_file
from synthea_bridge.progress import Progress

FLOOR: Final = 5
"""Patients in a leaf, as in synthpop: who of them lent a value is a guess of one in five."""
PENALTY: Final = 20.0
"""A chance split on the best of many columns explains about ten patients' worth. Without pruning 6 to 12 % of synthetic
patients were near copies beyond chance, with it 2 % at most; prediction lost up to .01 of AUROC and .02 of average
precision."""
SMOOTHING: Final = 3.0
"""With 50 cases among 650 patients the membership AUC of cases was .68 without smoothing, .61 at 1 and .60 at 3; that
of everybody .57, .56 and .54, where columns drawn each on its own give .53."""
LARGEST: Final = 1e15
"""Larger numbers are refused: a double has no digits after the point left there, and sums of squares go wrong."""
CLASSES: Final = (0, 1)
"""Without the condition and with it; rows that no definition settles belong to one of them."""
KEPT_TREES: Final = 400
"""Trees that are kept for orders of columns; the oldest are grown again when they are asked for."""
ROWS: Final = "rows.parquet"
SETTINGS: Final = "cart.json"
ADVICE: Final = "constraints and what was asked for may contradict each other; ask for fewer values at a time"


class Settings(BaseModel):
    """What can be chosen.

    Parameters
    ----------
    floor
        Patients that a leaf holds, at least (fewer only where fewer have the column at all).
    penalty, smoothing
        See :class:`~fhirsynth.augment.trees.Growth`.
    order
        Columns to put first after those that are asked for and the condition; the others follow in the order of the
        schema, which begins with demographics.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    floor: int = Field(FLOOR, ge=1)
    penalty: float = Field(PENALTY, ge=0, allow_inf_nan=False)
    smoothing: float = Field(SMOOTHING, ge=0, allow_inf_nan=False)
    order: tuple[str, ...] = ()

    @property
    def growth(self) -> Growth:
        """What trees need of it."""
        return Growth(self.floor, self.penalty, self.smoothing)


class _Kept(BaseModel):
    """What is kept beside the rows."""

    model_config = ConfigDict(frozen=True)

    settings: Settings
    seed: int


class Cart:
    """A tree for every column on those before it, conditioned exactly on whatever columns are asked for.

    The columns that are asked for are put first, and trees for that order are grown when it is first needed. For this
    the model holds its training rows, fitted or saved: keep it as they are kept.

    Each class of the condition has its own trees. With 25 to 100 cases among 600 or 3,600 others (cystic fibrosis and
    Addison's disease, before there was pruning), classifiers that learned from the rows reached an AUROC of .896, as
    from the real ones (.896); .863 with trees of both classes in common, .887 with cases weighted to count as much as
    the others. With pruning and smoothing it is .890, and the average precision .58 of the real rows' .61.
    """

    name: ClassVar[str] = "cart"
    default_steps: ClassVar[int] = 0

    def __init__(
        self, *, floor: int = FLOOR, penalty: float = PENALTY, smoothing: float = SMOOTHING, order: Sequence[str] = ()
    ) -> None:
        self.tally = Tally()
        try:
            self._settings = Settings(floor=floor, penalty=penalty, smoothing=smoothing, order=tuple(order))
        except ValidationError as error:
            first = error.errors()[0]
            raise UsageError(f"the model '{self.name}', {first['loc'][0]}: {first['msg'].lower()}") from error
        self._schema: FeatureSchema
        self._rows: pd.DataFrame
        self._seed = 0
        self._codings: dict[str, Coding] = {}
        self._columns: dict[str, Floats] = {}
        self._follows: dict[str, str] = {}
        self._grown: dict[tuple[str, ...], dict[int, Given]] = {}

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
        """Grow the trees of the usual order; ``steps`` and ``prior`` mean nothing here.

        Raises
        ------
        CohortError
            When there are fewer than 20 rows.
        UsageError
            When the order names a column that the schema lacks.
        AugmentError
            When a number is infinite, or larger than 1e15.
        """
        refuse_few(len(features), self.name)
        for name in self._settings.order:
            schema[name]  # raises when there is no such column
        self._take(schema.conform(features)[schema.columns].reset_index(drop=True), schema, seed)
        order = self._ordered(())
        for number, name in enumerate(order):
            progress(number, len(order), "grow trees")
            self._trees(name, order[:number])
        progress(len(order), len(order), "grow trees")

    def _take(self, rows: pd.DataFrame, schema: FeatureSchema, seed: int) -> None:
        for feature in schema.of_kind("number", "count"):
            if (rows[feature.name].abs() > LARGEST).any():
                raise AugmentError(
                    f"column {feature.name} holds numbers beyond {LARGEST:.0e}, or infinite ones; leave them empty, "
                    "or cut them"
                )
        self._rows, self._schema, self._seed, self._grown = rows, schema, seed, {}
        self._codings = {f.name: Coding.learn(rows[f.name], f) for f in schema.features}
        self._columns = {name: coding.encode(rows[name]) for name, coding in self._codings.items()}
        follows = Encoding.learn(rows, schema).follows
        self._follows = {column: count for column, count in follows.items() if rows[count].notna().all()}

    def _ordered(self, given: Collection[str]) -> list[str]:
        """All columns in the order in which they are made: what is given, the condition, then as it was chosen."""
        condition = [self._schema.condition.column] if self._schema.condition is not None else []
        order = dict.fromkeys([*condition, *self._settings.order, *self._schema.columns])
        return sorted(order, key=lambda name: name not in given)

    # ---------------------------------------------------------------- trees

    def _trees(self, name: str, before: list[str]) -> dict[int, Given]:
        """The leaves of ``name`` by group of rows; see :meth:`_groups`."""
        key = (name, *before)
        if key not in self._grown:
            if len(self._grown) >= KEPT_TREES:
                self._grown.pop(next(iter(self._grown)))
            self._grown[key] = self._grow(name, before)
        return self._grown[key]

    def _grow(self, name: str, before: list[str]) -> dict[int, Given]:
        """Trees for each class; common ones, which may tell them apart, where a class cannot fill a leaf."""
        groups = self._groups(name, before, self._columns, len(self._rows))
        if all((groups == group).sum() >= self._settings.floor for group in CLASSES):
            return {group: self._given(name, before, groups == group) for group in CLASSES}
        inside = groups >= 0
        return dict.fromkeys(CLASSES, self._given(name, before, inside)) if inside.any() else {}

    def _given(self, name: str, before: list[str], rows: Bools) -> Given:
        columns = {one: self._columns[one][rows] for one in (name, *before)}
        return Given.grow(name, before, columns, self._codings, self._settings.growth, derive(self._seed, "tree", name))

    def _groups(self, name: str, before: Collection[str], columns: Mapping[str, Floats], size: int) -> Ints:
        """Whose tree makes ``name``: 1 of those with the condition, 0 of others; -1 where a definition settles it."""
        groups = np.zeros(size, dtype=np.int64)
        if self._schema.condition is not None and self._schema.condition.column in before:
            groups[columns[self._schema.condition.column] == 1] = 1
        for column, count in self._follows.items():
            if name == column and count in before:
                groups[columns[count] == 0] = -1
            elif name == count and column in before:
                groups[np.isnan(columns[column])] = -1
        return groups

    # ---------------------------------------------------------------- rows

    def sample(
        self, n: int, where: Mapping[str, Any] | None = None, *, seed: int, keep: Keep | None = None
    ) -> pd.DataFrame:
        """Exactly ``n`` rows that have the values of ``where``, of any columns, as they were asked for.

        Raises
        ------
        UsageError
            When ``where`` names a column or asks for a value that the schema does not permit.
        Shortfall
            When no patient to learn from has such a value (a number: when all are below, or all above), or ``keep``
            lets too few rows through.
        """
        self.tally = Tally()
        given = self._codes(n, where or {})
        asked = {name: self._codings[name].decode(np.array([code])).iloc[0] for name, code in given.items()}
        accept = acceptor(self._schema, asked, keep, self.tally)
        rows = exactly(n, lambda size, attempt: self._draw(size, given, rng(seed, self.name, attempt)), accept, ADVICE)
        return self._schema.conform(rows)

    def _draw(self, size: int, given: Mapping[str, float], random: np.random.Generator) -> pd.DataFrame:
        order, made = self._ordered(given), dict[str, Floats]()
        for number, name in enumerate(order):
            made[name] = (
                np.full(size, given[name]) if name in given else self._column(name, order[:number], made, size, random)
            )
        return pd.DataFrame({name: self._codings[name].decode(made[name]) for name in self._schema.columns})

    def _column(
        self, name: str, before: list[str], made: Mapping[str, Floats], size: int, random: np.random.Generator
    ) -> Floats:
        groups, trees = self._groups(name, before, made, size), self._trees(name, before)
        codes = np.full(size, np.nan if name in self._follows else 0.0)
        for group, tree in trees.items():
            rows = groups == group
            columns = {one: made[one][rows] for one in before}
            codes[rows] = tree.draw(columns, self._codings, int(rows.sum()), random)
        # What follows is given the value that is handed out, not one with more digits.
        return codes.round(self._schema[name].decimals) if self._codings[name].measured else codes

    def _codes(self, n: int, where: Mapping[str, Any]) -> dict[str, float]:
        """The codes of what is asked for, once it is known that there is something to learn it from."""
        given = {name: self._code(n, self._schema[name], value) for name, value in where.items()}
        for column, count in self._follows.items():
            if column in given and given.get(count) == 0:
                raise Shortfall(n, 0, f"{column} is missing wherever {count} is 0; ask for one of the two")
        return given

    def _code(self, n: int, feature: Feature, value: Any) -> float:
        _check_permitted(feature, value)
        coding = self._codings[feature.name]
        single = pd.Series([value], dtype=self._schema.dtypes[feature.name])
        code, known = float(coding.encode(single)[0]), coding.known
        code = float(np.round(code, feature.decimals)) if coding.measured else code
        if not len(known):
            raise Shortfall(n, 0, f"no patient to learn from has a value of {feature.name}; leave it out")
        if coding.measured:
            if not known[0] <= code <= known[-1]:
                raise Shortfall(
                    n, 0, f"patients to learn from have {feature.name} from {known[0]:g} to {known[-1]:g}, not {code:g}"
                )
        elif code not in known:
            raise Shortfall(n, 0, f"no patient to learn from has {feature.name} = {value}; give data that has some")
        return code

    def parameters(self) -> dict[str, Any]:
        """Settings, the order of columns without any asked for, the rows, and the version of scikit-learn."""
        return {
            **self._settings.model_dump(mode="json"),
            "order": self._ordered(()),
            "rows": len(self._rows),
            "scikit-learn": version("scikit-learn"),
        }

    def save(self, folder: Path) -> None:
        """Write the rows and the settings: the model holds its training data, and grows the same trees from it."""
        self._schema.save(folder / "schema.json")
        with atomic_file(folder / ROWS) as scratch:
            self._rows.to_parquet(scratch, index=False)
        with atomic_file(folder / SETTINGS) as scratch:
            kept = _Kept(settings=self._settings, seed=self._seed)
            scratch.write_text(kept.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote; trees are grown when they are needed. Nothing in it is code."""
        kept = _Kept.model_validate_json((folder / SETTINGS).read_bytes())
        model, schema = cls(**kept.settings.model_dump()), FeatureSchema.load(folder / "schema.json")
        model._take(schema.conform(pd.read_parquet(folder / ROWS)), schema, kept.seed)
        return model


def _check_permitted(feature: Feature, value: Any) -> None:
    """Refuse a value that a row of the schema cannot hold, as it would never be met."""
    permitted = {
        "flag": isinstance(value, bool | np.bool_),
        "category": isinstance(value, str) and (not feature.categories or value in feature.categories),
    }.get(feature.kind)
    if permitted is None:
        permitted = _is_number(value) and _within(feature, float(value))
    if not permitted:
        raise UsageError(f"where: {feature.name} cannot be {value!r}; ask for {_wanted(feature)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _within(feature: Feature, value: float) -> bool:
    if not abs(value) <= LARGEST or not np.isclose(value, np.round(value, feature.decimals), rtol=1e-12, atol=0):
        return False
    return (feature.minimum is None or value >= feature.minimum) and (
        feature.maximum is None or value <= feature.maximum
    )


def _wanted(feature: Feature) -> str:
    if feature.kind == "flag":
        return "True or False"
    if feature.kind == "category":
        return f"one of: {', '.join(feature.categories)}" if feature.categories else "a text"
    ends = [f"at least {feature.minimum:g}"] * (feature.minimum is not None)
    ends += [f"at most {feature.maximum:g}"] * (feature.maximum is not None)
    digits = f"a number of {feature.decimals} decimals" if feature.decimals else "a whole number"
    return " and ".join([digits, *ends])
