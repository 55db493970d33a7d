"""Three tables from disk, checked against one schema."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fhirsynth.errors import UsageError
from fhirsynth.guess import as_kinds, guess_schema
from fhirsynth.schema import FeatureSchema


@dataclass(frozen=True, slots=True)
class Inputs:
    """Train, holdout and synthetic rows with their schema; ``guessed`` when nobody gave one."""

    frames: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]
    schema: FeatureSchema
    guessed: bool


def read_inputs(
    train: Path, holdout: Path, synthetic: Path, schema: Path | None = None, target: str | None = None
) -> Inputs:
    """Read Parquet or CSV files; the schema is ``schema``, or ``schema.json`` beside ``train``, or guessed.

    Raises
    ------
    UsageError
        When a file cannot be read as its kind, or lacks a column that the others have.
    """
    paths = (train, holdout, synthetic)
    frames = [read_table(path) for path in paths]
    beside = train.with_name("schema.json")
    place = schema if schema is not None else beside if beside.exists() else None
    if place is not None:
        found = FeatureSchema.load(place)
        columns = found.columns
    else:
        columns = list(dict.fromkeys(name for frame in frames for name in frame.columns if name != "patient_id"))
    for path, frame in zip(paths, frames, strict=True):
        absent = [name for name in columns if name not in frame.columns]
        if absent:
            raise UsageError(
                f"{path}: lacks the columns {', '.join(absent)}; all three tables need the same ones (see --schema)"
            )
    final = found if place is not None else guess_schema(frames, target)
    ready = [as_kinds(frame, final) for frame in frames]
    return Inputs((ready[0], ready[1], ready[2]), final, guessed=place is None)


def read_table(path: Path) -> pd.DataFrame:
    """A Parquet or CSV (``.csv``, ``.csv.gz``) file as a frame."""
    name = path.name.lower()
    try:
        if name.endswith((".csv", ".csv.gz")):
            return pd.read_csv(path, dtype={"patient_id": "string"})
        return pd.read_parquet(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is neither Parquet nor CSV by its content and name ({error})") from error
