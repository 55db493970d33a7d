"""Tables of anybody's rows: read from Parquet or CSV as spreadsheets and databases write it, and set to a schema."""

from __future__ import annotations

import gzip
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from fhirsynth.errors import EvaluateError, UsageError
from fhirsynth.schema import FeatureSchema

CSV: Final = (".csv", ".csv.gz", ".tsv", ".tsv.gz")

HEAD: Final = 2**16
"""Bytes from which separator and encoding are told."""

WEIGHT: Final = "weight"
"""A column of this name says how many people a row stands for …"""

MEASURED: Final = "weight_value"
"""… and is called so where it is measured, so that it is not taken for one of sampling."""

LARGEST: Final = 1e15
"""Largest number that is compared: beyond it a double has no digits after the point left to round."""

SEPARATORS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True, slots=True)
class Table:
    """Rows, what a user must know of how they were read (empty: nothing), and what separates fields (Parquet: None)."""

    frame: pd.DataFrame
    notice: str = ""
    separator: str | None = None


def read_table(path: Path) -> Table:
    """Read a Parquet or CSV (``.csv``, ``.tsv``, also ``.gz``) file.

    A CSV file is separated by what its first line has most of, and is UTF-8, UTF-16 with a mark, or Windows-1252.

    Raises
    ------
    UsageError
        When it cannot be read as its kind, or has two columns of one name.
    EvaluateError
        When it has no rows.
    """
    try:
        table = _read_csv(path) if path.name.lower().endswith(CSV) else Table(_read_parquet(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (EOFError, zlib.error) as error:
        raise UsageError(f"{path}: cannot be read (it ends too early, or is damaged)") from error
    except (ValueError, NotImplementedError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{path}: is neither Parquet nor CSV by its content and name ({reason})") from error
    refuse_doubles(path, list(table.frame.columns))
    if not len(table.frame):
        raise EvaluateError(f"{path}: has 0 rows; give a table that has some")
    return table


def refuse_doubles(path: Path, names: list[str]) -> None:
    """Refuse two columns of one name.

    Raises
    ------
    UsageError
        When there are.
    """
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{path}: has {names.count(twice)} columns called '{twice}'; rename or remove all but one")


def tidied(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """``frame`` with names of columns on one line, without spaces around them, so that they can be told and typed.

    Raises
    ------
    UsageError
        When two columns then have one name; ``path`` says of which file.
    """
    words = ["".join(one if one.isprintable() else " " for one in column).split() for column in frame.columns]
    columns = [" ".join(parts) or f"Unnamed: {place}" for place, parts in enumerate(words)]
    refuse_doubles(path, columns)
    return frame.set_axis(columns, axis=1)


def row_keys(frame: pd.DataFrame) -> pd.Series:
    """One hash a row, equal exactly where rows are equal in every column."""
    hashes: pd.Series = pd.util.hash_pandas_object(frame.astype("string").fillna("\0"), index=False)
    return hashes


def conform(name: str, frame: pd.DataFrame, schema: FeatureSchema) -> pd.DataFrame:
    """``frame`` with the schema's columns and dtypes; ``name`` is what it is called in errors."""
    absent = [column for column in schema.columns if column not in frame.columns]
    if absent:
        raise UsageError(f"{name}: lacks the columns {', '.join(absent)}; all frames need the schema's columns")
    for feature in schema.features:
        try:
            with np.errstate(invalid="ignore"):
                column = frame[[feature.name]].astype({feature.name: schema.dtypes[feature.name]})[feature.name]
        except (TypeError, ValueError, OverflowError) as error:
            raise EvaluateError(f"{name}, column {feature.name}: is not a {feature.kind} ({error})") from error
        if feature.kind in ("number", "count") and (column.abs() > LARGEST).any():
            raise EvaluateError(
                f"{name}, column {feature.name}: holds values beyond {LARGEST:.0e}, or infinite ones; "
                "leave them empty, or cut them"
            )
    return schema.conform(frame)[schema.columns].reset_index(drop=True)


def _read_parquet(path: Path) -> pd.DataFrame:
    from pyarrow.parquet import read_schema

    refuse_doubles(path, read_schema(path).names)
    frame = pd.read_parquet(path)
    # An index with names is columns that pandas has put aside.
    named = [name for name in frame.index.names if name is not None]
    frame = frame.reset_index(level=named) if named else frame
    return frame.set_axis([str(name) for name in frame.columns], axis=1)


def _read_csv(path: Path) -> Table:
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        head = file.read(HEAD)
    encoding = _encoding(head)
    first = next(iter(head.decode(encoding or "utf-8-sig", errors="ignore").splitlines()), "")
    separator = _separator(first)
    try:
        frame = _parsed(path, separator, encoding or "utf-8-sig")
    except UnicodeDecodeError:
        encoding = "cp1252"
        frame = _parsed(path, separator, encoding)
    told = [
        f"separated by {SEPARATORS[separator]}" if separator not in (",", "\t") else "",
        "not in UTF-8, and read as Windows-1252 (Latin-1)" if encoding == "cp1252" else "",
    ]
    return Table(frame, " and ".join(one for one in told if one), separator)


def _encoding(head: bytes) -> str | None:
    """UTF-16 by its mark; None: UTF-8, as far as can be told."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if b"\x00" in head:
        raise ValueError("it holds zero bytes, as no text does")
    return None


def _separator(first: str) -> str:
    bare = re.sub(r'"[^"]*"', "", first)
    return max(SEPARATORS, key=bare.count)


def _parsed(path: Path, separator: str, encoding: str) -> pd.DataFrame:
    # With the names as a row: pandas would quietly number those that are there twice.
    header = pd.read_csv(
        path, sep=separator, encoding=encoding, skipinitialspace=True, header=None, nrows=1, dtype="string"
    )
    refuse_doubles(path, list(header.iloc[0].dropna()))
    # Where semicolons separate, a comma is left for decimals. low_memory would guess the type of each part anew.
    frame = pd.read_csv(
        path,
        sep=separator,
        encoding=encoding,
        skipinitialspace=True,
        dtype={"patient_id": "string"},
        decimal="," if separator == ";" else ".",
        low_memory=False,
    )
    if not isinstance(frame.index, pd.RangeIndex):
        raise UsageError(f"{path}: its rows have more fields than its first line has names; name every column")
    return frame.set_axis([str(name) for name in frame.columns], axis=1)
