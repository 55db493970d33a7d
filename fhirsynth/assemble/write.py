"""A chart to FHIR R4 resources: pure functions, one a resource type, and nothing that the chart does not say.

What FHIR demands and the chart does not have is written as an element that is absent for an unknown reason
(the extension ``data-absent-reason``), so that any chart is valid R4 and reads back as it was.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from fhirsynth.assemble import codes
from fhirsynth.assemble.chart import Chart, Code, Component, Condition, Encounter, Medication, Observation, Procedure
from fhirsynth.assemble.codes import HL7, PULSE_OXIMETRY, coding
from fhirsynth.assemble.identity import RECORD, resource_id
from fhirsynth.assemble.patient import patient
from fhirsynth.assemble.shared import Shared
from fhirsynth.assemble.values import ABSENT, concept, known, value
from synthea_bridge.tables import LOINC

Resource = dict[str, Any]
Reference = dict[str, str]
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_OXYGEN: Final = {code: Code(LOINC, code, display) for code, display in PULSE_OXIMETRY}
_ENDED: Final = frozenset({"inactive", "remission", "resolved"})


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a chart comes from, and what its resources say of it.

    Parameters
    ----------
    run_id
        Tag of every resource; None: no such tag.
    origin
        The other tag; with None the resources are not called test data either, as nobody knows whether they are.
    shared
        Whom encounters and orders refer to where the chart names nobody; None: they refer to nobody.
    profiled
        Whether US Core 5.0.1 is claimed and what it wants is added.
    root
        Sets resources of different sources apart whose ids are alike and no UUIDs.
    """

    run_id: str | None = None
    origin: Literal["augmented", "simulated"] | None = None
    shared: Shared | None = None
    profiled: bool = False
    root: str = ""


def resources(chart: Chart, origin: Origin) -> Iterator[Resource]:
    """Patient first, then organisations that are known by an id alone, then by type in the order of the chart.

    Parameters
    ----------
    chart
        Ids are FHIR ids; times are FHIR text.

    Yields
    ------
    dict
        Resources whose references are ``urn:uuid`` of the chart's own ones, or conditional (``Organization?…``) for
        what is elsewhere. References to nothing are left out; :func:`dangling` counts them.
    """
    writer = _Writer(chart, origin)
    yield writer.new("Patient", chart.person.id, "us-core-patient", patient(chart.person, origin.profiled))
    for provider in writer.organizations:
        yield writer.new("Organization", provider, None, {})
    yield from map(writer.encounter, chart.encounters)
    yield from map(writer.condition, chart.conditions)
    yield from map(writer.observation, chart.observations)
    yield from map(writer.medication, chart.medications)
    yield from map(writer.procedure, chart.procedures)


def dangling(chart: Chart) -> Counter[str]:
    """How many references of a chart point to nothing that is in it, by element as ``Condition.encounter``."""
    visits = {None, *(one.id for one in chart.encounters)}
    reasons = {None, *(one.id for one in chart.conditions)}
    lists = (chart.conditions, chart.observations, chart.medications, chart.procedures)
    found = Counter(
        f"{type(one).__name__}.encounter" for listed in lists for one in listed if one.encounter not in visits
    )
    found.update(
        f"{type(one).__name__}.reason"
        for listed in (chart.medications, chart.procedures)
        for one in listed
        if one.reason not in reasons
    )
    providers = [one.provider for one in chart.encounters if one.provider]
    found.update("Encounter.provider" for one in providers if is_elsewhere(one) and organization(one) is None)
    return Counter({name.replace("Medication.", "MedicationRequest."): count for name, count in found.items()})


def is_elsewhere(provider: str) -> bool:
    """Whether a provider is named by a reference as it stood in a source, and not by an id."""
    return "?" in provider or provider.startswith("#")


def organization(provider: str) -> tuple[str, str] | None:
    """System and value of the identifier in ``Organization?identifier=SYSTEM|VALUE``; None where it is another text."""
    start, _, identifier = provider.partition("?identifier=")
    system, bar, text = identifier.partition("|")
    return (system, text) if start == "Organization" and bar and text and "&" not in text else None


@dataclass(slots=True)
class _Writer:
    """Writes the resources of one chart; knows the UUIDs under which they refer to one another."""

    chart: Chart
    origin: Origin
    organizations: list[str] = field(init=False)
    _taken: dict[str, str] = field(init=False, default_factory=dict)
    _meta: dict[str | None, Resource] = field(init=False, default_factory=dict)
    _subject: Reference = field(init=False)
    _encounters: dict[str, Reference] = field(init=False)
    _conditions: dict[str, Reference] = field(init=False)
    _providers: dict[str, Reference] = field(init=False)

    def __post_init__(self) -> None:
        chart = self.chart
        self._subject = self._reference("Patient", chart.person.id)
        self._encounters = {one.id: self._reference("Encounter", one.id) for one in chart.encounters}
        self._conditions = {one.id: self._reference("Condition", one.id) for one in chart.conditions}
        named = dict.fromkeys(one.provider for one in chart.encounters if one.provider)
        self.organizations = [one for one in named if not is_elsewhere(one)]
        self._providers = {one: self._reference("Organization", one) for one in self.organizations}
        self._providers |= {one: {"reference": one} for one in named if organization(one) is not None}

    def uuid(self, kind: str, name: str) -> str:
        """The id where it is a UUID that no resource of another type has, else one that follows from type and id."""
        if _UUID.fullmatch(name) and self._taken.setdefault(name, kind) == kind:
            return name
        return resource_id(self.origin.root, kind, name)

    def _reference(self, kind: str, name: str) -> Reference:
        return {"reference": f"urn:uuid:{self.uuid(kind, name)}"}

    def new(self, kind: str, name: str, profile: str | None, body: Resource) -> Resource:
        """A resource with what all have: id, tags and the identifier by which it is created once."""
        profile = profile if self.origin.profiled else None
        meta = self._meta.get(profile)
        if meta is None:
            meta = self._meta[profile] = codes.meta(self.origin.run_id, profile, self.origin.origin)
        own = [{"system": RECORD, "value": self.uuid(kind, name)}, *body.pop("identifier", ())]
        start: Resource = {"resourceType": kind, "id": name, "meta": meta, "identifier": own}
        if not meta:
            del start["meta"]
        for key, element in body.items():
            if element is not None:
                start[key] = element
        return start

    def encounter(self, one: Encounter) -> Resource:
        shared, discharge = self.origin.shared, _discharge(one.discharge_code)
        body = {
            **_status(one.status),
            "class": _class(one.class_code),
            "type": _listed(concept(one.type)),
            "subject": self._subject,
            "participant": shared and [{"individual": shared.practitioner(one.practitioner or 0)}],
            "period": _period(one.start, one.end),
            "reasonCode": _listed(concept(one.reason)),
            "hospitalization": discharge and {"dischargeDisposition": discharge},
            "location": shared and [{"location": shared.location}],
            "serviceProvider": self._providers.get(one.provider or "") or (shared and shared.organization),
        }
        return self.new("Encounter", one.id, "us-core-encounter" if one.type else None, body)

    def condition(self, one: Condition) -> Resource:
        clinical = one.clinical_status
        if self.origin.profiled and one.abatement and clinical not in _ENDED:
            clinical = "resolved"  # con-4: what has abated is not active
        category = known(one.category, codes.CONDITION_CATEGORIES, f"{HL7}condition-category")
        body = {
            "clinicalStatus": clinical and {"coding": [_word(clinical, codes.CLINICAL, "condition-clinical")]},
            "verificationStatus": one.verification_status
            and {"coding": [_word(one.verification_status, codes.VERIFICATION, "condition-ver-status")]},
            "category": category and [{"coding": [category]}],
            "code": concept(one.code),
            "subject": self._subject,
            "encounter": self._encounters.get(one.encounter or ""),
            "onsetDateTime": one.onset,
            "abatementDateTime": one.abatement,
            "recordedDate": one.recorded,
        }
        problem = one.category == "problem-list-item"
        kind = "problems-health-concerns" if problem else "encounter-diagnosis"
        claimed = one.category in codes.CONDITION_CATEGORIES
        return self.new("Condition", one.id, f"us-core-condition-{kind}" if claimed else None, body)

    def observation(self, one: Observation) -> Resource:
        category = known(one.category, codes.CATEGORIES, f"{HL7}observation-category")
        body = {
            **_status(one.status),
            "category": category and [{"coding": [category]}],
            "code": self._codings(one) or ABSENT,
            "subject": self._subject,
            "encounter": self._encounters.get(one.encounter or ""),
            "effectiveDateTime": one.effective,
            **value(one.value, self.origin.profiled),
            "dataAbsentReason": _absent(one.absent_reason),
            "component": [self._component(part) for part in one.components] or None,
        }
        return self.new("Observation", one.id, _profile(one) if self.origin.profiled else None, body)

    def _codings(self, one: Observation) -> Resource | None:
        found, more = concept(one.code), one.more
        if self.origin.profiled and one.code.code in _OXYGEN and not more:
            more = tuple(other for code, other in _OXYGEN.items() if code != one.code.code)
        if found is None or not more:
            return found
        further = [inner for other in more for inner in (concept(other) or {}).get("coding", ())]
        return {**found, "coding": [*found.get("coding", ()), *further]}

    def _component(self, part: Component) -> Resource:
        absent = _absent(part.absent_reason)
        made = {"code": concept(part.code) or ABSENT, **value(part.value, self.origin.profiled)}
        return made if absent is None else {**made, "dataAbsentReason": absent}

    def medication(self, one: Medication) -> Resource:
        shared, reason = self.origin.shared, self._conditions.get(one.reason or "")
        body = {
            **_status(one.status),
            **_status(one.intent, "intent"),
            "medicationCodeableConcept": concept(one.code) or ABSENT,
            "subject": self._subject,
            "encounter": self._encounters.get(one.encounter or ""),
            "authoredOn": one.authored,
            "requester": shared and shared.practitioner(one.practitioner or 0),
            "reasonReference": _listed(reason),
        }
        return self.new("MedicationRequest", one.id, "us-core-medicationrequest", body)

    def procedure(self, one: Procedure) -> Resource:
        performed = (
            {"performedDateTime": one.start} if one.end is None else {"performedPeriod": _period(one.start, one.end)}
        )
        body = {
            **_status(one.status),
            "code": concept(one.code),
            "subject": self._subject,
            "encounter": self._encounters.get(one.encounter or ""),
            **performed,
            "reasonReference": _listed(self._conditions.get(one.reason or "")),
        }
        return self.new("Procedure", one.id, "us-core-procedure", body)


def _listed(element: Resource | None) -> list[Resource] | None:
    return None if element is None else [element]


def _status(code: str | None, name: str = "status") -> Resource:
    return {name: code} if code is not None else {f"_{name}": ABSENT}


def _period(start: str | None, end: str | None) -> Resource | None:
    return {name: text for name, text in (("start", start), ("end", end)) if text is not None} or None


def _class(code: str | None) -> Resource:
    if code is None:
        return ABSENT
    return (
        coding(codes.ACT, code, codes.CLASSES[code]) if code in codes.CLASSES else {"system": codes.ACT, "code": code}
    )


def _word(code: str, displays: Mapping[str, str], system: str) -> Resource:
    """A code of a system that FHIR demands there."""
    return {"system": HL7 + system, "code": code, **({"display": displays[code]} if code in displays else {})}


def _absent(code: str | None) -> Resource | None:
    return code and {"coding": [{"system": f"{HL7}data-absent-reason", "code": code}]}  # type: ignore[return-value]


def _discharge(code: str | None) -> Resource | None:
    if code is None:
        return None
    if code.isdigit():
        return {"coding": [{"system": codes.NUBC_DISCHARGE, "code": code}]}
    return {"coding": [known(code, codes.DISCHARGES, f"{HL7}discharge-disposition")]}


def _profile(one: Observation) -> str | None:
    """The profile that an Observation of ours keeps; none where it has neither value, reason nor components."""
    if one.value is None and one.absent_reason is None and not one.components:
        return None
    kind, unit = ("quantity", None) if one.value is None else (one.value.kind, one.value.unit or "")
    return codes.profile_of(one.code.code or "", one.category or "", unit, kind)
