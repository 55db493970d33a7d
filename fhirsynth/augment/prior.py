"""A public prior: simulated patients to learn from before, which must be nobody's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any, Final

import pandas as pd

from fhirsynth.errors import UsageError
from fhirsynth.schema import FeatureSchema
from fhirsynth.stored import stored
from fhirsynth.tables import MEASURED, WEIGHT, conform, read_table, row_keys, tidied
from synthea_bridge.files import read_json

UNKNOWN: Final = "not recorded"
SHARED: Final = 0.02
"""Share of equal rows, beyond what chance has, from which on a prior is taken for real data …"""
FEW: Final = 3
"""… if they are more than so many."""
DEVIATIONS: Final = 4.0
"""Standard errors by which a share may be above what chance has."""


@dataclass(frozen=True, slots=True)
class Prior:
    """Rows to learn from before, as the schema has them, and where they come from, in words."""

    frame: pd.DataFrame
    source: str


def read_prior(path: Path, schema: FeatureSchema, read: Callable[[pd.DataFrame], pd.DataFrame]) -> Prior:
    """Read a Parquet or CSV file, a folder with ``features.parquet``, or a folder of tables.

    Parameters
    ----------
    schema
        The columns of the patients to learn from.
    read
        Reads values as the kinds of ``schema``, as those of the patients were.

    Raises
    ------
    UsageError
        When it cannot be read, or has other columns.
    EvaluateError
        When it has no rows, or a value that its column cannot hold.
    """
    frame = _rows(path, schema)
    if WEIGHT not in schema.columns and MEASURED in schema.columns and MEASURED not in frame.columns:
        frame = frame.rename(columns={WEIGHT: MEASURED})
    refuse_absent(frame, schema, str(path))
    return Prior(conform(str(path), read(frame), schema), _source(path))


def refuse_absent(prior: pd.DataFrame, schema: FeatureSchema, called: str = "the prior") -> None:
    """Refuse a prior that lacks a column.

    Raises
    ------
    UsageError
        When it does.
    """
    absent = [name for name in schema.columns if name not in prior.columns]
    if absent:
        raise UsageError(f"{called}: lacks the columns {', '.join(absent)}; simulate it with the same features")


def refuse_own(prior: pd.DataFrame, real: pd.DataFrame, schema: FeatureSchema) -> None:
    """Refuse a prior that holds real patients: equal in every column, and more often than chance has it.

    Chance is how often rows of the same table equal each other, as in coarse data many do.

    Raises
    ------
    UsageError
        When it does.
    """
    left, right = row_keys(real[schema.columns]), row_keys(prior[schema.columns])
    same = int(right.isin(set(left)).sum())
    if len(left) and sorted(left) == sorted(right):
        raise UsageError(f"the prior is the data to learn from ({same} equal rows); {_ADVICE}")
    if same > FEW and (_beyond(right, left) or _beyond(left, right)):
        raise UsageError(
            f"{same} of {len(right)} rows of the prior equal a row of the data in every column, more than by "
            f"chance; {_ADVICE}"
        )


_ADVICE: Final = "a prior has to be of nobody: give simulated patients, or leave it out"


def _beyond(ours: pd.Series, others: pd.Series) -> bool:
    """Whether more of ``ours`` equal one of ``others`` than these equal each other."""
    share, usual = float(ours.isin(set(others)).mean()), float(others.duplicated(keep=False).mean())
    error = sqrt(usual * (1 - usual) * (1 / len(ours) + 1 / len(others)))
    return share - usual > SHARED + DEVIATIONS * error


def _rows(path: Path, schema: FeatureSchema) -> pd.DataFrame:
    if not path.is_dir():
        return tidied(read_table(path).frame, path)
    features = path / "features.parquet"
    if features.exists():
        return read_table(features).frame
    if not stored(path, "patients"):
        raise UsageError(f"{path}: has no features.parquet; make it with: fhirsynth flatten")
    if not any(feature.source.codes for feature in schema.features):
        raise UsageError(f"{path}: holds tables of FHIR, and the columns to learn are others; give a file with these")
    from fhirsynth.features import build_features

    return build_features(path, schema)


def _source(path: Path) -> str:
    """Who made the rows, if a manifest beside them says that they are simulated."""
    try:
        manifest: Any = read_json((path if path.is_dir() else path.parent) / "manifest.json")
    except (OSError, ValueError):
        return UNKNOWN
    generated = manifest.get("generated") if isinstance(manifest, dict) else None
    if not isinstance(generated, dict):
        return UNKNOWN
    return f"simulated with Synthea {generated.get('synthea', '')}".rstrip()
