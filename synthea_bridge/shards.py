"""A simulation in shards: each has people of its own, so that it can be simulated anywhere, alone and in any order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from synthea_bridge.cores import cores
from synthea_bridge.plan import Plan
from synthea_bridge.spec import GenerateSpec

SPACE: Final = 32
"""Bits of the index of a person within a shard."""
ATTEMPTS_PER_PATIENT, ATTEMPTS_AT_LEAST = 200, 1000
"""How many people may be simulated for each patient asked for: a condition that needs more is out of reach here."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A share of one simulation.

    Parameters
    ----------
    plan, name
        Number and name of the simulation.
    number
        Which one of its shards this is, from 0.
    quota
        How many living patients it has to give.
    attempts
        How many people may be simulated for them.
    """

    plan: int
    name: str
    number: int
    quota: int
    attempts: int

    @property
    def key(self) -> str:
        """Its name for files; in the order of these names shards follow each other."""
        cohort = f"with-{self.plan:02d}-" if self.plan else ""
        return f"{cohort}{self.name.replace(' ', '-')}-{self.number:05d}"

    @property
    def start(self) -> int:
        """The index of its first person."""
        return self.number << SPACE

    @property
    def until(self) -> int:
        """The index before which is the last one that may be tried."""
        return self.start + self.attempts


def shards(spec: GenerateSpec, plan: Plan) -> Iterator[Shard]:
    """The shards of one simulation; all but the last have ``spec.shard_size`` patients."""
    for number in range(-(-plan.wanted // spec.shard_size)):
        quota = min(spec.shard_size, plan.wanted - number * spec.shard_size)
        most = max(ATTEMPTS_AT_LEAST, ATTEMPTS_PER_PATIENT * quota)
        attempts = -(-spec.attempts * quota // plan.wanted) if spec.attempts else most
        yield Shard(plan.number, plan.name, number, quota, min(attempts, 1 << SPACE))


def usual_workers(spec: GenerateSpec) -> int:
    """One process for two cores, and no more than there are shards."""
    wanted = [spec.population, *(cohort.cases for cohort in spec.cohorts)]
    number = sum(-(-one // spec.shard_size) for one in wanted)
    return max(1, min(number, cores() // 2))
