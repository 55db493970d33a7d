"""Shares by bin or value: real in blue, synthetic in orange, and the grey band in which real samples lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

from fhirsynth.trilemma.measure import Marginal
from fhirsynth.trilemma.page import captions, words
from fhirsynth.trilemma.page.drawing import svg
from fhirsynth.trilemma.page.drawing.svg import Plot, Scale, diamond, line, path, picture, rectangle, text

WIDTH = 320.0
HEIGHT = 176.0

LANE = 12.0
"""Height of one bar that lies."""

_GAP = 0.7
"""Bins between the last bin and the share of missing values."""


@dataclass(frozen=True, slots=True)
class _Bar:
    """One bin or value: its place counted in bins, its words, shares and band (None: none was computed)."""

    place: float
    label: str
    real: float
    made: float
    band: tuple[float, float] | None

    @property
    def top(self) -> float:
        return max(self.real, self.made, *(self.band or ()))

    @property
    def beyond(self) -> bool:
        return self.band is not None and captions.outside(self.made, *self.band)


def marginal(panel: Marginal) -> Markup:
    """One column or property: lying bars for values, a histogram for numbers."""
    bars = _bars(panel)
    draw = _lying if panel.discrete else _standing
    return draw(bars, captions.marginal_alternative(panel))


def _bars(panel: Marginal) -> list[_Bar]:
    bands = captions.bands(panel)
    bars = [
        _Bar(index, label, real, made, band)
        for index, (label, real, made, band) in enumerate(
            zip(panel.labels, panel.real, panel.synthetic, bands, strict=True)
        )
    ]
    if panel.labels == ("no", "yes"):
        # The share of "no" says the same again, and would press a rare "yes" flat.
        bars = bars[1:]
    if max(panel.missing_real, panel.missing_synthetic) > 0:
        place = len(panel.labels) + _GAP
        band = panel.missing_low, panel.missing_high
        bars.append(_Bar(place, "missing", panel.missing_real, panel.missing_synthetic, band))
    return bars


def _lying(bars: list[_Bar], label: str) -> Markup:
    gutter = min(130.0, 14 + svg.SIZE * svg.LETTER * max((words.width(one.label) for one in bars), default=0))
    scale = Scale(0, max((one.top for one in bars), default=1) or 1, gutter, WIDTH - 54)
    row = 2 * LANE + 12
    parts = []
    for index, bar in enumerate(bars):
        top = 6 + row * index
        parts.append(text(gutter - 8, top + LANE + 4, bar.label, "end", room=gutter - 10))
        parts += _lanes(bar, scale, top)
    bottom = 6 + row * len(bars)
    if bars:
        parts.append(line(gutter, 2, gutter, bottom - 4, "axis"))
    return picture(WIDTH, max(bottom, row), label, parts)


def _lanes(bar: _Bar, scale: Scale, top: float) -> list[Markup]:
    middle = top + LANE
    parts = [
        rectangle(scale(0), top, scale(bar.real), middle - 1, "real"),
        rectangle(scale(0), middle + 1, scale(bar.made), middle + LANE, "synthetic"),
        text(scale(bar.real) + 5, middle - 2.5, words.share(bar.real)),
    ]
    end = scale(bar.made)
    if bar.band is not None:
        parts.append(rectangle(scale(bar.band[0]), middle, scale(bar.band[1]), middle + LANE + 1, "band"))
        end = max(end, scale(bar.band[1]))
    if bar.beyond:
        parts.append(diamond(end + 9, middle + LANE / 2 + 0.5, "mark"))
        end += 11
    parts.append(text(end + 5, middle + LANE - 2, words.share(bar.made)))
    return parts


def _standing(bars: list[_Bar], label: str) -> Markup:
    if not bars:
        return picture(WIDTH, 40, label, [text(8, 24, "No known values")])
    width = max(bar.place for bar in bars) + 1
    plot = Plot(
        Scale(-0.5, width - 0.5, 44, WIDTH - 6),
        Scale(0, (max(bar.top for bar in bars) or 1) * 1.06, HEIGHT - 24, 12),
    )
    parts = plot.axes(x_ticks=[], y_ticks=plot.y.ticks(3), y_words=svg.percent)
    parts += [
        rectangle(plot.x(bar.place - 0.5), plot.y(0), plot.x(bar.place + 0.5), plot.y(bar.real), "real pale")
        for bar in bars
    ]
    last = bars[-1:] if bars[-1].label == "missing" else []
    for run in (bars[: len(bars) - len(last)], last):
        parts += _run(run, plot)
    parts += [diamond(plot.x(bar.place), plot.y(bar.made), "mark") for bar in bars if bar.beyond]
    parts += _labels(bars, plot)
    return picture(WIDTH, HEIGHT, label, parts)


def _run(bars: list[_Bar], plot: Plot) -> list[Markup]:
    """Bars side by side: the ribbon of their band, the top of the real ones and the synthetic line."""
    if not bars:
        return []

    def steps(value: Callable[[_Bar], float]) -> list[tuple[float, float]]:
        return [(plot.x(bar.place + side), plot.y(value(bar))) for bar in bars for side in (-0.5, 0.5)]

    parts = []
    if all(bar.band is not None for bar in bars):
        lower, upper = steps(lambda bar: (bar.band or (0.0,))[0]), steps(lambda bar: (bar.band or (0.0,))[-1])
        parts.append(path([*upper, *reversed(lower)], "ribbon", closed=True))
        parts += [path(lower, "edge"), path(upper, "edge")]
    parts.append(path(steps(lambda bar: bar.real), "real-top"))
    parts.append(path(steps(lambda bar: bar.made), "synthetic-line"))
    return parts


def _labels(bars: list[_Bar], plot: Plot) -> list[Markup]:
    """Labels of bins, as many as stand side by side; "missing" always."""
    room = plot.x(1) - plot.x(0)
    letter = svg.SIZE * svg.LETTER
    longest = max((words.width(bar.label) for bar in bars if bar.label != "missing"), default=1)
    step = max(1, -int(-(longest + 1) * letter // room))
    last = bars[-1] if bars[-1].label == "missing" else None
    # The word "missing" needs the room of about four letters on either side.
    free = plot.x(last.place) - 4.5 * letter if last else WIDTH
    parts = []
    for bar in bars[: len(bars) - (last is not None)]:
        half = words.width(bar.label) * letter / 2
        if int(bar.place) % step == 0 and plot.x(bar.place) + half < free:
            parts.append(text(plot.x(bar.place), plot.y.start + 15, bar.label, "middle"))
    if last:
        parts.append(text(min(plot.x(last.place), WIDTH - 4 * letter), plot.y.start + 15, last.label, "middle"))
    return parts
