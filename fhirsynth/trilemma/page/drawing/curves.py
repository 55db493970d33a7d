"""Lines: ROC curves, nearest distances, the mixing curve and the leaks of attributes."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from fhirsynth.trilemma.measure import Attribute, Distances, Roc, UpliftPoint
from fhirsynth.trilemma.page import captions
from fhirsynth.trilemma.page.drawing import svg
from fhirsynth.trilemma.page.drawing.svg import Plot, Scale, element, legend, line, path, picture, rectangle, text

WIDTH = 460.0

_OTHERS = ("first-line", "second-line dashed", "third-line dotted", "fourth-line dashed", "fifth-line dotted")


def rocs(curves: Sequence[Roc], label: str) -> Markup:
    """ROC curves on one pair of axes, with the band of shuffled labels where there is one.

    Parameters
    ----------
    curves
        At least one; those that learned from real rows are blue, from synthetic ones orange, attacks neither.
    label
        What a screen reader says.
    """
    plot = Plot(Scale(0, 1, 48, WIDTH - 20), Scale(0, 1, 330, 32))
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
    parts = plot.axes(
        x_ticks=ticks,
        y_ticks=ticks,
        x_label="False positive rate",
        y_label="True positive rate",
        x_words=svg.percent,
        y_words=svg.percent,
    )
    banded = [curve for curve in curves if curve.low and curve.high]
    parts += [_band(curve, plot) for curve in banded]
    parts.append(path([(plot.x(0), plot.y(0)), (plot.x(1), plot.y(1))], "chance"))
    entries = []
    for curve, class_ in zip(curves, _classes(curves), strict=True):
        parts.append(
            path([(plot.x(x), plot.y(y)) for x, y in zip(curve.fpr, curve.tpr, strict=True)], f"curve {class_}")
        )
        entries.append((f"curve {class_}", f"AUC {curve.auc:.2f}  {curve.name}"))
    entries += [("swatch-band", "band: 95 % of curves with shuffled labels")] if banded else []
    entries.append(("chance", "diagonal: chance, AUC 0.50"))
    return picture(WIDTH, 392 + 17 * (len(entries) - 1), label, [*parts, *legend(entries, 384, WIDTH)])


def _band(curve: Roc, plot: Plot) -> Markup:
    upper = [(plot.x(x), plot.y(y)) for x, y in zip(curve.fpr, curve.high, strict=True)]
    lower = [(plot.x(x), plot.y(y)) for x, y in zip(curve.fpr, curve.low, strict=True)]
    return path([*upper, *reversed(lower)], "band", closed=True)


def _classes(curves: Sequence[Roc]) -> list[str]:
    """A class for each curve: solid for the first of its colour, dashed for the second."""
    found, seen = [], {"real": 0, "synthetic": 0, "other": 0}
    for curve in curves:
        side = "other" if curve.group == "membership" else "real" if "real" in curve.name.lower() else "synthetic"
        index = seen[side]
        seen[side] += 1
        if side == "other":
            found.append(_OTHERS[index % len(_OTHERS)])
        else:
            found.append(f"{side}-line" + ("", " dashed", " dotted")[min(index, 2)])
    return found


def distances(found: Distances) -> Markup:
    """Shares of rows by distance to the nearest training row; the last bin holds everything beyond it."""
    most = max((max(shares, default=0) for shares in found.series.values()), default=0) or 1
    plot = Plot(Scale(found.edges[0], found.edges[-1], 48, WIDTH - 20), Scale(0, most * 1.05, 330, 32))
    parts = plot.axes(
        x_ticks=plot.x.ticks(5),
        y_ticks=plot.y.ticks(5),
        x_label="Distance to the nearest training row (L2, normalised columns)",
        y_label="Share of rows",
        y_words=svg.percent,
    )
    entries = []
    for index, (name, shares) in enumerate(found.series.items()):
        class_ = "curve " + _series(name, index)
        corners = [
            (plot.x(x), plot.y(share))
            for share, *ends in zip(shares, found.edges, found.edges[1:], strict=False)
            for x in ends
        ]
        parts.append(path(corners, class_))
        entries.append((class_, name))
    parts.append(line(plot.x(found.threshold), 330, plot.x(found.threshold), 32, "threshold"))
    entries.append(("threshold", "5th percentile of real-to-real distances"))
    label = captions.distances_alternative(found)
    return picture(WIDTH, 392 + 17 * (len(entries) - 1), label, [*parts, *legend(entries, 384, WIDTH)])


def _series(name: str, index: int) -> str:
    if name.startswith("synthetic"):
        return "synthetic-line"
    return "real-line" if name.startswith("holdout") else _OTHERS[index % len(_OTHERS)]


def mixing(points: Sequence[UpliftPoint], reference: float, ends: tuple[float, float], label: str) -> Markup:
    """One arm of the mixing curve: average precision by ratio, with intervals.

    Parameters
    ----------
    points
        In the order of their ratio.
    reference
        Average precision of real patients alone.
    ends
        Lowest and highest value of the axis, the same for every arm.
    label
        What a screen reader says.
    """
    width, height = 320.0, 196.0
    plot = Plot(Scale(-0.4, max(len(points) - 0.6, 0.6), 48, width - 8), Scale(*ends, height - 44, 30))
    parts = plot.axes(x_ticks=[], y_ticks=plot.y.ticks(5), y_label="Average precision")
    parts.append(line(48, plot.y(reference), width - 8, plot.y(reference), "threshold"))
    for index, point in enumerate(points):
        x = plot.x(index)
        parts.append(line(x, plot.y(point.low), x, plot.y(point.high), "whisker"))
        parts.append(text(x, height - 28, f"{point.ratio:g}", "middle"))
    parts.append(path([(plot.x(index), plot.y(one.auprc)) for index, one in enumerate(points)], "curve synthetic-line"))
    parts += [
        element("circle", cx=plot.x(index), cy=plot.y(point.auprc), r=3.2, class_="synthetic")
        for index, point in enumerate(points)
    ]
    parts.append(text((48 + width - 8) / 2, height - 10, "added positives to each real one", "middle name"))
    return picture(width, height, label, parts)


def leaks(rows: Sequence[Attribute], label: str) -> Markup:
    """Members minus non-members for each guessed column, with its interval; no leak is the line at 0."""
    gutter = 150.0
    low, high = min(0.0, *(one.low for one in rows)), max(0.0, *(one.high for one in rows))
    room = (high - low) * 0.06 or 0.01
    bottom = 14 + 26.0 * len(rows)
    plot = Plot(Scale(low - room, high + room, gutter, WIDTH - 14), Scale(0, 1, bottom, 8))
    parts = plot.axes(
        x_ticks=plot.x.ticks(5), y_ticks=[], x_words=svg.percent, x_label="Right guesses, members − others"
    )
    parts.append(line(plot.x(0), 4, plot.x(0), bottom, "chance"))
    for index, one in enumerate(rows):
        y = 22 + 26 * index
        parts.append(text(gutter - 8, y + 4, one.title, "end", room=gutter - 10))
        parts.append(line(plot.x(one.low), y, plot.x(one.high), y, "whisker"))
        parts.append(rectangle(plot.x(one.leak) - 3.5, y - 3.5, plot.x(one.leak) + 3.5, y + 3.5, "synthetic"))
    return picture(WIDTH, bottom + 42, label, parts)


def span(points: Sequence[UpliftPoint]) -> tuple[float, float]:
    """Ends of a common axis for the arms of a mixing curve."""
    low, high = min(one.low for one in points), max(one.high for one in points)
    room = (high - low) * 0.05 or 0.01
    return max(0.0, low - room), min(1.0, high + room)
