"""The self-test: data sets of which the right answer is known, judged like the synthetic one, on every run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from fhirsynth.seeds import rng
from fhirsynth.trilemma.encode import flags
from fhirsynth.trilemma.fidelity import measure_fidelity
from fhirsynth.trilemma.intervals import Floats
from fhirsynth.trilemma.measure import Control, Verdict
from fhirsynth.trilemma.privacy import measure_privacy
from fhirsynth.trilemma.samples import MIN_ROWS, Samples
from fhirsynth.trilemma.utility import measure_labels

ROWS = 2000
"""Rows of each frame in controls with quadratic measures: what is known of them shows in far fewer."""

COPIED = 5
"""One of so many rows is a copy in the control with few copies."""

NOISE = 0.05
"""Noise in standard deviations: a leak that no search for exact copies finds."""


def self_test(
    samples: Samples, sensitive: tuple[str, ...], real: Mapping[str, Floats] | None = None
) -> tuple[Control, ...]:
    """Run the controls that these sizes allow.

    Parameters
    ----------
    samples, sensitive
        What is compared, and the columns that attribute inference guesses.
    real
        Scores of the holdout by the classifiers that learned from real rows, if they are known already.
    """
    small = samples.capped(ROWS)
    found = [*_leaks(small, sensitive), _shuffled(small)]
    if samples.target is not None:
        found.append(_permuted(samples, samples.target, real))
    world = _unseen(small)
    return (*([_fresh(world, sensitive), _mixed(world, sensitive)] if world else []), *found)


def _control(name: str, must: str, got: Mapping[str, Verdict], *, ok: bool) -> Control:
    return Control(name=name, must=must, got=got, ok=ok)


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


def _fresh(world: Samples, sensitive: tuple[str, ...]) -> Control:
    got: dict[str, Verdict] = {
        "privacy": measure_privacy(world, "overall", sensitive).verdict,
        "fidelity": measure_fidelity(world, "overall").verdict,
    }
    must = "not fail privacy or fidelity"
    return _control("Half of the holdout as synthetic data", must, got, ok="FAIL" not in got.values())


def _half(samples: Samples) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Every second patient of a random order, within the cohort and outside of it."""
    order = rng(samples.seed, "self-test", "half").permutation(len(samples.holdout))
    order = order[np.argsort(samples.cases(samples.holdout)[order], kind="stable")]
    half = np.zeros(len(order), dtype=np.bool_)
    half[order[::2]] = True
    return half


def _mixed(world: Samples, sensitive: tuple[str, ...]) -> Control:
    """A fifth of the unseen patients replaced by training patients."""
    draw = rng(world.seed, "self-test", "copies")
    size = len(world.synthetic)
    copied = draw.choice(len(world.train), min(-(-size // COPIED), len(world.train)), replace=False)
    kept = np.sort(draw.choice(size, size - len(copied), replace=False))
    mixed = pd.concat([world.synthetic.iloc[kept], world.train.iloc[copied]], ignore_index=True)
    return _leak("The same with a fifth replaced by training data", replace(world, synthetic=mixed), sensitive)


def _leaks(samples: Samples, sensitive: tuple[str, ...]) -> list[Control]:
    copy, jittered = replace(samples, synthetic=samples.train), replace(samples, synthetic=_jittered(samples))
    return [
        _leak("The training data as synthetic data", copy, sensitive),
        _leak("The training data with small noise on every number", jittered, sensitive),
    ]


def _leak(name: str, world: Samples, sensitive: tuple[str, ...]) -> Control:
    got = measure_privacy(world, "overall", sensitive).verdict
    return _control(name, "fail privacy, or be UNDERPOWERED", {"privacy": got}, ok=got != "PASS")


def _jittered(samples: Samples) -> pd.DataFrame:
    draw, result = rng(samples.seed, "self-test", "noise"), samples.train.copy()
    for feature in samples.schema.of_kind("number"):
        spread = float(result[feature.name].std()) if result[feature.name].notna().sum() > 1 else 0.0
        result[feature.name] += draw.normal(0, NOISE * spread, len(result))
    return result


def _shuffled(samples: Samples) -> Control:
    """Independent columns; nothing can be told where the real columns are independent too."""
    draw = rng(samples.seed, "self-test", "shuffle")
    columns = {
        name: samples.train[name].iloc[draw.permutation(len(samples.train))].reset_index(drop=True)
        for name in samples.schema.columns
    }
    result = measure_fidelity(replace(samples, synthetic=pd.DataFrame(columns)), "overall")
    must = "not pass fidelity"
    name = "Training data with every column shuffled on its own"
    return _control(name, must, {"fidelity": result.verdict}, ok=result.verdict != "PASS")


def _permuted(samples: Samples, target: str, real: Mapping[str, Floats] | None) -> Control:
    draw = rng(samples.seed, "self-test", "labels")
    labels = pd.Series(draw.permutation(flags(samples.train[target])), dtype="boolean")
    synthetic = samples.train.assign(**{target: labels})
    got = measure_labels(replace(samples, synthetic=synthetic), real).verdict
    return _control("Training data with permuted labels", "not pass utility", {"utility": got}, ok=got != "PASS")
