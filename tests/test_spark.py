"""The engine on Spark: what executors deliver, what goes wrong there, and the Java that it starts on."""

from __future__ import annotations

import gzip
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
from click.testing import CliRunner

from fhirsynth.assemble.in_shards import Shards
from fhirsynth.cli import cli
from fhirsynth.stored import Stored
from fhirsynth.trilemma.uplift import trial, uplift
from synthea_bridge.engines import Engine, Task, Tell
from synthea_bridge.engines.local import LocalEngine
from synthea_bridge.engines.spark import SparkEngine
from synthea_bridge.engines.spark.executor import Given, do, explained, package_version
from synthea_bridge.engines.spark.hadoop import Hadoop, Settings, helper_classes
from synthea_bridge.engines.spark.hadoop import spark_home as found_home
from synthea_bridge.engines.spark.java_home import java_home
from synthea_bridge.errors import HelperError, InputError, SyntheaError, UsageError, WorkerError
from synthea_bridge.flatten_shards import FilesWork, flatten_shards
from synthea_bridge.place import Place
from synthea_bridge.sharded import generate_shards
from synthea_bridge.skips import SkipLog
from synthea_bridge.spec import GenerateSpec
from tests.frames import example_features, example_schema
from tests.lives import example_timeline
from tests.remake_golden import FIXTURES
from tests.test_engines import Fails, Killed, Letters, Squares, files_of, tasks
from tests.test_uplift import world


@dataclass(frozen=True)
class KillsOnce:
    """Ends a process the first time it is done: the one with this id, or the executor that it is done on."""

    before: Path
    process: int | None = None

    def __call__(self, folder: Path, tell: Tell) -> dict[str, Any]:
        if not self.before.exists():
            self.before.touch()
            daemon = Path(f"/proc/{os.getppid()}/stat").read_text()
            os.kill(self.process or int(daemon.rpartition(")")[2].split()[1]), signal.SIGKILL)
        return Letters("c")(folder, tell)


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


def test_an_executor_leaves_what_another_engine_leaves(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyspark")
    given = Given(Place.of(tmp_path / "out"), "seed 1", package_version())
    for task in tasks():
        row = {"key": [task.key], "work": [pickle.dumps(task.work)]}
        list(do([pyarrow.RecordBatch.from_pydict(row)], given))
    assert files_of(tmp_path / "out") == by_local_engine(tmp_path / "other")


def test_another_version_on_an_executor_is_refused(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyspark")
    row = pyarrow.RecordBatch.from_pydict({"key": ["a"], "work": [b""]})
    with pytest.raises(RuntimeError) as caught:
        list(do([row], Given(Place.of(tmp_path), "seed 1", "0.0.0")))
    error = explained(f"a trace\n  {caught.value}\n of many lines", "out")
    assert isinstance(error, UsageError)
    assert str(error) == f"executors have fhirsynth {package_version()}, not 0.0.0; give them the same"


def test_what_spark_says_becomes_one_line() -> None:
    lacking = explained("...\nModuleNotFoundError: No module named 'synthea_bridge'\n\tat org.apache", "out")
    assert isinstance(lacking, UsageError)
    assert "executors lack the Python package synthea_bridge" in str(lacking)
    said = (
        "Job aborted due to stage failure: Task 0 in stage 5.0 failed 4 times, most recent failure: Lost task 0.3 in "
        "stage 5.0 (TID 20) (10.0.0.1 executor 0): ExecutorLostFailure (executor 0 exited)\nDriver stacktrace:\n"
    )
    lost = explained(said, "out")
    assert isinstance(lost, WorkerError)
    assert str(lost).startswith("Spark has given up: (10.0.0.1 executor 0): ExecutorLostFailure (executor 0 exited); ")
    assert "\n" not in str(lost)
    assert " (executor 0 exited); run the same again, " in str(explained(said))


def test_a_master_of_no_kind_is_one_line() -> None:
    pytest.importorskip("pyspark")
    with pytest.raises(UsageError, match=r"^--master mesos://a: give yarn, local\[CORES\], spark://"):
        assert SparkEngine("mesos://a").session


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
    told: list[float] = []
    out = str(tmp_path / "out")
    made = list(engine.run(tasks(), out, made_from="seed 1", tell=told.append))
    assert [key for key, _ in made] == list("abcde")
    assert files_of(tmp_path / "out") == by_local_engine(tmp_path / "other")
    assert (told[0], told[-1]) == (0, 5)
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
def test_pieces_come_back_from_executors(cluster: tuple[SparkEngine, Path]) -> None:
    engine, _ = cluster
    told: list[float] = []
    assert engine.each(Squares(), 5, tell=told.append) == LocalEngine().each(Squares(), 5)
    assert told[-1] == 5
    with pytest.raises(SyntheaError, match=r"^3 is none$"):
        engine.each(Squares(wrong=3), 5)


@pytest.mark.slow
def test_an_uplift_on_executors_is_the_one_of_this_process(
    cluster: tuple[SparkEngine, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, _ = cluster
    monkeypatch.setattr(uplift, "DRAWS", 100)
    monkeypatch.setattr(trial, "REPEATS", 1)
    monkeypatch.setattr(trial, "SEEDS", 2)
    samples = world(150)
    here = uplift.measure_uplift(samples, {"made": samples.synthetic})
    assert uplift.measure_uplift(samples, {"made": samples.synthetic}, engine=engine) == here
    assert uplift.measure_uplift(samples, {"made": samples.synthetic}, engine=LocalEngine(2)) == here


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
    shards.tables(Stored.at(folder / "made" / "tables"), None, SkipLog())
    return files_of(folder)


@pytest.mark.slow
def test_simulated_patients_are_the_same_bytes(cluster: tuple[SparkEngine, Path], tmp_path: Path) -> None:
    source = tmp_path / "here" / "made" / "bundles"
    here = everything(tmp_path / "here", source, LocalEngine())
    assert everything(tmp_path / "there", source, cluster[0]) == here
    assert "made/manifest.json" in here
    assert "tables/patients/shard=files-00001/patients.parquet" in here
    assert "bundles/bundles/control-00001.ndjson.gz" in here


def call(*words: object, code: int = 0) -> str:
    """What a command says; it takes the session of Spark that there is."""
    done = CliRunner().invoke(cli, list(map(str, words)))
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture(scope="module")
def source(cluster: tuple[SparkEngine, Path]) -> Path:
    """Patients, a formulary that is packed, something that is no FHIR, a picture, and what is hidden."""
    folder = cluster[1] / "in"
    (folder / "more").mkdir(parents=True)
    for number, path in enumerate(sorted((FIXTURES / "bundles").glob("00000*.gz"))[:5]):
        (folder / ("more" if number % 2 else ".") / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    drug = b'{"resourceType":"Medication","id":"drug","code":{"text":"aspirin"}}\n'
    (folder / "Medication.ndjson.gz").write_bytes(gzip.compress(drug))
    (folder / "broken.json").write_bytes(b"{")
    (folder / "picture.png").write_bytes(b"picture")
    (folder / ".hidden.json").write_bytes(b"{")
    (folder / "manifest.json").write_bytes(b'{"index_date":"2025-12-01","years":3}')
    return folder


@pytest.mark.slow
def test_tables_and_bundles_at_urls_are_the_bytes_of_folders(
    cluster: tuple[SparkEngine, Path], source: Path, tmp_path: Path
) -> None:
    engine, seen = cluster
    assert engine.session
    here = call("flatten", source, "--shard-size", 1, "--out", tmp_path / "tables", code=1)
    there = "viewfs://c/out/tables"
    spark = ["flatten", "viewfs://c/out/in", "--shard-size", 1, "--engine", "spark", "--out", there]
    assert call(*spark, code=1) == here.replace(str(tmp_path / "tables"), there)
    tables = files_of(tmp_path / "tables")
    assert whole(seen / "tables") == tables
    assert {"features.parquet", "schema.json", "manifest.json", "skipped.ndjson"} < tables.keys()
    assert "patients/shard=files-00001/patients.parquet" in tables
    for name in ("_shards/files-00000.json", "_shards/twice.json", "manifest.json"):
        (seen / "tables" / name).unlink()
        (seen / "tables" / name).with_name(f".{Path(name).name}.crc").unlink()
    call(*spark, code=1)
    assert whole(seen / "tables") == tables
    here = call("assemble", tmp_path / "tables", "--shard-size", 1, "--out", tmp_path / "bundles")
    said = call("assemble", there, "--engine", "spark", "--out", "viewfs://c/out/bundles")
    assert said == here.replace(str(tmp_path / "bundles"), "viewfs://c/out/bundles")
    assert whole(seen / "bundles") == files_of(tmp_path / "bundles")


@pytest.mark.slow
def test_rows_at_a_url_become_the_bytes_of_a_folder(cluster: tuple[SparkEngine, Path], tmp_path: Path) -> None:
    engine, seen = cluster
    assert engine.session
    rows = seen / "rows"
    rows.mkdir()
    example_features(4).to_parquet(rows / "synthetic.parquet")
    lacking = CliRunner().invoke(cli, ["assemble", "viewfs://c/out/rows", "--engine", "spark", "--out", str(tmp_path)])
    assert str(lacking.exception).startswith("viewfs://c/out/rows/schema.json: cannot be read (No such file")
    example_schema().save(rows / "schema.json")
    example_timeline().save(seen / "told.json")
    options = ["--years", 1, "--shard-size", 2]
    call("assemble", rows, *options, "--timeline", seen / "told.json", "--workers", 1, "--out", tmp_path / "lives")
    there = ["--engine", "spark", "--timeline", "viewfs://c/out/told.json", "--out", "viewfs://c/out/lives"]
    call("assemble", "viewfs://c/out/rows", *options, *there)
    assert whole(seen / "lives") == files_of(tmp_path / "lives")


@pytest.mark.slow
def test_bad_urls_are_one_line(cluster: tuple[SparkEngine, Path], source: Path, tmp_path: Path) -> None:
    engine, seen = cluster
    (seen / "empty").mkdir()

    def flattened(where: str, out: str = str(tmp_path / "out")) -> None:
        flatten_shards(where, out, engine)

    with pytest.raises(UsageError, match=r"^viewfs://c/out/nowhere: there is no such file or folder; give a Bundle"):
        flattened("viewfs://c/out/nowhere")
    with pytest.raises(UsageError, match=r"^nope://a/b: this Spark knows no such URLs; correct it[^\n]*$"):
        flattened("nope://a/b")
    with pytest.raises(UsageError, match=r"^nope://a/b/_shards: this Spark knows no such URLs"):
        flattened("viewfs://c/out/in", "nope://a/b")
    with pytest.raises(InputError, match=r"^viewfs://c/out/empty: no FHIR resources found; give FHIR R4"):
        flattened("viewfs://c/out/empty")
    place = engine.place("viewfs://c/out/in")
    gone = r"^viewfs://c/out/in/gone.json: is gone, and had 1 when files were listed"
    with pytest.raises(InputError, match=gone), place.here([("gone.json", 1)]):
        pass
    work = FilesWork("a", place, (("broken.json", 2),))
    with pytest.raises(InputError, match=r"^viewfs://c/out/in/broken.json: has 1 bytes, and had 2 when files were"):
        list(engine.run([Task("a", work)], str(tmp_path / "changed"), made_from="seed 1"))


@pytest.mark.slow
def test_the_helper_lists_copies_and_keeps_secrets(tmp_path: Path) -> None:
    pytest.importorskip("pyspark")
    (tmp_path / "seen" / "b").mkdir(parents=True)
    settings = {"fs.viewfs.mounttable.c.link./out": (tmp_path / "seen").as_uri(), "fs.s3a.bucket.secret.key": "hunter2"}
    said = "".join(
        f"<property><name>{name}</name><value>{value}</value></property>" for name, value in settings.items()
    )
    given = Settings(f"<configuration>{said}</configuration>".encode(), helper_classes())
    assert "hunter2" not in repr(given)
    with Hadoop(given, [found_home() / "jars" / "*"]) as hadoop:
        (tmp_path / "text").write_bytes(b"0123456789" * 20_000)
        for name in ("b/ä 😀.txt", "a.txt"):
            hadoop.put(tmp_path / "text", f"viewfs://c/out/{name}", f"viewfs://c/out/_shards/.x.part/{name}")
        listed = hadoop.listed("viewfs://c/out")
        assert {name: size for name, (size, _) in listed.items()} == {"b/ä 😀.txt": 200_000, "a.txt": 200_000}
        assert [size for size, _ in hadoop.listed("viewfs://c/out/a.txt").values()] == [200_000]
        for most, bytes_ in ((None, 200_000), (70_000, 70_000), (0, 0)):
            hadoop.fetch("viewfs://c/out/b/ä 😀.txt", tmp_path / "copy", most)
            assert (tmp_path / "copy").read_bytes() == (tmp_path / "text").read_bytes()[:bytes_]
        assert (tmp_path / "seen" / "_shards" / ".x.part").is_dir()
        hadoop.sweep("viewfs://c/out/_shards")
        hadoop.sweep("viewfs://c/out/nothing")
        assert not list((tmp_path / "seen" / "_shards").iterdir())
        with pytest.raises(FileNotFoundError, match=r"^viewfs://c/out/no: there is no such file or folder$"):
            hadoop.fetch("viewfs://c/out/no", tmp_path / "copy", None)
        with pytest.raises(HelperError, match=r"^viewfs://hunter2: cannot be read \([^\n]*…[^\n]*\)$") as caught:
            hadoop.listed("viewfs://hunter2")
        assert str(caught.value).count("hunter2") == 1
        assert hadoop._child is not None
        hadoop._child.process.kill()
        hadoop._child.process.wait()
        assert len(hadoop.listed("viewfs://c/out")) == 2
