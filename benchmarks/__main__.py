"""``python -m benchmarks``: every benchmark in turn."""

from __future__ import annotations

import subprocess
import sys

for name in (
    "startup",
    "flatten",
    "generate_flatten",
    "cohort",
    "ctgan",
    "assemble",
    "validate",
    "sandbox",
    "load",
    "evaluate",
):
    print(f"== {name}", flush=True)
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
