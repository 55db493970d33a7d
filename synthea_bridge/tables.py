"""The tables: every column with its dtype, unit, key and FHIR element. THE contract between the stages.

A FHIR date or dateTime becomes two columns: ``X`` is the instant in UTC (the start of the period where the source is
only a year, a month or a day), for computing; ``X_text`` is the text as it stood in the source, which keeps offset and
precision. Codes keep system, code and display; where an element has several codings the one of the preferred system is
taken and the others are counted as dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

SNOMED: Final = "http://snomed.info/sct"
LOINC: Final = "http://loinc.org"
UCUM: Final = "http://unitsofmeasure.org"
RXNORM: Final = "http://www.nlm.nih.gov/research/umls/rxnorm"

TEXT: Final = pa.string()
INSTANT: Final = pa.timestamp("us", tz="UTC")
_R4: Final = "https://hl7.org/fhir/R4/"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    name, dtype
        Name and Arrow type.
    element
        The FHIR R4 element (FHIRPath) that it is read from.
    nullable
        Whether it can be missing.
    unit
        Unit of measurement, where there is one.
    note
        What the element's name does not say.
    """

    name: str
    dtype: pa.DataType
    element: str
    nullable: bool = True
    unit: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """One table: a row per resource (per component too, for observations)."""

    name: str
    resource: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def url(self) -> str:
        """The page that documents the resource."""
        return f"{_R4}{self.resource.lower()}.html"

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema, with each column's element, unit and note as metadata."""
        return pa.schema(
            [
                pa.field(c.name, c.dtype, c.nullable, {"element": c.element, "unit": c.unit, "note": c.note})
                for c in self.columns
            ]
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(c.name for c in self.columns)


def _key(name: str, element: str) -> Column:
    return Column(name, TEXT, element, nullable=False)


def _when(name: str, element: str) -> Iterator[Column]:
    yield Column(name, INSTANT, element, note="UTC; start of the period where the source is less precise than a day")
    yield Column(f"{name}_text", TEXT, element, note="as in the source, with offset and precision")


def _coded(prefix: str, element: str) -> Iterator[Column]:
    start = f"{prefix}_" if prefix else ""
    yield Column(f"{start}system", TEXT, f"{element}.coding.system")
    yield Column(f"{start}code", TEXT, f"{element}.coding.code")
    yield Column(f"{start}display", TEXT, f"{element}.coding.display | {element}.text")


def _text(name: str, element: str, note: str = "") -> Column:
    return Column(name, TEXT, element, note=note)


_PATIENT_REF: Final = Column("patient_id", TEXT, "subject", nullable=False, note="patients.patient_id")

_US_CORE: Final = "http://hl7.org/fhir/us/core/StructureDefinition/"
_RACE: Final = f"Patient.extension('{_US_CORE}us-core-race').extension('ombCategory').value"
_ETHNICITY: Final = f"Patient.extension('{_US_CORE}us-core-ethnicity').extension('ombCategory').value"

PATIENTS: Final = Table(
    "patients",
    "Patient",
    ("patient_id",),
    (
        _key("patient_id", "Patient.id | Bundle.entry.fullUrl"),
        _text("gender", "Patient.gender"),
        Column("birth_date", pa.date32(), "Patient.birthDate"),
        _text("birth_date_text", "Patient.birthDate", "as in the source, with its precision"),
        Column("deceased", pa.bool_(), "Patient.deceased", nullable=False),
        *_when("deceased_at", "Patient.deceased.ofType(dateTime)"),
        _text("race_code", f"{_RACE}.code", "first OMB category; a second one makes race 'multiple'"),
        _text("race", f"{_RACE}.display"),
        _text("ethnicity_code", f"{_ETHNICITY}.code"),
        _text("ethnicity", f"{_ETHNICITY}.display"),
        _text("birth_sex", f"Patient.extension('{_US_CORE}us-core-birthsex').value"),
        _text("marital_status", "Patient.maritalStatus.coding.code"),
        _text("city", "Patient.address.city"),
        _text("state", "Patient.address.state"),
        _text("postal_code", "Patient.address.postalCode"),
        _text("country", "Patient.address.country"),
        _text("origin", "Patient.meta.tag", "'simulated' or 'augmented' where the resource says so"),
        _text("run_id", "Patient.meta.tag"),
        _text("source", "", "the file that it was read from"),
        Column("weight", pa.float64(), "", note="people of the natural population that one stands for, 1 on average"),
    ),
)

ENCOUNTERS: Final = Table(
    "encounters",
    "Encounter",
    ("encounter_id",),
    (
        _key("encounter_id", "Encounter.id | Bundle.entry.fullUrl"),
        _PATIENT_REF,
        _text("status", "Encounter.status"),
        _text("class_code", "Encounter.class.code", "v3-ActCode: AMB, EMER, IMP, HH, VR, …"),
        *_coded("type", "Encounter.type"),
        *_coded("reason", "Encounter.reasonCode"),
        *_when("start", "Encounter.period.start"),
        *_when("end", "Encounter.period.end"),
        _text("discharge_code", "Encounter.hospitalization.dischargeDisposition.coding.code"),
        _text("provider", "Encounter.serviceProvider", "the reference as resolved, or as it stood in the source"),
    ),
)

CONDITIONS: Final = Table(
    "conditions",
    "Condition",
    ("condition_id",),
    (
        _key("condition_id", "Condition.id | Bundle.entry.fullUrl"),
        _PATIENT_REF,
        _text("encounter_id", "Condition.encounter"),
        _text("clinical_status", "Condition.clinicalStatus.coding.code"),
        _text("verification_status", "Condition.verificationStatus.coding.code"),
        _text("category", "Condition.category.coding.code"),
        *_coded("", "Condition.code"),
        *_when("onset", "Condition.onset.ofType(dateTime) | Condition.onset.ofType(Period).start"),
        *_when("abatement", "Condition.abatement.ofType(dateTime) | Condition.abatement.ofType(Period).end"),
        *_when("recorded", "Condition.recordedDate"),
    ),
)

OBSERVATIONS: Final = Table(
    "observations",
    "Observation",
    ("observation_id", "component"),
    (
        _key("observation_id", "Observation.id | Bundle.entry.fullUrl"),
        Column("component", pa.int16(), "Observation.component", nullable=False, note="0: itself; 1, 2, …: component"),
        _PATIENT_REF,
        _text("encounter_id", "Observation.encounter"),
        _text("status", "Observation.status"),
        _text("category", "Observation.category.coding.code", "first category"),
        _text("panel_code", "Observation.code.coding.code", "of a component: the code of its Observation"),
        *_coded("", "Observation.code | Observation.component.code"),
        *_when("effective", "Observation.effective"),
        _text("value_type", "Observation.value", "quantity, code, string, boolean, integer, dateTime, …; null: none"),
        Column("value_number", pa.float64(), "Observation.value.ofType(Quantity).value", unit="value_unit"),
        _text("value_comparator", "Observation.value.ofType(Quantity).comparator", "<, <=, >=, >"),
        _text("value_unit", "Observation.value.ofType(Quantity).code | unit", "UCUM code where there is one"),
        _text("value_system", "Observation.value.ofType(CodeableConcept).coding.system"),
        _text("value_code", "Observation.value.ofType(CodeableConcept).coding.code"),
        _text("value_text", "Observation.value", "display of a code, or the text of any other value"),
        _text("absent_reason", "Observation.dataAbsentReason.coding.code"),
    ),
)

MEDICATIONS: Final = Table(
    "medications",
    "MedicationRequest",
    ("medication_id",),
    (
        _key("medication_id", "MedicationRequest.id | Bundle.entry.fullUrl"),
        _PATIENT_REF,
        _text("encounter_id", "MedicationRequest.encounter"),
        _text("status", "MedicationRequest.status"),
        _text("intent", "MedicationRequest.intent"),
        *_coded("", "MedicationRequest.medication (a reference is followed)"),
        *_when("authored", "MedicationRequest.authoredOn"),
        _text("reason_id", "MedicationRequest.reasonReference", "conditions.condition_id"),
    ),
)

PROCEDURES: Final = Table(
    "procedures",
    "Procedure",
    ("procedure_id",),
    (
        _key("procedure_id", "Procedure.id | Bundle.entry.fullUrl"),
        _PATIENT_REF,
        _text("encounter_id", "Procedure.encounter"),
        _text("status", "Procedure.status"),
        *_coded("", "Procedure.code"),
        *_when("start", "Procedure.performed.ofType(dateTime) | Procedure.performed.ofType(Period).start"),
        *_when("end", "Procedure.performed.ofType(Period).end"),
        _text("reason_id", "Procedure.reasonReference", "conditions.condition_id"),
    ),
)

TABLES: Final = (PATIENTS, ENCOUNTERS, CONDITIONS, OBSERVATIONS, MEDICATIONS, PROCEDURES)
"""Every table, in the order in which they are written."""
