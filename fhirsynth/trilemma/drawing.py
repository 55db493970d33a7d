"""The pictures as SVG text. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from io import StringIO
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

from fhirsynth.trilemma.measure import Association, Distances, Marginal, Roc

REAL, SYNTHETIC, THIRD, GRID = "#4c6a8f", "#d9822b", "#7a9e7e", "#e3e6ea"
INK = "#2b3138"

MOST_COLUMNS = 40
"""Panels that are still a picture; the table beside it has them all."""

_STYLE = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": "#b6bdc6",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": "#5b6470",
    "ytick.color": "#5b6470",
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "legend.frameon": False,
    "legend.fontsize": 8,
}


@cache
def _drawable() -> frozenset[int]:
    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())


def label(text: str, most: int = 34) -> str:
    """Text that the font can draw, cut to ``most`` characters."""
    known = "".join(sign if ord(sign) in _drawable() and sign.isprintable() else "?" for sign in text)
    return known if len(known) <= most else known[: most - 1] + "…"


def _svg(name: str, size: tuple[float, float], paint: Callable[[Figure], None]) -> str:
    # Salt and no date: the same report gives the same bytes, and two pictures on a page do not share ids.
    with rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=size, layout="constrained")
        paint(figure)
        text = StringIO()
        figure.savefig(
            text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}, transparent=True
        )
    return text.getvalue()[text.getvalue().index("<svg") :]


def marginals(panels: tuple[Marginal, ...]) -> str:
    """Small multiples: real beside synthetic, one panel a column."""
    shown = panels[:MOST_COLUMNS]
    columns = 4
    rows = -(-len(shown) // columns)

    def paint(figure: Figure) -> None:
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis, panel in zip(axes, shown, strict=False):
            _panel(axis, panel)
        for axis in axes[len(shown) :]:
            axis.set_visible(False)

    return _svg("marginals", (11, 2.0 * rows), paint)


def _panel(axis: Any, panel: Marginal) -> None:
    axis.set_title(label(panel.title), loc="left")
    bars = len(panel.labels)
    shares: tuple[tuple[float, ...], ...] = (panel.real, panel.synthetic)
    labels = list(panel.labels)
    missing = panel.missing_real, panel.missing_synthetic
    if max(missing) > 0:
        # The last pair of bars is the share of missing values, a little apart.
        shares = tuple((*(one * (1 - gone) for one in side), gone) for side, gone in zip(shares, missing, strict=True))
        labels.append("missing")
    places = [*range(bars), *([bars + 0.6] if max(missing) > 0 else [])]
    if panel.discrete:
        axis.bar([x - 0.2 for x in places], shares[0], 0.4, color=REAL)
        axis.bar([x + 0.2 for x in places], shares[1], 0.4, color=SYNTHETIC)
    else:
        axis.bar(places, shares[0], 0.92, color=REAL, alpha=0.45)
        axis.stairs(shares[1][:bars], [x - 0.5 for x in range(bars + 1)], color=SYNTHETIC, linewidth=1.6)
        axis.bar(places[bars:], shares[1][bars:], 0.92, fill=False, edgecolor=SYNTHETIC, linewidth=1.6)
    _ticks(axis, places, labels, discrete=panel.discrete)
    axis.set_ylim(bottom=0)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axis.locator_params(axis="y", nbins=3)


def _ticks(axis: Any, places: list[float], labels: list[str], *, discrete: bool) -> None:
    # Long numbers stand further apart, so that they do not run into each other.
    longest = max((len(one) for one in labels if one != "missing"), default=0)
    step = 1 if discrete else max(1, -(-len(labels) * longest // 22))
    chosen = [index for index in range(len(labels)) if index % step == 0 or labels[index] == "missing"]
    if not discrete and labels and labels[-1] == "missing":
        # No number right beside the word.
        chosen = [index for index in chosen if index == len(labels) - 1 or index < len(labels) - 2]
    turned = discrete and max((len(one) for one in labels), default=0) * len(labels) > 26
    axis.set_xticks(
        [places[index] for index in chosen],
        [label(labels[index], 14) for index in chosen],
        rotation=30 if turned else 0,
        ha="right" if turned else "center",
        rotation_mode="anchor" if turned else "default",
    )


def associations(found: Association) -> str:
    """Three matrices: real, synthetic and their difference."""
    size = len(found.labels)
    names = [label(one, 22) for one in found.labels]
    gap = [[s - r for r, s in zip(*pair, strict=True)] for pair in zip(found.real, found.synthetic, strict=True)]
    panels = (
        ("Real (holdout)", found.real, "Blues", 0.0),
        ("Synthetic", found.synthetic, "Blues", 0.0),
        ("Synthetic − real", gap, "RdBu_r", -1.0),
    )

    def paint(figure: Figure) -> None:
        axes = figure.subplots(1, 3)
        for index, (title, matrix, colours, low) in enumerate(panels):
            axis = axes[index]
            image = axis.imshow(matrix, cmap=colours, vmin=low, vmax=1.0, interpolation="nearest", aspect="equal")
            axis.set_title(title, loc="left")
            axis.set_xticks(range(size), names, rotation=90, fontsize=6)
            axis.set_yticks(range(size), names if index == 0 else [""] * size, fontsize=6)
            axis.tick_params(length=0)
            axis.spines[:].set_visible(False)
            figure.colorbar(image, ax=axis, shrink=0.6, pad=0.02).outline.set_visible(False)

    return _svg("associations", (11, 4.6), paint)


def rocs(curves: tuple[Roc, ...]) -> str:
    """Utility on the left, the membership attack on the right."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots(1, 2)
        for axis, group, title in zip(
            axes,
            ("utility", "membership"),
            ("Utility: finding real patients", "Privacy: telling members from others"),
            strict=True,
        ):
            axis.plot([0, 1], [0, 1], color="#9aa3ad", linewidth=0.8, linestyle="--")
            for index, curve in enumerate(one for one in curves if one.group == group):
                real = "real" in curve.name
                style = "-" if index < 2 else ":"
                colour = THIRD if group == "membership" else REAL if real else SYNTHETIC
                axis.plot(
                    curve.fpr,
                    curve.tpr,
                    style,
                    color=colour,
                    linewidth=1.6,
                    label=f"{label(curve.name, 60)} ({curve.auc:.2f})",
                )
            axis.set_title(title, loc="left")
            axis.set_xlabel("False positive rate")
            axis.set_ylabel("True positive rate")
            axis.set_aspect("equal")
            if any(one.group == group for one in curves):
                axis.legend(loc="lower right")

    return _svg("rocs", (10, 4.6), paint)


def distances(found: Distances) -> str:
    """Binned nearest-neighbour distances; the last bin holds everything beyond it."""
    colours = (SYNTHETIC, REAL, THIRD)

    def paint(figure: Figure) -> None:
        axis = figure.subplots()
        for (name, shares), colour in zip(found.series.items(), colours, strict=False):
            axis.stairs(shares, found.edges, color=colour, linewidth=1.7, label=label(name, 60))
        axis.axvline(found.threshold, color=INK, linewidth=0.9, linestyle="--", label="5th percentile, real to real")
        axis.set_xlabel("Distance to the nearest training row (L2 on normalised columns)")
        axis.set_ylabel("Share of rows")
        axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")
        axis.legend(loc="upper right")

    return _svg("distances", (10, 3.2), paint)
