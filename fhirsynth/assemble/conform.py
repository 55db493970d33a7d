"""What is emitted is checked: each resource against the R4B models, and the whole against the rows it came from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import pandas as pd
from pydantic import ValidationError

from fhirsynth.errors import AssembleError
from fhirsynth.schema import FeatureSchema


@cache
def _model(kind: str) -> Any:
    from fhir.resources.R4B import get_fhir_model_class

    return get_fhir_model_class(kind)


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
    try:
        _model(str(resource["resourceType"])).model_validate(resource)
    except ValidationError as error:
        first = error.errors()[0]
        return f"is not valid R4 ({'.'.join(map(str, first['loc']))}: {first['msg']})"
    return None


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
