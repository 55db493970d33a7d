"""Documents parsed straight into what rows need of them, where they are shaped as FHIR R4."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import GenericAlias
from typing import Any, Final, Literal, Union

import msgspec
import orjson

from synthea_bridge import shapes
from synthea_bridge.references import Entry
from synthea_bridge.shapes import Meta, loose
from synthea_bridge.versions import ELEMENTS, version_in

TABLED: Final = (
    "Patient",
    "Encounter",
    "Condition",
    "Observation",
    "MedicationRequest",
    "Procedure",
    "Medication",
)
"""Resources of which more is needed than what they are called."""
OTHERS: Final = """
    Account AdverseEvent AllergyIntolerance Appointment AppointmentResponse Basic Binary BodyStructure CarePlan
    CareTeam ChargeItem Claim ClaimResponse ClinicalImpression Communication CommunicationRequest Composition
    Consent Coverage CoverageEligibilityRequest CoverageEligibilityResponse DetectedIssue Device DeviceRequest
    DeviceUseStatement DiagnosticReport DocumentManifest DocumentReference Endpoint EnrollmentRequest
    EpisodeOfCare ExplanationOfBenefit FamilyMemberHistory Flag Goal Group HealthcareService ImagingStudy
    Immunization ImmunizationEvaluation ImmunizationRecommendation InsurancePlan Invoice List Location Measure
    MeasureReport Media MedicationAdministration MedicationDispense MedicationKnowledge MedicationStatement
    MolecularSequence NutritionOrder OperationOutcome Organization Parameters Person Practitioner
    PractitionerRole Provenance Questionnaire QuestionnaireResponse RelatedPerson RequestGroup ResearchStudy
    ResearchSubject RiskAssessment Schedule ServiceRequest Slot Specimen Subscription Substance SupplyDelivery
    SupplyRequest Task VisionPrescription
"""
"""Resources that no table holds, and that are met beside those of a patient."""
Parsed = tuple[list[Entry], Sequence[int]]
"""Resources, and the number of each in ``Bundle.entry``; without numbers where it is no Bundle."""


def _type(name: str, *more: Any) -> type[msgspec.Struct]:
    """A resource type for the decoder; a member that only other versions of FHIR have does not fit."""
    base = getattr(shapes, name if name in TABLED else "Resource")
    elsewhere = [(element, Literal["\0"], "\0") for element in ELEMENTS.get(name, ())]
    return msgspec.defstruct(
        name,
        [*more, *elsewhere],
        bases=(base,),
        namespace={"resourceType": name},
        tag_field="resourceType",
        tag=name,
        kw_only=True,
        gc=False,
    )


_META: Final = ("meta", Meta | None, None)
_RESOURCE: Final[Any] = Union[tuple(_type(name) for name in (*TABLED, *OTHERS.split()))]  # noqa: UP007
_SINGLE: Final[Any] = Union[tuple(_type(name, _META) for name in (*TABLED, *OTHERS.split()))]  # noqa: UP007
_ENTRY: Final[Any] = msgspec.defstruct("_Entry", [("resource", _RESOURCE), ("fullUrl", str | None, None)], gc=False)
_BUNDLE: Final[Any] = msgspec.defstruct(
    "_Bundle", [("entry", GenericAlias(list, (_ENTRY,))), _META], tag_field="resourceType", tag="Bundle", gc=False
)
_DECODE: Final = msgspec.json.Decoder(_SINGLE | _BUNDLE).decode
_DECODE_ENTRY: Final = msgspec.json.Decoder(_RESOURCE).decode


def parsed(data: bytes) -> Parsed | None:
    """The resources of a Bundle, or a single one; None where the whole JSON has to be looked at.

    A number beyond all doubles, in what no row needs, is not noticed.
    """
    value = _decoded(_DECODE, data)
    if value is None or _elsewhere(value):
        return None
    if not isinstance(value, _BUNDLE):
        return [(None, value)], ()
    entries = [(entry.fullUrl, entry.resource) for entry in value.entry]
    if any(resource.resourceType == "Patient" and _elsewhere(resource) for _, resource in entries):
        return None
    return entries, range(len(entries))


def parsed_resource(data: bytes) -> Any:
    """One resource of a Bundle, of which it is known that it is R4."""
    found = _decoded(_DECODE_ENTRY, data)
    return loose(orjson.loads(data)) if found is None else found


def _decoded(decode: Callable[[bytes], Any], data: bytes) -> Any:
    try:
        if not data.isascii():
            data.decode()  # strings that are passed over are not looked into
        return decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _elsewhere(value: Any) -> bool:
    """Whether its profiles say that it is of another version."""
    return value.meta is not None and version_in(value.meta.profile) is not None
