"""What a row of features is: the contract between features, generators, re-assembly and evaluation."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import pandas as pd
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from fhirsynth.errors import UsageError
from synthea_bridge.files import atomic_file

if TYPE_CHECKING:
    from synthea_bridge.conditions import Condition

Kind = Literal["number", "count", "flag", "category"]
"""``number``: float64; ``count``: Int64, not negative; ``flag``: boolean; ``category``: string."""

DTYPES: Mapping[Kind, str] = {"number": "float64", "count": "Int64", "flag": "boolean", "category": "string"}
"""The pandas dtype of each kind: in memory, in Parquet and after a generator."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Frozen):
    """Where a feature comes from.

    Parameters
    ----------
    rule
        ``demographic`` (a column of patients), ``latest`` (last value on or before the index date), ``present``
        (a condition with one of the codes, begun and not abated at the index date) or ``derived`` (named in
        ``features.py``: age, stays, visits, medications).
    codes
        LOINC codes for ``latest`` (the first is the one that re-assembly writes), SNOMED CT codes for ``present``.
    display
        Display of the first code.
    units
        UCUM units that are taken, each with the factor that converts it to the feature's own unit.
    panel
        LOINC code and display of the panel whose component it is (blood pressure), if any.
    category
        observation-category of what re-assembly writes.
    window_days
        Only values of so many days before the index date count; None: the whole life.
    """

    rule: Literal["demographic", "latest", "present", "derived"]
    codes: tuple[str, ...] = ()
    display: str = ""
    units: dict[str, float] = Field(default_factory=dict)
    panel: tuple[str, str] | None = None
    category: Literal["vital-signs", "laboratory", "survey"] = "laboratory"
    window_days: int | None = None


class Feature(_Frozen):
    """One column of ``features``.

    Parameters
    ----------
    name, title, kind
        Column name, words for people, and what it holds.
    unit
        UCUM unit of a number.
    decimals
        Digits after the point that are kept, everywhere.
    minimum, maximum
        Bounds that a value must respect (physiological, not statistical).
    categories
        Permitted values of a category.
    nullable
        Whether it can be missing.
    """

    name: str
    title: str
    kind: Kind
    unit: str = ""
    decimals: int = 0
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] = ()
    nullable: bool = False
    source: Source


class ConditionFeature(_Frozen):
    """The condition that the cohort is about, or whatever else makes a case in somebody's table.

    Parameters
    ----------
    slug, name
        Name in commands, and in words for people.
    snomed, display
        Its SNOMED CT code; empty where it has none.
    flag
        Name of its column where that is not ``has_SLUG``.
    """

    slug: str
    name: str
    snomed: str
    display: str
    flag: str | None = None

    @classmethod
    def of(cls, found: Condition) -> Self:
        """A condition of the catalogue."""
        return cls(slug=found.slug, name=found.name, snomed=found.snomed, display=found.display)

    @property
    def column(self) -> str:
        """Name of its flag, e.g. ``has_cystic_fibrosis``."""
        return self.flag if self.flag is not None else f"has_{self.slug.replace('-', '_')}"

    @model_serializer(mode="wrap")
    def _as_said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without ``flag`` where there is none: schemas, and hashes of them, stay what they were."""
        said: dict[str, Any] = handler(self)
        return {name: value for name, value in said.items() if (name, value) != ("flag", None)}


class FeatureSchema(_Frozen):
    """The columns of a features table, in order, and the day that they describe.

    Parameters
    ----------
    features
        The columns beside ``patient_id``.
    condition
        The condition that the cohort is about, if one was asked for.
    index_date
        The day at which every patient is described (or the day of death, if earlier).
    """

    features: tuple[Feature, ...]
    condition: ConditionFeature | None = None
    index_date: date

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = self.columns
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"declared twice: {', '.join(twice)}")
        return self

    @property
    def columns(self) -> list[str]:
        """Names in order, without ``patient_id``."""
        return [feature.name for feature in self.features]

    @property
    def dtypes(self) -> dict[str, str]:
        """The pandas dtype by column."""
        return {feature.name: DTYPES[feature.kind] for feature in self.features}

    def __getitem__(self, name: str) -> Feature:
        for feature in self.features:
            if feature.name == name:
                return feature
        raise UsageError(f"there is no feature '{name}'; there are: {', '.join(self.columns)}")

    def of_kind(self, *kinds: Kind) -> list[Feature]:
        """The features of these kinds, in order."""
        return [feature for feature in self.features if feature.kind in kinds]

    def of_rule(self, *rules: str) -> list[Feature]:
        """The features whose source has one of these rules."""
        return [feature for feature in self.features if feature.source.rule in rules]

    def conform(self, frame: pd.DataFrame) -> pd.DataFrame:
        """``frame`` with our columns in order, dtypes set and numbers rounded (``patient_id`` kept, if there)."""
        keys = ["patient_id"] if "patient_id" in frame.columns else []
        result = frame[keys + self.columns].astype(self.dtypes)
        for feature in self.of_kind("number"):
            result[feature.name] = result[feature.name].round(feature.decimals)
        return result

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        with atomic_file(path) as scratch:
            scratch.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> FeatureSchema:
        """Read what :meth:`save` wrote.

        Raises
        ------
        UsageError
            When there is no such file, or it is not ours.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise UsageError(f"{path}: cannot be read ({error.strerror}); make it with: fhirsynth flatten") from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise UsageError(f"{path}: is not a feature schema ({place}: {first['msg']})") from error


def declared(extra: Path | None = None) -> tuple[Feature, ...]:
    """The features that this package declares, and the user's own.

    Parameters
    ----------
    extra
        A TOML file in the form of ``features.toml`` with more of them.

    Raises
    ------
    UsageError
        When ``extra`` cannot be read, with the place and the reason.
    """
    builtin = resources.files("fhirsynth").joinpath("features.toml").read_text(encoding="utf-8")
    features = _parse(tomllib.loads(builtin), "features.toml")
    if extra is not None:
        try:
            features += _parse(tomllib.loads(extra.read_text(encoding="utf-8")), str(extra))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"{extra}: cannot be read as TOML ({error})") from error
    return features


def _parse(document: Mapping[str, Any], source: str) -> tuple[Feature, ...]:
    features = []
    for name, body in document.items():
        try:
            features.append(Feature.model_validate({"name": name, **body}))
        except (ValidationError, TypeError) as error:
            detail = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "is not a table"
            raise UsageError(f"{source}, [{name}]: {detail}") from error
    return tuple(features)


def condition_flag(condition: ConditionFeature) -> Feature:
    """The flag of the condition that was asked for."""
    return Feature(
        name=condition.column,
        title=condition.name,
        kind="flag",
        source=Source(rule="present", codes=(condition.snomed,), display=condition.display),
    )


def build_schema(
    index_date: date, condition: ConditionFeature | None = None, extra: Iterable[Feature] = ()
) -> FeatureSchema:
    """Our features, then the user's, then the flag of the condition (unless it is declared already)."""
    features = [*declared(), *extra]
    if condition is not None and condition.column not in {feature.name for feature in features}:
        features.append(condition_flag(condition))
    return FeatureSchema(features=tuple(features), condition=condition, index_date=index_date)
