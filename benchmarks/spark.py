"""Two executors of one core each beside two processes of one thread each: the same shards, the start of Spark aside.

Usage: ``python -m benchmarks.spark [PATIENTS [ROUNDS]]``; 200 and 1 by default. Prints bytes and seconds a patient too,
which docs/scale.md reckons with.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from synthea_bridge.engines import Engine
from synthea_bridge.engines.local import LocalEngine
from synthea_bridge.engines.spark import SparkEngine
from synthea_bridge.files import read_json
from synthea_bridge.sharded import generate_shards
from synthea_bridge.spec import GenerateSpec

SHARDS = 8


def main() -> None:
    """Print seconds of both, and the ratio."""
    patients, rounds = (int(sys.argv[place]) if len(sys.argv) > place else usual for place, usual in ((1, 200), (2, 1)))
    spec = GenerateSpec(population=patients, seed=7, shard_size=-(-patients // SHARDS), threads=1, heap="2g")
    ratios = []
    with tempfile.TemporaryDirectory() as scratch:
        start = time.monotonic()
        spark = SparkEngine("local-cluster[2,1,1024]")
        spark.session.range(2).count()
        print(f"Spark has started after {time.monotonic() - start:.1f} s")
        for turn in range(rounds):
            pair = {"local": LocalEngine(2), "spark": spark}
            order = list(pair) if turn % 2 else list(reversed(pair))
            seconds = {name: timed(spec, Path(scratch) / f"{name}-{turn}", pair[name]) for name in order}
            ratios.append(seconds["spark"] / seconds["local"])
            print(
                f"{patients} patients in {SHARDS} shards: two processes {seconds['local']:.1f} s, "
                f"two executors {seconds['spark']:.1f} s, ratio {ratios[-1]:.2f}",
                flush=True,
            )
        spark.close()
        sizes(Path(scratch) / "spark-0", patients)
    print(f"ratio {median(ratios):.2f}, median of {rounds} (goal: <= 1.25)")


def timed(spec: GenerateSpec, out: Path, engine: Engine) -> float:
    """Seconds of a simulation into tables and compressed Bundles."""
    start = time.monotonic()
    generate_shards(spec, str(out), engine, ["tables", "ndjson", "bundles"])
    return time.monotonic() - start


def sizes(out: Path, patients: int) -> None:
    """Print kilobytes a patient."""
    found: dict[str, int] = {}
    for shard in read_json(out / "manifest.json")["shards"]:
        for name, file in shard["files"].items():
            kind = name.partition("/")[0]
            found[kind] = found.get(kind, 0) + file["bytes"]
    marks = sum(path.stat().st_size for path in (out / "_shards").glob("*.json"))
    for kind, size in {**found, "marks": marks}.items():
        print(f"{kind}: {size / patients / 1000:.1f} kB a patient")


if __name__ == "__main__":
    main()
