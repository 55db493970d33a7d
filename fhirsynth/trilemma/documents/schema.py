"""report.schema.json: what report.json may hold, made from the model of the report.

``python -m fhirsynth.trilemma.documents.schema`` writes it anew beside this file; a test says when that is due. It is
JSON Schema draft 2020-12 (https://json-schema.org/draft/2020-12/schema).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Final, get_args

from pydantic import BaseModel

from fhirsynth.trilemma.measure import DIMENSIONS, SCHEMA_VERSION, Report
from synthea_bridge.files import write_json

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
SCHEMA_ID: Final = f"urn:fhirsynth:report:{SCHEMA_VERSION}"
"""Name of this version of the schema; report.json says it under ``$schema``."""

PATH: Final = Path(__file__).with_name("report.schema.json")

_EXTRA: Final[dict[str, dict[str, Any]]] = {
    "$schema": {"const": SCHEMA_ID, "description": "Name of the schema that the file keeps to."},
    "fhirsynth": {"type": "string", "description": "Version of fhirsynth that wrote the file."},
    "run_id": {"type": ["string", "null"], "description": "The run that the rows come from; null: not recorded."},
}
"""What :func:`fhirsynth.trilemma.documents.report.as_json` puts beside the fields of the model."""

_REPORT: Final = {
    "schema_version": "Version of the meaning and the fields of this file.",
    "valid": "Whether every control of the self-test answered as it must; if not, believe nothing else in here.",
    "verdicts": "The worst finding of each dimension, over cohorts.",
    "findings": "One verdict with a plain sentence for each dimension and cohort.",
    "sizes": "Rows that were judged.",
    "target": "The flag that utility predicts; null: there was none.",
    "cohort_column": "The flag that makes the rare cohort; null: there is none.",
    "cohort_title": "The rare cohort in words.",
    "sensitive": "Columns that attribute inference guesses.",
    "seed": "Seed of every random choice.",
    "composition": "What the synthetic rows are, and how they were completed to be compared.",
    "measures": "Every figure with its interval, target and verdict.",
    "columns": "Fidelity column by column.",
    "controls": "The self-test: data of which the right answer is known.",
    "warnings": "What a reader must know before reading on.",
    "attributes": "Attribute inference by sensitive column.",
    "rules": "Clinical plausibility and order in time.",
    "timeline": "Properties of the histories, where there are any.",
    "years": "Histories are compared over so many last years alone; null: from their beginning.",
    "uplift": "Whether synthetic positives help a classifier; null: not measured.",
    "natural": "Means weighted to the natural population, where rows carry weights.",
    "pictures": "Aggregates to draw.",
}
"""The report's own fields in words; the other models say it in their docstrings."""

_COMMON: Final = {
    "arm": "Name of the arm.",
    "arms": "Ways to help the classifier, real patients alone first.",
    "auc": "Area under the curve.",
    "auprc": "Average precision on the real holdout.",
    "band": "95th percentile of the same between two real samples.",
    "cohort": "Whom it is about: everybody, or the patients with the condition.",
    "curve": "The mixing curve.",
    "dimension": "What it says something about.",
    "discrete": "Whether labels are values; otherwise they are middles of bins.",
    "distance": "Distance of the synthetic distribution from the real one.",
    "fpr": "False positive rates.",
    "got": "The verdicts that the control was given.",
    "group": "Which kind it is.",
    "high": "Upper end of a 95 % interval or band.",
    "holdout": "Real patients that the generator never saw.",
    "labels": "Columns, values or bins, in the order of the figures.",
    "low": "Lower end of a 95 % interval or band.",
    "missing_real": "Share of real patients without a value.",
    "missing_synthetic": "Share of synthetic patients without a value.",
    "must": "What the verdict on it has to be.",
    "n": "Rows that the figure rests on.",
    "name": "Identifier.",
    "note": "What a reader has to know about it.",
    "ok": "Whether the control answered as it must.",
    "p": "p-value of the difference.",
    "p_holm": "p-value after Holm's correction over columns.",
    "real": "The figure for real patients.",
    "sentence": "The result in one plain sentence.",
    "synthetic": "The figure for synthetic patients.",
    "test": "Which test the p-value is from.",
    "title": "Words for people.",
    "tpr": "True positive rates.",
    "unit": "Unit of the figures.",
    "value": "The estimate.",
    "verdict": "PASS, FAIL, or UNDERPOWERED where the sample cannot tell; null: it decides nothing.",
}
"""Fields that mean the same in every model whose docstring does not say otherwise."""


def report_schema() -> dict[str, Any]:
    """The JSON Schema of report.json."""
    schema = Report.model_json_schema(mode="serialization")
    models = {model.__name__: model for model in _models(Report)}
    for name, part in schema["$defs"].items():
        _describe(part, models[name])
    _describe(schema, Report)
    for name, words in _REPORT.items():
        if name in schema["properties"]:
            schema["properties"][name]["description"] = words
    return {**_closed(schema), "$schema": DIALECT, "$id": SCHEMA_ID, "title": "report.json of fhirsynth"}


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """``schema`` with what the writer adds, and with the two fields that the model leaves open as they must be."""
    verdict = schema["properties"]["verdicts"]["additionalProperties"]
    schema["properties"]["verdicts"] |= {
        "properties": dict.fromkeys(DIMENSIONS, verdict),
        "required": list(DIMENSIONS),
        "additionalProperties": False,
    }
    schema["properties"]["schema_version"] |= {"const": SCHEMA_VERSION}
    schema["properties"] |= _EXTRA
    schema["required"] = [*schema["required"], *_EXTRA]
    return schema


def _describe(part: dict[str, Any], model: type[BaseModel]) -> None:
    """Put the words of a docstring to the model and to its fields; all fields are written, so all are required."""
    head, fields = _docstring(model)
    part["description"] = head
    for name, body in part.get("properties", {}).items():
        body.pop("title", None)
        body.pop("default", None)
        words = fields.get(name, _COMMON.get(name))
        if words is not None:
            body["description"] = words
    part["required"] = list(part.get("properties", {}))


def _docstring(model: type[BaseModel]) -> tuple[str, dict[str, str]]:
    """What stands before ``Parameters``, and the words for each name in it."""
    head, _, tail = inspect.cleandoc(model.__doc__ or "").partition("\nParameters\n----------\n")
    fields: dict[str, str] = {}
    for names, words in re.findall(r"^(\S.*)\n((?:[ ]{4}.*\n?)+)", tail, flags=re.MULTILINE):
        fields |= dict.fromkeys(names.split(", "), _one_line(words))
    return _one_line(head), fields


def _one_line(text: str) -> str:
    """Text without line breaks, roles and doubled backticks of reStructuredText."""
    return re.sub(r":\w+:`[~.]?([^`]*)`", r"\1", " ".join(text.split())).replace("``", "`")


def _models(kind: Any) -> Iterator[type[BaseModel]]:
    """The models that a type is made of, the outer one first."""
    if isinstance(kind, type) and not isinstance(kind, UnionType) and issubclass(kind, BaseModel):
        yield kind
        for field in kind.model_fields.values():
            yield from _models(field.annotation)
    for inner in get_args(kind):
        yield from _models(inner)


if __name__ == "__main__":
    write_json(PATH, report_schema())
