"""Tables to one row per patient at an index date; the definitions of the columns are in ``features.toml``.

An index date stands for the whole day in UTC. Who died before it is described at the day of death.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds

from fhirsynth.errors import UsageError
from fhirsynth.schema import Feature, FeatureSchema
from fhirsynth.stored import Stored, dataset, files_of, read
from synthea_bridge.files import atomic_file
from synthea_bridge.place import Place
from synthea_bridge.skips import Skip, SkipLog

DAY: Final = pd.Timedelta(days=1)
WINDOW: Final = 365 * DAY
READMISSION: Final = 30 * DAY
STAYS: Final = frozenset({"IMP", "ACUTE", "NONAC", "SS"})
READ: Final = ("patients", "encounters", "conditions", "observations", "medications")
"""Tables that columns are made of."""
VOID: Final = ("entered-in-error", "cancelled")
RACES: Final = {
    "2106-3": "white",
    "2054-5": "black",
    "2028-9": "asian",
    "1002-5": "native",
    "2076-8": "pacific",
    "2131-1": "other",
}
"""Features by OMB category (https://hl7.org/fhir/us/core/STU5.0.1/ValueSet-omb-race-category.html)."""

Frame = pd.DataFrame


class _Builder:
    """Makes the columns; every Series is indexed by ``patient_id``."""

    def __init__(self, tables: Path, schema: FeatureSchema, skips: SkipLog, shard: str | None) -> None:
        self.tables, self.schema, self.skips, self.shard = tables, schema, skips, shard
        self.patients = self.read("patients").set_index("patient_id").sort_index()
        self.start = pd.Timestamp(schema.index_date, tz="UTC")
        death = self.patients["deceased_at"].dt.floor("D")
        self.day = death.where(death < self.start, self.start).fillna(self.start)
        self.end = self.day + DAY - pd.Timedelta(microseconds=1)

    def read(self, name: str, columns: list[str] | None = None, codes: list[str] | None = None) -> Frame:
        """The rows of a table."""
        return _read(self.tables, name, columns, codes, self.shard)

    def skip(self, feature: str, count: int, problem: str, advice: str) -> None:
        """Count what a feature cannot use."""
        if count:
            place = "tables" if self.shard is None else f"tables of {self.shard}"
            self.skips.add(Skip(place, f"feature {feature}, {count} values", problem, advice))

    def at(self, frame: Frame) -> Frame:
        """Rows of known patients, with the end of each one's own index day."""
        known = frame[frame["patient_id"].isin(self.patients.index)]
        return known.assign(at=known["patient_id"].map(self.end))

    def demographic(self, feature: Feature) -> pd.Series[Any]:
        """Age, sex, race, or a column of ``patients`` of the same name."""
        if feature.name == "age":
            born = pd.to_datetime(self.patients["birth_date"], utc=True)
            passed = self.day.dt.month * 100 + self.day.dt.day >= born.dt.month * 100 + born.dt.day
            age: pd.Series[Any] = self.day.dt.year - born.dt.year - (~passed).astype(int)
            return age.where(born.notna())
        if feature.name == "sex":
            return self.patients["gender"].fillna("unknown")
        if feature.name == "race":
            named = self.patients["race_code"].map(RACES).fillna("unknown")
            return named.mask(self.patients["race"].eq("multiple").fillna(False), "multiple")
        if feature.name not in self.patients:
            raise UsageError(
                f"feature {feature.name}: no such column in patients ({', '.join(map(str, self.patients))})"
            )
        return self.patients[feature.name]

    def latest(self, wanted: list[Feature]) -> dict[str, pd.Series[Any]]:
        """The last value on or before the index day, for all features at once."""
        codes = [code for feature in wanted for code in feature.source.codes]
        kept: dict[str, list[Frame]] = {feature.name: [] for feature in wanted}
        strange: dict[str, int] = dict.fromkeys(kept, 0)
        for batch in _observations(self.tables, codes, self.shard):
            dated = self.at(batch)
            dated = dated[(dated["effective"] <= dated["at"]) & ~dated["status"].isin(VOID)]
            for feature in wanted:
                mine = dated[dated["code"].isin(feature.source.codes)]
                if feature.source.window_days is not None:
                    mine = mine[mine["effective"] > mine["at"] - feature.source.window_days * DAY]
                good, bad = _valued(mine, feature)
                strange[feature.name] += bad
                kept[feature.name] = [_last([*kept[feature.name], good])]
        for name, count in strange.items():
            self.skip(
                name, count, "value without a unit that is taken", "declare the unit and its factor in a TOML file"
            )
        return {
            name: frames[0].set_index("patient_id")["value"] if frames else pd.Series(dtype=object)
            for name, frames in kept.items()
        }

    def present(self, feature: Feature) -> pd.Series[Any]:
        """Whether a condition with one of the codes has begun and not ended."""
        columns = ["patient_id", "verification_status", "onset", "recorded", "abatement"]
        frame = self.at(self.read("conditions", columns, list(feature.source.codes)))
        begun = frame["onset"].fillna(frame["recorded"]) <= frame["at"]
        over = frame["abatement"] <= frame["at"]
        wrong = frame["verification_status"].isin(["entered-in-error", "refuted"])
        return self.patients.index.to_series().isin(frame.loc[begun & ~over & ~wrong, "patient_id"])

    def visits(self) -> dict[str, pd.Series[Any]]:
        """What encounters of the 12 months say."""
        frame = self.at(self.read("encounters", ["patient_id", "status", "class_code", "start", "end"]))
        opened = frame["at"].dt.floor("D") - WINDOW
        frame = frame[(frame["start"] > opened) & (frame["start"] <= frame["at"]) & ~frame["status"].isin(VOID)]
        stays = frame[frame["class_code"].isin(STAYS)].sort_values(["patient_id", "start", "end"], kind="stable")
        until = stays["end"].fillna(stays["at"]).clip(upper=stays["at"])
        stays = stays.assign(until=until.where(until > stays["start"], stays["start"]))
        last = stays.groupby("patient_id").tail(1).set_index("patient_id")
        again = {patient for patient, group in stays.groupby("patient_id") if _again(group)}
        return {
            "prior_admissions_12m": self._count(stays),
            "ed_visits_12m": self._count(frame[frame["class_code"] == "EMER"]),
            "length_of_stay": (last["until"] - last["start"]) / DAY,
            "readmitted_30d": self.patients.index.to_series().isin(again),
        }

    def medications(self) -> dict[str, pd.Series[Any]]:
        """Distinct codes with an active order."""
        frame = self.at(self.read("medications", ["patient_id", "status", "code", "authored"]))
        active = frame[(frame["status"] == "active") & (frame["authored"] <= frame["at"])]
        return {"num_medications": self._count(active.drop_duplicates(["patient_id", "code"]))}

    def _count(self, frame: Frame) -> pd.Series[Any]:
        return frame.groupby("patient_id").size().reindex(self.patients.index, fill_value=0)

    def bounded(self, feature: Feature, values: pd.Series[Any]) -> pd.Series[Any]:
        """Values that the feature permits; the others are missing, and counted."""
        if feature.kind == "category":
            wrong = values.notna() & ~values.isin(feature.categories)
        elif feature.kind == "flag":
            return values.astype("boolean")
        else:
            values = pd.to_numeric(values).astype("float64").round(feature.decimals)
            wrong = (values < (feature.minimum if feature.minimum is not None else -float("inf"))) | (
                values > (feature.maximum if feature.maximum is not None else float("inf"))
            )
        self.skip(feature.name, int(wrong.sum()), "value outside the declared bounds", "correct it, or declare others")
        return values.mask(wrong)


def build_features(tables: Place | Path, schema: FeatureSchema, skips: SkipLog | None = None) -> pd.DataFrame:
    """One row per patient, sorted by ``patient_id``, with the columns and dtypes of ``schema``.

    Simulated tables in shards are read shard by shard, so that memory grows with the rows that are made alone.

    Parameters
    ----------
    tables
        Folder with the tables, or the URL of one; of what is there not more is copied at a time than is read.
    schema
        The columns, and the day that they describe.
    skips
        Takes values that cannot be used, and patients that cannot be described (born later, without a birth date).

    Raises
    ------
    UsageError
        When a feature is declared that cannot be made, or a table is missing.
    """
    taken = skips if skips is not None else SkipLog()
    there, parts = Stored.at(tables), list[pd.DataFrame]()
    for shard in there.shards or (None,):
        with there.here(READ, shard) as folder:
            parts.append(_build(_Builder(folder, schema, taken, shard)))
    return pd.concat(parts).sort_values("patient_id", ignore_index=True) if len(parts) > 1 else parts[0]


def _build(builder: _Builder) -> pd.DataFrame:
    schema = builder.schema
    made = _columns(builder)
    frame = pd.DataFrame(index=builder.patients.index)
    for feature in schema.features:
        frame[feature.name] = builder.bounded(feature, made[feature.name].reindex(frame.index))
    required = [feature.name for feature in schema.features if not feature.nullable]
    whole = frame[required].notna().all(axis=1)
    for patient in frame.index[~whole]:
        missing = ", ".join(name for name in required if pd.isna(frame.at[patient, name]))
        builder.skips.add(Skip("patients", f"Patient/{patient}", f"cannot be described: {missing}", "complete it"))
    return schema.conform(frame[whole].rename_axis("patient_id").reset_index().astype({"patient_id": "string"}))


def write_features(tables: Place | Path, schema: FeatureSchema, skips: SkipLog | None = None) -> pd.DataFrame:
    """Write ``features.parquet`` and ``schema.json`` beside the tables; returns the features."""
    features = weighted(build_features(tables, schema, skips), tables)
    with Place.of(tables).writing() as folder:
        with atomic_file(folder / "features.parquet") as scratch:
            features.to_parquet(scratch, index=False)
        schema.save(folder / "schema.json")
    return features


def weighted(features: pd.DataFrame, tables: Place | Path) -> pd.DataFrame:
    """``features`` with the sampling weights of ``patients`` as ``weight``, where there are any."""
    with Stored.at(tables).here(["patients"]) as folder:
        patients = _read(folder, "patients")
    weights = patients["weight"] if "weight" in patients else pd.Series(dtype="float64")
    if weights.isna().all():
        return features
    by_patient = pd.Series(weights.to_numpy(), index=patients["patient_id"])
    return features.assign(weight=features["patient_id"].map(by_patient).astype("float64"))


def _columns(builder: _Builder) -> Mapping[str, pd.Series[Any]]:
    features = builder.schema.features
    made: dict[str, pd.Series[Any]] = {}
    rules: Mapping[str, Callable[[Feature], pd.Series[Any]]] = {
        "demographic": builder.demographic,
        "present": builder.present,
    }
    for feature in features:
        if feature.source.rule in rules:
            made[feature.name] = rules[feature.source.rule](feature)
    made |= builder.latest([feature for feature in features if feature.source.rule == "latest"])
    derived = {**builder.visits(), **builder.medications()}
    for feature in features:
        if feature.source.rule == "derived":
            if feature.name not in derived:
                raise UsageError(f"feature {feature.name}: nothing derives it; there are: {', '.join(derived)}")
            made[feature.name] = derived[feature.name]
    return made


def _read(
    tables: Path,
    name: str,
    columns: list[str] | None = None,
    codes: list[str] | None = None,
    shard: str | None = None,
) -> Frame:
    filters = None if codes is None else [("code", "in", codes)]
    frame: Frame = read(tables, name, columns, filters, shard).to_pandas()
    return frame


def _observations(tables: Path, codes: list[str], shard: str | None) -> list[Frame] | Any:
    files = files_of(tables, "observations", shard)
    columns = ["patient_id", "status", "code", "effective", "value_number", "value_unit", "value_code", "value_text"]
    scanner = dataset(files).scanner(columns=columns, filter=ds.field("code").isin(codes), use_threads=False)
    return (pa.Table.from_batches([batch]).to_pandas() for batch in scanner.to_batches() if batch.num_rows)


def _valued(frame: Frame, feature: Feature) -> tuple[Frame, int]:
    """``patient_id``, ``effective`` and ``value`` of rows in a unit that is taken; and how many are in another."""
    if feature.kind == "category":
        value = frame["value_code"].where(frame["value_code"].isin(feature.categories), frame["value_text"])
        found, bad = value.notna(), 0
    else:
        valued = frame["value_number"].notna()
        factor = frame["value_unit"].map(feature.source.units)
        factor = factor.fillna(1.0) if not feature.source.units else factor
        value, found = frame["value_number"] * factor.astype("float64"), valued & factor.notna()
        bad = int((valued & factor.isna()).sum())
    return frame.assign(value=value).loc[found, ["patient_id", "effective", "value"]], bad


def _last(parts: list[Frame]) -> Frame:
    """The last value of each patient; of several at the same instant the one that was read last."""
    parts = [part for part in parts if len(part)] or parts[-1:]
    ordered = pd.concat(parts, ignore_index=True).sort_values("effective", kind="stable")
    return ordered.groupby("patient_id").tail(1)


def _again(stays: Frame) -> bool:
    """Whether a stay began within 30 days after the end of an earlier one."""
    starts, ends = stays["start"].tolist(), stays["until"].tolist()
    return any(
        ends[early] <= start <= ends[early] + READMISSION for late, start in enumerate(starts) for early in range(late)
    )
