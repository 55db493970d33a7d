"""What synthetic patients are good for and what not: the words that datasheet, model card and metadata share."""

from __future__ import annotations

from typing import Final

from fhirsynth.trilemma.measure import Report

LIMITS: Final = (
    "The generator knows nothing but the columns it was trained on, at one index date.",
    "It cannot make what the training patients do not show; rare combinations are its weakest side.",
    "Not for care, epidemiology or approval; validate on real patients whatever is learned from it.",
)
MISSING: Final = (
    "Values may be missing, as they are for real patients: a missing value says that nothing is known, not zero or no."
)
IMPACT: Final = (
    "Software and methods can be tried without the records of people. Taken for evidence about people, the data would "
    "mislead: they repeat what few training patients show, and the mistakes of a generator."
)
MAINTENANCE: Final = (
    "The same parameters and seed make the same data; nothing is corrected in place: make the data anew, judge them "
    "anew, and pass them on with their new report."
)


def suited(report: Report) -> list[str]:
    """What the data are meant for, by what the report found."""
    found = ["testing and demonstrating software that takes FHIR patients", "teaching"]
    if report.valid and report.verdicts.get("utility") == "PASS" and report.verdicts.get("fidelity") == "PASS":
        found.append("developing models, if they are validated on real patients")
    return found


def unsuited(report: Report) -> list[str]:
    """What the data must not be used for, by what the report found."""
    found = [
        "decisions about the care of anybody",
        "estimates of prevalence, incidence, survival or the effect of a treatment",
        "evidence for approval or reimbursement, or as the only data that a model is validated on",
    ]
    if not report.valid or report.verdicts.get("privacy") != "PASS":
        found.append("release outside of where the training data may be: privacy did not PASS here")
    return found
