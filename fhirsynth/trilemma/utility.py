"""Utility: does a classifier that learned from synthetic patients find real ones?

Train on synthetic, test on real (TSTR): Esteban, Hyland & Rätsch (2017), https://arxiv.org/abs/1706.02633.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logit

from fhirsynth.seeds import rng
from fhirsynth.trilemma.encode import flags
from fhirsynth.trilemma.intervals import Z95, Bools, Floats, auc, average_precision, interval
from fhirsynth.trilemma.learning import MODELS, Learned, learn
from fhirsynth.trilemma.measure import Cohort, Measure, Roc, Verdict, at_least, noticed, verdict_of
from fhirsynth.trilemma.samples import Samples
from fhirsynth.trilemma.weighted import redraw, slope

MIN_POSITIVES = 10
"""Holdout patients of each class; below it the interval of an AUC spans everything of interest."""

KEPT = 0.80
"""Share of the real model's signal that must survive: at a real AUC of .95 it is the same as a ratio of .90."""

SIGNAL = 0.60
"""Lower bound of the real model's AUC below which there is no signal that could be kept."""

SLOPES = 200
"""Bootstrap draws of the calibration slope."""

GRID = np.linspace(0, 1, 51)


@dataclass(frozen=True, slots=True)
class Utility:
    """Measures, curves to draw, a sentence, and the scores that they rest on."""

    measures: list[Measure]
    rocs: list[Roc]
    verdict: Verdict
    sentence: str
    learned: Learned | None = None


def measure_utility(samples: Samples, cohort: Cohort, *, overall: Learned | None = None) -> Utility:
    """TSTR against TRTR on the real holdout.

    Where the target is the condition itself, one class is all there is inside the rare cohort; utility for it is then
    how well its patients are found (average precision) instead of the AUC.

    Parameters
    ----------
    samples, cohort
        What is compared, and whom it is about.
    overall
        What was learned for everybody; where the cohort asks for the same models, they are not learned again.
    """
    if samples.target is None:
        return _nothing(cohort, 0, "No target column was given (--target), so nothing can be predicted.")
    finding = cohort == "rare" and samples.target == samples.cohort
    if cohort == "rare" and not finding:
        samples = samples.rare()
    problem = _problem(samples)
    if problem:
        return _nothing(cohort, _fewest(samples), problem)
    learned = overall if finding and overall is not None else learn(samples)
    return _judge(samples, learned, cohort, "average precision" if finding else "AUC")


def measure_labels(samples: Samples, real: Mapping[str, Floats] | None) -> Utility:
    """Utility of everybody for other synthetic rows, where the models that learned from real rows are known."""
    problem = _problem(samples)
    if problem:
        return _nothing("overall", _fewest(samples), problem)
    return _judge(samples, learn(samples, real), "overall", "AUC")


def _fewest(samples: Samples) -> int:
    labels = flags(samples.holdout[str(samples.target)])
    return int(min(labels.sum(), (~labels).sum()))


def _problem(samples: Samples) -> str:
    target = str(samples.target)
    if _fewest(samples) < MIN_POSITIVES:
        labels = flags(samples.holdout[target])
        return (
            f"The holdout has {labels.sum()} patients with '{target}' and {(~labels).sum()} without; "
            f"{MIN_POSITIVES} of each are needed."
        )
    for name, frame in (("training", samples.train), ("synthetic", samples.completed(prevalence=False))):
        labels = flags(frame[target])
        if min(labels.sum(), (~labels).sum()) < 2:
            return f"The {name} rows hold only one value of '{target}', so a classifier cannot learn it from them."
    return ""


def _nothing(cohort: Cohort, n: int, reason: str) -> Utility:
    measure = Measure(
        name="auc_ratio",
        title="AUC trained on synthetic / AUC trained on real",
        dimension="utility",
        cohort=cohort,
        value=None,
        n=n,
        target="> 0.90",
        note=reason,
        literal=True,
        verdict="UNDERPOWERED",
    )
    return Utility([measure], [], "UNDERPOWERED", reason)


def _judge(samples: Samples, learned: Learned, cohort: Cohort, metric: str) -> Utility:
    is_area = metric == "AUC"
    draws = learned.areas if is_area else learned.precisions
    spread = learned.areas_spread if is_area else learned.precisions_spread
    noise = rng(samples.seed, "utility", "rows", cohort).normal(0, 1, draws.shape)
    draws = draws + spread[:, None] * noise
    score = auc if is_area else average_precision
    points = [score(learned.labels, one) for one in learned.order]
    chance = 0.5 if is_area else float(learned.labels.mean())
    best = max(range(len(MODELS)), key=lambda index: points[2 * index + 1])
    measures = []
    for index, model in enumerate(MODELS):
        rows = slice(2 * index, 2 * index + 2)
        pair = _Pair(model, cohort, metric, chance, points[rows], draws[rows], len(learned.labels))
        measures += [pair.ratio(samples, leads=index == best), pair.kept(leads=index == best)]
        if is_area:
            measures += _shown(samples, learned, model, index, cohort)
    rocs = _rocs(learned) if cohort == "overall" else []
    sentence = _sentence(measures, points[2 * best : 2 * best + 2], metric, list(MODELS)[best])
    return Utility(measures, rocs, verdict_of(measures), sentence, learned)


def _shown(samples: Samples, learned: Learned, model: str, index: int, cohort: Cohort) -> list[Measure]:
    """Average precision, Brier score and calibration slope: shown beside those of the real model, deciding nothing."""
    labels, made, real = learned.labels, learned.synthetic[model], learned.real[model]
    generator = rng(samples.seed, "utility", "slope", model, cohort)
    prevalence = float(labels.mean())
    precision = [average_precision(labels, one) for one in (made, real)]
    squares = [(one - labels) ** 2 for one in (made, real)]
    brier, error = float(squares[0].mean()), Z95 * float(squares[0].std()) / np.sqrt(len(labels))
    steep, steep_real = (_slope(labels, one, generator) for one in (made, real))
    note = f"{_how(samples, 'AUC')} By always saying the prevalence: {prevalence * (1 - prevalence):.3f}."
    rows = (
        (
            "average_precision",
            "Average precision, trained on synthetic",
            (precision[0], *interval(learned.precisions[2 * index])),
            "as trained on real",
            f"Trained on real {precision[1]:.3f}; by chance {prevalence:.3f}.",
        ),
        (
            "brier",
            "Brier score, trained on synthetic (0 is best)",
            (brier, brier - error, brier + error),
            "as trained on real",
            f"Trained on real {squares[1].mean():.3f}. {note}",
        ),
        (
            "calibration_slope",
            "Calibration slope, trained on synthetic",
            steep,
            "≈ 1",
            f"Trained on real {steep_real[0]:.2f}. Below 1 the model is too sure of itself.",
        ),
    )
    return [
        Measure(
            name=f"{name}_{model}",
            title=f"{title}, {MODELS[model].lower()}",
            dimension="utility",
            cohort=cohort,
            value=value[0],
            low=value[1],
            high=value[2],
            n=len(labels),
            target=target,
            note=words,
        )
        for name, title, value, target, words in rows
    ]


def _slope(labels: Bools, scores: Floats, generator: np.random.Generator) -> tuple[float, float, float]:
    """Calibration slope of probabilities and its 95 % bootstrap interval."""
    logits = np.nan_to_num(logit(scores))
    once = np.ones((1, len(labels)))
    drawn = [slope(labels, logits, block) for _, block in redraw(labels, once[0], SLOPES, generator)]
    return float(slope(labels, logits, once)[0]), *interval(np.concatenate(drawn))


@dataclass(frozen=True, slots=True)
class _Pair:
    model: str
    cohort: Cohort
    metric: str
    chance: float
    points: list[float]
    draws: Floats
    n: int

    def ratio(self, samples: Samples, *, leads: bool) -> Measure:
        made, real = self.points
        low, high = interval(self.draws[0] / np.maximum(self.draws[1], 1e-9))
        return self._measure(
            "auc_ratio" if self.metric == "AUC" else "average_precision_ratio",
            f"{self.metric[0].upper()}{self.metric[1:]} trained on synthetic / {self.metric} trained on real",
            made / real,
            (low, high),
            target="> 0.90",
            met=made / real > 0.90,
            note=f"{made:.3f} / {real:.3f} on {self.n} holdout patients. {_how(samples, self.metric)}",
            literal=leads,
        )

    def kept(self, *, leads: bool) -> Measure:
        made, real = (point - self.chance for point in self.points)
        floor = SIGNAL if self.metric == "AUC" else self.chance + 0.1
        real_low = interval(self.draws[1])[0]
        name, title = "signal_kept", f"Share of the real model's signal kept ({self.metric} above chance)"
        if real_low < floor:
            return self._measure(
                name,
                title,
                None,
                None,
                target=f"lower bound ≥ {KEPT:.2f}",
                note=f"The model trained on real patients reaches {self.points[1]:.3f} (lower bound {real_low:.3f}); "
                f"below {floor:.2f} there is no signal that could be kept.",
                verdict="UNDERPOWERED" if leads else None,
            )
        low, high = interval((self.draws[0] - self.chance) / np.maximum(self.draws[1] - self.chance, 1e-9))
        return self._measure(
            name,
            title,
            made / real,
            (low, high),
            target=f"lower bound ≥ {KEPT:.2f}",
            met=low >= KEPT,
            note=f"(synthetic − {self.chance:.2f}) / (real − {self.chance:.2f}); 1 is as good as real patients.",
            verdict=at_least(low, high, KEPT) if leads else None,
            baseline=1.0,
            detectable=max(noticed(KEPT, made / real - high), 0.0),
        )

    def _measure(
        self, name: str, title: str, value: float | None, ends: tuple[float, float] | None, **more: Any
    ) -> Measure:
        low, high = ends if ends else (None, None)
        return Measure(
            name=f"{name}_{self.model}",
            title=f"{title}, {MODELS[self.model].lower()}",
            dimension="utility",
            cohort=self.cohort,
            value=value,
            low=low,
            high=high,
            n=self.n,
            **more,
        )


def _how(samples: Samples, metric: str) -> str:
    how = (
        "Trained on synthetic rows alone."
        if samples.missing_class is None
        else "Trained on synthetic rows completed with the real training patients of the class that was not made."
    )
    if metric != "AUC":
        how += (
            " Inside the rare cohort everybody has the condition; how well its patients are found stands for the AUC."
        )
    return how


def _rocs(scores: Learned) -> list[Roc]:
    titles = {"synthetic": "trained on synthetic", "real": "trained on real"}
    return [
        roc(f"{MODELS[model]}, {title}", "utility", scores.labels, getattr(scores, arm)[model])
        for model in MODELS
        for arm, title in titles.items()
    ]


def roc(name: str, group: Any, labels: Bools, scores: Floats) -> Roc:
    """An ROC curve on a fixed grid, so that no single patient can be read off it."""
    codes = np.unique(-scores, return_inverse=True)[1]
    size = int(codes.max()) + 1
    found = [np.bincount(part, minlength=size).cumsum() / len(part) for part in (codes[~labels], codes[labels])]
    tpr = np.interp(GRID, np.concatenate([[0.0], found[0]]), np.concatenate([[0.0], found[1]]))
    return Roc(
        name=name,
        group=group,
        fpr=tuple(np.round(GRID, 3).tolist()),
        tpr=tuple(np.round(tpr, 4).tolist()),
        auc=auc(labels, scores),
    )


def _sentence(measures: list[Measure], points: list[float], metric: str, model: str) -> str:
    kept = next(one for one in measures if one.name == f"signal_kept_{model}")
    if kept.value is None or kept.low is None:
        return kept.note
    words = {
        "PASS": "Synthetic patients teach nearly as much as real ones",
        "FAIL": "Synthetic patients teach clearly less than real ones",
        "UNDERPOWERED": "The holdout is too small to say whether synthetic patients teach as much as real ones",
    }
    tail = ""
    if kept.verdict == "UNDERPOWERED" and kept.detectable is not None:
        tail = f" Only a share below {kept.detectable:.0%} would have been noticed for certain."
    return (
        f"{words[str(kept.verdict)]}: {metric} {points[0]:.2f} against {points[1]:.2f} on real holdout patients, "
        f"{kept.value:.0%} of the signal (95 % interval {kept.low:.0%} to {kept.high:.0%}; needed: {KEPT:.0%}).{tail}"
    )
