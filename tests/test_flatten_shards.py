"""Tables in shards: the rows, the skips and the counts are those of one pass, whatever the shards are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synthea_bridge.engines.local import LocalEngine
from synthea_bridge.errors import InputError, UsageError
from synthea_bridge.flatten import write_tables
from synthea_bridge.flatten_shards import flatten_shards
from synthea_bridge.skips import SkipLog
from synthea_bridge.tables import TABLES
from tests.test_engines import files_of

DRUG = {"coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "1"}]}


def person(name: str) -> list[dict[str, Any]]:
    visit = {
        "resourceType": "Encounter",
        "id": f"visit-{name}",
        "subject": {"reference": f"Patient/{name}"},
        "period": {"start": "2025-01-01T10:00:00Z", "end": "2025-01-01T11:00:00Z"},
    }
    order = {
        "resourceType": "MedicationRequest",
        "id": f"order-{name}",
        "subject": {"reference": f"Patient/{name}"},
        "medicationReference": {"reference": "Medication/drug"},
    }
    return [{"resourceType": "Patient", "id": name}, visit, order]


def bundle(resources: list[dict[str, Any]]) -> bytes:
    return orjson.dumps({"resourceType": "Bundle", "entry": [{"resource": one} for one in resources]})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A formulary, three people, one of them twice, something that is no FHIR, and a picture."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "Medication.ndjson").write_bytes(orjson.dumps({"resourceType": "Medication", "id": "drug", "code": DRUG}))
    (folder / "a.json").write_bytes(bundle(person("a")))
    (folder / "b.json").write_bytes(bundle(person("b")))
    (folder / "c.json").write_bytes(bundle([*person("c"), *person("a")]))
    (folder / "d.json").write_bytes(b"{")
    (folder / "e.png").write_bytes(b"picture")
    return folder


def in_shards(source: Path, out: Path, workers: int = 1, shard_bytes: int = 1) -> tuple[dict[str, Any], list[str]]:
    outcome, skips = flatten_shards(source, out, LocalEngine(workers), shard_bytes=shard_bytes)
    return outcome, [str(one) for one in skips.items]


@pytest.mark.parametrize("shard_bytes", [1, 600, 1 << 20])
def test_the_rows_are_those_of_one_pass(source: Path, tmp_path: Path, shard_bytes: int) -> None:
    (tmp_path / "single").mkdir()
    skips = SkipLog()
    result = write_tables(source, tmp_path / "single", skips)
    outcome, told = in_shards(source, tmp_path / "out", shard_bytes=shard_bytes)
    assert {name: outcome[name] for name in result.outcome} == result.outcome
    assert sorted(told) == sorted(map(str, skips.items))
    assert len(told) == 4
    assert len(outcome["shards"]) == {1: 5, 600: 3, 1 << 20: 1}[shard_bytes]
    for table in TABLES:
        parts = [tmp_path / "out" / table.name / f"shard={key}" / f"{table.name}.parquet" for key in outcome["shards"]]
        rows = pa.concat_tables([pq.read_table(part, partitioning=None) for part in parts])
        assert rows.equals(pq.read_table(tmp_path / "single" / f"{table.name}.parquet"))


def test_what_is_done_is_not_done_again_and_another_source_is_refused(source: Path, tmp_path: Path) -> None:
    first = in_shards(source, tmp_path / "out")
    before = files_of(tmp_path / "out")
    (tmp_path / "out" / "_shards" / "files-00002.json").unlink()
    assert in_shards(source, tmp_path / "out") == first
    assert files_of(tmp_path / "out") == before
    (tmp_path / "out" / "_shards" / "files-00003.json").unlink()
    with pytest.raises(InputError, match=r"shard=files-00003/.* is not what _shards/files-00003-once.json says"):
        in_shards(source, tmp_path / "out")
    (source / "b.json").write_bytes(bundle(person("bb")))
    with pytest.raises(UsageError, match=r"made with other parameters; choose another --out"):
        in_shards(source, tmp_path / "out")


def test_nothing_to_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match=r"in: no FHIR resources found; give FHIR R4"):
        in_shards(tmp_path / "in", tmp_path / "out")
    with pytest.raises(UsageError, match=r"nowhere: there is no such file or folder"):
        in_shards(tmp_path / "nowhere", tmp_path / "out")


def test_strict_stops_at_the_first(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^d\.json: is JSON that is cut short"):
        flatten_shards(source, tmp_path / "out", LocalEngine(), shard_bytes=1, strict=True)


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_the_workers(source: Path, tmp_path: Path) -> None:
    assert in_shards(source, tmp_path / "one") == in_shards(source, tmp_path / "two", workers=2)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
