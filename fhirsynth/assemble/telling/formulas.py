"""Values that follow from others of the same moment, so that a chart does not contradict itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

HEIGHT, WEIGHT, BMI = "8302-2", "29463-7", "39156-5"
SYSTOLIC, DIASTOLIC = "8480-6", "8462-4"
TOTAL, HDL, LDL, TRIGLYCERIDES = "2093-3", "2085-9", "18262-6", "2571-8"
HAEMOGLOBIN, CELLS, HAEMATOCRIT = "718-7", "789-8", ("4544-3", "20570-8")
CREATININE, EGFR = ("38483-4", "2160-0"), ("33914-3", "62238-1", "77147-7", "98979-8")
HEAD = "9843-4"
ADULT: Final = 18
HYPERFILTRATION: Final = 180.0
"""mL/min/1.73 m²; beyond it the equation for children says nothing."""
GROWN: Final = 20
"""Age in years from which on height stays."""
GROWING: Final = (HEIGHT, HEAD)
"""Codes of what grows in childhood and never falls."""


@dataclass(frozen=True, slots=True)
class Formula:
    """``value(values of the codes in of, age in years, sex, a standard normal number)``; None where it cannot hold.

    Parameters
    ----------
    of
        For each value the codes that it may have.
    behind
        Whether a value of ``of`` that was not asked for stands behind it nevertheless.
    """

    code: str
    of: tuple[tuple[str, ...], ...]
    value: Callable[[Sequence[float], float, str, float], float | None]
    behind: bool = False


def _bmi(given: Sequence[float], _age: float, _sex: str, _noise: float) -> float | None:
    weight, height = given
    return weight / (height / 100) ** 2 if height > 0 else None


def _total(given: Sequence[float], _age: float, _sex: str, _noise: float) -> float | None:
    """Friedewald et al. 1972, https://doi.org/10.1093/clinchem/18.6.499, in mg/dL."""
    hdl, ldl, triglycerides = given
    return hdl + ldl + triglycerides / 5


def _egfr_child(given: Sequence[float], age: float, _sex: str, _noise: float) -> float | None:
    """Bedside equation of Schwartz et al. 2009, https://doi.org/10.1681/ASN.2008030287, in mL/min/1.73 m²."""
    creatinine, height = given
    return min(0.413 * height / creatinine, HYPERFILTRATION) if age < ADULT and creatinine > 0 else None


def _egfr(given: Sequence[float], age: float, sex: str, _noise: float) -> float | None:
    """CKD-EPI 2021 (Inker et al., https://doi.org/10.1056/NEJMoa2102953), in mL/min/1.73 m²; of adults."""
    (creatinine,) = given
    if age < ADULT or creatinine <= 0:
        return None
    kappa, alpha = (0.7, -0.241) if sex == "female" else (0.9, -0.302)
    ratio = creatinine / kappa
    estimate = 142.0 * min(ratio, 1.0) ** alpha * max(ratio, 1.0) ** -1.2 * 0.9938**age
    return float(estimate * 1.012 if sex == "female" else estimate)


def _haematocrit(given: Sequence[float], _age: float, _sex: str, noise: float) -> float | None:
    """Three times the haemoglobin, by rule of thumb."""
    return 3 * given[0] + 0.6 * noise


def _part(scale: float) -> Callable[[Sequence[float], float, str, float], float | None]:
    """A red cell index: so many times the first value for each of the second."""

    def value(given: Sequence[float], _age: float, _sex: str, _noise: float) -> float | None:
        return scale * given[0] / given[1] if given[1] > 0 else None

    return value


def _glucose(given: Sequence[float], _age: float, _sex: str, noise: float) -> float | None:
    """Nathan et al. 2008, https://doi.org/10.2337/dc08-0545, in mg/dL: the mean of months, around which one lies."""
    return max(28.7 * given[0] - 46.7 + 12 * noise, 55.0)


def _diastolic(given: Sequence[float], _age: float, _sex: str, _noise: float) -> float | None:
    """At least 15 mm[Hg] below the systolic pressure."""
    systolic, diastolic = given
    return min(diastolic, max(systolic - 15, 20))


FORMULAS: Final = (
    Formula(BMI, ((WEIGHT,), (HEIGHT,)), _bmi),
    Formula(TOTAL, ((HDL,), (LDL,), (TRIGLYCERIDES,)), _total),
    *(Formula(code, (CREATININE, (HEIGHT,)), _egfr_child, behind=True) for code in EGFR),
    *(Formula(code, (CREATININE,), _egfr, behind=True) for code in EGFR),
    *(Formula(code, ((HAEMOGLOBIN,),), _haematocrit) for code in HAEMATOCRIT),
    Formula("787-2", (HAEMATOCRIT, (CELLS,)), _part(10)),
    Formula("785-6", ((HAEMOGLOBIN,), (CELLS,)), _part(10)),
    Formula("786-4", ((HAEMOGLOBIN,), HAEMATOCRIT), _part(100)),
    *(Formula(code, (("4548-4",),), _glucose) for code in ("2339-0", "2345-7")),
    Formula(DIASTOLIC, ((SYSTOLIC,), (DIASTOLIC,)), _diastolic),
)
"""In the order in which they are applied."""
