"""What the experiment consists of: who is drawn, how often, and what is asked of each draw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

TITLES: Final = {"cystic-fibrosis": "Cystic fibrosis", "addisons-disease": "Addison's disease"}
FACTOR: Final = 8
"""Synthetic cases to each real one, at most: as far as the mixing curve goes."""
UPLIFT: Final = "uplift"
"""What a job is called that is about adding cases, and not about one generator."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that decides the result.

    Parameters
    ----------
    conditions
        Slugs of the conditions.
    sizes
        Numbers of cases to learn from.
    draws
        How often patients are drawn anew, for each condition and size.
    learn, judge, judge_cases, before
        Others to learn from, others and cases of the holdout, and patients of the public prior.
    ablated
        Those of ``sizes`` at which the switches of our CTGAN are tried.
    steps
        Training length of networks; None: each its own default.
    simulated, cases
        Ordinary patients, shared by the conditions, and cases of each condition that are simulated.
    """

    conditions: tuple[str, ...] = tuple(TITLES)
    sizes: tuple[int, ...] = (25, 50, 100, 300)
    draws: int = 2
    learn: int = 600
    judge: int = 1400
    judge_cases: int = 300
    before: int = 4000
    ablated: tuple[int, ...] = (50,)
    steps: int | None = None
    simulated: int = 6000
    cases: int = 1200
    seed: int = 20260101

    def trials(self) -> Iterator[Trial]:
        """Every draw of every size of every condition."""
        for condition in self.conditions:
            for n in self.sizes:
                yield from (Trial(condition, n, number) for number in range(self.draws))


@dataclass(frozen=True, slots=True)
class Trial:
    """One draw of patients: so many cases of a condition to learn from."""

    condition: str
    n: int
    draw: int


@dataclass(frozen=True, slots=True)
class Job:
    """What one process does at a time: one generator, or the uplift, on one draw."""

    trial: Trial
    what: str
    plan: Plan = field(repr=False)

    @property
    def key(self) -> str:
        """Under which the result is kept."""
        return f"{self.trial.condition}/{self.trial.n}/{self.trial.draw}/{self.what}"
