"""Defects in values and units."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from fhirsynth.defects.edit import Change, Path, Site, look

Quantity = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two units that are mistaken for each other: rival = unit × factor + offset; see ``units.toml``."""

    unit: str
    rival: str
    factor: float
    offset: float = 0.0
    codes: tuple[str, ...] = ()


@cache
def pairs() -> tuple[Pair, ...]:
    """All that are known."""
    text = resources.files("fhirsynth.defects").joinpath("units.toml").read_text(encoding="utf-8")
    return tuple(Pair(**{**one, "codes": tuple(one.get("codes", ()))}) for one in tomllib.loads(text)["pair"])


def quantities(site: Site) -> Iterator[tuple[Path, Quantity, str]]:
    """Numbers with a unit of measure, each with its code; scores and counts have none."""
    parts = site.resource.get("component")
    places: list[Path] = [(), *(("component", number) for number in range(len(parts or ())))]
    for place in places:
        quantity = look(site.resource, (*place, "valueQuantity"))
        code = look(site.resource, (*place, "code", "coding", 0, "code"))
        if not isinstance(quantity, dict) or not _is_number(quantity.get("value")):
            continue
        if str(quantity.get("code", "{")).startswith("{"):
            continue
        yield (*place, "valueQuantity"), quantity, str(code)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _rivals(site: Site) -> list[tuple[Path, Quantity, Pair]]:
    return [
        (path, quantity, pair)
        for path, quantity, code in quantities(site)
        for pair in pairs()
        if quantity.get("code") == pair.unit and (not pair.codes or code in pair.codes)
    ]


def wrong_unit(site: Site, random: np.random.Generator) -> Change | None:
    """The unit of a rival, the value as it was."""
    options = _rivals(site)
    if not options:
        return None
    path, quantity, pair = options[int(random.integers(len(options)))]
    return Change(path, {**quantity, "unit": pair.rival, "code": pair.rival})


def converted_value(site: Site, random: np.random.Generator) -> Change | None:
    """The value in the rival's unit, the unit as it was."""
    options = _rivals(site)
    if not options:
        return None
    path, quantity, pair = options[int(random.integers(len(options)))]
    value = round(quantity["value"] * pair.factor + pair.offset, 2)
    return None if value == quantity["value"] else Change((*path, "value"), value)


def missing_unit(site: Site, random: np.random.Generator) -> Change | None:
    """The number alone."""
    options = list(quantities(site))
    if not options:
        return None
    path, quantity, _ = options[int(random.integers(len(options)))]
    return Change(path, {key: value for key, value in quantity.items() if key not in ("unit", "system", "code")})


def implausible_value(site: Site, random: np.random.Generator) -> Change | None:
    """Ten or a hundred times the value."""
    options = [(path, quantity["value"]) for path, quantity, _ in quantities(site) if quantity["value"]]
    if not options:
        return None
    path, value = options[int(random.integers(len(options)))]
    slipped = value * int(random.choice([10, 100]))
    return Change((*path, "value"), round(slipped, 6) if isinstance(slipped, float) else slipped)


def number_as_text(site: Site, random: np.random.Generator) -> Change | None:
    """The number as text, its decimals behind a comma."""
    options = [(path, quantity["value"]) for path, quantity, _ in quantities(site)]
    if not options:
        return None
    path, value = options[int(random.integers(len(options)))]
    return Change((*path, "value"), str(value).replace(".", ","))
