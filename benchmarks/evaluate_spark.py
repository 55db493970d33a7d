"""Whether synthetic cases help, fitted by one process, by two, and by two executors of Spark of one core each.

Usage: ``python -m benchmarks.evaluate_spark [ROWS]``; 10,000 by default. The start of Spark is told aside; so are the
seconds of all else that ``evaluate`` does, which stays on one machine. The three reports are compared.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from benchmarks.evaluate import TARGET, drawn
from fhirsynth.trilemma import evaluate
from fhirsynth.trilemma.samples import prepare
from fhirsynth.trilemma.uplift.uplift import measure_uplift
from synthea_bridge.engines import Mapper
from synthea_bridge.engines.local import LocalEngine
from synthea_bridge.engines.spark import SparkEngine


def main() -> None:
    """Print seconds of each, and what they are of one process."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as scratch:
        frames, schema = drawn(Path(scratch), rows)
        began = time.perf_counter()
        evaluate(frames[0], frames[1], frames[2], schema, target=TARGET, workers=2)
        print(f"{rows:,} rows: all else {time.perf_counter() - began:.1f} s", flush=True)
        samples = prepare(frames[0], frames[1], frames[2], schema, TARGET, (), 0)
        began = time.perf_counter()
        spark = SparkEngine("local-cluster[2,1,1024]")
        spark.session.range(2).count()
        print(f"Spark has started after {time.perf_counter() - began:.1f} s", flush=True)
        engines: dict[str, Mapper] = {
            "one process": LocalEngine(),
            "two processes": LocalEngine(2),
            "two executors": spark,
        }
        found, first = [], 0.0
        for name, engine in engines.items():
            began = time.perf_counter()
            found.append(measure_uplift(samples, {"made": samples.synthetic}, engine=engine))
            seconds = time.perf_counter() - began
            first = first or seconds
            print(f"{name}: {seconds:.1f} s, {first / seconds:.2f} times as fast as one process", flush=True)
        spark.close()
        assert found[0] == found[1] == found[2]


if __name__ == "__main__":
    main()
