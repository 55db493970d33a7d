"""Remake the sample from a work folder; see :mod:`fhirsynth.sample`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pandas as pd

from fhirsynth.sample import PATIENTS, ROWS, SCHEMA, TIMELINE

source, target = Path(sys.argv[1]) / "synthetic", Path(__file__).parent
pd.read_parquet(source / ROWS).head(PATIENTS).to_parquet(target / ROWS, index=False)
for name in (SCHEMA, TIMELINE):
    shutil.copyfile(source / name, target / name)
