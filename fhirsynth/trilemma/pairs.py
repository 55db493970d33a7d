"""Fidelity of pairs and triples of columns.

Bias-corrected Cramér's V: Bergsma (2013), https://doi.org/10.1016/j.jkss.2012.10.002.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from fhirsynth.schema import Feature
from fhirsynth.trilemma.intervals import Floats, Ints
from fhirsynth.trilemma.measure import Association, Measure
from fhirsynth.trilemma.view import DRAWS, POOL, Beyond, Rows, View

ASSOCIATION = 0.25
"""Relative error of the association matrix beyond the noise floor; independent columns have 1."""

THREE_WAY = 0.10
"""Mean total variation of three columns at once beyond the noise floor."""

LEVELS = 4
"""Classes of each column in triples: quarters of a number, the commonest values of a category."""

TRIPLES = 150
"""Triples that are looked at; with more columns they are drawn at random."""


def association(features: tuple[Feature, ...], scores: dict[str, Floats], rows: Ints) -> Floats:
    """Strength of association of every pair of columns, 0 to 1.

    Spearman's |rho| between ordered columns, the correlation ratio of ranks between an ordered column and a category,
    and bias-corrected Cramér's V between categories.
    """
    size = len(features)
    result = np.eye(size)
    ordered = [index for index, feature in enumerate(features) if feature.kind != "category"]
    named = [index for index, feature in enumerate(features) if feature.kind == "category"]
    matrix = (
        np.column_stack([scores[features[index].name][rows] for index in ordered])
        if ordered
        else np.zeros((len(rows), 0))
    )
    matrix = matrix - matrix.mean(axis=0)
    norms = np.sqrt((matrix**2).sum(axis=0))
    matrix = np.divide(matrix, norms, out=np.zeros_like(matrix), where=norms > 1e-9)
    result[np.ix_(ordered, ordered)] = np.abs(matrix.T @ matrix)
    for place, index in enumerate(named):
        groups = scores[features[index].name][rows]
        counts = np.maximum(groups.sum(axis=0), 1)
        ratio = np.sqrt(np.minimum(((groups.T @ matrix) ** 2 / counts[:, None]).sum(axis=0), 1.0))
        result[index, ordered] = result[ordered, index] = ratio
        for other in named[:place]:
            result[index, other] = result[other, index] = cramers_v(groups.T @ scores[features[other].name][rows])
    np.fill_diagonal(result, 1.0)
    return np.clip(result, 0.0, 1.0)


def cramers_v(table: Floats) -> float:
    """Bias-corrected Cramér's V of a contingency table (Bergsma 2013)."""
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    rows, columns, n = table.shape[0], table.shape[1], table.sum()
    if min(rows, columns) < 2 or n < 2:
        return 0.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    phi2 = ((table - expected) ** 2 / expected).sum() / n
    phi2 = max(0.0, phi2 - (rows - 1) * (columns - 1) / (n - 1))
    fewest = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return float(np.sqrt(min(1.0, phi2 / fewest))) if fewest > 0 else 0.0


def compare_pairs(view: View) -> tuple[Association | None, list[Measure]]:
    """The association matrices of holdout and synthetic rows, and how far they are apart beyond noise."""
    if len(view.features) < 2:
        return None, []
    matrices = [_matrix(view, side) for side in view.seen]
    generator = view.generator("pairs")
    null, boot, gaps = [], [], []
    for _ in range(DRAWS):
        left, right = (_matrix(view, side) for side in view.null(generator))
        null.append(_error(left, right))
        gaps.append(np.abs(left - right))
        boot.append(_error(*(_matrix(view, side) for side in view.boot(generator))))
    floor, seen = float(np.mean(null)), _error(*matrices)
    drawn = Association(
        labels=tuple(feature.title for feature in view.features),
        real=_rows(matrices[0]),
        synthetic=_rows(matrices[1]),
        noise=_rows(np.quantile(gaps, 0.95, axis=0)),
    )
    note = f"Error {seen:.2f} of the size of the real matrix; two real samples of these sizes: {floor:.2f}."
    pairs = len(view.features) * (len(view.features) - 1) // 2
    figures = Beyond(seen, floor, float(np.std(boot)), pairs, ASSOCIATION, note)
    return drawn, [view.beyond_noise("association_error", "Relative error of the association matrix", figures)]


def _matrix(view: View, side: Rows) -> Floats:
    return association(view.features, view.scores[side[0]], side[1])


def _error(real: Floats, made: Floats) -> float:
    pairs = np.triu_indices(len(real), 1)
    size = float(np.sqrt((real[pairs] ** 2).sum()))
    return float(np.sqrt(((made[pairs] - real[pairs]) ** 2).sum())) / size if size > 1e-9 else 0.0


def _rows(matrix: Floats) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in np.round(matrix, 3).tolist())


# ---------------------------------------------------------------- three at a time


def compare_triples(view: View) -> list[Measure]:
    """Total variation of three columns at once, beyond that of two real samples, on average over triples."""
    if len(view.features) < 3:
        return []
    generator = view.generator("triples")
    classes = [_classes(view, feature) for feature in view.features]
    triples = list(combinations(range(len(classes)), 3))
    if len(triples) > TRIPLES:
        triples = [triples[index] for index in np.sort(generator.choice(len(triples), TRIPLES, replace=False))]
    cells = [_cells(classes, triple) for triple in triples]
    seen = _apart(cells, *view.seen)
    null = [_apart(cells, *view.null(generator)) for _ in range(DRAWS // 2)]
    boot = [_apart(cells, *view.boot(generator)) for _ in range(DRAWS // 2)]
    floor = float(np.mean(null))
    note = (
        f"Over {len(triples)} triples, each column in at most {LEVELS + 1} classes. Mean distance {seen:.3f}; two real "
        f"samples of these sizes are {floor:.3f} apart."
    )
    figures = Beyond(seen, floor, float(np.std(boot)), len(triples), THREE_WAY, note)
    title = "Mean distance of three columns at once (total variation)"
    return [view.beyond_noise("three_way_distance", title, figures)]


def _classes(view: View, feature: Feature) -> list[Ints]:
    """Each frame's column in few classes, cut where the real rows are; missing is class 0."""
    parts, size = view.coded[feature.name]
    counts = np.bincount(parts[POOL], minlength=size)
    counts[0] = 0
    if feature.kind in ("number", "count"):
        # Codes are in order of value: quarters of the known real values.
        below = counts.cumsum() - counts / 2
        table = 1 + np.minimum((LEVELS * below / max(counts.sum(), 1)).astype(np.int64), LEVELS - 1)
    else:
        table = np.full(size, LEVELS, dtype=np.int64)
        commonest = np.argsort(-counts, kind="stable")[: LEVELS - 1]
        table[commonest] = np.arange(1, len(commonest) + 1)
    table[0] = 0
    return [table[part] for part in parts]


def _cells(classes: list[list[Ints]], triple: tuple[int, ...]) -> list[Ints]:
    base = LEVELS + 1
    one, two, three = (classes[index] for index in triple)
    return [(a * base + b) * base + c for a, b, c in zip(one, two, three, strict=True)]


def _apart(cells: list[list[Ints]], left: Rows, right: Rows) -> float:
    size = (LEVELS + 1) ** 3
    total = 0.0
    for parts in cells:
        sides = [np.bincount(parts[frame][rows], minlength=size) / len(rows) for frame, rows in (left, right)]
        total += float(np.abs(sides[0] - sides[1]).sum() / 2)
    return total / len(cells)
