"""What a rule says of some patients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from fhirsynth.clinical.chart import Frame
from fhirsynth.clinical.fields import DAY, MONTH, YEAR

NO_DATE = "no date"
NO_BIRTH = "no birth date"
NO_SEX = "sex is neither female nor male"
ONLY_BOUND = "a bound (< or >) and no value"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How often a rule applied and was broken.

    Parameters
    ----------
    applied
        Rows that could be judged.
    broken
        Those of them that break it: ``patient``, ``resource``, and what ``say`` needs.
    say
        Words for a broken row.
    unchecked
        Rows to which it would apply and that could not be judged, by reason.
    met
        How many rows each formula fits.
    moments
        Of value and formula, for their correlation: number, sums, sums of squares, sum of products.
    """

    applied: int
    broken: Frame
    say: Callable[[Any], str]
    unchecked: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)
    moments: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(6))


def usable(rows: Frame, unit: str, unchecked: Counter[str]) -> Frame:
    """Measured rows that have a value in a unit that is known; the others are counted."""
    unknown = rows["value"].isna().to_numpy()
    for name, count in rows.loc[unknown, "unit"].fillna("none").value_counts().sort_index().items():
        unchecked[f"unit {name} instead of {unit}"] += int(count)
    bound = ~unknown & rows["bound"].to_numpy()
    unchecked[ONLY_BOUND] += int(bound.sum())
    kept: Frame = rows[~unknown & ~bound]
    return kept


def number(value: float) -> str:
    """A number as people write it: four digits that count, no exponent."""
    text = f"{value:.4g}"
    return f"{value:,.0f}" if "e" in text else text


def day(seconds: float) -> str:
    """The day, as ISO 8601; ``?`` where it is not known."""
    return "?" if np.isnan(seconds) else str(pd.Timestamp(seconds, unit="s").date())


def span(seconds: float) -> str:
    """A length of time, in the unit in which people would say it."""
    for name, size, least in (("years", YEAR, 2 * YEAR), ("months", MONTH, 181 * DAY), ("days", DAY, 2 * DAY)):
        if seconds >= least:
            return f"{number(round(seconds / size, 1))} {name}"
    hours = round(seconds / 3600, 1)
    return f"{number(hours)} hour" + "s" * (hours != 1)
