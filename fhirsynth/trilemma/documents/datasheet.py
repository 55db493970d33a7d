"""datasheet.md: Gebru et al., Datasheets for Datasets (2021), https://doi.org/10.1145/3458723.

Its seven parts with the questions that apply to synthetic patients, each answered from what is recorded, after a table
that says in one place who made the data from what. What is not recorded is said to be so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from fhirsynth import __version__
from fhirsynth.augment.store import WARNING
from fhirsynth.schema import FeatureSchema
from fhirsynth.trilemma.documents import provenance as origin
from fhirsynth.trilemma.documents import uses
from fhirsynth.trilemma.documents.croissant import DataFile
from fhirsynth.trilemma.measure import DIMENSIONS, Measure, Report
from fhirsynth.trilemma.page import words

_ESCAPED = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_{}[]<>#|"} | {"\n": " ", "\r": " "})

NOT_RECORDED = "not recorded"

COUNTED = {
    "rejected_rows": "rows drawn again, in all",
    "rejected": "rows drawn again",
    "repaired": "values repaired",
    "switched_off": "rule switched off, as only this share of the training patients keeps to it",
    "drawn": "rows drawn, in all",
    "without_condition": "rows drawn without the condition, and let go",
}
"""What the generator's counts mean, in words."""

Questions = Iterable[tuple[str, str]]
"""A question of the datasheet and its answer in Markdown."""

TERMINOLOGIES = (
    "Codes in them belong to terminologies with terms of their own: LOINC (Regenstrief Institute) and SNOMED CT "
    "(SNOMED International; free to use in member countries, by licence elsewhere)."
)


def plain(text: object) -> str:
    """Text that Markdown (and the HTML in it) takes as nothing but text."""
    return str(text).translate(_ESCAPED)


def datasheet(
    report: Report,
    provenance: Mapping[str, Any],
    *,
    schema: FeatureSchema | None = None,
    files: Sequence[DataFile] = (),
) -> str:
    """The datasheet of the synthetic data as Markdown.

    Parameters
    ----------
    report, provenance, schema, files
        As :func:`fhirsynth.trilemma.documents.report.write_report` takes them; without ``schema`` and ``files`` the
        sheet says less.
    """
    sections = (
        ("At a glance", _glance(report, provenance, files)),
        ("Motivation", _answers(_motivation(report, provenance))),
        ("Composition", _answers(_composition(report, provenance, schema))),
        ("Collection process", _answers(_collection(provenance, schema))),
        ("Preprocessing, cleaning and labelling", _answers(_preprocessing(provenance))),
        ("Quality", _quality(report, provenance)),
        ("Uses", _answers(_uses(report))),
        ("Distribution", _answers(_distribution(provenance, files))),
        ("Maintenance", _answers(_maintenance(provenance))),
    )
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections)
    return f"# Datasheet of the synthetic patients\n\n{body}\n"


def _answers(questions: Questions) -> str:
    return "\n\n".join(f"**{question}** {answer}".replace("** \n", "**\n", 1) for question, answer in questions)


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _below(lines: Sequence[str], nothing: str) -> str:
    """Lines as a list of their own below a question, or ``nothing``."""
    return "\n\n" + _bullets(lines) if lines else nothing


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *([plain(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _pairs(found: Mapping[Any, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in found.items()) or NOT_RECORDED


def _with_cases(report: Report, patients: int, cases: int) -> str:
    return f"{patients} patients" + (f", {cases} of them with the condition" if report.cohort_column else "")


def _glance(report: Report, provenance: Mapping[str, Any], files: Sequence[DataFile]) -> str:
    sizes, kept = report.sizes, origin.model_kept(provenance)
    total = sizes.train + sizes.holdout + sizes.synthetic
    versions = origin.versions(provenance)
    source = origin.simulator(provenance) if origin.is_simulated(provenance) else NOT_RECORDED
    rows = [
        ("Made by", f"fhirsynth {__version__}, run {provenance.get('run_id') or NOT_RECORDED}"),
        ("Generator", origin.generator(provenance) or NOT_RECORDED),
        ("Versions", _pairs(versions)),
        ("Parameters", _pairs(origin.parameters(provenance))),
        ("Seeds", _pairs({**origin.seeds(provenance), "evaluate": report.seed})),
        ("Source of the training data", source),
        ("Training patients", _with_cases(report, sizes.train, sizes.train_cases)),
        ("SHA-256 of the training data", ", ".join(origin.training_hashes(provenance).values()) or NOT_RECORDED),
        ("Learned from before (prior)", _prior(provenance)),
        ("Differential privacy", _guarantee(provenance)),
        ("Synthetic patients", _with_cases(report, sizes.synthetic, sizes.synthetic_cases)),
        ("Share of synthetic", f"100 % of these data; {100 * sizes.synthetic / total:.0f} % of all rows compared here"),
        *((f"SHA-256 of {file.path}", file.sha256) for file in files),
        ("Self-test of the report", "held" if report.valid else "did NOT hold: INVALID"),
        ("Verdicts", _pairs({name: report.verdicts[name] for name in DIMENSIONS if name in report.verdicts})),
        ("Fitted model saved", {True: "yes; treat it like the training data", False: "no", None: NOT_RECORDED}[kept]),
    ]
    return _table(("what", "recorded"), rows)


def _prior(provenance: Mapping[str, Any]) -> str:
    found = origin.prior(provenance)
    if found is None:
        return "none" if origin.model(provenance) else NOT_RECORDED
    return f"{found.get('rows')} rows; source: {found.get('source') or NOT_RECORDED}"


def _guarantee(provenance: Mapping[str, Any]) -> str:
    found = origin.differential_privacy(provenance)
    if found is None:
        return "none" if origin.model(provenance) else NOT_RECORDED
    return f"ε = {found['epsilon']}, δ = {found['delta']}"


def _motivation(report: Report, provenance: Mapping[str, Any]) -> Questions:
    about = f" of the cohort “{plain(report.cohort_title)}”" if report.cohort_title else ""
    why = (
        f"Synthetic patients{about} were made because real cases are few or may not be passed on: for testing "
        "software, for teaching, and for studying whether they help a model to find real cases."
    )
    yield "For what purpose were the data created?", why
    yield (
        "Who created and paid for them?",
        f"{plain(provenance.get('creator') or 'Not recorded')}; the program is fhirsynth {__version__}.",
    )


def _composition(report: Report, provenance: Mapping[str, Any], schema: FeatureSchema | None) -> Questions:
    sizes = report.sizes
    number = _with_cases(report, sizes.synthetic, sizes.synthetic_cases)
    instances = f"One row per patient at one index date; no row is meant to be a real person.{_shipped(provenance)}"
    yield "What are the instances?", instances
    yield "How many are there?", f"{number}; 100 % are synthetic."
    yield "Are they a sample?", f"They are drawn from a generator. {plain(report.composition)}"
    yield "What does an instance hold?", _columns(report, schema)
    yield "Is there a label?", f"{plain(report.target)}" if report.target else "No column was named as one."
    yield "Are values missing?", f"{uses.MISSING} {_missing(report)}"
    yield "Are relations between instances explicit?", "There is no relation between patients."
    yield "Are there recommended splits?", _splits(report)
    yield (
        "Are there errors, noise or redundancies?",
        _below(_errors(report), "Rules of plausibility were not checked here."),
    )
    yield (
        "Do they rely on external resources?",
        "No. Codes in the FHIR resources are explained by the terminologies that they are from.",
    )
    yield "Are they confidential, and can people be recognised in them?", _confidential(report, provenance)
    yield "Which sub-populations are there?", _groups(report)


def _splits(report: Report) -> str:
    sizes = report.sizes
    return (
        "No: the synthetic rows are for training and trying out, and what is learned from them is tested on "
        f"real patients. Here the generator saw {_with_cases(report, sizes.train, sizes.train_cases)} (training), and "
        f"never {_with_cases(report, sizes.holdout, sizes.holdout_cases)} (holdout)."
    )


def _shipped(provenance: Mapping[str, Any]) -> str:
    found = origin.stage(provenance, "bundles")
    counted = found.get("resources") or found.get("counts")
    if not isinstance(counted, Mapping) or not counted:
        return ""
    kinds = ", ".join(f"{value} {name}" for name, value in origin.facts(counted))
    return f" Each is also written as FHIR R4 resources, in all: {plain(kinds)}."


def _columns(report: Report, schema: FeatureSchema | None) -> str:
    if schema is None:
        names = dict.fromkeys(one.title for one in report.columns)
        return f"Columns that vary: {plain(', '.join(names))}." if names else "The columns are not recorded here."
    told = (f"{one.title} ({one.name}, {one.kind}{f', {one.unit}' if one.unit else ''})" for one in schema.features)
    return f"{len(schema.features)} columns: {plain('; '.join(told))}."


def _missing(report: Report) -> str:
    if not report.pictures.marginals:
        return f"The shares are {NOT_RECORDED} here."
    found = [one for one in report.pictures.marginals if one.missing_real or one.missing_synthetic]
    shares = (
        f"{one.title} {100 * one.missing_synthetic:.0f} % (real: {100 * one.missing_real:.0f} %)" for one in found
    )
    return f"Shares without a value: {plain(', '.join(shares))}." if found else "Here none was seen to be missing."


def _errors(report: Report) -> list[str]:
    """What is known to be wrong: warnings, and rules that synthetic rows break."""
    broken = [one for one in report.rules if one.synthetic_broken]
    found = [plain(one) for one in report.warnings]
    found += [
        f"{plain(one.title)}: broken by {one.synthetic_broken} of {one.synthetic_checked} synthetic patients "
        f"(real: {one.real_broken} of {one.real_checked})"
        for one in broken
    ]
    if report.rules and not broken:
        found.append(f"No rule of plausibility or of order in time is broken, of {len(report.rules)}.")
    return found


def _confidential(report: Report, provenance: Mapping[str, Any]) -> str:
    privacy = [one for one in report.findings if one.dimension == "privacy"]
    found = [f"{one.cohort}: {one.verdict}. {plain(one.sentence)}" for one in privacy]
    asked = f"Columns treated as sensitive: {plain(', '.join(report.sensitive))}." if report.sensitive else ""
    return f"{origin.privacy_words(provenance)} {asked}\n\n{_bullets(found)}"


def _groups(report: Report) -> str:
    if not report.cohort_title:
        return "No group was told apart in this report."
    return (
        f"“{plain(report.cohort_title)}” ({report.sizes.synthetic_cases} of {report.sizes.synthetic}) is judged apart. "
        "Fairness towards other groups (sex, age, race) was not measured; where a group is small among the training "
        "patients, it is poorer among the synthetic ones."
    )


def _listed(provenance: Mapping[str, Any], stage: str, *skip: str) -> list[str]:
    found = {key: value for key, value in origin.stage(provenance, stage).items() if key not in skip}
    return [f"{plain(place)}: {plain(_told(place, value))}" for place, value in origin.facts(found)]


def _told(place: str, value: Any) -> Any:
    """A fact as it may be passed on: of a folder of modules the name, and not the paths of a machine."""
    return PurePath(str(value)).name if place.endswith("modules") else value


def _collection(provenance: Mapping[str, Any], schema: FeatureSchema | None) -> Questions:
    simulated = origin.is_simulated(provenance)
    lines = _listed(provenance, "generated", "stage", "made_from", "parts", "mended", "natural")
    told = (
        f"The training and holdout patients were simulated with {plain(origin.simulator(provenance))}:"
        f"{_below(lines, '')}"
        if simulated
        else "How the training data were collected is not recorded; this report was made from tables alone."
    )
    yield "How were the data acquired?", f"Every row was drawn from a generator. {told}"
    day = schema.index_date.isoformat() if schema is not None and schema.index_date.year > 1970 else NOT_RECORDED
    yield "Over which time?", f"Patients are described at the index date: {day}."
    review = "There is no person behind them, so none was needed." if simulated else f"{NOT_RECORDED.capitalize()}."
    yield "Was there an ethical review, and did people consent?", review


def _preprocessing(provenance: Mapping[str, Any]) -> Questions:
    counted = [
        f"{plain(name)}: {plain(_counted(what))}: {plain(value)}"
        for name, what, value in origin.counts(provenance)
        if name != "generated" and not what.startswith(("resources", "counts")) and value != "0"
    ]
    yield (
        "What was done to the rows?",
        "Numbers are rounded as their columns declare. Counted on the way (what is 0 is left out):"
        + _below(counted, f" {NOT_RECORDED}."),
    )
    yield (
        "Was the raw material kept?",
        "That is the training data; they are not part of these data, and whoever made these has them.",
    )
    yield "Is the program available?", f"Yes: fhirsynth {__version__}, Apache License 2.0."


def _counted(place: str) -> str:
    name, _, rest = place.partition(".")
    return f"{COUNTED.get(name, name)} ({rest})" if rest else COUNTED.get(name, name)


def _quality(report: Report, provenance: Mapping[str, Any]) -> str:
    head = "The report's own self-test held." if report.valid else "**INVALID: the report's self-test did not hold.**"
    found = report.findings
    verdicts = _bullets(f"{one.dimension}, {one.cohort}: **{one.verdict}**. {plain(one.sentence)}" for one in found)
    literal = [
        (*_figures(one), one.n, one.target, words.met(one), one.calibrated or "not measured")
        for one in report.literal()
    ]
    columns = ("measure", "cohort", "value", "95 % interval", "n", "target", "met as written", "calibrated")
    effects = [
        (one.title, one.cohort, words.figure(one.baseline), words.figure(one.detectable))
        for one in report.measures
        if one.detectable is not None
    ]
    parts = [head, verdicts, _table(columns, literal)]
    if effects:
        parts += [
            "What this sample could have noticed; a smaller effect (of utility: a smaller loss) may be there unseen:",
            _table(("measure", "cohort", "no effect", "noticed from (utility: below)"), effects),
        ]
    return "\n\n".join([*parts, origin.privacy_words(provenance)])


def _figures(one: Measure) -> tuple[str, ...]:
    return one.title, one.cohort, words.figure(one.value), words.ends(one)


def _uses(report: Report) -> Questions:
    uplift = report.uplift
    notes = " ".join((uplift.sentence, *uplift.notes)) if uplift else "It was not measured in this report."
    yield "Do they help a model to find real cases?", plain(notes)
    yield "What are they meant for?", _below(uses.suited(report), "")
    yield "What must they not be used for?", _below(uses.unsuited(report), "")
    yield "What limits them?", _below([*uses.LIMITS, uses.IMPACT], "")


def _distribution(provenance: Mapping[str, Any], files: Sequence[DataFile]) -> Questions:
    run = f" Resources carry the tag of run {plain(provenance['run_id'])}." if provenance.get("run_id") else ""
    listed = [f"{plain(file.path)} ({file.media_type}, {file.bytes} bytes)" for file in files]
    yield (
        "How are they passed on?",
        "As files, with this datasheet:" + _below(listed, f" which ones is {NOT_RECORDED}."),
    )
    yield (
        "How can they be told from real data?",
        f"FHIR resources of this package carry the security label HTEST and a tag that says they are synthetic.{run}",
    )
    stated = provenance.get("license")
    licence = plain(stated) if stated else "It is not recorded; whoever passes the data on has to state one."
    yield "Under which licence?", f"{licence} {TERMINOLOGIES}"
    kept = origin.model_kept(provenance)
    yield "May the fitted model be passed on?", "No model was left." if kept is False else plain(WARNING)


def _maintenance(provenance: Mapping[str, Any]) -> Questions:
    yield "Who maintains them?", f"{plain(provenance.get('creator') or 'Not recorded')}."
    yield "Will they be updated or corrected?", uses.MAINTENANCE
    yield "Made by?", f"fhirsynth {__version__}."
