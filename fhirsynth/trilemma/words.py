"""How figures are written for people."""

from __future__ import annotations

from fhirsynth.trilemma.measure import Measure


def figure(value: float | None) -> str:
    """Three digits, and a dash where there is nothing."""
    return "–" if value is None else f"{value:.3f}".replace("-", "−") if abs(value) >= 0.0005 else "0.000"


def ends(measure: Measure) -> str:
    """The interval of a measure."""
    if measure.low is None or measure.high is None:
        return "–"
    return f"{figure(measure.low)} to {figure(measure.high)}"


def met(measure: Measure) -> str:
    """Whether the target is met as written."""
    return {True: "yes", False: "no", None: "not measured"}[measure.met]


def cohort(name: str, title: str) -> str:
    """What a cohort is called."""
    return "overall" if name == "overall" else f"rare cohort ({title})"
