"""How a table was written, so that synthetic rows can be written like it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict

from fhirsynth.schema import FeatureSchema
from fhirsynth.texts import EPOCH, POINT, as_text, date_form, is_words
from synthea_bridge.files import atomic_file

FORMS: Final = "forms.json"
YES_NO: Final = ("0", "1")


class Forms(BaseModel):
    """The form of a CSV file; it holds no row of it.

    Parameters
    ----------
    separator, decimal
        The signs between fields and before decimals.
    flags
        Flag → the words for false and true.
    dates
        Columns of dates, which a schema has as days since 1970.
    names
        Column of the schema → name in the file, where they differ.
    keyed
        Whether it has a column ``patient_id``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    separator: str = ","
    decimal: str = "."
    flags: dict[str, tuple[str, str]] = {}
    dates: tuple[str, ...] = ()
    names: dict[str, str] = {}
    keyed: bool = False

    @classmethod
    def learn(
        cls, raw: pd.DataFrame, read: pd.DataFrame, schema: FeatureSchema, separator: str, names: dict[str, str]
    ) -> Self:
        """The form of ``raw``, whose columns ``read`` holds as kinds of ``schema``."""
        return cls(
            separator=separator,
            decimal="," if separator == ";" and not _has_points(raw, schema) else ".",
            flags={one.name: _words(raw[one.name], read[one.name]) for one in schema.of_kind("flag")},
            dates=tuple(date_columns(raw, schema)),
            names=names,
            keyed="patient_id" in raw.columns,
        )

    @property
    def file(self) -> str:
        """Name of the file that :meth:`write` should write."""
        return "synthetic.tsv" if self.separator == "\t" else "synthetic.csv"

    def write(self, frame: pd.DataFrame, schema: FeatureSchema, path: Path) -> None:
        """Write rows of ``schema`` with ``patient_id`` like the file was written, in UTF-8."""
        columns = [*(["patient_id"] if self.keyed else []), *schema.columns]
        told = pd.DataFrame({name: self._told(frame[name], schema) for name in columns})
        with atomic_file(path) as scratch:
            told.rename(columns=self.names).to_csv(
                scratch, index=False, sep=self.separator, decimal=self.decimal, lineterminator="\n"
            )

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        with atomic_file(path) as scratch:
            scratch.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote."""
        return cls.model_validate_json(path.read_bytes())

    def _told(self, values: pd.Series[Any], schema: FeatureSchema) -> pd.Series[Any]:
        name = str(values.name)
        if name in self.dates:
            return _iso(values, whole=schema[name].decimals == 0)
        if name in self.flags:
            return values.map(dict(zip((False, True), self.flags[name], strict=True)), na_action="ignore")
        return values


def date_columns(raw: pd.DataFrame, schema: FeatureSchema) -> list[str]:
    """The numbers of ``schema`` that were dates in ``raw``."""
    numbers = [one.name for one in schema.of_kind("number") if is_words(raw[one.name])]
    return [name for name in numbers if raw[name].notna().any() and date_form(raw[name].dropna()) is not None]


def _iso(days: pd.Series[Any], *, whole: bool) -> pd.Series[Any]:
    moments = EPOCH + pd.to_timedelta(days.astype("float64"), unit="D")
    return moments.dt.round("s").dt.strftime("%Y-%m-%d" if whole else "%Y-%m-%dT%H:%M:%S")


def _words(raw: pd.Series[Any], read: pd.Series[Any]) -> tuple[str, str]:
    """What false and true are called most often; 0 and 1 where one of them is not there."""
    text = as_text(raw)
    found = []
    for value, usual in zip((False, True), YES_NO, strict=True):
        words = text[(read == value).fillna(value=False).astype(bool)].value_counts().sort_index()
        found.append(str(words.idxmax()) if len(words) else usual)
    return found[0], found[1]


def _has_points(raw: pd.DataFrame, schema: FeatureSchema) -> bool:
    """Whether numbers stand there as text with a decimal point, in spite of the semicolons."""
    written = [as_text(raw[one.name]).dropna() for one in schema.of_kind("number") if is_words(raw[one.name])]
    return any(re.fullmatch(POINT, text) and "." in text for values in written for text in values.unique())
