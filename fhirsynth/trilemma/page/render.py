"""report.html: one page that needs nothing else. It only draws what the report holds."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from fhirsynth import __version__
from fhirsynth.trilemma.documents import provenance as origin
from fhirsynth.trilemma.measure import (
    DIMENSIONS,
    ColumnFidelity,
    Marginal,
    Measure,
    Pictures,
    Report,
    Uplift,
    UpliftPoint,
)
from fhirsynth.trilemma.page import captions, lived, words
from fhirsynth.trilemma.page.references import SOURCES

if TYPE_CHECKING:
    from jinja2 import Environment

QUESTIONS = {
    "utility": "Can a model learn from them what it learns from real patients?",
    "privacy": "Do they give away who was in the training data, or what is true of them?",
    "fidelity": "Do they look like real patients?",
}

FIRST_PANELS = 9
"""Columns of a kind whose shares are shown at once; the others are a click away, and in print."""

MOST_PAIRS = 15
"""Pairs of columns in the table beside the matrices."""


def page(report: Report, provenance: Mapping[str, Any]) -> str:
    """The report as one self-contained HTML page; every text in it is escaped.

    Parameters
    ----------
    report
        What was found. Empty collections and missing pictures are said in a sentence or left out.
    provenance
        What is known of how the data were made, as for :func:`fhirsynth.trilemma.documents.report.write_report`.

    Returns
    -------
    str
        HTML without scripts and without addresses that a browser would load; the same report gives the same text.
    """
    environment = _environment()
    style = environment.get_template("style.css.j2").render()
    shown = report.pictures.cohort
    return environment.get_template("report.html.j2").render(
        report=report,
        version=__version__,
        run_id=provenance.get("run_id"),
        style=_trusted(style),
        style_hash=b64encode(sha256(style.encode()).digest()).decode(),
        dimensions=DIMENSIONS,
        questions=QUESTIONS,
        cohorts=_cohorts(report),
        cohort_words={name: words.cohort(name, report.cohort_title) for name in ("overall", "rare")},
        measures={name: _measures(report, name) for name in DIMENSIONS},
        rules=captions.broken_first(report.rules),
        found={(one.dimension, one.cohort): one for one in report.findings},
        pictures=_pictures(report),
        columns=_ordered_columns([one for one in report.columns if one.cohort == shown]),
        pairs=captions.pairs(report.pictures.association)[:MOST_PAIRS] if report.pictures.association else [],
        shown=words.whom(shown, report.cohort_title),
        counts=origin.counts(provenance),
        privacy_words=origin.privacy_words(provenance),
        sources=SOURCES,
        first_panels=FIRST_PANELS,
    )


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("fhirsynth.trilemma.page", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_final,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(words=words, captions=captions, lived=lived, figure=words.figure, share=words.share)
    return environment


def _final(value: Any) -> Any:
    """Text as it may stand in a page; what is markup already was made of such text."""
    from markupsafe import Markup

    return words.plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _trusted(style: str) -> Any:
    """The style sheet, which is a template without values, as markup."""
    from markupsafe import Markup

    return Markup(style)  # noqa: S704


def _cohorts(report: Report) -> list[tuple[str, str]]:
    named = [name for name in ("overall", "rare") if any(one.cohort == name for one in report.findings)]
    return [(name, words.cohort(name, report.cohort_title)) for name in named]


def _measures(report: Report, dimension: str) -> tuple[list[Measure], list[Measure]]:
    """Calibrated measures that decide the verdict, and those that are shown."""
    rows = [one for one in report.measures if one.dimension == dimension]
    return [one for one in rows if one.verdict], [one for one in rows if not one.verdict and not one.literal]


def _ordered_columns(columns: Sequence[ColumnFidelity]) -> list[ColumnFidelity]:
    """Furthest beyond noise first."""
    return sorted(columns, key=lambda one: (one.band - one.distance, one.name))


def _pictures(report: Report) -> dict[str, Any]:
    """SVG by place in the page; what was not computed is empty."""
    from fhirsynth.trilemma.page import drawing

    held = report.pictures
    curves = {group: [one for one in held.rocs if one.group == group] for group in ("utility", "membership")}
    told = {"utility": captions.utility_curves, "membership": captions.membership_curves}
    found: dict[str, Any] = {
        group: drawing.rocs(some, f"ROC curves. {captions.areas(some)}. {told[group](some)}") if some else None
        for group, some in curves.items()
    }
    found["curves"] = curves
    found["distances"] = drawing.distances(held.distances) if held.distances else None
    found["plane"] = [drawing.plane(held.map, side) for side in ("real", "synthetic")] if held.map else []
    found["matrices"] = (
        [drawing.association(held.association), drawing.difference(held.association)] if held.association else []
    )
    found["most_columns"] = drawing.MOST_COLUMNS
    found["marginals"] = [
        [(panel, drawing.marginal(panel)) for panel in some] for some in _grouped(_ordered_panels(held, report.columns))
    ]
    found["timeline"] = [(panel, drawing.marginal(panel)) for panel in held.timeline]
    found["codes"] = drawing.codes(held.codes) if held.codes else None
    found["charts"] = [(one, drawing.chart(one)) for one in held.charts]
    found["leaks"] = [
        (name, drawing.leaks(some, f"Leak by column, with intervals. {captions.attributes(some)}"))
        for name in ("overall", "rare")
        if (some := [one for one in report.attributes if one.cohort == name])
    ]
    found["mixing"] = _mixing(report.uplift) if report.uplift else []
    return found


def _ordered_panels(held: Pictures, columns: Sequence[ColumnFidelity]) -> list[Marginal]:
    """Marginals in the order of the table of columns: furthest beyond noise first, the others as they come."""
    order = _ordered_columns([one for one in columns if one.cohort == held.cohort])
    places = {one.name: index for index, one in enumerate(order)}
    return sorted(held.marginals, key=lambda panel: places.get(panel.name, len(places)))


def _grouped(panels: Sequence[Marginal]) -> list[list[Marginal]]:
    """Numbers, categories and flags, as far as there are any: what is drawn alike stands together."""
    groups: list[list[Marginal]] = [[], [], []]
    for panel in panels:
        groups[2 if panel.labels == ("no", "yes") else 1 if panel.discrete else 0].append(panel)
    return [group for group in groups if group]


def _mixing(uplift: Uplift) -> list[tuple[str, Any]]:
    """One picture for each arm of the mixing curve, with its title."""
    from fhirsynth.trilemma.page import drawing

    titles = {arm.name: arm.title for arm in uplift.arms}
    arms: dict[str, list[UpliftPoint]] = {}
    for point in uplift.curve:
        arms.setdefault(point.arm, []).append(point)
    alone = next((arm.auprc.value for arm in uplift.arms if arm.ratio == 0), None)
    pictures = []
    for name, points in arms.items():
        points.sort(key=lambda point: point.ratio)
        reference = points[0].auprc if points[0].ratio == 0 or alone is None else alone
        title = titles.get(name, name)
        label = captions.arm_alternative(title, points, reference)
        pictures.append((title, drawing.mixing(points, reference, drawing.span(uplift.curve), label)))
    return pictures
