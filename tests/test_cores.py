"""Only the processors that there are for us count."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from synthea_bridge.cores import cores

CODE = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])})\n"


def test_there_is_one() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors cannot be bound here")
def test_a_process_that_is_bound_to_one_has_one() -> None:
    one = min(os.sched_getaffinity(0))
    code = f"{CODE}from synthea_bridge.cores import cores; print(cores())"
    said = subprocess.run([sys.executable, "-c", code, str(one)], check=True, capture_output=True, text=True)
    assert said.stdout == "1\n"
