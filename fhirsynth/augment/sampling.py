"""Draw until there are exactly as many rows as were asked for, or say how many there could be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil
from typing import Any, Final

import pandas as pd

from fhirsynth.augment.encode import out_of_bounds
from fhirsynth.augment.protocol import Keep, Tally
from fhirsynth.errors import Shortfall
from fhirsynth.schema import FeatureSchema

LARGEST_DRAW: Final = 10_000
SMALLEST_DRAW: Final = 50
"""Rows in one draw: a generator's fixed cost is that of about so many rows."""
DRAWS_PER_ROW: Final = 200
LEAST_BUDGET: Final = 20_000
"""Give up after so many draws: a condition of 0.5 % is still met, and one that a model never makes costs seconds."""
HOPELESS: Final = 0.25
"""Of the rows that should be there by now: with fewer after the least budget, the whole of it would not do either."""
SAFETY: Final = 1.2


def exactly(
    n: int,
    draw: Callable[[int, int], pd.DataFrame],
    accept: Keep,
    advice: str,
) -> pd.DataFrame:
    """Call ``draw(rows, attempt)`` until ``accept`` has let ``n`` rows through.

    Raises
    ------
    Shortfall
        When the budget of draws is used up.
    """
    parts: list[pd.DataFrame] = []
    made = drawn = attempt = 0
    while made < n:
        if drawn >= max(LEAST_BUDGET, DRAWS_PER_ROW * n) or _is_hopeless(made, drawn):
            raise Shortfall(n, made, advice)
        ask = _next_draw(n - made, made, drawn)
        accepted = accept(draw(ask, attempt))
        parts.append(accepted)
        made, drawn, attempt = made + len(accepted), drawn + ask, attempt + 1
    return pd.concat(parts, ignore_index=True).head(n)


def _is_hopeless(made: int, drawn: int) -> bool:
    """Whether so few rows were let through that going on would take minutes and end short all the same."""
    return drawn >= LEAST_BUDGET and made < HOPELESS * drawn / DRAWS_PER_ROW


def _next_draw(wanted: int, made: int, drawn: int) -> int:
    rate = made / drawn if made else 1 / (1 + drawn)
    return min(max(ceil(wanted / rate * SAFETY), SMALLEST_DRAW), LARGEST_DRAW)


def acceptor(schema: FeatureSchema, where: Mapping[str, Any] | None, keep: Keep | None, tally: Tally) -> Keep:
    """Keep the rows that ``where`` asks for, that respect the bounds of the schema, and that ``keep`` lets through."""

    def accept(rows: pd.DataFrame) -> pd.DataFrame:
        tally.drawn += len(rows)
        asked = matches(rows, where)
        tally.unasked += int((~asked).sum())
        rows = rows[asked]
        outside, counts = out_of_bounds(rows, schema)
        tally.bounds.update(counts)
        rows = rows[~outside]
        return rows if keep is None else keep(rows)

    return accept


def matches(rows: pd.DataFrame, where: Mapping[str, Any] | None) -> pd.Series[bool]:
    """Which rows have the values that ``where`` asks for."""
    result = pd.Series(data=True, index=rows.index)
    for column, value in (where or {}).items():
        result &= (rows[column] == value).fillna(value=False).astype(bool)
    return result
