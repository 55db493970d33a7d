"""The pictures as SVG text. They draw what a report holds and compute nothing but places.

Blue is real, orange is synthetic, grey is the band in which real samples lie; what colour says, a shape, a dash or a
word says too.
"""

from fhirsynth.trilemma.page.drawing.bars import marginal
from fhirsynth.trilemma.page.drawing.chart import chart
from fhirsynth.trilemma.page.drawing.curves import distances, leaks, mixing, rocs, span
from fhirsynth.trilemma.page.drawing.fields import MOST_COLUMNS, association, difference, plane
from fhirsynth.trilemma.page.drawing.shares import codes

__all__ = [
    "MOST_COLUMNS",
    "association",
    "chart",
    "codes",
    "difference",
    "distances",
    "leaks",
    "marginal",
    "mixing",
    "plane",
    "rocs",
    "span",
]
