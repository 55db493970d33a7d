"""The engine on Spark: what executors deliver, what goes wrong there, and the Java that it starts on."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fhirsynth.assemble.in_shards import Shards
from synthea_bridge.engines import Engine, Task
from synthea_bridge.engines.local import LocalEngine
from synthea_bridge.engines.spark import SparkEngine
from synthea_bridge.engines.spark.delivery import Target, folder_of
from synthea_bridge.engines.spark.executor import Given, do, explained, package_version
from synthea_bridge.engines.spark.java_home import java_home
from synthea_bridge.errors import HelperError, SyntheaError, UsageError, WorkerError
from synthea_bridge.flatten_shards import flatten_shards
from synthea_bridge.sharded import generate_shards
from synthea_bridge.skips import SkipLog
from synthea_bridge.spec import GenerateSpec
from tests.test_engines import Fails, Killed, Letters, files_of, tasks


@dataclass(frozen=True)
class KillsOnce:
    """Ends a process the first time it is done: the one with this id, or the executor that it is done on."""

    before: Path
    process: int | None = None

    def __call__(self, folder: Path) -> dict[str, Any]:
        if not self.before.exists():
            self.before.touch()
            daemon = Path(f"/proc/{os.getppid()}/stat").read_text()
            os.kill(self.process or int(daemon.rpartition(")")[2].split()[1]), signal.SIGKILL)
        return Letters("c")(folder)


def whole(folder: Path) -> dict[str, bytes]:
    """Without the checksums that Hadoop leaves beside files of this machine."""
    return {name: data for name, data in files_of(folder).items() if not name.endswith(".crc")}


def by_local_engine(folder: Path) -> dict[str, bytes]:
    list(LocalEngine().run(tasks(), str(folder), made_from="seed 1"))
    return files_of(folder)


def spark_home(folder: Path) -> Path:
    """Spark, with a folder of its own for what executors say."""
    pyspark = pytest.importorskip("pyspark")
    folder.mkdir()
    for path in Path(pyspark.__file__).parent.iterdir():
        if path.name != "work":
            (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SparkEngine, Path]]:
    """Two executors of one core each, and what they see as ``viewfs://c/out``."""
    folder = tmp_path_factory.mktemp("spark")
    (folder / "out").mkdir()
    link = {"spark.hadoop.fs.viewfs.mounttable.c.link./out": (folder / "out").as_uri()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_HOME", str(spark_home(folder / "home")))
        patch.delenv("JAVA_HOME", raising=False)
        engine = SparkEngine("local-cluster[2,1,1024]", link)
        yield engine, folder / "out"
        engine.close()


def test_a_url_is_told_from_a_folder() -> None:
    assert folder_of("file:///a/b%20c") == Path("/a/b c")
    assert folder_of("a/b") == Path("a/b")
    assert folder_of("C:/a") == Path("C:/a")
    assert folder_of("hdfs://name/a") is None


def test_an_executor_leaves_what_another_engine_leaves(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyspark")
    given = Given(Target(str(tmp_path / "out")), "seed 1", package_version())
    for task in tasks():
        row = {"key": [task.key], "work": [pickle.dumps(task.work)]}
        list(do([pyarrow.RecordBatch.from_pydict(row)], given))
    assert files_of(tmp_path / "out") == by_local_engine(tmp_path / "other")


def test_another_version_on_an_executor_is_refused(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyspark")
    row = pyarrow.RecordBatch.from_pydict({"key": ["a"], "work": [b""]})
    with pytest.raises(RuntimeError) as caught:
        list(do([row], Given(Target(str(tmp_path)), "seed 1", "0.0.0")))
    error = explained(f"a trace\n  {caught.value}\n of many lines", "out")
    assert isinstance(error, UsageError)
    assert str(error) == f"executors have fhirsynth {package_version()}, not 0.0.0; give them the same"


def test_what_spark_says_becomes_one_line() -> None:
    lacking = explained("...\nModuleNotFoundError: No module named 'synthea_bridge'\n\tat org.apache", "out")
    assert isinstance(lacking, UsageError)
    assert "executors lack the Python package synthea_bridge" in str(lacking)
    lost = explained(
        "Job aborted due to stage failure: Task 0 in stage 5.0 failed 4 times, most recent failure: Lost task 0.3 in "
        "stage 5.0 (TID 20) (10.0.0.1 executor 0): ExecutorLostFailure (executor 0 exited)\nDriver stacktrace:\n",
        "out",
    )
    assert isinstance(lost, WorkerError)
    assert str(lost).startswith("Spark has given up: (10.0.0.1 executor 0): ExecutorLostFailure (executor 0 exited); ")
    assert "\n" not in str(lost)


def test_spark_is_started_on_the_bundled_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIRSYNTH_CACHE", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv("FHIRSYNTH_JAVA", raising=False)
    call = [java_home() / "bin" / "java", "--add-modules=jdk.incubator.vector", "-Da=b c", "-version"]
    assert subprocess.run(call, capture_output=True, check=False).returncode == 0


def test_the_users_java_is_taken_where_it_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    monkeypatch.setenv("FHIRSYNTH_CACHE", str(tmp_path))
    monkeypatch.delenv("FHIRSYNTH_JAVA", raising=False)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    for version, fits in (("17.0.1", True), ("25", False), ("1.8.0", False)):
        java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
        java.chmod(0o755)
        assert (java_home() == tmp_path) is fits


@pytest.mark.slow
def test_executors_leave_what_another_engine_leaves(cluster: tuple[SparkEngine, Path], tmp_path: Path) -> None:
    engine, _ = cluster
    told: list[tuple[int, int | None]] = []
    out = str(tmp_path / "out")
    made = list(
        engine.run(tasks(), out, made_from="seed 1", progress=lambda done, total, note="": told.append((done, total)))
    )
    assert [key for key, _ in made] == list("abcde")
    assert files_of(tmp_path / "out") == by_local_engine(tmp_path / "other")
    assert told[0] == (0, 5)
    assert told[-1] == (5, 5)
    assert "JAVA_HOME" not in os.environ


@pytest.mark.slow
def test_any_file_system_of_hadoop_takes_shards_and_goes_on(cluster: tuple[SparkEngine, Path], tmp_path: Path) -> None:
    engine, seen = cluster
    (seen / "a" / "_shards" / ".c-0-1.part").mkdir(parents=True)
    first = list(engine.run(tasks("ab"), "viewfs://c/out/a", made_from="seed 1"))
    (seen / "a" / "a.txt").write_text("untouched")
    (seen / "a" / ".a.txt.crc").unlink()
    (seen / "a" / "b.txt").write_text("half")
    (seen / "a" / ".b.txt.crc").unlink()
    (seen / "a" / "_shards" / "b.json").unlink()
    assert list(engine.run(tasks(), "viewfs://c/out/a", made_from="seed 1"))[:2] == first
    assert (seen / "a" / "a.txt").read_text() == "untouched"
    (seen / "a" / "a.txt").write_text("a")
    assert whole(seen / "a") == by_local_engine(tmp_path / "other")
    assert not (seen / "a" / "_shards" / ".c-0-1.part").exists()
    with pytest.raises(UsageError, match=r"viewfs://c/out/a: _shards/a.json was made with other parameters"):
        list(engine.run(tasks(), "viewfs://c/out/a", made_from="seed 2"))
    with pytest.raises(HelperError, match=r"viewfs://c/elsewhere/.* cannot be written \(AccessControlException"):
        list(engine.run(tasks("a"), "viewfs://c/elsewhere", made_from="seed 1"))


@pytest.mark.slow
def test_failures_on_executors_are_one_line(cluster: tuple[SparkEngine, Path], tmp_path: Path) -> None:
    engine, _ = cluster
    with pytest.raises(SyntheaError, match=r"^no snow$"):
        list(engine.run([*tasks("ab"), Task("c", Fails("no snow"))], str(tmp_path), made_from="seed 1"))
    with pytest.raises(WorkerError, match=r"^d: TypeError: 'int' object is not callable$"):
        list(engine.run([Task("d", 3)], str(tmp_path), made_from="seed 1"))  # type: ignore[arg-type]
    with pytest.raises(WorkerError, match=r"^Spark has given up: [^\n]*crashed[^\n]*what is done stays"):
        list(engine.run([Task("e", Killed())], str(tmp_path), made_from="seed 1"))


@pytest.mark.slow
def test_an_executor_that_is_killed_changes_nothing(cluster: tuple[SparkEngine, Path], tmp_path: Path) -> None:
    engine, _ = cluster
    todo = [*tasks("ab"), Task("c", KillsOnce(tmp_path / "killed")), *tasks("de")]
    list(engine.run(todo, str(tmp_path / "out"), made_from="seed 1"))
    assert (tmp_path / "killed").exists()
    assert files_of(tmp_path / "out") == by_local_engine(tmp_path / "other")


def drive(folder: str) -> None:
    """Run tasks of which one ends this very process."""
    todo = [*tasks("ab"), Task("c", KillsOnce(Path(folder) / "killed", os.getpid())), *tasks("de")]
    list(SparkEngine("local[1]").run(todo, f"{folder}/out", made_from="seed 1"))


@pytest.mark.slow
def test_a_driver_that_is_killed_goes_on_when_it_is_called_again(
    cluster: tuple[SparkEngine, Path], tmp_path: Path
) -> None:
    engine, _ = cluster
    code = f"from tests.test_spark import drive; drive({str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent, check=False)
    assert done.returncode == -signal.SIGKILL
    assert {path.stem for path in (tmp_path / "out" / "_shards").glob("*.json")} >= {"a", "b"}
    list(engine.run(tasks(), str(tmp_path / "out"), made_from="seed 1"))
    assert files_of(tmp_path / "out") == by_local_engine(tmp_path / "other")


SPEC = GenerateSpec(population=4, shard_size=2, seed=3, min_age=0, max_age=30, threads=1, heap="1g")


def everything(folder: Path, source: Path, engine: Engine) -> dict[str, bytes]:
    """From Synthea to tables to Bundles."""
    generate_shards(SPEC, str(folder / "made"), engine, ["tables", "bundles"])
    flatten_shards(source, folder / "tables", engine, shard_bytes=1)
    shards = Shards(engine, str(folder / "bundles"), "tables of seed 3")
    shards.tables(folder / "made" / "tables", None, SkipLog())
    return files_of(folder)


@pytest.mark.slow
def test_simulated_patients_are_the_same_bytes(cluster: tuple[SparkEngine, Path], tmp_path: Path) -> None:
    source = tmp_path / "here" / "made" / "bundles"
    here = everything(tmp_path / "here", source, LocalEngine())
    assert everything(tmp_path / "there", source, cluster[0]) == here
    assert "made/manifest.json" in here
    assert "tables/patients/shard=files-00001/patients.parquet" in here
    assert "bundles/bundles/control-00001.ndjson.gz" in here
