"""Bundles in shards: they, their counts and what is skipped are those of one pass, whatever the shards are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pytest

from fhirsynth.assemble.in_shards import Manner, Shards
from fhirsynth.assemble.inputs import look_over
from fhirsynth.assemble.rewrite import rewrite
from fhirsynth.assemble.stage import assemble
from fhirsynth.stored import Stored
from synthea_bridge.engines.local import LocalEngine
from synthea_bridge.files import write_json
from synthea_bridge.flatten import write_tables
from synthea_bridge.flatten_shards import flatten_shards
from synthea_bridge.place import Place
from synthea_bridge.skips import SkipLog
from tests.frames import example_features, example_schema
from tests.lives import example_timeline
from tests.remake_golden import FIXTURES
from tests.test_engines import files_of


def lines(out: Path, keys: str = "[!s]*") -> list[Any]:
    """The Bundles of all shards, in order."""
    files = sorted((out / "bundles").glob(f"{keys}.ndjson"))
    return [orjson.loads(line) for file in files for line in file.read_bytes().splitlines()]


def transactions(out: Path) -> list[Any]:
    return [orjson.loads(path.read_bytes()) for path in sorted((out / "transactions").glob("*.json"))]


def rows(tmp_path: Path) -> tuple[pd.DataFrame, Manner]:
    frame = example_features(7)
    frame.loc[3, "num_medications"] = 31
    frame.to_parquet(tmp_path / "rows.parquet")
    example_schema().save(tmp_path / "schema.json")
    example_timeline().save(tmp_path / "timeline.json")
    files = (Place.of(tmp_path / name).file() for name in ("rows.parquet", "schema.json", "timeline.json"))
    return frame, Manner(*files, "run", 1, 3.0, "en-US", False)


@pytest.mark.slow
def test_rows_become_what_they_become_in_one_pass(tmp_path: Path) -> None:
    frame, manner = rows(tmp_path)
    skips, single = SkipLog(), tmp_path / "single"
    whole = assemble(
        frame, example_schema(), example_timeline(), run_id="run", out=single, seed=1, years=3.0, skips=skips
    )
    whole.clinical = look_over(single, frame, example_schema(), "run", {skip.entry for skip in skips.items})
    shards = Shards(LocalEngine(), str(tmp_path / "out"), "rows", "none")
    result = shards.rows(manner, len(frame), 3, SkipLog())
    assert result.outcome == whole.outcome
    assert [str(one) for one in result.skips.items] == [str(one) for one in skips.items]
    assert len(skips.items) == 1
    assert lines(tmp_path / "out") == transactions(single)
    assert lines(tmp_path / "out", "shared") == [orjson.loads((single / "shared.json").read_bytes())]


def test_tables_become_what_they_become_in_one_pass(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    write_tables(FIXTURES / "bundles", tmp_path / "tables", SkipLog())
    outcome, _ = flatten_shards(FIXTURES / "bundles", tmp_path / "parts", LocalEngine(), shard_bytes=100 << 10)
    write_json(tmp_path / "parts" / "manifest.json", outcome)
    parts = Stored.at(tmp_path / "parts")
    assert len(parts.shards) > 1
    whole = rewrite(tmp_path / "tables", out=tmp_path / "single")
    shards = Shards(LocalEngine(), str(tmp_path / "out"), "tables", "none")
    result = shards.tables(parts, None, SkipLog())
    assert result.outcome == whole.outcome
    assert lines(tmp_path / "out", "files*") == transactions(tmp_path / "single")
    assert lines(tmp_path / "out", "shared") == [orjson.loads((tmp_path / "single" / "shared.json").read_bytes())]
    before = files_of(tmp_path / "out")
    (tmp_path / "out" / "_shards" / "files-00001.json").unlink()
    assert shards.tables(parts, None, SkipLog()).outcome == whole.outcome
    assert files_of(tmp_path / "out") == before
