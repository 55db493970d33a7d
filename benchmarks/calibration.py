"""Whether the verdicts can be trusted: how often a perfect generator fails, and how often what must be found is.

Three populations: patients of Synthea, and two data sets that scikit-learn ships. From each, training rows, holdout and
a fresh draw are taken again and again, disjoint and at random; the fresh draw is judged as it is (every FAIL is a false
alarm), and after it was spoilt in known ways (every FAIL is a find). Beside it the usual scores. What was computed is
kept in the work folder, so that a run goes on where it was stopped; remove it after a change of the measures.

Usage: ``python -m benchmarks.calibration [--draws 100] [--work DIR] [--out docs/calibration.md]``.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import usual, worlds
from fhirsynth.trilemma.attributes import default_sensitive
from fhirsynth.trilemma.fidelity import measure_fidelity
from fhirsynth.trilemma.intervals import wilson
from fhirsynth.trilemma.literal import set_beside
from fhirsynth.trilemma.measure import DIMENSIONS, Cohort, Measure, Verdict, worst
from fhirsynth.trilemma.privacy import measure_privacy
from fhirsynth.trilemma.samples import Samples, prepare
from fhirsynth.trilemma.selftest import self_test
from fhirsynth.trilemma.utility import measure_utility

PATIENTS = 16_000
MANY = 5_000
"""Rows in the draws with a doubled flag."""
RARE_FLAG = "has_copd"
"""A flag of 1.5 % among Synthea's patients."""
SCORED = 10
"""Draws for which the usual scores are computed: they take ten seconds each."""
POWER_DRAWS = 50
"""Draws of what must be found; of copies there are as many as of fresh draws."""
BESIDE = ("fresh", "copies", "training", "independent")
"""What the usual scores are shown for, on draws of Synthea."""
COHORTS: tuple[Cohort, ...] = ("overall", "rare")

SPOILT: Mapping[str, worlds.Spoil] = {
    "fresh": worlds.untouched,
    "copies": worlds.copies(0.2),
    "training": worlds.copies(1.0),
    "independent": worlds.independent,
    "labels": worlds.mislabelled,
    "doubled": worlds.doubled(RARE_FLAG),
}
ASKED: Mapping[str, tuple[str, ...]] = {
    "fresh": ("utility", "privacy", "fidelity", "self-test"),
    "copies": ("privacy",),
    "training": ("privacy",),
    "independent": ("utility", "fidelity"),
    "labels": ("utility",),
    "doubled": ("fidelity",),
}
"""What is judged of each: the dimension that must see it, and for the fresh draw everything."""

WORDS = {
    "fresh": "a fresh draw",
    "copies": "20 % copies of training rows",
    "training": "the training rows themselves",
    "independent": "every column shuffled on its own",
    "labels": "labels shuffled",
    "doubled": f"a flag of 1.5 % doubled, {MANY:,} rows",
}
LITERAL = {
    "auc_ratio": "AUC ratio > 0.90",
    "membership_auc": "membership AUC ≈ 0.50",
    "attribute_accuracy": "attribute inference ≈ baseline",
    "ks_columns_passing": "KS p > 0.05 in every column",
    "nearest_below": "every row above the 5th percentile",
}


@dataclass(frozen=True)
class Job:
    """One draw of one population, spoilt in one way."""

    population: str
    spoilt: str
    seed: int
    work: str
    scored: bool = False

    @property
    def key(self) -> str:
        return f"{self.population}/{self.spoilt}/{self.seed}{'/scores' if self.scored else ''}"

    @property
    def is_shown(self) -> bool:
        """Whether every dimension is judged, to be shown beside the usual scores."""
        return self.population == "Synthea" and self.spoilt in BESIDE and self.seed < SCORED


@cache
def population(name: str, work: str) -> worlds.Population:
    makers: dict[str, Callable[[], worlds.Population]] = {
        "Synthea": lambda: worlds.synthea(Path(work), PATIENTS),
        "breast cancer": worlds.breast_cancer,
        "digits": worlds.digits,
    }
    return makers[name]()


def judged(job: Job) -> tuple[str, dict[str, Any]]:
    """Verdicts by dimension and cohort, the measures behind each FAIL, and which literal targets are met."""
    people = population(job.population, job.work)
    draw = people.draw(job.seed, MANY if job.spoilt == "doubled" else None)
    made = SPOILT[job.spoilt](draw)
    if job.scored:
        return job.key, usual.scores(draw.train, draw.holdout, made, people.schema)
    samples = prepare(draw.train, draw.holdout, made, people.schema, people.target, (), job.seed)
    result: dict[str, Any] = {"verdicts": {}, "failed": [], "literal": {}}
    measures: list[Measure] = []
    for dimension in DIMENSIONS:
        if dimension in ASKED[job.spoilt] or job.is_shown:
            for cohort in COHORTS:
                verdict, found = _judged(samples, dimension, cohort)
                result["verdicts"][f"{dimension}/{cohort}"] = verdict
                result["failed"] += [f"{cohort}/{one.name}" for one in found if one.verdict == "FAIL"]
                measures += found if cohort == "overall" else []
    for one in set_beside(measures):
        if one.literal:
            result["literal"][next(name for name in LITERAL if one.name.startswith(name))] = one.met
    if "self-test" in ASKED[job.spoilt] and job.seed < POWER_DRAWS:
        controls = self_test(samples, default_sensitive(samples))
        result["valid"] = all(one.ok for one in controls)
        result["broken"] = [one.name for one in controls if not one.ok]
    return job.key, result


def _judged(samples: Samples, dimension: str, cohort: Cohort) -> tuple[Verdict, list[Measure]]:
    if dimension == "utility":
        utility = measure_utility(samples, cohort)
        return utility.verdict, utility.measures
    if dimension == "privacy":
        privacy = measure_privacy(samples, cohort, default_sensitive(samples))
        return privacy.verdict, privacy.measures
    fidelity = measure_fidelity(samples, cohort)
    return fidelity.verdict, fidelity.measures


def jobs(draws: int, work: str) -> Iterator[Job]:
    for name in ("Synthea", "breast cancer", "digits"):
        for spoilt in SPOILT:
            if spoilt != "doubled" or name == "Synthea":
                times = draws if spoilt in ("fresh", "copies") else min(draws, POWER_DRAWS)
                yield from (Job(name, spoilt, seed, work) for seed in range(times))
    for spoilt in BESIDE:
        yield from (Job("Synthea", spoilt, seed, work, scored=True) for seed in range(min(SCORED, draws)))


def run(draws: int, work: Path) -> dict[str, dict[str, Any]]:
    """Do what is not done yet, one process for each core."""
    work.mkdir(parents=True, exist_ok=True)
    kept = work / "calibration.jsonl"
    done: dict[str, dict[str, Any]] = {}
    if kept.exists():
        done = dict(json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines())
    wanted = list(jobs(draws, str(work)))
    left = [job for job in wanted if job.key not in done]
    if any(job.population == "Synthea" for job in left):
        population("Synthea", str(work))
    # A process for each core: threads of numerical libraries beside them would only wait for each other.
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with kept.open("a", encoding="utf-8") as lines, get_context("spawn").Pool(os.cpu_count() or 1) as pool:
        for number, (key, result) in enumerate(pool.imap(judged, left), 1):
            done[key] = result
            lines.write(json.dumps([key, result]) + "\n")
            lines.flush()
            print(f"\r{number} of {len(left)}", end="", flush=True)
    return {job.key: done[job.key] for job in wanted}


# ---------------------------------------------------------------- tables


def _of(found: Mapping[str, dict[str, Any]], name: str, spoilt: str) -> list[dict[str, Any]]:
    start = f"{name}/{spoilt}/"
    return [one for key, one in found.items() if key.startswith(start) and not key.endswith("/scores")]


def _dimension(result: Mapping[str, Any], dimension: str) -> Verdict:
    return worst([verdict for key, verdict in result["verdicts"].items() if key.startswith(dimension)])


def _share(hits: int, n: int) -> str:
    low, high = wilson(hits, n)
    return f"{hits} of {n} ({low:.1%} to {high:.1%})"


def tables(found: Mapping[str, dict[str, Any]], draws: int, work: Path) -> str:
    people = [population(name, str(work)) for name in ("Synthea", "breast cancer", "digits")]
    return "\n\n".join(
        [
            _false_alarms(found, people),
            _verdicts(found, people),
            _finds(found, people),
            _beside(found, min(SCORED, draws)),
        ]
    )


def _false_alarms(found: Mapping[str, dict[str, Any]], people: list[worlds.Population]) -> str:
    lines = [
        "| population | rows of each sample | utility | privacy | fidelity | report INVALID |",
        "|---|---|---|---|---|---|",
    ]
    for one in people:
        results = _of(found, one.name, "fresh")
        failed = [sum(_dimension(r, d) == "FAIL" for r in results) for d in DIMENSIONS]
        tested = [one["valid"] for one in results if "valid" in one]
        cells = [*(_share(count, len(results)) for count in failed), _share(tested.count(False), len(tested))]
        lines.append(f"| {one.name} | {one.rows:,} | " + " | ".join(cells) + " |")
    return "### A perfect generator: false alarms\n\n" + "\n".join(lines)


def _verdicts(found: Mapping[str, dict[str, Any]], people: list[worlds.Population]) -> str:
    lines = ["| population | cohort | utility | privacy | fidelity |", "|---|---|---|---|---|"]
    for one in people:
        results = _of(found, one.name, "fresh")
        for cohort in COHORTS:
            cells = []
            for dimension in DIMENSIONS:
                counts = [
                    sum(r["verdicts"][f"{dimension}/{cohort}"] == v for r in results) for v in ("PASS", "UNDERPOWERED")
                ]
                cells.append(f"{counts[0]} / {counts[1]}")
            lines.append(f"| {one.name} | {cohort} | " + " | ".join(cells) + " |")
    return "### A perfect generator: PASS / UNDERPOWERED\n\n" + "\n".join(lines)


def _finds(found: Mapping[str, dict[str, Any]], people: list[worlds.Population]) -> str:
    lines = ["| what was done to the fresh draw | must fail | " + " | ".join(p.name for p in people) + " |"]
    lines.append("|---|---|" + "---|" * len(people))
    for spoilt, asked in ASKED.items():
        if spoilt == "fresh":
            continue
        for dimension in asked:
            cells = []
            for one in people:
                results = _of(found, one.name, spoilt)
                hits = sum(_dimension(r, dimension) == "FAIL" for r in results)
                cells.append(_share(hits, len(results)) if results else "–")
            lines.append(f"| {WORDS[spoilt]} | {dimension} | " + " | ".join(cells) + " |")
    return "### What must be found\n\n" + "\n".join(lines)


def _beside(found: Mapping[str, dict[str, Any]], scored: int) -> str:
    """Our verdicts, the literal targets and the usual scores on the same draws of Synthea."""
    lines = ["| | " + " | ".join(WORDS[kind] for kind in BESIDE) + " |", "|---|" + "---|" * len(BESIDE)]
    first = {kind: [found[f"Synthea/{kind}/{seed}"] for seed in range(scored)] for kind in BESIDE}
    for dimension in DIMENSIONS:
        cells = [f"FAIL in {sum(_dimension(r, dimension) == 'FAIL' for r in first[kind])}" for kind in BESIDE]
        lines.append(f"| our verdict: {dimension} | " + " | ".join(cells) + " |")
    for name, words in LITERAL.items():
        cells = [f"met in {sum(r['literal'].get(name) is True for r in first[kind])}" for kind in BESIDE]
        lines.append(f"| literal target: {words} | " + " | ".join(cells) + " |")
    titles = ("quality score", "DCR baseline protection", "DCR overfitting protection")
    for name, words in zip(usual.NAMES, titles, strict=True):
        cells = []
        for kind in BESIDE:
            values = [found[f"Synthea/{kind}/{seed}/scores"][name] for seed in range(scored)]
            cells.append(f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})")
        lines.append(f"| SDMetrics: {words} | " + " | ".join(cells) + " |")
    return f"### The usual scores on the same {scored} draws of Synthea\n\n" + "\n".join(lines)


MARK = "<!-- figures: made by python -m benchmarks.calibration -->"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--draws", type=int, default=100)
    options.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "fhirsynth-calibration")
    options.add_argument("--out", type=Path, help="Markdown file whose text below the mark is replaced by the figures.")
    chosen = options.parse_args()
    text = tables(run(chosen.draws, chosen.work), chosen.draws, chosen.work)
    print("\n" + text)
    if chosen.out is not None:
        head = chosen.out.read_text(encoding="utf-8").split(MARK)[0] if chosen.out.exists() else "# Calibration\n\n"
        chosen.out.write_text(f"{head.rstrip()}\n\n{MARK}\n\n{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
