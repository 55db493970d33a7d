"""What a module's own numbers say of a condition: how many ever get it, and at which ages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from synthea_bridge.gmf import Branch, Module

GENDERS: Final = {"M": 0.5, "F": 0.5}
RACES: Final = {"white": 0.76, "black": 0.08, "asian": 0.07, "native": 0.01, "other": 0.08}
ETHNICITIES: Final = {"hispanic": 0.12, "nonhispanic": 0.88}
"""Shares of the people in the default place, rounded; they weigh what a module says of each group."""
_YEARS: Final = {
    "years": 1.0,
    "months": 1 / 12,
    "weeks": 7 / 365.25,
    "days": 1 / 365.25,
    "hours": 0.0,
    "minutes": 0.0,
    "seconds": 0.0,
}


class _Unknown(Exception):
    pass


def risk(module: Module, onsets: Iterable[str], only: str | None = None) -> float | None:
    """The share of people who come to an onset if they live; None where a branch depends on more than gender and race.

    Gender (unless it is given) and race are averaged over, circles are not walked.
    """
    goals = set(onsets)
    reaching = module.reaching(goals)
    try:
        return sum(
            one[1]
            * two[1]
            * three[1]
            * _risk(module, module.initial, goals, reaching, _who(one[0], two[0], three[0]), {})
            for one in ({only: 1.0} if only else GENDERS).items()
            for two in RACES.items()
            for three in ETHNICITIES.items()
        )
    except _Unknown:
        return None


def _who(gender: str, race: str, ethnicity: str) -> dict[str, str]:
    return {"gender": gender, "race": race, "ethnicity": ethnicity}


def _risk(
    module: Module,
    state: str,
    goals: set[str],
    reaching: set[str],
    who: Mapping[str, str],
    known: dict[str, float | None],
) -> float:
    if state in goals:
        return 1.0
    if state not in reaching:
        return 0.0
    if state in known:
        value = known[state]
        if value is None:
            raise _Unknown
        return value
    known[state] = None
    definition = module.states[state]
    if definition["type"] in ("Guard", "CallSubmodule"):
        raise _Unknown
    value = sum(share * _risk(module, target, goals, reaching, who, known) for target, share in _ways(definition, who))
    known[state] = value
    return value


def _ways(state: Mapping[str, Any], who: Mapping[str, str]) -> list[tuple[str, float]]:
    if "direct_transition" in state:
        return [(state["direct_transition"], 1.0)]
    if "distributed_transition" in state:
        return _numbers(state["distributed_transition"])
    if "lookup_table_transition" in state:
        raise _Unknown
    options = state.get("conditional_transition", state.get("complex_transition", []))
    fitting = (one for one in options if "condition" not in one or _holds(one["condition"], who))
    option = next(fitting, options[-1] if options else None)  # where none fits, Synthea takes the last
    if option is None:
        return []
    return [(option["transition"], 1.0)] if "transition" in option else _numbers(option["distributions"])


def _numbers(options: Iterable[Mapping[str, Any]]) -> list[tuple[str, float]]:
    if not all(isinstance(option["distribution"], int | float) for option in options):
        raise _Unknown
    return [(option["transition"], float(option["distribution"])) for option in options]


def _holds(condition: Mapping[str, Any], who: Mapping[str, str]) -> bool:
    kind = condition["condition_type"]
    if kind == "Gender":
        return bool(condition["gender"] == who["gender"])
    if kind == "Race":
        return bool(condition["race"].lower() == who["race"])
    if kind == "Attribute" and condition["attribute"] in who and condition["operator"] == "==":
        return bool(condition["value"] == who[condition["attribute"]])
    if kind in ("And", "Or"):
        return (all if kind == "And" else any)(_holds(one, who) for one in condition["conditions"])
    if kind == "Not":
        return not _holds(condition["condition"], who)
    raise _Unknown


def onset_years(module: Module, onsets: Iterable[str]) -> tuple[float, float] | None:
    """The earliest and latest age at onset by the delays before it, in years; None if anything else is waited for."""
    goals = set(onsets)
    reaching = module.reaching(goals)
    try:
        return _delay(module, module.initial, goals, reaching, set())
    except _Unknown:
        return None


def _delay(module: Module, state: str, goals: set[str], reaching: set[str], path: set[str]) -> tuple[float, float]:
    if state in goals:
        return (0.0, 0.0)
    if state in path or module.states[state]["type"] in ("Guard", "CallSubmodule"):
        raise _Unknown
    ways = [_delay(module, b.target, goals, reaching, path | {state}) for b in _onward(module, state, reaching)]
    low, high = _own_delay(module.states[state])
    if not ways:
        raise _Unknown
    return (low + min(way[0] for way in ways), high + max(way[1] for way in ways))


def _onward(module: Module, state: str, reaching: set[str]) -> list[Branch]:
    return [branch for branch in module.branches[state] if branch.target in reaching]


def _own_delay(state: Mapping[str, Any]) -> tuple[float, float]:
    if state["type"] != "Delay":
        return (0.0, 0.0)
    if "range" in state:
        unit = _YEARS[state["range"]["unit"]]
        return (state["range"]["low"] * unit, state["range"]["high"] * unit)
    if "exact" in state:
        years = state["exact"]["quantity"] * _YEARS[state["exact"]["unit"]]
        return (years, years)
    distribution, unit = state.get("distribution", {}), _YEARS.get(state.get("unit", ""), 0.0)
    values = distribution.get("parameters", {})
    if distribution.get("kind") == "EXACT":
        return (values["value"] * unit, values["value"] * unit)
    if distribution.get("kind") == "UNIFORM":
        return (values["low"] * unit, values["high"] * unit)
    raise _Unknown
