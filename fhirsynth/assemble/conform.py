"""What is emitted is checked: each resource against the R4B models, and the whole against the rows it came from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import orjson
import pandas as pd
from pydantic import ValidationError

from fhirsynth.errors import AssembleError
from fhirsynth.schema import FeatureSchema

REMEMBERED: Final = 5_000
"""Elements that are remembered as valid, some 20 MB; ten times as many are no faster."""
_UNIQUE: Final = frozenset({"identifier", "component"})
_Missing = list[tuple[tuple[str, str, bytes], str]]
_valid: dict[tuple[str, str, bytes], Any] = {}
"""Elements that have been found valid, as the model that they became, by type, name and JSON."""


@cache
def _model(kind: str) -> tuple[Any, dict[str, str]]:
    """The R4B model of a type, and its attributes by the names of elements."""
    from fhir.resources.R4B import get_fhir_model_class

    model = get_fhir_model_class(kind)
    return model, {field.alias or name: name for name, field in model.model_fields.items()}


def check(resource: Mapping[str, Any], patient: str) -> str:
    """Validate a resource against the R4B model of its type, and return the type.

    Raises
    ------
    AssembleError
        With the patient, the resource and the first thing that is wrong.
    """
    kind = str(resource["resourceType"])
    wrong = problem(resource)
    if wrong is not None:
        raise AssembleError(f"{patient}, {kind}/{resource['id']}: {wrong}; please report this")
    return kind


def problem(resource: Mapping[str, Any]) -> str | None:
    """The first thing for which a resource is not valid R4, by the model of its type; None when it is valid."""
    kind, parts = str(resource["resourceType"]), resource.get("component")
    model, _ = _model(kind)
    filled, missing = _filled(kind, resource)
    sound = isinstance(parts, list) and all(isinstance(part, dict) for part in parts)
    inner = [_filled("ObservationComponent", part) for part in parts or ()] if sound else []
    if inner:
        filled["component"] = [part for part, _ in inner]
    try:
        made = model.model_validate(filled)
    except ValidationError as error:
        first = error.errors()[0]
        return f"is not valid R4 ({'.'.join(map(str, first['loc']))}: {first['msg']})"
    _remember(made, missing)
    for one, (_, lacking) in zip(made.component if inner else (), inner, strict=True):
        _remember(one, lacking)
    return None


def _filled(kind: str, element: Mapping[str, Any]) -> tuple[dict[str, Any], _Missing]:
    """The element, with models in place of those of its parts that were valid before, and the parts that were not met.

    Most of what resources say (codes, categories, units) they all say alike, and a model is not validated twice.
    """
    filled, missing = dict(element), []
    for name, part in element.items():
        if isinstance(part, dict | list) and name not in _UNIQUE:
            key = (kind, name, orjson.dumps(part))
            known = _valid.get(key)
            if known is None:
                missing.append((key, name))
            else:
                filled[name] = known
    return filled, missing


def _remember(made: Any, missing: _Missing) -> None:
    if len(_valid) + len(missing) > REMEMBERED:
        _valid.clear()
    for key, name in missing:
        _valid[key] = getattr(made, _model(key[0])[1][name])


def check_round_trip(reread: pd.DataFrame, rows: pd.DataFrame, schema: FeatureSchema, names: Mapping[str, str]) -> None:
    """Compare the features that were read back from Bundles with the rows that the Bundles were made from.

    Parameters
    ----------
    reread
        Features of the emitted Bundles.
    rows
        The synthetic rows that became patients.
    names
        Patient id in the Bundles, by ``patient_id`` of the rows.

    Raises
    ------
    AssembleError
        At the first value that differs, with how many do.
    """
    expected = schema.conform(rows).assign(patient_id=rows["patient_id"].map(names).astype("string"))
    left = expected.sort_values("patient_id", ignore_index=True)
    right = schema.conform(reread).sort_values("patient_id", ignore_index=True)
    if not left["patient_id"].equals(right["patient_id"].astype("string")):
        raise AssembleError(f"{len(left)} rows became {len(right)} patients, or others; please report this")
    wrong = [
        (name, patient, before, after)
        for name in schema.columns
        for patient, before, after in zip(left["patient_id"], left[name], right[name], strict=True)
        if not (before == after if pd.notna(before) and pd.notna(after) else pd.isna(before) and pd.isna(after))
    ]
    if wrong:
        name, patient, before, after = wrong[0]
        raise AssembleError(
            f"Patient/{patient}, {name}: was {before} in the row and is {after} in the Bundle "
            f"({len(wrong)} values differ); please report this"
        )
