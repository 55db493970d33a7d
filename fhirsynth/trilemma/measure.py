"""What a report holds: frozen values. Measures compute them, rendering only draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from fhirsynth.trilemma.frozen import Frozen
from fhirsynth.trilemma.lives.shown import Chart, CodeShares, TimelineMeasure

Dimension = Literal["utility", "privacy", "fidelity"]
Cohort = Literal["overall", "rare"]
Verdict = Literal["PASS", "FAIL", "UNDERPOWERED"]

SCHEMA_VERSION = 3
"""Of report.json; it changes with every change of meaning or of a field."""

DIMENSIONS: tuple[Dimension, ...] = ("utility", "privacy", "fidelity")


class Measure(Frozen):
    """One figure with its uncertainty and what it is held against.

    Parameters
    ----------
    name, title
        Identifier, and words for people.
    dimension, cohort
        What it says something about, and for whom: everybody, or the patients with the condition.
    value, low, high
        The estimate and its 95 % interval; None when it could not be computed (``note`` says why).
    n
        Number of rows that it rests on (holdout patients, synthetic rows or columns: ``title`` says which).
    target, met
        The field's literal target in words, and whether ``value`` meets it as written.
    note
        How it was computed here, and where the literal reading misleads.
    literal
        Whether it is one of the five targets of the field.
    verdict
        What it contributes to the verdict of its dimension; None: it is shown and decides nothing.
    calibrated, misleads
        For a literal target: the verdict of the calibrated measure beside it, and where the literal reading misleads.
    baseline, p, detectable
        What no effect looks like, the p-value against it, and the smallest value that would have been noticed with 80 %
        probability (of utility, where less is worse, the largest).
    """

    name: str
    title: str
    dimension: Dimension
    cohort: Cohort
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int
    target: str
    met: bool | None = None
    note: str = ""
    literal: bool = False
    verdict: Verdict | None = None
    calibrated: Verdict | None = None
    misleads: str = ""
    baseline: float | None = None
    p: float | None = None
    detectable: float | None = None


class ColumnFidelity(Frozen):
    """How far one column of the synthetic rows is from the real ones.

    ``distance`` is the Kolmogorov-Smirnov D (numbers, counts) or the total variation (flags, categories), both with
    missing as a value of its own; ``band`` is the 95th percentile of the same between two real samples of this size.
    ``ratio`` says how many times as frequent the rarer value that differs most is among the synthetic rows (None where
    no value differs beyond chance); ``beyond`` whether the column differs both beyond chance and by enough to matter.
    """

    name: str
    title: str
    cohort: Cohort
    test: Literal["Kolmogorov-Smirnov", "chi-square"]
    distance: float
    band: float
    p: float
    p_holm: float
    ratio: float | None = None
    beyond: bool = False


class Marginal(Frozen):
    """Shares by bin or value, real beside synthetic; end bins hold everything beyond them.

    ``low`` and ``high``: the band in which 95 of 100 samples of real patients, as many as there are synthetic rows,
    have their share of each bin, and the same for ``missing``.
    """

    name: str
    title: str
    discrete: bool
    labels: tuple[str, ...]
    real: tuple[float, ...]
    synthetic: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    missing_real: float
    missing_synthetic: float
    missing_low: float
    missing_high: float


class Association(Frozen):
    """Strength of association between columns, 0 to 1, real and synthetic.

    ``noise``: the 95th percentile of the difference between two real samples of these sizes, pair by pair.
    """

    labels: tuple[str, ...]
    real: tuple[tuple[float, ...], ...]
    synthetic: tuple[tuple[float, ...], ...]
    noise: tuple[tuple[float, ...], ...]


class Roc(Frozen):
    """One ROC curve on a fixed grid of false positive rates.

    ``low`` and ``high``: the pointwise 95 % band of curves with shuffled labels; empty where none was computed.
    """

    name: str
    group: Literal["utility", "membership"]
    fpr: tuple[float, ...]
    tpr: tuple[float, ...]
    auc: float
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


class Distances(Frozen):
    """Nearest-neighbour distances in bins (never one by one): shares of each series, and the 5th percentile."""

    edges: tuple[float, ...]
    series: Mapping[str, tuple[float, ...]]
    threshold: float


class PcaMap(Frozen):
    """Where real and synthetic rows lie in the plane of the first two principal components of the real ones.

    ``real`` and ``synthetic`` are shares of rows by cell, row by row from the lowest ``edges_y``; cells with fewer
    than five patients are 0, so that nobody can be pointed at. ``explained``: share of variance of each component.
    """

    edges_x: tuple[float, ...]
    edges_y: tuple[float, ...]
    real: tuple[tuple[float, ...], ...]
    synthetic: tuple[tuple[float, ...], ...]
    explained: tuple[float, float]


class Pictures(Frozen):
    """Aggregates to draw; ``cohort`` says whom marginals, associations, distances and the map are about.

    Parameters
    ----------
    timeline
        The distributions of :class:`TimelineMeasure`, one for each, real beside synthetic.
    codes
        How many patients have each code; None without histories.
    charts
        Examples of histories, one patient each.
    charts_note
        Which patients were chosen, and why no real one is among them where none is.
    """

    cohort: Cohort
    marginals: tuple[Marginal, ...] = ()
    association: Association | None = None
    rocs: tuple[Roc, ...] = ()
    distances: Distances | None = None
    map: PcaMap | None = None
    timeline: tuple[Marginal, ...] = ()
    codes: CodeShares | None = None
    charts: tuple[Chart, ...] = ()
    charts_note: str = ""


class Finding(Frozen):
    """The verdict on one dimension for one cohort, with one plain sentence."""

    dimension: Dimension
    cohort: Cohort
    verdict: Verdict
    sentence: str


class Attribute(Frozen):
    """How often an attacker guesses one sensitive column right, who knows every other column and the synthetic rows.

    Parameters
    ----------
    members, non_members
        Accuracy on training patients, and on real patients whom the generator never saw.
    random, majority
        Accuracy of guessing by the known shares, and of always saying the commonest value.
    real_trained
        Accuracy on non-members of the same attacker with other real patients in the place of synthetic rows: what the
        population's pattern gives away, leak or not.
    leak, low, high
        Members minus non-members, and its 95 % interval.
    n
        Members and non-members whose value is known.
    """

    name: str
    title: str
    cohort: Cohort
    members: float
    non_members: float
    random: float
    majority: float
    real_trained: float | None
    leak: float
    low: float
    high: float
    n: int


class Rule(Frozen):
    """A rule of clinical plausibility or of order in time: how often it applied, and how often it was broken."""

    name: str
    title: str
    group: Literal["constraint", "range", "time"]
    real_checked: int
    real_broken: int
    synthetic_checked: int
    synthetic_broken: int
    verdict: Verdict | None = None


class Estimate(Frozen):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class UpliftArm(Frozen):
    """One way to help a classifier that has few positives, at the ratio that the inner validation chose.

    Parameters
    ----------
    ratio
        Synthetic (or repeated) positives to each real one; 0: none were added.
    auroc, auprc, recall, brier, slope
        On the real holdout: area under the ROC and the precision-recall curve, recall at the specificity that the
        report names, Brier score and calibration slope (1 is right); at natural prevalence where there are weights.
    gain
        Its average precision minus that of real patients alone, on the same holdout patients.
    gap_closed
        ``gain`` as a share of the oracle's; None without an oracle, or where the oracle itself gains nothing.
    """

    name: str
    title: str
    ratio: float
    auroc: Estimate
    auprc: Estimate
    recall: Estimate
    brier: Estimate
    slope: Estimate
    gain: Estimate | None = None
    gap_closed: Estimate | None = None


class UpliftPoint(Frozen):
    """One point of the mixing curve: average precision on the real holdout."""

    arm: str
    ratio: float
    auprc: float
    low: float
    high: float


class Uplift(Frozen):
    """Whether adding synthetic positives to the real ones helps: arms, mixing curve and one plain sentence."""

    model: str
    positives: int
    negatives: int
    holdout: int
    holdout_positives: int
    prevalence: float
    specificity: float
    arms: tuple[UpliftArm, ...]
    curve: tuple[UpliftPoint, ...]
    sentence: str
    notes: tuple[str, ...] = ()


class Control(Frozen):
    """A data set of which the right answer is known, judged like the synthetic one; ``note`` says what it rests on."""

    name: str
    must: str
    got: Mapping[str, Verdict]
    ok: bool
    note: str = ""


class Sizes(Frozen):
    """How many rows were judged, and how many of them have the condition."""

    train: int
    holdout: int
    synthetic: int
    train_cases: int
    holdout_cases: int
    synthetic_cases: int


class Natural(Frozen):
    """The mean of a column (of a flag: its share) in the cohort, and weighted to the natural population."""

    name: str
    title: str
    share: bool
    cohort: float
    natural: float
    n: int


class Report(Frozen):
    """Everything that was found; :func:`fhirsynth.trilemma.documents.report.write_report` puts it on disk."""

    schema_version: int = SCHEMA_VERSION
    valid: bool
    verdicts: Mapping[Dimension, Verdict]
    findings: tuple[Finding, ...]
    sizes: Sizes
    target: str | None
    cohort_column: str | None
    cohort_title: str
    sensitive: tuple[str, ...]
    seed: int
    composition: str
    measures: tuple[Measure, ...]
    columns: tuple[ColumnFidelity, ...]
    controls: tuple[Control, ...]
    warnings: tuple[str, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    rules: tuple[Rule, ...] = ()
    timeline: tuple[TimelineMeasure, ...] = ()
    years: float | None = None
    uplift: Uplift | None = None
    natural: tuple[Natural, ...] = ()
    pictures: Pictures = Field(repr=False)

    def literal(self) -> list[Measure]:
        """The five targets of the field, overall and on the rare cohort."""
        return [measure for measure in self.measures if measure.literal]


def worst(verdicts: list[Verdict]) -> Verdict:
    """FAIL before UNDERPOWERED before PASS; nothing measured is UNDERPOWERED, never a pass for want of data."""
    for verdict in ("FAIL", "UNDERPOWERED"):
        if verdict in verdicts:
            return verdict
    return "PASS" if verdicts else "UNDERPOWERED"


def verdict_of(measures: Sequence[Measure]) -> Verdict:
    """The verdict of one dimension and cohort from those of its measures."""
    return worst([one.verdict for one in measures if one.verdict is not None])


def noticed(bound: float, half: float) -> float:
    """How far beyond ``bound`` an effect is noticed with 80 % probability, given half of its 95 % interval."""
    return bound + half * (1.96 + 0.842) / 1.96


def at_least(low: float, high: float, bound: float) -> Verdict:
    """PASS when the whole interval lies above ``bound``, FAIL when it lies below."""
    if low >= bound:
        return "PASS"
    return "FAIL" if high < bound else "UNDERPOWERED"


def at_most(low: float, high: float, bound: float) -> Verdict:
    """PASS when the whole interval lies below ``bound``, FAIL when it lies above."""
    if high <= bound:
        return "PASS"
    return "FAIL" if low > bound else "UNDERPOWERED"
