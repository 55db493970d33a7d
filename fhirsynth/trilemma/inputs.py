"""Three tables from disk, checked against one schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fhirsynth.errors import UsageError
from fhirsynth.guess import KEYS, as_kinds, guess_schema
from fhirsynth.schema import FeatureSchema
from synthea_bridge.files import read_json


@dataclass(frozen=True, slots=True)
class Inputs:
    """Train, holdout and synthetic rows with their schema, and ``more`` frames by name.

    ``notices`` are lines for the user: what was guessed where nobody gave a schema, and what was left out.
    """

    frames: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]
    schema: FeatureSchema
    more: dict[str, pd.DataFrame]
    notices: tuple[str, ...] = ()


def read_inputs(
    train: Path,
    holdout: Path,
    synthetic: Path,
    schema: Path | None = None,
    target: str | None = None,
    more: Mapping[str, Path] | None = None,
) -> Inputs:
    """Read Parquet or CSV files; the schema is ``schema``, or ``schema.json`` beside ``train``, or guessed.

    Raises
    ------
    UsageError
        When a file cannot be read as its kind, or lacks a column that the others have.
    """
    paths = {"train": train, "holdout": holdout, "synthetic": synthetic}
    extra = dict(more or {})
    frames = {name: read_table(path) for name, path in (paths | extra).items()}
    three = [frames[name] for name in paths]
    beside = train.with_name("schema.json")
    place = schema if schema is not None else beside if beside.exists() else None
    given = FeatureSchema.load(place) if place is not None else None
    every = dict.fromkeys(name for frame in three for name in frame.columns if name not in KEYS)
    columns = given.columns if given is not None else list(every)
    for name, path in (paths | extra).items():
        absent = [column for column in columns if column not in frames[name].columns]
        if absent:
            raise UsageError(
                f"{path}: lacks the columns {', '.join(absent)}; all tables need the same ones (see --schema)"
            )
    found, notices = (given, ()) if given is not None else guess_schema(three, target)
    ready = {name: as_kinds(frame, found) for name, frame in frames.items()}
    judged = ready["train"], ready["holdout"], ready["synthetic"]
    return Inputs(judged, found, {name: ready[name] for name in extra}, notices)


@dataclass(frozen=True, slots=True)
class MadeBy:
    """Which generator made the rows, as far as the folder that they lie in says so."""

    name: str
    stages: dict[str, Any]


def made_by(synthetic: Path) -> MadeBy:
    """Read the manifest that ``augment`` leaves beside its rows; a file from elsewhere is just "synthetic"."""
    try:
        manifest = read_json(synthetic.with_name("manifest.json"))
    except (OSError, ValueError):
        return MadeBy("synthetic", {})
    if not isinstance(manifest, dict) or manifest.get("stage") != "synthetic":
        return MadeBy("synthetic", {})
    model = manifest.get("model")
    name = model.get("model") if isinstance(model, dict) else None
    return MadeBy(name if isinstance(name, str) else "synthetic", {"synthetic": manifest})


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
