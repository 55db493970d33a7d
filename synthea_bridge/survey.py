"""Count who has what among simulated people, for the catalogue: ``python -m synthea_bridge.survey [PEOPLE]``.

It writes ``catalogue.json`` beside this file. The people are a living cross-section of Synthea as it is; for 0
people, what an earlier survey has counted is kept.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import quantiles
from typing import Final

import orjson

from synthea_bridge.conditions import CATALOGUE, Condition, catalogue, read_catalogue
from synthea_bridge.generate import SYNTHEA_VERSION
from synthea_bridge.gmf import modules_in
from synthea_bridge.plan import Plan
from synthea_bridge.shards import ATTEMPTS_PER_PATIENT
from synthea_bridge.simulator import simulator, synthea_jar
from synthea_bridge.spec import GenerateSpec

PEOPLE: Final = 10_000
ENOUGH: Final = 10
"""People with a condition from which on their share is told: its 95 % interval is then within a factor of two."""


@dataclass(slots=True)
class Count:
    """People with one condition: how many have it now, and the ages at which all began who ever had it."""

    active: int = 0
    onsets: list[float] = field(default_factory=list)


def survey(people: int, seed: int = 20260101) -> dict[str, Count]:
    """What ``people`` living people have, by SNOMED CT code."""
    plan = Plan(0, "survey", people, "", {})
    found: dict[str, Count] = defaultdict(Count)
    spec = GenerateSpec(population=people, seed=seed)
    with simulator(spec, plan, survey=1) as helper:
        for word, _, lines, _ in helper.ask(cases=False, start=0, until=ATTEMPTS_PER_PATIENT * people, wanted=people):
            for line in lines.read().decode().splitlines() if word == "control" else ():
                code, onset, active = line.split()
                found[code].active += active == "1"
                found[code].onsets.append(float(onset))
    return found


def surveyed(condition: Condition, counts: Mapping[str, Count], people: int) -> Condition:
    """A condition with what the survey says of it, where enough people had it."""
    count = counts.get(condition.snomed, Count())
    if len(count.onsets) >= ENOUGH:
        low, _, high = quantiles(count.onsets, n=4)
        condition = replace(condition, onset_age=(round(low, 1), round(high, 1)))
    if count.active >= ENOUGH:
        return replace(condition, prevalence=count.active / people, prevalence_by="survey")
    return condition


def kept(condition: Condition, known: Mapping[str, Condition]) -> Condition:
    """A condition with what an earlier survey says of it."""
    before = known.get(condition.snomed)
    if before is None:
        return condition
    condition = replace(condition, onset_age=before.onset_age or condition.onset_age)
    if before.prevalence_by != "survey":
        return condition
    return replace(condition, prevalence=before.prevalence, prevalence_by="survey")


def main(given: Sequence[str]) -> None:
    """Write the catalogue."""
    file = Path(__file__).with_name(CATALOGUE)
    people = int(given[0]) if given else PEOPLE
    conditions = read_catalogue(modules_in(synthea_jar()))
    if people:
        counts = survey(people)
        made = [surveyed(condition, counts, people) for condition in conditions]
    else:
        people = orjson.loads(file.read_bytes())["people"]
        known = {condition.snomed: condition for condition in catalogue()}
        made = [kept(condition, known) for condition in conditions]
    values = {"synthea": SYNTHEA_VERSION, "people": people, "conditions": [one.as_json for one in made]}
    file.write_bytes(orjson.dumps(values, option=orjson.OPT_INDENT_2) + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])
