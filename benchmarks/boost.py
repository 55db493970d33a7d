"""Whether patients of a boosted cohort are who would have had the condition anyway: natural cases beside boosted ones.

Natural cases are waited for, which takes tens of thousands of people. Each variable is compared by the
Kolmogorov-Smirnov D (numbers) or the total variation (categories, comorbidities), and held against the 95th
percentile of the same distance between random halves of both together: the null band. One variable in twenty is
beyond it by chance; Holm's correction over all of them says whether any of it is real.

Usage: ``python -m benchmarks.boost [CASES [CONDITION …]]``.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp

from fhirsynth.features import build_features
from fhirsynth.schema import build_schema
from synthea_bridge.conditions import find
from synthea_bridge.generate import GenerateSpec, generate
from synthea_bridge.spec import Cohort

PERMUTATIONS = 2000
COMMON = 0.05
"""Share of patients from which on another condition is compared."""


def cases(condition: str, number: int, folder: Path, *, natural: bool) -> tuple[pd.DataFrame, int]:
    """Features and comorbidities of so many cases, and how many people were simulated for them."""
    cohort = Cohort(condition=condition, cases=number)
    spec = GenerateSpec(population=0, cohorts=(cohort,), seed=20260101 + natural, natural=natural, attempts=200_000)
    result = generate(spec, folder, tables_only=True)
    frame = build_features(folder, build_schema(spec.end_date)).set_index("patient_id")
    conditions = pd.read_parquet(folder / "conditions.parquet")
    active = conditions[conditions["abatement"].isna() & (conditions["code"] != find(condition).snomed)]
    has = pd.crosstab(active["patient_id"], active["display"]).reindex(frame.index, fill_value=0) > 0
    return frame.join(has.add_prefix("also: ")), sum(result.counts.values())


def distance(values: np.ndarray, first: np.ndarray, *, number: bool) -> float:
    """How far the values of ``first`` are from the others."""
    if number:
        return float(ks_2samp(values[first], values[~first], method="asymp").statistic)
    kinds = np.unique(values)
    one, other = ((values[part][:, None] == kinds).mean(axis=0) for part in (first, ~first))
    return float(np.abs(one - other).sum() / 2)


def compared(natural: pd.DataFrame, boosted: pd.DataFrame) -> Iterator[tuple[str, float, float, float]]:
    """Name, distance, null band and p-value of each variable."""
    both = pd.concat([natural, boosted])
    first = np.arange(len(both)) < len(natural)
    rng = np.random.default_rng(1)
    for name in both:
        column = both[name]
        also = str(name).startswith("also: ")
        if also:
            column = column.astype("boolean").fillna(False).astype(bool)
        if also and column.mean() < COMMON:
            continue
        number = not also and pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
        values = column.astype("float64").to_numpy() if number else column.astype(str).to_numpy()
        known = ~np.isnan(values) if number else np.ones(len(values), dtype=bool)
        values, side = values[known], first[known]
        if len(np.unique(values)) < 2 or side.all() or not side.any():
            continue
        seen = distance(values, side, number=number)
        null = [distance(values, rng.permutation(side), number=number) for _ in range(PERMUTATIONS)]
        p = (1 + sum(one >= seen for one in null)) / (PERMUTATIONS + 1)
        yield str(name), seen, float(np.quantile(null, 0.95)), p


def main() -> None:
    """Print what differs, for each condition."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 150
    for condition in sys.argv[2:] or ["gout", "epilepsy"]:
        with tempfile.TemporaryDirectory() as scratch:
            boosted, tried = cases(condition, number, Path(scratch) / "boosted", natural=False)
            natural, waited = cases(condition, number, Path(scratch) / "natural", natural=True)
        rows = sorted(compared(natural, boosted), key=lambda row: row[3])
        beyond = [row for row in rows if row[1] > row[2]]
        print(
            f"{condition}: {number} natural cases from {waited:,} people, {number} boosted ones from {tried:,}; "
            f"{len(rows)} variables, {len(beyond)} beyond the null band (by chance {0.05 * len(rows):.1f}); "
            f"smallest p after Holm {min(1.0, rows[0][3] * len(rows)):.2f}",
            flush=True,
        )
        for name, seen, band, p in [row for row in rows if row[0] in ("age", "sex", "race")] + beyond:
            print(f"  {name:<40} distance {seen:.3f}  null band {band:.3f}  p {p:.3f}", flush=True)


if __name__ == "__main__":
    main()
