"""The self-test: data sets of which the right answer is known, judged like the synthetic one, on every run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from fhirsynth.seeds import rng
from fhirsynth.trilemma.encode import flags
from fhirsynth.trilemma.fidelity import measure_fidelity
from fhirsynth.trilemma.measure import Control, Verdict
from fhirsynth.trilemma.privacy import measure_privacy
from fhirsynth.trilemma.samples import MIN_ROWS, Samples
from fhirsynth.trilemma.utility import measure_utility


def self_test(samples: Samples, sensitive: tuple[str, ...]) -> tuple[Control, ...]:
    """Run the controls that these sizes allow."""
    controls = (_fresh(samples, sensitive), _copy(samples, sensitive), _shuffled(samples), _permuted(samples))
    return tuple(control for control in controls if control is not None)


def _control(name: str, must: str, got: Mapping[str, Verdict], *, ok: bool) -> Control:
    return Control(name=name, must=must, got=got, ok=ok)


def _fresh(samples: Samples, sensitive: tuple[str, ...]) -> Control | None:
    """Half of the holdout as the synthetic data, the other half as the holdout: real patients whom nobody copied."""
    if len(samples.holdout) < 2 * MIN_ROWS:
        return None
    half = _half(samples)
    world = replace(
        samples,
        synthetic=samples.holdout[half].reset_index(drop=True),
        holdout=samples.holdout[~half].reset_index(drop=True),
    )
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


def _copy(samples: Samples, sensitive: tuple[str, ...]) -> Control:
    got = measure_privacy(replace(samples, synthetic=samples.train), "overall", sensitive).verdict
    must = "fail privacy, or be UNDERPOWERED"
    return _control("The training data as synthetic data", must, {"privacy": got}, ok=got != "PASS")


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


def _permuted(samples: Samples) -> Control | None:
    if samples.target is None:
        return None
    draw = rng(samples.seed, "self-test", "labels")
    labels = pd.Series(draw.permutation(flags(samples.train[samples.target])), dtype="boolean")
    synthetic = samples.train.assign(**{samples.target: labels})
    got = measure_utility(replace(samples, synthetic=synthetic), "overall").verdict
    return _control("Training data with permuted labels", "not pass utility", {"utility": got}, ok=got != "PASS")
