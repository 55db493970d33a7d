"""Tables of histories as frames: only the columns that are judged, row group by row group.

Times become days since 1970 in UTC; beside each stands how precise its text is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
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
from fhirsynth.seeds import derive
from fhirsynth.stored import files_of
from fhirsynth.trilemma.intervals import Bools, Floats, Ints
from synthea_bridge.tables import TABLES

Frame = pd.DataFrame

MOST: Final = 4000
"""Patients of each side that are read: a share of 4,000 is known to 1.6 points, and a history has 2,000 entries."""

SIMULATED: Final = "simulated"
"""The origin of patients that a simulator has made up."""

NOT_DONE: Final = frozenset({*VOID, "refuted", "not-done"})
"""Values of status and verification of what did not happen."""

YEAR: Final = 365.25
"""Days."""

SPAN: Final = {4: 366.0, 7: 31.0, 10: 1.0}
"""Days that a FHIR date covers at most, by its number of characters: a year, a month, a day."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is read of a table: times, columns with words, and the column that says whether it happened at all.

    The first of ``times`` is when it happened. ``texts`` are words that may all be missing, ``key`` the column of ids
    that others refer to (by ``reason_id``).
    """

    times: tuple[str, ...]
    words: tuple[str, ...] = ()
    status: str = "status"
    numbers: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    key: str | None = None
    reason: bool = False


WANTED: Final[Mapping[str, Wanted]] = {
    "encounters": Wanted(("start", "end"), ("class_code",), texts=("type_code", "type_display"), key="encounter_id"),
    "conditions": Wanted(
        ("onset", "abatement", "recorded"), ("code",), "verification_status", texts=("display",), key="condition_id"
    ),
    "observations": Wanted(
        ("effective",), ("system", "code"), numbers=("component", "value_number"), texts=("display", "value_unit")
    ),
    "medications": Wanted(("authored",), texts=("code", "display"), reason=True),
    "procedures": Wanted(("start", "end"), texts=("code", "display")),
}


def beginning(tables: Path, years: float | None, index_date: date | None) -> float:
    """Where the last ``years`` before the index date begin.

    Parameters
    ----------
    tables
        Folder with the tables.
    years
        How many; None: all there are.
    index_date
        The day at which every patient is described; None: the day of the latest encounter of the tables.

    Returns
    -------
    float
        The beginning of a day, in days since 1970; −∞ where everything is inside.

    Raises
    ------
    UsageError
        When ``years`` is not above 0, the table is missing or no encounter has a date.
    """
    if years is None:
        return -np.inf
    if not years > 0:
        raise UsageError(f"histories over the last {years:g} years are none; give a number above 0")
    if index_date is not None:
        last = float((index_date - date(1970, 1, 1)).days)
    else:
        starts = _days(_whole(tables, "encounters", ["start"])["start"])
        last = float(np.floor(np.fmax.reduce(starts, initial=-np.inf)))
    if last == -np.inf:
        raise UsageError(f"{tables}: no encounter has a date to count years from; give a schema with an index date")
    return float(np.floor(last - years * YEAR))


def inside(frame: Frame, name: str, since: float) -> Bools:
    """Which rows of a table happened at ``since`` or later; what has no date did not.

    Of conditions, those that began or ended since then, and all that have not ended, whenever they began.

    Parameters
    ----------
    frame, name
        Rows of the table, and which table it is.
    since
        As :func:`beginning` gives it; −∞: all rows.
    """
    if since == -np.inf:
        return np.ones(len(frame), dtype=np.bool_)
    happened: Bools = frame[WANTED[name].times[0]].to_numpy() >= since
    if name == "conditions":
        end = frame["abatement"].to_numpy()
        happened |= (end >= since) | np.isnan(end)
    return happened


def read_people(tables: Path, wanted: Collection[str] | None) -> tuple[Frame, bool]:
    """Read the patients of a folder.

    Parameters
    ----------
    tables
        Folder with the tables.
    wanted
        Ids of the patients; None: everybody. Of more than :data:`MOST`, a part by the hash of their id.

    Returns
    -------
    patients, simulated
        A row per patient, and whether the tables say of all of them that they are simulated.

    Raises
    ------
    UsageError
        When the table or a column is missing.
    EvaluateError
        When somebody wanted is missing, or is there twice.
    """
    columns = ["patient_id", "gender", "birth_date", "birth_date_text", "deceased_at", "deceased_at_text", "origin"]
    found = _whole(tables, "patients", columns)
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
    said = {name: rows[name].astype("string").fillna("").to_numpy(dtype=object) for name in ("gender", "origin")}
    people = pd.DataFrame({"patient_id": rows["patient_id"], **said, **times})
    return people, bool((found["origin"] == SIMULATED).all())


def read_rows(tables: Path, name: str, indices: Mapping[str, pd.Index[str]]) -> Frame:
    """Read the rows of some patients of one table, row group by row group: the whole of it may not fit into memory.

    Parameters
    ----------
    tables, name
        Folder with the tables, and one of :data:`WANTED`.
    indices
        The ids under ``patient_id``, and what else rows refer to by the name of its key, each in the order of its rows.

    Raises
    ------
    UsageError
        When the table or a column is missing, or holds another kind of value.
    """
    wanted = WANTED[name]
    references = [column for column in ("encounter_id",) if column != wanted.key]
    references += ["reason_id"] if wanted.reason else []
    keys = [wanted.key] if wanted.key is not None else []
    words = ["patient_id", *keys, *references, wanted.status, *wanted.words, *wanted.texts]
    columns = [*words, *wanted.numbers, *wanted.times]
    held = [*columns, *(f"{time}_text" for time in wanted.times)]
    files = (_open(path, name, held, words) for path in files_of(tables, name))
    parts = []
    for file, group, frame in _groups(files, columns):
        place = _numbers(frame["patient_id"], indices["patient_id"])
        kept = (place >= 0) & ~frame[wanted.status].isin(NOT_DONE).to_numpy()
        part: dict[str, Any] = {"patient": place[kept]}
        part |= {key: frame.loc[kept, key].astype(str).to_numpy() for key in keys}
        part |= {_REFERENCES[one]: _referred(frame.loc[kept, one], one, indices) for one in references}
        part |= {word: frame.loc[kept, word].array for word in wanted.words}
        part |= {text: frame.loc[kept, text].astype("category").array for text in wanted.texts}
        part |= {number: frame.loc[kept, number].to_numpy(dtype=np.float64) for number in wanted.numbers}
        for time in wanted.times:
            days = _days(frame[time])
            part[time] = days[kept]
            part[f"{time}_chars"] = _precision(file, group, time, days)[kept]
        parts.append(part)
    return _joined(parts, wanted)


_REFERENCES: Final = {"encounter_id": "encounter", "reason_id": "reason"}


def _referred(values: pd.Series, column: str, indices: Mapping[str, pd.Index[str]]) -> Ints:
    """The row that each value refers to; -1 where it refers to none, and of a reason -2 where to an unknown one."""
    places = _numbers(values, indices["encounter_id" if column == "encounter_id" else "condition_id"])
    if column == "reason_id":
        places[(places < 0) & values.notna().to_numpy()] = -2
    return places


def _whole(tables: Path, name: str, columns: list[str]) -> Frame:
    files = [_open(path, name, columns) for path in files_of(tables, name)]
    found: Frame = pd.concat([file.read(columns).to_pandas() for file in files], ignore_index=True)
    return found


def _open(path: Path, name: str, columns: Sequence[str], words: Sequence[str] = ()) -> pq.ParquetFile:
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
        if held != must and (held != "nothing" or column in (WANTED[name].words if name in WANTED else ())):
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


def _groups(files: Iterable[pq.ParquetFile], columns: Sequence[str]) -> Iterator[tuple[pq.ParquetFile, int, Frame]]:
    """The row groups of files with their numbers; one without rows where there are none."""
    for file in files:
        if not file.num_row_groups:
            yield file, 0, file.schema_arrow.empty_table().select(columns).to_pandas()
        for group in range(file.num_row_groups):
            yield file, group, file.read_row_group(group, columns=columns).to_pandas()


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
    return np.where(np.isin(lengths, list(SPAN)), lengths, 0).astype(np.int8)


def _joined(parts: Sequence[Mapping[str, Any]], wanted: Wanted) -> Frame:
    columns: dict[str, Any] = {}
    for name in parts[0]:
        pieces = [part[name] for part in parts]
        coded = name in wanted.words or name in wanted.texts
        columns[name] = union_categoricals(pieces) if coded else np.concatenate(pieces)
    return pd.DataFrame(columns)
