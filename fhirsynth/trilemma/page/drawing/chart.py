"""One patient's history: years from left to right, a lane for everything that has a name."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from fhirsynth.trilemma.lives.shown import Chart, Course, Spans, Ticks
from fhirsynth.trilemma.page import lived, words
from fhirsynth.trilemma.page.drawing.svg import Scale, element, line, number, path, picture, rectangle, text

WIDTH = 900.0
GUTTER = 250.0
LANE = 15.0
COURSE = 44.0
HEAD = 20.0

STYLE = """
svg { font-family: sans-serif; font-size: 11px; background: #fff; } text { fill: #1f2731; }
.end { text-anchor: end; } .middle { text-anchor: middle; } .name { fill: #525c68; } .head { font-weight: 700; }
.grid { stroke: #e4e8ec; stroke-width: 1; } .axis { stroke: #6b7683; stroke-width: 1; }
.real { fill: #2b5f97; } .synthetic { fill: #c2600a; }
.real-line { stroke: #2b5f97; } .synthetic-line { stroke: #c2600a; }
.real-line, .synthetic-line { fill: none; stroke-width: 1.4; }
"""
"""What a chart needs of the page's style sheet where it stands alone."""


def chart(one: Chart) -> Markup:
    """The chart as a picture of the page."""
    height, parts = _drawn(one)
    return picture(WIDTH, height, lived.chart_alternative(one), parts, "chart")


def alone(one: Chart) -> Markup:
    """The chart as a file of its own."""
    height, parts = _drawn(one)
    title = text(4, -8, one.title, "head")
    return element(
        "svg",
        element("style", Markup(STYLE)),  # noqa: S704  (without values)
        title,
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 -24 {number(WIDTH)} {number(height + 24)}",
        width=WIDTH,
        height=height + 24,
        role="img",
        aria_label=lived.chart_alternative(one),
    )


def _drawn(one: Chart) -> tuple[float, list[Markup]]:
    x = Scale(one.start, one.end, GUTTER, WIDTH - 14)
    top, parts = 4.0, []
    for head, lanes in _sections(one):
        parts.append(text(4, top + 13, head, "head"))
        top += HEAD
        for lane in lanes:
            parts += _lane(lane, x, top, one.origin)
            top += _height(lane)
        top += 4
    return top + 24, [*_years(x, top), *parts]


def _sections(one: Chart) -> Iterator[tuple[str, tuple[Ticks | Spans | Course, ...]]]:
    for head, lanes in (
        ("Encounters", one.encounters),
        ("Conditions", one.conditions),
        ("Medication orders", one.medications),
        ("Procedures", one.procedures),
        ("Measured most often", one.labs),
    ):
        if lanes:
            yield head, tuple(lanes)


def _height(lane: Ticks | Spans | Course) -> float:
    return COURSE if isinstance(lane, Course) else LANE


def _years(x: Scale, bottom: float) -> list[Markup]:
    """The axis of years, and a line for each that is named."""
    ticks = [one for one in x.ticks(10) if abs(one - round(one)) < 1e-6]
    parts = [line(x(one), 4, x(one), bottom, "grid") for one in ticks]
    parts.append(line(x.start, bottom, x.end, bottom, "axis"))
    # A year at the edge would be cut off.
    parts += [text(min(x(one), WIDTH - 16), bottom + 15, f"{one:.0f}", "middle") for one in ticks]
    return parts


def _lane(lane: Ticks | Spans | Course, x: Scale, top: float, origin: str) -> list[Markup]:
    if isinstance(lane, Course):
        return _course(lane, x, top, origin)
    parts = [text(GUTTER - 8, top + 11, lane.title, "end", room=GUTTER - 20)]
    if isinstance(lane, Ticks):
        d = "".join(f"M{number(x(one))} {number(top + 3)}v9" for one in lane.at)
        return [*parts, element("path", d=d or "M0 0", class_=f"{origin}-line")]
    parts += [_bar(x, top, begin, end, origin) for begin, end in lane.spans]
    return parts


def _bar(x: Scale, top: float, begin: float, end: float | None, origin: str) -> Markup:
    """A bar; what has no end is an arrow to the end of the axis, and what began before it starts at its edge."""
    left = x(max(begin, x.low))
    right = max(x(x.high if end is None else min(end, x.high)), left + 2)
    upper, lower = top + 3.5, top + 11.5
    if end is not None:
        return rectangle(left, upper, right, lower, origin)
    tip = (right + 2, (upper + lower) / 2)
    corners = [(left, upper), (right - 4, upper), tip, (right - 4, lower), (left, lower)]
    return path(corners, origin, closed=True)


def _course(lane: Course, x: Scale, top: float, origin: str) -> list[Markup]:
    low, high = min(lane.value), max(lane.value)
    y = Scale(low, high, top + COURSE - 8, top + 6)
    points = [(x(at), y(value)) for at, value in zip(lane.at, lane.value, strict=True)]
    span = words.amount(low) if high == low else f"{words.amount(low)} to {words.amount(high)}"
    return [
        text(GUTTER - 8, top + 17, lane.title, "end", room=GUTTER - 20),
        text(GUTTER - 8, top + 31, f"{span} {lane.unit}", "end name", room=GUTTER - 20),
        path(points, f"{origin}-line"),
        *(element("circle", cx=at, cy=value, r=1.8, class_=origin) for at, value in points),
    ]
