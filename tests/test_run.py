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
from synthea_bridge import errors as bridge
from tests.frames import example_features, example_schema

ASKED = ("--condition", "cystic-fibrosis", "--population", "40", "--cases", "40", "--augment", "20", "--steps", "60")
STAGES = ("generated", "tables", "synthetic", "bundles", "ndjson", "report")


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
