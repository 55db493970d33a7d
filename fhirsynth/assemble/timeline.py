"""What lives look like: a model of visits, measurements, onsets and orders, made of counts and quantiles alone.

Nothing in it describes one patient: a code enters when at least :data:`FEWEST` patients have it, and times are kept as
quantiles of all of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fhirsynth.assemble.stays import possible
from fhirsynth.errors import UsageError
from synthea_bridge.files import atomic_file

FEWEST: Final = 3
"""A code that fewer training patients have does not enter the timeline."""
LEVELS: Final = np.linspace(0, 1, 11)
"""Levels of the quantiles that are kept; the outermost are the 2.5 % and 97.5 % points, no single patient's value."""

Group = Literal["routine", "emergency", "stay"]
GROUPS: Final[tuple[Group, ...]] = ("routine", "emergency", "stay")
BANDS: Final = (0, 2, 6, 18, 40, 65)
"""Lower bounds of the age bands, in years, between which the pace of visits differs."""
Quantiles = tuple[float, ...]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Kind(_Frozen):
    """A kind of encounter: class (v3-ActCode), type (SNOMED CT) and its share within the group."""

    class_code: str
    code: str
    display: str
    weight: float


class Visits(_Frozen):
    """The encounters of one group, and how long they last."""

    kinds: tuple[Kind, ...]
    minutes: Quantiles


class Panel(_Frozen):
    """Features that are measured at the same encounter, and how often just these are."""

    features: tuple[str, ...]
    weight: float


class Order(_Frozen):
    """A medication (RxNorm) and how often patients have it on order."""

    code: str
    display: str
    weight: float


class Timeline(_Frozen):
    """Everything that re-assembly knows of lives.

    Parameters
    ----------
    patients
        Number of training patients it was learned from.
    visits
        By group: encounters that are planned (``routine``), emergencies, and stays.
    gaps
        Days between two routine visits, by the lower bound of the age band.
    since
        Days from the last routine visit to the index date.
    panels
        What is measured together, by group.
    within
        Standard deviation within a patient, by feature, in its own unit.
    diastolic
        Intercept, slope and residual deviation of the diastolic on the systolic pressure, in mm[Hg].
    onset
        Age at onset in years, by the flag of the condition.
    orders
        Medications that are on order.
    hispanic
        Share of Hispanic or Latino patients.
    """

    schema_version: Literal[1] = 1
    patients: int
    visits: dict[Group, Visits]
    gaps: dict[int, Quantiles]
    since: Quantiles
    panels: dict[Group, tuple[Panel, ...]]
    within: dict[str, float]
    diastolic: tuple[float, float, float]
    onset: dict[str, Quantiles]
    orders: tuple[Order, ...]
    hispanic: float = Field(ge=0, le=1)

    def gap(self, age: float, level: float) -> float:
        """Days to the routine visit before, of somebody of ``age`` years."""
        bands = [bound for bound in self.gaps if bound <= max(age, 0)] or list(self.gaps)
        return draw(self.gaps[max(bands)], level)

    def livable(self, rows: pd.DataFrame) -> pd.Series[bool]:
        """Which rows can become a life: their stays fit into the year, and there are enough medications to order."""
        absent = {
            "age": 40,
            "prior_admissions_12m": 0,
            "length_of_stay": None,
            "readmitted_30d": 0,
            "num_medications": 0,
        }
        given = [rows[name] if name in rows else [value] * len(rows) for name, value in absent.items()]
        good = [
            int(orders) <= len(self.orders)
            and possible(int(stays), None if pd.isna(days) else float(days), bool(again), int(age))
            for age, stays, days, again, orders in zip(*given, strict=True)
        ]
        return pd.Series(good, index=rows.index, dtype=bool)

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        with atomic_file(path) as scratch:
            scratch.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Timeline:
        """Read what :meth:`save` wrote.

        Raises
        ------
        UsageError
            When there is no such file, or it is not ours.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise UsageError(
                f"{path}: cannot be read ({error.strerror}); fhirsynth augment makes it from a folder of flatten (a "
                "table alone has no encounters to learn it from), or give another with --timeline"
            ) from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise UsageError(f"{path}: is not a timeline ({place}: {first['msg']})") from error


def draw(quantiles: Quantiles, level: float) -> float:
    """The value at a level between 0 and 1, linear between the quantiles."""
    return float(np.interp(level, LEVELS, quantiles))
