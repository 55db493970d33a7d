"""The scores that are usually shown: SDMetrics' quality report and its privacy metrics by distance."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from fhirsynth.schema import FeatureSchema

SDTYPES = {"number": "numerical", "count": "numerical", "flag": "boolean", "category": "categorical"}
TABLE = "patients"
NAMES = ("quality", "dcr_baseline", "dcr_overfitting")


def metadata(schema: FeatureSchema) -> dict[str, Any]:
    """The columns as SDMetrics wants them described."""
    columns = {feature.name: {"sdtype": SDTYPES[feature.kind]} for feature in schema.features}
    return {"tables": {TABLE: {"columns": columns}}, "relationships": []}


def plain(frame: pd.DataFrame, schema: FeatureSchema) -> pd.DataFrame:
    """Columns of NumPy dtypes; SDMetrics does not take pandas' own."""
    kinds = {feature.name: feature.kind for feature in schema.features}
    return pd.DataFrame(
        {
            name: frame[name].astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
            if kinds[name] in ("number", "count")
            else frame[name].astype(object).where(frame[name].notna(), None)
            for name in schema.columns
        }
    )


def quality(train: pd.DataFrame, made: pd.DataFrame, described: dict[str, Any]) -> float:
    """The overall score of the quality report."""
    from sdmetrics.reports import QualityReport

    report = QualityReport()
    report.generate({TABLE: train}, {TABLE: made}, described, verbose=False)
    return float(report.get_score())


def baseline(train: pd.DataFrame, made: pd.DataFrame, described: dict[str, Any]) -> float:
    """How much further synthetic rows are from training rows than from nothing but random data."""
    from sdmetrics.single_table import DCRBaselineProtection

    return float(DCRBaselineProtection.compute(train, made, described, TABLE))


def overfitting(train: pd.DataFrame, holdout: pd.DataFrame, made: pd.DataFrame, described: dict[str, Any]) -> float:
    """Whether synthetic rows are closer to training than to holdout rows."""
    from sdmetrics.single_table import DCROverfittingProtection

    return float(DCROverfittingProtection.compute(train, made, holdout, described, TABLE))


def scores(train: pd.DataFrame, holdout: pd.DataFrame, made: pd.DataFrame, schema: FeatureSchema) -> dict[str, float]:
    """All three, 0 to 1, higher being better."""
    described = metadata(schema)
    left, middle, right = (plain(frame, schema) for frame in (train, holdout, made))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "quality": quality(left, right, described),
            "dcr_baseline": baseline(left, right, described),
            "dcr_overfitting": overfitting(left, middle, right, described),
        }
