"""model-card.json: Mitchell et al., Model Cards for Model Reporting (2019), https://doi.org/10.1145/3287560.3287596."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhirsynth import __version__
from fhirsynth.trilemma import provenance as origin
from fhirsynth.trilemma.measure import Report

_SHOWN = {"name", "cohort", "value", "low", "high", "n", "target", "met", "calibrated"}
"""What the card repeats of each literal target."""

LEAK_WARNING = (
    "A fitted generator can contain records of its training data. Treat the model like the training data: do not pass "
    "it on where they may not go, whatever the privacy figures of a sample from it say."
)


def model_card(report: Report, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The card of the generator, as JSON values; what is not recorded is null."""
    synthetic = origin.stage(provenance, "synthetic")
    model = origin.model(provenance)
    return {
        "schema_version": 1,
        "made_by": f"fhirsynth {__version__}",
        "run_id": provenance.get("run_id"),
        "generator": dict(model) or None,
        "version": _first(model, synthetic, "versions", "version"),
        "parameters": _first(model, synthetic, "parameters"),
        "seed": _first(model, synthetic, "seed", "sample_seed"),
        "training_data_sha256": origin.training_hashes(provenance) or None,
        "training_patients": report.sizes.train,
        "training_cases": report.sizes.train_cases,
        "training_data_simulated": origin.is_simulated(provenance) or None,
        "intended_use": "Synthetic patients with a rare condition for software tests, teaching and method studies.",
        "limits": [
            "It knows nothing but the columns it was trained on, at one index date.",
            "It cannot make what the training patients do not show; rare combinations are its weakest side.",
            "Not for care, epidemiology or approval; validate on real patients whatever is learned from it.",
        ],
        "leak_warning": LEAK_WARNING,
        "privacy_figures": origin.privacy_words(provenance),
        "valid": report.valid,
        "verdicts": dict(report.verdicts),
        "measures": [one.model_dump(mode="json", include=_SHOWN) for one in report.literal()],
    }


def _first(model: Mapping[str, Any], synthetic: Mapping[str, Any], *names: str) -> Any:
    for place in (model, synthetic):
        for name in names:
            if place.get(name) is not None:
                return place[name]
    return None
