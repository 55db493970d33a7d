"""The rows of some patients, as rules ask for them: numbers in place of ids and dates, so that whole columns compare."""

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
import pyarrow.dataset as ds

from fhirsynth.clinical.catalogue import Catalogue
from fhirsynth.clinical.kinds import DAY, RESOURCES, TIMES, Concept, Selector, TableName
from fhirsynth.clinical.units import scale
from fhirsynth.errors import UsageError
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
CODED: Final[dict[TableName, tuple[str, str]]] = {
    "encounters": ("reason_code", "reason_display"),
    "conditions": ("code", "display"),
    "observations": ("code", "display"),
    "medications": ("code", "display"),
    "procedures": ("code", "display"),
}
STATUS: Final[dict[TableName, str]] = {**dict.fromkeys(RESOURCES, "status"), "conditions": "verification_status"}
WITHDRAWN: Final = ("entered-in-error", "refuted", "cancelled", "not-done", "draft", "planned")
"""States of a resource that says nothing of what happened."""
IMPRECISE: Final = {4: 366 * DAY, 7: 31 * DAY, 10: DAY}
"""How long a date lasts that has so many characters."""
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
    def _mine(self) -> ds.Expression | None:
        return None if self._whole else ds.field("patient_id").isin(self.ids)

    def _load(self, table: TableName) -> Frame:
        code, display = CODED[table]
        columns = {KEYS[table], "patient_id", "encounter_id", STATUS[table], code}
        columns |= {name for moment in TIMES[table] for name in (moment, f"{moment}_text")}
        if table == "observations":
            columns |= {"system", "value_number", "value_comparator", "value_unit"}
        else:
            columns |= {display} | ({"reason_id"} if table in ("medications", "procedures") else set())
        read = _read(self._tables, table, sorted(columns), self._mine)
        kept = pc.invert(pc.fill_null(pc.is_in(read[STATUS[table]], pa.array(WITHDRAWN)), fill_value=False))
        self.withdrawn[table] += len(read) - (pc.sum(kept).as_py() or 0)
        return self._frame(table, read.filter(kept))

    def _frame(self, table: TableName, read: pa.Table) -> Frame:
        frame = Frame({"patient": _positions(read["patient_id"], self.ids)})
        names = pc.binary_join_element_wise(RESOURCES[table], read[KEYS[table]], "/")
        frame["resource"] = names.to_pandas(types_mapper=pd.ArrowDtype)
        if table != "encounters":
            names = pc.binary_join_element_wise("Encounter", read["encounter_id"], "/")
            frame["encounter"] = _positions(names, self._resources("encounters"))
        for name, source in zip(("code", "display"), CODED[table], strict=True):
            if source in read.column_names:
                frame[name] = read[source].dictionary_encode().to_pandas()
        for moment in TIMES[table]:
            frame[moment], frame[f"{moment}_lasts"] = _moment(read[moment]), _lasts(read[f"{moment}_text"])
        if table == "observations":
            frame["loinc"] = pc.fill_null(pc.equal(read["system"], LOINC), fill_value=False).to_numpy()
            frame["value"] = read["value_number"].to_numpy()
            frame["bound"] = pc.is_valid(read["value_comparator"]).to_numpy()
            frame["unit"] = read["value_unit"].dictionary_encode().to_pandas()
        elif "reason_id" in read.column_names:
            frame["reason"] = read["reason_id"].to_pandas(types_mapper=pd.ArrowDtype)
        return frame

    def reasons(self, table: TableName) -> npt.NDArray[np.int64]:
        """For each row of medications or procedures, the position of the condition that it names; -1: none."""
        names = pc.binary_join_element_wise("Condition", pa.array(self.rows(table)["reason"]), "/")
        return _positions(names, self._resources("conditions"))

    def _resources(self, table: TableName) -> pa.Array:
        return pa.array(self.rows(table)["resource"].to_numpy(), pa.string())

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


def _read(tables: Path, name: str, columns: list[str], wanted: ds.Expression | None) -> pa.Table:
    path = tables / f"{name}.parquet"
    if not path.exists():
        raise UsageError(f"{path}: there is no such table; make it with: fhirsynth flatten SRC --out {tables}")
    try:
        return ds.dataset(path).to_table(columns=columns, filter=wanted, use_threads=False)
    except pa.ArrowInvalid as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise UsageError(f"{path}: is no table of fhirsynth flatten ({reason}); make it anew") from error


def _positions(values: pa.ChunkedArray, among: pa.Array) -> npt.NDArray[np.int64]:
    found = pc.fill_null(pc.index_in(values, value_set=among), -1)
    return np.asarray(found.to_numpy(), dtype=np.int64)


def _moment(column: pa.ChunkedArray) -> Floats:
    whole = pc.cast(column, pa.int64()).to_numpy().astype("float64")
    return np.floor(whole / SECONDS)


def _seconds(dates: pd.Series[Any]) -> Floats:
    return np.where(dates.isna(), np.nan, dates.astype("int64").to_numpy().astype("float64"))


def _lasts(texts: pa.ChunkedArray) -> Floats:
    length = pc.fill_null(pc.utf8_length(texts), 0).to_numpy()
    return np.select([length == size for size in IMPRECISE], list(IMPRECISE.values()), 0.0)


def _selects(selector: Selector, rows: Frame) -> Flags:
    chosen: Flags = rows["code"].isin(selector.codes).to_numpy()
    if "display" not in rows:
        return chosen
    # Each display once: there are some hundreds of them in a million rows.
    words = rows["display"].cat.categories.astype("object")
    if selector.words:
        chosen = chosen | _has(rows["display"], words, selector.words)
    if selector.unless:
        chosen = chosen & ~_has(rows["display"], words, selector.unless)
    return chosen


def _has(display: pd.Series[Any], words: pd.Index[Any], pattern: str) -> Flags:
    search = re.compile(pattern, re.IGNORECASE).search
    hits = np.array([*(search(word) is not None for word in words), False])
    return np.asarray(hits[display.cat.codes.to_numpy()])
