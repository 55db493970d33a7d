"""Feature rows made of numbers alone: what tests of later stages learn from, without Synthea."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from fhirsynth.schema import ConditionFeature, FeatureSchema, build_schema

CYSTIC_FIBROSIS = ConditionFeature(
    slug="cystic-fibrosis",
    name="Cystic fibrosis",
    snomed="190905008",
    display="Cystic fibrosis (disorder)",
)


def example_schema() -> FeatureSchema:
    """The declared features and the flag of cystic fibrosis, at the first day of 2026."""
    return build_schema(date(2026, 1, 1), CYSTIC_FIBROSIS)


def example_features(rows: int = 300, cases: float = 0.25, seed: int = 0) -> pd.DataFrame:
    """Features with missing values, rare flags and dependence: cases are younger, worse oxygenated and admitted.

    Every constraint of ``constraints.toml`` but the adult ones holds.
    """
    rng = np.random.default_rng(seed)
    case = np.arange(rows) < round(rows * cases)
    rng.shuffle(case)
    age = np.where(case, rng.integers(1, 50, rows), rng.integers(18, 91, rows))
    diabetes = rng.random(rows) < np.where(case, 0.3, 0.12)
    hba1c = np.where(diabetes, rng.uniform(6.5, 9, rows), rng.uniform(4.2, 6.4, rows))
    admissions = rng.poisson(np.where(case, 1.2, 0.15))
    stay = np.where(admissions > 0, rng.gamma(2, 2.5, rows) + 0.2, np.nan)
    laboratory = rng.random(rows) < 0.7
    frame = pd.DataFrame(
        {
            "patient_id": [f"real-{number:05d}" for number in range(rows)],
            "age": age,
            "sex": rng.choice(["female", "male"], rows),
            "race": rng.choice(["white", "black", "asian", "other"], rows, p=[0.7, 0.15, 0.1, 0.05]),
            "systolic_bp": rng.normal(112 + 0.3 * age, 12),
            "heart_rate": rng.normal(76 + 6 * case, 9),
            "spo2": np.where(rng.random(rows) < 0.6, np.minimum(rng.normal(97 - 4 * case, 1.5), 100), np.nan),
            "hba1c": np.where(laboratory, hba1c, np.nan),
            "creatinine": np.where(laboratory, rng.uniform(0.5, 1.4, rows), np.nan),
            "hemoglobin": np.where(laboratory, rng.normal(13.8 - case, 1.2), np.nan),
            "wbc": np.where(laboratory, rng.normal(6.5 + 3 * case, 1.2).clip(1), np.nan),
            "prior_admissions_12m": admissions,
            "ed_visits_12m": rng.poisson(np.where(case, 0.8, 0.2)),
            "num_medications": rng.poisson(np.where(case, 6, 2)),
            "has_diabetes": diabetes,
            "has_chf": rng.random(rows) < 0.05,
            "has_copd": rng.random(rows) < 0.06,
            "length_of_stay": stay,
            "readmitted_30d": (admissions > 1) & (rng.random(rows) < 0.4),
            "has_cystic_fibrosis": case,
        }
    )
    return example_schema().conform(frame)
