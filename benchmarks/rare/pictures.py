"""The pictures of the page, as SVG files of their own: opaque, so that they can be read on any background."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from benchmarks.rare.plan import TITLES
from benchmarks.rare.summary import MODES, Mixing, Summary, Taught
from benchmarks.rare.variants import FRESH
from fhirsynth.trilemma.page.drawing.svg import Plot, Scale, element, line, number, path, rectangle, text

WIDTH: Final = 1100.0
FONT: Final = (
    "-apple-system, BlinkMacSystemFont, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif"
)
HEADINGS: Final = {"all": "everybody synthetic", "cases": "synthetic cases, real others"}
LINES: Final = {
    "ctgan": ("#c2600a", "", "circle"),
    "ctgan+prior": ("#8c1a11", "", "square"),
    "ctgan-library": ("#c2600a", "3 3", "cross"),
    "tvae": ("#9a1f5c", "7 3", "circle"),
    "gaussian-copula": ("#6a3d8f", "", "diamond"),
    "cart": ("#00695f", "", "triangle"),
    "smote-nc": ("#2f7d1f", "7 3", "square"),
    "smote": ("#2f7d1f", "7 3", "square"),
    "private-1+prior": ("#4f4f4f", "", "cross"),
    "private-8+prior": ("#4f4f4f", "", "diamond"),
    "oversampling": ("#8a7a00", "2 3", "triangle"),
    "marginals": ("#8a7a00", "2 3", "cross"),
    "oracle": ("#2b5f97", "", "circle"),
    FRESH: ("#2b5f97", "2 3", "circle"),
}
"""Colour, dashes and mark by name. Not drawn: copies of real rows, the control, and private without the prior."""

STYLE: Final = (
    "text{fill:#1f2731}.end{text-anchor:end}.middle{text-anchor:middle}.name{fill:#525c68}"
    ".title{font-weight:600;font-size:12.5px}.head{font-weight:600;font-size:15px}.paper{fill:#fff}"
    ".grid{stroke:#e4e8ec;stroke-width:1}.axis{stroke:#6b7683;stroke-width:1}"
    ".alone{stroke:#1f2731;stroke-width:1.3;stroke-dasharray:5 3;fill:none}"
)


@dataclass(frozen=True, slots=True)
class Panel:
    """A box with its own axes: lines of points by name, over places 0, 1, 2, …; ``alone``: what they are held against.

    ``alone`` has one value for all places, or one for each.
    """

    title: str
    lines: Mapping[str, Sequence[float | None]]
    alone: Sequence[float]
    places: Sequence[str]
    ends: tuple[float, float]


def uplift_picture(summary: Summary) -> str:
    """Average precision against the number of added cases to each real one, by condition and number of real cases."""
    conditions = [name for name in summary.plan.conditions if any(one.condition == name for one in summary.mixing)]
    rows = [_mixing_row(summary, condition) for condition in conditions]
    label = "Average precision on the real holdout by the number of cases added to each real one"
    return _sheet(summary, label, "added cases to each real one", "average precision", rows, "real cases alone", 270)


def tstr_picture(summary: Summary) -> str:
    """AUROC on the real holdout against the number of cases, by condition and by what is synthetic."""
    rows = [_taught_row(summary, condition) for condition in summary.plan.conditions]
    label = "AUROC on the real holdout by the number of real cases that generators learned from"
    return _sheet(summary, label, "real cases to learn from", "AUROC", rows, "trained on the real patients", 350)


def _mixing_row(summary: Summary, condition: str) -> list[Panel]:
    found = [one for one in summary.mixing if one.condition == condition and one.arm in LINES]
    ends = _ends([value for one in found for _, value in one.points])
    return [_mixing_panel(condition, n, [one for one in found if one.n == n], ends) for n in summary.plan.sizes]


def _mixing_panel(condition: str, n: int, found: Sequence[Mixing], ends: tuple[float, float]) -> Panel:
    ratios = max(([ratio for ratio, _ in one.points] for one in found), key=len, default=[])
    lines = {one.arm: [value for _, value in one.points] for one in found}
    alone = [found[0].points[0][1]] * len(ratios) if found else []
    title = f"{TITLES.get(condition, condition)}, {n} cases"
    return Panel(title, lines, alone, [f"{ratio:g}" for ratio in ratios], ends)


def _taught_row(summary: Summary, condition: str) -> list[Panel]:
    found = [one for one in summary.taught if one.condition == condition and one.variant in LINES]
    values = [value for one in found for value in (one.auroc, one.auroc_real) if value is not None]
    return [
        _taught_panel(summary, condition, mode, [one for one in found if one.mode == mode], _ends(values))
        for mode in MODES
    ]


def _taught_panel(
    summary: Summary, condition: str, mode: str, found: Sequence[Taught], ends: tuple[float, float]
) -> Panel:
    sizes = summary.plan.sizes
    by_place = {(one.variant, one.n): one.auroc for one in found}
    lines = {one.variant: [by_place.get((one.variant, n)) for n in sizes] for one in found}
    real = [next((one.auroc_real for one in found if one.n == n and one.auroc_real is not None), None) for n in sizes]
    known = [one for one in real if one is not None]
    title = f"{TITLES.get(condition, condition)}: {HEADINGS[mode]}"
    return Panel(title, lines, known if len(known) == len(sizes) else [], [str(n) for n in sizes], ends)


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """Ends of an axis that holds these values, with a little room."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = (high - low) * 0.05 or 0.01
    return max(0.0, low - room), min(1.0, high + room)


# ---------------------------------------------------------------- drawing


def _sheet(
    summary: Summary, label: str, x_label: str, y_label: str, rows: Sequence[Sequence[Panel]], alone: str, height: float
) -> str:
    """Panels in rows of so much height, and below them the one legend of all."""
    gap, top = 14.0, 40.0
    parts = [text(16, 26, label, "head")]
    for row, panels in enumerate(rows):
        width = (WIDTH - 2 * gap) / max(len(panels), 1)
        for column, panel in enumerate(panels):
            x, y = gap + column * width, top + row * height
            parts.append(_moved(_panel(panel, width - gap, height - 8, x_label, y_label), x, y))
    drawn = dict.fromkeys(name for panels in rows for panel in panels for name in panel.lines)
    names = [name for name in LINES if name in drawn]
    bottom = top + height * len(rows) + 18
    legend, rest = _legend([(name, summary.titles[name]) for name in names], alone, bottom)
    return _file(label, bottom + rest, [*parts, *legend])


def _panel(panel: Panel, width: float, height: float, x_label: str, y_label: str) -> list[Markup]:
    last = max(len(panel.places) - 1, 1)
    plot = Plot(Scale(-0.25, last + 0.25, 44, width - 6), Scale(*panel.ends, height - 42, 48))
    parts = [text(4, 16, panel.title, "title")]
    parts += plot.axes(x_ticks=[], y_ticks=plot.y.ticks(5), x_label="", y_label=y_label)
    bottom = height - 42
    parts += [text(plot.x(place), bottom + 15, word, "middle") for place, word in enumerate(panel.places)]
    parts.append(text((44 + width) / 2, bottom + 32, x_label, "middle name"))
    if panel.alone:
        parts.append(path([(plot.x(place), plot.y(value)) for place, value in enumerate(panel.alone)], "alone"))
    for name in LINES:
        if name in panel.lines:
            parts += _series(name, panel.lines[name], plot)
    return parts


def _series(name: str, values: Sequence[float | None], plot: Plot) -> list[Markup]:
    """A line through what is known, and a mark at each value."""
    points = [(plot.x(place), plot.y(value)) for place, value in enumerate(values) if value is not None]
    if not points:
        return []
    return [_stroke(name, points), *(_mark(name, x, y) for x, y in points)]


def _stroke(name: str, points: Sequence[tuple[float, float]]) -> Markup:
    colour, dashes, _ = LINES[name]
    d = "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)
    wide = 2.4 if name in ("oracle", "ctgan") else 1.7
    return element("path", d=d, fill="none", stroke=colour, stroke_width=wide, stroke_dasharray=dashes or None)


def _mark(name: str, x: float, y: float) -> Markup:
    colour, _, shape = LINES[name]
    r = 3.2
    if shape == "circle":
        return element("circle", cx=x, cy=y, r=r, fill=colour)
    corners: Mapping[str, Callable[[], list[tuple[float, float]]]] = {
        "square": lambda: [(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)],
        "diamond": lambda: [(x - r - 1, y), (x, y - r - 1), (x + r + 1, y), (x, y + r + 1)],
        "triangle": lambda: [(x - r - 0.6, y + r), (x, y - r - 1), (x + r + 0.6, y + r)],
    }
    if shape in corners:
        d = "M" + "L".join(f"{number(a)} {number(b)}" for a, b in corners[shape]()) + "Z"
        return element("path", d=d, fill=colour)
    d = f"M{number(x - r)} {number(y - r)}L{number(x + r)} {number(y + r)}M{number(x - r)} {number(y + r)}"
    return element("path", d=f"{d}L{number(x + r)} {number(y - r)}", stroke=colour, stroke_width=1.8, fill="none")


def _legend(entries: Sequence[tuple[str, str]], alone: str, top: float) -> tuple[list[Markup], float]:
    """Entries in four columns, and the height that they take."""
    columns, height = 4, 19.0
    width = (WIDTH - 32) / columns
    parts = []
    for index, (name, words) in enumerate([("", alone), *entries]):
        x, y = 16 + width * (index % columns), top + height * (index // columns)
        if name:
            parts += [_stroke(name, [(x, y - 4), (x + 30, y - 4)]), _mark(name, x + 15, y - 4)]
        else:
            parts.append(line(x, y - 4, x + 30, y - 4, "alone"))
        parts.append(text(x + 38, y, words, room=width - 44))
    return parts, height * (1 + len(entries) // columns) + 6


def _moved(parts: Sequence[Markup], x: float, y: float) -> Markup:
    return element("g", *parts, transform=f"translate({number(x)} {number(y)})")


def _file(label: str, height: float, parts: Sequence[Markup]) -> str:
    """A whole file; the first element is the paper, as a page may be dark."""
    root = element(
        "svg",
        element("title", Markup.escape(label)),
        element("style", Markup(STYLE)),
        rectangle(0, 0, WIDTH, height, "paper"),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {number(WIDTH)} {number(height)}",
        width=WIDTH,
        height=height,
        role="img",
        font_family=FONT,
        font_size=11.0,
    )
    return f"{root}\n"
