"""Histories of real and of synthetic patients, read from their tables: only the columns that are judged.

Times become days since 1970 in UTC. A FHIR date may name a year, a month or a day only, and then has no time zone:
:func:`earliest` and :func:`latest` say what it can mean, so that nothing counts as wrong that may be right
(https://hl7.org/fhir/R4/datatypes.html#dateTime).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from fhirsynth.errors import EvaluateError, UsageError
from fhirsynth.guess import UNKNOWN
from fhirsynth.schema import FeatureSchema
from fhirsynth.trilemma.encode import flags
from fhirsynth.trilemma.intervals import Floats
from fhirsynth.trilemma.lives.reading import SPAN, WANTED, Frame, beginning, inside, read_people, read_rows
from fhirsynth.trilemma.samples import MIN_CLASS

AHEAD, BEHIND = 14 / 24, 12 / 24
"""How many days before, and after, midnight in UTC a day can begin somewhere."""


@dataclass(frozen=True, slots=True)
class Lives:
    """The histories of some patients, a frame by table.

    ``patients`` has a row per patient, with ``first_encounter`` of the whole history; in the other frames ``patient``
    is the number of that row, and ``encounter`` (but in ``encounters``) the number of a row of ``encounters``, -1
    where none is named or it is not there. Each time has beside it, as ``TIME_chars``, the number of characters of a
    date that is no more precise than a day, and 0 otherwise. ``reason`` of ``medications`` is the number of a row of
    ``conditions``: -1 where none is named, -2 where it is not there. ``simulated`` says whether the tables say of
    every patient in them that a simulator has made them up. What happened before ``since`` (days since 1970) is left
    out; −∞: nothing is.
    """

    patients: Frame
    encounters: Frame
    conditions: Frame
    observations: Frame
    medications: Frame
    procedures: Frame
    simulated: bool = False
    since: float = -np.inf

    def __len__(self) -> int:
        return len(self.patients)

    @classmethod
    def read(
        cls,
        tables: Path,
        patients: Collection[str] | None = None,
        years: float | None = None,
        index_date: date | None = None,
    ) -> Lives:
        """Read the tables of a folder, of at most :data:`~fhirsynth.trilemma.lives.reading.MOST` patients.

        Parameters
        ----------
        tables
            Folder with the tables.
        patients
            Whom to read; None: everybody.
        years
            Only what happened in the last years before ``index_date`` (of conditions, those that have not ended,
            whenever they began); None: everything.
        index_date
            The day at which every patient is described; None: the day of the latest encounter.

        Raises
        ------
        UsageError
            When a table or a column is missing, or ``years`` is not above 0.
        EvaluateError
            When some of ``patients`` are not in the tables, or somebody or an encounter is there twice.
        """
        since = beginning(tables, years, index_date)
        people, simulated = read_people(tables, patients)
        indices = {"patient_id": pd.Index(people["patient_id"])}
        frames = {}
        for name, wanted in WANTED.items():
            frame = read_rows(tables, name, indices)
            if name == "encounters":
                begun = pd.Series(earliest(frame, "start")).groupby(frame["patient"]).min()
                people["first_encounter"] = begun.reindex(people.index)
            kept = inside(frame, name, since)
            if wanted.key is not None:
                places = pd.Index(frame.pop(wanted.key))
                if places.has_duplicates:
                    twice = places[places.duplicated()][0]
                    raise EvaluateError(f"{tables}: {name[:-1]} '{twice}' is there twice; flatten anew")
                indices[wanted.key] = places[kept]
            frames[name] = frame if kept.all() else frame[kept].reset_index(drop=True)
        return cls(patients=people, simulated=simulated, since=since, **frames)


@dataclass(frozen=True, slots=True)
class Histories:
    """What is compared: the histories of the real holdout and of the synthetic patients.

    Parameters
    ----------
    real
        The real patients of the holdout.
    synthetic
        The synthetic patients.
    train
        Real patients whom the generator saw: they help to find what chance does, and none of them may be copied. None:
        the holdout has to do, and copies are not looked for.
    fresh
        A fresh draw of real patients, as a simulator can give: what a perfect generator would come to.
    simulated
        Whether the real patients are simulated ones, so that one of them may be shown; None: as their tables say.
    years
        The last years of all of them are compared; None: whole histories.
    """

    real: Lives
    synthetic: Lives
    train: Lives | None = None
    fresh: Lives | None = None
    simulated: bool | None = None
    years: float | None = None

    @property
    def nobodys(self) -> bool:
        """Whether the real patients are nobody's: simulated ones."""
        return self.real.simulated if self.simulated is None else self.simulated

    @classmethod
    def read(
        cls,
        real: Path,
        patients: Collection[str],
        synthetic: Path,
        cohort: Collection[str] | None = None,
        *,
        years: float | None = None,
        index_date: date | None = None,
    ) -> Histories:
        """Read both sides.

        Parameters
        ----------
        real, synthetic
            Folders with the tables of the real and of the synthetic patients; of these, everybody is read.
        patients
            Ids of the real holdout patients; only those who are like the synthetic ones (see :func:`alike`).
        cohort
            Ids of other real patients like them, to find what chance does: those that the generator has seen.
        years, index_date
            As in :meth:`Lives.read`, of both sides.

        Raises
        ------
        UsageError
            When a table or a column is missing, or ``years`` is not above 0.
        EvaluateError
            When some of the patients are not in the tables, or nobody is.
        """
        return cls(
            real=Lives.read(real, patients, years, index_date),
            synthetic=Lives.read(synthetic, None, years, index_date),
            train=Lives.read(real, cohort, years, index_date) if cohort else None,
            years=years,
        )


@dataclass(frozen=True, slots=True)
class Oracle:
    """A fresh draw of the real population: the folder of its tables, and its features with ``patient_id``."""

    tables: Path
    features: Frame


def read_histories(
    real: Path,
    synthetic: Path,
    *,
    train: Frame,
    holdout: Frame,
    made: Frame,
    schema: FeatureSchema,
    oracle: Oracle | None = None,
    simulated: bool | None = None,
    years: float | None = None,
) -> Histories:
    """The histories of the holdout and of synthetic patients, like with like.

    Parameters
    ----------
    real, synthetic
        Folders with the tables of the real and of the synthetic patients.
    train, holdout, made
        Features of the real patients of both parts, with ``patient_id``, and of the synthetic ones.
    schema
        Says which flag is the condition's, and the index date.
    oracle
        A fresh draw of the real population; None: there is none.
    simulated
        Whether the real patients are simulated; None: as the column ``origin`` of their table says.
    years
        Compare the last years of all of them; None: whole histories.

    Raises
    ------
    UsageError
        When a table or a column is missing, ``patient_id`` is, or ``years`` is not above 0.
    EvaluateError
        When some of the patients are not in the tables.
    """
    day = None if schema.index_date == UNKNOWN else schema.index_date
    who, seen = alike(holdout, made, schema), alike(train, made, schema)
    found = Histories.read(real, who, synthetic, seen, years=years, index_date=day)
    again = alike(oracle.features, made, schema) if oracle is not None else []
    fresh = Lives.read(oracle.tables, again, years, day) if oracle is not None and again else None
    return replace(found, fresh=fresh, simulated=simulated)


def alike(real: Frame, made: Frame, schema: FeatureSchema) -> list[str]:
    """Ids of the real patients of the kinds (with the condition, without it) that the synthetic ones are of.

    Raises
    ------
    UsageError
        When ``real`` has no ``patient_id``.
    """
    if "patient_id" not in real:
        raise UsageError("the real rows have no patient_id; histories need it to find the patients in their tables")
    ids = real["patient_id"].astype(str)
    if schema.condition is None or schema.condition.column not in real or schema.condition.column not in made:
        return ids.to_list()
    case, made_case = (flags(frame[schema.condition.column]) for frame in (real, made))
    kinds = [kind for kind in (False, True) if (made_case == kind).sum() >= MIN_CLASS]
    return ids[np.isin(case, kinds)].to_list() if kinds else ids.to_list()


def earliest(frame: Frame, time: str) -> Floats:
    """The first moment that each value of a time can mean, in days since 1970; NaN where there is none."""
    chars = frame[f"{time}_chars"].to_numpy()
    moments: Floats = frame[time].to_numpy() - np.where(chars > 0, AHEAD, 0.0)
    return moments


def latest(frame: Frame, time: str) -> Floats:
    """The last moment that each value of a time can mean, in days since 1970; NaN where there is none."""
    chars = frame[f"{time}_chars"].to_numpy()
    spans = np.select([chars == key for key in SPAN], list(SPAN.values()), 0.0)
    moments: Floats = frame[time].to_numpy() + spans + np.where(chars > 0, BEHIND, 0.0)
    return moments
