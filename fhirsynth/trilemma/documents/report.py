"""A report on disk: report.json, report.html, datasheet.md, model-card.json and croissant.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fhirsynth import __version__
from fhirsynth.schema import FeatureSchema
from fhirsynth.trilemma.documents.croissant import DataFile, croissant
from fhirsynth.trilemma.documents.datasheet import datasheet
from fhirsynth.trilemma.documents.modelcard import model_card
from fhirsynth.trilemma.documents.schema import SCHEMA_ID
from fhirsynth.trilemma.measure import Report
from fhirsynth.trilemma.page.render import page
from synthea_bridge.files import atomic_file, write_json

DIGITS = 6
"""Digits after the point that are written: the last bits of a double are noise."""


def write_report(
    report: Report,
    provenance: Mapping[str, Any],
    out: Path,
    *,
    schema: FeatureSchema | None = None,
    files: Sequence[DataFile] = (),
) -> None:
    """Write the files of a report into the folder ``out``.

    Parameters
    ----------
    report
        What was found.
    provenance
        What is known of how the data were made: ``run_id`` and the manifests ``generated``, ``tables``, ``synthetic``
        and ``bundles``, and ``license`` and ``creator`` of the synthetic data in words. All of it may be missing.
    out
        A folder; it is made if need be, and other files in it stay.
    schema
        The columns of the synthetic rows; without it there is no croissant.json.
    files
        The files that hold the synthetic data.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "report.json", as_json(report, provenance))
    write_json(out / "model-card.json", rounded(model_card(report, provenance)))
    if schema is not None:
        write_json(out / "croissant.json", rounded(croissant(report, provenance, schema, files)))
    texts = {
        "datasheet.md": datasheet(report, provenance, schema=schema, files=files),
        "report.html": page(report, provenance),
    }
    for name, text in texts.items():
        with atomic_file(out / name) as scratch:
            scratch.write_text(text, encoding="utf-8")


def as_json(report: Report, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The report as JSON values, rounded, as ``report.schema.json`` describes it."""
    body: dict[str, Any] = rounded(report.model_dump(mode="json"))
    return {**body, "$schema": SCHEMA_ID, "fhirsynth": __version__, "run_id": provenance.get("run_id")}


def rounded(value: Any) -> Any:
    """JSON values with every float cut to :data:`DIGITS` digits after the point."""
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return value
