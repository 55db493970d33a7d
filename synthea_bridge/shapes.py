# ruff: noqa: N815 - members are named as FHIR names them
"""What rows need of FHIR R4, as shapes: JSON is parsed straight into them, and all else is passed over unparsed.

What fits gives the rows that the same JSON gives as :class:`Loose`; what does not is parsed whole, and told where it
cannot be read. ``null`` is the same as missing: FHIR's JSON has none.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
import orjson


class Loose(dict[str, Any]):
    """A JSON object of any shape, whose members are attributes as those of a :class:`Node`; None where missing."""

    def __getattr__(self, name: str) -> Any:
        return loose(self.get("class" if name == "class_" else name))

    def __getitem__(self, name: str) -> Any:
        return loose(super().__getitem__(name))


def loose(value: Any) -> Any:
    """Parsed JSON whose objects are :class:`Loose`, as far as one can see."""
    if isinstance(value, dict):
        return Loose(value)
    return [loose(inner) if isinstance(inner, dict) else inner for inner in value] if isinstance(value, list) else value


NOTHING: Final = Loose()
ABSENT: Final = msgspec.Raw()


class Node(msgspec.Struct, gc=False):
    """A JSON object of which only some members are kept."""

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def get(self, name: str) -> Any:
        """As of a dict."""
        return getattr(self, name, None)


class Coding(Node):
    """Of https://hl7.org/fhir/R4/datatypes.html, as all that follow."""

    system: str | None = None
    code: str | None = None
    display: str | None = None


class Concept(Node):
    """CodeableConcept."""

    coding: list[Coding] | None = None
    text: str | None = None


class Identifier(Node):
    """Without a value it names nothing."""

    value: str
    system: str | None = None


class Reference(Node):
    """To another resource."""

    reference: str | None = None
    identifier: Identifier | None = None
    display: str | None = None


class Period(Node):
    """From when until when."""

    start: str | None = None
    end: str | None = None


class Quantity(Node):
    """A number with its unit."""

    value: float | None = None
    comparator: str | None = None
    unit: str | None = None
    code: str | None = None


class Tag(Node):
    """A Coding in ``meta.tag``."""

    code: str
    system: str | None = None


class Meta(Node):
    """Of a resource."""

    tag: list[Tag] | None = None
    profile: list[str] | None = None


class Extension(Node):
    """With the values that a patient's race, ethnicity and sex have."""

    url: str
    valueCode: str | None = None
    valueCoding: Coding | None = None
    extension: list[Extension] | None = None


class Address(Node):
    """Of a patient."""

    city: str | None = None
    state: str | None = None
    postalCode: str | None = None
    country: str | None = None


class Contained(Node):
    """A resource inside another one, as far as it may be a Medication."""

    id: str | None = None
    code: Concept | None = None


class Stay(Node):
    """Encounter.hospitalization."""

    dischargeDisposition: Concept | None = None


class Resource(Node, kw_only=True):
    """Any resource."""

    id: str | None = None
    identifier: list[Identifier] | Identifier | None = None


class Patient(Resource):
    """See https://hl7.org/fhir/R4/patient.html."""

    meta: Meta | None = None
    extension: list[Extension] | None = None
    gender: str | None = None
    birthDate: str | None = None
    deceasedBoolean: bool | None = None
    deceasedDateTime: str | None = None
    maritalStatus: Concept | None = None
    address: list[Address] | None = None


class Encounter(Resource):
    """See https://hl7.org/fhir/R4/encounter.html."""

    status: str | None = None
    class_: Coding | None = msgspec.field(name="class", default=None)
    type: list[Concept] | None = None
    subject: Reference | None = None
    period: Period | None = None
    reasonCode: list[Concept] | None = None
    hospitalization: Stay | None = None
    serviceProvider: Reference | None = None


class Condition(Resource):
    """See https://hl7.org/fhir/R4/condition.html."""

    clinicalStatus: Concept | None = None
    verificationStatus: Concept | None = None
    category: list[Concept] | None = None
    code: Concept | None = None
    subject: Reference | None = None
    encounter: Reference | None = None
    onsetDateTime: str | None = None
    onsetPeriod: Period | None = None
    abatementDateTime: str | None = None
    abatementPeriod: Period | None = None
    recordedDate: str | None = None


class Component(Node, kw_only=True):
    """What an Observation and its components have."""

    code: Concept | None = None
    valueQuantity: Quantity | None = None
    valueCodeableConcept: Concept | None = None
    valueString: str | None = None
    valueBoolean: bool | None = None
    valueInteger: Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)] | None = None
    valueDateTime: str | None = None
    valueTime: str | None = None
    valuePeriod: msgspec.Raw = ABSENT
    valueRange: msgspec.Raw = ABSENT
    valueRatio: msgspec.Raw = ABSENT
    valueSampledData: msgspec.Raw = ABSENT
    valueAttachment: msgspec.Raw = ABSENT
    valueReference: msgspec.Raw = ABSENT
    dataAbsentReason: Concept | None = None


class Observation(Component, kw_only=True):
    """See https://hl7.org/fhir/R4/observation.html."""

    id: str | None = None
    identifier: list[Identifier] | None = None
    status: str | None = None
    category: list[Concept] | None = None
    subject: Reference | None = None
    encounter: Reference | None = None
    effectiveDateTime: str | None = None
    effectiveInstant: str | None = None
    effectivePeriod: Period | None = None
    component: list[Component] | None = None


class MedicationRequest(Resource):
    """See https://hl7.org/fhir/R4/medicationrequest.html."""

    status: str | None = None
    intent: str | None = None
    medicationCodeableConcept: Concept | None = None
    medicationReference: Reference | None = None
    contained: list[Contained] | None = None
    subject: Reference | None = None
    encounter: Reference | None = None
    authoredOn: str | None = None
    reasonReference: list[Reference] | None = None


class Procedure(Resource):
    """See https://hl7.org/fhir/R4/procedure.html."""

    status: str | None = None
    code: Concept | None = None
    subject: Reference | None = None
    encounter: Reference | None = None
    performedDateTime: str | None = None
    performedPeriod: Period | None = None
    reasonReference: list[Reference] | None = None


class Medication(Resource):
    """See https://hl7.org/fhir/R4/medication.html."""

    code: Concept | None = None


VALUES: Final = tuple(
    name
    for name in Component.__struct_fields__
    if name.startswith("value") and name not in ("valueQuantity", "valueCodeableConcept")
)


def other_value(element: Any) -> tuple[str, Any] | None:
    """Name and content of an Observation's value that is neither Quantity nor CodeableConcept."""
    if isinstance(element, Loose):
        return next((item for item in element.items() if item[0].startswith("value")), None)
    for name in VALUES:
        value = getattr(element, name)
        if value is not None and value is not ABSENT:
            return name, orjson.loads(memoryview(value)) if isinstance(value, msgspec.Raw) else value
    return None
