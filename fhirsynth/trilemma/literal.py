"""The five targets of the field, each set beside the calibrated measure that answers the same question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fhirsynth.trilemma.measure import Measure, worst


@dataclass(frozen=True, slots=True)
class _Beside:
    """Names (or beginnings of names) of the calibrated measures, and where the literal target misleads."""

    measures: tuple[str, ...]
    misleads: str


_RATIO = (
    "The ratio passes noise: .50/.55 is .91, and .54/.60 is .90 with 40 % of the signal; the calibrated verdict asks "
    "how much of what lies above chance is kept, at the lower end of its interval."
)

BESIDE: Mapping[str, _Beside] = {
    "auc_ratio": _Beside(("signal_kept",), _RATIO),
    "average_precision_ratio": _Beside(("signal_kept",), _RATIO),
    "membership_auc": _Beside(
        ("membership_auc", "exposed_auc"),
        "An AUC near 0.50 in a small sample is no proof: the calibrated verdict passes only where a leak would have "
        "been noticed, and fails only beyond chance.",
    ),
    "attribute_accuracy": _Beside(
        ("attribute_leak",),
        "Guessing better than the commonest value is the population's pattern, not a leak; the leak is what works "
        "better on members than on non-members.",
    ),
    "nearest_below_5th_percentile": _Beside(
        ("copied_share", "exact_copies"),
        "Honest rows lie below the 5th percentile about one time in twenty, so 'every row above' fails real patients "
        "too; the calibrated verdict asks whether the close record is a training one more often than chance has it.",
    ),
    "ks_columns_passing": _Beside(
        ("marginal_distance", "columns_shifted", "association_error", "three_way_distance", "two_sample_auc"),
        "A p-value counts rows: with many, a harmless shift is rejected, with few, a grave one is not, and of twenty "
        "columns a perfect generator loses one more often than not; the calibrated verdict rests on distances beyond "
        "those of two real samples.",
    ),
}
"""By the name of the literal measure, without the classifier's."""


def set_beside(measures: Sequence[Measure]) -> tuple[Measure, ...]:
    """The measures of one cohort, the literal ones with ``calibrated`` and ``misleads`` filled in."""
    return tuple(_filled(one, measures) if one.literal else one for one in measures)


def _filled(literal: Measure, measures: Sequence[Measure]) -> Measure:
    beside = next(beside for name, beside in BESIDE.items() if literal.name.startswith(name))
    verdicts = [one.verdict for one in measures if one.name.startswith(beside.measures) and one.verdict is not None]
    calibrated = worst(verdicts) if verdicts else literal.verdict
    return literal.model_copy(update={"calibrated": calibrated, "misleads": beside.misleads})
