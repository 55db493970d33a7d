"""croissant.json: MLCommons Croissant 1.0 metadata of the synthetic data, with the responsible-AI extension.

Croissant: https://docs.mlcommons.org/croissant/docs/croissant-spec.html

RAI: https://docs.mlcommons.org/croissant/docs/croissant-rai-spec.html. Its vocabulary has no property that says that
data are synthetic, so keywords, description and ``rai:dataCollection`` say it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

from fhirsynth import __version__
from fhirsynth.schema import Feature, FeatureSchema, Kind
from fhirsynth.trilemma.documents import provenance as origin
from fhirsynth.trilemma.documents import uses
from fhirsynth.trilemma.measure import DIMENSIONS, Report
from synthea_bridge.files import sha256_of

CONFORMS_TO: Final = ("http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0")

TABLE: Final = "patients"
"""``@id`` of the record set: one record a synthetic patient."""

DATA_TYPES: Final[Mapping[Kind, str]] = {
    "number": "sc:Float",
    "count": "sc:Integer",
    "flag": "sc:Boolean",
    "category": "sc:Text",
}
MEDIA_TYPES: Final = {
    ".parquet": "application/x-parquet",
    ".csv": "text/csv",
    ".csv.gz": "text/csv",
    ".ndjson": "application/fhir+ndjson",
    ".json": "application/fhir+json",
}
"""Media types by the end of a name; the one of Parquet is the one that readers of Croissant know."""

TABULAR: Final = frozenset({"application/x-parquet", "text/csv"})

_TERMS: Final = re.findall(
    r"\w+",
    """
    citeAs column equivalentProperty extract field fileObject fileProperty fileSet format includes isLiveDataset
    jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator source
    subField transform
    """,
)
"""Terms of Croissant's own vocabulary that the context must name."""

_RULES: Final = {
    "latest": "last value on or before the index date, LOINC {codes}",
    "present": "begun and not ended at the index date, SNOMED CT {codes}",
}
_UNKNOWN_DATE: Final = date(1970, 1, 1)
"""The index date of a schema that was guessed: there is none."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of the synthetic data.

    Parameters
    ----------
    path
        Relative to the folder of the report, with ``/``; or the bare name of the file.
    sha256
        Of its bytes, in hexadecimal.
    bytes
        Its size.
    media_type
        E.g. ``application/x-parquet``, ``text/csv`` or ``application/fhir+ndjson``.
    """

    path: str
    sha256: str
    bytes: int
    media_type: str

    @classmethod
    def of(cls, path: Path, folder: Path) -> Self:
        """Describe a file on disk for a report in ``folder``.

        A file below ``folder`` or below its parent goes by its relative path; of any other only the name is told, so
        that no report carries the paths of a machine.
        """
        near = Path(os.path.relpath(path.resolve(), folder.resolve()))
        shown = near.as_posix() if near.parts[:2].count("..") < 2 and not near.is_absolute() else path.name
        kind = next((one for end, one in MEDIA_TYPES.items() if path.name.lower().endswith(end)), None)
        return cls(shown, sha256_of(path), path.stat().st_size, kind or "application/octet-stream")


def croissant(
    report: Report, provenance: Mapping[str, Any], schema: FeatureSchema, files: Sequence[DataFile]
) -> dict[str, Any]:
    """Croissant metadata of the synthetic data as JSON-LD values.

    Parameters
    ----------
    report
        What was found of them.
    provenance
        As :func:`fhirsynth.trilemma.documents.report.write_report` takes it.
    schema
        The columns of the synthetic rows: each becomes a field.
    files
        The files that hold them; fields are read from the first Parquet or CSV file, and without one there are none.
    """
    table = next((file for file in files if file.media_type in TABULAR), None)
    body = {
        "@context": _context(),
        "@type": "sc:Dataset",
        "conformsTo": list(CONFORMS_TO),
        **_about(report, provenance, schema, files),
        "distribution": [_file(file) for file in files],
        **_responsible(report, provenance),
    }
    return body if table is None else {**body, "recordSet": [_records(report, schema, table)]}


def _context() -> dict[str, Any]:
    return {
        "@language": "en",
        "@vocab": "https://schema.org/",
        "sc": "https://schema.org/",
        "cr": "http://mlcommons.org/croissant/",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "dct": "http://purl.org/dc/terms/",
        "conformsTo": "dct:conformsTo",
        "data": {"@id": "cr:data", "@type": "@json"},
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        "examples": {"@id": "cr:examples", "@type": "@json"},
        **{term: f"cr:{term}" for term in _TERMS},
    }


def _about(
    report: Report, provenance: Mapping[str, Any], schema: FeatureSchema, files: Sequence[DataFile]
) -> dict[str, Any]:
    """Name, identifier, version, date, licence and maker; what is not recorded is said to be so, or left out."""
    condition = report.cohort_title
    title = f"Synthetic patients: {condition}" if condition else "Synthetic patients"
    run = provenance.get("run_id")
    urn = f"urn:fhirsynth:run:{_quoted(run)}" if run else f"urn:fhirsynth:sha256:{files[0].sha256}" if files else None
    known = schema.index_date != _UNKNOWN_DATE
    found: dict[str, Any] = {
        "name": title,
        "description": _description(report, provenance, dated=known),
        "citeAs": f"{title}. Made with fhirsynth {__version__}{f', run {run}' if run else ''}.",
        "license": str(provenance.get("license") or "Not recorded: whoever publishes these data has to state one."),
        "creator": {
            "@type": "sc:Organization",
            "name": str(provenance.get("creator") or f"Not recorded; made with fhirsynth {__version__}"),
        },
        "keywords": ["synthetic data", "FHIR", "electronic health records", *([condition] if condition else [])],
        "version": _version(run),
        "isLiveDataset": False,
    }
    if known:
        found |= {"datePublished": schema.index_date.isoformat(), "temporalCoverage": schema.index_date.isoformat()}
    return {**found, "identifier": urn, "url": urn} if urn else found


def _description(report: Report, provenance: Mapping[str, Any], *, dated: bool) -> str:
    sizes = report.sizes
    which = f" ({sizes.synthetic_cases} of them with {report.cohort_title})" if report.cohort_title else ""
    verdicts = ", ".join(f"{name} {report.verdicts[name]}" for name in DIMENSIONS if name in report.verdicts)
    day = (
        " The date is the index date, the day at which every patient is described; when the data were published is "
        "not recorded."
    )
    return (
        f"{sizes.synthetic} synthetic patients{which}, one row each; no row is meant to be a real person. Drawn by "
        f"{origin.generator(provenance) or 'a generator that is not recorded'} after learning from {sizes.train} "
        f"training patients. Judged by fhirsynth {__version__}: {verdicts}; the report's self-test "
        f"{'held' if report.valid else 'did NOT hold, so that the verdicts say nothing'}.{day if dated else ''}"
    )


def _version(run: Any) -> str:
    """Semantic version: that of the maker, with the run as build."""
    core = re.match(r"\d+\.\d+\.\d+", __version__)
    base = core[0] if core else "0.0.0"
    return f"{base}+{run}" if re.fullmatch(r"[0-9A-Za-z-]+", str(run or "")) else base


def _quoted(name: Any) -> str:
    return quote(str(name), safe="")


def _file(file: DataFile) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": _quoted(file.path),
        "name": file.path.rpartition("/")[2],
        "contentUrl": file.path,
        "contentSize": f"{file.bytes} B",
        "encodingFormat": file.media_type,
        "sha256": file.sha256,
    }


def _records(report: Report, schema: FeatureSchema, table: DataFile) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": TABLE,
        "name": TABLE,
        "description": "One record a synthetic patient. The file may hold a column patient_id, which is only a number.",
        "field": [_field(feature, table, is_label=feature.name == report.target) for feature in schema.features],
    }


def _field(feature: Feature, table: DataFile, *, is_label: bool) -> dict[str, Any]:
    kind = DATA_TYPES[feature.kind]
    return {
        "@type": "cr:Field",
        "@id": f"{TABLE}/{_quoted(feature.name)}",
        "name": feature.name,
        "description": _words(feature),
        "dataType": [kind, "cr:Label"] if is_label else kind,
        "source": {"fileObject": {"@id": _quoted(table.path)}, "extract": {"column": feature.name}},
    }


def _words(feature: Feature) -> str:
    """A column in words: title, unit, bounds or values, where it comes from, and whether it can be missing."""
    said = [feature.title]
    if feature.unit:
        said.append(f"unit {feature.unit} (UCUM)")
    if feature.minimum is not None or feature.maximum is not None:
        ends = ["…" if one is None else f"{one:g}" for one in (feature.minimum, feature.maximum)]
        said.append(f"{ends[0]} to {ends[1]}")
    if feature.categories:
        said.append("one of " + ", ".join(feature.categories))
    if feature.source.rule in _RULES and feature.source.codes:
        said.append(_RULES[feature.source.rule].format(codes=", ".join(feature.source.codes)))
    if feature.nullable:
        said.append("may be missing")
    return "; ".join(said)


def _responsible(report: Report, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The properties of the RAI vocabulary that fit data of this kind."""
    told = [one for one in report.findings if one.dimension == "fidelity" and one.verdict != "PASS"]
    dropped = origin.stage(provenance, "synthetic").get("rejected_rows")
    protocol = "Rows that broke a declared rule or bound were drawn again"
    privacy = report.verdicts.get("privacy", "not measured")
    return {
        "rai:dataCollection": (
            "Nothing was collected from people for these data: every row is synthetic, drawn from a generator. "
            + origin.source_words(provenance)
        ),
        "rai:dataCollectionType": ["Others (synthetic: drawn from a generator)"],
        "rai:dataCollectionMissingData": uses.MISSING,
        "rai:dataPreprocessingProtocol": [protocol + (f": {dropped} of them." if dropped is not None else ".")],
        "rai:dataBiases": [report.composition, *(f"{one.cohort}: {one.sentence}" for one in told)],
        "rai:dataLimitations": [*uses.LIMITS, *uses.unsuited(report), *report.warnings],
        "rai:dataUseCases": uses.suited(report),
        "rai:dataSocialImpact": uses.IMPACT,
        "rai:personalSensitiveInformation": [
            f"No row is meant to be a person. Whether training patients can be recognised: privacy is {privacy}.",
            f"Columns that were treated as sensitive: {', '.join(report.sensitive) or 'none'}.",
            origin.privacy_words(provenance),
        ],
        "rai:dataReleaseMaintenancePlan": uses.MAINTENANCE,
    }
