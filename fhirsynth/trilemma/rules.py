"""Clinical plausibility: what rows and histories must respect, and how often they break it, real beside synthetic.

A rule fails where the synthetic share is above the real one by more than chance: the lower end of its score interval
(Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953) lies above the upper end of the real one. Entries of one
patient are not independent; counts of them are first divided by their design effect (Rao & Scott 1992,
https://doi.org/10.2307/2532311).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from fhirsynth.constraints import Constraint, ConstraintSet
from fhirsynth.schema import Feature
from fhirsynth.trilemma.intervals import Bools, Ints, wilson
from fhirsynth.trilemma.measure import Rule, Verdict
from fhirsynth.trilemma.samples import MIN_ROWS, Samples

ENOUGH = 200
"""A rule that nobody broke among so many holds for all but 1.5 % (rule of three, 3/n)."""

LEAST = 0.005
"""Share broken that matters: half a percent is left for errors of record, as for constraints that are enforced."""

LISTED = 8
"""Values of a category that a title lists."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How often a rule applied and was broken.

    Parameters
    ----------
    checked, broken
        Rows or entries that it applied to, and those that broke it.
    patients
        Patients that these are of.
    effect
        Design effect: by how much more the share varies than if the entries were independent; at least 1, and None
        where nothing was broken.
    """

    checked: int
    broken: int
    patients: int
    effect: float | None = None

    @classmethod
    def of(cls, applies: Bools, broken: Bools, patient: Ints | None = None) -> Tally:
        """Count.

        Parameters
        ----------
        applies, broken
            For each row or entry, shape (n,); only where a rule applies can it be broken.
        patient
            Whose entry each is, shape (n,); None: each is of another patient.
        """
        wrong = broken & applies
        checked, count = int(applies.sum()), int(wrong.sum())
        if patient is None:
            return cls(checked, count, checked, 1.0)
        every = np.bincount(patient[applies])
        size, bad = every[every > 0], np.bincount(patient[wrong], minlength=len(every))[every > 0]
        if not 0 < count < checked or len(size) < 2:
            return cls(checked, count, len(size), checked / max(len(size), 1) if count else None)
        share = count / checked
        scatter = len(size) / (len(size) - 1) * float(((bad - share * size) ** 2).sum()) / checked**2
        return cls(checked, count, len(size), max(1.0, scatter / (share * (1 - share) / checked)))

    @property
    def share(self) -> float:
        """The share that broke it; 0 where it never applied."""
        return self.broken / self.checked if self.checked else 0.0

    @property
    def bounds(self) -> tuple[float, float]:
        """The 95 % score interval of the share."""
        n = max(1, round(self.checked / (self.effect or 1.0))) if self.checked else 0
        return wilson(self.share * n, n)


def judged(real: Tally, made: Tally) -> Verdict | None:
    """FAIL where synthetic entries break a rule more often than real ones by more than chance, and often enough.

    PASS where it applied to enough of them; None where too few can be asked, on a side that would be needed.
    """
    # Where one side broke nothing its clustering cannot be seen; breaks come in clusters as they do on the other.
    real, made = _alike(real, made.effect), _alike(made, real.effect)
    if made.share >= LEAST and made.bounds[0] > real.bounds[1]:
        return "FAIL"
    if made.checked < ENOUGH or made.patients < MIN_ROWS:
        return None
    return "PASS" if made.share < LEAST or real.checked >= ENOUGH else None


def _alike(tally: Tally, effect: float | None) -> Tally:
    return tally if tally.effect is not None else replace(tally, effect=effect or 1.0)


def plausibility(samples: Samples, constraints: ConstraintSet | None = None) -> tuple[Rule, ...]:
    """Every constraint that fits the columns, and the declared bounds of every column, on the holdout and on synthetic
    rows.

    Synthetic rows are compared with holdout rows of the same kind: with cases only, where only cases were made.

    Parameters
    ----------
    samples
        The rows; the training rows decide which constraints are asked.
    constraints
        What rows must respect; None: ours. Those that more than half a percent of the training rows break are listed
        without a verdict.
    """
    real, made = samples.holdout, samples.synthetic
    if samples.missing_class is not None:
        real = real[samples.cases(real) != samples.missing_class]
    known = constraints if constraints is not None else ConstraintSet.load()
    asked = known.for_training(samples.train)
    found = []
    for one in known.enforced:
        if one.id not in asked.not_applicable:
            sides = [_constraint(one, frame) for frame in (real, made)]
            off = asked.switched_off.get(one.id)
            why = "" if off is None else f" (not asked: {100 * (1 - off):.1f} % of training rows break it)"
            found.append(as_rule(one.id, one.title + why, "constraint", sides[0], sides[1], asked=off is None))
    for feature in samples.schema.features:
        title = _bounds(feature)
        if title:
            sides = [_range(feature, frame[feature.name]) for frame in (real, made)]
            found.append(as_rule(f"range-{feature.name}", title, "range", sides[0], sides[1]))
    return tuple(found)


def as_rule(name: str, title: str, group: str, real: Tally, made: Tally, *, asked: bool = True) -> Rule:
    """A rule as the report holds it; without a verdict where it is not ``asked``."""
    return Rule.model_validate(
        {
            "name": name,
            "title": title,
            "group": group,
            "real_checked": real.checked,
            "real_broken": real.broken,
            "synthetic_checked": made.checked,
            "synthetic_broken": made.broken,
            "verdict": judged(real, made) if asked else None,
        }
    )


def _constraint(constraint: Constraint, frame: pd.DataFrame) -> Tally:
    """It applies where its conditions hold and, unless it asks for a value to be there or not, where there is one."""
    applies = pd.Series(data=True, index=frame.index)
    for test in constraint.when:
        applies &= test.holds(frame, if_missing=False)
    if constraint.then.missing is None:
        applies &= frame[constraint.then.column].notna()
    return Tally.of(applies.to_numpy(dtype=np.bool_), constraint.broken(frame).to_numpy(dtype=np.bool_))


def _range(feature: Feature, values: pd.Series) -> Tally:
    missing = values.isna()
    wrong = missing & (not feature.nullable)
    if feature.minimum is not None:
        wrong |= (values < feature.minimum).fillna(False).astype(bool)
    if feature.maximum is not None:
        wrong |= (values > feature.maximum).fillna(False).astype(bool)
    if feature.categories:
        wrong |= ~missing & ~values.isin(feature.categories)
    applies = ~missing if feature.nullable else pd.Series(data=True, index=values.index)
    return Tally.of(applies.to_numpy(dtype=np.bool_), wrong.to_numpy(dtype=np.bool_))


def _bounds(feature: Feature) -> str:
    """What the schema demands of a column, in words; empty where it demands nothing."""
    parts = list(_demands(feature))
    return f"{feature.title}: {', '.join(parts)}" if parts else ""


def _demands(feature: Feature) -> Iterator[str]:
    unit = f" {feature.unit}" if feature.unit else ""
    low, high = feature.minimum, feature.maximum
    if low is not None and high is not None:
        yield f"from {low:g} to {high:g}{unit}"
    elif low is not None:
        yield f"at least {low:g}{unit}"
    elif high is not None:
        yield f"at most {high:g}{unit}"
    if feature.categories:
        listed = ", ".join(feature.categories[:LISTED])
        yield f"one of {listed}{', …' if len(feature.categories) > LISTED else ''}"
    if not feature.nullable:
        yield "never missing"
