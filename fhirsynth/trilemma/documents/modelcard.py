"""model-card.json: Mitchell et al., Model Cards for Model Reporting (2019), https://doi.org/10.1145/3287560.3287596."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhirsynth import __version__
from fhirsynth.augment.store import WARNING as LEAK_WARNING
from fhirsynth.trilemma.documents import provenance as origin
from fhirsynth.trilemma.documents import uses
from fhirsynth.trilemma.measure import Report

CARD_VERSION = 3
"""Of model-card.json; it changes with every change of meaning or of a field."""

_SHOWN = {"name", "cohort", "value", "low", "high", "n", "target", "met", "calibrated", "detectable"}
"""What the card repeats of each literal target."""

_EFFECT = {"name", "title", "dimension", "cohort", "baseline", "detectable"}
"""What the card says of the smallest effect that a measure would have noticed."""


def model_card(report: Report, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The card of the generator, as JSON values; what is not recorded is null.

    It holds aggregates only: no row of the training data, and no figure of a single patient.
    """
    synthetic = origin.stage(provenance, "synthetic")
    model = origin.model(provenance)
    return {
        "schema_version": CARD_VERSION,
        "made_by": f"fhirsynth {__version__}",
        "run_id": provenance.get("run_id"),
        "generator": dict(model) or None,
        "version": origin.versions(provenance) or None,
        "parameters": _first(model, synthetic, "parameters"),
        "seed": _first(model, synthetic, "seed", "sample_seed"),
        "seeds": {**origin.seeds(provenance), "evaluate": report.seed},
        "training_data_sha256": origin.training_hashes(provenance) or None,
        "training_patients": report.sizes.train,
        "training_cases": report.sizes.train_cases,
        "training_data_simulated": origin.is_simulated(provenance) or None,
        "prior": origin.prior(provenance),
        "differential_privacy": origin.differential_privacy(provenance),
        "synthetic_patients": report.sizes.synthetic,
        "synthetic_cases": report.sizes.synthetic_cases,
        "intended_use": "Synthetic patients with a rare condition for software tests, teaching and method studies.",
        "limits": list(uses.LIMITS),
        "model_saved": origin.model_kept(provenance),
        "leak_warning": LEAK_WARNING,
        "privacy_figures": origin.privacy_words(provenance),
        **_quality(report),
    }


def _quality(report: Report) -> dict[str, Any]:
    """What the report found, as far as it is about the generator."""
    return {
        "report_schema_version": report.schema_version,
        "valid": report.valid,
        "self_test": [one.model_dump(mode="json") for one in report.controls],
        "verdicts": dict(report.verdicts),
        "findings": [one.model_dump(mode="json") for one in report.findings],
        "warnings": list(report.warnings),
        "measures": [one.model_dump(mode="json", include=_SHOWN) for one in report.literal()],
        "minimum_detectable_effects": [
            one.model_dump(mode="json", include=_EFFECT) for one in report.measures if one.detectable is not None
        ],
        "rules_broken": {one.name: one.synthetic_broken for one in report.rules if one.synthetic_broken},
        "uplift": report.uplift.sentence if report.uplift else None,
    }


def _first(model: Mapping[str, Any], synthetic: Mapping[str, Any], *names: str) -> Any:
    for place in (model, synthetic):
        for name in names:
            if place.get(name) is not None:
                return place[name]
    return None
