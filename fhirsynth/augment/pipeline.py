"""Training rows → a fitted model → exactly n synthetic patients, with every rejected row counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from fhirsynth.augment.advice import ADVISED_CASES, FEWEST_CASES, advise
from fhirsynth.augment.prior import UNKNOWN, refuse_absent, refuse_own
from fhirsynth.augment.protocol import Synthesizer
from fhirsynth.augment.registry import DEFAULT, PROTECTED, check_available, check_options, check_prior, model_class
from fhirsynth.augment.store import describe, hash_of, load_model, save_model
from fhirsynth.constraints import ConstraintSet
from fhirsynth.errors import CohortError, UsageError
from fhirsynth.schema import FeatureSchema
from fhirsynth.seeds import derive
from synthea_bridge.files import atomic_file
from synthea_bridge.progress import Progress, silent

MODEL_FOLDER: Final = "model"
SYNTHETIC: Final = "synthetic.parquet"
UNLIVABLE: Final = "no-such-life"
"""Name under which rows are counted that no life can be told of."""
Livable = Callable[[pd.DataFrame], "pd.Series[bool]"]
"""Says of each row whether re-assembly can make a patient of it."""


@dataclass(frozen=True, slots=True)
class AugmentResult:
    """Synthetic rows (``patient_id`` first) and what the manifest should say of them."""

    frame: pd.DataFrame
    outcome: dict[str, Any]


def augment(
    train: pd.DataFrame,
    schema: FeatureSchema,
    *,
    n: int,
    out: Path,
    model: str = DEFAULT,
    steps: int | None = None,
    seed: int = 0,
    constraints: ConstraintSet | None = None,
    livable: Livable | None = None,
    prior: pd.DataFrame | None = None,
    prior_source: str = UNKNOWN,
    options: Mapping[str, Any] | None = None,
    keep_model: bool = True,
    progress: Progress = silent,
) -> AugmentResult:
    """Learn from ``train`` and write ``synthetic.parquet``, ``schema.json`` and ``model/`` into ``out``.

    Parameters
    ----------
    train
        Features of the patients to learn from, with the condition and without; never the holdout.
    schema
        Its columns. With a condition, or what else it says makes a case, every synthetic patient has it.
    n
        Number of synthetic patients.
    out
        An existing folder.
    model, steps, seed
        The generator, its training length in generator steps (None: its own default), and the seed.
    constraints
        What rows must respect; None: ours. Those that ``train`` breaks are switched off.
    livable
        Rows of which it says no are drawn again, and counted.
    prior
        Simulated patients of the same columns, to learn from before ``train``: nobody's, so that nothing of them has
        to be kept.
    prior_source
        Where these come from, in words.
    options
        Arguments for the constructor of the generator (``epsilon`` and ``delta`` of ``private``).
    keep_model
        Whether ``model/`` is written; without it nothing is left that could give training rows away but the rows.
        What is said of a model in :data:`~fhirsynth.augment.registry.PROTECTED` holds no figure of the training data.

    Raises
    ------
    UsageError, ExtraMissing
        When the call is wrong or the model is not installed; nothing was started.
    CohortError
        When there are too few cases to learn from.
    Shortfall
        When the model makes fewer than ``n`` such rows.
    """
    check_available(model)
    check_options(model, options or {})
    if n < 1:
        raise UsageError(f"asked for {n} synthetic patients; ask for at least 1")
    train = schema.conform(train)[schema.columns]
    if prior is not None:
        prior = _public(prior, train, schema, model)
    cases = _cases(train, schema)
    active = (constraints or ConstraintSet.load()).for_training(
        train, schema.condition.column if schema.condition is not None else None
    )
    synthesizer = _new(model, options or {})
    synthesizer.fit(train, schema, seed=derive(seed, "fit"), steps=steps, progress=progress, prior=prior)
    facts: dict[str, Any] = {"seed": seed}
    if model not in PROTECTED:
        facts |= {"rows": len(train), "cases": cases, "train_sha256": hash_of(train)}
    if prior is not None:
        facts["prior"] = {
            "rows": len(prior),
            "cases": _flagged(prior, schema),
            "sha256": hash_of(prior),
            "source": prior_source,
        }
    if keep_model:
        description = save_model(out / MODEL_FOLDER, synthesizer, schema, active, facts)
    else:
        description = describe(synthesizer, schema, facts)
    result = _sampled(synthesizer, schema, active, n, seed, out, description, livable)
    advice = advise(len(train), cases, len(schema.columns), prior=prior is not None)
    if model in PROTECTED:
        advice = None
    return AugmentResult(result.frame, {**result.outcome, "model_saved": keep_model, "advice": advice})


def resample(folder: Path, *, n: int, out: Path, seed: int = 0, livable: Livable | None = None) -> AugmentResult:
    """Sample again from a model folder; ``out`` gets ``synthetic.parquet`` and ``schema.json``.

    Raises
    ------
    UsageError, AugmentError
        When ``folder`` is not a model, or was altered.
    Shortfall
        When the model makes fewer than ``n`` such rows.
    """
    if n < 1:
        raise UsageError(f"asked for {n} synthetic patients; ask for at least 1")
    stored = load_model(folder)
    description = {name: value for name, value in stored.description.items() if name != "sha256"}
    result = _sampled(stored.synthesizer, stored.schema, stored.constraints, n, seed, out, description, livable)
    return AugmentResult(result.frame, {**result.outcome, "model_saved": True})


def _sampled(
    synthesizer: Synthesizer,
    schema: FeatureSchema,
    constraints: ConstraintSet,
    n: int,
    seed: int,
    out: Path,
    description: dict[str, Any],
    livable: Livable | None,
) -> AugmentResult:
    counts: Counter[str] = Counter()
    unlivable = 0
    dropped = 0

    def keep(rows: pd.DataFrame) -> pd.DataFrame:
        nonlocal dropped, unlivable
        kept, broken = constraints.apply(rows)
        counts.update(broken)
        if livable is not None:
            good = livable(kept)
            unlivable += int((~good).sum())
            kept = kept[good]
        dropped += len(rows) - len(kept)
        return kept

    where = {schema.condition.column: True} if schema.condition is not None else None
    rows = synthesizer.sample(n, where, seed=derive(seed, "sample"), keep=keep)
    frame = schema.conform(rows)
    frame.insert(0, "patient_id", [f"syn-{number:06d}" for number in range(1, n + 1)])
    schema.save(out / "schema.json")
    with atomic_file(out / SYNTHETIC) as scratch:
        frame.to_parquet(scratch, index=False)
    tally = synthesizer.tally
    by_action = constraints.split_counts(counts)
    outcome = {
        "made": n,
        "sample_seed": seed,
        "drawn": tally.drawn,
        "without_condition": tally.unasked,
        "rejected": {**by_action["rejected"], **dict(sorted(tally.bounds.items())), UNLIVABLE: unlivable},
        "rejected_rows": dropped,
        "repaired": by_action["repaired"],
        "switched_off": constraints.switched_off,
        "not_applicable": list(constraints.not_applicable),
        "model": description,
    }
    return AugmentResult(frame, outcome)


def _new(model: str, options: Mapping[str, Any]) -> Synthesizer:
    build: Callable[..., Synthesizer] = model_class(model)
    return build(**options)


def _public(prior: pd.DataFrame, train: pd.DataFrame, schema: FeatureSchema, model: str) -> pd.DataFrame:
    """The rows of a prior, if the model can learn from them and they are not those of ``train``."""
    check_prior(model)
    refuse_absent(prior, schema)
    if prior.empty:
        raise UsageError("the prior has no rows; simulate some patients, or leave it out")
    rows = schema.conform(prior)[schema.columns]
    refuse_own(rows, train, schema)
    return rows


def _flagged(rows: pd.DataFrame, schema: FeatureSchema) -> int | None:
    return None if schema.condition is None else int(rows[schema.condition.column].sum())


def _cases(train: pd.DataFrame, schema: FeatureSchema) -> int | None:
    cases = _flagged(train, schema)
    if schema.condition is None or cases is None:
        return None
    if cases < FEWEST_CASES:
        asked = schema.condition
        have = f"have {asked.name.lower()}" if asked.flag is None else f"are cases of '{asked.name}'"
        more = "give more data" if asked.flag is not None else "give more data, or simulate more with --cases"
        raise CohortError(
            f"{cases} of {len(train)} patients to learn from {have}; at least {FEWEST_CASES} are needed and "
            f"{ADVISED_CASES} are advised; {more}"
        )
    return cases
