"""How figures and texts are written for people."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache

from fhirsynth.trilemma.measure import Measure

UNKNOWN = "\ufffd"
"""Stands where a sign was that cannot or must not be shown."""

_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that turn the direction of what follows: a name must not turn the sentence around it."""


def plain(text: str) -> str:
    """Text of which every sign can stand in a page: spaces for line ends, :data:`UNKNOWN` for control characters.

    Letters of every script and emoji stay; NUL, other controls, half surrogates and marks that turn the direction of
    writing do not.
    """
    return text if text.isascii() and text.isprintable() else "".join(map(_shown, text))


@cache
def _shown(sign: str) -> str:
    if sign in "\t\n\r\x0b\x0c\x85\u2028\u2029":
        return " "
    return UNKNOWN if sign in _TURNING or unicodedata.category(sign) in ("Cc", "Cs") else sign


def cut(text: str, most: float) -> str:
    """``text`` in about ``most`` letters of usual width, cut with an ellipsis; signs of wide scripts count twice."""
    text = plain(text)
    if width(text) <= most:
        return text
    used, kept = 0.0, ""
    for sign in text:
        used += width(sign)
        if used > most - 1:
            break
        kept += sign
    # A joiner or a variation selector at the end has lost what it belongs to.
    return kept.rstrip("\u200d\ufe0e\ufe0f ") + "…"


def width(text: str) -> float:
    """Roughly how many letters of usual width ``text`` is wide."""
    if text.isascii():
        return float(len(text))
    return sum(map(_letter, text))


def _letter(sign: str) -> float:
    if unicodedata.combining(sign):
        return 0.0
    return 2.0 if unicodedata.east_asian_width(sign) in "WF" else 1.0


def figure(value: float | None) -> str:
    """Three digits, and a dash where there is nothing."""
    return "–" if value is None else f"{value:.3f}".replace("-", "−") if abs(value) >= 0.0005 else "0.000"


def ends(measure: Measure) -> str:
    """The interval of a measure."""
    if measure.low is None or measure.high is None:
        return "–"
    return f"{figure(measure.low)} to {figure(measure.high)}"


def share(value: float | None) -> str:
    """A share in percent: one digit after the point where it is small, none where it is not."""
    if value is None:
        return "–"
    hundred = 100 * value
    if abs(hundred) < 0.05:
        return "0\xa0%" if hundred == 0 else "<\xa00.1\xa0%"
    digits = 0 if abs(hundred) >= 10 else 1
    return f"{hundred:.{digits}f}\xa0%".replace("-", "−")


def amount(value: float | None) -> str:
    """A figure in its own unit, with three digits that say something."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}".replace("-", "−")


def probability(value: float | None) -> str:
    """A p-value, never "0.0000"."""
    return "–" if value is None else "<\xa00.0001" if value < 0.00005 else f"{value:.4f}"


def met(measure: Measure) -> str:
    """Whether the target is met as written."""
    return {True: "yes", False: "no", None: "not measured"}[measure.met]


def cohort(name: str, title: str) -> str:
    """What a cohort is called."""
    return "overall" if name == "overall" else f"rare cohort ({title})" if title else "rare cohort"


def whom(name: str, title: str) -> str:
    """The people of a cohort, within a sentence."""
    return "all patients" if name == "overall" else f"patients with {title}" if title else "the rare cohort"


def listed(names: Sequence[str]) -> str:
    """Names with commas and an "and"."""
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else "".join(names)
