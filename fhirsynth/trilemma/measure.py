"""What a report holds: frozen values. Measures compute them, rendering only draws them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Dimension = Literal["utility", "privacy", "fidelity"]
Cohort = Literal["overall", "rare"]
Verdict = Literal["PASS", "FAIL", "UNDERPOWERED"]

DIMENSIONS: tuple[Dimension, ...] = ("utility", "privacy", "fidelity")


class Frozen(BaseModel):
    """A value of the report: immutable, and strict about its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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
        What no effect looks like, the p-value against it, and the smallest value that would have been noticed.
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
    """

    name: str
    title: str
    cohort: Cohort
    test: Literal["Kolmogorov-Smirnov", "chi-square"]
    distance: float
    band: float
    p: float
    p_holm: float


class Marginal(Frozen):
    """Shares by bin or value, real beside synthetic; end bins hold everything beyond them."""

    name: str
    title: str
    discrete: bool
    labels: tuple[str, ...]
    real: tuple[float, ...]
    synthetic: tuple[float, ...]
    missing_real: float
    missing_synthetic: float


class Association(Frozen):
    """Strength of association between columns, 0 to 1, real and synthetic."""

    labels: tuple[str, ...]
    real: tuple[tuple[float, ...], ...]
    synthetic: tuple[tuple[float, ...], ...]


class Roc(Frozen):
    """One ROC curve on a fixed grid of false positive rates."""

    name: str
    group: Literal["utility", "membership"]
    fpr: tuple[float, ...]
    tpr: tuple[float, ...]
    auc: float


class Distances(Frozen):
    """Nearest-neighbour distances in bins (never one by one): shares of each series, and the 5th percentile."""

    edges: tuple[float, ...]
    series: Mapping[str, tuple[float, ...]]
    threshold: float


class Pictures(Frozen):
    """Aggregates to draw; ``cohort`` says whom marginals, associations and distances are about."""

    cohort: Cohort
    marginals: tuple[Marginal, ...] = ()
    association: Association | None = None
    rocs: tuple[Roc, ...] = ()
    distances: Distances | None = None


class Finding(Frozen):
    """The verdict on one dimension for one cohort, with one plain sentence."""

    dimension: Dimension
    cohort: Cohort
    verdict: Verdict
    sentence: str


class Control(Frozen):
    """A data set of which the right answer is known, judged like the synthetic one."""

    name: str
    must: str
    got: Mapping[str, Verdict]
    ok: bool


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
    """Everything that was found; :func:`fhirsynth.trilemma.report.write_report` puts it on disk."""

    schema_version: int = 1
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
