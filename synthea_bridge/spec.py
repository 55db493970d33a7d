"""What can be asked of a simulation."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from synthea_bridge.conditions import find_all
from synthea_bridge.cores import cores
from synthea_bridge.errors import UsageError

RESOURCES = ("Patient", "Encounter", "Condition", "Observation", "MedicationRequest", "Procedure")


class Cohort(BaseModel):
    """So many living patients with a condition, or with a combination of several (``lupus and gout``)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    condition: str
    cases: int = Field(ge=1)


class GenerateSpec(BaseModel):
    """All that decides what is simulated.

    Parameters
    ----------
    population
        Number of living patients (who have none of the conditions, if any is named).
    cohorts
        Conditions (slug, name or SNOMED CT code), each with the number of living patients who have it at the end date;
        ``condition`` and ``cases`` can be given for a single one.
    seed, clinician_seed
        Seeds of patients and of clinicians (None: ``seed``).
    reference_date, end_date
        The day at which ages are drawn and the day at which the simulation ends; fixed, so that results repeat.
    state, city, gender, min_age, max_age
        Who is simulated; ``gender`` is ``M`` or ``F``. Ages follow the census of the place; with a bound (in years)
        they are drawn evenly between the two (0 and 110 where one is not given).
    resources
        FHIR resource types to keep; Patient and Encounter are always there.
    years_of_history
        Years of history to keep; 0: all of it.
    modules
        A folder with Synthea modules of the user's own.
    settings
        Any other Synthea setting.
    natural
        Wait for patients as they come, and do not make the onset of a condition more frequent.
    attempts
        How many people may be simulated for each part of the cohort (None: 200 for each patient asked for, at least
        1,000).
    shard_size
        Patients that are simulated on their own, independent of the others; it decides who they are where there are
        more.
    as_is
        Leave the Bundles as Synthea makes them, and do not provide what they refer to.
    threads, heap
        How, and not what: they do not change the result.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    population: int = Field(ge=0)
    cohorts: tuple[Cohort, ...] = ()
    seed: int = 0
    clinician_seed: int | None = None
    reference_date: date = date(2026, 1, 1)
    end_date: date = date(2026, 1, 1)
    state: str = "Massachusetts"
    city: str | None = None
    gender: Literal["M", "F"] | None = None
    min_age: int | None = Field(default=None, ge=0, le=140)
    max_age: int | None = Field(default=None, ge=0, le=140)
    resources: tuple[str, ...] = RESOURCES
    years_of_history: int = Field(default=0, ge=0)
    modules: Path | None = None
    settings: dict[str, str] = Field(default_factory=dict)
    natural: bool = False
    attempts: int | None = Field(default=None, ge=1)
    shard_size: int = Field(default=1000, ge=1)
    as_is: bool = False
    threads: int = Field(default_factory=cores, ge=1)
    heap: str = "3g"

    @model_validator(mode="before")
    @classmethod
    def _one_cohort(cls, values: dict[str, Any]) -> dict[str, Any]:
        condition, cases = values.pop("condition", None), values.pop("cases", 0)
        if cases and not condition:
            raise UsageError("cases of what? name a condition (see: fhirsynth conditions)")
        if condition and not cases:
            raise UsageError(f"how many patients with {condition}? say it with --cases, at least 1")
        return values | ({"cohorts": ({"condition": condition, "cases": cases},)} if condition else {})

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if not self.population and not self.cohorts:
            raise UsageError("nothing to simulate: population and cases are both 0")
        youngest, oldest = self.min_age or 0, 110 if self.max_age is None else self.max_age
        if youngest > oldest:
            raise UsageError(f"ages from {youngest} to {oldest}: the first must not be above the second")
        if self.modules is not None and not self.modules.is_dir():
            raise UsageError(f"{self.modules}: is no folder of Synthea modules")
        for cohort in self.cohorts:
            find_all(cohort.condition, self.modules)
        return self

    @property
    def key(self) -> str:
        """A text that is the same for specs with the same result."""
        return self.model_dump_json(exclude={"threads", "heap"})

    @property
    def condition(self) -> str | None:
        """The condition of the first cohort."""
        return self.cohorts[0].condition if self.cohorts else None

    @property
    def cases(self) -> int:
        """The number of patients in all cohorts."""
        return sum(cohort.cases for cohort in self.cohorts)
