"""A life to FHIR R4 resources: pure functions, one a resource type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np

from fhirsynth.assemble.codes import (
    ACT,
    BLOOD_PRESSURE,
    CATEGORIES,
    CDC_RACE,
    CLASSES,
    DIASTOLIC,
    HL7,
    NULL_FLAVOR,
    PULSE_OXIMETRY,
    RACES,
    SYSTOLIC,
    US_CORE,
    coding,
    concept,
    meta,
    profile_of,
)
from fhirsynth.assemble.identity import RECORD, names, phone, resource_id
from fhirsynth.assemble.life import Life, Measurement, Visit
from fhirsynth.assemble.shared import Shared
from fhirsynth.assemble.timeline import Timeline
from fhirsynth.schema import Feature, FeatureSchema
from synthea_bridge.tables import LOINC, RXNORM, SNOMED, UCUM

Resource = dict[str, Any]
_GENDERS: Final = {"female": "F", "male": "M"}


@dataclass(slots=True)
class Writer:
    """Writes the resources of one life.

    Parameters
    ----------
    random
        Draws what neither the row nor the life says: a second race, the diastolic pressure.
    """

    life: Life
    schema: FeatureSchema
    timeline: Timeline
    shared: Shared
    run_id: str
    random: np.random.Generator

    def resources(self) -> Iterator[Resource]:
        """Patient first, then by type and time; references are ``urn:uuid``, or conditional for what is shared."""
        yield self._patient()
        for visit in self.life.visits:
            yield self._encounter(visit)
        for found in self.life.diagnoses:
            yield self._condition(found.feature, found.visit)
        number = 0
        for measurement in self.life.measurements:
            for body in self._observations(measurement):
                number += 1
                yield self._new("Observation", str(number), body.pop("profile"), body)
        for number, one in enumerate(self.life.prescriptions, start=1):
            yield self._prescription(number, one.order.code, one.order.display, one.visit)

    def _id(self, kind: str, *parts: str) -> str:
        return resource_id(self.run_id, kind, self.life.patient_id, *parts)

    def _new(self, kind: str, part: str, profile: str | None, body: Resource) -> Resource:
        uuid = self._id(kind, part) if part else self._id(kind)
        return {
            "resourceType": kind,
            "id": uuid,
            "meta": meta(self.run_id, profile),
            "identifier": [{"system": RECORD, "value": uuid}],
            **body,
        }

    @property
    def _subject(self) -> dict[str, str]:
        return {"reference": f"urn:uuid:{self._id('Patient')}"}

    def _visit_id(self, visit: Visit) -> str:
        return self._id("Encounter", str(self.life.visits.index(visit) + 1))

    def _at(self, visit: Visit) -> dict[str, str]:
        return {"reference": f"urn:uuid:{self._visit_id(visit)}"}

    def _patient(self) -> Resource:
        uuid = self._id("Patient")
        gender = str(self.life.row.get("sex") or "unknown")
        given, family = names(uuid, gender)
        body = {
            "extension": [
                self._race(str(self.life.row.get("race") or "unknown")),
                self._ethnicity(),
                {"url": f"{US_CORE}us-core-birthsex", "valueCode": _GENDERS.get(gender, "UNK")},
            ],
            "active": True,
            "name": [{"use": "official", "family": family, "given": [given]}],
            "telecom": [{"system": "phone", "value": phone(uuid), "use": "home"}],
            "gender": gender,
            "birthDate": self.life.birth_date.isoformat(),
        }
        if self.life.row.get("deceased"):  # rows describe the day of death of those who have died
            body["deceasedDateTime"] = self.schema.index_date.isoformat()
        return self._new("Patient", "", "us-core-patient", body)

    def _race(self, race: str) -> Resource:
        if race == "multiple":
            chosen = self.random.choice(len(RACES) - 1, 2, replace=False)
            found = [list(RACES.values())[one] for one in sorted(chosen)]
            text = "multiple"
        elif race in RACES:
            found, text = [RACES[race]], RACES[race][1]
        else:
            found, text = [], "unknown"
        values = [coding(CDC_RACE, *one) for one in found] or [coding(NULL_FLAVOR, "UNK", "unknown")]
        inner: list[Resource] = [{"url": "ombCategory", "valueCoding": value} for value in values]
        return {"url": f"{US_CORE}us-core-race", "extension": [*inner, {"url": "text", "valueString": text}]}

    def _ethnicity(self) -> Resource:
        code, display = ("2135-2", "Hispanic or Latino") if self.life.hispanic else ("2186-5", "Not Hispanic or Latino")
        inner = [
            {"url": "ombCategory", "valueCoding": coding(CDC_RACE, code, display)},
            {"url": "text", "valueString": display},
        ]
        return {"url": f"{US_CORE}us-core-ethnicity", "extension": inner}

    def _encounter(self, visit: Visit) -> Resource:
        body = {
            "status": "finished",
            "class": coding(ACT, visit.class_code, CLASSES.get(visit.class_code, visit.class_code)),
            "type": [concept(SNOMED, visit.code, visit.display)],
            "subject": self._subject,
            "participant": [{"individual": self.shared.practitioner(visit.practitioner)}],
            "period": {"start": _instant(visit.start), "end": _instant(visit.end)},
            "location": [{"location": self.shared.location}],
            "serviceProvider": self.shared.organization,
        }
        if visit.reason is not None:
            source = visit.reason.source
            body["reasonCode"] = [concept(SNOMED, source.codes[0], source.display)]
        return self._new("Encounter", str(self.life.visits.index(visit) + 1), "us-core-encounter", body)

    def _condition(self, feature: Feature, visit: Visit) -> Resource:
        body = {
            "clinicalStatus": {"coding": [coding(f"{HL7}condition-clinical", "active", "Active")]},
            "verificationStatus": {"coding": [coding(f"{HL7}condition-ver-status", "confirmed", "Confirmed")]},
            "category": [
                {"coding": [coding(f"{HL7}condition-category", "encounter-diagnosis", "Encounter Diagnosis")]}
            ],
            "code": concept(SNOMED, feature.source.codes[0], feature.source.display),
            "subject": self._subject,
            "encounter": self._at(visit),
            "onsetDateTime": _instant(visit.start),
            "recordedDate": _instant(visit.start),
        }
        return self._new("Condition", feature.name, "us-core-condition-encounter-diagnosis", body)

    def _observations(self, measurement: Measurement) -> Iterator[Resource]:
        """One Observation a value; values of one panel are its components."""
        panels: dict[tuple[str, str], list[Feature]] = {}
        for name in sorted(measurement.values):
            feature = self.schema[name]
            if feature.source.panel is None:
                yield self._single(feature, measurement)
            else:
                panels.setdefault(feature.source.panel, []).append(feature)
        for panel, features in sorted(panels.items()):
            yield self._panel(panel, features, measurement)

    def _observed(self, code: Resource, feature: Feature, measurement: Measurement) -> Resource:
        category = feature.source.category
        return {
            "profile": profile_of(code["coding"][0]["code"], category),
            "status": "final",
            "category": [{"coding": [coding(f"{HL7}observation-category", category, CATEGORIES[category])]}],
            "code": code,
            "subject": self._subject,
            "encounter": self._at(measurement.visit),
            "effectiveDateTime": _instant(measurement.at),
        }

    def _single(self, feature: Feature, measurement: Measurement) -> Resource:
        first = feature.source.codes[0]
        oxygen = first in {code for code, _ in PULSE_OXIMETRY}
        pairs = PULSE_OXIMETRY if oxygen else ((first, feature.source.display),)
        code = {"coding": [coding(LOINC, *pair) for pair in pairs], "text": feature.source.display}
        return self._observed(code, feature, measurement) | _value(feature, measurement.values[feature.name])

    def _panel(self, panel: tuple[str, str], features: list[Feature], measurement: Measurement) -> Resource:
        parts = [
            {
                "code": concept(LOINC, one.source.codes[0], one.source.display),
                **_value(one, measurement.values[one.name]),
            }
            for one in features
        ]
        if panel[0] == BLOOD_PRESSURE:
            parts += self._diastolic(features, measurement)
        return self._observed(concept(LOINC, *panel), features[0], measurement) | {"component": parts}

    def _diastolic(self, features: list[Feature], measurement: Measurement) -> list[Resource]:
        """The other half of a blood pressure, drawn given the systolic one."""
        by_code = {one.source.codes[0]: float(measurement.values[one.name]) for one in features}
        if DIASTOLIC[0] in by_code or SYSTOLIC[0] not in by_code:
            return []
        intercept, slope, spread = self.timeline.diastolic
        systolic = by_code[SYSTOLIC[0]]
        drawn = intercept + slope * systolic + self.random.normal(0, spread)
        value = int(np.clip(round(drawn), 20, max(systolic - 10, 20)))
        return [{"code": concept(LOINC, *DIASTOLIC), "valueQuantity": _quantity(value, "mm[Hg]")}]

    def _prescription(self, number: int, code: str, display: str, visit: Visit) -> Resource:
        body = {
            "status": "active",
            "intent": "order",
            "medicationCodeableConcept": concept(RXNORM, code, display),
            "subject": self._subject,
            "encounter": self._at(visit),
            "authoredOn": _instant(visit.start),
            "requester": self.shared.practitioner(visit.practitioner),
        }
        return self._new("MedicationRequest", str(number), "us-core-medicationrequest", body)


def _value(feature: Feature, value: float | str) -> Resource:
    if isinstance(value, str):
        return {"valueString": value}
    return {"valueQuantity": _quantity(value if feature.decimals else int(value), feature.unit)}


def _quantity(value: float, unit: str) -> Resource:
    return {"value": value, "unit": unit or "1", "system": UCUM, "code": unit or "1"}


def _instant(moment: datetime) -> str:
    return moment.isoformat()
