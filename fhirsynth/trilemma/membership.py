"""Membership inference: can somebody who sees the synthetic rows tell who was in the training data?

Three attackers, none of whom learns from a member or a non-member that they are asked about: distance to the nearest
synthetic row (Chen et al., GAN-Leaks, 2020, https://doi.org/10.1145/3372297.3417238); the ratio of the densities of
synthetic and of other real rows, by nearest neighbours (van Breugel et al. 2023, https://arxiv.org/abs/2302.12580);
and a classifier that has learned to tell synthetic from other real rows. They are combined by the largest of their
standardised AUCs, against its distribution when membership is relabelled (Westfall & Young 1993,
https://doi.org/10.2307/2532216). True positives at few false ones: Carlini et al. (2022),
https://doi.org/10.1109/SP46214.2022.9833649.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from fhirsynth.seeds import derive
from fhirsynth.trilemma.intervals import (
    PERMUTATIONS,
    Z95,
    Bools,
    Floats,
    Ints,
    bootstrap_curves,
    interval,
    relabelled,
    stratified_auc,
)
from fhirsynth.trilemma.learning import fit
from fhirsynth.trilemma.measure import Measure, Roc, Verdict
from fhirsynth.trilemma.utility import roc
from fhirsynth.trilemma.world import ALPHA, AUC_FAIL, AUC_PASS, POWER, World, nearest

NEIGHBOURS = 5
"""Neighbours that a density rests on: one is the distance attack again, many are blind to copies."""

ROUNDS = 60
"""Boosting rounds of the classifier attack."""

REFERENCE = 1 / 3
"""Share of the holdout that attackers may learn from."""

FEWEST = 50
"""Rows of it, at least; with fewer of them nothing is learned and the asked rows are missed more."""

RATES = (0.01, 0.10)
"""False positive rates at which true positives are shown, where ten non-members or more lie beyond."""

EXPOSED = 0.10
"""Share of real rows that are furthest from all others: the ones that stand out."""

ATTACKS = {
    "distance": "distance to the nearest synthetic row",
    "density": "ratio of densities",
    "classifier": "classifier",
}


@dataclass(frozen=True, slots=True)
class Attacked:
    """Scores of the real rows that are asked about, by attack (higher: more likely a member).

    ``asked`` marks these rows among all real ones; the other arrays have one entry for each of them. ``strata``: who
    is compared with whom.
    """

    asked: Bools
    member: Bools
    strata: Bools
    scores: Mapping[str, Floats]


def attack(world: World) -> Attacked:
    """Let every attacker score the real rows.

    Two of them need other real rows to compare with: a part of the holdout, which is then not asked about. So members
    and non-members are exchangeable when the generator has kept nothing, and relabelling them is an exact test. Where
    the holdout is too small to be divided, only the distance attack is made.
    """
    reference = _reference(world)
    asked = ~reference
    rows, others = world.real[asked], world.real[reference]
    distances, _ = nearest(rows, world.synthetic, min(NEIGHBOURS, len(world.synthetic)))
    scores = {"distance": -distances[:, 0]}
    if len(others) and len(world.synthetic) >= 2 * NEIGHBOURS:
        scores["density"] = _density(world, rows, others, distances[:, -1])
        scores["classifier"] = _classifier(world, rows, others)
    return Attacked(asked, world.member[asked], world.strata[asked], scores)


def _reference(world: World) -> Bools:
    """The part of the holdout that attackers may learn from, drawn within the cohort and outside of it."""
    chosen, generator = np.zeros(len(world.member), dtype=np.bool_), world.generator("reference")
    if len(world.holdout) < FEWEST / REFERENCE:
        return chosen
    for level in (False, True):
        rows = np.flatnonzero(~world.member & (world.strata == level))
        chosen[generator.permutation(rows)[: round(REFERENCE * len(rows))]] = True
    return chosen


def _density(world: World, asked: Floats, others: Floats, distances: Floats) -> Floats:
    """Log of the distance among other real rows over that among synthetic rows."""
    usual = nearest(asked, others, NEIGHBOURS)[0][:, -1]
    # A distance of zero is as good as one far below what real rows have between them.
    floor = max(float(np.median(world.loo)), 1e-6) * 1e-3
    ratio: Floats = np.log(usual + floor) - np.log(distances + floor)
    return ratio


def _classifier(world: World, asked: Floats, others: Floats) -> Floats:
    seen = np.vstack([world.synthetic, others])
    labels = np.arange(len(seen)) < len(world.synthetic)
    model = fit("boosting", seen, labels, derive(world.samples.seed, "attack", world.cohort), rounds=ROUNDS)
    scores: Floats = model.predict_proba(asked)[:, 1]
    return scores


@dataclass(frozen=True, slots=True)
class _Null:
    """AUC of every attack as it is, and when membership is relabelled within strata: arrays by attack (and draw)."""

    seen: Floats
    relabelled: Floats

    @property
    def spread(self) -> Floats:
        """Standard deviation by attack when membership means nothing."""
        spread: Floats = np.maximum(self.relabelled.std(axis=1), 1e-9)
        return spread

    @property
    def strongest(self) -> int:
        """The attack whose AUC is the most standard deviations above 0.5."""
        return int(((self.seen - 0.5) / self.spread).argmax())

    @property
    def p(self) -> float:
        """Of the largest standardised AUC, against the largest ones of relabelled membership."""
        seen = ((self.seen - 0.5) / self.spread).max()
        null = ((self.relabelled - 0.5) / self.spread[:, None]).max(axis=0)
        return (1 + int((null >= seen - 1e-12).sum())) / (len(null) + 1)


def _usable(attacked: Attacked) -> list[Ints]:
    """Rows of each stratum that has members and non-members."""
    groups = [np.flatnonzero(attacked.strata == level) for level in (False, True)]
    return [rows for rows in groups if 0 < attacked.member[rows].sum() < len(rows)]


def _calibrate(attacked: Attacked, groups: list[Ints], generator: np.random.Generator) -> _Null:
    seen, null, total = np.zeros(len(attacked.scores)), np.zeros((len(attacked.scores), PERMUTATIONS)), 0.0
    for rows in groups:
        ranks = np.vstack([rankdata(scores[rows]) for scores in attacked.scores.values()])
        member = attacked.member[rows]
        inside = int(member.sum())
        pairs = inside * (len(rows) - inside)
        offset = inside * (inside + 1) / 2
        seen += ranks @ member - offset
        first = 0
        for drawn in relabelled(member, generator, PERMUTATIONS):
            null[:, first : first + len(drawn)] += ranks @ drawn.T - offset
            first += len(drawn)
        total += pairs
    return _Null(seen / total, null / total)


def measure_membership(world: World) -> tuple[list[Measure], list[Roc]]:
    """The strongest attack with its calibrated verdict, each attack, true positives at few false ones, the exposed."""
    attacked = attack(world)
    groups = _usable(attacked)
    if not groups:
        return [_unmeasured(world)], []
    null = _calibrate(attacked, groups, world.generator("membership"))
    names = list(attacked.scores)
    ends = [_interval(attacked, groups, name, world.generator(f"bootstrap {name}")) for name in names]
    best = names[null.strongest]
    lead = _lead(world, attacked, null, names, ends)
    single = [
        world.measure(
            f"attack_auc_{name}",
            f"Membership attack by {ATTACKS[name]}: AUC",
            float(null.seen[index]),
            len(attacked.member),
            low=ends[index][0],
            high=ends[index][1],
            target="≈ 0.50",
            met=ends[index][0] <= 0.5 <= ends[index][1],
            note="One of the attacks that are combined above.",
            baseline=0.5,
            detectable=min(1.0, float(0.5 + POWER * null.spread[index])),
        )
        for index, name in enumerate(names)
    ]
    curves = _curves(attacked, world.generator("band"))
    rates = [_true_positives(world, attacked, best, rate) for rate in RATES]
    return [lead, *single, *rates, *_exposed(world, attacked)], curves


def _lead(world: World, attacked: Attacked, null: _Null, names: list[str], ends: list[tuple[float, float]]) -> Measure:
    best = null.strongest
    value, p = float(null.seen[best]), null.p
    # An AUC that happens to lie below 0.50 does not make a small sample a large one.
    highest = max(max(end[1], 0.5 + Z95 * float(s)) for end, s in zip(ends, null.spread, strict=True))
    verdict: Verdict = "PASS" if highest < AUC_PASS else "UNDERPOWERED"
    return world.measure(
        "membership_auc",
        "Membership-inference AUC (strongest of several attacks)",
        value,
        len(attacked.member),
        low=ends[best][0],
        high=ends[best][1],
        target="≈ 0.50",
        met=ends[best][0] <= 0.5 <= ends[best][1],
        note=f"{attacked.member.sum()} members (train) against {(~attacked.member).sum()} real non-members (holdout"
        f"{_known(attacked)}). {_strongest(names, names[best])} Membership is relabelled within the cohort and "
        "outside of it separately, ties count one half. Values below 0.50 are no leak.",
        literal=True,
        verdict="FAIL" if p < ALPHA and value >= AUC_FAIL else verdict,
        baseline=0.5,
        p=p,
        detectable=min(1.0, float(0.5 + POWER * null.spread[best])),
    )


def _known(attacked: Attacked) -> str:
    others = int((~attacked.asked).sum())
    return f"; {others} others are what attackers may learn from" if others else ""


def _strongest(names: list[str], best: str) -> str:
    if len(names) == 1:
        return f"The holdout is too small to divide, so there is one attack: {ATTACKS[best]}."
    return (
        f"Strongest: {ATTACKS[best]}. The p-value is that of the largest of {len(names)} standardised AUCs when "
        "membership means nothing."
    )


def _unmeasured(world: World) -> Measure:
    return world.measure(
        "membership_auc",
        "Membership-inference AUC (strongest of several attacks)",
        None,
        0,
        target="≈ 0.50",
        note="Training and holdout rows share no class, so members cannot be compared with non-members.",
        literal=True,
        verdict="UNDERPOWERED",
    )


def _interval(attacked: Attacked, groups: list[Ints], name: str, generator: np.random.Generator) -> tuple[float, float]:
    """Bootstrap interval of the AUC within strata, weighted by pairs."""
    total, draws = 0.0, np.zeros(1)
    for rows in groups:
        member = attacked.member[rows]
        pairs = float(member.sum() * (~member).sum())
        draws = draws + pairs * bootstrap_curves(member, [attacked.scores[name][rows]], generator)[0][0]
        total += pairs
    return interval(draws / total)


# ---------------------------------------------------------------- few false positives


def _true_positives(world: World, attacked: Attacked, name: str, rate: float) -> Measure:
    scores, member = attacked.scores[name], attacked.member
    others = int((~member).sum())
    title = f"Membership attack: true positives at {rate:.0%} false ones"
    key = f"membership_tpr_{rate * 100:.0f}"
    if others * rate < 10:
        note = f"{others} non-members cannot resolve {rate:.0%} false positives; {round(10 / rate):,} could."
        return world.measure(key, title, None, others, target=f"≈ {rate:.2f}", note=note)
    value = float(_tpr(member, scores, rate))
    generator = world.generator(f"tpr {rate}")
    inside, outside = scores[member], scores[~member]
    draws = [
        _tpr(member, np.concatenate([generator.choice(side, len(side)) for side in (inside, outside)]), rate)
        for _ in range(200)
    ]
    low, high = interval(np.array(draws))
    return world.measure(
        key,
        title,
        value,
        len(member),
        low=low,
        high=high,
        target=f"≈ {rate:.2f}",
        met=low <= rate <= high,
        note=f"By the strongest attack ({ATTACKS[name]}); by chance {rate:.2f}. It shows the few who can be told for "
        "certain, which an AUC averages away.",
        baseline=rate,
    )


def _tpr(member: Bools, scores: Floats, rate: float) -> float:
    """True positives at a rate of false ones, ties shared out evenly; members come first in both arrays."""
    codes = np.unique(-scores, return_inverse=True)[1]
    size = int(codes.max()) + 1
    sides = [np.bincount(codes[part], minlength=size).cumsum() / part.sum() for part in (~member, member)]
    return float(np.interp(rate, np.concatenate([[0.0], sides[0]]), np.concatenate([[0.0], sides[1]])))


def _curves(attacked: Attacked, generator: np.random.Generator) -> list[Roc]:
    """One curve an attack, each with the band of curves that shuffled membership gives."""
    made = []
    for name, scores in attacked.scores.items():
        curve = roc(f"Attack by {ATTACKS[name]}", "membership", attacked.member, scores)
        drawn = [roc("", "membership", generator.permutation(attacked.member), scores).tpr for _ in range(200)]
        low, high = np.quantile(np.array(drawn), [0.025, 0.975], axis=0)
        band = {"low": tuple(np.round(low, 4).tolist()), "high": tuple(np.round(high, 4).tolist())}
        made.append(curve.model_copy(update=band))
    return made


# ---------------------------------------------------------------- those who stand out


def _exposed(world: World, attacked: Attacked) -> list[Measure]:
    """The distance attack on the tenth of real rows that is furthest from every other real row."""
    alone = nearest(world.real)[0][attacked.asked, 0]
    rows = alone >= np.quantile(alone, 1 - EXPOSED)
    member, scores = attacked.member[rows], attacked.scores["distance"][rows]
    if min(member.sum(), (~member).sum()) < 5:
        return []
    found = stratified_auc(member, scores, attacked.strata[rows], world.generator("exposed"))
    if found is None:
        return []
    return [
        world.measure(
            "exposed_auc",
            "Membership-inference AUC among the most exposed records (the tenth that is furthest from all others)",
            found.value,
            len(member),
            low=found.low,
            high=found.high,
            target="≈ 0.50",
            met=found.low <= 0.5 <= found.high,
            note=f"{int(member.sum())} members and {int((~member).sum())} non-members who stand out, by their distance "
            "to the nearest synthetic row. Shown apart, because an average over all can hide them.",
            verdict="FAIL" if found.p < ALPHA and found.value >= AUC_FAIL else None,
            baseline=0.5,
            p=found.p,
            detectable=min(1.0, 0.5 + POWER * found.spread),
        )
    ]
