"""What a generator is to learn from: a folder of flatten, or anybody's table as CSV or Parquet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from fhirsynth.augment.forms import Forms, date_columns
from fhirsynth.augment.remarks import names, not_learned, people, remarks, row_numbers
from fhirsynth.errors import EvaluateError, UsageError
from fhirsynth.guess import Guess, as_kinds, guess_schema, listed, refuse_lacking
from fhirsynth.schema import ConditionFeature, Feature, FeatureSchema
from fhirsynth.tables import CSV, MEASURED, WEIGHT, Table, conform, read_table, tidied

Read = Callable[[pd.DataFrame], pd.DataFrame]
"""Reads the values of a table as the kinds of a schema."""

FILES: Final = (*CSV, ".parquet")


@dataclass(frozen=True, slots=True)
class Source:
    """Patients to learn from.

    Parameters
    ----------
    features
        One row a patient: ``patient_id``, then the columns of :attr:`schema`.
    schema
        Its condition is what makes a case, if anything does.
    read
        Reads other tables of these columns (a prior) in the same way.
    notices
        What was taken as what and what was left out, in lines for people.
    forms
        How the table was written; None where it was no CSV file.
    unlabelled
        Rows that were left out, as nobody knows whether they are cases.
    """

    features: pd.DataFrame
    schema: FeatureSchema
    read: Read
    notices: tuple[str, ...] = ()
    forms: Forms | None = None
    unlabelled: int = 0


def is_table(path: Path) -> bool:
    """Whether a path is meant as a table, and not as a folder of tables."""
    return path.is_file() or (not path.is_dir() and path.name.lower().endswith(FILES))


def read_source(
    path: Path, *, schema: Path | None = None, target: str | None = None, condition: str | None = None
) -> Source:
    """Read the patients to learn from.

    Parameters
    ----------
    path
        A folder with ``features.parquet`` and ``schema.json``, or a CSV or Parquet file.
    schema
        The schema of a file; None: ``schema.json`` beside it, or guessed.
    target
        The column that makes a case: a flag, or (guessed) the rarer of two values; None: the schema's condition.
    condition
        What the condition of the schema must be, if given: slug, name or SNOMED CT code.

    Raises
    ------
    UsageError
        When something cannot be read, or is not what was asked for.
    EvaluateError
        When there are no rows, or values that their columns cannot hold.
    """
    if target is not None and condition is not None:
        raise UsageError("give --target, or --condition, and not both: each says which patients are cases")
    if not is_table(path):
        if schema is not None:
            raise UsageError(f"{path}: is a folder with a schema.json of its own; leave --schema out, or give a file")
        source = _of_folder(path, condition)
    else:
        source = _of_file(path, schema, target)
        if condition is not None:
            _refuse_other(path, source.schema, condition)
    return _labelled(source, target, path)


def _of_folder(folder: Path, condition: str | None) -> Source:
    schema = FeatureSchema.load(folder / "schema.json")
    if condition is not None:
        _refuse_other(folder, schema, condition)
    path = folder / "features.parquet"
    try:
        features = schema.conform(pd.read_parquet(path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: does not hold the features of schema.json ({error}); flatten again") from error
    if "patient_id" not in features.columns:
        raise UsageError(f"{path}: has no patient_id; flatten again")
    return Source(features, schema, partial(as_kinds, schema=schema))


def _of_file(path: Path, place: Path | None, target: str | None) -> Source:
    table = read_table(path)
    raw = tidied(table.frame, path)
    beside = path.with_name("schema.json")
    if place is None and beside.exists():
        place = beside
    said = [f"{path}: {table.notice}"] if table.notice else []
    ids = _ids(raw)
    if place is not None:
        schema = FeatureSchema.load(place)
        refuse_lacking(str(path), raw, schema.columns)
        read: Read = partial(as_kinds, schema=schema, guess=_forms_of(raw, schema, path, target))
        said.append(f"columns as {place} says: {', '.join(f'{one.name}: {one.kind}' for one in schema.features)}")
    else:
        raw, weighed = _measured(raw)
        raw, schema, read, guessed = _guessed(raw, path, target)
        said += [*weighed, *guessed]
    features = conform(str(path), read(raw), schema)
    schema = _refined(schema, features, date_columns(raw, schema)) if place is None else schema
    features = schema.conform(features)
    features.insert(0, "patient_id", ids)
    return Source(features, schema, read, tuple(said), _forms(table, raw, features, schema))


def _forms_of(raw: pd.DataFrame, schema: FeatureSchema, path: Path, target: str | None) -> Guess:
    """How dates, numbers and the target of a file are written whose kinds are known."""
    aim = schema.condition.column if target is None and schema.condition is not None else target
    return guess_schema([raw[schema.columns]], aim, [str(path)])


def _measured(raw: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """A column ``weight`` of somebody's table is the patient's; it gets the name that evaluate knows it by."""
    if WEIGHT not in raw.columns:
        return raw, []
    line = f"{WEIGHT} is learned like any other column, as {MEASURED}: {WEIGHT} says how many people a row stands for"
    return raw.rename(columns={WEIGHT: MEASURED}), [line]


def _guessed(raw: pd.DataFrame, path: Path, target: str | None) -> tuple[pd.DataFrame, FeatureSchema, Read, list[str]]:
    """Columns that can be learned, their schema, how they are read, and what is to be said of it."""
    who = [name for name in people(raw) if name != target]
    numbered = [name for name in row_numbers(raw.drop(columns=who)) if name != target]
    raw = raw.drop(columns=[*who, *numbered])
    guess = guess_schema([raw], target, [str(path)])
    named = [name for name in names(guess.read(raw), guess.schema) if name != target]
    if named:
        raw = raw.drop(columns=named)
        guess = guess_schema([raw], target, [str(path)])
    if guess.schema.columns == [target]:
        raise UsageError(f"{path}: has no column beside {target} that can be learned; give one that measures something")
    return raw, guess.schema, guess.read, [*guess.notices, *not_learned(numbered, named, who)]


def _refined(schema: FeatureSchema, rows: pd.DataFrame, dates: list[str]) -> FeatureSchema:
    """The schema with as many decimals as there are: what is made must not be told from real rows by digits."""
    told = {one.name: _decimals(rows[one.name].to_numpy(np.float64), one.decimals) for one in schema.of_kind("number")}
    # A time of day is seldom a round share of a day.
    told = {name: digits for name, digits in told.items() if name not in dates or digits == 0}
    changed = tuple(one.model_copy(update={"decimals": told.get(one.name, one.decimals)}) for one in schema.features)
    return schema.model_copy(update={"features": changed})


def _decimals(values: np.ndarray[Any, np.dtype[np.float64]], most: int) -> int:
    known = values[~np.isnan(values)]
    return next((digits for digits in range(most) if (np.round(known, digits) == known).all()), most)


def _ids(raw: pd.DataFrame) -> pd.Series[Any]:
    """Who each row is about: by ``patient_id``, or a column that says so by its name; else the number of the row."""
    numbers = pd.Series([f"row-{number:06d}" for number in range(1, len(raw) + 1)], index=raw.index, dtype="string")
    named = ["patient_id"] if "patient_id" in raw.columns else people(raw)
    if not named:
        return numbers
    ids = raw[named[0]].astype("string").str.strip()
    return ids.mask(ids.isna() | (ids == ""), numbers)


def _forms(table: Table, raw: pd.DataFrame, features: pd.DataFrame, schema: FeatureSchema) -> Forms | None:
    if table.separator is None:
        return None
    renamed = {MEASURED: WEIGHT} if MEASURED in raw.columns and WEIGHT in table.frame.columns else {}
    return Forms.learn(raw, features, schema, table.separator, renamed)


def _labelled(source: Source, target: str | None, path: Path) -> Source:
    """The source with the target as what makes a case, without the rows that nobody knows it of."""
    schema = source.schema if target is None else _aimed(source.schema, target, path)
    column = schema.condition.column if schema.condition is not None else None
    known = source.features[column].notna() if column is not None else source.features["patient_id"].notna()
    gone = int((~known).sum())
    features = source.features[known].reset_index(drop=True)
    said = list(source.notices)
    if column is not None:
        if gone:
            said.append(f"{gone} of {len(known)} rows are left out, as they say nothing of {column}")
        if features.empty:
            raise EvaluateError(f"{path}: no row says anything of {column}; give a table that does")
    if is_table(path):
        said += _repeated(features)
        said += remarks(features, schema, column)
    return Source(features, schema, source.read, tuple(said), source.forms, gone)


def _repeated(features: pd.DataFrame) -> list[str]:
    twice = int(features["patient_id"].duplicated().sum())
    if not twice:
        return []
    people = features["patient_id"].nunique()
    return [f"{len(features)} rows are of {people} patients: they are split by patient, and learned row by row"]


def _aimed(schema: FeatureSchema, target: str, path: Path) -> FeatureSchema:
    """``schema`` with ``target`` as what makes a case."""
    feature = next((one for one in schema.features if one.name == target), None)
    if feature is None:
        raise UsageError(f"target '{target}': no column of {path} is called so; there are: {listed(schema.columns)}")
    if feature.kind != "flag":
        raise UsageError(f"target '{target}' is a {feature.kind} in the schema; choose a flag, or make it one there")
    if schema.condition is not None and schema.condition.column == target and schema.condition.snomed:
        return schema
    return schema.model_copy(update={"condition": _case(feature)})


def _case(feature: Feature) -> ConditionFeature:
    coded = feature.source.codes[0] if feature.source.rule == "present" and feature.source.codes else ""
    slug = feature.name.removeprefix("has_").replace("_", "-")
    return ConditionFeature(
        slug=slug, name=feature.title, snomed=coded, display=feature.source.display, flag=feature.name
    )


def _refuse_other(path: Path, schema: FeatureSchema, condition: str) -> None:
    """Refuse a schema that is not about ``condition``."""
    asked = schema.condition
    if asked is None:
        raise UsageError(f"{path}: has no condition; flatten again with --condition, or name a column with --target")
    if _plain(condition) not in {_plain(name) for name in (asked.slug, asked.name, asked.snomed)}:
        raise UsageError(
            f"{path}: was flattened for {asked.slug} and not for {condition}; flatten again with --condition"
        )


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "-").replace(" ", "-")
