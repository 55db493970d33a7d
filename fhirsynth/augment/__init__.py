"""Generators of synthetic patients: fit on training rows, sample exactly as many rows as were asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fhirsynth.augment.pipeline import AugmentResult, augment, resample

__all__ = ["AugmentResult", "augment", "resample"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is: the names of the models are there without pandas."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fhirsynth.augment import pipeline

    return getattr(pipeline, name)
