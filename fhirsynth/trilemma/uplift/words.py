"""What came out of augmentation, in words: a gain, a harm and nothing at all as plainly as each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fhirsynth.trilemma.intervals import DRAWS
from fhirsynth.trilemma.measure import Estimate, Uplift, UpliftArm
from fhirsynth.trilemma.uplift.arms import added
from fhirsynth.trilemma.uplift.trial import FOLDS, REPEATS, SEEDS, SPECIFICITIES
from fhirsynth.trilemma.weighted import STEEPEST


@dataclass(frozen=True, slots=True)
class Facts:
    """What the words rest on beside the figures.

    Parameters
    ----------
    generators
        Names of the arms of generators, the one that the sentence is about first.
    made
        What is to be said of how the arms were made.
    alone
        Average precision of real patients alone in the inner validation, by title of the model.
    inner
        Average precision in the inner validation by arm and ratio, ``("none", 0.0)`` among them.
    prior
        The prevalence that predictions were put back to.
    weighted
        Whether holdout patients are weighted to the natural prevalence.
    """

    generators: tuple[str, ...]
    made: tuple[str, ...]
    alone: Mapping[str, float]
    inner: Mapping[tuple[str, float], float]
    prior: float
    weighted: bool


def sentence(uplift: Uplift, facts: Facts) -> str:
    """What adding the first generator's cases did, beside the usual remedies and further real cases."""
    arms = {arm.name: arm for arm in uplift.arms}
    others = _others(uplift, facts.generators[1:])
    if not facts.generators:
        return (
            f"No generator made enough cases to be added to the {uplift.positives} real ones, so whether synthetic "
            f"cases help was not measured: real patients alone {_figure(arms['none'].auprc.value)}, {others}."
        )
    arm = arms[facts.generators[0]]
    assert arm.gain is not None
    precision = "average precision at the natural prevalence" if facts.weighted else "average precision"
    return (
        f"Adding {added(arm.ratio, uplift.positives)} synthetic cases ({arm.name}) to {uplift.positives} real ones "
        f"{_verdict(arm.gain)}: {precision} {_figure(arm.auprc.value)} against {_figure(arms['none'].auprc.value)} "
        f"({_difference(arm.gain)}); {others}.{_doubt(arm.gain, arms.get('permuted'))}"
    )


def notes(uplift: Uplift, facts: Facts) -> tuple[str, ...]:
    """How it was done, and what must be kept in mind."""
    return (
        _model(uplift, facts),
        _ratio(),
        *facts.made,
        *_advice(uplift, facts),
        _intervals(),
        _prior(facts),
        *_limits(uplift, facts),
    )


def _verdict(gain: Estimate) -> str:
    if gain.low > 0:
        return "helped"
    if gain.high < 0:
        return "did harm"
    return "did not help" if gain.value <= 0 else "did not help by more than chance"


def _others(uplift: Uplift, generators: tuple[str, ...]) -> str:
    words = {"weights": "class weights", "oversampling": "repeating real cases", "smote": "SMOTE-NC"}
    words |= {name: f"synthetic cases of {name}" for name in generators}
    found = [(words[arm.name], arm) for arm in uplift.arms if arm.name in words]
    oracle = [arm for arm in uplift.arms if arm.name == "oracle"]
    found += [(f"{added(arm.ratio, uplift.positives)} further real cases", arm) for arm in oracle]
    return ", ".join(
        f"{title} {'' if index else 'reached '}{_figure(arm.auprc.value)}" for index, (title, arm) in enumerate(found)
    )


def _doubt(gain: Estimate, control: UpliftArm | None) -> str:
    if gain.low <= 0 or control is None or control.gain is None or control.gain.low <= 0:
        return ""
    return (
        f" Rows whose label means nothing helped too ({_difference(control.gain)}), so the gain is not what the "
        "synthetic cases teach."
    )


def _model(uplift: Uplift, facts: Facts) -> str:
    others = ", ".join(
        f"{name.lower()} {_figure(value)}" for name, value in facts.alone.items() if name != uplift.model
    )
    return (
        f"Everything is about one model, {uplift.model.lower()}: of real patients alone it learned best in the inner "
        f"validation (average precision {_figure(facts.alone[uplift.model])}; {others})."
    )


def _ratio() -> str:
    return (
        f"The ratio of each arm was chosen by average precision inside train ({FOLDS} folds, {REPEATS} "
        "times over); the holdout judged once. Repeated and interpolated cases were made from the part that was "
        "learned from, but a generator has seen all of train: its inner validation is optimistic, and its ratio may "
        "be too high. The holdout figures are not touched by that."
    )


def _advice(uplift: Uplift, facts: Facts) -> Iterator[str]:
    against = [
        arm.title
        for arm in uplift.arms
        if (arm.name, arm.ratio) in facts.inner and arm.ratio and facts.inner[arm.name, arm.ratio] <= _none(facts)
    ]
    if against:
        yield (
            f"By the inner validation it is better to add nothing than to add: {', '.join(against)}. They are shown "
            "at their best ratio above 0."
        )


def _none(facts: Facts) -> float:
    return facts.inner["none", 0.0]


def _intervals() -> str:
    return (
        f"Intervals of 95 %: {DRAWS:,} bootstrap draws of holdout patients, the same for all arms, each with one of "
        f"{SEEDS} draws of the rows that an arm adds. Other real patients to learn from, or a generator fitted "
        "anew, would vary them further."
    )


def _prior(facts: Facts) -> str:
    where = "the natural prevalence" if facts.weighted else "the prevalence of train"
    return (
        "Added cases and class weights make cases look commoner than they are; for the Brier score and the "
        f"calibration slope predictions were put back to {where} ({_figure(facts.prior)}) by the ratio of odds."
    )


def _limits(uplift: Uplift, facts: Facts) -> Iterator[str]:
    arms = {arm.name: arm for arm in uplift.arms}
    negatives = uplift.holdout - uplift.holdout_positives
    if uplift.specificity < SPECIFICITIES[0]:
        yield (
            f"Recall is at a specificity of {uplift.specificity:g}: the {negatives} others of the holdout "
            f"cannot resolve {SPECIFICITIES[0]:g}."
        )
    if facts.weighted and uplift.prevalence * negatives < 1 - uplift.prevalence:
        yield (
            f"At the natural prevalence of {_figure(uplift.prevalence)} one of the {negatives} others of the holdout "
            "outweighs all its cases: average precision then says little more than how many cases stand before "
            "everybody else, and varies widely."
        )
    steep = [arm.title for arm in uplift.arms if max(abs(arm.slope.low), abs(arm.slope.high)) >= STEEPEST]
    if steep:
        yield (
            f"Calibration slopes stop at {STEEPEST:g}, where scores keep the classes wholly apart and no slope can be "
            f"told: {', '.join(steep)}."
        )
    if "oracle" in arms and arms["oracle"].gap_closed is None:
        yield "Further real cases gain nothing beyond chance here, so there is no gap of which a share could be closed."
    control = arms.get("permuted")
    if control is not None and control.gain is not None and control.gain.low > 0:
        yield (
            f"The control helped ({_difference(control.gain)}), which it must not: in this comparison the gain of any "
            "arm may come from the mere number of added rows."
        )


def _difference(gain: Estimate) -> str:
    return f"difference {_figure(gain.value)}, 95 % interval {_figure(gain.low)} to {_figure(gain.high)}"


def _figure(value: float) -> str:
    """Three digits, more where nothing would be left, as at the prevalence of a rare disease."""
    text = f"{value:.3f}" if abs(value) >= 0.01 or value == 0 else f"{value:.2g}"
    return text.replace("-", "−")
