"""A timeline made of numbers alone, for tests of re-assembly without tables."""

from __future__ import annotations

import numpy as np

from fhirsynth.assemble.timeline import Kind, Order, Panel, Timeline, Visits
from tests.frames import example_schema


def spread(low: float, high: float) -> tuple[float, ...]:
    """Eleven evenly spaced quantiles."""
    return tuple(float(one) for one in np.linspace(low, high, 11))


def example_timeline(orders: int = 30) -> Timeline:
    """Check-ups, emergencies and stays; vital signs at check-ups, laboratory values now and then."""
    vital = ("heart_rate", "spo2", "systolic_bp")
    laboratory = ("creatinine", "hba1c", "hemoglobin", "wbc")
    return Timeline(
        patients=100,
        visits={
            "routine": Visits(
                kinds=(
                    Kind(class_code="AMB", code="185349003", display="Encounter for check up (procedure)", weight=3),
                    Kind(class_code="VR", code="185317003", display="Telephone encounter (procedure)", weight=1),
                ),
                minutes=spread(10, 60),
            ),
            "emergency": Visits(
                kinds=(
                    Kind(class_code="EMER", code="50849002", display="Emergency room admission (procedure)", weight=1),
                ),
                minutes=spread(30, 400),
            ),
            "stay": Visits(
                kinds=(Kind(class_code="IMP", code="32485007", display="Hospital admission (procedure)", weight=1),),
                minutes=spread(1440, 40000),
            ),
        },
        gaps={0: spread(20, 90), 18: spread(30, 500)},
        since=spread(3, 300),
        panels={
            "routine": (
                Panel(features=(), weight=1),
                Panel(features=vital, weight=3),
                Panel(features=tuple(sorted((*vital, *laboratory))), weight=1),
            ),
            "emergency": (Panel(features=vital, weight=1),),
            "stay": (),
        },
        within={"systolic_bp": 6.0, "heart_rate": 5.0, "spo2": 1.0, "hba1c": 0.3, "creatinine": 0.1, "wbc": 1.0},
        diastolic=(35.0, 0.36, 6.0),
        onset={feature.name: spread(0.5, 60) for feature in example_schema().features},
        orders=tuple(
            Order(code=str(1000 + number), display=f"medication {number}", weight=30 - number)
            for number in range(orders)
        ),
        hispanic=0.2,
    )
