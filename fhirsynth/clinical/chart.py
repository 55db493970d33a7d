"""The rows of some patients as rules ask for them: with numbers for ids and dates, so that whole columns compare."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fhirsynth.clinical.catalogue import Catalogue
from fhirsynth.clinical.fields import DAY, RESOURCES, TIMES, TableName
from fhirsynth.clinical.kinds import Concept, Selector
from fhirsynth.clinical.units import scale
from fhirsynth.errors import UsageError
from fhirsynth.stored import files_of
from synthea_bridge.tables import LOINC

Frame = pd.DataFrame
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

KEYS: Final[dict[TableName, str]] = {
    "encounters": "encounter_id",
    "conditions": "condition_id",
    "observations": "observation_id",
    "medications": "medication_id",
    "procedures": "procedure_id",
}
_NAMED: Final = {"code": "code", "display": "display"}
CODED: Final[dict[TableName, dict[str, str]]] = {
    "encounters": {
        "code": "type_code",
        "display": "type_display",
        "why": "reason_code",
        "why_display": "reason_display",
    },
    "conditions": _NAMED,
    "medications": _NAMED,
    "procedures": _NAMED,
    # Their displays are many, and no rule looks for words in them.
    "observations": {"code": "code"},
}
"""Codes and displays of a row, by what they are called here."""
STATUS: Final[dict[TableName, str]] = {**dict.fromkeys(RESOURCES, "status"), "conditions": "verification_status"}
WITHDRAWN: Final = ("entered-in-error", "refuted", "cancelled", "not-done", "draft", "planned")
"""States of a resource that says nothing of what happened."""
IMPRECISE: Final = {4: 366 * DAY, 7: 31 * DAY, 10: DAY}
"""How long a date lasts that has so many characters."""
ROWS: Final = 50_000
"""Rows of a table that are held as they are read."""
SECONDS: Final = 1e6
"""Microseconds, in which Arrow counts."""


class Chart:
    """What is recorded of some patients.

    Parameters
    ----------
    tables
        Folder with the tables that ``synthea_bridge.flatten`` writes.
    catalogue
        Says which codes are which analyte.
    patients
        Ids of those who are meant.
    whole
        Whether these are all that there are, so that nobody has to be looked for.
    """

    def __init__(self, tables: Path, catalogue: Catalogue, patients: Sequence[str], *, whole: bool) -> None:
        self._tables, self._catalogue, self._whole = tables, catalogue, whole
        self.ids = pa.array(patients, pa.string())
        self.withdrawn: Counter[str] = Counter()
        self._frames: dict[TableName, Frame] = {}
        self._measures: dict[str, Frame] = {}
        self._selected: dict[Selector, Frame] = {}
        self._names: dict[TableName, pa.Array] = {}

    @cached_property
    def patients(self) -> Frame:
        """A row for each patient: source, female (1, 0 or not a number), birth and death with how long they last."""
        columns = ["patient_id", "gender", "birth_sex", "birth_date", "birth_date_text", "deceased_at"]
        rows = _read(self._tables, "patients", [*columns, "deceased_at_text", "source"], self._mine)
        frame = Frame({"source": rows["source"].to_pandas()})
        # The sex recorded at birth is nearer to what a body can do than the administrative gender.
        sex = rows["birth_sex"].to_pandas().map({"F": 1.0, "M": 0.0})
        frame["female"] = sex.fillna(rows["gender"].to_pandas().map({"female": 1.0, "male": 0.0})).astype("float64")
        frame["birth"] = rows["birth_date"].to_pandas().astype("datetime64[s]").pipe(_seconds)
        frame["birth_lasts"] = _lasts(rows["birth_date_text"])
        frame["death"], frame["death_lasts"] = _moment(rows["deceased_at"]), _lasts(rows["deceased_at_text"])
        position = pc.index_in(rows["patient_id"], value_set=self.ids).to_numpy()
        return frame.set_axis(position, axis=0).reindex(range(len(self.ids)))

    def rows(self, table: TableName) -> Frame:
        """The rows of a table: ``resource``, ``patient`` and ``encounter`` as positions (-1: none), code and display.

        Each moment of the table is in seconds since 1970, with how long it lasts in a column ``…_lasts``.
        """
        if table not in self._frames:
            self._frames[table] = self._load(table)
        return self._frames[table]

    def measures(self, name: str) -> Frame:
        """The values of an analyte in its unit: resource, patient, seconds, value, and unit where it is not known."""
        if name not in self._measures:
            self._measures[name] = self._measured(name)
        return self._measures[name]

    def found(self, names: Collection[str]) -> Iterator[tuple[TableName, Frame]]:
        """The rows of any of some concepts, a selector at a time."""
        for name in names:
            concept: Concept = self._catalogue.concepts[name]
            for selector in concept.any:
                if selector not in self._selected:
                    rows = self.rows(selector.table)
                    self._selected[selector] = rows[_selects(selector, rows)]
                yield selector.table, self._selected[selector]

    def selected(self, names: Collection[str], table: TableName) -> Flags:
        """Which rows of a table are of any of some concepts."""
        chosen = np.zeros(len(self.rows(table)), dtype=bool)
        for name in names:
            for selector in self._catalogue.concepts[name].any:
                if selector.table == table:
                    chosen |= _selects(selector, self.rows(table))
        return chosen

    def ages(self, patient: npt.NDArray[np.int64], seconds: Floats) -> tuple[Floats, Floats]:
        """The least and the greatest age, in seconds, that a birth date allows; not a number without one."""
        birth = self.patients["birth"].to_numpy()[patient]
        lasts = self.patients["birth_lasts"].to_numpy()[patient]
        greatest = np.maximum(seconds - birth, 0.0)
        return np.where(lasts > DAY, np.maximum(greatest - lasts, 0.0), greatest), greatest

    @property
    def _mine(self) -> pa.Array | None:
        return None if self._whole else self.ids

    def _load(self, table: TableName) -> Frame:
        columns = {KEYS[table], "patient_id", "encounter_id", STATUS[table], *CODED[table].values()}
        columns |= {name for moment in TIMES[table] for name in (moment, f"{moment}_text")}
        if table == "observations":
            columns |= {"system", "value_number", "value_comparator", "value_unit"}
        elif table in ("medications", "procedures"):
            columns |= {"reason_id"}
        parts = [self._part(table, batch) for batch in _batches(self._tables, table, sorted(columns), self._mine)]
        frame: Frame = pa.concat_tables(parts).unify_dictionaries().to_pandas(types_mapper=_as_pandas)
        return frame

    def _part(self, table: TableName, batch: pa.RecordBatch) -> pa.Table:
        """Some rows, with numbers in place of long texts."""
        kept = pc.invert(pc.fill_null(pc.is_in(batch[STATUS[table]], pa.array(WITHDRAWN)), fill_value=False))
        read = batch.filter(kept)
        self.withdrawn[table] += len(batch) - len(read)
        made: dict[str, Any] = {"patient": _positions(read["patient_id"], self.ids)}
        made["resource"] = pc.binary_join_element_wise(RESOURCES[table], read[KEYS[table]], "/")
        if table != "encounters":
            names = pc.binary_join_element_wise("Encounter", read["encounter_id"], "/")
            made["encounter"] = _positions(names, self._resources("encounters"))
        made |= {name: read[source].dictionary_encode() for name, source in CODED[table].items()}
        for moment in TIMES[table]:
            made[moment], made[f"{moment}_lasts"] = _moment(read[moment]), _lasts(read[f"{moment}_text"])
        if table == "observations":
            made["loinc"] = pc.fill_null(pc.equal(read["system"], LOINC), fill_value=False)
            made["value"], made["bound"] = read["value_number"], pc.is_valid(read["value_comparator"])
            made["unit"] = read["value_unit"].dictionary_encode()
        elif "reason_id" in read.schema.names:
            made["reason"] = pc.binary_join_element_wise("Condition", read["reason_id"], "/")
        return pa.table(made)

    def reasons(self, table: TableName) -> npt.NDArray[np.int64]:
        """For each row of medications or procedures, the position of the condition that it names; -1: none."""
        return _positions(_arrow(self.rows(table)["reason"]), self._resources("conditions"))

    def _resources(self, table: TableName) -> pa.Array:
        if table not in self._names:
            self._names[table] = _arrow(self.rows(table)["resource"])
        return self._names[table]

    def _measured(self, name: str) -> Frame:
        analyte = self._catalogue.analytes[name]
        rows = self.rows("observations")
        mine = rows[rows["code"].isin(analyte.codes).to_numpy() & rows["loinc"].to_numpy() & rows["value"].notna()]
        units = mine["unit"].cat.categories
        factors, offsets = np.full(len(units) + 1, np.nan), np.zeros(len(units) + 1)
        for place, unit in enumerate(units):
            special = analyte.conversions.get(unit)
            scaled = special or scale(unit, analyte.unit, analyte.molar_mass, analyte.valence)
            if scaled is not None:
                factors[place], offsets[place] = scaled.factor, scaled.offset
        place = mine["unit"].cat.codes.to_numpy()
        return Frame(
            {
                "resource": mine["resource"].array,
                "patient": mine["patient"].to_numpy(),
                "seconds": mine["effective"].to_numpy(),
                "value": mine["value"].to_numpy() * factors[place] + offsets[place],
                "bound": mine["bound"].to_numpy(),
                "unit": mine["unit"].astype("object").to_numpy(),
            }
        )


def patient_ids(tables: Path) -> list[str]:
    """Everybody of whom there is a row in any table; those of ``patients`` first, in its order."""
    names: tuple[str, ...] = ("patients", *RESOURCES)
    columns = [pc.unique(_read(tables, name, ["patient_id"], None)["patient_id"]) for name in names]
    return list(dict.fromkeys(one for column in columns for one in column.to_pylist()))


def _read(tables: Path, name: str, columns: list[str], wanted: pa.Array | None) -> pa.Table:
    return pa.Table.from_batches(_batches(tables, name, columns, wanted))


def _batches(tables: Path, name: str, columns: list[str], wanted: pa.Array | None) -> Iterator[pa.RecordBatch]:
    """The rows of the patients that are wanted (None: of all), and an empty part, so that there is one."""
    for path in files_of(tables, name):
        yield from _batches_of(path, columns, wanted)


def _batches_of(path: Path, columns: list[str], wanted: pa.Array | None) -> Iterator[pa.RecordBatch]:
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise UsageError(f"{path}: cannot be read as Parquet; make it anew with: fhirsynth flatten") from error
    with file:
        schema = file.schema_arrow
        absent = [column for column in columns if column not in schema.names]
        if absent:
            raise UsageError(f"{path}: lacks the columns {', '.join(absent)}; make it with: fhirsynth flatten")
        for batch in file.iter_batches(ROWS, columns=columns):
            batch = batch.select(columns)
            yield batch if wanted is None else batch.filter(pc.is_in(batch["patient_id"], value_set=wanted))
        yield pa.RecordBatch.from_pylist([], schema=pa.schema([schema.field(name) for name in columns]))


def _as_pandas(kind: pa.DataType) -> Any:
    """Texts stay as Arrow holds them: a tenth of the memory of Python's."""
    return pd.ArrowDtype(kind) if pa.types.is_string(kind) else None


def _arrow(texts: pd.Series[Any]) -> pa.Array:
    found = pa.array(texts)
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def _positions(values: pa.Array | pa.ChunkedArray, among: pa.Array) -> npt.NDArray[np.int64]:
    found = pc.fill_null(pc.index_in(values, value_set=among), -1)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)


def _moment(column: pa.Array | pa.ChunkedArray) -> Floats:
    whole: Floats = pc.cast(column, pa.int64()).to_numpy(zero_copy_only=False).astype("float64")
    return np.floor(whole / SECONDS)


def _seconds(dates: pd.Series[Any]) -> Floats:
    return np.where(dates.isna(), np.nan, dates.astype("int64").to_numpy().astype("float64"))


def _lasts(texts: pa.Array | pa.ChunkedArray) -> Floats:
    length = pc.fill_null(pc.utf8_length(texts), 0).to_numpy(zero_copy_only=False)
    found: Floats = np.select([length == size for size in IMPRECISE], list(IMPRECISE.values()), 0.0)
    return found


def _selects(selector: Selector, rows: Frame) -> Flags:
    chosen = _matches(selector, rows["code"], rows.get("display"))
    if selector.table == "encounters":
        chosen |= _matches(selector, rows["why"], rows["why_display"])
    return chosen


def _matches(selector: Selector, code: pd.Series[Any], display: pd.Series[Any] | None) -> Flags:
    chosen: Flags = code.isin(selector.codes).to_numpy()
    if display is not None and selector.words:
        chosen = chosen | _has(display, selector.words)
    if display is not None and selector.unless:
        chosen = chosen & ~_has(display, selector.unless)
    return chosen


def _has(display: pd.Series[Any], pattern: str) -> Flags:
    """Which displays have the pattern; each is looked at once: there are some hundreds in a million rows."""
    search = re.compile(pattern, re.IGNORECASE).search
    hits = np.array([*(search(word) is not None for word in display.cat.categories), False])
    return np.asarray(hits[display.cat.codes.to_numpy()])
