"""Generators of synthetic patients: fit on training rows, sample exactly as many rows as were asked for."""

from __future__ import annotations

from fhirsynth.augment.pipeline import AugmentResult, augment, resample

__all__ = ["AugmentResult", "augment", "resample"]
