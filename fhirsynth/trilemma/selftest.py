"""The self-test: data sets of which the right answer is known, judged like the synthetic one, on every run.

A control that must fail may be UNDERPOWERED, but only where what it holds is less than the sample can notice for
certain; a pass, or a silence where the effect is plain, makes the report INVALID.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from fhirsynth.seeds import rng
from fhirsynth.trilemma.encode import Encoder, flags
from fhirsynth.trilemma.fidelity import measure_fidelity
from fhirsynth.trilemma.intervals import Floats
from fhirsynth.trilemma.measure import Association, Control, Measure, Verdict
from fhirsynth.trilemma.privacy import measure_privacy
from fhirsynth.trilemma.samples import MIN_ROWS, Samples
from fhirsynth.trilemma.utility import measure_labels, measure_utility
from fhirsynth.trilemma.world import nearest

ROWS = 2000
"""Rows of each frame in controls with quadratic measures: what is known of them shows in far fewer."""

COPIED = 0.2
"""Share of copies in the control with few copies."""

NOISE = 0.05
"""Noise in standard deviations: a leak that no search for exact copies finds."""

CERTAIN = 1.5
"""An effect so many times the smallest noticeable one (with 80 %) goes unnoticed less than one time in 200."""

STRONGER = 1.5
"""Sum of squared associations of real columns over that of shuffled ones, below which they count as independent."""

NOTHING = "nothing"
"""What is asked of a control that these data cannot tell."""

COARSE = 0.5
"""Share of unseen patients who equal a training row, from which on a copy is no more than a coincidence."""


def self_test(
    samples: Samples,
    sensitive: tuple[str, ...],
    real: Mapping[str, Floats] | None = None,
    oracle: pd.DataFrame | None = None,
) -> tuple[Control, ...]:
    """Run the controls that these sizes allow.

    Parameters
    ----------
    samples, sensitive
        What is compared, and the columns that attribute inference guesses.
    real
        Scores of the holdout by the classifiers that learned from real rows, if they are known already.
    oracle
        A fresh draw of the same population, with the schema's columns and dtypes; without it, half of the holdout is
        one for the other half.
    """
    small = samples.capped(ROWS)
    found = [_shuffled(samples, small, real)]
    if samples.target is not None:
        found.append(_permuted(samples, small, real))
    world = _unseen(small) if oracle is None else replace(small, synthetic=oracle).capped(ROWS)
    leaks = _leaks(small, sensitive, world)
    if world is not None:
        return _fresh(world, sensitive, whole=oracle is not None), _mixed(world, sensitive), *leaks, *found
    return (*leaks, *found)


def _unseen(samples: Samples) -> Samples | None:
    """Half of the holdout as the synthetic data, the other half as the holdout: real patients whom nobody copied."""
    if len(samples.holdout) < 2 * MIN_ROWS:
        return None
    half = _half(samples)
    return replace(
        samples,
        synthetic=samples.holdout[half].reset_index(drop=True),
        holdout=samples.holdout[~half].reset_index(drop=True),
    )


def _half(samples: Samples) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Every second patient of a random order, within the cohort and outside of it."""
    order = rng(samples.seed, "self-test", "half").permutation(len(samples.holdout))
    order = order[np.argsort(samples.cases(samples.holdout)[order], kind="stable")]
    half = np.zeros(len(order), dtype=np.bool_)
    half[order[::2]] = True
    return half


def _fresh(world: Samples, sensitive: tuple[str, ...], *, whole: bool) -> Control:
    got: dict[str, Verdict] = {
        "privacy": measure_privacy(world, "overall", sensitive).verdict,
        "fidelity": measure_fidelity(world, "overall").verdict,
    }
    if whole:
        # Half a holdout has fewer rows to learn from than the training data and may teach less; a fresh draw may not.
        got = {"utility": measure_utility(world, "overall").verdict, **got}
    name = "A fresh draw of the population as synthetic data" if whole else "Half of the holdout as synthetic data"
    ok = "FAIL" not in got.values()
    return Control(name=name, must="fail nothing", got=got, ok=ok, note=f"{len(world.synthetic)} unseen real patients.")


# ---------------------------------------------------------------- leaks


def _leaks(samples: Samples, sensitive: tuple[str, ...], fresh: Samples | None) -> list[Control]:
    copy, jittered = replace(samples, synthetic=samples.train), replace(samples, synthetic=_jittered(samples))
    rate = _coincidence(fresh if fresh is not None else samples)
    found = _leak("The training data with small noise on every number", jittered, sensitive, 1.0, rate)
    if found.must != NOTHING and _hides(jittered):
        note = "So small a noise moves a record as far as real ones lie apart, so that it cannot be told whose it was."
        found = found.model_copy(update={"must": NOTHING, "ok": True, "note": note})
    return [_leak("The training data as synthetic data", copy, sensitive, 1.0, rate), found]


def _hides(jittered: Samples) -> bool:
    """Whether the noise is no smaller than the distances between training rows."""
    encoder = Encoder.fit(jittered.train, jittered.schema)
    before, after = encoder.transform(jittered.train), encoder.transform(jittered.synthetic)
    moved = np.median(np.linalg.norm(after - before, axis=1))
    return bool(moved > np.median(nearest(before)[0]) / 2)


def _mixed(world: Samples, sensitive: tuple[str, ...]) -> Control:
    """A fifth of the unseen patients replaced by training patients."""
    draw = rng(world.seed, "self-test", "copies")
    size = len(world.synthetic)
    copied = draw.choice(len(world.train), min(-(-size // round(1 / COPIED)), len(world.train)), replace=False)
    kept = np.sort(draw.choice(size, size - len(copied), replace=False))
    mixed = pd.concat([world.synthetic.iloc[kept], world.train.iloc[copied]], ignore_index=True)
    name = "The same with a fifth replaced by training data"
    return _leak(name, replace(world, synthetic=mixed), sensitive, COPIED, _coincidence(world))


def _coincidence(world: Samples) -> float:
    """Share of unseen patients who equal a training row in every column."""
    train, unseen = (
        pd.util.hash_pandas_object(f.astype("string").fillna(""), index=False) for f in (world.train, world.holdout)
    )
    return float(unseen.isin(set(train)).mean())


def _leak(name: str, world: Samples, sensitive: tuple[str, ...], share: float, coincidence: float) -> Control:
    result = measure_privacy(world, "overall", sensitive)
    noticed = _detectable(result.measures, "copied_share")
    got: Mapping[str, Verdict] = {"privacy": result.verdict}
    if coincidence >= COARSE:
        note = (
            f"{coincidence:.0%} of unseen patients equal a training row: in data this coarse a copy gives nothing away."
        )
        return Control(name=name, must=NOTHING, got=got, ok=True, note=note)
    small = noticed is None or noticed > share / CERTAIN
    note = "" if noticed is None else f"Smallest share of copies that would have been noticed: {min(noticed, 1):.1%}."
    must = "fail privacy, or be UNDERPOWERED" if small else "fail privacy"
    ok = result.verdict == "FAIL" or (small and result.verdict == "UNDERPOWERED")
    return Control(name=name, must=must, got=got, ok=ok, note=note)


def _detectable(measures: Sequence[Measure], name: str) -> float | None:
    return next((one.detectable for one in measures if one.name == name), None)


def _jittered(samples: Samples) -> pd.DataFrame:
    draw, result = rng(samples.seed, "self-test", "noise"), samples.train.copy()
    for feature in samples.schema.of_kind("number"):
        spread = float(result[feature.name].std()) if result[feature.name].notna().sum() > 1 else 0.0
        result[feature.name] += draw.normal(0, NOISE * spread, len(result))
    return result


# ---------------------------------------------------------------- nonsense


@dataclass(frozen=True, slots=True)
class _Utility:
    """The verdict on rows whose labels mean nothing, and whether it could be told at all."""

    verdict: Verdict
    note: str

    @classmethod
    def of(cls, samples: Samples, synthetic: pd.DataFrame, real: Mapping[str, Floats] | None) -> _Utility:
        found = measure_labels(replace(samples, synthetic=synthetic), real)
        return cls(found.verdict, found.sentence if found.verdict == "UNDERPOWERED" else "")


def _shuffled(samples: Samples, small: Samples, real: Mapping[str, Floats] | None) -> Control:
    """Independent columns; nothing can be told where the real columns are independent too."""
    mixed = _independent(small)
    result = measure_fidelity(replace(small, synthetic=mixed), "overall")
    got: dict[str, Verdict] = {"fidelity": result.verdict}
    together = _hang_together(result.association)
    note = "" if together else "The real columns hang together no more than shuffled ones, so nothing could be noticed."
    if samples.target is not None:
        utility = _Utility.of(samples, _independent(small), real)
        got["utility"], note = utility.verdict, note or utility.note
    ok = (got["fidelity"] != "PASS" or not together) and got.get("utility") != "PASS"
    name = "Training data with every column shuffled on its own"
    must = "fail fidelity and utility, or be UNDERPOWERED" if samples.target else "fail fidelity, or be UNDERPOWERED"
    return Control(name=name, must=must, got=got, ok=ok, note=note)


def _hang_together(found: Association | None) -> bool:
    """Whether the holdout's associations are stronger than those of shuffled columns, and than noise."""
    if found is None:
        return False
    pairs = np.triu_indices(len(found.labels), 1)
    held = (found.real, found.synthetic, found.noise)
    real, shuffled, noise = (float(np.square(np.array(matrix)[pairs]).sum()) for matrix in held)
    return real > max(STRONGER * shuffled, noise)


def _independent(samples: Samples) -> pd.DataFrame:
    draw = rng(samples.seed, "self-test", "shuffle", len(samples.train))
    return pd.DataFrame(
        {
            name: samples.train[name].iloc[draw.permutation(len(samples.train))].reset_index(drop=True)
            for name in samples.schema.columns
        }
    )


def _permuted(samples: Samples, small: Samples, real: Mapping[str, Floats] | None) -> Control:
    target, draw = str(samples.target), rng(samples.seed, "self-test", "labels")
    labels = pd.Series(draw.permutation(flags(small.train[target])), dtype="boolean")
    found = _Utility.of(samples, small.train.assign(**{target: labels}), real)
    return Control(
        name="Training data with permuted labels",
        must="fail utility, or be UNDERPOWERED",
        got={"utility": found.verdict},
        ok=found.verdict != "PASS",
        note=found.note,
    )
