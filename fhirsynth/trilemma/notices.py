"""What a reader of the report must know of the data before the figures: one line each."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from fhirsynth.errors import EvaluateError
from fhirsynth.schema import FeatureSchema
from fhirsynth.tables import row_keys

MOST_LEVELS = 100
"""Values of a category that are told apart; rarer ones are taken together."""

OTHERS = "(other)"

SAME = 0.5
"""Share of holdout rows, beyond what chance has, that equal training rows: from here on it is no accident."""

COARSE = 0.5
"""Share of training rows that equal another one, from which on equal rows prove nothing."""

NAMED = 3
"""Values and columns that are named in a line."""


def refuse_leak(train: pd.DataFrame, holdout: pd.DataFrame) -> str | None:
    """What is to be said of holdout rows that the generator has seen; None when there is nothing.

    Compared with how often training rows equal each other, which is what chance has in coarse data.

    Raises
    ------
    EvaluateError
        When the holdout is, for the most part, training data.
    """
    left, right = row_keys(train), row_keys(holdout)
    equal, usual = float(right.isin(set(left)).mean()), float(left.duplicated(keep=False).mean())
    coarse = usual >= COARSE
    if not coarse and len(left) == len(right) and sorted(left) == sorted(right):
        raise EvaluateError(
            f"train and holdout are the same {len(left)} rows: nothing can be judged by patients that the generator "
            "has seen; split by patient, train on one part and give the other as --holdout"
        )
    if equal - usual >= SAME:
        raise EvaluateError(
            f"{equal:.0%} of the holdout rows equal a training row in every column (training rows equal each other in "
            f"{usual:.0%}): the generator must never have seen the holdout; split by patient and train anew"
        )
    if equal - usual > max(0.02, 3 / len(right)):
        return (
            f"{equal:.1%} of the holdout rows equal a training row in every column, while training rows equal each "
            f"other in {usual:.1%}: some patients may be on both sides, and privacy then looks better than it is."
        )
    return None


def lump(frames: list[pd.DataFrame], schema: FeatureSchema) -> tuple[list[pd.DataFrame], list[str]]:
    """Take rare values of a category with very many together, in all frames alike."""
    notices, frames = [], [frame.copy() for frame in frames]
    for feature in schema.of_kind("category"):
        counts = pd.concat([frame[feature.name] for frame in frames]).value_counts()
        if len(counts) > MOST_LEVELS:
            kept = set(counts.index[: MOST_LEVELS - 1])
            for frame in frames:
                column = frame[feature.name]
                frame[feature.name] = column.where(column.isna() | column.isin(kept), OTHERS)
            notices.append(
                f"{feature.title} has {len(counts)} values; the {len(kept)} commonest are told apart, the others are "
                "taken together. An identifier or free text should be left out."
            )
    return frames, notices


def notices(
    train: pd.DataFrame, holdout: pd.DataFrame, synthetic: pd.DataFrame, schema: FeatureSchema, cohort: str | None
) -> Iterator[str]:
    """Columns that say nothing, and values that no real patient has; ``cohort`` may well have one value only."""
    real = pd.concat([train, holdout], ignore_index=True)
    titles = {feature.name: feature.title for feature in schema.features}
    empty = [titles[name] for name in schema.columns if real[name].isna().all()]
    constant = [titles[n] for n in schema.columns if titles[n] not in empty and real[n].nunique(dropna=False) == 1]
    flat = [
        titles[name]
        for name in schema.columns
        if name != cohort and real[name].nunique(dropna=False) > 1 and synthetic[name].nunique(dropna=False) == 1
    ]
    for found, words in (
        (empty, "no value in any real row; only whether synthetic rows have one is compared"),
        (constant, "one value in every real row; only whether synthetic rows differ is compared"),
        (flat, "a single value in every synthetic row, though real rows vary"),
    ):
        if found:
            yield f"{listed(found)} {'have' if len(found) > 1 else 'has'} {words}."
    doubles = float(row_keys(train).duplicated(keep=False).mean())
    if doubles >= COARSE:
        yield (
            f"{doubles:.0%} of the training rows equal another one in every column: data this coarse tell little of "
            "single patients, and neither a copy nor a patient on both sides can be noticed."
        )
    for feature in schema.of_kind("category"):
        unknown = synthetic[feature.name][~synthetic[feature.name].isin(set(real[feature.name].dropna()))].dropna()
        if len(unknown):
            values = [str(value) for value in unknown.value_counts().index]
            yield (
                f"{feature.title}: {len(unknown)} synthetic rows hold a value that no real row has "
                f"({listed([f'“{value}”' for value in values])}); it counts as a value of its own."
            )


def listed(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
