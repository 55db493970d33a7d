"""Histories of real and of synthetic patients, read from their tables: only the columns that are judged.

Times become days since 1970 in UTC. A FHIR date may name a year, a month or a day only, and then has no time zone:
:func:`earliest` and :func:`latest` say what it can mean, so that nothing counts as wrong that may be right
(https://hl7.org/fhir/R4/datatypes.html#dateTime).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pandas.api.types import union_categoricals

from fhirsynth.errors import EvaluateError, UsageError
from fhirsynth.features import VOID
from fhirsynth.schema import FeatureSchema
from fhirsynth.seeds import derive
from fhirsynth.trilemma.encode import flags
from fhirsynth.trilemma.intervals import Floats, Ints
from fhirsynth.trilemma.samples import MIN_CLASS
from synthea_bridge.tables import TABLES

Frame = pd.DataFrame

AHEAD, BEHIND = 14 / 24, 12 / 24
"""How many days before, and after, midnight in UTC a day can begin somewhere."""

MOST: Final = 4000
"""Patients of each side that are read: a share of 4,000 is known to 1.6 points, and a history has 2,000 entries."""

NOT_DONE: Final = frozenset({*VOID, "refuted", "not-done"})
"""Values of status and verification of what did not happen."""

_SPAN: Final = {4: 366.0, 7: 31.0, 10: 1.0}
"""Days that a FHIR date covers at most, by its number of characters: a year, a month, a day."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is read of a table: times, columns with words, and the column that says whether it happened at all."""

    times: tuple[str, ...]
    words: tuple[str, ...] = ()
    status: str = "status"
    numbers: tuple[str, ...] = ()


_TABLES: Final[Mapping[str, _Wanted]] = {
    "encounters": _Wanted(("start", "end"), ("class_code",)),
    "conditions": _Wanted(("onset", "abatement", "recorded"), ("code",), "verification_status"),
    "observations": _Wanted(("effective",), ("system", "code"), numbers=("component",)),
    "medications": _Wanted(("authored",)),
    "procedures": _Wanted(("start", "end")),
}


@dataclass(frozen=True, slots=True)
class Lives:
    """The histories of some patients, a frame by table.

    ``patients`` has a row per patient; in the other frames ``patient`` is the number of that row, and ``encounter``
    (but in ``encounters``) the number of a row of ``encounters``, -1 where none is named. Each time has beside it, as
    ``TIME_chars``, the number of characters of a date that is no more precise than a day, and 0 otherwise.
    """

    patients: Frame
    encounters: Frame
    conditions: Frame
    observations: Frame
    medications: Frame
    procedures: Frame

    def __len__(self) -> int:
        return len(self.patients)

    @classmethod
    def read(cls, tables: Path, patients: Collection[str] | None = None) -> Lives:
        """Read the tables of a folder, of at most :data:`MOST` patients.

        Parameters
        ----------
        tables
            Folder with the tables.
        patients
            Whom to read; None: everybody.

        Raises
        ------
        UsageError
            When a table or a column is missing.
        EvaluateError
            When some of ``patients`` are not in the tables, or somebody or an encounter is there twice.
        """
        people = _people(tables, patients)
        names = pd.Index(people["patient_id"])
        encounters = _read(tables, "encounters", names, None)
        places = pd.Index(encounters.pop("encounter_id"))
        if places.has_duplicates:
            raise EvaluateError(f"{tables}: encounter '{places[places.duplicated()][0]}' is there twice; flatten anew")
        others = {name: _read(tables, name, names, places) for name in _TABLES if name != "encounters"}
        return cls(patients=people, encounters=encounters, **others)


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
        Real patients whom the generator saw: they only help to find what chance does. None: the holdout has to do.
    """

    real: Lives
    synthetic: Lives
    train: Lives | None = None

    @classmethod
    def read(
        cls, real: Path, patients: Collection[str], synthetic: Path, cohort: Collection[str] | None = None
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

        Raises
        ------
        UsageError
            When a table or a column is missing.
        EvaluateError
            When some of the patients are not in the tables, or nobody is.
        """
        return cls(
            real=Lives.read(real, patients),
            synthetic=Lives.read(synthetic),
            train=Lives.read(real, cohort) if cohort else None,
        )


def read_histories(
    real: Path, synthetic: Path, *, train: Frame, holdout: Frame, made: Frame, schema: FeatureSchema
) -> Histories:
    """The histories of the holdout and of synthetic patients, like with like.

    Parameters
    ----------
    real, synthetic
        Folders with the tables of the real and of the synthetic patients.
    train, holdout, made
        Features of the real patients of both parts, with ``patient_id``, and of the synthetic ones.
    schema
        Says which flag is the condition's.

    Raises
    ------
    UsageError
        When a table or a column is missing, or ``patient_id`` is.
    EvaluateError
        When some of the patients are not in the tables.
    """
    return Histories.read(real, alike(holdout, made, schema), synthetic, alike(train, made, schema))


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
    spans = np.select([chars == key for key in _SPAN], list(_SPAN.values()), 0.0)
    moments: Floats = frame[time].to_numpy() + spans + np.where(chars > 0, BEHIND, 0.0)
    return moments


def _people(tables: Path, wanted: Collection[str] | None) -> Frame:
    columns = ["patient_id", "birth_date", "birth_date_text", "deceased_at", "deceased_at_text"]
    found = _open(tables, "patients", columns).read(columns).to_pandas()
    twice = found.loc[found["patient_id"].duplicated(), "patient_id"]
    if len(twice):
        raise EvaluateError(f"{tables}: patient '{twice.iloc[0]}' is there twice; flatten the data anew")
    ids = found["patient_id"].astype(str).tolist() if wanted is None else sorted(set(wanted))
    absent = sorted(set(ids) - set(found["patient_id"]))
    if absent or not ids:
        what = f"lacks {len(absent)} of {len(ids)} patients, '{absent[0]}' first" if ids else "has no patients"
        raise EvaluateError(f"{tables}: {what}; give the folder of the tables that the rows were made from")
    chosen = sorted(ids, key=lambda one: derive(0, "histories", one))[:MOST]
    rows = found.set_index("patient_id").loc[sorted(chosen)].reset_index()
    times: dict[str, Any] = {}
    for time in ("birth_date", "deceased_at"):
        times[time] = _days(rows[time])
        times[f"{time}_chars"] = _chars(rows[f"{time}_text"])
    return pd.DataFrame({"patient_id": rows["patient_id"], **times})


def _read(tables: Path, name: str, patients: pd.Index[str], encounters: pd.Index[str] | None) -> Frame:
    """Rows of ``patients`` of one table, row group by row group: the whole of it may not fit into memory."""
    wanted = _TABLES[name]
    words = ["patient_id", "encounter_id", wanted.status, *wanted.words]
    columns = [*words, *wanted.numbers, *wanted.times]
    file = _open(tables, name, [*columns, *(f"{time}_text" for time in wanted.times)], words)
    parts = []
    for group, frame in _groups(file, columns):
        place = _numbers(frame["patient_id"], patients)
        kept = (place >= 0) & ~frame[wanted.status].isin(NOT_DONE).to_numpy()
        part: dict[str, Any] = {"patient": place[kept]}
        if encounters is None:
            part["encounter_id"] = frame.loc[kept, "encounter_id"].astype(str).to_numpy()
        else:
            part["encounter"] = _numbers(frame["encounter_id"], encounters)[kept]
        part |= {word: frame.loc[kept, word].array for word in wanted.words}
        part |= {number: frame.loc[kept, number].to_numpy() for number in wanted.numbers}
        for time in wanted.times:
            days = _days(frame[time])
            part[time] = days[kept]
            part[f"{time}_chars"] = _precision(file, group, time, days)[kept]
        parts.append(part)
    return _joined(parts, wanted)


def _open(tables: Path, name: str, columns: Sequence[str], words: Sequence[str] = ()) -> pq.ParquetFile:
    path = tables / f"{name}.parquet"
    if not path.exists():
        raise UsageError(f"{path}: there is no such table; make it with: fhirsynth flatten SRC --out {tables}")
    try:
        found = pq.read_schema(path)
    except ValueError as error:
        raise UsageError(f"{path}: is no Parquet file; make it with: fhirsynth flatten") from error
    absent = [column for column in columns if column not in found.names]
    if absent:
        raise UsageError(f"{path}: lacks the columns {', '.join(absent)}; make it with: fhirsynth flatten")
    declared = next(table.schema for table in TABLES if table.name == name)
    for column in columns:
        held, must = _sort(found.field(column).type), _sort(declared.field(column).type)
        # Without any value a column may have lost its type; but codes are put together, which needs them.
        if held != must and (held != "nothing" or column in (_TABLES[name].words if name in _TABLES else ())):
            raise UsageError(f"{path}: column {column} holds {held}, not {must}; make it with: fhirsynth flatten")
    # Repeated text is read as numbers of a dictionary: ids and codes of a million rows then cost nearly nothing.
    return pq.ParquetFile(path, read_dictionary=[*words])


def _sort(kind: pa.DataType) -> str:
    """What values of an Arrow type are; text may be read as a dictionary."""
    if pa.types.is_temporal(kind):
        return "times"
    if pa.types.is_null(kind):
        return "nothing"
    worded = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)
    return "text" if worded else "other values"


def _groups(file: pq.ParquetFile, columns: Sequence[str]) -> Iterator[tuple[int, Frame]]:
    """The row groups of a file with their numbers; one without rows where there are none."""
    if not file.num_row_groups:
        yield 0, file.schema_arrow.empty_table().select(columns).to_pandas()
    for group in range(file.num_row_groups):
        yield group, file.read_row_group(group, columns=columns).to_pandas()


def _numbers(values: pd.Series, index: pd.Index[str]) -> Ints:
    """The place of each value in ``index``; -1 where it is not there."""
    named = values.astype("category")
    places = np.append(index.get_indexer(named.cat.categories.astype(str)), -1)
    found: Ints = places[named.cat.codes.to_numpy()].astype(np.int64)
    return found


def _days(values: pd.Series) -> Floats:
    moments = pd.to_datetime(values, utc=True, cache=False)
    days = (moments - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)
    return days.to_numpy(dtype=np.float64).astype(np.float64)


def _precision(file: pq.ParquetFile, group: int, time: str, days: Floats) -> NDArray[np.int8]:
    """As :func:`_chars`; the texts are only read where some value is a midnight, as all values without a time are."""
    if not (days == np.floor(days)).any():
        return np.zeros(len(days), dtype=np.int8)
    return _chars(file.read_row_group(group, columns=[f"{time}_text"]).to_pandas()[f"{time}_text"])


def _chars(texts: pd.Series) -> NDArray[np.int8]:
    """The number of characters of each text that is no more precise than a day, 0 of the others."""
    lengths = texts.astype("string").str.len().fillna(0).to_numpy(dtype=np.int64)
    return np.where(np.isin(lengths, list(_SPAN)), lengths, 0).astype(np.int8)


def _joined(parts: Sequence[Mapping[str, Any]], wanted: _Wanted) -> Frame:
    columns: dict[str, Any] = {}
    for name in parts[0]:
        pieces = [part[name] for part in parts]
        columns[name] = union_categoricals(pieces) if name in wanted.words else np.concatenate(pieces)
    return pd.DataFrame(columns)
