"""The catalogue, what can be boosted, and exact cohorts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fhirsynth.cli import cli, main
from synthea_bridge.boost import Boost, NoBoost, boost_of, boosted
from synthea_bridge.conditions import boosts, catalogue, find, find_all, read_catalogue
from synthea_bridge.errors import InputError, ShortfallError, UsageError
from synthea_bridge.gmf import Module, modules_in
from synthea_bridge.prevalence import Part, weighed
from synthea_bridge.spec import Cohort, GenerateSpec
from synthea_bridge.walk import onset_years, risk

State = dict[str, Any]
ONSET: State = {
    "type": "ConditionOnset",
    "codes": [{"system": "SNOMED-CT", "code": "11", "display": "Made-up fever (disorder)"}],
    "direct_transition": "End",
}
END: State = {"type": "Terminal"}


def module(**states: State) -> Module:
    return Module("made_up", {"name": "Made up", "states": {**states, "Onset": ONSET, "End": END}}, "yours")


def either(onset: float, away: str = "End", toward: str = "Onset") -> list[dict[str, Any]]:
    return [{"transition": toward, "distribution": onset}, {"transition": away, "distribution": 1 - onset}]


def simple(**transition: Any) -> State:
    return {"type": "Simple", **transition}


def by_gender(men: float, women: float) -> list[dict[str, Any]]:
    man = {"condition_type": "Gender", "gender": "M"}
    return [{"condition": man, "distributions": either(men)}, {"distributions": either(women)}]


@given(men=st.floats(1e-6, 0.4), women=st.floats(1e-6, 0.4), part=st.floats(0, 1))
def test_boosting_keeps_who_gets_it(men: float, women: float, part: float) -> None:
    made = module(Initial={"type": "Initial", "complex_transition": by_gender(men, women)})
    boost = boost_of(made, ["Onset"])
    assert isinstance(boost, Boost)
    assert boost.factor == pytest.approx(1 / max(men, women))
    factor = 1 + part * (boost.factor - 1)
    for option, share in zip(
        boosted(made, boost, factor)["states"]["Initial"]["complex_transition"], (men, women), strict=True
    ):
        assert option["distributions"][0]["distribution"] == pytest.approx(share * factor)
        assert sum(one["distribution"] for one in option["distributions"]) == pytest.approx(1)
    assert made.definition["states"]["Initial"]["complex_transition"] == by_gender(men, women)


def test_a_decision_that_comes_again_is_boosted_little() -> None:
    made = module(
        Initial={"type": "Initial", "direct_transition": "Wait"},
        Wait={
            "type": "Delay",
            "exact": {"quantity": 1, "unit": "months"},
            "distributed_transition": either(1e-4, "Wait"),
        },
    )
    boost = boost_of(made, ["Onset"])
    assert isinstance(boost, Boost)
    assert boost.repeated
    assert boost.factor == pytest.approx(200)


def test_of_two_decisions_in_a_row_the_rarer_one_is_taken() -> None:
    made = module(
        Initial={"type": "Initial", "distributed_transition": either(0.5, toward="At_Risk")},
        At_Risk=simple(distributed_transition=either(0.01)),
    )
    boost = boost_of(made, ["Onset"])
    assert isinstance(boost, Boost)
    assert set(boost.decisions) == {"At_Risk"}


def test_ways_that_meet_are_all_boosted_by_one_factor() -> None:
    made = module(
        Initial={
            "type": "Initial",
            "conditional_transition": [
                {
                    "condition": {
                        "condition_type": "Attribute",
                        "attribute": "smoker",
                        "operator": "==",
                        "value": True,
                    },
                    "transition": "Smoker",
                },
                {"transition": "Other"},
            ],
        },
        Smoker=simple(distributed_transition=either(0.2)),
        Other=simple(distributed_transition=either(0.1)),
    )
    boost = boost_of(made, ["Onset"])
    assert isinstance(boost, Boost)
    assert set(boost.decisions) == {"Smoker", "Other"}
    assert boost.factor == pytest.approx(5)


@pytest.mark.parametrize(
    ("initial", "reason"),
    [
        ({"direct_transition": "Onset"}, "follows from what other modules decide"),
        ({"distributed_transition": either(0.95)}, "whoever comes to its module gets it"),
        (
            {
                "distributed_transition": [
                    {"transition": "Onset", "distribution": {"attribute": "a", "default": 0}},
                    {"transition": "End", "distribution": 1},
                ]
            },
            "tables or attributes",
        ),
    ],
)
def test_what_cannot_be_boosted_says_why(initial: State, reason: str) -> None:
    plan = boost_of(module(Initial={"type": "Initial", **initial}), ["Onset"])
    assert isinstance(plan, NoBoost)
    assert reason in plan.reason


def test_walking_a_module_gives_risk_and_ages() -> None:
    delay = {"type": "Delay", "range": {"low": 24, "high": 60, "unit": "months"}, "direct_transition": "Onset"}
    options = by_gender(0.2, 0.1)
    for option in options:
        option["distributions"][0]["transition"] = "Wait"
    made = module(Initial={"type": "Initial", "complex_transition": options}, Wait=delay)
    assert risk(made, ["Onset"]) == pytest.approx(0.15)
    assert risk(made, ["Onset"], "M") == pytest.approx(0.2)
    assert onset_years(made, ["Onset"]) == pytest.approx((2, 5))


def test_a_condition_is_found_by_name_code_and_words() -> None:
    lupus = find("lupus")
    assert lupus == find("Lupus erythematosus") == find("200936003") == find("lupus_erythematosus")
    assert find("Addison's disease").snomed == "363732003"
    assert [one.slug for one in find_all("lupus and gout")] == ["lupus-erythematosus", "gout"]
    with pytest.raises(UsageError, match="did you mean lupus-erythematosus"):
        find("lupsu")
    with pytest.raises(UsageError, match=r"diabetes-mellitus-type-2.*say which"):
        find("diabetes")


def test_the_catalogue_says_how_it_knows() -> None:
    known = {condition.slug: condition for condition in catalogue()}
    assert len(known) > 300
    assert known["gout"].prevalence_by == "survey"
    fibrosis = known["cystic-fibrosis"]
    assert fibrosis.prevalence_by == "walk"
    assert fibrosis.boost == pytest.approx(3000, rel=1e-3)
    assert known["diabetes-mellitus-type-2"].boost is None
    assert known["diabetes-mellitus-type-2"].note
    assert {"addisons-disease", "classical-phenylketonuria", "myasthenia-gravis"} <= known.keys()


def test_the_users_modules_are_read_and_wrong_ones_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(module(Initial={"type": "Initial", "distributed_transition": either(0.01)}).definition))
    fever = find("made-up-fever", tmp_path)
    assert (fever.snomed, fever.origin, fever.boost) == ("11", "yours", pytest.approx(100))
    result = CliRunner().invoke(cli, ["conditions", "made-up", "--modules", str(tmp_path), "--json"])
    assert json.loads(result.output)[0]["slug"] == "made-up-fever"
    for number, (text, problem) in enumerate(
        [("{", "is no JSON"), ('{"name": "x", "states": {}}', "no Initial"), ("[1]", "is no Synthea module")]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "bad.json").write_text(text)
        with pytest.raises(InputError, match=f"bad.json: .*{problem}"):
            find("lupus", folder)


def test_weights_restore_prevalence() -> None:
    controls = Part("control", 60, 1.0, counts=Counter(control=60, dead=10))
    cases = Part("lupus", 40, 2000.0, counts=Counter(case=40, lost=5, dead=20, unaffected=135))
    made = weighed([controls, cases])
    share = 40 / 200 / 2000 / (60 / 70)
    assert made[1]["natural_prevalence"] == pytest.approx(share)
    total = sum(part["kept"] * part["weight"] for part in made)
    assert total == pytest.approx(100)
    assert made[1]["kept"] * made[1]["weight"] / total == pytest.approx(share)
    assert (made[1]["first"], made[1]["last"]) == (61, 100)


def test_a_shortfall_says_why() -> None:
    dead = Part("x", 5, 100.0, counts=Counter(lost=7, dead=3))
    assert "all 7 who had it had died by 2026-01-01" in dead.shortfall(date(2026, 1, 1))
    few = Part("x", 5, 1.0, counts=Counter(case=1, unaffected=999))
    assert "cannot be made more frequent" in few.shortfall(date(2026, 1, 1))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--condition", "lupsu", "--cases", "3"], "did you mean"),
        (["--condition", "lupus", "--cases", "0"], "at least 1"),
        (["--condition", "lupus"], "give each condition its number"),
        (["--cases", "3"], "give each condition its number"),
        (["--condition", "lupus", "--cases", "3", "--min-age", "50", "--max-age", "40"], "must not be above"),
    ],
)
def test_calls_that_make_no_sense_get_one_line(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["fhirsynth", "generate", *arguments, "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_kept_catalogue_is_what_the_modules_say() -> None:
    from synthea_bridge.simulator import synthea_jar

    kept = {condition.snomed: condition for condition in catalogue()}
    for made in read_catalogue(modules_in(synthea_jar())):
        before = kept.pop(made.snomed)
        assert (made.slug, made.display, made.onsets, made.boost) == (
            before.slug,
            before.display,
            before.onsets,
            before.boost,
        )
    assert not kept


@pytest.mark.slow
def test_a_survey_counts_what_the_catalogue_knows() -> None:
    from synthea_bridge.survey import survey

    counts = survey(15)
    assert counts.keys() <= {condition.snomed for condition in catalogue()}
    assert sum(count.active for count in counts.values()) > 15
    assert all(0 <= age <= 120 for count in counts.values() for age in count.onsets)


@pytest.mark.slow
def test_a_gender_that_cannot_have_it_is_refused(tmp_path: Path) -> None:
    from synthea_bridge.generate import generate

    cohort = Cohort(condition="male-infertility-due-to-cystic-fibrosis", cases=3)
    with pytest.raises(UsageError, match="exclude each other"):
        generate(GenerateSpec(population=0, cohorts=(cohort,), gender="F"), tmp_path / "out")


@pytest.mark.slow
def test_of_a_combination_each_module_is_boosted() -> None:
    from synthea_bridge.simulator import synthea_jar

    modules = modules_in(synthea_jar())
    chosen, factor = boosts(find_all("lupus and gout"), modules)
    assert {one.module for one in chosen} == {"lupus", "gout"}
    assert factor == pytest.approx(chosen[0].factor * chosen[1].factor)


@pytest.mark.slow
def test_two_cohorts_exactly_and_twice_the_same(tmp_path: Path) -> None:
    from synthea_bridge.generate import generate

    cohorts = (Cohort(condition="lupus", cases=3), Cohort(condition="addisons-disease and fatigue", cases=2))
    spec = GenerateSpec(population=4, cohorts=cohorts, seed=7, threads=2)
    tables = []
    for turn, threads in enumerate((2, 1)):
        out = tmp_path / str(turn)
        result = generate(spec.model_copy(update={"threads": threads}), out, tables_only=True)
        assert [part["kept"] for part in result.outcome["parts"]] == [4, 3, 2]
        assert not (out / "bundles").exists()
        tables.append({file.name: file.read_bytes() for file in out.iterdir()})
    assert tables[0] == tables[1]
    patients = pd.read_parquet(tmp_path / "0" / "patients.parquet")
    assert patients["weight"].sum() == pytest.approx(9)
    assert patients["weight"].nunique() == 3
    conditions = pd.read_parquet(tmp_path / "0" / "conditions.parquet")
    active = conditions[conditions["abatement"].isna()]
    holders = {code: set(active.loc[active["code"] == code, "patient_id"]) for code in ("200936003", "363732003")}
    numbered = patients["source"].str.extract(r"(\d+)")[0].astype(int)
    assert set(patients.loc[numbered.between(5, 7), "patient_id"]) == holders["200936003"]
    assert set(patients.loc[numbered >= 8, "patient_id"]) == holders["363732003"]


@pytest.mark.slow
def test_after_a_kill_it_goes_on_where_it_was(tmp_path: Path) -> None:
    from synthea_bridge.generate import generate

    spec = GenerateSpec(population=6, cohorts=(Cohort(condition="lupus", cases=4),), seed=3, shard_size=4)
    generate(spec, tmp_path / "whole", tables=tmp_path / "whole-tables")
    code = (
        "import sys, pathlib\n"
        "from synthea_bridge.generate import GenerateSpec, generate\n"
        "out = pathlib.Path(sys.argv[2])\ngenerate(GenerateSpec.model_validate_json(sys.argv[1]), out)"
    )
    journal = tmp_path / ".killed.part" / ".journal.ndjson"
    for kept in (2, 8):
        child = subprocess.Popen([sys.executable, "-c", code, spec.model_dump_json(), str(tmp_path / "killed")])
        while child.poll() is None and (not journal.exists() or _kept(journal) < kept):
            with suppress(subprocess.TimeoutExpired):
                child.wait(0.01)
        child.kill()
        child.wait()
        assert _kept(journal) >= kept
    generate(spec, tmp_path / "killed", tables=tmp_path / "tables")
    for name in ("whole", "killed"):
        assert not list((tmp_path / name).glob(".*"))
    whole, killed = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.json")}
        for name in ("whole", "killed")
    )
    assert whole == killed
    for table in ("patients", "observations"):
        frames = [pd.read_parquet(tmp_path / name / f"{table}.parquet") for name in ("whole-tables", "tables")]
        pd.testing.assert_frame_equal(*frames)


def _kept(journal: Path) -> int:
    return sum(b'"control"' in line or b'"case"' in line for line in journal.read_bytes().splitlines())


@pytest.mark.slow
def test_what_was_found_is_kept_when_it_is_not_enough(tmp_path: Path) -> None:
    from synthea_bridge.generate import generate

    spec = GenerateSpec(population=2, cohorts=(Cohort(condition="lupus", cases=50),), seed=7, attempts=40)
    with pytest.raises(
        ShortfallError, match=r"50 patients with lupus-erythematosus were asked for, \d+ were found among 40"
    ):
        generate(spec, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    kept = [part["kept"] for part in manifest["parts"]]
    assert kept[0] == 2
    assert 0 < kept[1] < 50
    assert len(list((tmp_path / "out" / "bundles").glob("0*.json"))) == sum(kept)
