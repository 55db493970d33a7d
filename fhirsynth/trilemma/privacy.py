"""Privacy: does the synthetic data give away who was in the training data, or what is true of them?

Members (train) and non-members (holdout) are both real; the attacker sees the synthetic rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fhirsynth.trilemma.attributes import measure_attributes
from fhirsynth.trilemma.measure import Attribute, Cohort, Distances, Measure, Roc, Verdict, verdict_of
from fhirsynth.trilemma.membership import measure_membership
from fhirsynth.trilemma.neighbours import measure_neighbours
from fhirsynth.trilemma.samples import MIN_ROWS, Samples
from fhirsynth.trilemma.threads import threads_for
from fhirsynth.trilemma.world import World


@dataclass(frozen=True, slots=True)
class Privacy:
    """Measures, the table of guessed columns, pictures and a sentence."""

    measures: list[Measure]
    attributes: list[Attribute]
    rocs: list[Roc]
    distances: Distances | None
    verdict: Verdict
    sentence: str


def measure_privacy(
    samples: Samples, cohort: Cohort, sensitive: Sequence[str], histories: Sequence[Measure] = ()
) -> Privacy:
    """Membership inference, attribute inference and nearest neighbours, for one cohort.

    Parameters
    ----------
    samples, cohort, sensitive
        What is compared, whom it is about, and the columns that attribute inference guesses.
    histories
        What was found of histories that are like those of training patients.
    """
    if cohort == "rare":
        samples = samples.rare()
    samples = samples.capped()
    small = [
        f"{len(frame)} {name}"
        for name, frame in (("training", samples.train), ("holdout", samples.holdout), ("synthetic", samples.synthetic))
        if len(frame) < MIN_ROWS
    ]
    if small:
        reason = f"There are only {' and '.join(small)} rows of this cohort; {MIN_ROWS} of each are needed."
        return _nothing(cohort, reason)
    with threads_for(len(samples.train)):
        world = World.of(samples, cohort)
        membership, curves = measure_membership(world)
        neighbours, distances = measure_neighbours(world)
        guesses, attributes = measure_attributes(world, sensitive)
    measures = [*membership, *neighbours, *guesses, *histories]
    verdict = verdict_of(measures)
    return Privacy(measures, attributes, curves, distances, verdict, _sentence(measures, verdict))


def _nothing(cohort: Cohort, reason: str) -> Privacy:
    rows = (
        ("membership_auc", "Membership-inference AUC (strongest of several attacks)", "≈ 0.50"),
        ("attribute_accuracy", "Attribute-inference accuracy", "≈ baseline"),
        ("nearest_below_5th_percentile", "Distance to the nearest training row", "every row above the 5th percentile"),
    )
    measures = [
        Measure(
            name=name,
            title=title,
            dimension="privacy",
            cohort=cohort,
            value=None,
            n=0,
            target=target,
            note=reason,
            literal=True,
            verdict="UNDERPOWERED",
        )
        for name, title, target in rows
    ]
    return Privacy(measures, [], [], None, "UNDERPOWERED", reason)


_SHORT = {
    "membership_auc": "membership inference",
    "copied_share": "near copies",
    "attribute_leak": "attribute inference",
    "attribute_accuracy": "attribute inference",
    "history_copies": "near copies of histories",
    "history_auc": "membership by histories",
}

_WORDS = {
    "membership_auc": "whether somebody was in the training data can be told (AUC {value:.2f}, by chance 0.50)",
    "copied_share": "{value:.0%} of synthetic rows sit beside a training record because it was trained on",
    "exact_copies": "{value:.0%} of synthetic rows equal a training row (by chance {baseline:.0%})",
    "exposed_auc": "whether somebody who stands out was in the training data can be told (AUC {value:.2f})",
    "attribute_leak": "hidden values of training patients are guessed better by {value:.0%} than of others",
    "history_copies": "{value:.0%} of synthetic histories nearly equal a training patient's",
    "history_auc": "histories are nearer to training patients than others' are (AUC {value:.2f}, by chance 0.50)",
}


def _sentence(measures: list[Measure], verdict: Verdict) -> str:
    by_name = {one.name: one for one in measures}
    if verdict == "FAIL":
        failed = [one for one in measures if one.verdict == "FAIL"]
        words = [_WORDS[one.name].format(value=one.value, baseline=one.baseline) for one in failed]
        return f"The generator remembers training patients: {'; '.join(words)}."
    area = by_name["membership_auc"]
    if verdict == "UNDERPOWERED":
        weak = [_SHORT[one.name] for one in measures if one.verdict == "UNDERPOWERED"]
        effect = (
            f" A membership AUC below {area.detectable:.2f} would not have been noticed."
            if area.detectable is not None
            else ""
        )
        return f"No leak was found, but this sample is too small to rule one out ({'; '.join(weak)}).{effect}"
    return (
        f"Training patients look no more familiar than others: membership AUC {area.value:.2f} "
        f"(95 % interval {area.low:.2f} to {area.high:.2f}; 0.50 is chance), and no excess of near copies."
    )
