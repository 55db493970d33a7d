"""The catalogue of conditions: what Synthea's modules, ours and the user's own can bring about, and how often.

Everything is read from the modules. For those of the pinned Synthea and ours the result is kept in
``catalogue.json``, with what a survey of simulated people has counted (``python -m synthea_bridge.survey`` makes it
anew), so that nobody waits.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import orjson

from synthea_bridge.boost import Boost, NoBoost, boost_of
from synthea_bridge.errors import UsageError
from synthea_bridge.gmf import Module, modules_in
from synthea_bridge.walk import onset_years, risk

CATALOGUE: Final = "catalogue.json"
SHOWN: Final = 6
_KIND: Final = re.compile(r"\s*\((disorder|finding|situation|procedure|morphologic abnormality|event|person)\)$")
_AND: Final = re.compile(r"\s+and\s+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition.

    Parameters
    ----------
    slug, name
        What the user types, and what is shown.
    snomed, display
        SNOMED CT code and its display.
    onsets
        The states in which it begins, by module (path below ``modules/``).
    origin
        Whose modules: ``synthea``, ``fhirsynth`` or ``yours``.
    prevalence, prevalence_by
        Share of the living who have it, and how that is known: ``survey`` (counted among simulated people) or
        ``walk`` (the module's probabilities multiplied: how many ever get it). None where neither says.
    onset_age
        Where it is known, the middle half of the ages at onset (``survey``), or the earliest and latest (``walk``),
        in years.
    boost
        By how much its onset can be made more frequent; None when it cannot.
    note
        Why it cannot, or what to know about it.
    """

    slug: str
    name: str
    snomed: str
    display: str
    onsets: Mapping[str, tuple[str, ...]]
    origin: str
    prevalence: float | None = None
    prevalence_by: str | None = None
    onset_age: tuple[float, float] | None = None
    boost: float | None = None
    note: str = ""

    @property
    def as_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return asdict(self)


def read_catalogue(modules: Mapping[str, Module]) -> list[Condition]:
    """The conditions of these modules, by slug, without what only a survey can tell.

    What Synthea's own modules bring about comes from them alone, although ours may name it as a complication.
    """
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    displays: dict[str, Counter[str]] = defaultdict(Counter)
    for path in sorted(modules):
        for name, state in modules[path].states.items():
            code = (state.get("codes") or [{}])[0]
            if state["type"] == "ConditionOnset" and code.get("system") in ("SNOMED-CT", "http://snomed.info/sct"):
                found[str(code["code"])][path].append(name)
                displays[str(code["code"])][code["display"]] += 1
    made = [_condition(code, _own(found[code], modules), displays[code], modules) for code in sorted(found)]
    slugs = Counter(condition.slug for condition in made)
    return sorted((_distinct(condition, slugs) for condition in made), key=lambda condition: condition.slug)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower().replace("'", "")).strip("-")


def _own(onsets: Mapping[str, list[str]], modules: Mapping[str, Module]) -> Mapping[str, list[str]]:
    synthea = {path: states for path, states in onsets.items() if modules[path].origin == "synthea"}
    return synthea or onsets


def _condition(
    code: str, onsets: Mapping[str, list[str]], displays: Counter[str], modules: Mapping[str, Module]
) -> Condition:
    display = min(displays, key=lambda text: (-displays[text], len(text), text))
    name = _KIND.sub("", display).strip()
    plans = [boost_of(modules[path], states) for path, states in onsets.items()]
    reasons = [plan.reason for plan in plans if isinstance(plan, NoBoost)]
    boosts = [plan for plan in plans if isinstance(plan, Boost)]
    walked = [risk(modules[path], states) for path, states in onsets.items()]
    known = [one for one in walked if one is not None]
    whole = len(onsets) == 1 and len(known) == 1
    return Condition(
        slug=_slug(name),
        name=name,
        snomed=code,
        display=display,
        onsets={path: tuple(states) for path, states in onsets.items()},
        origin=modules[next(iter(onsets))].origin,
        prevalence=known[0] if whole else None,
        prevalence_by="walk" if whole else None,
        onset_age=onset_years(modules[next(iter(onsets))], next(iter(onsets.values()))) if whole else None,
        boost=None if reasons else min(boost.factor for boost in boosts),
        note=reasons[0] if reasons else ("decided again and again" if any(boost.repeated for boost in boosts) else ""),
    )


def _distinct(condition: Condition, slugs: Counter[str]) -> Condition:
    if slugs[condition.slug] == 1:
        return condition
    return replace(condition, slug=f"{condition.slug}-{condition.snomed}")


@lru_cache(maxsize=4)
def catalogue(modules: Path | None = None) -> tuple[Condition, ...]:
    """Every condition that can be asked for, by slug.

    Parameters
    ----------
    modules
        A folder with modules of the user's own.

    Raises
    ------
    InputError
        When a module in it cannot be read.
    """
    kept = resources.files("synthea_bridge").joinpath(CATALOGUE)
    known = {condition.snomed: condition for condition in map(_loaded, orjson.loads(kept.read_bytes())["conditions"])}
    if modules is not None:
        own = {path: module for path, module in modules_in(None, modules).items() if module.origin == "yours"}
        known |= {condition.snomed: condition for condition in read_catalogue(own)}
    return tuple(sorted(known.values(), key=lambda condition: condition.slug))


def _loaded(values: Mapping[str, Any]) -> Condition:
    onsets = {path: tuple(states) for path, states in values["onsets"].items()}
    age = values["onset_age"]
    return Condition(**{**values, "onsets": onsets, "onset_age": None if age is None else (age[0], age[1])})


def find(name: str, modules: Path | None = None) -> Condition:
    """The condition with this slug, name or SNOMED CT code, or the only one whose name has these words.

    Raises
    ------
    UsageError
        When there is none, with the nearest names, or when there are several.
    """
    known = catalogue(modules)
    wanted = _slug(name)
    for condition in known:
        if wanted in (condition.slug, condition.snomed):
            return condition
    words = set(wanted.split("-"))
    fitting = [condition for condition in known if wanted and words <= set(condition.slug.split("-"))]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        slugs = [condition.slug for condition in sorted(fitting, key=lambda one: len(one.slug))]
        more = f" (and {len(slugs) - SHOWN} more)" if len(slugs) > SHOWN else ""
        raise UsageError(f"'{name}' can be {', '.join(slugs[:SHOWN])}{more}; say which")
    near = _near(wanted, known)
    raise UsageError(f"there is no condition '{name}'; did you mean {' or '.join(near)}? (see: fhirsynth conditions)")


def _near(wanted: str, known: Sequence[Condition]) -> list[str]:
    slugs = [condition.slug for condition in known]
    near = difflib.get_close_matches(wanted, slugs, n=3)
    words = {word for slug in slugs for word in slug.split("-")}
    alike = difflib.get_close_matches(wanted, sorted(words), n=1)
    near += [slug for slug in slugs if alike and alike[0] in slug.split("-")]
    return list(dict.fromkeys(near))[:3] or ["cystic-fibrosis"]


def find_all(text: str, modules: Path | None = None) -> tuple[Condition, ...]:
    """The conditions of a combination, as ``lupus and hypothyroidism``; one where nothing is combined."""
    try:
        return (find(text, modules),)
    except UsageError:
        parts = _AND.split(text.strip())
        if len(parts) == 1:
            raise
        return tuple(find(part, modules) for part in parts)


def search(text: str = "", modules: Path | None = None) -> list[Condition]:
    """Those whose slug, name, code or module contains ``text``."""
    wanted = text.lower()
    return [
        c
        for c in catalogue(modules)
        if wanted in f"{c.slug} {c.name} {c.snomed} {c.display} {' '.join(c.onsets)}".lower()
    ]


def boosts(conditions: Iterable[Condition], modules: Mapping[str, Module]) -> tuple[list[Boost], float]:
    """How the onset of a condition, or of a combination, is made more frequent, and the factor of all of it, or 1.

    Each condition is multiplied by what its rarest module allows, so that where several modules bring it about it
    comes from each as often as it does. Of two conditions that the same module decides, the one that can be boosted
    more is.
    """
    plans: dict[str, Boost] = {}
    total = 1.0
    for condition in sorted(conditions, key=lambda one: -(one.boost or 1)):
        made = [boost_of(modules[path], states) for path, states in condition.onsets.items()]
        usable = [plan for plan in made if isinstance(plan, Boost)]
        if usable and len(usable) == len(made) and not plans.keys() & condition.onsets.keys():
            factor = min(plan.factor for plan in usable)
            total *= factor
            plans |= {plan.module: Boost(plan.module, plan.decisions, factor, plan.repeated) for plan in usable}
    return list(plans.values()), total
