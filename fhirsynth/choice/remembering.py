"""Whether made rows give away who was learned from, by the trilemma's own attacks and verdicts.

Members are the training patients that a generator learned from, non-members those that were kept from it for the trial.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import pandas as pd

from fhirsynth.choice.usefulness import Split
from fhirsynth.schema import FeatureSchema
from fhirsynth.trilemma.intervals import Z95
from fhirsynth.trilemma.measure import Cohort, Measure, Verdict, verdict_of, worst
from fhirsynth.trilemma.membership import measure_membership
from fhirsynth.trilemma.neighbours import measure_neighbours
from fhirsynth.trilemma.samples import Samples
from fhirsynth.trilemma.world import World

ROWS: Final = 3_000
"""Rows of each side that are compared, all with all."""

NO_LEAK: Final = 0.5
"""Membership AUC of an attacker who knows nothing; what lies below is chance and no merit."""

_WORDS: Final = {
    "membership_auc": "who was learned from can be told (membership AUC {value:.2f}, by chance 0.50)",
    "copied_share": "{value:.0%} of its rows sit beside a patient because they were learned from",
    "exact_copies": "{value:.0%} of its rows equal a patient who was learned from",
    "exposed_auc": "of those who stand out it can be told who was learned from (AUC {value:.2f})",
}


@dataclass(frozen=True, slots=True)
class Remembered:
    """What was found in one split, or in several.

    Parameters
    ----------
    area, spread
        Membership AUC of the strongest attack (among cases, where there are any), not below 0.5, and its standard
        error; None where it could not be measured.
    verdict
        The worst one of membership, near and exact copies.
    words
        What failed, empty where nothing did.
    """

    area: float | None
    spread: float
    verdict: Verdict
    words: str

    @classmethod
    def of(cls, split: Split, made: pd.DataFrame, schema: FeatureSchema, target: str | None, seed: int) -> Self:
        """Attack the rows ``made`` by a generator that has learned from ``split.learn``."""
        samples = Samples(split.learn, split.look, made, schema, target, target, seed)
        parts: list[tuple[Cohort, Samples]] = [("overall", samples)]
        if target is not None:
            parts.insert(0, ("rare", samples.rare()))
        found = [_measured(part.capped(ROWS), cohort) for cohort, part in parts]
        lead = next(one for one in found[0] if one.name == "membership_auc")
        every = [one for measures in found for one in measures]
        failed = {one.name: _WORDS[one.name].format(value=one.value) for one in every if one.verdict == "FAIL"}
        area = None if lead.value is None else max(lead.value, NO_LEAK)
        spread = 0.0 if lead.low is None or lead.high is None else (lead.high - lead.low) / (2 * Z95)
        return cls(area, spread, verdict_of(every), "; ".join(failed.values()))

    @classmethod
    def over(cls, splits: Sequence[Remembered]) -> Self:
        """Several splits as one: the mean of the AUC, the worst verdict, and what failed first.

        The error is that of one split: the same patients are members in most of them, so that they are not independent.
        """
        areas = [one.area for one in splits if one.area is not None]
        return cls(
            float(np.mean(areas)) if areas else None,
            float(np.mean([one.spread for one in splits])),
            worst([one.verdict for one in splits]),
            next((one.words for one in splits if one.words), ""),
        )


def _measured(samples: Samples, cohort: Cohort) -> list[Measure]:
    world = World.of(samples, cohort)
    return [*measure_membership(world)[0], *measure_neighbours(world)[0]]
