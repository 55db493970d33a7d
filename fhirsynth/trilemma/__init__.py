"""Utility, privacy and fidelity of synthetic patients: measures, intervals, controls and verdicts."""

from fhirsynth.trilemma.judging import Extras, evaluate
from fhirsynth.trilemma.measure import Measure, Report

__all__ = ["Extras", "Measure", "Report", "evaluate"]
