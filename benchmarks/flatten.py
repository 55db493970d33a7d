"""Flattening Bundles beside ``orjson.loads`` of the same bytes, on one core, with the peak memory.

Usage: ``python -m benchmarks.flatten [FOLDER OF BUNDLES]``; without a folder, 60 patients are simulated first.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

RUNS = 3
PARSE = "import sys, pathlib, orjson\nfor p in pathlib.Path(sys.argv[1]).rglob('*.json'): orjson.loads(p.read_bytes())"
FLATTEN = (
    "import resource, sys, pathlib\nfrom synthea_bridge.flatten import flatten\n"
    "flatten(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))\n"
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
)
PARSE_IMPORTS = "import sys, pathlib, orjson"
IMPORTS = "import sys, pathlib, orjson\nimport pandas, synthea_bridge.flatten"  # pandas is imported with the first rows


def run(code: str, *arguments: str) -> tuple[float, float]:
    """User and system seconds of a child process, and the number that it prints."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=True, stdout=subprocess.PIPE)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, float(done.stdout or 0)


def main() -> None:
    """Print seconds, ratio and peak memory."""
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(sys.argv[1]) if len(sys.argv) > 1 else simulate(Path(scratch))
        megabytes = sum(p.stat().st_size for p in source.rglob("*.json")) / 1e6
        rounds = []
        for turn in range(RUNS):
            parse = run(PARSE, str(source))[0] - run(PARSE_IMPORTS)[0]
            start, _ = run(IMPORTS)
            ours, peak = run(FLATTEN, str(source), str(Path(scratch) / f"tables-{turn}"))
            rounds.append(((ours - start) / parse, ours, start, parse, peak))
        ratio, ours, start, parse, peak = sorted(rounds)[RUNS // 2]
        print(
            f"{megabytes:.0f} MB: orjson.loads {parse:.2f} s; flatten {ours:.2f} s, of which "
            f"imports {start:.2f} s; ratio without imports {ratio:.2f} (goal: <= 2); peak {peak:.0f} MB (goal: < 400)"
        )


def simulate(folder: Path, patients: int = 60) -> Path:
    """Bundles to flatten."""
    from synthea_bridge.generate import GenerateSpec, generate

    generate(GenerateSpec(population=patients, seed=1), folder / "generated")
    return folder / "generated" / "bundles"


if __name__ == "__main__":
    main()
