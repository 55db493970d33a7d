"""Elements of an SVG picture as text: every text and attribute is escaped here, and only here.

Colours, fonts and line styles are classes of the page's style sheet; no element has an id, so that pictures on one page
cannot disturb each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from fhirsynth.trilemma.page import words

SIZE = 11.0
"""Of the letters, in units of a picture."""

LETTER = 0.6
"""Width of a letter of usual width, as a share of its size; wide fonts included."""


def number(value: float) -> str:
    """A coordinate with at most two digits after the point."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def element(name: str, *inside: Markup, **attributes: str | float | None) -> Markup:
    """One element; attributes that are None are left out, and ``class_`` is written ``class``.

    Parameters
    ----------
    name
        Of the element.
    inside
        Elements and escaped text.
    attributes
        Values as text or numbers; an underscore stands for a hyphen.
    """
    pairs = [
        (key.rstrip("_").replace("_", "-"), number(value) if isinstance(value, float | int) else words.plain(value))
        for key, value in attributes.items()
        if value is not None
    ]
    head = "".join(f' {key}="{escape(value)}"' for key, value in pairs)
    body = "".join(inside)
    return Markup(f"<{name}{head}>{body}</{name}>" if body else f"<{name}{head}/>")  # noqa: S704  (escaped above)


def text(x: float, y: float, content: str, class_: str = "", room: float | None = None) -> Markup:
    """Text at a place, cut to ``room`` units where that is given."""
    shown = words.plain(content) if room is None else words.cut(content, room / (SIZE * LETTER))
    return element("text", escape(shown), x=x, y=y, class_=class_ or None)


def rectangle(left: float, top: float, right: float, bottom: float, class_: str) -> Markup:
    """A rectangle between two corners, whichever way round they are."""
    return element(
        "rect",
        x=min(left, right),
        y=min(top, bottom),
        width=abs(right - left),
        height=abs(bottom - top),
        class_=class_,
    )


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def path(points: Iterable[tuple[float, float]], class_: str, *, closed: bool = False) -> Markup:
    """A line through points."""
    d = "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points) + ("Z" if closed else "")
    return element("path", d=d, class_=class_)


def diamond(x: float, y: float, class_: str, radius: float = 3.6) -> Markup:
    """A mark for what lies beyond a band."""
    return path([(x - radius, y), (x, y - radius), (x + radius, y), (x, y + radius)], class_, closed=True)


def picture(width: float, height: float, label: str, parts: Iterable[Markup], class_: str | None = None) -> Markup:
    """A whole picture: one image to a screen reader, which reads ``label`` and nothing inside."""
    return element(
        "svg",
        *parts,
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="img",
        aria_label=label,
        class_=class_,
        focusable="false",
    )


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map from values to places.

    Parameters
    ----------
    low, high
        Values at the two ends.
    start, end
        Their places, in units of the picture.
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Place of a value."""
        spread = self.high - self.low
        return self.start + (self.end - self.start) * ((value - self.low) / spread if spread else 0.5)

    def ticks(self, wanted: int = 4) -> list[float]:
        """Round values within the scale, about so many."""
        spread = self.high - self.low
        if not spread > 0:
            return [self.low]
        power = 10.0 ** math.floor(math.log10(spread / wanted))
        step = next(one * power for one in (1, 2, 2.5, 5, 10) if one * power * wanted >= spread * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]


def percent(value: float) -> str:
    """A share as a tick label."""
    return f"{100 * value:.3g}%".replace("-", "−")


def plainly(value: float) -> str:
    """A figure as a tick label."""
    return f"{value:.4g}".replace("-", "−")


@dataclass(frozen=True, slots=True)
class Plot:
    """Where the axes of a picture are: a box with room for labels around it."""

    x: Scale
    y: Scale

    def axes(
        self,
        *,
        x_ticks: Sequence[float],
        y_ticks: Sequence[float],
        x_label: str = "",
        y_label: str = "",
        x_words: Callable[[float], str] = plainly,
        y_words: Callable[[float], str] = plainly,
    ) -> list[Markup]:
        """Grid lines, tick labels and the names of both axes."""
        left, right, bottom, top = self.x.start, self.x.end, self.y.start, self.y.end
        parts = [line(left, self.y(one), right, self.y(one), "grid") for one in y_ticks]
        parts += [text(left - 6, self.y(one) + 4, y_words(one), "end") for one in y_ticks]
        parts.append(line(left, bottom, right, bottom, "axis"))
        parts += [line(self.x(one), bottom, self.x(one), bottom + 4, "axis") for one in x_ticks]
        parts += [text(self.x(one), bottom + 16, x_words(one), "middle") for one in x_ticks]
        if x_label:
            parts.append(text((left + right) / 2, bottom + 34, x_label, "middle name"))
        if y_label:
            # Above the axis and not turned: it is read without turning one's head.
            parts.append(text(4, top - 10, y_label, "name"))
        return parts


def legend(entries: Sequence[tuple[str, str]], top: float, width: float, left: float = 4.0) -> list[Markup]:
    """One row for each entry: a line of its class, and its words."""
    parts = []
    for index, (class_, words_) in enumerate(entries):
        y = top + 17 * index
        parts.append(line(left, y - 4, left + 28, y - 4, class_))
        parts.append(text(left + 36, y, words_, room=width - left - 40))
    return parts
