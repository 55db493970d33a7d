"""Attribute inference: can a hidden value of a training patient be told better than that of anybody else?

The attacker knows every other column of a real patient and the synthetic rows, and says the value of the nearest
synthetic row. That the guess is better than the commonest value is the population's pattern; the leak is what works
better on members than on non-members (Giomi et al. 2023, https://doi.org/10.56553/popets-2023-0055).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fhirsynth.trilemma.encode import Encoder, numbers
from fhirsynth.trilemma.intervals import PERMUTATIONS, Z95, Bools, Floats, relabelled
from fhirsynth.trilemma.measure import Attribute, Measure
from fhirsynth.trilemma.samples import Samples
from fhirsynth.trilemma.world import LEAK_PASS, POWER, World, leak_verdict, nearest

Values = NDArray[Any]

MOST = 4
"""Columns that are guessed when nobody names them."""

VARIES = 0.95
"""Share of the commonest value above which a column is not worth guessing."""


def default_sensitive(samples: Samples) -> tuple[str, ...]:
    """Flags and categories worth guessing: at least 5 % of the training rows differ from the commonest value."""
    result = []
    for feature in samples.schema.of_kind("flag", "category"):
        shares = samples.train[feature.name].value_counts(normalize=True)
        if feature.name not in {samples.target, samples.cohort} and len(shares) and shares.iloc[0] <= VARIES:
            result.append(feature.name)
    return tuple(result[:MOST])


def measure_attributes(world: World, sensitive: Sequence[str]) -> tuple[list[Measure], list[Attribute]]:
    """The literal accuracy and the calibrated leak over all sensitive columns, and each column beside its baselines."""
    guessed = {name: one for name in sensitive for one in [_guess(world, name)] if one is not None}
    if not guessed:
        note = "No sensitive column was given and none varies enough to be guessed."
        if sensitive:
            note = f"Of {', '.join(sensitive)} no value is known on both sides, or none in the synthetic rows."
        title = "Attribute-inference accuracy"
        nothing = world.measure("attribute_accuracy", title, None, 0, target="≈ baseline", note=note, literal=True)
        return [nothing], []
    right = np.vstack([one.right for one in guessed.values()])
    majority = float(np.mean([one.majority for one in guessed.values()]))
    return _leak(world, right, majority, list(guessed)), [_row(world, *pair) for pair in guessed.items()]


@dataclass(frozen=True, slots=True)
class _Guess:
    """Whether each real row was guessed right (NaN: its value is unknown), and what guessing without it reaches."""

    right: Floats
    random: float
    majority: float
    real_trained: float | None


def _guess(world: World, name: str) -> _Guess | None:
    train, holdout, made = _secret(world, name)
    real = np.concatenate([train, holdout])
    usable, known = ~pd.isna(made), ~pd.isna(real)
    if not usable.any() or not known[world.member].any() or not known[~world.member].any():
        return None
    samples = world.samples
    both = pd.concat([samples.train, samples.holdout], ignore_index=True)
    encoder = Encoder.fit(both, samples.schema, skip={name})
    asked = encoder.transform(both)
    rows = nearest(asked, encoder.transform(samples.synthetic)[usable])[1][:, 0]
    right = np.where(known, (made[usable][rows] == real).astype(np.float64), np.nan)
    shares = pd.Series(train[known[world.member]]).value_counts(normalize=True, sort=False).sort_index()
    outside = holdout[known[~world.member]]
    return _Guess(
        right=right,
        random=float(sum(share * np.mean(outside == value) for value, share in shares.items())),
        majority=float(np.mean(outside == shares.idxmax())),
        real_trained=_real_trained(asked[~world.member], holdout),
    )


def _real_trained(asked: Floats, values: Values) -> float | None:
    """The same attacker on non-members, with the other non-members in the place of synthetic rows."""
    known = ~pd.isna(values)
    if known.sum() < 2:
        return None
    rows = nearest(asked[known])[1][:, 0]
    return float(np.mean(values[known][rows] == values[known]))


def _secret(world: World, name: str) -> list[Values]:
    """What the attacker guesses: the value, or for numbers whether it is above the median; None where unknown."""
    frames = (world.samples.train, world.samples.holdout, world.samples.synthetic)
    if world.samples.schema[name].kind in ("flag", "category"):
        return [np.array([None if pd.isna(v) else str(v) for v in frame[name]], dtype=object) for frame in frames]
    values = [numbers(frame[name]) for frame in frames]
    known = np.concatenate(values[:2])
    middle = float(np.median(known[~np.isnan(known)])) if not np.isnan(known).all() else 0.0
    return [np.array([None if np.isnan(v) else str(v > middle) for v in one], dtype=object) for one in values]


def _row(world: World, name: str, guess: _Guess) -> Attribute:
    feature = world.samples.schema[name]
    known = ~np.isnan(guess.right)
    member = world.member
    leak, spread = difference(guess.right[known], member[known], world.strata[known])
    above = "" if feature.kind in ("flag", "category") else " above its median"
    return Attribute(
        name=name,
        title=f"{feature.title}{above}",
        cohort=world.cohort,
        members=float(guess.right[known & member].mean()),
        non_members=float(guess.right[known & ~member].mean()),
        random=guess.random,
        majority=guess.majority,
        real_trained=guess.real_trained,
        leak=leak,
        low=leak - Z95 * spread,
        high=leak + Z95 * spread,
        n=int(known.sum()),
    )


def _leak(world: World, right: Floats, majority: float, sensitive: Sequence[str]) -> list[Measure]:
    known = ~np.isnan(right)
    counted = known.any(axis=0)
    person = np.where(known, right, 0).sum(axis=0)[counted] / known.sum(axis=0)[counted]
    member, strata = world.member[counted], world.strata[counted]
    inside, outside = person[member], person[~member]
    value, spread = difference(person, member, strata)
    low, high = value - Z95 * spread, value + Z95 * spread
    error = Z95 * float(inside.std()) / np.sqrt(len(inside))
    accuracy = float(inside.mean())
    columns = ", ".join(sensitive)
    literal = world.measure(
        "attribute_accuracy",
        "Attribute-inference accuracy on members",
        accuracy,
        len(inside),
        low=accuracy - error,
        high=accuracy + error,
        target="≈ baseline",
        met=low <= 0 <= high,
        note=f"Mean over {columns}, guessed from the nearest synthetic row by all other columns. Baselines: "
        f"{outside.mean():.3f} on non-members, {majority:.3f} by always saying the commonest value.",
        literal=True,
        baseline=float(outside.mean()),
    )
    p = _relabelled(person, member, strata, world.generator("attributes"))
    leak = world.measure(
        "attribute_leak",
        "Attribute inference, members minus non-members",
        value,
        len(person),
        low=low,
        high=high,
        target=f"not above 0; upper bound < {LEAK_PASS:.2f}",
        met=high < LEAK_PASS,
        note=f"Over {columns}; within the cohort and outside of it separately.",
        verdict=leak_verdict(value, Z95 * spread, p),
        baseline=0.0,
        p=p,
        detectable=POWER * spread,
    )
    return [literal, leak]


def difference(person: Floats, member: Bools, strata: Bools) -> tuple[float, float]:
    """Mean of members minus mean of non-members within strata, weighted by members, and its standard error."""
    value, variance, total = 0.0, 0.0, 0
    for part in (strata, ~strata):
        inside, outside = person[part & member], person[part & ~member]
        if len(inside) < 2 or len(outside) < 2:
            continue
        weight = len(inside)
        value += weight * float(inside.mean() - outside.mean())
        variance += weight**2 * float(inside.var(ddof=1) / len(inside) + outside.var(ddof=1) / len(outside))
        total += weight
    return (value / total, float(np.sqrt(variance)) / total) if total else (0.0, 1.0)


def _relabelled(person: Floats, member: Bools, strata: Bools, generator: np.random.Generator) -> float:
    """One-sided p-value of :func:`difference` when membership is relabelled within strata: exact for any sizes."""
    seen, null, total = 0.0, np.zeros(PERMUTATIONS), 0
    for part in (strata, ~strata):
        inside = member[part]
        count, others = int(inside.sum()), int((~inside).sum())
        if count < 2 or others < 2:
            continue
        values = person[part]
        # With the sum fixed, the difference of means is a straight line in the sum of members.
        sums = np.concatenate([block @ values for block in relabelled(inside, generator, PERMUTATIONS)])
        both = count * (1 / count + 1 / others)
        seen += both * float(values[inside].sum()) - count / others * float(values.sum())
        null += both * sums - count / others * float(values.sum())
        total += count
    return (1 + int((null >= seen - 1e-9).sum())) / (PERMUTATIONS + 1) if total else 1.0
