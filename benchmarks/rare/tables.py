"""The page: tables of the summary, in Markdown, beside its pictures and the figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.rare.pictures import tstr_picture, uplift_picture
from benchmarks.rare.plan import FACTOR, TITLES
from benchmarks.rare.summary import MODES, REFERENCES, Attacked, Beyond, Helped, Summary, Switch, Taught, average
from benchmarks.rare.words import KEPT, caught, figure, outcome, share, signed
from fhirsynth.trilemma.page.words import listed
from fhirsynth.trilemma.uplift.arms import RATIOS
from synthea_bridge.files import atomic_file

MARK: Final = "<!-- made by python -m benchmarks.rare -->"
HEAD: Final = "# Do synthetic cases help a rare cohort?"
HEADINGS = {"all": "everybody synthetic", "cases": "synthetic cases beside the real others"}
NONE = "–"


def write(summary: Summary, out: Path) -> None:
    """The page (what stands above its mark is kept), its pictures and ``results.json``, into ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    place = out / "rare.md"
    head = place.read_text(encoding="utf-8").split(MARK)[0] if place.exists() else HEAD
    files = {
        "rare.md": f"{head.rstrip()}\n\n{MARK}\n\n{page(summary)}\n",
        "tstr.svg": tstr_picture(summary),
        "uplift.svg": uplift_picture(summary),
        "results.json": json.dumps(summary.values(), indent=1, ensure_ascii=False) + "\n",
    }
    for name, text in files.items():
        with atomic_file(out / name) as scratch:
            scratch.write_text(text, encoding="utf-8")


def page(summary: Summary) -> str:
    """The whole of ``rare.md`` below its head."""
    parts = [
        _how(summary),
        "## What came out\n\n" + "\n".join(f"- {one}" for one in outcome(summary)),
        "## Which generator?\n\n" + _decision(summary),
        "## Trained on synthetic patients, tested on real ones\n\n![AUROC by number of cases](tstr.svg)",
        *(_taught(summary, condition) for condition in summary.plan.conditions),
        "## Can it be told who was learned from?\n\n" + _attacked(summary),
        "## Synthetic cases added to the real ones\n\n![Average precision by added cases](uplift.svg)",
        *(_helped(summary, condition) for condition in summary.plan.conditions),
        "## Four to one?\n\n" + _beyond(summary),
    ]
    if set(summary.plan.ablated) & set(summary.plan.sizes):
        parts.append("## What each part of our CTGAN is worth\n\n" + _ablation(summary))
    return "\n\n".join(parts)


def _how(summary: Summary) -> str:
    plan = summary.plan
    names = listed([_title(condition) for condition in plan.conditions])
    sizes = listed([str(n) for n in plan.sizes])
    often = "once" if plan.draws == 1 else f"{plan.draws} times"
    steps = (
        "" if plan.steps is None else f" Networks were trained for {plan.steps} steps only: these figures are a try."
    )
    return (
        "## What was done\n\n"
        f"Synthea simulated {plan.simulated:,} ordinary patients and {plan.cases:,} cases each of {names}. "
        f"A trial draws {sizes} cases and {plan.learn:,} others to learn from, {plan.judge_cases:,} cases and "
        f"{plan.judge:,} others as holdout, and up to {FACTOR} further real cases to each one as oracle: what "
        f"waiting for them would bring. Every size is drawn {often}. Each generator learns from the training patients "
        "alone; it makes the cases and others that are asked for exactly, and all "
        "respect the same clinical constraints.\n\n"
        f"*The prior* are {plan.before:,} other patients, as a simulator gives them to anybody: in neither train nor "
        "holdout, and none of them with the condition. With simulated cases among them it would be the answer, as the "
        "real cases of this experiment come from the same simulator; a hospital's do not.\n\n"
        "*Utility*: the classifier (logistic regression or gradient boosting, whichever learns better from the real "
        "training patients by validation within them) learns from as many synthetic cases as there are real ones. "
        "*Privacy*: membership inference and near copies, as in every report. *Adding cases*: a classifier learns from "
        "the real patients and the added cases; how many are added is chosen inside train. Intervals are of 95 %; with "
        f"{plan.draws} {'draw' if plan.draws == 1 else 'draws'} what is said to help or harm does so in every one of "
        f"them, its interval apart from 0.{steps}"
    )


def _title(condition: str) -> str:
    return TITLES.get(condition, condition)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


# ---------------------------------------------------------------- all in one table


def _decision(summary: Summary) -> str:
    sizes = summary.plan.sizes
    rows = []
    for name in dict.fromkeys(one.variant for one in summary.attacked):
        whole = {
            n: [one.ratio for one in _of(summary, name, "all") if one.n == n and one.ratio is not None] for n in sizes
        }
        beside = _of(summary, name, "cases")
        kept = sum(one.low is not None and one.low >= KEPT for one in beside)
        mean, failed, judged = caught([one for one in summary.attacked if one.variant == name])
        gains = {n: [g.gain for g in summary.helped if (g.arm, g.n) == (name, n) and g.gain is not None] for n in sizes}
        rows.append(
            [
                summary.titles[name],
                *(figure(average(whole[n])) for n in sizes),
                f"{kept} of {len(beside)}",
                NONE if mean is None else f"{figure(mean)}, {failed} of {judged}",
                *(signed(average(gains[n])) for n in sizes),
            ]
        )
    head = ["", *(f"{n} cases" for n in sizes), f"≥ {share(KEPT)} kept", "attack, FAIL", *(f"+ {n}" for n in sizes)]
    return (
        "Means over conditions and draws. First the AUROC that synthetic patients teach, everybody synthetic, as a "
        "share of what real ones teach; at how many conditions and sizes synthetic cases beside real others keep "
        f"{share(KEPT)} of it with the lower bound, in every draw; the AUC of the strongest membership attack, on "
        "everybody and on the cases, and how often privacy is judged FAIL; and what average precision gains where "
        "synthetic cases are added to the real ones.\n\n" + _table(head, rows)
    )


def _of(summary: Summary, variant: str, mode: str) -> list[Taught]:
    return [one for one in summary.taught if (one.variant, one.mode) == (variant, mode)]


# ---------------------------------------------------------------- trained on synthetic


def _taught(summary: Summary, condition: str) -> str:
    def tables(heading: str, cell: Callable[[Taught], str]) -> str:
        found = (f"**{heading}; {HEADINGS[mode]}**\n\n{_by_size(summary, condition, mode, cell)}" for mode in MODES)
        return "\n\n".join(found)

    ratios = tables("AUROC as a share of that of real patients (lowest lower bound)", _ratio)
    precisions = tables("Average precision", lambda one: figure(one.ap))
    folded = f"<details><summary>Average precision</summary>\n\n{precisions}\n\n</details>"
    return f"### {_title(condition)}\n\n{ratios}\n\n{folded}"


def _ratio(one: Taught) -> str:
    return f"{figure(one.ratio)} ({figure(one.low)})"


def _by_size(summary: Summary, condition: str, mode: str, cell: Callable[[Taught], str]) -> str:
    found = {(one.variant, one.n): one for one in summary.taught if (one.condition, one.mode) == (condition, mode)}
    sizes = summary.plan.sizes
    names = list(dict.fromkeys(name for name, _ in found if "/" not in name))
    rows = [[summary.titles[name], *(_cell(found.get((name, n)), cell) for n in sizes)] for name in names]
    real = [next((one for (_, size), one in found.items() if size == n and one.made), None) for n in sizes]
    first = ["*the real ones*", *(NONE if one is None else _real(one, cell) for one in real)]
    return _table(["trained on", *(f"{n} cases" for n in sizes)], [first, *rows])


def _real(one: Taught, cell: Callable[[Taught], str]) -> str:
    return f"AUROC {figure(one.auroc_real)}" if cell is _ratio else figure(one.ap_real)


def _cell(one: Taught | None, cell: Callable[[Taught], str]) -> str:
    if one is None:
        return NONE
    if not one.made:
        return "too few cases made"
    return cell(one) + ("" if one.made == one.draws else f", in {one.made} of {one.draws} draws")


# ---------------------------------------------------------------- privacy


def _attacked(summary: Summary) -> str:
    found = {(one.variant, one.n, one.condition, one.cohort): one for one in summary.attacked}
    names = list(dict.fromkeys(one.variant for one in summary.attacked))
    conditions, sizes = summary.plan.conditions, summary.plan.sizes
    rows = []
    for name in names:
        cells = [summary.titles[name]]
        for cohort in ("overall", "rare"):
            for n in sizes:
                several = [found[key] for c in conditions if (key := (name, n, c, cohort)) in found]
                cells.append(_caught(several))
        rows.append(cells)
    head = ["rows of", *(f"everybody, {n} cases" for n in sizes), *(f"cases, {n}" for n in sizes)]
    return (
        "AUC of the strongest membership attack (0.50 is chance), mean over conditions and draws, and in how many of "
        f"these privacy is judged FAIL.\n\n{_table(head, rows)}"
    )


def _caught(several: Sequence[Attacked]) -> str:
    mean, failed, judged = caught(several)
    return NONE if mean is None else f"{figure(mean)}, FAIL {failed} of {judged}"


# ---------------------------------------------------------------- adding cases


def _helped(summary: Summary, condition: str) -> str:
    found = {(one.arm, one.n): one for one in summary.helped if one.condition == condition}
    sizes = summary.plan.sizes
    names = list(dict.fromkeys(name for name, _ in found if name != "none"))
    alone = [f"{figure(one.ap)} / {figure(one.auroc)}" if (one := found.get(("none", n))) else NONE for n in sizes]
    rows = [["*real cases alone: AP / AUROC*", *alone]]
    rows += [[summary.titles[name], *(_gain(found.get((name, n))) for n in sizes)] for name in names]
    return (
        f"### {_title(condition)}\n\nGain in average precision / in AUROC; share of what further real cases bring. "
        "**Bold**: better in every draw, beyond chance; *italic*: worse in every draw.\n\n"
        + _table(["added", *(f"{n} cases" for n in sizes)], rows)
    )


def _gain(one: Helped | None) -> str:
    if one is None or one.gain is None or one.auroc_gain is None:
        return NONE
    text = f"{signed(one.gain)} / {signed(one.auroc_gain)}"
    text = f"**{text}**" if one.helps else f"*{text}*" if one.harms else text
    closed = "" if one.closed is None or one.arm in REFERENCES else f"; {share(one.closed)}"
    return text + closed


def _beyond(summary: Summary) -> str:
    head = ["added", *(f"chose {ratio:g}" for ratio in RATIOS), "best on the holdout", "4 → 8", "rises in"]
    rows = [[summary.titles[one.arm], *_chosen(one), f"{one.best:g}", *_change(one)] for one in summary.beyond]
    return (
        "How often each number of added cases to a real one was chosen inside train; where average precision is "
        "highest on the holdout, in hindsight (of the ratios that all trials have); and how it changes from four to "
        "eight.\n\n" + _table(head, rows)
    )


def _chosen(one: Beyond) -> list[str]:
    counts = dict(one.chosen)
    return [str(counts.get(ratio, 0)) for ratio in RATIOS]


def _change(one: Beyond) -> list[str]:
    return [NONE, NONE] if one.change is None else [signed(one.change), f"{one.rises} of {one.trials}"]


# ---------------------------------------------------------------- ablation


def _ablation(summary: Summary) -> str:
    places = [(condition, n) for condition in summary.plan.conditions for n in summary.plan.sizes]
    places = [place for place in places if place[1] in summary.plan.ablated]
    found = {(one.variant, one.condition, one.n): one for one in summary.taught if one.mode == "all"}
    switches = {one.variant: one for one in summary.switches}
    rows = []
    for name in dict.fromkeys(("ctgan", *switches)):
        cells = [_both(found.get((name, *place))) for place in places]
        rows.append([summary.titles.get(name, name), *cells, *_changes(switches.get(name))])
    head = ["", *(f"{_title(condition)}, {n}" for condition, n in places)]
    head += [f"change of AP: {HEADINGS[mode]}" for mode in MODES]
    return (
        "AUROC / average precision on real patients, trained on rows that are all synthetic; and the mean change of "
        f"average precision against ours (in how many trials it is lower).\n\n{_table(head, rows)}"
    )


def _changes(one: Switch | None) -> list[str]:
    changes = {} if one is None else {change.mode: change for change in one.changes}
    return [f"{signed(c.mean)} ({c.lower} of {c.trials})" if (c := changes.get(mode)) else NONE for mode in MODES]


def _both(one: Taught | None) -> str:
    return NONE if one is None or not one.made else f"{figure(one.auroc)} / {figure(one.ap)}"
