"""From one unit to another, for what is measured in patients; a unit that is not here is not guessed.

A unit is known by its UCUM code (https://ucum.org/ucum), or by a spelling that cannot mean anything else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MASS_CONCENTRATION: Final = "mass concentration"
SUBSTANCE_CONCENTRATION: Final = "substance concentration"
CHARGE_CONCENTRATION: Final = "charge concentration"

_SIZES: Final[Mapping[str, Mapping[str, float]]] = {
    # in g/L
    MASS_CONCENTRATION: {
        **{f"{prefix}g/L": size for prefix, size in (("", 1.0), ("m", 1e-3), ("u", 1e-6), ("n", 1e-9))},
        **{f"{prefix}g/dL": size * 10 for prefix, size in (("", 1.0), ("m", 1e-3), ("u", 1e-6), ("n", 1e-9))},
        **{f"{prefix}g/mL": size for prefix, size in (("m", 1.0), ("u", 1e-3), ("n", 1e-6), ("p", 1e-9))},
    },
    # in mol/L
    SUBSTANCE_CONCENTRATION: {
        **{f"{prefix}mol/L": size for prefix, size in (("", 1.0), ("m", 1e-3), ("u", 1e-6), ("n", 1e-9), ("p", 1e-12))},
        "mmol/dL": 1e-2,
        "mol/m3": 1e-3,
    },
    # in mol/L of charges
    CHARGE_CONCENTRATION: {"eq/L": 1.0, "meq/L": 1e-3},
    # in 1
    "fraction": {"1": 1.0, "%": 1e-2, "L/L": 1.0, "mol/mol": 1.0},
    # in m
    "length": {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "[in_i]": 0.0254, "[in_us]": 0.0254, "[ft_i]": 0.3048},
    # in kg
    "mass": {"kg": 1.0, "g": 1e-3, "[lb_av]": 0.45359237, "[oz_av]": 0.45359237 / 16, "[stone_av]": 6.35029318},
    # in 1/min
    "rate": {"/min": 1.0, "1/min": 1.0, "/s": 60.0, "Hz": 60.0},
    # in mmHg
    "pressure": {"mm[Hg]": 1.0, "cm[H2O]": 0.735559, "kPa": 7.500617, "hPa": 0.7500617},
    # in 1/L
    "number concentration": {
        "/L": 1.0,
        "/uL": 1e6,
        "/nL": 1e9,
        "/mm3": 1e6,
        **{f"10*{power}/{volume}": 10.0**power * size for power in (3, 6, 9, 12) for volume, size in
           (("L", 1.0), ("mL", 1e3), ("uL", 1e6), ("mm3", 1e6))},
    },
    "body mass index": {"kg/m2": 1.0},
    "filtration rate": {"mL/min/{1.73_m2}": 1.0, "mL/min": 1.0, "mL/s/{1.73_m2}": 60.0, "mL/s": 60.0},
    "acidity": {"[pH]": 1.0},
    "volume of a cell": {"fL": 1.0, "um3": 1.0},
    "mass of a cell": {"pg": 1.0},
    # in degrees Celsius; see _ZEROS
    "temperature": {"Cel": 1.0, "[degF]": 5 / 9, "K": 1.0},
}  # fmt: skip
_ZEROS: Final = {"[degF]": 32.0, "K": 273.15}
"""What is subtracted before a temperature is scaled."""

_SPELLINGS: Final = {
    "mmHg": "mm[Hg]", "mm Hg": "mm[Hg]", "bpm": "/min", "beats/min": "/min", "breaths/min": "/min",
    "°C": "Cel", "degC": "Cel", "°F": "[degF]", "degF": "[degF]", "in": "[in_i]", "ft": "[ft_i]",
    "lb": "[lb_av]", "lbs": "[lb_av]", "oz": "[oz_av]", "mEq/L": "meq/L", "pH": "[pH]", "kg/m^2": "kg/m2",
    "kg/m²": "kg/m2", "K/uL": "10*3/uL", "10^3/uL": "10*3/uL", "10^9/L": "10*9/L", "10^6/uL": "10*6/uL",
    "10^12/L": "10*12/L", "M/uL": "10*6/uL", "mcg/dL": "ug/dL", "mL/min/1.73.m2": "mL/min/{1.73_m2}",
    "mL/min/1.73m2": "mL/min/{1.73_m2}", "mL/min/1.73.m^2": "mL/min/{1.73_m2}", "ml/min/1.73m2": "mL/min/{1.73_m2}",
    "mL/min/{1.73m2}": "mL/min/{1.73_m2}",
}  # fmt: skip
"""Spellings outside UCUM that are met, and cannot mean anything else."""

_ANNOTATION: Final = re.compile(r"\{[^}]*\}")
_KNOWN: Final = {unit: (kind, size) for kind, sizes in _SIZES.items() for unit, size in sizes.items()}


@dataclass(frozen=True, slots=True)
class Scale:
    """``value * factor + offset`` is the value in the other unit."""

    factor: float
    offset: float = 0.0


def known(unit: str) -> bool:
    """Whether a unit is in the table."""
    return _canonical(unit) in _KNOWN


def scale(source: str, target: str, molar_mass: float | None = None, valence: int | None = None) -> Scale | None:
    """How values in ``source`` become values in ``target``; None where that is not known.

    Parameters
    ----------
    source, target
        Units.
    molar_mass
        Grams a mole of what is measured: with it, mg/dL and mmol/L can be compared.
    valence
        Charges of what is measured: with it, meq/L and mmol/L can be.
    """
    first, second = _canonical(source), _canonical(target)
    if first == second:
        return Scale(1.0)
    if first not in _KNOWN or second not in _KNOWN:
        return None
    (kind, size), (wanted, other) = _KNOWN[first], _KNOWN[second]
    across = _across(kind, wanted, molar_mass, valence)
    if across is None:
        return None
    factor = size * across / other
    return Scale(factor, _ZEROS.get(second, 0.0) - _ZEROS.get(first, 0.0) * factor)


def _across(kind: str, wanted: str, molar_mass: float | None, valence: int | None) -> float | None:
    """What one base unit of ``kind`` is in that of ``wanted``."""
    if kind == wanted:
        return 1.0
    moles = {
        SUBSTANCE_CONCENTRATION: 1.0,
        MASS_CONCENTRATION: None if molar_mass is None else 1 / molar_mass,
        CHARGE_CONCENTRATION: None if valence is None else 1 / valence,
    }
    one, other = moles.get(kind), moles.get(wanted)
    return None if one is None or other is None else one / other


def _canonical(unit: str) -> str:
    text = unit.strip().replace("μ", "u").replace("µ", "u")
    text = _SPELLINGS.get(text, text)
    if text in _KNOWN:
        return text
    # An annotation in braces says what is counted, and is no part of the unit.
    bare = _ANNOTATION.sub("", text)
    return _SPELLINGS.get(bare, bare)
