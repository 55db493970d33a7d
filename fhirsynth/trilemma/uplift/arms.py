"""What can be put beside few positives: each arm draws its rows from the part of train that a classifier learns from.

Sources: SMOTE-NC as in :mod:`fhirsynth.augment.smote`; random oversampling and class weights as the usual remedies, He
& Garcia (2009), https://doi.org/10.1109/TKDE.2008.239.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fhirsynth.augment.smote import interpolate
from fhirsynth.errors import UsageError
from fhirsynth.schema import FeatureSchema
from fhirsynth.trilemma.encode import flags
from fhirsynth.trilemma.samples import MIN_CLASS

RATIOS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Added positives to each real one."""

Pool = Callable[[pd.DataFrame, pd.DataFrame, np.random.Generator], pd.DataFrame]
"""Positives and negatives that are learned from in, positives to add out, in random order, enough for every ratio."""

NAMES = ("none", "weights", "oversampling", "smote", "oracle", "permuted")
"""Arms that are always tried, or tried where there is a fresh real draw; no generator can be called so."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to help a classifier that has few positives.

    Parameters
    ----------
    name, title
        Identifier, and words for people.
    ratios
        The mixing ratios that its rows can fill without repeating any; empty for an arm that adds nothing.
    pool
        Where its rows come from; None for an arm that adds nothing.
    balanced
        Whether the classes are weighted to count the same.
    """

    name: str
    title: str
    ratios: tuple[float, ...] = ()
    pool: Pool | None = None
    balanced: bool = False


@dataclass(frozen=True, slots=True)
class Arms:
    """The arms in the order of the report, which of them are generators, and what could not be done."""

    arms: tuple[Arm, ...]
    generators: tuple[str, ...]
    notes: tuple[str, ...]


def build_arms(
    train: pd.DataFrame,
    generators: Mapping[str, pd.DataFrame],
    oracle: pd.DataFrame | None,
    schema: FeatureSchema,
    target: str,
) -> Arms:
    """Every arm that these rows allow.

    Parameters
    ----------
    train
        Real rows with the target known.
    generators
        Synthetic rows by name of their generator; the control is made from the first that has positives.
    oracle
        Real rows that nothing has seen, if there are any.
    schema, target
        The columns, and the flag to be predicted.

    Raises
    ------
    UsageError
        When there is no generator, one bears the name of another arm, or rows lack a column.
    """
    frames = _checked(generators, oracle, schema)
    positives = int(flags(train[target]).sum())
    made = {name: frame[flags(frame[target])] for name, frame in frames.items()}
    sources = [Arm(name, _title(name), fillable(len(rows), positives), drawn(rows)) for name, rows in made.items()]
    usable = [arm for arm in sources if arm.ratios]
    named = tuple(arm.name for arm in usable if arm.name != "oracle")
    control, note = _control(train, frames, named, target)
    arms = (
        Arm("none", "Real patients alone"),
        Arm("weights", "Class weights", balanced=True),
        Arm("oversampling", "Real cases repeated at random", RATIOS, repeated),
        Arm("smote", "SMOTE-NC", RATIOS, interpolated(schema)),
        *usable,
        *([control] if control.ratios else []),
    )
    return Arms(arms, named, (note, *(_short(arm, len(made[arm.name]), positives) for arm in sources if _lacks(arm))))


def fillable(rows: int, positives: int) -> tuple[float, ...]:
    """The ratios that so many rows can fill beside so many real positives."""
    return tuple(ratio for ratio in RATIOS if added(ratio, positives) <= rows)


def added(ratio: float, positives: int) -> int:
    """How many rows a ratio asks for."""
    return round(ratio * positives)


def repeated(positives: pd.DataFrame, _negatives: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    """Real positives, drawn with replacement."""
    return positives.iloc[generator.integers(0, len(positives), _most(positives))]


def drawn(rows: pd.DataFrame, size: int | None = None) -> Pool:
    """Rows that are given, drawn without replacement: all of them, or ``size``."""
    return lambda _positives, _negatives, generator: rows.iloc[generator.permutation(len(rows))[:size]]


def relabelled(size: int) -> Pool:
    """Real negatives of the part that is learned from, said to be positives."""
    return lambda _positives, negatives, generator: negatives.iloc[generator.permutation(len(negatives))[:size]]


def interpolated(schema: FeatureSchema) -> Pool:
    """SMOTE-NC among the positives; see :func:`fhirsynth.augment.smote.interpolate`."""
    return lambda positives, negatives, generator: interpolate(
        positives, negatives, _most(positives), schema, generator
    )


def _most(positives: pd.DataFrame) -> int:
    return added(max(RATIOS), len(positives))


def _checked(
    generators: Mapping[str, pd.DataFrame], oracle: pd.DataFrame | None, schema: FeatureSchema
) -> dict[str, pd.DataFrame]:
    if not generators:
        raise UsageError("uplift: no synthetic rows were given; name at least one generator with its rows")
    taken = [name for name in generators if name in NAMES]
    if taken:
        raise UsageError(f"uplift: '{taken[0]}' is the name of an arm; call the generator something else")
    frames = {**generators, **({} if oracle is None else {"oracle": oracle})}
    for name, frame in frames.items():
        absent = [column for column in schema.columns if column not in frame.columns]
        if absent:
            raise UsageError(f"uplift, rows of '{name}': lack the columns {', '.join(absent)}")
    return {name: frame[schema.columns] for name, frame in frames.items()}


def _title(name: str) -> str:
    return "Further real cases (oracle)" if name == "oracle" else f"Synthetic cases ({name})"


def _control(
    train: pd.DataFrame, frames: Mapping[str, pd.DataFrame], named: tuple[str, ...], target: str
) -> tuple[Arm, str]:
    """Rows whose label means nothing, as many as the first generator has positives."""
    labels = flags(train[target])
    real, negatives = int(labels.sum()), int((~labels).sum())
    first = frames[named[0]] if named else None
    size = int(flags(first[target]).sum()) if first is not None else added(max(RATIOS), real)
    if first is not None and len(first) - size >= MIN_CLASS:
        arm = Arm("permuted", "Control: synthetic rows, labels permuted", fillable(size, real), drawn(first, size))
        return arm, (
            f"The control adds rows of '{named[0]}' that became cases when the labels of all its rows were permuted; "
            "it must not help."
        )
    ratios = fillable(min(size, negatives), real)
    arm = Arm("permuted", "Control: real negatives called cases", ratios, relabelled(size))
    return arm, (
        "No generator made patients of both classes whose labels could be permuted; the control adds real training "
        "patients without the condition, called cases, in the number of the synthetic ones. It must not help."
    )


def _lacks(arm: Arm) -> bool:
    return len(arm.ratios) < len(RATIOS)


def _short(arm: Arm, rows: int, positives: int) -> str:
    if not arm.ratios:
        return (
            f"{arm.title}: has {rows} positives, too few for even {RATIOS[0]:g} to each of the {positives} real ones; "
            "it has no arm."
        )
    return (
        f"{arm.title}: {rows} positives fill ratios up to {arm.ratios[-1]:g} to each of the {positives} real ones; "
        f"{RATIOS[len(arm.ratios)]:g} and more were not tried, as repeated rows teach nothing new."
    )
