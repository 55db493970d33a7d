"""What the pictures and tables of histories show, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from fhirsynth.trilemma.lives.shown import CODED, Chart, CodeShare, CodeShares, TimelineMeasure
from fhirsynth.trilemma.page import words

NAMED = 6
"""Codes that the picture of code frequencies names."""


MENTIONED = 3
"""Differences that a row of the table names."""


def timeline(found: Sequence[TimelineMeasure]) -> str:
    """Which properties of histories lie within their band, and which do not."""
    known = [one for one in found if one.within is not None]
    apart = [one for one in known if not one.within]
    apart.sort(key=lambda one: (one.band or 0.0) - (one.distance or 0.0))
    unknown = [one for one in found if one.within is None]
    if not known:
        return "None of them could be compared."
    parts = [f"{len(known) - len(apart)} of {len(known)} properties are as near to real as real patients are."]
    if apart:
        parts.append(f"Beyond the band: {_listed(apart)}.")
    if unknown:
        parts.append(f"Not compared, as too few patients have any: {_listed(unknown)}.")
    return " ".join(parts)


def over(years: float | None) -> str:
    """Over which years histories are compared, to go on a sentence with."""
    if years is None:
        return ""
    span = "the last year" if years == 1 else f"the last {years:g} years"
    return f", over {span} alone (and conditions that last, whenever they began)"


def _listed(some: Sequence[TimelineMeasure]) -> str:
    return "; ".join(words.plain(one.title) for one in some)


def within(one: TimelineMeasure) -> str:
    """Whether a property is within its band, in words."""
    return {None: "not compared", True: "within", False: "beyond"}[one.within]


def unit(one: TimelineMeasure) -> str:
    """What the figures of a property are."""
    if one.statistic != "Kolmogorov-Smirnov D":
        return one.unit
    return f"median, {one.unit}" if one.unit else "median"


def furthest(one: TimelineMeasure) -> str:
    """What differs most, in a sentence; empty where nothing is named."""
    named = "; ".join(
        f"{words.plain(part.title)} ({words.amount(part.real)} real, {words.amount(part.synthetic)} synthetic)"
        for part in one.furthest[:MENTIONED]
    )
    return f"Differing most: {named}." if named else ""


def note(one: TimelineMeasure) -> str:
    """What a reader has to know of a property, without what is said of all of them."""
    return " ".join(one.note.replace("Decides no verdict.", "").split())


def outlying(found: CodeShares) -> list[CodeShare]:
    """Codes beyond the band, those furthest from it first."""
    apart = [one for one in found.points if one.beyond]
    return sorted(apart, key=lambda one: (-abs(one.synthetic - one.real), one.title))


def codes(found: CodeShares) -> str:
    """How many codes of each table are beyond the band."""
    parts = []
    for table in CODED:
        mine = [one for one in found.points if one.table == table]
        if mine:
            parts.append(f"{sum(one.beyond for one in mine)} of {len(mine)} {table}")
    hidden = f" {found.hidden} codes that one to four real patients have are not shown." if found.hidden else ""
    return f"Codes beyond the band: {', '.join(parts)} (about one in twenty would be by chance).{hidden}"


def codes_alternative(found: CodeShares) -> str:
    """What the picture of code frequencies shows."""
    far = outlying(found)[:NAMED]
    named = "; ".join(
        f"{words.plain(one.title)}, {words.share(one.real)} of real, {words.share(one.synthetic)} of synthetic"
        for one in far
    )
    tail = f" Furthest: {named}." if named else ""
    return f"Share of patients that have each of {len(found.points)} codes. {codes(found)}{tail}"


def chart_alternative(one: Chart) -> str:
    """Who a chart is about, and what its lanes hold."""
    meetings = sum(len(lane.at) for lane in one.encounters)
    spans = "; ".join(words.plain(lane.title) for lane in one.conditions) or "none"
    return (
        f"{words.plain(one.title)}. From {one.start:.0f} to {one.end:.0f}: encounters on {meetings} dates; conditions: "
        f"{spans}; {len(one.medications)} lanes of medication orders, {len(one.procedures)} of procedures."
    )
