"""What stands in a rule file beside numbers: lengths of time, patterns, units, sources, formulas, names of tables."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator

from fhirsynth.clinical.formula import Formula
from fhirsynth.clinical.units import known

DAY: Final = 86_400.0
"""Seconds."""
YEAR: Final = 365.25 * DAY
MONTH: Final = YEAR / 12
_LENGTHS: Final = {"h": 3600.0, "d": DAY, "wk": 7 * DAY, "mo": MONTH, "a": YEAR}
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(h|d|wk|mo|a)")

Severity = Literal["error", "warning"]
Sex = Literal["female", "male"]
TableName = Literal["encounters", "conditions", "observations", "medications", "procedures"]
RESOURCES: Final[dict[TableName, str]] = {
    "encounters": "Encounter",
    "conditions": "Condition",
    "observations": "Observation",
    "medications": "MedicationRequest",
    "procedures": "Procedure",
}
TIMES: Final[dict[TableName, tuple[str, ...]]] = {
    "encounters": ("start", "end"),
    "conditions": ("onset", "abatement", "recorded"),
    "observations": ("effective",),
    "medications": ("authored",),
    "procedures": ("start", "end"),
}
"""The moments that each table has; the first one is when a thing began."""
LINKED: Final = ("patient.birth", "patient.death", "encounter.start", "encounter.end", "reason.onset")
"""The moments of what a row belongs to."""
GIVEN: Final = frozenset({"age", "female"})
"""What a formula may name beside analytes: years of age, and 1 for females, 0 for males."""
RESERVED: Final = GIVEN | {"row", "patient", "resource", "seconds", "value", "bound", "unit", "expected"}
"""Names that mean something else where values are compared."""


def _span(text: Any) -> float:
    found = _SPAN.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"'{text}' is no length of time; write a number and h, d, wk, mo or a, as in 18a")
    return float(found[1]) * _LENGTHS[found[2]]


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"'{text}' is no pattern ({error})") from error
    return text


def _unit(text: str) -> str:
    if not known(text):
        raise ValueError(f"the unit '{text}' is not known; give a UCUM code, as in mmol/L")
    return text


def _with_address(text: str) -> str:
    if not re.search(r"https?://\S+", text):
        raise ValueError(
            "a source is the name of one in [sources], or has its DOI or address, as in https://doi.org/10.2337/dc08-0545"
        )
    return text


Span = Annotated[float, BeforeValidator(_span)]
"""A length of time, in seconds; written as ``28d``, ``6mo`` or ``18a``."""
Unit = Annotated[str, AfterValidator(_unit)]
Source = Annotated[str, AfterValidator(_with_address)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Formulas = Annotated[dict[str, Formula], BeforeValidator(lambda value: {k: Formula(v) for k, v in value.items()})]
OneFormula = Annotated[Formula, BeforeValidator(lambda value: value if isinstance(value, Formula) else Formula(value))]
