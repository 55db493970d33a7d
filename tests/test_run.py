"""The main job on real Synthea and real CTGAN: one folder, resumed, judged by what ships; and what it refuses."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import orjson
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from fhirsynth.cli import cli
from fhirsynth.errors import CohortError, UsageError, WorkspaceError
from fhirsynth.pipeline import RunSpec
from fhirsynth.seeds import derive
from fhirsynth.workspace import Workspace
from synthea_bridge import errors as bridge
from synthea_bridge.spec import GenerateSpec
from tests.frames import example_features, example_schema

ASKED = (
    *("--condition", "cystic-fibrosis", "--population", "40", "--cases", "40", "--augment", "20", "--steps", "60"),
    "--oracle",
    "--uplift",
)
STAGES = ("generated", "tables", "oracle", "synthetic", "bundles", "ndjson", "report")


def run(out: Path, *more: str, asked: Sequence[str] = ASKED) -> Result:
    return CliRunner().invoke(cli, ["run", *asked, "--seed", "3", "--out", str(out), *more])


def stages(result: Result) -> dict[str, str]:
    """What was said of each stage."""
    lines = [line for line in result.stderr.splitlines() if line.split(" ")[0] in STAGES]
    return {line.split(" ")[0]: line for line in lines}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "work"
    result = run(out)
    assert result.exit_code == 0, (result.output, result.exception)
    assert tuple(stages(result)) == STAGES
    return out


@pytest.mark.slow
def test_everything_is_in_one_folder_with_manifests(work: Path) -> None:
    for stage in STAGES:
        assert orjson.loads((work / stage / "manifest.json").read_bytes())["stage"] == stage
    assert len(list((work / "bundles" / "transactions").iterdir())) == 20
    assert {path.name for path in (work / "report").iterdir()} >= {
        "report.html",
        "report.json",
        "datasheet.md",
        "model-card.json",
        "croissant.json",
    }
    features = pd.read_parquet(work / "tables" / "features.parquet")
    assert int(features["has_cystic_fibrosis"].sum()) >= 40
    assert pd.read_parquet(work / "synthetic" / "synthetic.parquet")["has_cystic_fibrosis"].all()
    train, holdout = (
        set(pd.read_parquet(work / "tables" / f"{one}.parquet")["patient_id"]) for one in ("train", "holdout")
    )
    assert train.isdisjoint(holdout)
    assert min(len(train), len(holdout)) > 20


@pytest.mark.slow
def test_the_report_says_what_it_is_about(work: Path) -> None:
    report = orjson.loads((work / "report" / "report.json").read_bytes())
    assert isinstance(report["valid"], bool)
    assert set(report["verdicts"]) == {"utility", "privacy", "fidelity"}
    assert report["run_id"] == orjson.loads((work / "manifest.json").read_bytes())["run_id"]
    literal = [measure for measure in report["measures"] if measure["literal"]]
    assert {measure["cohort"] for measure in literal} == {"overall", "rare"}
    assert report["sizes"]["synthetic"] == 20


@pytest.mark.slow
def test_histories_and_order_in_time_are_judged(work: Path) -> None:
    report = orjson.loads((work / "report" / "report.json").read_bytes())
    measures = {one["name"]: one for one in report["timeline"]}
    cases = report["sizes"]["holdout_cases"]
    assert (measures["encounters_per_patient"]["n_real"], measures["encounters_per_patient"]["n_synthetic"]) == (
        cases,
        20,
    )
    assert measures["encounters_per_patient"]["band"] > 0
    assert len(report["pictures"]["timeline"]) >= 6
    rules = {one["name"]: one for one in report["rules"]}
    assert {one["group"] for one in rules.values()} == {"constraint", "range", "time"}
    assert rules["observation-encounter"]["synthetic_checked"] > 50
    assert not [name for name, one in rules.items() if one["synthetic_broken"] and one["group"] == "time"]


@pytest.mark.slow
def test_the_oracle_is_another_draw_of_the_same_population(work: Path) -> None:
    ours, fresh = (pd.read_parquet(work / stage / "features.parquet") for stage in ("tables", "oracle"))
    assert set(ours["patient_id"]).isdisjoint(fresh["patient_id"])
    assert list(ours) == list(fresh)
    assert [int(side["has_cystic_fibrosis"].sum()) for side in (ours, fresh)] == [40, 40]
    assert len(ours) == len(fresh) == 80
    assert not (work / "oracle" / "bundles").exists()
    before, after = (
        orjson.loads((work / "generated" / "manifest.json").read_bytes())["spec"],
        orjson.loads((work / "oracle" / "manifest.json").read_bytes())["generated"]["spec"],
    )
    assert {name for name in before if before[name] != after[name]} == {"seed"}
    report = orjson.loads((work / "report" / "report.json").read_bytes())
    assert "oracle" in {arm["name"] for arm in report["uplift"]["arms"]}
    described = orjson.loads((work / "report" / "croissant.json").read_bytes())
    places = [one["contentUrl"] for one in described["distribution"] if "contentUrl" in one]
    assert "../synthetic/synthetic.parquet" in places
    assert all((work / "report" / place).exists() for place in places)


@pytest.mark.slow
def test_a_second_call_does_only_what_is_missing(work: Path) -> None:
    assert all("already there" in line for line in stages(run(work)).values())
    before = (work / "report" / "report.json").read_bytes()
    bundles = {path.name: path.read_bytes() for path in (work / "bundles" / "transactions").iterdir()}
    shutil.rmtree(work / "report")
    shutil.rmtree(work / "bundles")
    said = stages(run(work))
    assert {stage for stage, line in said.items() if "already there" not in line} == {"bundles", "report"}
    assert (work / "report" / "report.json").read_bytes() == before
    assert {path.name: path.read_bytes() for path in (work / "bundles" / "transactions").iterdir()} == bundles


@pytest.mark.slow
def test_other_parameters_are_refused(work: Path) -> None:
    result = run(work, "--augment", "21")
    assert isinstance(result.exception, WorkspaceError)
    assert "augment: was 20, now 21" in str(result.exception)


def test_a_run_of_before_there_were_oracles_goes_on(tmp_path: Path) -> None:
    generate = GenerateSpec(population=30, condition="cystic-fibrosis", cases=30)
    plain, beside = RunSpec(generate=generate, augment=5), RunSpec(generate=generate, augment=5, oracle=True)
    assert "oracle" not in plain.parameters()
    assert beside.parameters() == {**plain.parameters(), "oracle": True}
    workspace = Workspace(tmp_path / "work")
    assert workspace.claim(plain.parameters()) == workspace.claim(plain.parameters())
    with pytest.raises(WorkspaceError, match="oracle: was None, now True"):
        workspace.claim(beside.parameters())
    assert beside.fresh.seed == derive(0, "oracle")
    assert beside.fresh.model_copy(update={"seed": generate.seed}) == generate


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (["--condition", "dragon-pox"], "dragon-pox"),
        (["--model", "oracle"], "there is no model"),
        (["--cases", "3"], "at least 20"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_simulated(tmp_path: Path, more: list[str], problem: str) -> None:
    result = run(tmp_path / "work", *more)
    assert isinstance(result.exception, UsageError | bridge.UsageError | CohortError)
    assert problem in str(result.exception)
    assert "\n" not in str(result.exception)
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("cases", [0, 3])
def test_a_cohort_that_is_too_small_is_refused(tmp_path: Path, cases: int) -> None:
    features = example_features(40).assign(has_cystic_fibrosis=[number < cases for number in range(40)])
    schema = example_schema()
    schema.conform(features).to_parquet(tmp_path / "features.parquet")
    schema.save(tmp_path / "schema.json")
    result = CliRunner().invoke(cli, ["augment", str(tmp_path), "--n", "5", "--out", str(tmp_path / "out")])
    assert isinstance(result.exception, CohortError)
    assert f"there are {cases or 'no'} patients with cystic fibrosis" in str(result.exception)
    assert not (tmp_path / "out").exists()
