"""``python -m tests.remake_golden``: write fixtures/golden from fixtures/bundles."""

from __future__ import annotations

import gzip
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq

from fhirsynth.features import write_features
from fhirsynth.schema import ConditionFeature, build_schema
from synthea_bridge.flatten import flatten
from synthea_bridge.tables import TABLES

FIXTURES = Path(__file__).parent.parent / "fixtures"
NAMES = (*(table.name for table in TABLES), "features")
CF = ConditionFeature(slug="cystic-fibrosis", name="Cystic fibrosis", snomed="190905008", display="Cystic fibrosis")


def make(out: Path) -> dict[str, list[dict[str, Any]]]:
    flatten(FIXTURES / "bundles", out)
    write_features(out, build_schema(date(2026, 1, 1), CF))
    rows = {name: pq.read_table(out / f"{name}.parquet").to_pylist() for name in NAMES}
    return orjson.loads(orjson.dumps(rows))


def read(name: str) -> list[dict[str, Any]]:
    text = gzip.decompress((FIXTURES / "golden" / f"{name}.jsonl.gz").read_bytes())
    return [orjson.loads(line) for line in text.splitlines()]


def main() -> None:
    (FIXTURES / "golden").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name, rows in make(Path(scratch) / "out").items():
            text = b"".join(orjson.dumps(row) + b"\n" for row in rows)
            (FIXTURES / "golden" / f"{name}.jsonl.gz").write_bytes(gzip.compress(text, 9, mtime=0))


if __name__ == "__main__":
    main()
