"""Which simulations a spec needs: one of people as they are, and one for each cohort with its onset more frequent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from synthea_bridge.boost import boosted
from synthea_bridge.conditions import Condition, boosts, find_all
from synthea_bridge.errors import UsageError
from synthea_bridge.gmf import Module, modules_in
from synthea_bridge.spec import GenerateSpec
from synthea_bridge.walk import risk


@dataclass(frozen=True, slots=True)
class Plan:
    """One simulation.

    Parameters
    ----------
    number
        0 for the people without the conditions, 1, 2, … for the cohorts.
    name
        What it is called: ``control``, or the condition.
    wanted
        How many living patients.
    codes
        SNOMED CT codes as the Java helper takes them.
    modules
        Definitions of modules that are not Synthea's own or take their place, by path.
    factor
        By how much the onset is more frequent; 1 where it is as it is.
    repeated
        Whether it is decided again and again, so that the factor holds only about.
    """

    number: int
    name: str
    wanted: int
    codes: str
    modules: Mapping[str, Mapping[str, Any]]
    factor: float = 1.0
    repeated: bool = False


def plans(spec: GenerateSpec, jar: Path) -> Iterator[Plan]:
    """The simulations of ``spec``, those of the cohorts last.

    Parameters
    ----------
    jar
        Synthea's jar, from which modules are read.

    Raises
    ------
    UsageError
        When nobody who is asked for can have a condition.
    """
    modules = modules_in(jar, spec.modules)
    asked = [find_all(cohort.condition, spec.modules) for cohort in spec.cohorts]
    for conditions in asked:
        _possible(conditions, spec, modules)
    more = _more(asked, modules)
    codes = ["+".join(one.snomed for one in conditions) for conditions in asked]
    if spec.population:
        yield Plan(0, "control", spec.population, "|".join(codes), more)
    for number, (cohort, conditions) in enumerate(zip(spec.cohorts, asked, strict=True), start=1):
        chosen, factor = ([], 1.0) if spec.natural else boosts(conditions, modules)
        changed = {one.module: boosted(modules[one.module], one, one.factor) for one in chosen}
        name = " and ".join(one.slug for one in conditions)
        repeated = any(one.repeated for one in chosen)
        yield Plan(number, name, cohort.cases, codes[number - 1], {**more, **changed}, factor, repeated)


def _more(asked: list[tuple[Condition, ...]], modules: Mapping[str, Module]) -> dict[str, Mapping[str, Any]]:
    """The user's modules, and those of ours that bring about what is asked for."""
    wanted = {path for conditions in asked for condition in conditions for path in condition.onsets}
    return {
        path: module.definition
        for path, module in modules.items()
        if module.origin == "yours" or (module.origin == "fhirsynth" and path in wanted)
    }


def _possible(conditions: tuple[Condition, ...], spec: GenerateSpec, modules: Mapping[str, Module]) -> None:
    for condition in conditions:
        if spec.gender is not None:
            shares = [risk(modules[path], states, spec.gender) for path, states in condition.onsets.items()]
            if shares and all(share == 0 for share in shares):
                raise UsageError(
                    f"--gender {spec.gender} and {condition.slug} exclude each other; leave one of them out"
                )


def write_modules(definitions: Mapping[str, Mapping[str, Any]], folder: Path) -> Path | None:
    """Write modules into a folder for Synthea; None when there are none."""
    for path, definition in definitions.items():
        file = folder / f"{path}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(orjson.dumps(definition))
    return folder if definitions else None
