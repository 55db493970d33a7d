"""``fhirsynth assemble`` in shards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fhirsynth.assemble.in_shards import Manner, Shards
    from fhirsynth.assemble.rewrite import RewriteResult
    from fhirsynth.assemble.stage import AssembleResult
    from synthea_bridge.engines import Engine
    from synthea_bridge.progress import Progress
    from synthea_bridge.sinks import Compression
    from synthea_bridge.skips import SkipLog


def rows_in_shards(
    manner: Manner, size: int, out: Path, engine: Engine, compression: Compression, skips: SkipLog, progress: Progress
) -> AssembleResult:
    """Bundles of synthetic rows; the run id follows from them where ``manner`` has none."""
    from dataclasses import replace

    from fhirsynth.assemble.inputs import own_run_id, read_rows
    from fhirsynth.workspace import fingerprint

    told = manner.telling()
    rows = read_rows(manner.rows, told.schema)
    own = own_run_id(rows, told.schema, told.timeline, told.seed, (told.years, told.locale, told.ssn))
    manner = replace(manner, run_id=manner.run_id or own)
    manner.telling().check(rows)
    made_from = fingerprint([own, manner.run_id, size, compression])
    return _shards(engine, out, made_from, compression, progress).rows(manner, len(rows), size, skips)


def tables_in_shards(
    tables: Path,
    run_id: str | None,
    out: Path,
    engine: Engine,
    compression: Compression,
    skips: SkipLog,
    progress: Progress,
) -> RewriteResult:
    """Bundles of tables that are in shards.

    Raises
    ------
    UsageError
        When they are not.
    """
    from fhirsynth.errors import UsageError
    from fhirsynth.stored import files_of, shards_of
    from fhirsynth.workspace import fingerprint
    from synthea_bridge.tables import TABLES

    if not shards_of(tables):
        raise UsageError(
            f"{tables}: has no shards that hold all rows of their patients; leave --engine and --write away, "
            "or make the tables in shards: fhirsynth generate --write tables, or flatten --shard-size"
        )
    files = [path for table in TABLES for path in files_of(tables, table.name)]
    said = [[path.relative_to(tables).as_posix(), path.stat().st_size] for path in files]
    made_from = fingerprint([said, run_id, compression])
    return _shards(engine, out, made_from, compression, progress).tables(tables, run_id, skips)


def _shards(engine: Engine, out: Path, made_from: str, compression: Compression, progress: Progress) -> Shards:
    from fhirsynth.assemble.in_shards import Shards

    return Shards(engine, str(out.absolute()), made_from, compression, progress)
