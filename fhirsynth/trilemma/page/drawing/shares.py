"""How many patients have each code: real on the one axis, synthetic on the other, and the band between them."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Final

from markupsafe import Markup

from fhirsynth.trilemma.lives.shown import CodeShare, CodeShares
from fhirsynth.trilemma.page import lived
from fhirsynth.trilemma.page.drawing import svg
from fhirsynth.trilemma.page.drawing.svg import Plot, Scale, element, line, path, picture, text

WIDTH = 460.0
BOTTOM = 400.0

TICKS = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
"""Shares that are named; the axes go by the square root, so that rare codes have room and noise is even."""


def codes(found: CodeShares) -> Markup:
    """One mark for each code, of another shape for each table; those beyond the band are filled."""
    plot = Plot(Scale(0, 1, 48, WIDTH - 20), Scale(0, 1, BOTTOM, 32))
    ticks = [sqrt(one) for one in TICKS]
    parts = plot.axes(
        x_ticks=ticks,
        y_ticks=ticks,
        x_label="Share of real patients (square-root scale)",
        y_label="Share of synthetic patients",
        x_words=_words,
        y_words=_words,
    )
    upper = [(plot.x(sqrt(at)), plot.y(sqrt(high))) for at, high in zip(found.at, found.high, strict=True)]
    lower = [(plot.x(sqrt(at)), plot.y(sqrt(low))) for at, low in zip(found.at, found.low, strict=True)]
    parts += [path([*upper, *reversed(lower)], "ribbon", closed=True), path(upper, "edge"), path(lower, "edge")]
    parts.append(line(plot.x(0), plot.y(0), plot.x(1), plot.y(1), "chance"))
    # Those beyond lie on top of the others.
    parts += [_mark(one, plot) for one in sorted(found.points, key=lambda one: one.beyond)]
    return picture(WIDTH, BOTTOM + 104, lived.codes_alternative(found), [*parts, *_legend()])


_CORNERS: Final[Mapping[str, tuple[tuple[float, float], ...]]] = {
    "observations": ((-3, -3), (3, -3), (3, 3), (-3, 3)),
    "medications": ((0, -4), (3.8, 3), (-3.8, 3)),
    "procedures": ((-4, 0), (0, -4), (4, 0), (0, 4)),
}


def _words(root: float) -> str:
    return svg.percent(round(root**2, 4))


def _mark(one: CodeShare, plot: Plot) -> Markup:
    return _shape(one.table, plot.x(sqrt(one.real)), plot.y(sqrt(one.synthetic)), beyond=one.beyond)


def _shape(table: str, x: float, y: float, *, beyond: bool) -> Markup:
    class_ = "code beyond" if beyond else "code"
    if table == "conditions":
        return element("circle", cx=x, cy=y, r=3.2, class_=class_)
    return path([(x + right, y + down) for right, down in _CORNERS[table]], class_, closed=True)


def _legend() -> list[Markup]:
    parts = [text(52, BOTTOM + 86, "filled: beyond the band")]
    for index, table in enumerate(("conditions", "observations", "medications", "procedures")):
        left, top = 52 + 200 * (index % 2), BOTTOM + 52 + 17 * (index // 2)
        parts.append(_shape(table, left, top - 4, beyond=False))
        parts.append(_shape(table, left + 12, top - 4, beyond=True))
        parts.append(text(left + 24, top, table))
    return parts
