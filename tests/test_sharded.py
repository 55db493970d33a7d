"""A simulation in shards: who is in which, what is written, what is read of it, and that a kill changes nothing."""

from __future__ import annotations

import gzip
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from fhirsynth.cli import cli
from fhirsynth.features import weighted, write_features
from fhirsynth.schema import build_schema
from fhirsynth.stored import Stored, files_of, read, stored
from synthea_bridge import simulator
from synthea_bridge.bundles import Reader
from synthea_bridge.engines.local import LocalEngine
from synthea_bridge.errors import ShortfallError, UsageError
from synthea_bridge.flatten import flatten
from synthea_bridge.journal import Frame
from synthea_bridge.plan import Plan
from synthea_bridge.sharded import WHAT, What, generate_shards
from synthea_bridge.shards import shards
from synthea_bridge.sinks import Compression, lines_name, reading, writing
from synthea_bridge.skips import SkipLog
from synthea_bridge.spec import Cohort, GenerateSpec

FIXTURES = sorted((Path(__file__).parent.parent / "fixtures" / "bundles").glob("0*.json.gz"))
NPI = "http://hl7.org/fhir/sid/us-npi"


def practitioner(number: int) -> dict[str, Any]:
    name = f"00000000-0000-4000-8000-{number:012}"
    resource = {"resourceType": "Practitioner", "id": name, "identifier": [{"system": NPI, "value": str(number)}]}
    request = {"method": "POST", "url": "Practitioner", "ifNoneExist": f"identifier={NPI}|{number}"}
    return {"fullUrl": f"urn:uuid:{name}", "resource": resource, "request": request}


def bundle(plan: int, index: int) -> bytes:
    """A Bundle of one patient who depends on plan and index only."""
    name = f"{plan:08}-0000-4000-8000-{index:012x}"
    urn = f"urn:uuid:{name}"
    visit = f"{plan:08}-0001-4000-8000-{index:012x}"
    person = {"resourceType": "Patient", "id": name, "gender": "female", "birthDate": f"19{index % 60 + 40}-05-06"}
    participant = {"individual": {"reference": f"Practitioner?identifier={NPI}|{index % 3}"}}
    encounter = {
        "resourceType": "Encounter",
        "id": visit,
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": urn},
        "participant": [participant],
        "period": {"start": "2025-01-01T10:00:00+00:00", "end": f"2025-01-{index % 27 + 1:02}T11:00:00+00:00"},
    }
    entries = [{"fullUrl": urn, "resource": person}, {"fullUrl": f"urn:uuid:{visit}", "resource": encounter}]
    return orjson.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries})


class Toy:
    """Stands for the helper ``Simulate``: every third person has died."""

    def __init__(self, plan: int) -> None:
        self.plan = plan

    def ask(
        self, *, cases: bool, start: int, until: int, wanted: int, references: Path | None = None
    ) -> Iterator[Frame]:
        kind, index, referred = ("case" if cases else "control"), start, set[int]()
        if references is not None:
            referred |= {int(line.rpartition("|")[2]) for line in references.read_text().splitlines()}
        while wanted and index < until:
            if index % 3 == 2:
                yield "dead", index, io.BytesIO(), {}
            else:
                wanted -= 1
                referred.add(index % 3)
                yield kind, index, io.BytesIO(bundle(self.plan, index)), {"units": 1, "absent": 0}
            index += 1
        entries = [practitioner(number) for number in sorted(referred)]
        shared = orjson.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries})
        yield "shared", index, io.BytesIO(shared), {}
        yield "exhausted" if wanted else "end", index, io.BytesIO(), {}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Simulations without Synthea; the plans that were asked for."""
    found: list[int] = []

    class Plans:
        @contextmanager
        def simulator(self, spec: GenerateSpec, number: int) -> Iterator[Toy]:
            found.append(number)
            yield Toy(number)

        def close(self) -> None: ...

    def plans(spec: GenerateSpec, jar: Path) -> Iterator[Plan]:
        yield Plan(0, "control", spec.population, "", {})
        for number, cohort in enumerate(spec.cohorts, start=1):
            yield Plan(number, cohort.condition, cohort.cases, "1", {}, 100.0)

    monkeypatch.setattr("synthea_bridge.sharded.HELD", Plans())
    monkeypatch.setattr("synthea_bridge.sharded.plans", plans)
    monkeypatch.setattr("synthea_bridge.sharded.synthea_jar", lambda: Path("synthea.jar"))
    return found


SPEC = GenerateSpec(population=5, cohorts=(Cohort(condition="lupus", cases=2),), shard_size=2)
KEYS = ["control-00000", "control-00001", "control-00002", "with-01-lupus-00000"]


def made(
    out: Path, write: tuple[What, ...] = WHAT, compression: Compression = "gzip", spec: GenerateSpec = SPEC
) -> Any:
    generate_shards(spec, str(out), LocalEngine(), write, compression)
    return orjson.loads((out / "manifest.json").read_bytes())


def files(out: Path) -> Mapping[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_shards_have_quotas_people_and_attempts_of_their_own() -> None:
    spec = GenerateSpec(population=2500, attempts=5000)
    found = list(shards(spec, Plan(0, "control", 2500, "", {})))
    assert [one.quota for one in found] == [1000, 1000, 500]
    assert [one.attempts for one in found] == [2000, 2000, 1000]
    assert [one.start for one in found] == [0, 1 << 32, 2 << 32]
    assert found[2].until == (2 << 32) + 1000
    (alone,) = shards(GenerateSpec(population=0, condition="lupus", cases=3), Plan(1, "lupus and gout", 3, "", {}))
    assert (alone.key, alone.attempts) == ("with-01-lupus-and-gout-00000", 1000)


def test_each_shard_is_a_partition_a_line_a_bundle_and_a_file_a_type(tmp_path: Path, asked: list[int]) -> None:
    manifest = made(tmp_path)
    assert [one["key"] for one in manifest["shards"]] == [*KEYS, "shared"]
    assert [part["shards"] for part in manifest["parts"]] == [KEYS[:3], KEYS[3:]]
    assert manifest["kept"] == {"control": 5, "case": 2}
    assert manifest["mended"] == {"units": 7, "data_absent_reason": 0, "shared_resources": 2}
    written = files(tmp_path)
    for shard in manifest["shards"]:
        for name, said in shard["files"].items():
            assert said["bytes"] == len(written[name])
    lines = gzip.decompress(written["bundles/control-00000.ndjson.gz"]).splitlines()
    assert lines == [bundle(0, 0), bundle(0, 1)]
    (visit, _) = map(orjson.loads, gzip.decompress(written["ndjson/Encounter/control-00000.ndjson.gz"]).splitlines())
    assert visit["subject"]["reference"] == f"Patient/{orjson.loads(lines[0])['entry'][0]['resource']['id']}"
    assert visit["participant"][0]["individual"]["reference"] == "Practitioner/00000000-0000-4000-8000-000000000000"
    shared = gzip.decompress(written["ndjson/Practitioner/shared.ndjson.gz"]).splitlines()
    assert [orjson.loads(line)["identifier"][0]["value"] for line in shared] == ["0", "1"]
    patients = pd.read_parquet(tmp_path / "tables" / "patients")
    assert patients["shard"].tolist() == ["control-00000"] * 2 + ["control-00001"] * 2 + KEYS[2:3] + KEYS[3:] * 2


@pytest.mark.parametrize("write", [("tables",), ("ndjson",), ("bundles",)])
def test_only_what_is_asked_for_is_written(tmp_path: Path, asked: list[int], write: tuple[What, ...]) -> None:
    made(tmp_path, write)
    assert {path.name for path in tmp_path.iterdir()} == {*write, "_shards", "manifest.json"}


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_the_bytes_repeat_and_are_read_back(tmp_path: Path, asked: list[int], compression: Compression) -> None:
    for name in ("one", "two"):
        made(tmp_path / name, ("bundles",), compression)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    flatten(tmp_path / "one", tmp_path / "tables", strict=True)
    patients = pd.read_parquet(tmp_path / "tables" / "patients.parquet")
    assert len(patients) == 7
    assert patients["weight"].sum() == pytest.approx(7)
    with reading(tmp_path / "one" / "bundles" / lines_name(KEYS[0], compression), compression) as lines:
        assert lines.readline() == bundle(0, 0) + b"\n"


def test_a_run_goes_on_and_refuses_other_parameters(tmp_path: Path, asked: list[int]) -> None:
    made(tmp_path / "whole")
    made(tmp_path / "killed")
    for name in (f"{KEYS[1]}.json", "shared.json", "manifest.json"):
        (tmp_path / "killed" / "_shards" / name).unlink()
    (tmp_path / "killed" / "bundles" / f"{KEYS[1]}.ndjson.gz").write_bytes(b"half")
    asked.clear()
    made(tmp_path / "killed")
    assert asked == [0, 1]  # one shard of the first plan, and what all share from the last
    assert files(tmp_path / "whole") == files(tmp_path / "killed")
    with pytest.raises(UsageError, match="was made with other parameters; choose another --out"):
        made(tmp_path / "killed", ("tables",))


def test_too_few_are_told_and_kept(tmp_path: Path, asked: list[int]) -> None:
    spec = GenerateSpec(population=5, attempts=5, shard_size=2)
    with pytest.raises(ShortfallError, match=r"5 patients were asked for, 3 were found among 5 simulated people"):
        made(tmp_path, ("tables",), spec=spec)
    assert len(pd.read_parquet(tmp_path / "tables" / "patients")) == 3


def test_tables_read_the_same_from_shards_and_from_single_files(tmp_path: Path, asked: list[int]) -> None:
    out = tmp_path / "sharded"
    manifest = made(out)
    flatten(out / "bundles", tmp_path / "single")
    schema = build_schema(date(2026, 1, 1))
    assert list(Stored.at(out / "tables").shards) == KEYS
    assert not Stored.at(tmp_path / "single").shards
    assert stored(out / "tables", "patients")
    assert not stored(out, "patients")
    for name in ("patients", "encounters", "conditions"):
        here, there = read(out / "tables", name), read(tmp_path / "single", name)
        assert here.drop_columns(["source"] if name == "patients" else []).equals(
            there.drop_columns(["source"] if name == "patients" else [])
        )
        assert len(files_of(out / "tables", name, KEYS[0])) == 1
    weights = read(out / "tables", "patients")["weight"].to_pylist()
    assert weights == [manifest["parts"][0]["weight"]] * 5 + [manifest["parts"][1]["weight"]] * 2
    assert pq.read_table(files_of(out / "tables", "patients")[0], partitioning=None)["weight"].null_count == 2
    features = [write_features(folder, schema) for folder in (out / "tables", tmp_path / "single")]
    pd.testing.assert_frame_equal(*features)
    assert (out / "tables" / "features.parquet").read_bytes() == (tmp_path / "single" / "features.parquet").read_bytes()
    assert weighted(features[0].drop(columns="weight"), out / "tables")["weight"].sum() == pytest.approx(7)


def test_packed_lines_have_limits_and_faults(tmp_path: Path) -> None:
    with writing(tmp_path / "cut.ndjson.zst", "zstd") as lines:
        lines.write(b"\n".join(bundle(0, index) for index in range(400)))
    whole = (tmp_path / "cut.ndjson.zst").read_bytes()
    (tmp_path / "cut.ndjson.zst").write_bytes(whole[: len(whole) // 2])
    with writing(tmp_path / "zeros.ndjson.zst", "zstd") as lines:
        lines.write(b"0" * (1 << 26))
    skips = SkipLog()
    list(Reader(skips).documents(tmp_path))
    said = [str(skip) for skip in skips.items]
    assert any("cut.ndjson.zst" in one for one in said)
    assert any("zeros.ndjson.zst: unpacks to more than 500 times its size" in one for one in said)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--write", "tables,csv"], "--write tables,csv: 'csv' is none of tables, ndjson, bundles"),
        (["--workers", "2"], "say with --write what is to be written"),
        (["--write", "tables", "--tables-only"], "leave --tables and --tables-only away"),
    ],
)
def test_options_that_do_not_fit(given: list[str], said: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["generate", *given, "--out", str(tmp_path / "out")])
    assert done.exit_code != 0
    assert said in (done.output or str(done.exception)) + str(done.exception)
    assert not (tmp_path / "out").exists()


def test_one_simulator_is_held_until_another_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    @contextmanager
    def started(spec: GenerateSpec, plan: Plan) -> Iterator[Toy]:
        told.append(f"start {plan.number}")
        yield Toy(plan.number)
        told.append(f"end {plan.number}")

    plans = [Plan(number, "x", 1, "", {}) for number in (0, 1)]
    monkeypatch.setattr(simulator, "simulator", started)
    monkeypatch.setattr(simulator, "plans", lambda spec, jar: iter(plans))
    monkeypatch.setattr(simulator, "synthea_jar", lambda: Path("synthea.jar"))
    held = simulator.Held()
    for number in (0, 0, 1):
        with held.simulator(SPEC, number):
            pass
    held.close()
    assert told == ["start 0", "end 0", "start 1", "end 1"]


@pytest.mark.slow
def test_a_shard_is_the_same_alone_and_after_a_kill(tmp_path: Path) -> None:
    """The run that goes on begins with the second shard; in the whole run it comes after the first, in one JVM."""
    call = [sys.executable, "-m", "fhirsynth.cli", "generate", "--population", "4", "--seed", "3", "--max-age", "30"]
    call += ["--shard-size", "2", "--write", ",".join(WHAT), "--workers", "1", "--out"]
    subprocess.run([*call, str(tmp_path / "whole")], check=True, capture_output=True)
    killed = tmp_path / "killed"
    child = subprocess.Popen([*call, str(killed)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while child.poll() is None and not (killed / "_shards" / "control-00000.json").exists():
        with suppress(subprocess.TimeoutExpired):
            child.wait(0.005)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    before = {path: path.stat().st_mtime_ns for path in killed.rglob("control-00000*")}
    assert before
    assert not (killed / "_shards" / "control-00001.json").exists()
    subprocess.run([*call, str(killed)], check=True, capture_output=True)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert files(tmp_path / "whole") == files(killed)
    ids = read(killed / "tables", "patients")["patient_id"].to_pylist()
    assert len(set(ids)) == 4
