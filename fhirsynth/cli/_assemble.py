"""``fhirsynth assemble`` in shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fhirsynth.assemble.in_shards import Manner, Shards
    from fhirsynth.assemble.rewrite import RewriteResult
    from fhirsynth.assemble.stage import AssembleResult
    from fhirsynth.stored import Stored
    from synthea_bridge.skips import SkipLog


def rows_in_shards(manner: Manner, size: int, shards: Shards, skips: SkipLog) -> AssembleResult:
    """Bundles of synthetic rows; the run id follows from them where ``manner`` has none."""
    from dataclasses import replace

    from fhirsynth.assemble.inputs import own_run_id
    from fhirsynth.workspace import fingerprint

    told, rows = manner.opened()
    own = own_run_id(rows, told.schema, told.timeline, told.seed, (told.years, told.locale, told.ssn))
    manner = replace(manner, run_id=manner.run_id or own)
    replace(told, run_id=manner.run_id).check(rows)
    shards.made_from = fingerprint([own, manner.run_id, size, shards.compression])
    return shards.rows(manner, len(rows), size, skips)


def tables_in_shards(tables: Stored, run_id: str | None, shards: Shards, skips: SkipLog) -> RewriteResult:
    """Bundles of tables that are in shards.

    Raises
    ------
    UsageError
        When they are not.
    """
    from fhirsynth.assemble.in_shards import NAMES
    from fhirsynth.errors import UsageError
    from fhirsynth.workspace import fingerprint

    if not tables.shards:
        raise UsageError(
            f"{tables.place}: has no shards that hold all rows of their patients; leave --engine and --write away, "
            "or make the tables in shards: fhirsynth generate --write tables, or flatten --shard-size"
        )
    shards.made_from = fingerprint([tables.of(NAMES), run_id, shards.compression])
    return shards.tables(tables, run_id, skips)
