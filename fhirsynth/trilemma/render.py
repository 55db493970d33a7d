"""report.html: one page that needs nothing else. It only draws what the report holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhirsynth import __version__
from fhirsynth.trilemma import drawing, words
from fhirsynth.trilemma import provenance as origin
from fhirsynth.trilemma.measure import DIMENSIONS, Report

SOURCES = (
    ("Train on synthetic, test on real", "Esteban, Hyland, Rätsch 2017", "https://arxiv.org/abs/1706.02633"),
    (
        "AUC as a rank statistic, ties one half",
        "Hanley, McNeil 1982",
        "https://doi.org/10.1148/radiology.143.1.7063747",
    ),
    ("Bootstrap intervals", "Efron, Tibshirani 1993", "https://doi.org/10.1201/9780429246593"),
    ("Membership inference by distance", "Chen et al. 2020", "https://doi.org/10.1145/3372297.3417238"),
    ("Attribute inference against non-members", "Giomi et al. 2023", "https://doi.org/10.56553/popets-2023-0055"),
    ("Bias-corrected Cramér's V", "Bergsma 2013", "https://doi.org/10.1016/j.jkss.2012.10.002"),
    ("Classifier two-sample test", "Lopez-Paz, Oquab 2017", "https://arxiv.org/abs/1610.06545"),
    ("Holm's correction over columns", "Holm 1979", "https://www.jstor.org/stable/4615733"),
    ("Score interval of a share", "Wilson 1927", "https://doi.org/10.1080/01621459.1927.10502953"),
    ("Datasheets for Datasets", "Gebru et al. 2021", "https://doi.org/10.1145/3458723"),
)


def page(report: Report, provenance: Mapping[str, Any]) -> str:
    """The report as one self-contained HTML page; every text in it is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("fhirsynth.trilemma", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(figure=words.figure, ends=words.ends, met=words.met)
    template = environment.get_template("report.html.j2")
    cohorts = [one for one in ("overall", "rare") if any(finding.cohort == one for finding in report.findings)]
    return template.render(
        report=report,
        version=__version__,
        run_id=provenance.get("run_id"),
        dimensions=DIMENSIONS,
        cohorts=[(name, words.cohort(name, report.cohort_title)) for name in cohorts],
        found={(one.dimension, one.cohort): one for one in report.findings},
        pictures=_pictures(report),
        columns=[one for one in report.columns if one.cohort == report.pictures.cohort],
        shown=words.cohort(report.pictures.cohort, report.cohort_title),
        counts=origin.counts(provenance),
        privacy_words=origin.privacy_words(provenance),
        sources=SOURCES,
    )


def _pictures(report: Report) -> dict[str, Any]:
    """SVG text by name. It is matplotlib's own output, which escapes what it draws, and so is marked as safe."""
    from markupsafe import Markup

    held = report.pictures
    drawn: dict[str, str | None] = {
        "marginals": drawing.marginals(held.marginals) if held.marginals else None,
        "associations": drawing.associations(held.association) if held.association else None,
        "rocs": drawing.rocs(held.rocs) if held.rocs else None,
        "distances": drawing.distances(held.distances) if held.distances else None,
    }
    return {name: Markup(svg) if svg else None for name, svg in drawn.items()}  # noqa: S704
