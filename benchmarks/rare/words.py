"""Sentences that state outcomes, each computed from the summary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.rare.plan import TITLES
from benchmarks.rare.summary import REFERENCES, Attacked, Helped, Summary, Taught
from benchmarks.rare.variants import FRESH
from fhirsynth.trilemma.page.words import listed

KEPT = 0.90
"""Share of the real AUROC that is asked for."""
COMPARATORS = ("bootstrap", "marginals", FRESH)
"""They are there to be compared with, and are recommended to nobody."""


def figure(value: float | None) -> str:
    """A share with two digits."""
    return "–" if value is None else f"{value:.2f}".replace("-", "−")


def signed(value: float | None) -> str:
    """A difference with three digits and its sign."""
    if value is None:
        return "–"
    return "0.000" if round(value, 3) == 0 else f"{value:+.3f}".replace("-", "−")


def share(value: float) -> str:
    """A share in percent."""
    return f"{value:.0%}".replace("-", "−")


def caught(several: Sequence[Attacked]) -> tuple[float | None, int, int]:
    """Mean AUC, in how many draws privacy failed, and how many there are."""
    areas = [one.auc for one in several if one.auc is not None]
    verdicts = [verdict for one in several for verdict in one.verdicts]
    mean = sum(areas) / len(areas) if areas else None
    return mean, verdicts.count("FAIL"), len(verdicts)


def outcome(summary: Summary) -> list[str]:
    """One sentence or two for each question."""
    return [
        *_best(summary),
        *_library(summary),
        *_privacy(summary),
        *_help(summary),
        *_until(summary),
        *_rule(summary),
        *_switches(summary),
        *_lacking(summary),
    ]


def _name(condition: str) -> str:
    return TITLES.get(condition, condition)


def _best(summary: Summary) -> Iterator[str]:
    """Which generators teach best, at the fewest and at the most cases."""
    for condition in summary.plan.conditions:
        words = []
        for n in dict.fromkeys((summary.plan.sizes[0], summary.plan.sizes[-1])):
            found = [
                one
                for one in summary.taught
                if (one.condition, one.n, one.mode) == (condition, n, "all")
                and one.ratio is not None
                and "/" not in one.variant
                and one.variant not in COMPARATORS
            ]
            ranked = sorted(found, key=lambda one: -(one.ratio or 0.0))
            if ranked:
                words.append(f"with {n} cases by {listed([_teaches(summary, one) for one in ranked[:3]])}")
        if words:
            yield (
                f"**{_name(condition)}, everybody synthetic.** Of the AUROC that real patients teach, most is reached "
                f"{'; '.join(words)}.{_kept(summary, condition)}"
            )


def _teaches(summary: Summary, one: Taught) -> str:
    return f"{summary.titles[one.variant]} ({figure(one.ratio)})"


def _kept(summary: Summary, condition: str) -> str:
    """Who keeps nine tenths for certain."""
    found = [
        one
        for one in summary.taught
        if (one.condition, one.mode) == (condition, "cases")
        and one.low is not None
        and one.low >= KEPT
        and one.made == one.draws
        and "/" not in one.variant
        and one.variant not in COMPARATORS
    ]
    where: dict[str, list[str]] = {}
    for one in found:
        where.setdefault(one.variant, []).append(str(one.n))
    told = [f"{summary.titles[name]} ({', '.join(sizes)})" for name, sizes in where.items()]
    if not told:
        return f" No generator's cases, beside the real others, keep {KEPT:.0%} of it for certain at any size."
    return f" Beside the real others, {KEPT:.0%} of it are kept for certain in every draw by cases of {listed(told)}."


def _library(summary: Summary) -> Iterator[str]:
    found = {(one.variant, one.condition, one.n): one for one in summary.taught if one.mode == "all"}
    places = sorted({(one.condition, one.n) for one in summary.taught}, key=lambda place: place[1])
    pairs = [
        (ours.ratio, theirs.ratio)
        for condition, n in places
        if (ours := found.get(("ctgan", condition, n))) is not None
        and (theirs := found.get(("ctgan-library", condition, n))) is not None
        and ours.ratio is not None
        and theirs.ratio is not None
    ]
    if pairs:
        ours_mean, theirs_mean = (sum(column) / len(pairs) for column in zip(*pairs, strict=True))
        better = sum(one > other for one, other in pairs)
        yield (
            f"**CTGAN.** Out of the box it reaches {figure(theirs_mean)} of the real AUROC where everybody is "
            f"synthetic, mean over conditions and sizes, ours {figure(ours_mean)}; ours is better in {better} of "
            f"{len(pairs)}."
        )


def _privacy(summary: Summary) -> Iterator[str]:
    failing: list[str] = []
    quiet: list[str] = []
    for name in dict.fromkeys(one.variant for one in summary.attacked):
        draws = _failures(summary, name)
        if any(draws):
            failing.append(f"{summary.titles[name]} ({sum(draws)} of {len(draws)})")
        elif draws:
            quiet.append(summary.titles[name])
    if failing:
        yield f"**Privacy** fails for everybody or for the cases, in so many draws, with rows of {listed(failing)}."
    if quiet:
        yield f"**Privacy** never fails with rows of {listed(quiet)}, which is no proof where cases are few."


def _failures(summary: Summary, name: str) -> list[bool]:
    """Of each draw of a generator: whether privacy fails for everybody or for the cases."""
    by_place: dict[tuple[str, int], list[tuple[str, ...]]] = {}
    for one in summary.attacked:
        if one.variant == name:
            by_place.setdefault((one.condition, one.n), []).append(one.verdicts)
    return ["FAIL" in pair for cohorts in by_place.values() for pair in zip(*cohorts, strict=True)]


def _tried(summary: Summary, condition: str, n: int) -> list[Helped]:
    return [
        one
        for one in summary.helped
        if (one.condition, one.n) == (condition, n) and one.arm not in REFERENCES and one.gain is not None
    ]


def _help(summary: Summary) -> Iterator[str]:
    for condition in summary.plan.conditions:
        words = [_at(summary, condition, n) for n in summary.plan.sizes if _tried(summary, condition, n)]
        if words:
            yield f"**{_name(condition)}, cases added.** {' '.join(words)}"


def _at(summary: Summary, condition: str, n: int) -> str:
    tried = _tried(summary, condition, n)
    helps = sorted((one for one in tried if one.helps), key=lambda one: -(one.gain or 0.0))
    harms = [summary.titles[one.arm] for one in tried if one.harms]
    verb = "helps" if len(helps) == 1 else "help"
    text = f"With {n}: {listed([_gains(summary, one) for one in helps]) or 'nothing'} {verb if helps else 'helps'}"
    text += f"; {listed(harms)} {'does' if len(harms) == 1 else 'do'} harm" if harms else ""
    oracle = next((one for one in summary.helped if (one.condition, one.n, one.arm) == (condition, n, "oracle")), None)
    if oracle is not None and oracle.gain is not None:
        text += f" (further real cases: {signed(oracle.gain)})"
    return text + "."


def _gains(summary: Summary, one: Helped) -> str:
    closed = "" if one.closed is None else f", {share(one.closed)} of the gap to further real cases"
    return f"{summary.titles[one.arm]} ({signed(one.gain)}{closed})"


def _until(summary: Summary) -> Iterator[str]:
    """From how many cases on nothing helps."""
    for condition in summary.plan.conditions:
        sizes = [n for n in summary.plan.sizes if _tried(summary, condition, n)]
        helped = [n for n in sizes if any(one.helps for one in _tried(summary, condition, n))]
        if not sizes:
            continue
        later = [n for n in sizes if not helped or n > max(helped)]
        if not helped:
            text = (
                f"at none of the sizes ({', '.join(map(str, sizes))}) does anything that was added help in every draw"
            )
        elif later:
            text = f"something helps at {max(helped)} cases, and from {later[0]} on nothing does in every draw"
        else:
            text = f"something helps up to the most cases that were tried ({max(helped)})"
        yield f"**{_name(condition)}, until when.** {text[0].upper()}{text[1:]}."


def _rule(summary: Summary) -> Iterator[str]:
    """Whether more than four to one is worth anything."""
    known = [one for one in summary.beyond if one.change is not None and one.arm not in REFERENCES]
    if not known:
        return
    told = [f"{summary.titles[one.arm]} {signed(one.change)} (rises in {one.rises} of {one.trials})" for one in known]
    best = [one for one in known if one.best > 4]
    names = listed([summary.titles[one.arm] for one in best])
    end = (
        f"beyond four to one is the best ratio on the holdout only for {names}"
        if best
        else ("for none of them is the best ratio on the holdout beyond four to one")
    )
    yield (
        "**Four to one.** From four to eight added cases to a real one average precision changes by: "
        f"{'; '.join(told)}. In hindsight {end}."
    )


def _switches(summary: Summary) -> Iterator[str]:
    known = [(one.variant, one.changes[0]) for one in summary.switches if one.changes and "/" in one.variant]
    if known:
        ranked = sorted(known, key=lambda pair: pair[1].mean)
        told = [
            f"{summary.titles[name]} {signed(change.mean)} (lower in {change.lower} of {change.trials})"
            for name, change in ranked
        ]
        yield (
            "**Switches of our CTGAN**, one turned at a time, change average precision where everybody is synthetic "
            f"by: {'; '.join(told)}."
        )


def _lacking(summary: Summary) -> Iterator[str]:
    lacking = [
        f"{summary.titles[one.variant]} ({_name(one.condition)}, {one.n} cases: {one.draws - one.made} of {one.draws})"
        for one in summary.taught
        if one.mode == "all" and one.made < one.draws
    ]
    if lacking:
        yield f"**Too few cases** were made, in so many draws, by {listed(lacking)}."
    if summary.left_out:
        yield f"**Left out**, as there is no such model here: {listed(list(summary.left_out))}."
