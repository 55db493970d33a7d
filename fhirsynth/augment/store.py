"""Fitted models on disk: a folder that says what it is, and is read back only when nothing in it was altered."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import pandas as pd

from fhirsynth.augment.protocol import Synthesizer
from fhirsynth.augment.registry import PROTECTED, model_class
from fhirsynth.constraints import ConstraintSet
from fhirsynth.errors import AugmentError, UsageError
from fhirsynth.schema import FeatureSchema
from fhirsynth.workspace import fingerprint
from synthea_bridge.files import atomic_file, atomic_folder, read_json, sha256_of, write_json

DESCRIPTION: Final = "model.json"
CONSTRAINTS: Final = "constraints.json"
WARNING: Final = (
    "A fitted model can give away the patients that it was trained on, up to whole rows, whatever the privacy figures "
    "of a sample from it say. Keep its folder where the training data may be kept, and pass it on to nobody who may "
    "not have these; --no-model makes the rows without leaving a model."
)
BOUNDED: Final = (
    "This model is counts with noise. What it can give away is bounded by the epsilon and delta that stand in it, "
    "together with those of each further fit to the same patients; the training data beside it are not protected."
)


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model that was read back, and what belongs to it."""

    synthesizer: Synthesizer
    schema: FeatureSchema
    constraints: ConstraintSet
    description: dict[str, Any]


def save_model(
    folder: Path, synthesizer: Synthesizer, schema: FeatureSchema, constraints: ConstraintSet, facts: dict[str, Any]
) -> dict[str, Any]:
    """Write a model folder whole or not at all, and return its description.

    Parameters
    ----------
    facts
        What else the description should say (seed, rows, cases, hash of the training data).

    Returns
    -------
    dict
        What ``model.json`` says, without the hashes of the files.
    """
    with atomic_folder(folder) as scratch:
        synthesizer.save(scratch)
        schema.save(scratch / "schema.json")
        with atomic_file(scratch / CONSTRAINTS) as path:
            path.write_text(constraints.model_dump_json(indent=2) + "\n", encoding="utf-8")
        description = {**describe(synthesizer, schema, facts), "warning": warning_of(synthesizer.name)}
        files = {path.name: sha256_of(path) for path in sorted(scratch.iterdir())}
        write_json(scratch / DESCRIPTION, {**description, "sha256": files})
    return description


def warning_of(model: str) -> str:
    """What whoever keeps a fitted model should know."""
    return BOUNDED if model in PROTECTED else WARNING


def describe(synthesizer: Synthesizer, schema: FeatureSchema, facts: dict[str, Any]) -> dict[str, Any]:
    """What a fitted model is, saved or not: its name, parameters and schema (a fingerprint), and ``facts``."""
    return {
        "model": synthesizer.name,
        "parameters": synthesizer.parameters(),
        "schema": fingerprint(schema.model_dump(mode="json")),
        **facts,
    }


def load_model(folder: Path) -> StoredModel:
    """Check every file against ``model.json``, and only then read the model.

    The hashes find accidents and careless changes. They are no signature: a model from a stranger runs the stranger's
    code, as any pickle does.

    Raises
    ------
    UsageError
        When it is not a model folder.
    AugmentError
        When a file is missing or altered.
    """
    description = _description(folder)
    for name, expected in description["sha256"].items():
        path = folder / Path(name).name
        if not path.is_file():
            raise AugmentError(f"{path}: is missing; fit the model again with: fhirsynth augment")
        if sha256_of(path) != expected:
            raise AugmentError(f"{path}: was altered since it was saved; fit the model again with: fhirsynth augment")
    synthesizer = model_class(description["model"]).load(folder)
    schema = FeatureSchema.load(folder / "schema.json")
    constraints = ConstraintSet.model_validate_json((folder / CONSTRAINTS).read_bytes())
    return StoredModel(synthesizer, schema, constraints, description)


def _description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    try:
        description = read_json(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); give the model folder of an augment") from error
    except orjson.JSONDecodeError as error:
        raise AugmentError(f"{path}: is not JSON ({error}); fit the model again with: fhirsynth augment") from error
    if not isinstance(description, dict) or not isinstance(description.get("sha256"), dict):
        raise AugmentError(f"{path}: is not a model description; fit the model again with: fhirsynth augment")
    return description


def hash_of(frame: pd.DataFrame) -> str:
    """SHA-256 of a frame's values and column names."""
    return hashlib.sha256(frame.to_csv(index=False).encode()).hexdigest()
