"""Synthea's modules (Generic Module Framework) as graphs: states, branches, and how likely each branch is."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import orjson

from synthea_bridge.errors import InputError, UsageError

PREFIX: Final = "modules/"
OURS: Final = Path(str(resources.files("synthea_bridge").joinpath("modules")))
"""The modules that come with this package."""


@dataclass(frozen=True, slots=True)
class Branch:
    """One way out of a state.

    Parameters
    ----------
    target
        The state that it leads to.
    share
        How likely it is taken; None where that is not a number in the module (an attribute, a table).
    place
        Which of the state's distributions it is in (None: it is in none, and taken whenever its condition holds), and
        its number there.
    """

    target: str
    share: float | None
    place: tuple[tuple[str | int, ...], int] | None


@dataclass(frozen=True)
class Module:
    """A module: its path below ``modules/`` without ``.json``, its definition, and where it was read from."""

    path: str
    definition: Mapping[str, Any]
    origin: str

    @property
    def states(self) -> Mapping[str, Mapping[str, Any]]:
        """The states by name."""
        states: Mapping[str, Mapping[str, Any]] = self.definition["states"]
        return states

    @cached_property
    def initial(self) -> str:
        """The state in which everybody begins."""
        return next(name for name, state in self.states.items() if state["type"] == "Initial")

    @cached_property
    def branches(self) -> dict[str, list[Branch]]:
        """The ways out of each state."""
        return {name: list(_branches(state)) for name, state in self.states.items()}

    @cached_property
    def sources(self) -> dict[str, set[str]]:
        """The states that lead into each state."""
        found: dict[str, set[str]] = {name: set() for name in self.states}
        for name, branches in self.branches.items():
            for branch in branches:
                found.setdefault(branch.target, set()).add(name)
        return found

    def reaching(self, goals: Iterable[str], without: str | None = None) -> set[str]:
        """The states from which one of ``goals`` can be reached, not through ``without``."""
        found = set(goals)
        waiting = list(found)
        while waiting:
            for source in self.sources.get(waiting.pop(), ()):
                if source not in found and source != without:
                    found.add(source)
                    waiting.append(source)
        return found

    def reached(self, start: str) -> set[str]:
        """The states that can be reached from ``start``, itself only in a circle."""
        found: set[str] = set()
        waiting = [start]
        while waiting:
            for branch in self.branches.get(waiting.pop(), ()):
                if branch.target not in found:
                    found.add(branch.target)
                    waiting.append(branch.target)
        return found


def _branches(state: Mapping[str, Any]) -> Iterator[Branch]:
    if "direct_transition" in state:
        yield Branch(state["direct_transition"], None, None)
    for option in state.get("conditional_transition", ()):
        yield Branch(option["transition"], None, None)
    for number, option in enumerate(state.get("distributed_transition", ())):
        yield Branch(option["transition"], _share(option), (("distributed_transition",), number))
    for outer, option in enumerate(state.get("complex_transition", ())):
        if "transition" in option:
            yield Branch(option["transition"], None, None)
        for number, inner in enumerate(option.get("distributions", ())):
            place = ("complex_transition", outer, "distributions")
            yield Branch(inner["transition"], _share(inner), (place, number))
    for number, option in enumerate(state.get("lookup_table_transition", ())):
        yield Branch(option["transition"], None, (("lookup_table_transition",), number))


def _share(option: Mapping[str, Any]) -> float | None:
    share = option["distribution"]
    return float(share) if isinstance(share, int | float) else None


@lru_cache(maxsize=4)
def modules_in(jar: Path | None, folder: Path | None = None) -> dict[str, Module]:
    """Synthea's modules, ours and those of a user's folder, by path; a later one takes the place of an earlier one.

    Raises
    ------
    InputError
        When a module of the user's cannot be read, with the file and the reason.
    """
    found: dict[str, Module] = {}
    if jar is not None:
        with zipfile.ZipFile(jar) as archive:
            for name in sorted(archive.namelist()):
                if name.startswith(PREFIX) and name.endswith(".json"):
                    path = name.removeprefix(PREFIX).removesuffix(".json")
                    found[path] = Module(path, orjson.loads(archive.read(name)), "synthea")
    for origin, place in (("fhirsynth", OURS), ("yours", folder)):
        if place is not None:
            found |= {module.path: module for module in _folder(place, origin)}
    return found


def _folder(folder: Path, origin: str) -> Iterator[Module]:
    if not folder.is_dir():
        raise UsageError(f"{folder}: is no folder of Synthea modules")
    for file in sorted(folder.rglob("*.json")):
        try:
            definition = orjson.loads(file.read_bytes())
            module = Module(file.relative_to(folder).with_suffix("").as_posix(), definition, origin)
            wrong = _wrong(module)
        except (orjson.JSONDecodeError, OSError) as error:
            raise InputError(f"{file}: is no JSON ({error}); correct the module") from error
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{file}: is no Synthea module (no usable {error}); correct it or take it away") from error
        if wrong:
            raise InputError(f"{file}: {wrong}; correct the module")
        yield module


def _wrong(module: Module) -> str | None:
    """What Synthea would stumble on later, and less clearly."""
    if not isinstance(module.definition["name"], str):
        return "its name is no text"
    if not any(state["type"] == "Initial" for state in module.states.values()):
        return "has no Initial state"
    for name, branches in module.branches.items():
        for branch in branches:
            if branch.target not in module.states:
                return f"state '{name}' leads to '{branch.target}', which is not there"
    return None
