"""datasheet.md: Gebru et al., Datasheets for Datasets (2021), https://doi.org/10.1145/3458723."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fhirsynth import __version__
from fhirsynth.trilemma import provenance as origin
from fhirsynth.trilemma import words
from fhirsynth.trilemma.measure import Report

_ESCAPED = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_{}[]<>#|"} | {"\n": " ", "\r": " "})


def plain(text: object) -> str:
    """Text that Markdown (and the HTML in it) takes as nothing but text."""
    return str(text).translate(_ESCAPED)


def datasheet(report: Report, provenance: Mapping[str, Any]) -> str:
    """The datasheet of the synthetic data as Markdown."""
    sections = (
        ("Motivation", _motivation(report)),
        ("Composition", _composition(report)),
        ("Collection process", _collection(provenance)),
        ("Preprocessing, cleaning and labelling", _preprocessing(provenance)),
        ("Quality", _quality(report, provenance)),
        ("Uses", _uses(report)),
        ("Distribution", _distribution(provenance)),
        ("Maintenance", _maintenance()),
    )
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections)
    return f"# Datasheet of the synthetic patients\n\n{body}\n"


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _motivation(report: Report) -> str:
    about = f" of the cohort “{plain(report.cohort_title)}”" if report.cohort_title else ""
    return (
        f"Synthetic patients{about} were made because real cases are few or may not be passed on: for testing "
        "software, for teaching, and for studying whether they help a model to find real cases."
    )


def _composition(report: Report) -> str:
    sizes = report.sizes
    total = sizes.train + sizes.holdout + sizes.synthetic
    lines = (
        "One row per patient at one index date; no relation between patients.",
        f"{sizes.synthetic} synthetic patients, {sizes.synthetic_cases} with the condition; 100 % are synthetic.",
        (
            f"Judged beside {sizes.train} training patients ({sizes.train_cases} cases) and {sizes.holdout} "
            f"holdout patients ({sizes.holdout_cases} cases); of all, {sizes.synthetic / total:.0%} are synthetic."
        ),
        "Missing values occur and are part of what was learned.",
        plain(report.composition),
    )
    return _bullets(lines)


def _listed(provenance: Mapping[str, Any], stage: str, skip: tuple[str, ...] = ("stage", "made_from")) -> list[str]:
    found = {key: value for key, value in origin.stage(provenance, stage).items() if key not in skip}
    return [f"{plain(place)}: {plain(value)}" for place, value in origin.facts(found)]


def _collection(provenance: Mapping[str, Any]) -> str:
    lines = _listed(provenance, "generated")
    if not lines:
        return "How the training data were collected is not recorded; this report was made from tables alone."
    return "The training and holdout patients were simulated with Synthea:\n\n" + _bullets(lines)


def _preprocessing(provenance: Mapping[str, Any]) -> str:
    lines = _listed(provenance, "synthetic")
    counted = [f"{plain(name)}: {plain(what)}: {plain(value)}" for name, what, value in origin.counts(provenance)]
    made = "The generator:\n\n" + _bullets(lines) if lines else "Which generator made the rows is not recorded."
    return made + ("\n\nCounted on the way:\n\n" + _bullets(counted) if counted else "")


def _quality(report: Report, provenance: Mapping[str, Any]) -> str:
    rows = [
        "| measure | cohort | value | 95 % interval | n | target | met as written | calibrated |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in report.literal():
        figures = words.figure(one.value), words.ends(one), one.n, one.target, words.met(one)
        cells = (one.title, one.cohort, *figures, one.calibrated or "not measured")
        rows.append("| " + " | ".join(map(plain, cells)) + " |")
    head = "The report's own self-test held." if report.valid else "**INVALID: the report's self-test did not hold.**"
    found = report.findings
    verdicts = _bullets(f"{one.dimension}, {one.cohort}: **{one.verdict}**. {plain(one.sentence)}" for one in found)
    return f"{head}\n\n{verdicts}\n\n" + "\n".join(rows) + f"\n\n{origin.privacy_words(provenance)}"


def _uses(report: Report) -> str:
    suited = ["testing and demonstrating software that takes FHIR patients", "teaching"]
    if report.valid and report.verdicts.get("utility") == "PASS" and report.verdicts.get("fidelity") == "PASS":
        suited.append("developing models, if they are validated on real patients")
    unsuited = [
        "decisions about the care of anybody",
        "estimates of prevalence, incidence, survival or the effect of a treatment",
        "evidence for approval or reimbursement, or as the only data that a model is validated on",
    ]
    if report.verdicts.get("privacy") != "PASS":
        unsuited.append("release outside of where the training data may be: privacy did not PASS here")
    return f"Meant for:\n\n{_bullets(suited)}\n\nIt must not be used for:\n\n{_bullets(unsuited)}"


def _distribution(provenance: Mapping[str, Any]) -> str:
    run = f" Resources carry the tag of run {plain(provenance['run_id'])}." if provenance.get("run_id") else ""
    return (
        "Whoever passes the data on passes this datasheet on with it. FHIR resources that this package writes carry "
        f"the security label HTEST (test health data) and a tag that says they are synthetic.{run}"
    )


def _maintenance() -> str:
    return (
        f"Made by fhirsynth {__version__}. The same parameters and seed make the same data; nothing needs an update: "
        "make it anew and judge it anew."
    )
