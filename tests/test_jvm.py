"""The Java side: locks, altered jars, no network, a helper that does not compile, and the real simulator."""

from __future__ import annotations

import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from fhirsynth.cli import cli
from synthea_bridge import artifacts, conditions, jvm
from synthea_bridge.artifacts import Artifact, parse_lock
from synthea_bridge.errors import ArtifactError, HelperError, JavaMissing, UsageError
from synthea_bridge.generate import GenerateSpec, generate


@pytest.fixture
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FHIRSYNTH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    return tmp_path


def test_locks_pin_every_artifact_without_an_address() -> None:
    for name in ("synthea", "ecj"):
        assert "://" not in artifacts.lock_text(name)
        assert all(len(artifact.sha256) == 64 for artifact in artifacts.locked(name))
    assert any(str(a) == "org.mitre.synthea:synthea:3.3.0" for a in artifacts.locked("synthea"))


def test_a_broken_lock_names_its_line() -> None:
    with pytest.raises(ArtifactError, match="line 2"):
        parse_lock(f"a:b:1 {'0' * 64}\na:b {'0' * 64}\n")


def test_an_altered_jar_is_refused(empty_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jar = empty_machine / "m2" / "org" / "x" / "y" / "1" / "y-1.jar"
    jar.parent.mkdir(parents=True)
    jar.write_bytes(b"altered")
    monkeypatch.setattr(artifacts, "lock_text", lambda name: f"org.x:y:1 {'0' * 64}\n")
    assert artifacts.missing(artifacts.locked("any")) == []
    with pytest.raises(ArtifactError, match=r"org\.x:y:1: .*is not the file that was pinned"):
        artifacts.fetch("any")


def test_without_network_it_says_what_to_do(empty_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Offline:
        def resolve(self) -> Path:
            raise ConnectionError("no route to host")

    monkeypatch.setattr(artifacts, "_maven", lambda artifact: Offline())
    assert len(artifacts.missing(artifacts.locked("ecj"))) == 1
    with pytest.raises(ArtifactError, match=r"no route to host.*fhirsynth doctor --fetch"):
        artifacts.fetch("ecj")


def test_doctor_says_what_is_missing(empty_machine: Path) -> None:
    result = CliRunner().invoke(cli, ["doctor"])
    assert result.exit_code == 0
    assert "144 of 144" not in result.output or "missing" in result.output
    assert "fhirsynth doctor --fetch" in result.output


def test_a_java_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIRSYNTH_JAVA", "/nowhere/java")
    with pytest.raises(JavaMissing, match="FHIRSYNTH_JAVA=/nowhere/java"):
        jvm.java()


def test_unknown_condition_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="cystic-fibrosis"):
        conditions.find("cystic fibrosi")
    assert conditions.find("190905008") is conditions.find("Cystic fibrosis")


def test_specs_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    for wrong in ({"population": 0}, {"population": 1, "cases": 1}, {"population": 1, "min_age": 9, "max_age": 3}):
        with pytest.raises(UsageError):
            GenerateSpec.model_validate(wrong)
    with pytest.raises(UsageError, match="is no folder"):
        GenerateSpec(population=1, modules=tmp_path / "none")


def test_artifact_reads_as_its_coordinates() -> None:
    assert str(Artifact("g", "a", "1", "", "0")) == "g:a:1"


@pytest.mark.slow
def test_a_helper_that_does_not_compile_says_why() -> None:
    with pytest.raises(HelperError, match=r"(?s)Wrong does not compile.*nothing"):
        jvm.compile_sources("Wrong", {"Wrong.java": b"class Wrong { int x = nothing; }"}, [])


def patient_id(bundle: bytes) -> str:
    resources = (entry["resource"] for entry in orjson.loads(bundle)["entry"])
    return str(next(resource["id"] for resource in resources if resource["resourceType"] == "Patient"))


@pytest.mark.slow
def test_same_seed_same_bytes_whatever_the_threads(tmp_path: Path) -> None:
    base = GenerateSpec(population=4, condition="cystic-fibrosis", cases=2, seed=5, max_age=30)
    found = []
    for threads in (1, 2):
        result = generate(base.model_copy(update={"threads": threads}), tmp_path / str(threads))
        assert result.outcome["kept"] == {"control": 4, "case": 2}
        files = sorted((tmp_path / str(threads) / "bundles").iterdir())
        found.append({file.name: file.read_bytes() for file in files})
    assert found[0] == found[1]
    cases = [name for name, body in found[0].items() if b'"190905008"' in body]
    assert cases == ["000005.json", "000006.json"]
    shared = found[0].pop("shared.json")
    assert b'"Practitioner"' in shared
    assert len({patient_id(body) for body in found[0].values()}) == 6


@pytest.mark.slow
def test_ctrl_c_leaves_no_file_and_no_java(tmp_path: Path) -> None:
    out = tmp_path / "generated"
    call = [sys.executable, "-m", "fhirsynth.cli", "generate", "--population", "500", "--out", str(out)]
    # a shell that runs us in the background has its children ignore Ctrl-C; a user's terminal has not
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(call, stderr=subprocess.PIPE, preexec_fn=heeding) as process:
        while process.poll() is None and not any(tmp_path.glob(".generated.part/bundles/*.json")):
            try:
                process.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert list(tmp_path.iterdir()) == []
    assert children
    assert not any(Path(f"/proc/{child}").exists() for child in children)


@pytest.mark.slow
def test_syntheas_own_error_comes_out_as_ours(tmp_path: Path) -> None:
    call = [sys.executable, "-m", "fhirsynth.cli", "generate", "--population", "1", "--state", "Atlantis"]
    done = subprocess.run([*call, "--out", str(tmp_path / "x")], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Atlantis" in done.stderr
    assert list(tmp_path.iterdir()) == []
