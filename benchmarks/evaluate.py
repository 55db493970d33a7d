"""How long a report takes, and the nearest-neighbour measures beside SDMetrics' privacy metrics by distance.

Rows are drawn from features of simulated patients with a little noise, so that any number of them can be had.

Usage: ``python -m benchmarks.evaluate [ROWS]``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import usual
from benchmarks.worlds import synthea
from fhirsynth.schema import FeatureSchema
from fhirsynth.trilemma import evaluate
from fhirsynth.trilemma.documents.report import write_report
from fhirsynth.trilemma.neighbours import measure_neighbours
from fhirsynth.trilemma.samples import prepare
from fhirsynth.trilemma.world import World

PATIENTS = 600
BESIDE = 2000
"""Rows beside SDMetrics, whose time grows with the square."""
TARGET = "has_diabetes"
NOISE = 0.2


def more(base: pd.DataFrame, schema: FeatureSchema, rows: int, seed: int) -> pd.DataFrame:
    """So many rows like those of ``base``, none of them equal to another."""
    draw = np.random.default_rng(seed)
    frame = base.iloc[draw.integers(0, len(base), rows)].reset_index(drop=True)
    for feature in schema.of_kind("number"):
        frame[feature.name] += draw.normal(0, NOISE * float(base[feature.name].std()), rows)
    return schema.conform(frame)


def wider(frame: pd.DataFrame, schema: FeatureSchema) -> tuple[pd.DataFrame, FeatureSchema]:
    """Two more numbers, so that there are twenty columns."""
    one, two = (schema["systolic_bp"].model_copy(update={"name": name, "title": name}) for name in ("load", "reserve"))
    extra = {
        "load": frame["systolic_bp"] * frame["heart_rate"] / 100,
        "reserve": frame["hemoglobin"] * 10 - frame["age"].astype("float64"),
    }
    return frame.assign(**extra), schema.model_copy(update={"features": (*schema.features, one, two)})


def drawn(scratch: Path, rows: int) -> tuple[list[pd.DataFrame], FeatureSchema]:
    """Training, holdout and synthetic rows, so many of each, and their schema."""
    people = synthea(scratch, PATIENTS)
    base, schema = wider(people.frame, people.schema)
    return [more(base, schema, rows, seed) for seed in (1, 2, 3)], schema


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as scratch:
        frames, schema = drawn(Path(scratch), rows)
        began = time.perf_counter()
        report = evaluate(frames[0], frames[1], frames[2], schema, target=TARGET)
        judged = time.perf_counter() - began
        write_report(report, {}, Path(scratch) / "report", schema=schema)
        written = time.perf_counter() - began - judged
        print(f"{rows:,} x {len(schema.columns)}: judged in {judged:.1f} s, written in {written:.1f} s")
        print(f"valid: {report.valid}, {dict(report.verdicts)}")
    small = [frame.iloc[:BESIDE] for frame in frames]
    samples = prepare(small[0], small[1], small[2], schema, TARGET, (), 0)
    began = time.perf_counter()
    measure_neighbours(World.of(samples, "overall"))
    ours = time.perf_counter() - began
    described, plain = usual.metadata(schema), [usual.plain(frame, schema) for frame in small]
    began = time.perf_counter()
    usual.baseline(plain[0], plain[2], described)
    usual.overfitting(plain[0], plain[1], plain[2], described)
    theirs = time.perf_counter() - began
    print(f"nearest neighbours, {BESIDE:,} rows: {ours:.2f} s; SDMetrics' DCR {theirs:.1f} s: {theirs / ours:.0f} x")


if __name__ == "__main__":
    main()
