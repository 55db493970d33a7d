"""Shaded cells: associations of columns, and where rows lie in the plane of two principal components."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from markupsafe import Markup

from fhirsynth.trilemma.measure import Association, PcaMap
from fhirsynth.trilemma.page import captions, words
from fhirsynth.trilemma.page.drawing import svg
from fhirsynth.trilemma.page.drawing.svg import Plot, Scale, element, legend, number, picture, text

LEVELS = 8
"""Shades of a ramp; the style sheet has a class for each."""

MOST_COLUMNS = 40
"""Rows and columns of a matrix that can still be told apart; tables beside it have the rest."""

WIDTH = 460.0
GUTTER = 158.0

Matrix = Sequence[Sequence[float]]
Cell = tuple[float, float, float, float]
"""Left, top, right and bottom."""


def _level(value: float, most: float) -> int:
    """1 to :data:`LEVELS` for shares of ``most``; 0 for nothing."""
    if value <= 0 or most <= 0:
        return 0
    return max(1, min(LEVELS, round(LEVELS * value / most)))


def _shaded(cells: Iterator[tuple[str, Cell]]) -> list[Markup]:
    """One path for each class: many small cells are few elements."""
    shapes: dict[str, list[str]] = {}
    for class_, (left, top, right, bottom) in cells:
        d = f"M{number(left)} {number(top)}H{number(right)}V{number(bottom)}H{number(left)}Z"
        shapes.setdefault(class_, []).append(d)
    return [element("path", d="".join(shapes[class_]), class_=class_) for class_ in sorted(shapes)]


def association(found: Association) -> Markup:
    """Strength of association: real below the diagonal, synthetic above it."""

    def shade(row: int, column: int) -> str:
        side = found.real if row > column else found.synthetic
        return f"ramp r{_level(side[row][column], 1.0)}"

    return _matrix(found.labels, shade, captions.association_alternative(found), lambda *_: 0)


def difference(found: Association) -> Markup:
    """Synthetic minus real; + and − mark pairs whose difference is beyond that of two real samples."""

    def gap(row: int, column: int) -> float:
        return found.synthetic[row][column] - found.real[row][column]

    def shade(row: int, column: int) -> str:
        value = gap(row, column)
        return f"ramp {'s' if value > 0 else 'r'}{_level(abs(value), 1.0)}"

    def sign(row: int, column: int) -> int:
        value = gap(row, column)
        return 0 if abs(value) <= captions.noise(found, row, column) else 1 if value > 0 else -1

    return _matrix(found.labels, shade, captions.difference_alternative(found), sign)


def _matrix(
    labels: Sequence[str], shade: Callable[[int, int], str], label: str, sign: Callable[[int, int], int]
) -> Markup:
    size = min(len(labels), MOST_COLUMNS)
    side = min(28.0, (WIDTH - GUTTER - 8) / max(size, 1))
    pairs = [(row, column) for row in range(size) for column in range(size) if row != column]

    def cell(row: int, column: int) -> Cell:
        left, top = GUTTER + column * side, 20 + row * side
        return left, top, left + side - 0.6, top + side - 0.6

    parts = _shaded((shade(*pair), cell(*pair)) for pair in pairs)
    marks: dict[str, list[str]] = {}
    for pair in pairs:
        if sign(*pair):
            dark = shade(*pair)[-1] in "5678"
            marks.setdefault("sign light" if dark else "sign", []).append(_sign(cell(*pair), plus=sign(*pair) > 0))
    parts += [element("path", d="".join(marks[class_]), class_=class_) for class_ in sorted(marks)]
    for index in range(size):
        middle = index * side + side / 2
        if side >= 13 or index % 2 == 0:
            parts.append(text(GUTTER + middle, 14, str(index + 1), "middle"))
        parts.append(text(GUTTER - 6, 20 + middle + 3.5, f"{index + 1}  {labels[index]}", "end", room=GUTTER - 8))
    return picture(WIDTH, 24 + size * side, label, parts, "tight" if side < 13 else None)


def _sign(cell: Cell, *, plus: bool) -> str:
    left, top, right, bottom = cell
    x, y, arm = (left + right) / 2, (top + bottom) / 2, min(4.0, (right - left) / 3)
    across = f"M{number(x - arm)} {number(y)}H{number(x + arm)}"
    return across + (f"M{number(x)} {number(y - arm)}V{number(y + arm)}" if plus else "")


def plane(found: PcaMap, which: str) -> Markup:
    """Shares of rows by cell, and the outline of where the other side's rows lie.

    Parameters
    ----------
    found
        The map; its cells with few patients are empty.
    which
        ``real`` or ``synthetic``: the side that is shaded.
    """
    shown, other = (found.real, found.synthetic) if which == "real" else (found.synthetic, found.real)
    most = captions.fullest(found)
    x, y = _seen(found)
    plot = Plot(Scale(*x, 44, WIDTH - 10), Scale(*y, 336, 30))
    letter = "r" if which == "real" else "s"
    cells = (
        (f"ramp {letter}{_level(share, most)}", _place(found, plot, row, column))
        for row, shares in enumerate(shown)
        for column, share in enumerate(shares)
        if share > 0
    )
    parts = [
        *plot.axes(
            x_ticks=plot.x.ticks(5),
            y_ticks=plot.y.ticks(5),
            x_label=f"First component ({words.share(found.explained[0])} of the variance)",
            y_label=f"Second component ({words.share(found.explained[1])} of the variance)",
        ),
        *_shaded(cells),
        _outline(found, plot, other, "outline synthetic-line" if which == "real" else "outline real-line"),
        *legend([_outlined(which)], 394, WIDTH, left=44),
    ]
    return picture(WIDTH, 404, captions.plane_alternative(found, which), parts)


def _seen(found: PcaMap) -> tuple[tuple[float, float], tuple[float, float]]:
    """Ends of both axes: where anybody lies, and one cell around."""
    full = [
        (row, column)
        for side in (found.real, found.synthetic)
        for row, shares in enumerate(side)
        for column, share in enumerate(shares)
        if share > 0
    ]

    def ends(places: list[int], edges: Sequence[float]) -> tuple[float, float]:
        if not places:
            return edges[0], edges[-1]
        return edges[max(min(places) - 1, 0)], edges[min(max(places) + 2, len(edges) - 1)]

    return ends([column for _, column in full], found.edges_x), ends([row for row, _ in full], found.edges_y)


def _outlined(which: str) -> tuple[str, str]:
    if which == "real":
        return "synthetic-line", "outline: where synthetic patients lie"
    return "real-line", "outline: where real patients lie"


def _place(found: PcaMap, plot: Plot, row: int, column: int) -> Cell:
    return (
        plot.x(found.edges_x[column]),
        plot.y(found.edges_y[row + 1]),
        plot.x(found.edges_x[column + 1]),
        plot.y(found.edges_y[row]),
    )


def _outline(found: PcaMap, plot: Plot, shares: Matrix, class_: str) -> Markup:
    """Edges between cells with and without rows."""
    rows, columns = len(shares), len(shares[0]) if shares else 0

    def full(row: int, column: int) -> bool:
        return 0 <= row < rows and 0 <= column < columns and shares[row][column] > 0

    edges = []
    for row in range(rows):
        for column in range(columns):
            if full(row, column):
                left, top, right, bottom = map(svg.number, _place(found, plot, row, column))
                edges += [] if full(row, column - 1) else [f"M{left} {top}V{bottom}"]
                edges += [] if full(row, column + 1) else [f"M{right} {top}V{bottom}"]
                edges += [] if full(row + 1, column) else [f"M{left} {top}H{right}"]
                edges += [] if full(row - 1, column) else [f"M{left} {bottom}H{right}"]
    return element("path", d="".join(edges) or "M0 0", class_=class_)
