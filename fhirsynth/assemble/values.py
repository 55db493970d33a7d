"""Codes and values of a chart as FHIR data types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from fhirsynth.assemble import codes
from fhirsynth.assemble.chart import Code, Value
from fhirsynth.assemble.units import is_ucum
from synthea_bridge.tables import UCUM

ABSENT: Final[dict[str, Any]] = {"extension": [{"url": codes.ABSENT, "valueCode": "unknown"}]}
"""In place of an element that must be there and is not known; never to be changed."""
_TEXTS: Final = frozenset({"string", "dateTime", "time"})
_EXACT: Final = 2**53
"""Floats from here on do not tell one whole number from the next."""


def concept(code: Code | None) -> dict[str, Any] | None:
    """A CodeableConcept; None where the code says nothing."""
    if code is None:
        return None
    system, name, display = code
    text = {} if display is None else {"text": display}
    if system is None and name is None:
        return text or None
    one = {"system": system, "code": name, "display": display}
    return {"coding": [{key: part for key, part in one.items() if part is not None}], **text}


def known(code: str | None, displays: Mapping[str, str], system: str) -> dict[str, Any] | None:
    """A Coding: with system and display where the code is one of ``displays``, else the code alone."""
    if code is None:
        return None
    return codes.coding(system, code, displays[code]) if code in displays else {"code": code}


def value(one: Value | None, profiled: bool = False) -> dict[str, Any]:
    """The element ``value[x]`` of an Observation or component; empty where there is none.

    Parameters
    ----------
    profiled
        A quantity without a unit is then one of the unit 1.
    """
    if one is None:
        return {}
    name = f"value{one.kind[:1].upper()}{one.kind[1:]}"
    if one.kind == "quantity":
        return {name: _quantity(one, profiled)}
    if one.kind == "code":
        return {"valueCodeableConcept": concept(Code(one.system, one.code, one.text)) or ABSENT}
    if one.text is None:
        return {} if one.number is None else {name: number(one.number)}
    return {name: one.text if one.kind in _TEXTS else _parsed(one.text)}


def _parsed(text: str) -> Any:
    """What a text of a kind that is no string stands for; the text itself where it is no JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _quantity(one: Value, profiled: bool) -> dict[str, Any]:
    unit = one.unit or ("1" if profiled else None)
    made: dict[str, Any] = {} if one.number is None else {"value": number(one.number)}
    if one.comparator is not None:
        made["comparator"] = one.comparator
    if unit is not None:
        made["unit"] = unit
        if is_ucum(unit):
            made |= {"system": UCUM, "code": unit}
    return made or ABSENT


def number(one: float) -> float | int:
    """A number as JSON has it: whole ones without a decimal point."""
    return int(one) if float(one).is_integer() and abs(one) < _EXACT else one
