"""A timeline made of numbers alone, for tests of re-assembly without tables."""

from __future__ import annotations

import numpy as np

from fhirsynth.assemble.timeline import (
    BANDS,
    Answer,
    Concept,
    Content,
    Curve,
    Flagged,
    Follow,
    Item,
    Kind,
    Lasting,
    Measure,
    Order,
    Pace,
    Related,
    Timeline,
    Together,
)
from synthea_bridge.tables import LOINC, RXNORM, SNOMED
from tests.frames import CYSTIC_FIBROSIS, example_schema

HYPERTENSION, SINUSITIS, PREGNANCY = "59621000", "36971009", "72892002"
PANEL, SYSTOLIC, DIASTOLIC = "85354-9", "8480-6", "8462-4"
CREATININE, EGFR, HEIGHT, SMOKING = "38483-4", "33914-3", "8302-2", "72166-2"


def spread(low: float, high: float) -> tuple[float, ...]:
    """Eleven evenly spaced quantiles."""
    return tuple(float(one) for one in np.linspace(low, high, 11))


def snomed(code: str, display: str) -> Concept:
    return Concept(system=SNOMED, code=code, display=display)


def loinc(code: str, display: str) -> Concept:
    return Concept(system=LOINC, code=code, display=display)


def pace(rate: float, female: float = 1.0, male: float = 1.0) -> Pace:
    return Pace(makes={"female": female, "male": male}, rates=spread(rate / 2, rate * 1.5))


def curve(low: float, high: float) -> Curve:
    return Curve(ages=(1.0, 20.0, 80.0), quantiles=(spread(low, high),) * 3)


def number(code: str, display: str, unit: str, low: float, high: float, decimals: int = 1, **more: float) -> Measure:
    return Measure(
        concept=loinc(code, display),
        unit=unit,
        decimals=decimals,
        curves={"female": curve(low, high), "male": curve(low, high)},
        **{"own": 0.6, **more},
    )


GROWTH = Curve(
    ages=(0.0, 5.0, 18.0, 80.0), quantiles=(spread(45, 55), spread(100, 120), spread(150, 190), spread(150, 190))
)
VITALS = (
    (PANEL, "Blood pressure panel with all children optional"),
    ("8867-4", "Heart rate"),
    ("59408-5", "Oxygen saturation in Arterial blood by Pulse oximetry"),
    (HEIGHT, "Body Height"),
)
LABORATORY = (
    (CREATININE, "Creatinine [Mass/volume] in Blood"),
    (EGFR, "Glomerular filtration rate/1.73 sq M.predicted"),
    ("4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood"),
    ("718-7", "Hemoglobin [Mass/volume] in Blood"),
    ("6690-2", "Leukocytes [#/volume] in Blood by Automated count"),
)
ITEMS = (
    *(Item(table="observations", concept=loinc(*one), category="vital-signs") for one in VITALS),
    *(Item(table="observations", concept=loinc(*one), category="laboratory") for one in LABORATORY),
    Item(table="observations", concept=loinc(SMOKING, "Tobacco smoking status"), category="social-history"),
    Item(table="conditions", concept=snomed(SINUSITIS, "Viral sinusitis"), span=spread(7, 20), ends=1.0),
    Item(table="procedures", concept=snomed("430193006", "Medication Reconciliation"), span=spread(5, 15)),
    Item(
        table="procedures",
        concept=snomed("127783003", "Spirometry (procedure)"),
        reason=CYSTIC_FIBROSIS.snomed,
        span=spread(10, 20),
    ),
    Item(
        table="conditions",
        concept=snomed(PREGNANCY, "Normal pregnancy"),
        span=(270.0,) * 11,
        only="female",
        ages=(15, 45),
    ),
)
BATCHES = ((0, 1, 2, 3), (4, 5, 6, 7, 8), (9,), (10,), (11,), (12,), (13,))


def contents(*sets: tuple[tuple[int, ...], float]) -> dict[int, Content]:
    return {0: Content(sets=tuple(Together(batches=batches, weight=weight) for batches, weight in sets))}


CHECK_UP, CLINIC, SINUS, EMERGENCY, STAY, PRENATAL = range(6)
KINDS = (
    Kind(
        group="routine",
        class_code="AMB",
        concept=snomed("185349003", "Encounter for check up (procedure)"),
        minutes=spread(10, 60),
        rhythm=spread(0.5, 1.5),
        paces={low: pace(3 if low < 18 else 1) for low in BANDS},
        contents=contents(((0, 2, 4), 3), ((0, 1, 2), 1), ((0, 6), 0.1)),
    ),
    Kind(
        group="routine",
        class_code="AMB",
        concept=snomed("185349003", "Encounter for check up (procedure)"),
        reason=snomed(CYSTIC_FIBROSIS.snomed, CYSTIC_FIBROSIS.display),
        needs=CYSTIC_FIBROSIS.snomed,
        minutes=spread(20, 60),
        rhythm=spread(0.8, 1.2),
        paces=dict.fromkeys(BANDS, pace(4)),
        contents=contents(((0, 5), 1)),
        again=0.5,
    ),
    Kind(
        group="routine",
        class_code="AMB",
        concept=snomed("185345009", "Encounter for symptom"),
        reason=snomed(SINUSITIS, "Viral sinusitis"),
        minutes=spread(10, 30),
        paces=dict.fromkeys(BANDS, pace(0.5)),
        contents=contents(((3,), 1)),
    ),
    Kind(
        group="emergency",
        class_code="EMER",
        concept=snomed("50849002", "Emergency room admission (procedure)"),
        minutes=spread(30, 150),
        paces=dict.fromkeys(BANDS, pace(0.2)),
        contents=contents(((0,), 1)),
    ),
    Kind(
        group="stay",
        class_code="IMP",
        concept=snomed("32485007", "Hospital admission (procedure)"),
        minutes=spread(1440, 40000),
        paces=dict.fromkeys(BANDS, pace(0.1)),
        contents=contents(((1,), 1)),
    ),
    Kind(
        group="routine",
        class_code="AMB",
        concept=snomed("424441002", "Prenatal initial visit"),
        minutes=spread(10, 30),
        paces=dict.fromkeys(BANDS, pace(1.0, male=0.0)),
        ages=(15, 45),
        contents=contents(((6,), 1)),
    ),
)


def example_timeline(orders: int = 30) -> Timeline:
    """Check-ups, a clinic, colds, emergencies, stays and pregnancies; vital signs, blood, and one lasting condition."""
    kinds = dict.fromkeys((CHECK_UP, CLINIC), 1.0)
    half = dict.fromkeys(BANDS, (0.3, 0.3))
    return Timeline(
        patients=100,
        kinds=KINDS,
        items=ITEMS,
        batches=BATCHES,
        follows={SINUSITIS: (Follow(kind=CHECK_UP, count=0.5, delays=spread(5, 14)),)},
        flagged={
            feature.name: Flagged(onset={0: spread(0.5, 60)}, kinds=kinds)
            for feature in example_schema().of_rule("present")
        },
        lasting=(
            Lasting(
                concept=snomed(HYPERTENSION, "Essential hypertension"),
                share={"female": half, "male": half},
                onset={0: spread(20, 60)},
                kinds={CHECK_UP: 1.0},
            ),
        ),
        measures={
            PANEL: Measure(concept=loinc(*VITALS[0]), parts=(SYSTOLIC, DIASTOLIC)),
            SYSTOLIC: number(SYSTOLIC, "Systolic Blood Pressure", "mm[Hg]", 90, 160, 0, memory=0.2),
            DIASTOLIC: number(DIASTOLIC, "Diastolic Blood Pressure", "mm[Hg]", 50, 100, 0),
            "8867-4": number("8867-4", "Heart rate", "/min", 55, 100, 0, own=0.2),
            "59408-5": number("59408-5", VITALS[2][1], "%", 90, 100, drift=0.05),
            HEIGHT: Measure(
                concept=loinc(*VITALS[3]), unit="cm", decimals=1, curves={"female": GROWTH, "male": GROWTH}, own=0.95
            ),
            CREATININE: number(*LABORATORY[0], "mg/dL", 0.5, 1.4),
            EGFR: number(*LABORATORY[1], "mL/min/{1.73_m2}", 60, 120),
            "4548-4": number(*LABORATORY[2], "%", 4.5, 9),
            "718-7": number(*LABORATORY[3], "g/dL", 11, 17),
            SMOKING: Measure(
                concept=loinc(SMOKING, "Tobacco smoking status"),
                answers={
                    0: (Answer(kind="code", system=SNOMED, code="266919005", text="Never smoker", weight=1),),
                    18: (
                        Answer(kind="code", system=SNOMED, code="266919005", text="Never smoker", weight=3),
                        Answer(kind="code", system=SNOMED, code="8517006", text="Former smoker", weight=1),
                    ),
                },
                repeats=0.9,
            ),
        },
        related=Related(codes=(CREATININE, SYSTOLIC), rows=((1.0, 0.4), (0.4, 1.0))),
        orders=tuple(
            Order(
                concept=Concept(system=RXNORM, code=str(1000 + place), display=f"medication {place}"),
                reason=CYSTIC_FIBROSIS.snomed if place == 0 else None,
                weight=0.9 - place / 40,
                without=0.01 if place == 0 else 0.9 - place / 40,
                stopped=0.3 if place < 3 else 0.0,
                at={CHECK_UP: 0.3, CLINIC: 0.7} if place < 3 else {},
            )
            for place in range(orders)
        ),
        hispanic=0.2,
    )
