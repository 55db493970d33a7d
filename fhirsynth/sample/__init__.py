"""Twenty synthetic patients with cystic fibrosis, ready for a test: rows and timeline that a demo run has left.

``python -m fhirsynth.sample WORK`` remakes the files here from the work folder of ``make demo``.
"""

from __future__ import annotations

import tempfile
from importlib import resources
from pathlib import Path
from typing import Any, Final

import orjson

RUN_ID: Final = "sample"
PATIENTS: Final = 20
YEARS: Final = 1.0
"""How far back their visits go: enough for a test, and quickly loaded."""
ROWS, SCHEMA, TIMELINE = "synthetic.parquet", "schema.json", "timeline.json"


def sample_bundles(patients: int = PATIENTS, seed: int = 0) -> list[dict[str, Any]]:
    """Transaction Bundles of synthetic patients, shared resources first; the same ones for the same parameters.

    Parameters
    ----------
    patients
        How many, 20 at most.
    seed
        Of their lives: visits, dates, names.

    Returns
    -------
    list of dict
        ``patients`` + 1 Bundles, each of which a FHIR R4 server takes as it is.
    """
    from fhirsynth.assemble import Timeline, assemble
    from fhirsynth.assemble.inputs import read_rows
    from fhirsynth.schema import FeatureSchema

    with resources.as_file(resources.files(__name__)) as folder, tempfile.TemporaryDirectory() as scratch:
        schema = FeatureSchema.load(folder / SCHEMA)
        rows = read_rows(folder / ROWS, schema).head(patients)
        out = Path(scratch)
        assemble(rows, schema, Timeline.load(folder / TIMELINE), run_id=RUN_ID, seed=seed, years=YEARS, out=out)
        files = [out / "shared.json", *sorted((out / "transactions").iterdir())]
        return [orjson.loads(file.read_bytes()) for file in files]
