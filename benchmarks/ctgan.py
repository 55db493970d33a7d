"""CTGAN's fit and sample through us beside ctgan alone, on the same encoded rows, for the same generator steps.

Usage: ``python -m benchmarks.ctgan [STEPS]``.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import pandas as pd

from fhirsynth.augment.encode import Encoding
from fhirsynth.augment.gan.settings import PAC, Settings
from fhirsynth.augment.pipeline import augment
from fhirsynth.seeds import rng
from tests.frames import example_features, example_schema

ROWS = 500
SAMPLES = 500
RUNS = 3


def alone(train: pd.DataFrame, steps: int) -> float:
    """Seconds of ctgan by itself: it is given encoded rows, and samples as many as it is asked for."""
    from ctgan import CTGAN

    schema = example_schema()
    encoding = Encoding.learn(schema.conform(train)[schema.columns], schema)
    encoded = encoding.encode(schema.conform(train)[schema.columns], rng(0, "impute"))
    begun = time.perf_counter()
    batch = Settings().batch
    model = CTGAN(epochs=steps * batch // len(train), batch_size=batch, pac=PAC, enable_gpu=False)
    model.fit(encoded, discrete_columns=encoding.discrete)
    model.sample(SAMPLES)
    return time.perf_counter() - begun


def ours(train: pd.DataFrame, steps: int) -> float:
    """Seconds of encode, fit, save, conditional sample, constraints and write."""
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        augment(train, example_schema(), n=SAMPLES, out=Path(scratch), model="ctgan", steps=steps)
    return time.perf_counter() - begun


def main() -> None:
    """Print seconds and ratio, the median of alternating runs."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    warnings.simplefilter("ignore")
    train = example_features(ROWS)
    alone(train, 4)
    ours(train, 4)  # imports, before the clock runs
    rounds = [(alone(train, steps), ours(train, steps)) for _ in range(RUNS)]
    theirs, mine = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(mine / theirs for theirs, mine in rounds)
    print(
        f"{ROWS} rows, {steps} steps, {SAMPLES} samples: ctgan alone {theirs:.1f} s; through us {mine:.1f} s; "
        f"ratio {ratio:.2f} (goal: <= 1.10)"
    )


if __name__ == "__main__":
    main()
