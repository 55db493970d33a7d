"""Which branches of a module decide who gets a condition, and the same module with them more frequent.

A *decision* is a state with a distribution of which some branches lead on to the onset, and others away from it (to
an end, or back to where it waits). All branches of a set of decisions that every way to the onset passes exactly once
are multiplied by one factor, and the others of each distribution shrink to fit; so whoever gets the condition is who
would have got it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from synthea_bridge.gmf import Branch, Module

REPEATED_SHARE: Final = 0.02
"""How likely a decision that comes again and again may become at a time: above, onsets would come too soon."""

WORTH: Final = 1.1
"""A factor below this changes nothing that anybody would notice."""


@dataclass(frozen=True, slots=True)
class Boost:
    """How the onset of a condition is made more frequent in one module.

    Parameters
    ----------
    module
        Path of the module.
    decisions
        The states that decide, each with the targets that lead to the onset.
    factor
        By how much their branches can be multiplied.
    repeated
        Whether a decision is met again and again; then ages are kept only as far as the factor is small.
    """

    module: str
    decisions: Mapping[str, frozenset[str]]
    factor: float
    repeated: bool


@dataclass(frozen=True, slots=True)
class NoBoost:
    """Why the onset cannot be made more frequent."""

    reason: str


def boost_of(module: Module, onsets: Iterable[str]) -> Boost | NoBoost:
    """How the onset states of a module are made more frequent, or why they cannot be."""
    goals = frozenset(onsets)
    decisions = {name: toward for name in module.states if (toward := _toward(module, name, goals))}
    if not decisions:
        return NoBoost(_no_decision(module, goals))
    found = [boost for cut in _cuts(module, goals, decisions) if (boost := _measured(module, cut, goals))]
    if not found:
        return NoBoost("the branches that lead to it come from tables or attributes, not from numbers in the module")
    best = max(found, key=lambda boost: (not boost.repeated, boost.factor))
    return best if best.factor >= WORTH else NoBoost("whoever comes to its module gets it")


def boosted(module: Module, boost: Boost, factor: float) -> dict[str, Any]:
    """The definition of the module with its decisions multiplied by ``factor``."""
    definition = copy.deepcopy(dict(module.definition))
    for name, toward in boost.decisions.items():
        for place, group in _groups(module.branches[name]).items():
            share = sum(branch.share or 0 for branch in group if branch.target in toward)
            if 0 < share < 1:
                options: Any = definition["states"][name]
                for step in place:
                    options = options[step]
                rest = (1 - min(1.0, share * factor)) / (1 - share)
                for option in options:
                    option["distribution"] *= factor if option["transition"] in toward else rest
    return definition


def _groups(branches: Iterable[Branch]) -> dict[tuple[str | int, ...], list[Branch]]:
    """The distributions of a state."""
    groups: dict[tuple[str | int, ...], list[Branch]] = {}
    for branch in branches:
        if branch.place is not None:
            groups.setdefault(branch.place[0], []).append(branch)
    return groups


def _toward(module: Module, name: str, goals: frozenset[str]) -> frozenset[str]:
    """The targets of a state's distributions that lead to the onset, where others lead away from it; else none."""
    if name in goals:
        return frozenset()
    reaching = module.reaching(goals, without=name)
    toward, away = set(), False
    for group in _groups(module.branches[name]).values():
        targets = {branch.target for branch in group}
        toward |= targets & reaching
        away = away or (bool(targets & reaching) and bool(targets - reaching))
    return frozenset(toward) if away else frozenset()


def _cuts(
    module: Module, goals: frozenset[str], decisions: Mapping[str, frozenset[str]]
) -> Iterable[dict[str, frozenset[str]]]:
    """Sets of decisions that every way to the onset passes exactly once."""
    initial = module.initial
    for name, toward in decisions.items():
        if name == initial or initial not in module.reaching(goals, without=name):
            yield {name: toward}
    last = {name: t for name, t in decisions.items() if not _meets(module, t, goals, set(decisions))}
    first = {
        name: t for name, t in decisions.items() if not any(name in _after(module, t2) for t2 in decisions.values())
    }
    for cut in (last, first):
        twice = any(_meets(module, toward, goals, set(cut)) for toward in cut.values())
        if len(cut) > 1 and not twice and (initial in cut or initial not in _reaching_past(module, goals, set(cut))):
            yield cut


def _after(module: Module, toward: Iterable[str]) -> set[str]:
    return set(toward).union(*(module.reached(target) for target in toward))


def _meets(module: Module, toward: Iterable[str], goals: frozenset[str], decisions: set[str]) -> bool:
    """Whether a decision can come between these targets and the onset."""
    waiting, seen = list(toward), set(toward)
    while waiting:
        state = waiting.pop()
        if state in goals:
            continue
        if state in decisions:
            return True
        for branch in module.branches[state]:
            if branch.target not in seen:
                seen.add(branch.target)
                waiting.append(branch.target)
    return False


def _reaching_past(module: Module, goals: frozenset[str], cut: set[str]) -> set[str]:
    """The states from which the onset can be reached without any of the decisions."""
    found, waiting = set(goals), list(goals)
    while waiting:
        for source in module.sources.get(waiting.pop(), ()):
            if source not in found and source not in cut:
                found.add(source)
                waiting.append(source)
    return found


def _measured(module: Module, cut: Mapping[str, frozenset[str]], goals: frozenset[str]) -> Boost | None:
    shares: list[float] = []
    for name, toward in cut.items():
        for group in _groups(module.branches[name]).values():
            inside = [branch for branch in group if branch.target in toward]
            if any(branch.share is None for branch in group if inside):
                return None
            shares.append(sum(branch.share or 0 for branch in inside))
        if any(branch.place is None and branch.target in toward for branch in module.branches[name]):
            return None  # some get it for certain
    largest = max(shares, default=0.0)
    if largest <= 0:
        return None
    repeated = any(name in _until(module, name, goals) for name in cut)
    return Boost(module.path, dict(cut), (REPEATED_SHARE if repeated else 1.0) / largest, repeated)


def _until(module: Module, start: str, goals: frozenset[str]) -> set[str]:
    """The states that can be reached from ``start`` before the onset."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        state = waiting.pop()
        for branch in module.branches[state] if state not in goals else ():
            if branch.target not in found:
                found.add(branch.target)
                waiting.append(branch.target)
    return found


def _no_decision(module: Module, goals: frozenset[str]) -> str:
    types = {module.states[name]["type"] for name in module.reaching(goals)}
    if "Guard" in types:
        return "it waits for what other modules bring about"
    return "it follows from what other modules decide"
