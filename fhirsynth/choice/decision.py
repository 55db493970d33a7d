"""Which of the models that were tried is taken, and why, in one sentence.

Of models that give nobody away the most useful one is taken; where the trial cannot tell some from it (their difference
is within one standard error: the rule of Breiman et al. 1984, Classification and Regression Trees, section 3.4.3), the
one that keeps patients apart better, and where that cannot be told either, the simplest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fhirsynth.choice.remembering import NO_LEAK, Remembered
from fhirsynth.choice.usefulness import Judge, Reached
from fhirsynth.errors import AugmentError

_RANK: Final = {"PASS": 0, "UNDERPOWERED": 1, "FAIL": 2}
DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class Tried:
    """One model after its trial; ``reason`` says why it is out, and is empty where it is not."""

    name: str
    useful: Reached | None = None
    remembered: Remembered | None = None
    reason: str = ""

    def entry(self, judge: Judge) -> dict[str, Any]:
        """The figures as JSON values."""
        share = judge.share(self.useful) if self.useful else None
        kept = self.remembered
        figures = {
            "utility": share.value if share else None,
            "low": share.low if share else None,
            "high": share.high if share else None,
            "figure": self.useful.value if self.useful else None,
            "auroc": float(self.useful.areas.mean()) if self.useful else None,
            "privacy": kept.area if kept else None,
        }
        rounded = {name: None if value is None else round(value, DIGITS) for name, value in figures.items()}
        out = {"reason": self.reason} if self.reason else {}
        return {"name": self.name, **rounded, "verdict": kept.verdict if kept else None, **out}


@dataclass(frozen=True, slots=True)
class _Fit:
    """A model that is not out."""

    name: str
    useful: Reached
    remembered: Remembered

    @property
    def rank(self) -> int:
        return _RANK[self.remembered.verdict]

    @property
    def area(self) -> float:
        return NO_LEAK if self.remembered.area is None else self.remembered.area


@dataclass(frozen=True, slots=True)
class Choice:
    """The model, and why."""

    name: str
    why: str


def choose(tried: Sequence[Tried], judge: Judge) -> Choice:
    """Take one of the models that were tried, given in the order in which ties are decided.

    Raises
    ------
    AugmentError
        When none is left.
    """
    fits = [
        _Fit(one.name, one.useful, one.remembered)
        for one in tried
        if not one.reason and one.useful is not None and one.remembered is not None
    ]
    out = "; ".join(f"{one.name} {_shortly(one.reason)}" for one in tried if one.reason)
    if not fits:
        raise AugmentError(
            f"none of the models that were tried can be chosen: {out}; give more patients, or name one with --model "
            "and judge its rows with: fhirsynth evaluate"
        )
    best = max(fits, key=lambda one: one.useful.value)
    near = [one for one in fits if best.useful.value - one.useful.value <= best.useful.error(one.useful)]
    safe = _safest(near)
    taken = safe[0]
    sentence = f"chose {taken.name}: {judge.words(taken.useful)}, {_beside(taken, near, safe, len(fits))}"
    return Choice(taken.name, f"{sentence}; {_private(taken)}{f'; left out: {out}' if out else ''}")


def _shortly(reason: str) -> str:
    """The first of several reasons; all are in the record."""
    return reason.partition("; ")[0]


def _safest(near: list[_Fit]) -> list[_Fit]:
    """Those with the best verdict whose membership AUC is within one standard error of the lowest."""
    rank = min(one.rank for one in near)
    level = [one for one in near if one.rank == rank]
    calm = min(level, key=lambda one: one.area)
    return [one for one in level if one.area <= calm.area + calm.remembered.spread]


def _beside(taken: _Fit, near: list[_Fit], safe: list[_Fit], count: int) -> str:
    """How it stands beside the others."""
    if count == 1:
        return "and no other model is left"
    if len(near) == 1:
        return f"the most of {count}"
    others = _listed([one.name for one in near if one is not taken])
    if len(safe) == 1:
        merit = "it keeps patients apart better"
    elif len(safe) == len(near):
        merit = "it is the simplest of them"
    else:
        merit = f"it is the simplest of the {len(safe)} that keep patients apart best"
    return f"no clear difference to {others}, and {merit}"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _private(taken: _Fit) -> str:
    area = "" if taken.remembered.area is None else f" (membership AUC {taken.area:.2f}, by chance 0.50)"
    if taken.remembered.verdict == "PASS":
        return f"who was learned from cannot be told from its rows{area}"
    return f"whether it remembers patients cannot be told from so few{area}"
