"""The conditions that can be asked for: name, SNOMED CT code, the Synthea module and the states where it begins."""

from __future__ import annotations

import difflib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from synthea_bridge.errors import UsageError


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition.

    Parameters
    ----------
    slug, name
        What the user types, and what is shown.
    snomed, display
        SNOMED CT code and its display.
    module
        Synthea module, as a path below ``modules/`` without ``.json``.
    onset
        The state of the module in which the condition begins.
    note
        How rare it is, in a few words.
    """

    slug: str
    name: str
    snomed: str
    display: str
    module: str
    onset: str
    note: str


CONDITIONS: Final = (
    Condition(
        "cystic-fibrosis",
        "Cystic fibrosis",
        "190905008",
        "Cystic fibrosis (disorder)",
        "cystic_fibrosis",
        "Cystic_Fibrosis",
        "1 in 3,000 to 1 in 35,000 births, by race",
    ),
)


def find(name: str) -> Condition:
    """The condition with this slug, name or SNOMED CT code.

    Raises
    ------
    UsageError
        When there is none, with the nearest names.
    """
    wanted = name.strip().lower().replace("_", "-").replace(" ", "-")
    for condition in CONDITIONS:
        if wanted in (condition.slug, condition.snomed):
            return condition
    slugs = [condition.slug for condition in CONDITIONS]
    near = difflib.get_close_matches(wanted, slugs, n=3) or slugs
    raise UsageError(f"there is no condition '{name}'; did you mean {' or '.join(near)}? (see: fhirsynth conditions)")


def search(text: str = "") -> list[Condition]:
    """Those whose slug, name or code contains ``text``."""
    wanted = text.lower()
    return [c for c in CONDITIONS if wanted in f"{c.slug} {c.name} {c.snomed} {c.display}".lower()]


def overrides(condition: Condition, jar: Path) -> tuple[list[str], float]:
    """Lines for Synthea's ``module_override`` that make the condition frequent, and the factor that they stand for.

    All branches into the onset are multiplied by one factor, the largest that keeps each at 1 or below, so that who
    gets the condition, given that somebody does, stays as it was. The rest of each distribution shrinks to fit.

    Parameters
    ----------
    condition
        The condition.
    jar
        Synthea's jar, from which the module is read.
    """
    with zipfile.ZipFile(jar) as archive:
        module = orjson.loads(archive.read(f"modules/{condition.module}.json"))
    branches = list(_onset_branches(module, condition.onset))
    factor = 1 / max(share for *_, share in branches)
    lines = []
    for state, place, distributions, share in branches:
        scaled = share * factor
        for number, distribution in enumerate(distributions):
            old = distribution["distribution"]
            into = distribution["transition"] == condition.onset
            new = scaled if into else (old * (1 - scaled) / (1 - share) if share < 1 else old)
            path = f"$['states']['{state}']{place}[{number}]['distribution']"
            lines.append(f"{condition.module}.json\\:\\:{path} = {new:.12g}")
    return lines, factor


def _onset_branches(module: dict[str, Any], onset: str) -> Iterator[tuple[str, str, list[dict[str, Any]], float]]:
    """State, place of the distributions, the distributions, and the share that goes to the onset."""
    for name, state in module["states"].items():
        groups = [("['distributed_transition']", state.get("distributed_transition", []))]
        groups += [
            (f"['complex_transition'][{number}]['distributions']", branch.get("distributions", []))
            for number, branch in enumerate(state.get("complex_transition", []))
        ]
        for place, distributions in groups:
            share = sum(d["distribution"] for d in distributions if d["transition"] == onset)
            if share > 0:
                yield name.replace(" ", "\\ "), place, distributions, share
