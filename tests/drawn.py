"""What the pictures of a report are drawn from, made of numbers alone: bands, curves, cells and matrices."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from fhirsynth.trilemma.lives.shown import CODED, Chart, CodeShare, CodeShares, Course, Spans, Ticks
from fhirsynth.trilemma.measure import Association, Distances, Marginal, PcaMap, Roc

COLUMNS = (
    ("age", "Age (years)"),
    ("sex", "Sex"),
    ("race", "Race"),
    ("systolic_bp", "Systolic blood pressure (mmHg)"),
    ("heart_rate", "Heart rate (beats per minute)"),
    ("spo2", "Oxygen saturation (%)"),
    ("hba1c", "HbA1c (%)"),
    ("creatinine", "Creatinine (mg/dL)"),
    ("hemoglobin", "Hemoglobin (g/dL)"),
    ("wbc", "White blood cells (10*3/uL)"),
    ("prior_admissions_12m", "Admissions in the year before"),
    ("ed_visits_12m", "Emergency visits in the year before"),
    ("num_medications", "Active medications"),
    ("has_diabetes", "Diabetes"),
    ("has_chf", "Heart failure"),
    ("has_copd", "COPD"),
    ("length_of_stay", "Length of stay (days)"),
    ("readmitted_30d", "Readmitted within 30 days"),
)


def _tuple(values: Any) -> tuple[float, ...]:
    return tuple(np.round(np.asarray(values, dtype=float), 4).tolist())


def _rows(matrix: Any) -> tuple[tuple[float, ...], ...]:
    return tuple(_tuple(row) for row in matrix)


def bins(title: str, name: str, draw: np.random.Generator, shift: float) -> Marginal:
    values = draw.normal(50, 12, 400), draw.normal(50 + shift, 12, 400)
    edges = np.arange(10, 95, 7)
    real, made = (np.histogram(np.clip(one, 10, 93), edges)[0] / 400 for one in values)
    half = 1.96 * np.sqrt(real * (1 - real) / 400) + 0.004
    missing = float(draw.choice([0.0, 0.3]))
    return Marginal(
        name=name,
        title=title,
        discrete=False,
        labels=tuple(f"{(a + b) / 2:.4g}" for a, b in pairwise(edges)),
        real=_tuple(real),
        synthetic=_tuple(made),
        low=_tuple(np.maximum(real - half, 0)),
        high=_tuple(real + half),
        missing_real=missing,
        missing_synthetic=round(missing * 1.12, 3),
        missing_low=max(missing - 0.03, 0),
        missing_high=missing + 0.03 if missing else 0.0,
    )


def _values(title: str, name: str, labels: tuple[str, ...], draw: np.random.Generator) -> Marginal:
    real, made = (draw.dirichlet(np.linspace(9, 1, len(labels)) * 6) for _ in range(2))
    if labels == ("no", "yes"):
        real, made = np.array([0.97, 0.03]), np.array([0.94, 0.06])
    half = 1.96 * np.sqrt(real * (1 - real) / 400)
    return Marginal(
        name=name,
        title=title,
        discrete=True,
        labels=labels,
        real=_tuple(real),
        synthetic=_tuple(made),
        low=_tuple(np.maximum(real - half, 0)),
        high=_tuple(real + half),
        missing_real=0.0,
        missing_synthetic=0.02 if name == "race" else 0.0,
        missing_low=0.0,
        missing_high=0.01,
    )


def panels(draw: np.random.Generator, titles: dict[str, str], races: tuple[str, ...]) -> tuple[Marginal, ...]:
    labels = {"sex": ("female", "male"), "race": races}
    return tuple(
        _values(title, name, labels.get(name, ("no", "yes")), draw)
        if name in labels or name.startswith(("has_", "readmitted"))
        else bins(title, name, draw, 4.0 * (index % 3))
        for index, (name, title) in enumerate(titles.items())
    )


def association(draw: np.random.Generator, titles: dict[str, str]) -> Association:
    size = len(titles)
    real = draw.random((size, size)) ** 3 * 0.9
    real = (real + real.T) / 2
    gap = draw.normal(0, 0.06, (size, size))
    gap[3, 7] = 0.45
    gap[9, 2] = -0.6
    made = np.clip(real + (gap + gap.T) / 2, 0, 1)
    np.fill_diagonal(real, 1)
    np.fill_diagonal(made, 1)
    return Association(
        labels=tuple(titles.values()), real=_rows(real), synthetic=_rows(made), noise=_rows(np.full((size, size), 0.09))
    )


def _roc(name: str, group: Any, power: float, *, banded: bool) -> Roc:
    grid = np.linspace(0, 1, 51)
    half = 2.2 * np.sqrt(grid * (1 - grid) / 90)
    return Roc(
        name=name,
        group=group,
        fpr=_tuple(grid),
        tpr=_tuple(grid ** (1 / power)),
        auc=round(1 / (1 / power + 1), 3),
        low=_tuple(np.maximum(grid - half, 0)) if banded else (),
        high=_tuple(np.minimum(grid + half, 1)) if banded else (),
    )


def rocs() -> tuple[Roc, ...]:
    return (
        _roc("Logistic regression, trained on synthetic", "utility", 5, banded=False),
        _roc("Logistic regression, trained on real", "utility", 9, banded=False),
        _roc("Gradient boosting, trained on synthetic", "utility", 4, banded=False),
        _roc("Gradient boosting, trained on real", "utility", 11, banded=False),
        _roc("Distance attack", "membership", 1.06, banded=True),
        _roc("Density-ratio attack", "membership", 1.2, banded=True),
        _roc("Classifier attack", "membership", 2.1, banded=True),
    )


def pca_map(draw: np.random.Generator) -> PcaMap:
    edges = np.linspace(-6, 6, 25)
    sides = []
    for centre, spread in ((0.0, 1.7), (0.5, 1.4)):
        points = np.vstack([draw.normal(centre, spread, (700, 2)), draw.normal([3, 2], 0.6, (120, 2))])
        counts = np.histogram2d(points[:, 1], points[:, 0], [edges, edges])[0]
        sides.append(_rows(np.where(counts < 5, 0, counts) / len(points)))
    return PcaMap(
        edges_x=_tuple(edges), edges_y=_tuple(edges), real=sides[0], synthetic=sides[1], explained=(0.274, 0.131)
    )


def distances(draw: np.random.Generator) -> Distances:
    edges = np.linspace(0, 5, 26)
    series = {
        name: _tuple(np.histogram(np.clip(draw.normal(centre, 0.7, 500), 0, 5), edges)[0] / 500)
        for name, centre in (("synthetic to train", 2.2), ("holdout to train", 2.6), ("train, leave one out", 2.55))
    }
    return Distances(edges=_tuple(edges), series=series, threshold=1.42)


def code_shares(draw: np.random.Generator) -> CodeShares:
    """Ten codes of each table; the last one of each is beyond the band."""
    points = [
        CodeShare(
            table=table,
            title=f"{table} number {index}",
            real=round(0.09 * index, 2),
            synthetic=min(1.0, round(0.09 * index + (0.15 if index == 9 else 0.01), 2)),
            beyond=index == 9,
        )
        for table in CODED
        for index in range(10)
    ]
    at = np.linspace(0, 1, 11)
    return CodeShares(points=tuple(points), at=_tuple(at), low=_tuple(at * 0.9), high=_tuple(at**0.9), hidden=3)


def charts(title: str = "Cystic fibrosis") -> tuple[Chart, ...]:
    """A real and a synthetic history with every kind of lane; ``title`` is what everything is called."""
    at = (2003.5, 2009.25, 2017.0)
    return tuple(
        Chart(
            origin=origin,
            title=f"Patient: female, 21 years, 31 entries, {title}",
            start=2003.0,
            end=2026.0,
            encounters=(Ticks(title="ambulatory", at=at), Ticks(title=title, at=())),
            conditions=(Spans(title=title, spans=((2003.5, None), (2004.0, 2004.0), (2005.0, 2030.0))),),
            medications=(Ticks(title=title, at=at[:1]),),
            procedures=(Ticks(title=title, at=at[1:]),),
            labs=(
                Course(title=title, unit="kg", at=at, value=(3.2, 20.0, 51.0)),
                Course(title=title, unit=title, at=at, value=(7.0, 7.0, 7.0)),
            ),
        )
        for origin in ("real", "synthetic")
    )
