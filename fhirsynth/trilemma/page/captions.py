"""What the pictures and tables show, in a sentence: beside them for everybody, and instead of them for who cannot see.

Sentences pick from the report's values (the largest, those outside a band); they judge nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fhirsynth.trilemma.measure import (
    Association,
    Attribute,
    ColumnFidelity,
    Distances,
    Marginal,
    PcaMap,
    Roc,
    Rule,
    UpliftPoint,
)
from fhirsynth.trilemma.page import words

ROUNDING = 5e-5
"""Shares and bands are rounded to four digits; a difference of this size is none."""

NOTICEABLE = 0.01
"""A curve leaves a pointwise band somewhere by less than this all the time."""


def outside(value: float, low: float, high: float) -> bool:
    """Whether a value lies outside a band, rounding aside."""
    return value < low - ROUNDING or value > high + ROUNDING


# ---------------------------------------------------------------- marginals


def bands(panel: Marginal) -> list[tuple[float, float] | None]:
    """The band of each bin, None for all where none was computed."""
    if len(panel.low) != len(panel.labels) or len(panel.high) != len(panel.labels):
        return [None] * len(panel.labels)
    return list(zip(panel.low, panel.high, strict=True))


def beyond(panel: Marginal) -> list[str]:
    """Labels whose synthetic share lies outside the band of real samples, "missing" among them."""
    found = [
        label
        for label, share, band in zip(panel.labels, panel.synthetic, bands(panel), strict=True)
        if band is not None and outside(share, *band)
    ]
    gone = max(panel.missing_real, panel.missing_synthetic) > 0
    if gone and outside(panel.missing_synthetic, panel.missing_low, panel.missing_high):
        found.append("missing")
    return found


def marginal_note(panel: Marginal) -> str:
    """How many shares are beyond the band."""
    found, every = beyond(panel), len(panel.labels) + (max(panel.missing_real, panel.missing_synthetic) > 0)
    if not any(bands(panel)):
        return "No band was computed."
    if not found:
        return "All shares are within the band."
    if panel.labels == ("no", "yes") and "yes" in found:
        return "Share beyond the band." if "missing" not in found else "Share and missing values beyond the band."
    return f"{len(found)} of {every} shares beyond the band{': missing' if found == ['missing'] else ''}."


def marginal_alternative(panel: Marginal) -> str:
    """Title, the largest difference and what is beyond the band."""
    rows = list(zip(panel.labels, panel.real, panel.synthetic, strict=True))
    rows += [("missing", panel.missing_real, panel.missing_synthetic)]
    label, real, made = max(rows, key=lambda row: abs(row[2] - row[1]))
    return (
        f"{panel.title}: shares of real and synthetic patients. Largest difference at “{label}”: "
        f"{words.share(real)} of real, {words.share(made)} of synthetic. {marginal_note(panel)}"
    )


def columns(found: Sequence[ColumnFidelity]) -> str:
    """The column furthest from real, and how many differ by enough to matter."""
    if not found:
        return ""
    far = max(found, key=lambda one: one.distance - one.band)
    above, several = (sum(rows) for rows in ([one.distance > one.band for one in found], [one.beyond for one in found]))
    at = f"{words.plain(far.title)} ({words.figure(far.distance)}; two real samples reach {words.figure(far.band)})"
    if not above:
        return f"No column is further from real than two real samples are from each other. Nearest to it comes {at}."
    return (
        f"{above} of {len(found)} columns are further from real than two real samples are from each other, {several} "
        f"of them beyond chance and by enough to matter. Largest distance beyond noise: {at}."
    )


# ---------------------------------------------------------------- associations


@dataclass(frozen=True, slots=True)
class Pair:
    """Two columns and the strength of their association in real and in synthetic rows."""

    one: str
    other: str
    real: float
    synthetic: float
    noise: float

    @property
    def difference(self) -> float:
        """Synthetic minus real."""
        return self.synthetic - self.real

    @property
    def beyond(self) -> bool:
        """Whether two real samples differ less, 95 times of 100."""
        return abs(self.difference) > self.noise + ROUNDING


def noise(found: Association, row: int, column: int) -> float:
    """What two real samples reach for a pair; nothing can be beyond it where it was not computed."""
    return found.noise[row][column] if len(found.noise) == len(found.labels) else 1.0


def pairs(found: Association) -> list[Pair]:
    """Every pair of columns, those furthest beyond their noise first."""
    size = range(len(found.labels))
    rows = [
        Pair(
            found.labels[row],
            found.labels[column],
            found.real[row][column],
            found.synthetic[row][column],
            noise(found, row, column),
        )
        for row in size
        for column in size[:row]
    ]
    return sorted(rows, key=lambda pair: (pair.noise - abs(pair.difference), pair.one, pair.other))


def associations(found: Association) -> str:
    """The pair furthest beyond noise, and how many are beyond it."""
    rows = pairs(found)
    if not rows:
        return "There is only one column."
    far, many = rows[0], sum(pair.beyond for pair in rows)
    head = f"{many} of {len(rows)} pairs differ by more than two real samples do (about one in twenty would by chance)."
    if not many:
        return head
    return (
        f"{head} Furthest beyond noise: {words.plain(far.one)} with {words.plain(far.other)}: real "
        f"{words.figure(far.real)}, synthetic {words.figure(far.synthetic)}; two real samples differ by "
        f"{words.figure(far.noise)}."
    )


def association_alternative(found: Association) -> str:
    """The strongest pair of real rows, and the same pair of synthetic ones."""
    rows = pairs(found)
    if not rows:
        return "Matrix of one column."
    far = max(rows, key=lambda pair: pair.real)
    return (
        f"Matrix of the strength of association of {len(found.labels)} columns, real below the diagonal, synthetic "
        f"above it. Strongest in real patients: {far.one} with {far.other}, {words.figure(far.real)}; in synthetic "
        f"ones {words.figure(far.synthetic)}."
    )


def difference_alternative(found: Association) -> str:
    """The finding of the matrix of differences."""
    return f"Matrix of differences, synthetic minus real. {associations(found)}"


# ---------------------------------------------------------------- curves


def areas(curves: Sequence[Roc]) -> str:
    """Areas under the curves of a model or an attack."""
    return "; ".join(f"{words.plain(curve.name)}: AUC {curve.auc:.2f}" for curve in curves)


def utility_curves(curves: Sequence[Roc]) -> str:
    """The pair of curves, trained on synthetic and on real, that lie furthest apart."""
    kinds = {curve.name.partition(",")[0] for curve in curves}
    found = [
        (made.auc - real.auc, kind, made.auc, real.auc)
        for kind in sorted(kinds)
        for made in curves
        for real in curves
        if made.name == f"{kind}, trained on synthetic" and real.name == f"{kind}, trained on real"
    ]
    if not found:
        return f"Areas: {areas(curves)}. 0.50 is chance."
    _, kind, made_area, real_area = max(found, key=lambda row: abs(row[0]))
    shown = f"{made_area:.2f}", f"{real_area:.2f}"
    if shown[0] == shown[1]:
        return f"The two reach the same area, for every model ({words.plain(kind)}: AUC {shown[0]}; 0.50 is chance)."
    return (
        f"Largest gap between the two: {words.plain(kind)}, AUC {shown[0]} trained on synthetic and {shown[1]} trained "
        "on real patients; 0.50 is chance."
    )


def membership_curves(curves: Sequence[Roc]) -> str:
    """Which attack rises furthest above the band of shuffled labels."""
    places = [
        (tpr - high, fpr, tpr, high, curve.name)
        for curve in curves
        for fpr, tpr, high in zip(curve.fpr, curve.tpr, curve.high, strict=False)
    ]
    if not places:
        return f"Areas: {areas(curves)}. 0.50 is chance."
    gap, fpr, tpr, high, name = max(places)
    if gap <= NOTICEABLE:
        return "No attack rises noticeably above the band of shuffled labels."
    return (
        f"Furthest above the band: {words.plain(name)}, which finds {words.share(tpr)} of the members at "
        f"{words.share(fpr)} false alarms (the band ends at {words.share(high)}). The band holds at each point alone, "
        "so that a curve leaves it somewhere more often than one time in twenty."
    )


def distances_alternative(found: Distances) -> str:
    """Where half of each series lies, by bins."""
    halves = []
    for name, shares in found.series.items():
        total, edge = 0.0, found.edges[0]
        for share, edge in zip(shares, found.edges[1:], strict=False):  # noqa: B007  (the edge that it ends at)
            total += share
            if total >= 0.5:
                break
        halves.append(f"{words.plain(name)} {words.amount(edge)}")
    return (
        f"Distances to the nearest training row. Half of the rows lie within: {'; '.join(halves)}. The 5th percentile "
        f"of real-to-real distances is {words.amount(found.threshold)}."
    )


def arm_alternative(title: str, points: Sequence[UpliftPoint], reference: float) -> str:
    """The best point of one arm."""
    best = max(points, key=lambda point: point.auprc)
    return (
        f"{title}: highest average precision {words.figure(best.auprc)} ({words.figure(best.low)} to "
        f"{words.figure(best.high)}) at ratio {best.ratio:g}; real patients alone {words.figure(reference)}."
    )


# ---------------------------------------------------------------- map


def fullest(found: PcaMap) -> float:
    """Share of rows in the fullest cell of either side."""
    return max((share for side in (found.real, found.synthetic) for row in side for share in row), default=0.0)


def plane(found: PcaMap) -> str:
    """How much of each side lies where the other has nobody to speak of."""
    cells = [
        (real, made)
        for real_row, made_row in zip(found.real, found.synthetic, strict=True)
        for real, made in zip(real_row, made_row, strict=True)
    ]
    alone = sum(made for real, made in cells if real == 0)
    missed = sum(real for real, made in cells if made == 0)
    return (
        f"{words.share(alone)} of the synthetic patients lie in cells that are empty of real ones, and "
        f"{words.share(missed)} of the real patients in cells that are empty of synthetic ones (cells with fewer than "
        "five patients count as empty)."
    )


def plane_alternative(found: PcaMap, which: str) -> str:
    """One panel of the map."""
    return f"Where {which} patients lie in the plane of the first two principal components. {plane(found)}"


# ---------------------------------------------------------------- tables


def attributes(found: Sequence[Attribute]) -> str:
    """The column with the largest leak."""
    far = max(found, key=lambda one: one.leak)
    return (
        f"Largest leak: {words.plain(far.title)}, guessed right for {words.share(far.members)} of the members and "
        f"{words.share(far.non_members)} of the others (difference {words.figure(far.leak)}, 95 % interval "
        f"{words.figure(far.low)} to {words.figure(far.high)})."
    )


def rules(found: Sequence[Rule]) -> str:
    """How many rules synthetic rows break, and which most often."""
    shares = [(one.synthetic_broken / one.synthetic_checked, one) for one in found if one.synthetic_checked]
    broken = sum(one.synthetic_broken > 0 for _, one in shares)
    if not broken:
        return f"No synthetic patient breaks any of the {len(found)} rules."
    share, worst = max(shares, key=lambda pair: pair[0])
    return (
        f"{broken} of {len(found)} rules are broken by some synthetic patient. Most often: {words.plain(worst.title)} "
        f"({words.share(share)} of the {worst.synthetic_checked:,} times that it applied)."
    )


def broken_first(found: Sequence[Rule]) -> tuple[list[Rule], list[Rule]]:
    """Rules that somebody breaks, synthetic patients most often first, and those that nobody breaks."""
    broken = [one for one in found if one.synthetic_broken or one.real_broken or one.verdict == "FAIL"]
    broken.sort(key=lambda one: -one.synthetic_broken / max(one.synthetic_checked, 1))
    return broken, [one for one in found if one not in broken]
