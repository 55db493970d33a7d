"""Rows from disk before, and Bundles read back after."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd

from fhirsynth.assemble.conform import check_round_trip
from fhirsynth.assemble.identity import patient_uuid
from fhirsynth.assemble.timeline import Timeline
from fhirsynth.errors import UsageError
from fhirsynth.features import build_features
from fhirsynth.schema import FeatureSchema
from fhirsynth.workspace import fingerprint
from synthea_bridge.flatten import write_tables
from synthea_bridge.skips import SkipLog


def read_rows(path: Path, schema: FeatureSchema) -> pd.DataFrame:
    """Synthetic rows from Parquet.

    Raises
    ------
    UsageError
        When the file cannot be read, lacks a column of ``schema``, or names a patient twice.
    """
    try:
        rows = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as Parquet ({error}); make it with: fhirsynth augment") from error
    absent = [name for name in ["patient_id", *schema.columns] if name not in rows]
    if absent:
        raise UsageError(f"{path}: lacks the columns {', '.join(absent)}; make it with: fhirsynth augment")
    twice = rows["patient_id"][rows["patient_id"].duplicated()]
    if len(twice):
        raise UsageError(f"{path}: has the patient '{twice.iloc[0]}' twice; give every row an id of its own")
    return schema.conform(rows)


def own_run_id(
    rows: pd.DataFrame, schema: FeatureSchema, timeline: Timeline, seed: int, manner: tuple[Any, ...] = ()
) -> str:
    """A run id that follows from everything that decides the Bundles; ``manner`` is how they are told."""
    said = [rows.to_csv(index=False), schema.model_dump(mode="json"), timeline.model_dump(mode="json"), seed, *manner]
    return fingerprint(said)[:12]


def look_over(
    bundles: Path, rows: pd.DataFrame, schema: FeatureSchema, run_id: str, without: Collection[str] = ()
) -> dict[str, Any]:
    """Read emitted Bundles back, compare them with the rows, and check the clinical rules: what a manifest should say.

    Raises
    ------
    AssembleError
        When a value differs.
    """
    from fhirsynth.clinical import check

    with tempfile.TemporaryDirectory(prefix="fhirsynth-") as scratch:
        read_back(bundles, rows, schema, run_id, without, tables=Path(scratch))
        found = check(Path(scratch))
    return {
        "rules": len(found.rules),
        "errors": found.errors,
        "warnings": found.number("warning"),
        "broken": {one.id: one.broken for one in found.broken()},
    }


def read_back(
    bundles: Path,
    rows: pd.DataFrame,
    schema: FeatureSchema,
    run_id: str,
    without: Collection[str] = (),
    *,
    tables: Path | None = None,
) -> pd.DataFrame:
    """Flatten emitted Bundles and compare their features with the rows; returns the features.

    Parameters
    ----------
    without
        Patients that were skipped.
    tables
        A folder that exists, in which the tables of the Bundles are left; None: they are thrown away.

    Raises
    ------
    AssembleError
        When a value differs.
    """
    with ExitStack() as stack:
        folder = tables or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fhirsynth-")))
        write_tables(bundles, folder, SkipLog(strict=True))
        features = build_features(folder, schema, SkipLog(strict=True))
    kept = rows[~rows["patient_id"].isin(list(without))]
    check_round_trip(features, kept, schema, {one: patient_uuid(run_id, one) for one in kept["patient_id"]})
    return features
