"""``fhirsynth registry``: what it lists, what it refuses, and that nothing is passed over in silence."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fhirsynth import registry as module
from fhirsynth.cli import cli
from fhirsynth.errors import UsageError, WorkspaceError
from fhirsynth.registry import Problem, registry
from synthea_bridge.files import sha256_of, write_json

TRAIN = "ab" * 32
VERDICTS = {"utility": "PASS", "privacy": "UNDERPOWERED", "fidelity": "FAIL"}


def a_report(**more: Any) -> dict[str, Any]:
    sizes = {"train": 270, "holdout": 180, "synthetic": 150, "train_cases": 90}
    return {
        "schema_version": 2,
        "valid": True,
        "verdicts": VERDICTS,
        "sizes": sizes,
        "cohort_title": "Cystic fibrosis",
        "fhirsynth": "0.1.0",
        "run_id": None,
        **more,
    }


def a_run(folder: Path, run_id: str = "4675893395df", *, version: int = 2, patients: int = 150) -> Path:
    """A work folder with every manifest of a run."""
    generate = {"cohorts": [{"condition": "cystic-fibrosis", "cases": 150}], "end_date": "2026-01-01", "seed": 7}
    parameters = {"fhirsynth": "0.1.0", "model": "ctgan", "augment": 150, "generate": generate}
    write_json(folder / "manifest.json", {"run_id": run_id, "parameters": parameters})
    model = {"model": "ctgan", "parameters": {"ctgan": "0.12.1", "sdv": "2.0.0"}, "train_sha256": TRAIN}
    stages: dict[str, dict[str, Any]] = {
        "generated": {"spec": generate, "synthea": "3.3.0"},
        "tables": {},
        "synthetic": {"made": 150, "model": model},
        "bundles": {"patients": patients},
        "report": {},
    }
    for stage, said in stages.items():
        write_json(folder / stage / "manifest.json", {"stage": stage, **said})
    write_json(folder / "report" / "report.json", a_report(schema_version=version, run_id=run_id))
    (folder / "synthetic" / "synthetic.parquet").write_bytes(b"rows")
    return folder


def call(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["registry", *map(str, arguments)])


# ---------------------------------------------------------------- what is listed


@pytest.mark.parametrize("version", [1, 2])
def test_a_run_is_listed_with_everything_that_it_records(tmp_path: Path, version: int) -> None:
    work = a_run(tmp_path / "works" / "demo", version=version)
    found = registry(tmp_path)
    assert found.problems == ()
    (entry,) = found.entries
    assert (entry.kind, entry.path, entry.run_id) == ("run", "works/demo", "4675893395df")
    assert (entry.condition, entry.generator, entry.version) == ("cystic-fibrosis", "ctgan", "0.12.1")
    assert (entry.synthetic, entry.share, entry.share_compared) == (150, 1.0, 0.25)
    assert entry.valid is True
    assert {name: getattr(entry, name) for name in VERDICTS} == VERDICTS
    assert entry.train_sha256 == TRAIN
    assert entry.synthetic_sha256 == sha256_of(work / "synthetic" / "synthetic.parquet")
    assert entry.bundles_sha256 == sha256_of(work / "bundles" / "manifest.json")
    assert entry.report_sha256 == sha256_of(work / "report" / "report.json")
    assert (entry.fhirsynth, entry.index_date) == ("0.1.0", "2026-01-01")
    assert entry.stages == ("generated", "tables", "synthetic", "bundles", "report")


def test_the_share_is_of_the_patients_that_ship(tmp_path: Path) -> None:
    a_run(tmp_path, patients=600)
    assert registry(tmp_path).entries[0].share == 0.25


def test_a_run_that_is_not_finished_is_listed_as_far_as_it_is(tmp_path: Path) -> None:
    write_json(tmp_path / "manifest.json", {"run_id": "r1", "parameters": {"model": "tvae"}})
    write_json(tmp_path / "generated" / "manifest.json", {"stage": "generated"})
    found = registry(tmp_path)
    (entry,) = found.entries
    assert (entry.path, entry.run_id, entry.generator, entry.stages) == (".", "r1", "tvae", ("generated",))
    assert entry.valid is entry.utility is entry.synthetic is entry.share is None
    assert found.problems == ()


def test_a_report_on_its_own_is_listed_with_what_lies_beside_it(tmp_path: Path) -> None:
    write_json(tmp_path / "a" / "report.json", a_report())
    write_json(tmp_path / "b" / "report.json", a_report(valid=False, run_id="r2"))
    card = {"generator": {"name": "own", "parameters": {"own": "3"}}, "training_data_sha256": {"train": TRAIN}}
    write_json(tmp_path / "b" / "model-card.json", card)
    write_json(tmp_path / "b" / "croissant.json", {"distribution": [{"sha256": "cd" * 32}]})
    found = registry(tmp_path)
    assert found.problems == ()
    bare, told = found.entries
    assert (bare.kind, bare.path, bare.condition, bare.synthetic) == ("report", "a", "Cystic fibrosis", 150)
    assert bare.generator is bare.train_sha256 is bare.synthetic_sha256 is None
    assert (told.run_id, told.valid, told.generator, told.version) == ("r2", False, "own", "3")
    assert (told.train_sha256, told.synthetic_sha256) == (TRAIN, "cd" * 32)


def test_the_order_is_that_of_paths_and_stages_on_their_own_are_no_runs(tmp_path: Path) -> None:
    for name in ("z", "a/b", "a", "m"):
        a_run(tmp_path / name)
    write_json(tmp_path / "alone" / "manifest.json", {"stage": "synthetic", "made": 3})
    write_json(tmp_path / "bundles" / "manifest.json", {"spec": {}, "synthea": "3.3.0"})
    a_run(tmp_path / ".z.part")
    found = registry(tmp_path)
    assert [entry.path for entry in found.entries] == ["a", "a/b", "m", "z"]
    assert found.problems == ()
    assert found == registry(tmp_path)


# ---------------------------------------------------------------- what cannot be read


@pytest.mark.parametrize(
    ("place", "content", "reason"),
    [
        ("bad/manifest.json", b"{", "is not JSON"),
        ("bad/manifest.json", b'{"name": "a web page"}', "is no manifest of a run (run_id: Field required)"),
        ("bad/manifest.json", b"[1]", "is no manifest of a run"),
        ("bad/manifest.json", b"null", "holds nothing"),
        ("bad/manifest.json", b'{"run_id": 7, "parameters": {}}', "(run_id: Input should be a valid string)"),
        ("bad/report.json", b"\xff\xfe", "is not JSON"),
        ("bad/report.json", b"[" * 100_000, "is not JSON"),
        ("bad/report.json", b'{"tests": 3}', "is no report of ours (schema_version: Field required)"),
        ("bad/report.json", json.dumps(a_report(valid="yes")).encode(), "(valid: Input should be a valid boolean)"),
        (
            "bad/report.json",
            json.dumps(a_report(verdicts={**VERDICTS, "privacy": "GOOD"})).encode(),
            "verdicts.privacy",
        ),
        ("good/report/report.json", b"{", "is not JSON"),
        ("good/bundles/manifest.json", b'{"patients": -1}', "is no manifest of Bundles (patients"),
        ("good/synthetic/manifest.json", b'{"made": true, "model": {}}', "is no manifest of synthetic rows (made"),
    ],
)
def test_what_is_broken_or_foreign_is_told_and_the_rest_is_listed(
    tmp_path: Path, place: str, content: bytes, reason: str
) -> None:
    a_run(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / place).write_bytes(content)
    (problem,) = registry(tmp_path).problems
    assert problem.path == place
    assert reason in problem.reason
    done = call(tmp_path)
    assert done.exit_code == 1
    assert f"{place}: " in done.stderr
    assert "1 could not be read" in done.stderr
    assert "4675893395df" in done.stdout
    assert json.loads(call(tmp_path, "--json").stdout)["problems"] == [{"path": place, "reason": problem.reason}]


def test_a_large_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 100)
    write_json(tmp_path / "report.json", a_report())
    found = registry(tmp_path)
    assert found.entries == ()
    assert "is not read: more than 100" in found.problems[0].reason


def test_links_are_not_followed(tmp_path: Path) -> None:
    elsewhere = a_run(tmp_path / "elsewhere")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "loop").symlink_to(inside)
    (inside / "work").symlink_to(elsewhere)
    (inside / "report.json").symlink_to(elsewhere / "report" / "report.json")
    work = a_run(inside / "own")
    (work / "report").rename(work / "moved")
    (work / "report").symlink_to(elsewhere / "report")
    found = registry(inside)
    assert [entry.path for entry in found.entries] == ["own", "own/moved"]
    assert found.entries[0].valid is None
    assert [problem.path for problem in found.problems] == ["own/report", "report.json"]
    assert {problem.reason for problem in found.problems} == {"is a link, which is not followed"}


def test_what_lies_too_deep_is_told_once(tmp_path: Path) -> None:
    a_run(tmp_path / "a" / "b" / "c")
    (tmp_path / "a" / "b" / "d").mkdir()
    assert [entry.path for entry in registry(tmp_path, depth=3).entries] == ["a/b/c"]
    found = registry(tmp_path, depth=2)
    assert found.entries == ()
    reason = "lies deeper than 2 folders and was not looked into (and 1 more); name it itself"
    assert found.problems == (Problem("a/b/c", reason),)


# ---------------------------------------------------------------- the command


def test_the_table_is_for_people(tmp_path: Path) -> None:
    a_run(tmp_path / "one")
    a_run(tmp_path / "two", run_id="r2")
    done = call(tmp_path)
    assert done.exit_code == 0, done.stderr
    head, first, second = done.stdout.splitlines()
    assert " ".join(head.split()) == "path run condition generator synthetic share utility privacy fidelity valid"
    told = "one 4675893395df cystic-fibrosis ctgan 0.12.1 150 100% PASS UNDERPOWERED FAIL yes"
    assert " ".join(first.split()) == told
    assert second.startswith("two")
    assert head.index("condition") == first.index("cystic") == second.index("cystic")
    assert done.stderr == ""


def test_json_and_csv_hold_the_same(tmp_path: Path) -> None:
    a_run(tmp_path / "one")
    write_json(tmp_path / "two" / "report.json", a_report())
    runs = json.loads(call(tmp_path, "--json").stdout)["runs"]
    rows = list(csv.DictReader(io.StringIO(call(tmp_path, "--csv", "-").stdout)))
    assert [list(row) for row in rows] == [list(run) for run in runs]
    assert [row["report_sha256"] for row in rows] == [run["report_sha256"] for run in runs]
    assert [row["run_id"] for row in rows] == ["4675893395df", ""]
    place = tmp_path / "runs.csv"
    done = call(tmp_path, "--csv", place)
    assert done.stdout == ""
    assert list(csv.DictReader(io.StringIO(place.read_text()))) == rows


def test_text_from_manifests_cannot_command_a_terminal_or_a_spreadsheet(tmp_path: Path) -> None:
    a_run(tmp_path / "one", run_id="=HYPERLINK(1)\x1b[31m\u202e\nx[bold]")
    table = call(tmp_path).stdout
    assert len(table.splitlines()) == 2
    assert "\x1b" not in table
    assert "\u202e" not in table
    assert "\\x1b[31m\\u202e\\nx[bold]" in table
    (row,) = csv.DictReader(io.StringIO(call(tmp_path, "--csv", "-").stdout))
    assert row["run_id"].startswith("'=HYPERLINK(1)\\x1b")
    assert call(tmp_path, "--json").stdout.isascii()


def test_the_terminal_gets_a_table_without_markup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from fhirsynth.cli.registry import _table

    a_run(tmp_path / "one", run_id="[red]x[/red]")
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", "200")
    _table(registry(tmp_path).entries)
    assert "[red]x[/red]" in screen.getvalue()
    assert "│" in screen.getvalue()


def test_nothing_found_is_said_in_one_line(tmp_path: Path) -> None:
    done = call(tmp_path)
    assert isinstance(done.exception, WorkspaceError)
    assert "holds no run and no report" in str(done.exception)
    assert "\n" not in str(done.exception)


def test_a_wrong_call_is_refused(tmp_path: Path) -> None:
    for arguments, words in (((tmp_path / "no",), "is no folder"), ((tmp_path, "--json", "--csv", "-"), "not both")):
        done = call(*arguments)
        assert isinstance(done.exception, UsageError)
        assert words in str(done.exception)
