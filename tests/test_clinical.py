"""Clinical rules: each is broken by whom it should be and by nobody else; units; rule files; the command."""

from __future__ import annotations

import importlib
import itertools
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhirsynth.cli import cli
from fhirsynth.clinical import Findings, check, check_source, load_rules
from fhirsynth.clinical.chart import Chart, patient_ids
from fhirsynth.clinical.checking import judge
from fhirsynth.clinical.formula import Formula
from fhirsynth.clinical.units import scale
from fhirsynth.clinical.verdict import Verdict
from fhirsynth.errors import UsageError
from fhirsynth.hapi.engine import Message
from fhirsynth.hapi.problems import Report
from synthea_bridge.bundles import Document
from synthea_bridge.flatten import write_tables
from synthea_bridge.skips import SkipLog
from tests.clinical_cases import ANALYTES, CASES, Case, drug, moment, state, value

RULES = load_rules()
VALIDATE = importlib.import_module("fhirsynth.hapi.validate")
FIXTURES = Path(__file__).parent.parent / "fixtures" / "bundles"
TINY = """
[analytes.lactate]
title = "Lactate"
codes = ["2524-7"]
unit = "mmol/L"

[rules.lactate-possible]
kind = "range"
title = "Lactate is at most 40 mmol/L"
severity = "error"
source = "https://example.org/lactate"
of = "lactate"
maximum = 40
"""


def tables_of(folder: Path, resources: list[dict[str, Any]]) -> Path:
    """The tables of some resources."""
    source, tables = folder / "all.ndjson", folder / "tables"
    source.write_bytes(b"\n".join(orjson.dumps(one) for one in resources))
    tables.mkdir(exist_ok=True)
    write_tables(source, tables, SkipLog(strict=True))
    return tables


def chart_of(folder: Path, resources: list[dict[str, Any]]) -> Chart:
    tables = tables_of(folder, resources)
    return Chart(tables, RULES, patient_ids(tables), whole=True)


def found_in(folder: Path, *cases: Case, rules: Any = None) -> Findings:
    resources = [one for number, case in enumerate(cases) for one in case.resources(f"p{number}")]
    return check(tables_of(folder, resources), rules)


def of(findings: Findings, rule: str) -> Any:
    return next(one for one in findings.rules if one.id == rule)


@pytest.fixture(scope="module")
def everybody(tmp_path_factory: pytest.TempPathFactory) -> Chart:
    resources = [one for number, case in enumerate(CASES) for one in case.resources(f"p{number}")]
    return chart_of(tmp_path_factory.mktemp("clinical"), resources)


def broken_patients(chart: Chart, rule: str) -> tuple[set[str], Verdict]:
    verdict = judge(RULES.rules[rule], chart, RULES)
    return {chart.ids[int(one)].as_py() for one in verdict.broken["patient"]}, verdict


@pytest.mark.parametrize("rule", RULES.rules)
def test_a_rule_is_broken_by_whom_it_should_be(everybody: Chart, rule: str) -> None:
    expected = {f"p{number}": case.broken for number, case in enumerate(CASES) if case.rule == rule}
    assert set(expected.values()) == {True, False}, "give it a case that breaks it and one that does not"
    broken, verdict = broken_patients(everybody, rule)
    assert {one for one, wrong in expected.items() if wrong} <= broken
    assert not {one for one, wrong in expected.items() if not wrong} & broken
    assert verdict.applied >= len(expected)
    for row in verdict.broken.itertuples():
        words = verdict.say(row)
        assert words
        assert "nan" not in words.split()


def test_every_case_is_of_a_rule() -> None:
    assert {case.rule for case in CASES} == set(RULES.rules)


def test_what_rules_rest_on_is_used_and_can_be_looked_up() -> None:
    used = {rule.source for rule in RULES.rules.values()}
    assert set(RULES.sources.values()) == used
    named = set().union(*(rule.concepts for rule in RULES.rules.values()))
    assert named == set(RULES.concepts)
    assert set().union(*(rule.analytes for rule in RULES.rules.values())) == set(RULES.analytes)
    codes = [code for one in RULES.analytes.values() for code in one.codes]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    ("analyte", "number", "unit", "same"),
    [
        ("glucose", 5.5, "mmol/L", 99.09),
        ("creatinine", 88.4, "umol/L", 1.0),
        ("creatinine", 88.4, "µmol/L", 1.0),
        ("hemoglobin", 140, "g/L", 14),
        ("hemoglobin", 8.69, "mmol/L", 14.0),
        ("hba1c", 53, "mmol/mol", 7.0),
        ("calcium", 2.5, "mmol/L", 10.02),
        ("calcium", 5, "meq/L", 10.02),
        ("sodium", 140, "meq/L", 140),
        ("urea_nitrogen", 5, "mmol/L", 14.0),
        ("total_cholesterol", 5, "mmol/L", 193.3),
        ("triglycerides", 2, "mmol/L", 177.1),
        ("bilirubin", 17.1, "umol/L", 1.0),
        ("hematocrit", 0.42, "L/L", 42),
        ("hematocrit", 0.42, "1", 42),
        ("leukocytes", 7, "10*9/L", 7),
        ("leukocytes", 7000, "/uL", 7),
        ("leukocytes", 7, "K/uL", 7),
        ("height", 70, "[in_i]", 177.8),
        ("height", 1.78, "m", 178),
        ("weight", 180, "[lb_av]", 81.65),
        ("weight", 3500, "g", 3.5),
        ("temperature", 98.6, "[degF]", 37.0),
        ("temperature", 310.15, "K", 37.0),
        ("heart_rate", 72, "{beats}/min", 72),
        ("arterial_pco2", 5.33, "kPa", 40),
        ("arterial_ph", 7.4, "pH", 7.4),
        ("egfr", 90, "mL/min", 90),
    ],
)
def test_a_value_is_the_same_in_another_unit(
    tmp_path: Path, analyte: str, number: float, unit: str, same: float
) -> None:
    case = Case("", broken=False, makes=(value(analyte, number, unit=unit),))
    rows = chart_of(tmp_path, list(case.resources("p"))).measures(analyte)
    assert rows["value"].item() == pytest.approx(same, rel=2e-3)


def other_units(analyte: str) -> list[tuple[str, float, float]]:
    known = ANALYTES[analyte]
    units = ("mmol/L", "umol/L", "g/L", "g/dL", "mg/dL", "meq/L", "1", "kPa", "[degF]", "[in_i]", "[lb_av]", "g", "/uL")
    found = [(unit, scale(unit, known.unit, known.molar_mass, known.valence)) for unit in units]
    special = [(unit, one.factor, one.offset) for unit, one in known.conversions.items()]
    return special + [(unit, one.factor, one.offset) for unit, one in found if one is not None]


CONVERTIBLE = [
    name for name, one in RULES.rules.items() if one.kind == "range" and not one.bands and other_units(one.of)
]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_another_unit_does_not_change_the_verdict(tmp_path: Path, data: st.DataObject) -> None:
    rule: Any = RULES.rules[data.draw(st.sampled_from(CONVERTIBLE))]
    unit, factor, offset = data.draw(st.sampled_from(other_units(rule.of)))
    bounds = [one for one in (rule.minimum, rule.maximum) if one is not None] or [50.0]
    near = st.sampled_from(bounds) | st.floats(0.1, 3000)
    numbers = data.draw(st.lists(near, min_size=1, max_size=8))
    cases = [Case("", broken=False, makes=(value(rule.of, one),)) for one in numbers]
    others = [Case("", broken=False, makes=(value(rule.of, (one - offset) / factor, unit=unit),)) for one in numbers]
    resources = [one for number, case in enumerate(cases + others) for one in case.resources(f"p{number}")]
    chart = chart_of(tmp_path, resources)
    broken = set(judge(rule, chart, RULES).broken["patient"])
    assert {one + len(numbers) for one in broken if one < len(numbers)} == {
        one for one in broken if one >= len(numbers)
    }


def test_what_cannot_be_judged_is_counted_and_not_guessed(tmp_path: Path) -> None:
    odd = value("glucose", 5, unit="spoons")
    bound = value("glucose", 20)

    def at_most(name: str, place: int) -> dict[str, Any]:
        made = bound(name, place)
        return {**made, "valueQuantity": {**made["valueQuantity"], "comparator": "<"}}

    def withdrawn(name: str, place: int) -> dict[str, Any]:
        return {**value("glucose", 1)(name, place), "status": "entered-in-error"}

    def undated(name: str, place: int) -> dict[str, Any]:
        made = value("heart_rate", 900)(name, place)
        return {key: one for key, one in made.items() if key != "effectiveDateTime"}

    case = Case("", broken=False, makes=(odd, at_most, withdrawn, undated, value("glucose", 95)), sex="unknown")
    findings = found_in(tmp_path, case, Case("", broken=False, makes=(state("72892002"),), sex="other"))
    glucose = of(findings, "glucose-possible")
    assert (glucose.applied, glucose.broken) == (1, 0)
    assert glucose.not_checked == {"a bound (< or >) and no value": 1, "unit spoons instead of mg/dL": 1}
    assert findings.withdrawn == {"observations": 1}
    assert of(findings, "heart-rate-possible").broken == 1  # no age is needed for what nobody can have
    assert of(findings, "heart-rate-usual").not_checked == {"no birth date": 1}
    assert of(findings, "pregnant-is-female").not_checked == {"sex is neither female nor male": 1}


def test_a_year_of_birth_gives_the_benefit_of_the_doubt(tmp_path: Path) -> None:
    def rows(number: int, height: float, at: float) -> list[dict[str, Any]]:
        first, *rest = Case("", broken=False, makes=(value("height", height, at=at),)).resources(f"p{number}")
        return [{**first, "birthDate": "1950"}, *rest]

    # 58 cm is too little for a child of eleven months, and not for one of a few days.
    chart = chart_of(tmp_path, [*rows(0, 52, 0.9), *rows(1, 120, 0.9), *rows(2, 60, 12)])
    assert broken_patients(chart, "height-for-age")[0] == {"p1", "p2"}


def test_a_day_lasts_until_its_end(tmp_path: Path) -> None:
    def day_only(name: str, place: int) -> dict[str, Any]:
        return {**state("1", "A", at=40.001)(name, place), "abatementDateTime": moment(40.001)[:10]}

    def a_day_later(name: str, place: int) -> dict[str, Any]:
        return {**state("1", "A", at=40.01)(name, place), "abatementDateTime": moment(40.001)[:10]}

    findings = found_in(tmp_path, *(Case("", broken=False, makes=(one,)) for one in (day_only, a_day_later)))
    rule = of(findings, "abatement-after-onset")
    assert (rule.applied, rule.broken, rule.examples[0].patient) == (2, 1, "Patient/p1")


def test_rows_of_patients_who_are_not_there_are_counted_too(tmp_path: Path) -> None:
    made = [value("sodium", 20)("stranger", 0), value("heart_rate", 72)("stranger", 1)]
    findings = check(tables_of(tmp_path, made))
    assert findings.patients == 1
    assert of(findings, "sodium-possible").broken == 1
    assert of(findings, "sodium-possible").examples[0].file == "?"
    assert of(findings, "heart-rate-usual").not_checked == {"no birth date": 1}


@pytest.mark.slow
def test_parts_of_the_patients_add_up(everybody: Chart, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = everybody._tables
    whole = check(tables)
    monkeypatch.setattr("fhirsynth.clinical.checking.TOGETHER", 150)
    parts = check(tables)
    assert json.dumps(parts.outcome()) == json.dumps(whole.outcome())


def test_correlation_and_which_formula_fits_are_told(tmp_path: Path) -> None:
    rows = [(14, 42), (12, 36), (10, 33), (8, 24)]
    cases = [Case("", broken=False, makes=(value("hemoglobin", hb), value("hematocrit", hct))) for hb, hct in rows]
    men = [Case("", False, (value("creatinine", 1, 50), value("egfr", one, 50)), "male") for one in (92, 79)]
    findings = found_in(tmp_path, *cases, *men)
    rule = of(findings, "hematocrit-from-hemoglobin")
    assert rule.correlation == pytest.approx(np.corrcoef([hct for _, hct in rows], [hb for hb, _ in rows])[0, 1])
    assert rule.notes == [f"correlation of value and formula r = {rule.correlation:.2f} over 4 pairs"]
    fits = of(findings, "egfr-from-creatinine").met
    assert (fits["CKD-EPI 2021"], fits["MDRD"]) == (1, 1)


def ckd_epi_2021(creatinine: float, age: float, female: bool) -> float:
    kappa, alpha = (0.7, -0.241) if female else (0.9, -0.302)
    low, high = min(creatinine / kappa, 1), max(creatinine / kappa, 1)
    return float(142 * low**alpha * high**-1.2 * 0.9938**age * (1.012 if female else 1))


@given(st.floats(0.2, 15), st.floats(18, 100), st.booleans())
def test_the_equation_of_2021_is_as_published(creatinine: float, age: float, female: bool) -> None:
    rule: Any = RULES.rules["egfr-from-creatinine"]
    values = {"creatinine": creatinine, "age": age, "female": float(female)}
    assert rule.equals["CKD-EPI 2021"](values) == pytest.approx(ckd_epi_2021(creatinine, age, female))


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "weight.__class__",
        "open('x')",
        "[1]",
        "lambda: 1",
        "True + weight",
        "'a'",
        "weight if 1 else 2",
        "weight // 2",
        "min()",
        "max(weight, key=1)",
        "weight +",
        "1" * 501,
        "",
    ],
)
def test_a_formula_is_arithmetic_and_nothing_else(text: str) -> None:
    with pytest.raises(ValueError, match="formula"):
        Formula(text)


@given(a=st.floats(0.1, 100), b=st.floats(0.1, 100))
def test_a_formula_computes(a: float, b: float) -> None:
    made = Formula("-a + 2 * (b - 1) / a ** 2 + min(a, b) - max(a, b, 3) + log10(b) + sqrt(a)")
    expected = -a + 2 * (b - 1) / a**2 + min(a, b) - max(a, b, 3) + np.log10(b) + np.sqrt(a)
    assert made({"a": a, "b": b}) == pytest.approx(expected)
    assert made.names == {"a", "b"}
    assert np.isnan(Formula("sqrt(0 - a)")({"a": a}))


RANGE = '[rules.a]\nkind = "range"\ntitle = "A"\nseverity = "error"\nsource = "https://x.org/1"\nof = "sodium"\n'
RELATION = RANGE.replace('"range"', '"relation"')
DRUG = RANGE.replace('"range"', '"drug"').replace('of = "sodium"\n', "")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rules = [", "cannot be read as TOML"),
        ("[rule.a]", "has 'rule'; there are only the sections sources, analytes, concepts, rules"),
        ("rules = 3", r"\[rules\]: is not a table"),
        ("[rules]\na = 3", r"\[rules\.a\]: Input should be"),
        (RANGE, "exactly one of: minimum and maximum, bands, a curve"),
        (RANGE + 'maximum = "much"', "maximum: Input should be a valid number"),
        (RANGE + "maximum = nan", "maximum: Input should be a finite number"),
        (RANGE + "maximum = 3\nlimit = 4", "limit: Extra inputs are not permitted"),
        (RANGE.replace("https://x.org/1", "a book") + "maximum = 3", "source: a source is the name of one in"),
        (RANGE.replace('"error"', '"fatal"') + "maximum = 3", "severity: Input should be 'error' or 'warning'"),
        (RANGE.replace('"range"', '"guess"') + "maximum = 3", "Input tag 'guess'"),
        (
            RANGE.replace("sodium", "salt") + "maximum = 3",
            r"there is no analyte 'salt'; declare it as \[analytes\.salt\]",
        ),
        (RANGE + 'bands = [{ from = "5", maximum = 3 }]', "bands.0.from: '5' is no length of time"),
        (RANGE + "curve = { female = [[1, 2, 3], [1, 2, 3]], male = [[0, 1, 2], [1, 1, 2]] }", "in order of age"),
        (RELATION, "either formulas in equals, or at_least or at_most"),
        (RELATION + 'at_least = "import os"', "at_least: 'import os' is no formula"),
        (RELATION + 'at_least = "chloride + bicarb"', "there is no analyte 'bicarb'"),
        (RELATION + 'at_least = "3"', "names another analyte, age or female"),
        (
            RELATION + 'at_least = "chloride"\nlimits = { potassium = [1, 2] }',
            "limits are of analytes that a formula names",
        ),
        (DRUG + 'drug = "insulin"', "exactly one of: needs, avoids, level"),
        (DRUG + 'drug = "diabetes"\nneeds = ["pregnancy"]', "'diabetes' is no drug"),
        (DRUG + 'drug = "opium"\nneeds = ["pregnancy"]', "there is no concept 'opium'"),
        (DRUG.replace('"drug"', '"whom"') + 'what = "pregnancy"', "says nobody in whom it may not be"),
        (RANGE.replace('"range"', '"change"'), "a change has a limit"),
        (
            DRUG.replace('"drug"', '"time"') + 'tables = ["conditions"]\nearlier = "start"\nlater = "onset"',
            "conditions have no moment 'start'; there are: onset",
        ),
        ('[concepts.a]\ntitle = "A"\nany = [{ table = "conditions" }]', "a selector has codes, words, or both"),
        ('[concepts.a]\ntitle = "A"\nany = [{ table = "conditions", words = "(" }]', r"'\(' is no pattern"),
        ('[analytes.a]\ntitle = "A"\ncodes = ["1"]\nunit = "spoons"', "the unit 'spoons' is not known"),
        ('[analytes.value]\ntitle = "A"\ncodes = ["1"]\nunit = "g"', "'value' cannot be named in a formula"),
        ('[analytes.a-b]\ntitle = "A"\ncodes = ["1"]\nunit = "g"', "'a-b' cannot be named in a formula"),
        ("[sources]\na = 3", r"\[sources\.a\]: Input should be a valid string"),
    ],
)
def test_a_wrong_rule_file_is_refused_in_one_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=problem) as caught:
        load_rules(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value).replace(text, "")


def test_own_rules_are_added_and_replace_ours(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(TINY + RANGE.replace("rules.a", "rules.sodium-usual") + "minimum = 139")
    mine = load_rules(path)
    assert set(mine.rules) == {*RULES.rules, "lactate-possible"}

    lactate = value("sodium", 95, unit="mmol/L", code="2524-7")
    mine = mine.only(["lactate-possible", "sodium-usual"])
    findings = found_in(tmp_path, Case("", broken=False, makes=(lactate, value("sodium", 138))), rules=mine)
    assert [(one.id, one.broken) for one in findings.rules] == [("lactate-possible", 1), ("sodium-usual", 1)]
    with pytest.raises(UsageError, match="cannot be read as TOML"):
        load_rules(tmp_path / "none.toml")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["validate", *map(str, arguments)])


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    case = Case("", False, (value("sodium", 20), drug("Pulmozyme \x1b[2J"), state("82272006", "Common cold")))
    path = tmp_path / "bad.ndjson"
    path.write_bytes(b"\n".join(orjson.dumps(one) for one in case.resources("p\x1b")))
    return path


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test of this file may fetch or start the HL7 validator."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the HL7 validator was asked")

    monkeypatch.setattr("synthea_bridge.artifacts.fetch", refuse)
    monkeypatch.setattr(VALIDATE, "engine", refuse)


def test_the_command_prints_what_is_broken(bad: Path) -> None:
    result = run(bad, "--clinical")
    assert result.exit_code == 1
    assert "error           1          1 100.0 % sodium-possible: Sodium is from 50 to 225 mmol/L" in result.output
    assert "cftr-drug-has-reason" in result.output
    assert "\x1b" not in result.output
    assert f"1 patients, {len(RULES.rules)} clinical rules:" in result.output
    shown = run(bad, "--clinical", "--severity", "error").output
    assert "sodium-possible" in shown
    assert "cftr-drug" not in shown
    assert "holds" in run(bad, "--clinical", "--severity", "information").output


def test_the_command_holds_its_peace_when_all_is_well(tmp_path: Path) -> None:
    path = tmp_path / "good.ndjson"
    case = Case("", broken=False, makes=(value("temperature", 37),))
    path.write_bytes(b"\n".join(orjson.dumps(one) for one in case.resources("p")))
    result = run(path, "--clinical")
    assert result.exit_code == 0
    assert result.output == (
        f"1 patients, {len(RULES.rules)} clinical rules: 3 held, 0 broken, {len(RULES.rules) - 3} did not apply; "
        "0 errors, 0 warnings\n"
    )


def test_json_and_sarif_are_for_machines(bad: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.sarif"
    result = run(bad, "--clinical", "--json", "--sarif", log)
    outcome = json.loads(result.stdout)
    rule = next(one for one in outcome["clinical"]["rules"] if one["id"] == "sodium-possible")
    assert (rule["applied"], rule["broken"], rule["share"], rule["patients"]) == (1, 1, 1.0, 1)
    assert rule["examples"][0]["resource"].startswith("Observation/p")
    assert outcome["clinical"]["errors"] == 1
    [made] = json.loads(log.read_bytes())["runs"]
    assert {one["ruleId"]: one["level"] for one in made["results"]} == {
        "sodium-possible": "error",
        "sodium-usual": "warning",
        "cftr-drug-has-reason": "warning",
    }
    first = made["results"][0]
    assert first["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].startswith("bad.ndjson")
    assert made["tool"]["driver"]["rules"][first["ruleIndex"]]["shortDescription"]["text"].startswith("Sodium is from")
    assert run(bad, "--clinical", "--json").stdout == result.stdout


def test_both_judges_can_be_asked(bad: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(src: Path, *_: Any, skips: SkipLog, **__: Any) -> Report:
        report = Report(skips, documents=1, resources=3)
        document = Document("bad.ndjson", [(None, {"resourceType": "Patient", "id": "p"})], [])
        report.add("bad.ndjson", document, None, [Message("warning", "x", "Patient.name", "is short")])
        return report

    monkeypatch.setattr("synthea_bridge.artifacts.fetch", lambda *_: None)
    monkeypatch.setattr(VALIDATE, "validate", answer)
    log = tmp_path / "log.sarif"
    result = run(bad, "--clinical", "--hl7", "--package", "x#1", "--sarif", log)
    assert result.exit_code == 1
    assert "is short" in result.output
    assert "sodium-possible" in result.output
    assert len(json.loads(log.read_bytes())["runs"]) == 2
    outcome = json.loads(run(bad, "--clinical", "--hl7", "--json").stdout)
    assert outcome["warnings"] == 1
    assert outcome["clinical"]["errors"] == 1
    assert "clinical" not in json.loads(run(bad, "--json").stdout)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--hl7"], "--hl7 goes with --clinical"),
        (["--rules", "x.toml"], "--rules goes with --clinical"),
        (["--clinical", "--package", "x"], "--package is for the HL7 validator"),
        (["--clinical", "--terminology", "x"], "--terminology is for the HL7 validator"),
        (["--clinical", "--heap", "3g"], "--heap is for the HL7 validator"),
    ],
)
def test_options_that_would_say_nothing_are_refused(bad: Path, options: list[str], problem: str) -> None:
    result = run(bad, *options)
    assert result.exit_code == 2
    assert problem in result.output


def test_what_cannot_be_read_is_told_once_and_fails(bad: Path) -> None:
    bad.with_name("worse.json").write_text("{")
    result = run(bad.parent, "--clinical", "--severity", "error")
    assert result.exit_code == 1
    assert result.output.count("worse.json") == 1
    assert "1 skipped" in result.output


def test_the_source_can_be_bundles_or_tables(tmp_path: Path) -> None:
    first = check_source(FIXTURES)
    write_tables(FIXTURES, tmp_path, SkipLog())
    again = check_source(tmp_path)
    assert first == again
    assert first.patients == 12
    assert of(first, "nothing-before-birth").broken == 0
    with pytest.raises(UsageError, match="there is no such file or folder"):
        check_source(tmp_path / "nowhere")
    (tmp_path / "encounters.parquet").unlink()
    with pytest.raises(UsageError, match="there is no such table"):
        check_source(tmp_path)


def test_tables_of_something_else_are_refused(tmp_path: Path) -> None:
    import pandas as pd

    for name in ("patients", "encounters", "conditions", "observations", "medications", "procedures"):
        pd.DataFrame({"patient_id": ["p"]}).to_parquet(tmp_path / f"{name}.parquet")
    with pytest.raises(UsageError, match="lacks the columns"):
        check(tmp_path)
    (tmp_path / "patients.parquet").write_text("patient_id")
    with pytest.raises(UsageError, match="cannot be read as Parquet"):
        check(tmp_path)


def test_nobody_at_all_breaks_nothing(tmp_path: Path) -> None:
    organization = {"resourceType": "Organization", "id": "o"}
    findings = check(tables_of(tmp_path, [organization]))
    assert (findings.patients, findings.errors) == (0, 0)
    assert not any(one.applied for one in findings.rules)


def test_no_rule_depends_on_the_order_of_rows(tmp_path: Path) -> None:
    resources = [one for number, case in enumerate(CASES) for one in case.resources(f"p{number}")]
    forth, back = tmp_path / "forth", tmp_path / "back"
    forth.mkdir()
    back.mkdir()
    first = check(tables_of(forth, resources))
    second = check(tables_of(back, resources[::-1]))
    counts: dict[str, list[Any]] = defaultdict(list)
    for one in itertools.chain(first.rules, second.rules):
        counts[one.id].append((one.applied, one.broken, one.patients, dict(one.not_checked), one.met))
    assert {name: pair for name, pair in counts.items() if pair[0] != pair[1]} == {}
