"""Rows of the tables to charts: the reverse of ``synthea_bridge/rows.py``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from fhirsynth.assemble import codes
from fhirsynth.assemble.chart import (
    Chart,
    Code,
    Component,
    Condition,
    Encounter,
    Medication,
    Observation,
    Person,
    Procedure,
    Value,
)
from fhirsynth.assemble.slices import Folder, Slice
from synthea_bridge.skips import SkipLog

_NULL_FLAVORS: Final = frozenset({"UNK", "ASKU", "NI", "OTH", "NASK", "MSK"})
_RACES: Final = dict(codes.RACES.values())
_MULTIPLE: Final = "multiple"
UNKNOWN_RACE: Final = Code(codes.NULL_FLAVOR, "UNK", "Unknown")
"""Stands for the further categories of somebody of several races: a table says how the first is called, and no more."""


@dataclass(frozen=True, slots=True)
class Record:
    """A chart, and the tags of its patient."""

    chart: Chart
    origin: str | None
    run_id: str | None


def charts(tables: Path, skips: SkipLog | None = None) -> Iterator[Chart]:
    """The charts of a folder that ``flatten`` has filled, in the order of ``patients``.

    A chart has what the tables have: no names, no practitioners, no further codings. Times are the texts of the source.

    Parameters
    ----------
    tables
        Folder with the six tables.
    skips
        Takes patients that a table has rows of and that ``patients`` does not have; by default the first is raised.

    Raises
    ------
    fhirsynth.errors.UsageError
        When a table is missing or is not what ``flatten`` writes.
    synthea_bridge.errors.InputError
        With the default ``skips``.
    """
    with closing(Folder.open(tables).slices(skips=skips)) as slices:
        for part in slices:
            for record in records(part):
                yield record.chart


def records(part: Slice) -> Iterator[Record]:
    """The charts of the patients in a slice."""
    people = [Record(Chart(_person(row)), row["origin"], row["run_id"]) for row in part["patients"].to_pylist()]
    known = {one.chart.person.id: one.chart for one in people}
    for row in _rows(part["encounters"]):
        known[row["patient_id"]].encounters.append(_encounter(row))
    for row in _rows(part["conditions"]):
        known[row["patient_id"]].conditions.append(_condition(row))
    for row in _rows(part["medications"]):
        known[row["patient_id"]].medications.append(_medication(row))
    for row in _rows(part["procedures"]):
        known[row["patient_id"]].procedures.append(_procedure(row))
    _observations(part["observations"], known)
    yield from people


Row = dict[str, Any]


def _rows(table: pa.Table) -> Iterator[Row]:
    names = table.column_names
    for values in zip(*map(_cells, table.columns), strict=True):
        yield dict(zip(names, values, strict=True))


def _cells(column: pa.ChunkedArray) -> list[Any]:
    """The values of a column; texts that are alike are one object, as most of them are."""
    if column.type != pa.string():
        return column.to_pylist()  # type: ignore[no-any-return]
    encoded = column.combine_chunks().dictionary_encode()
    texts = [*encoded.dictionary.to_pylist(), None]
    return [texts[number] for number in encoded.indices.fill_null(len(texts) - 1).to_pylist()]


def _person(row: Row) -> Person:
    multiple = row["race"] == _MULTIPLE
    first = _omb(row["race_code"], _RACES.get(row["race_code"]) if multiple else row["race"])
    races = () if first is None else (first, UNKNOWN_RACE) if multiple else (first,)
    return Person(
        id=row["patient_id"],
        gender=row["gender"],
        birth_date=row["birth_date_text"],
        deceased=row["deceased"],
        deceased_at=row["deceased_at_text"],
        races=races,
        race_text=_MULTIPLE if multiple else None,
        ethnicity=_omb(row["ethnicity_code"], row["ethnicity"]),
        birth_sex=row["birth_sex"],
        marital_status=row["marital_status"],
        city=row["city"],
        state=row["state"],
        postal_code=row["postal_code"],
        country=row["country"],
    )


def _omb(code: str | None, display: str | None) -> Code | None:
    if code is None:
        return None if display is None else Code(None, None, display)
    return Code(codes.NULL_FLAVOR if code in _NULL_FLAVORS else codes.CDC_RACE, code, display)


def _code(row: Row, start: str = "") -> Code:
    return Code(row[f"{start}system"], row[f"{start}code"], row[f"{start}display"])


def _said(code: Code) -> Code | None:
    return None if code == (None, None, None) else code


def _encounter(row: Row) -> Encounter:
    return Encounter(
        id=row["encounter_id"],
        status=row["status"],
        class_code=row["class_code"],
        type=_said(_code(row, "type_")),
        start=row["start_text"],
        end=row["end_text"],
        reason=_said(_code(row, "reason_")),
        discharge_code=row["discharge_code"],
        provider=row["provider"],
    )


def _condition(row: Row) -> Condition:
    return Condition(
        id=row["condition_id"],
        code=_code(row),
        encounter=row["encounter_id"],
        clinical_status=row["clinical_status"],
        verification_status=row["verification_status"],
        category=row["category"],
        onset=row["onset_text"],
        abatement=row["abatement_text"],
        recorded=row["recorded_text"],
    )


def _medication(row: Row) -> Medication:
    return Medication(
        id=row["medication_id"],
        code=_code(row),
        encounter=row["encounter_id"],
        status=row["status"],
        intent=row["intent"],
        authored=row["authored_text"],
        reason=row["reason_id"],
    )


def _procedure(row: Row) -> Procedure:
    return Procedure(
        id=row["procedure_id"],
        code=_code(row),
        encounter=row["encounter_id"],
        status=row["status"],
        start=row["start_text"],
        end=row["end_text"],
        reason=row["reason_id"],
    )


def _observations(table: pa.Table, known: dict[str, Chart]) -> None:
    """Observations with their components.

    A component whose Observation has no row gets one, with the code that the component's row names.
    """
    found: dict[str, Observation] = {}
    for row in _rows(table):
        name, part = row["observation_id"], row["component"]
        one = found.get(name)
        if one is None:
            code = Code(None, row["panel_code"], None) if part else _code(row)
            one = found[name] = _observation(row, code)
            known[row["patient_id"]].observations.append(one)
        if part:
            one.components += (Component(_code(row), _value(row), row["absent_reason"]),)
        else:
            one.value, one.absent_reason = _value(row), row["absent_reason"]


def _observation(row: Row, code: Code) -> Observation:
    return Observation(
        id=row["observation_id"],
        code=code,
        encounter=row["encounter_id"],
        status=row["status"],
        category=row["category"],
        effective=row["effective_text"],
    )


def _value(row: Row) -> Value | None:
    if row["value_type"] is None:
        return None
    return Value(
        kind=row["value_type"],
        number=row["value_number"],
        comparator=row["value_comparator"],
        unit=row["value_unit"],
        system=row["value_system"],
        code=row["value_code"],
        text=row["value_text"],
    )
