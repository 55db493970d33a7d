"""Results of single draws → what the page says: means over draws, the worst of their bounds, and counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from benchmarks.rare.plan import UPLIFT, Plan, Trial
from benchmarks.rare.variants import FRESH, Variant

Results = Mapping[str, Mapping[str, Any]]
MODES: Final = ("all", "cases")
"""Everybody synthetic; or synthetic cases beside the real others, which is what ``fhirsynth augment`` makes."""
USUAL: Final = {"weights": "class weights", "oversampling": "real cases repeated", "smote": "SMOTE-NC"}
REFERENCES: Final = {
    "none": "real cases alone",
    "oracle": "further real cases",
    "permuted": "control: labels permuted",
}
RULE: Final = (4.0, 8.0)
"""Synthetic cases to a real one: where the textbook's advice ends, and the furthest that was tried."""


@dataclass(frozen=True, slots=True)
class Taught:
    """Trained on synthetic, tested on real.

    Parameters
    ----------
    mode
        One of :data:`MODES`.
    made, draws
        In how many draws the generator made what was asked for, and how many there are.
    auroc, ap, auroc_real, ap_real, ratio
        Means over draws; ``ratio`` is that of the AUROC to that of real rows. None where nothing was made.
    low
        The lowest lower bound of the ratio (95 % interval) in any draw.
    """

    condition: str
    n: int
    variant: str
    mode: str
    made: int
    draws: int
    auroc: float | None
    ap: float | None
    auroc_real: float | None
    ap_real: float | None
    ratio: float | None
    low: float | None


@dataclass(frozen=True, slots=True)
class Attacked:
    """Membership inference by somebody who sees the rows: mean AUC, its highest upper bound, verdicts by draw."""

    condition: str
    n: int
    variant: str
    cohort: str
    auc: float | None
    high: float | None
    copied: float | None
    verdicts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Helped:
    """What one arm did for a classifier with few cases.

    Parameters
    ----------
    ratios
        Added cases to a real one, as chosen inside train, by draw.
    ap, auroc, gain, auroc_gain
        Means over draws; gains are differences to real cases alone.
    lowest, highest
        Of the 95 % intervals of the gain in average precision.
    better, worse, draws
        In how many draws that interval lies above and below 0, and how many there are.
    closed
        ``gain`` as a share of that of further real cases, where these help in every draw.
    """

    condition: str
    n: int
    arm: str
    ratios: tuple[float, ...]
    ap: float
    auroc: float
    gain: float | None
    auroc_gain: float | None
    lowest: float | None
    highest: float | None
    better: int
    worse: int
    draws: int
    closed: float | None

    @property
    def helps(self) -> bool:
        """In every draw, beyond chance."""
        return self.better == self.draws

    @property
    def harms(self) -> bool:
        """In every draw, beyond chance."""
        return self.worse == self.draws


@dataclass(frozen=True, slots=True)
class Mixing:
    """Average precision, mean over draws, by the number of added cases to each real one."""

    condition: str
    n: int
    arm: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Beyond:
    """What the ratio does to an arm, over all trials.

    Parameters
    ----------
    chosen
        How often each ratio was chosen inside train.
    best
        The ratio at which the holdout's average precision is highest, mean over trials; in hindsight.
    change, rises, trials
        From 4 to 8: mean change of average precision, in how many trials it rises, and in how many both were tried.
    """

    arm: str
    chosen: tuple[tuple[float, int], ...]
    best: float
    change: float | None
    rises: int
    trials: int


@dataclass(frozen=True, slots=True)
class Change:
    """Of average precision against our CTGAN: the mean over trials, and in how many it is lower."""

    mode: str
    mean: float
    lower: int
    trials: int


@dataclass(frozen=True, slots=True)
class Switch:
    """One variant of CTGAN beside ours, over the trials in which both were made."""

    variant: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """All that the page rests on; ``titles``: words for generators and arms; ``left_out``: what was not tried."""

    plan: Plan
    titles: Mapping[str, str]
    left_out: tuple[str, ...]
    taught: tuple[Taught, ...]
    attacked: tuple[Attacked, ...]
    helped: tuple[Helped, ...]
    mixing: tuple[Mixing, ...]
    beyond: tuple[Beyond, ...]
    switches: tuple[Switch, ...]

    def values(self) -> dict[str, Any]:
        """As JSON values, rounded to four digits."""
        rounded: dict[str, Any] = _rounded(asdict(self))
        return rounded


def summarise(
    results: Results, plan: Plan, generators: Sequence[Variant], ablation: Sequence[Variant], left_out: Sequence[str]
) -> Summary:
    """Put the results of every job of a plan together; the order is that of the plan and of the variants."""
    names = [*(one.name for one in generators), FRESH]
    switched = [one.name for one in ablation]
    titles = {one.name: one.title for one in (*generators, *ablation)} | {FRESH: "other real patients"}
    helped = tuple(_helped(results, plan))
    return Summary(
        plan=plan,
        titles={**titles, **USUAL, **REFERENCES},
        left_out=tuple(left_out),
        taught=tuple(
            _taught(found, *key, mode) for key, found in _grouped(results, plan, [*names, *switched]) for mode in MODES
        ),
        attacked=tuple(one for key, found in _grouped(results, plan, names) for one in _attacked(found, *key)),
        helped=helped,
        mixing=tuple(_mixing(results, plan)),
        beyond=tuple(_beyond(results, plan)),
        switches=tuple(_switch(results, plan, name) for name in ("ctgan+prior", *switched, "ctgan-library")),
    )


def _grouped(
    results: Results, plan: Plan, names: Sequence[str]
) -> Iterator[tuple[tuple[str, int, str], list[Mapping[str, Any]]]]:
    """Condition, size and name, with the results of its draws."""
    for condition in plan.conditions:
        for n in plan.sizes:
            for name in names:
                keys = [f"{condition}/{n}/{number}/{name}" for number in range(plan.draws)]
                found = [results[key] for key in keys if key in results]
                if found:
                    yield (condition, n, name), found


def _taught(found: Sequence[Mapping[str, Any]], condition: str, n: int, variant: str, mode: str) -> Taught:
    figures = [one[mode] for one in found if "ratio" in one.get(mode, {})]
    means = {
        name: average([one[name] for one in figures]) for name in ("auroc", "ap", "auroc_real", "ap_real", "ratio")
    }
    low = min((one["low"] for one in figures), default=None)
    return Taught(condition, n, variant, mode, len(figures), len(found), low=low, **means)


def _attacked(found: Sequence[Mapping[str, Any]], condition: str, n: int, variant: str) -> Iterator[Attacked]:
    for cohort in ("overall", "rare"):
        figures = [one["privacy"][cohort] for one in found if "privacy" in one]
        known = [one for one in figures if one["auc"] is not None]
        yield Attacked(
            condition,
            n,
            variant,
            cohort,
            average([one["auc"] for one in known]),
            max((one["high"] for one in known), default=None),
            average([one["copied"] for one in known if one["copied"] is not None]),
            tuple(one["verdict"] for one in figures),
        )


def _helped(results: Results, plan: Plan) -> Iterator[Helped]:
    for (condition, n, _), found in _grouped(results, plan, [UPLIFT]):
        ceiling = _arm_of(found, "oracle")
        grants = len(ceiling) == len(found) and all(one["gain"][1] > 0 for one in ceiling)
        whole = average([one["gain"][0] for one in ceiling])
        for arm in _arms(found):
            figures = _arm_of(found, arm)
            alone = [one["arms"]["none"] for one in found if arm in one["arms"]]
            gains = [one["gain"] for one in figures if one["gain"]]
            gain = average([one[0] for one in gains])
            yield Helped(
                condition,
                n,
                arm,
                tuple(one["ratio"] for one in figures),
                float(np.mean([one["ap"][0] for one in figures])),
                float(np.mean([one["auroc"][0] for one in figures])),
                gain,
                average([a["auroc"][0] - b["auroc"][0] for a, b in zip(figures, alone, strict=True)])
                if gains
                else None,
                min((one[1] for one in gains), default=None),
                max((one[2] for one in gains), default=None),
                sum(one[1] > 0 for one in gains),
                sum(one[2] < 0 for one in gains),
                len(found),
                gain / whole if grants and gain is not None and whole else None,
            )


def _mixing(results: Results, plan: Plan) -> Iterator[Mixing]:
    for (condition, n, _), found in _grouped(results, plan, [UPLIFT]):
        for arm in dict.fromkeys(arm for one in found for arm in one["curve"]):
            curves = [one["curve"][arm] for one in found if arm in one["curve"]]
            ratios = [point[0] for point in min(curves, key=len)]
            points = tuple(
                (ratio, float(np.mean([curve[place][1] for curve in curves]))) for place, ratio in enumerate(ratios)
            )
            yield Mixing(condition, n, arm, points)


def _beyond(results: Results, plan: Plan) -> Iterator[Beyond]:
    found = [one for _, several in _grouped(results, plan, [UPLIFT]) for one in several]
    for arm in [name for name in _arms(found) if any(name in one["curve"] for one in found)]:
        curves = [{point[0]: point[1] for point in one["curve"][arm]} for one in found if arm in one["curve"]]
        ratios = [one["ratio"] for one in _arm_of(found, arm)]
        chosen = tuple((ratio, ratios.count(ratio)) for ratio in sorted(set(ratios)))
        whole = [curve for curve in curves if all(ratio in curve for ratio in RULE)]
        changes = [curve[RULE[1]] - curve[RULE[0]] for curve in whole]
        common = sorted(set.intersection(*(set(curve) for curve in curves)) - {0.0})
        best = max(common, key=lambda ratio: float(np.mean([curve[ratio] for curve in curves])))
        yield Beyond(arm, chosen, best, average(changes), sum(one > 0 for one in changes), len(changes))


def _switch(results: Results, plan: Plan, name: str) -> Switch:
    pairs = [
        (results[f"{one.condition}/{one.n}/{one.draw}/{name}"], results[f"{one.condition}/{one.n}/{one.draw}/ctgan"])
        for one in ablated(plan)
        if all(f"{one.condition}/{one.n}/{one.draw}/{each}" in results for each in (name, "ctgan"))
    ]
    usable = [pair for pair in pairs if all("ap" in one.get(mode, {}) for one in pair for mode in MODES)]
    differences = {mode: [a[mode]["ap"] - b[mode]["ap"] for a, b in usable] for mode in MODES}
    changes = (
        Change(mode, float(np.mean(ones)), sum(one < 0 for one in ones), len(ones))
        for mode, ones in differences.items()
        if ones
    )
    return Switch(name, tuple(changes))


def ablated(plan: Plan) -> list[Trial]:
    """The trials in which the switches are tried."""
    return [one for one in plan.trials() if one.n in plan.ablated]


def _arms(found: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(arm for one in found for arm in one["arms"]))


def _arm_of(found: Sequence[Mapping[str, Any]], arm: str) -> list[Mapping[str, Any]]:
    return [one["arms"][arm] for one in found if arm in one["arms"]]


def average(values: Sequence[float]) -> float | None:
    """The mean; None of nothing."""
    return float(np.mean(values)) if values else None


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return round(value, 4) if isinstance(value, float) else value
