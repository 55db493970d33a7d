"""Fit and sample time and memory of every generator, at several sizes, beside what its library does by itself.

Usage: ``python -m benchmarks.generators [ROWS …]``; each figure comes from a process of its own with one thread, so
that memory is that of one model. Seconds are those of the processor: what else the machine does is not in them.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, Final

import pandas as pd

from fhirsynth.augment.encode import Encoding
from fhirsynth.augment.registry import MODELS, model_class
from fhirsynth.schema import FeatureSchema
from fhirsynth.seeds import rng
from synthea_bridge.progress import silent
from tests.frames import example_features, example_schema

ROWS: Final = (625, 5_000, 50_000)
SAMPLES: Final = 1.0
"""Rows made for each that was learned from."""
LIMIT: Final = 1_800
"""Seconds after which one figure is given up."""
LEFT_OUT: Final = ("auto",)
"""It fits several of the others; its time is theirs."""
ENVIRONMENT: Final = {"OMP_NUM_THREADS": "1", "LOKY_MAX_CPU_COUNT": "1", "FHIRSYNTH_NOISE_SEED": "00" * 32}

Timed = tuple[float, float]


def ours(name: str, frame: pd.DataFrame, schema: FeatureSchema) -> Timed:
    """Seconds of fit and of sample through our contract, with our defaults."""
    model = model_class(name)()
    return _timed(
        lambda: model.fit(frame, schema, seed=1, steps=None, progress=silent),
        lambda: model.sample(round(SAMPLES * len(frame)), seed=2),
    )


def library(name: str, frame: pd.DataFrame, schema: FeatureSchema) -> Timed:
    """Seconds of SDV's model of that name as it comes: raw columns, its own settings."""
    from sdv import single_table

    from fhirsynth.augment.sdv_models import TABLE, metadata_of

    classes = {"ctgan": "CTGANSynthesizer", "tvae": "TVAESynthesizer", "gaussian-copula": "GaussianCopulaSynthesizer"}
    encoding = Encoding.learn(frame, schema)
    raw = encoding.encode(frame, rng(0, "impute"))
    model = getattr(single_table, classes[name])(metadata_of(encoding))
    return _timed(lambda: model.fit({TABLE: raw}), lambda: model.sample(round(SAMPLES * len(frame))))


def _timed(fit: Callable[[], Any], sample: Callable[[], Any]) -> Timed:
    begun = time.process_time()
    fit()
    between = time.process_time()
    sample()
    return between - begun, time.process_time() - between


def _alone(way: str, name: str, rows: int) -> None:
    """One figure, as JSON on stdout."""
    warnings.simplefilter("ignore")
    schema = example_schema()
    frame = schema.conform(example_features(rows, cases=0.1))[schema.columns]
    small = frame.head(100)
    way_of = {"ours": ours, "library": library}[way]
    if name not in {"ctgan", "tvae"} or way == "ours":
        _imports(name, small, schema)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fit, sample = way_of(name, frame, schema)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"fit": fit, "sample": sample, "memory": (peak - before) / 1024}))


def _imports(name: str, rows: pd.DataFrame, schema: FeatureSchema) -> None:
    """Import what the model stands on, before the clock runs."""
    model_class(name)().fit(rows, schema, seed=0, steps=1, progress=silent)


def _figure(way: str, name: str, rows: int) -> str:
    command = [sys.executable, "-m", "benchmarks.generators", "--one", way, name, str(rows)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, env=_environment(), check=True)
    except subprocess.TimeoutExpired:
        return f"> {LIMIT} s"
    except subprocess.CalledProcessError as error:
        return str(error.stderr).strip().splitlines()[-1][:60]
    one = json.loads(done.stdout.splitlines()[-1])
    return f"{one['fit']:.1f} + {one['sample']:.1f} s, {one['memory']:,.0f} MB"


def _environment() -> dict[str, str]:
    return {**os.environ, **ENVIRONMENT}


def main() -> None:
    """Print the table."""
    sizes = [int(word) for word in sys.argv[1:]] or list(ROWS)
    print("| model | " + " | ".join(f"{rows:,} × {len(example_schema().columns)}" for rows in sizes) + " |")
    print("|---|" + "---|" * len(sizes))
    for name in (one for one in MODELS if one not in LEFT_OUT):
        print(f"| `{name}` | " + " | ".join(_figure("ours", name, rows) for rows in sizes) + " |", flush=True)
        if name in {"ctgan", "tvae", "gaussian-copula"}:
            figures = " | ".join(_figure("library", name, rows) for rows in sizes)
            print(f"| SDV's own `{name}` | {figures} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        _alone(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
