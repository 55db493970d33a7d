"""Clinical and structural constraints: data in ``constraints.toml``, applied to the rows of every generator alike."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from fhirsynth.errors import UsageError

ENFORCED_FROM: Final = 0.995
"""Share of the training rows that must satisfy a constraint for it to be enforced: a generator must not be forbidden
what the patients it learned from do. Half a percent is left for errors of record."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Test(_Frozen):
    """A test of one column, with exactly one operator."""

    __test__ = False  # not for pytest

    column: str
    equals: bool | float | str | None = None
    at_least: float | None = None
    at_most: float | None = None
    missing: bool | None = None

    @model_validator(mode="after")
    def _one_operator(self) -> Self:
        if len(self._operators) != 1:
            raise ValueError("a test has exactly one of: equals, at_least, at_most, missing")
        return self

    @property
    def _operators(self) -> dict[str, Any]:
        return self.model_dump(exclude={"column"}, exclude_none=True)

    def fits(self, frame: pd.DataFrame) -> bool:
        """Whether the column is there, and holds numbers where a number is its bound."""
        if self.column not in frame.columns:
            return False
        return (self.at_least is None and self.at_most is None) or pd.api.types.is_numeric_dtype(frame[self.column])

    def holds(self, frame: pd.DataFrame, *, if_missing: bool) -> pd.Series[bool]:
        """Which rows pass; ``if_missing`` is the answer where the value is missing."""
        values = frame[self.column]
        if self.missing is not None:
            return values.isna() == self.missing
        if self.at_least is not None:
            result = values >= self.at_least
        elif self.at_most is not None:
            result = values <= self.at_most
        else:
            result = values == self.equals
        return result.astype("boolean").mask(values.isna(), if_missing).astype(bool)

    def satisfy(self, frame: pd.DataFrame, rows: pd.Series[bool]) -> pd.DataFrame:
        """``frame`` with the value set in ``rows`` so that the test holds (not possible for ``missing = false``)."""
        value = pd.NA if self.missing else next(iter(self._operators.values()))
        column = frame[self.column]
        if value is pd.NA:
            return frame.assign(**{self.column: column.mask(rows)})
        return frame.assign(**{self.column: column.mask(rows, value).astype(column.dtype)})


class Constraint(_Frozen):
    """One constraint; see ``constraints.toml`` for the fields."""

    id: str
    title: str
    when: tuple[Test, ...] = ()
    then: Test
    action: Literal["reject", "repair"]
    source: str

    @model_validator(mode="after")
    def _can_be_repaired(self) -> Self:
        if self.action == "repair" and self.then.missing is False:
            raise ValueError("a missing value cannot be repaired; use action = 'reject'")
        return self

    @property
    def columns(self) -> set[str]:
        """The columns that it speaks of."""
        return {self.then.column, *(test.column for test in self.when)}

    def broken(self, frame: pd.DataFrame) -> pd.Series[bool]:
        """Which rows break it."""
        applies = pd.Series(data=True, index=frame.index)
        for test in self.when:
            applies &= test.holds(frame, if_missing=False)
        return applies & ~self.then.holds(frame, if_missing=True)


class ConstraintSet(_Frozen):
    """Constraints in the order in which they are applied.

    Parameters
    ----------
    enforced
        Those that :meth:`apply` applies.
    switched_off
        Those that the training data breaks: id → share of its rows that satisfy it.
    not_applicable
        Ids of those that speak of columns which are not there, or hold words where a number is asked for.
    """

    enforced: tuple[Constraint, ...]
    switched_off: dict[str, float] = {}
    not_applicable: tuple[str, ...] = ()

    @classmethod
    def load(cls, extra: Path | None = None) -> ConstraintSet:
        """Our constraints, and those of a file of the same form.

        Raises
        ------
        UsageError
            When the file cannot be read, with the place and the reason.
        """
        builtin = resources.files("fhirsynth").joinpath("constraints.toml").read_text(encoding="utf-8")
        found = _parse(tomllib.loads(builtin), "constraints.toml")
        if extra is not None:
            try:
                found += _parse(tomllib.loads(extra.read_text(encoding="utf-8")), str(extra))
            except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
                raise UsageError(f"{extra}: cannot be read as TOML ({error})") from error
        return cls(enforced=found)

    def for_training(self, train: pd.DataFrame, target: str | None = None) -> ConstraintSet:
        """Those that ``train`` satisfies, with a record of the others.

        Cases of the flag ``target``, if there is one, count by themselves too: they can be too few to matter among all
        rows, and one of them may be an error of record.
        """
        possible = [c for c in self.enforced if all(test.fits(train) for test in (*c.when, c.then))]
        cases = np.zeros(len(train), np.bool_) if target is None else train[target].fillna(value=False).to_numpy(bool)
        shares = {c.id: _satisfied(c.broken(train).to_numpy(), cases) for c in possible}
        return ConstraintSet(
            enforced=tuple(c for c in possible if shares[c.id] >= ENFORCED_FROM),
            switched_off={id_: round(share, 4) for id_, share in shares.items() if share < ENFORCED_FROM},
            not_applicable=tuple(c.id for c in self.enforced if c not in possible),
        )

    def apply(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
        """Repair what can be repaired, then drop the rows that break anything.

        Returns
        -------
        frame, counts
            The rows that are left, and by id how many rows broke it (one row can break several).
        """
        counts: dict[str, int] = {}
        for constraint in self._with("repair"):
            broken = constraint.broken(frame)
            counts[constraint.id] = int(broken.sum())
            frame = constraint.then.satisfy(frame, broken)
        bad = pd.Series(data=False, index=frame.index)
        for constraint in self._with("reject"):
            broken = constraint.broken(frame)
            counts[constraint.id] = int(broken.sum())
            bad |= broken
        return frame[~bad], counts

    def split_counts(self, counts: Mapping[str, int]) -> dict[str, dict[str, int]]:
        """Counts of :meth:`apply` as ``{"rejected": …, "repaired": …}``."""
        return {
            done: {c.id: counts.get(c.id, 0) for c in self._with(action)}
            for done, action in (("rejected", "reject"), ("repaired", "repair"))
        }

    def _with(self, action: str) -> list[Constraint]:
        return [constraint for constraint in self.enforced if constraint.action == action]


def _satisfied(broken: npt.NDArray[np.bool_], cases: npt.NDArray[np.bool_]) -> float:
    """The share of all rows, or of ``cases`` where that is lower for more than one of them."""
    among = broken[cases]
    shares = [broken.mean(), among.mean() if among.sum() > 1 else 0.0]
    return float(1 - max(shares))


def _parse(document: Mapping[str, Any], source: str) -> tuple[Constraint, ...]:
    found = []
    for name, body in document.items():
        try:
            found.append(Constraint.model_validate({"id": name, **body}))
        except (ValidationError, TypeError) as error:
            detail = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "is not a table"
            raise UsageError(f"{source}, [{name}]: {detail}") from error
    return tuple(found)
