"""Three tables from disk, checked against one schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from fhirsynth.guess import as_kinds, guess_schema, refuse_lacking
from fhirsynth.schema import FeatureSchema
from fhirsynth.tables import MEASURED, WEIGHT, read_table, tidied
from fhirsynth.texts import as_numbers
from synthea_bridge.files import read_json

THREE: Final = ("train", "holdout", "synthetic")


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
        When a file cannot be read as its kind, lacks a column that the others have, or holds another kind of value.
    EvaluateError
        When a file has no rows.
    """
    paths = {"train": train, "holdout": holdout, "synthetic": synthetic, **(more or {})}
    tables = {name: read_table(path) for name, path in paths.items()}
    said = [
        f"{', '.join(name for name, one in tables.items() if one.notice == notice)}: {notice}"
        for notice in dict.fromkeys(one.notice for one in tables.values() if one.notice)
    ]
    frames = {name: table.frame for name, table in tables.items()}
    place = schema if schema is not None else train.with_name("schema.json")
    if schema is not None or place.exists():
        found = FeatureSchema.load(place)
        for name, path in paths.items():
            refuse_lacking(str(path), frames[name], found.columns)
        ready = {name: as_kinds(frame, found) for name, frame in frames.items()}
    else:
        frames, renamed = _measured({name: tidied(frame, paths[name]) for name, frame in frames.items()})
        guess = guess_schema([frames[name] for name in THREE], target, [str(paths[name]) for name in THREE])
        found, said = guess.schema, [*said, *guess.notices, *renamed]
        for name, path in paths.items():
            refuse_lacking(str(path), frames[name], found.columns)
        ready = {name: guess.read(frame) for name, frame in frames.items()}
    ready, weighted = _weighed(ready, told=schema is None and not place.exists())
    judged = ready["train"], ready["holdout"], ready["synthetic"]
    return Inputs(judged, found, {name: ready[name] for name in more or {}}, (*said, *weighted))


def _measured(frames: dict[str, pd.DataFrame]) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """A weight that synthetic rows have too is the patient's, and none of sampling: it gets another name."""
    if not all(WEIGHT in frames[name].columns for name in THREE):
        return frames, []
    renamed = {name: frame.rename(columns={WEIGHT: MEASURED}) for name, frame in frames.items()}
    return renamed, [f"{WEIGHT} is compared like any other column, as {MEASURED}: synthetic rows have it too"]


def _weighed(frames: dict[str, pd.DataFrame], *, told: bool) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Weights of the real rows as numbers, or without them where they are none; and a line about it."""
    real = {name: frames[name] for name in THREE[:2] if WEIGHT in frames[name].columns}
    if not real:
        return frames, []
    weights = {name: as_numbers(frame[WEIGHT]) for name, frame in real.items()}
    wrong = [name for name, one in weights.items() if one.isna().any() or not np.isfinite(one).all() or (one < 0).any()]
    wrong += [name for name, one in weights.items() if name not in wrong and not one.sum() > 0]
    if wrong or len(real) < 2:
        reason = (
            f"the one of {' and of '.join(wrong)} has values that are missing, negative or no numbers, or only zeros"
        )
        why = reason if wrong else f"only {next(iter(real))} has it"
        bare = {name: frame.drop(columns=WEIGHT, errors="ignore") for name, frame in frames.items()}
        return bare, [f"{WEIGHT} (how many people a row stands for) is not used: {why}"]
    said = f"{WEIGHT} is taken as how many people a row stands for; rename the column if it is something measured"
    return frames | {name: real[name].assign(**{WEIGHT: one}) for name, one in weights.items()}, [said] if told else []


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
