"""Where files are: folders and URLs, files that change while they are read, and engines that reach no URLs."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from click.testing import CliRunner

from fhirsynth.cli import cli
from synthea_bridge.engines.local import LocalEngine
from synthea_bridge.errors import InputError, UsageError
from synthea_bridge.place import Place, folder_of


def test_a_url_is_told_from_a_folder() -> None:
    assert folder_of("file:///a/b%20c") == Path("/a/b c")
    assert folder_of("a/b") == Path("a/b")
    assert folder_of("C:/a") == Path("C:/a")
    assert folder_of("12:30/a") == Path("12:30/a")
    assert folder_of("hdfs://name/a") is None
    assert folder_of("hdfs:/a") is None


@pytest.mark.parametrize(
    ("url", "where", "name", "above"),
    [
        ("hdfs://n/a/b/", "hdfs://n/a/b", "b", "hdfs://n/a"),
        ("hdfs://n/a", "hdfs://n/a", "a", "hdfs://n"),
        ("hdfs:/a", "hdfs:///a", "a", "hdfs://"),
        ("s3a://bucket/", "s3a://bucket", "bucket", "s3a://bucket"),
        ("abfss://c@n.net/a/", "abfss://c@n.net/a", "a", "abfss://c@n.net"),
    ],
)
def test_a_url_has_a_name_and_lies_in_something(url: str, where: str, name: str, above: str) -> None:
    place = Place.of(url)
    assert (place.where, place.name, place.above.where) == (where, name, above)
    assert place / "c" == Place.of(f"{where}/c") == pickle.loads(pickle.dumps(place / "c"))


def test_files_are_listed_in_the_order_of_their_folders(tmp_path: Path) -> None:
    for name in ("a/b.json", "a.json", "a-b.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    place = Place.of(tmp_path)
    assert place.listed() == (place, {"a/b.json": 8, "a-b.json": 8, "a.json": 6})
    assert list(place.listed()[1]) == [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*.*"))]
    assert (place / "a" / "b.json").listed() == (place / "a", {"b.json": 8})
    with pytest.raises(FileNotFoundError):
        (place / "c").listed()


def test_a_file_that_changes_or_goes_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("abc")
    place = Place.of(tmp_path)
    file = place / "a"
    known = file.file()
    with known.here() as path:
        assert path == tmp_path / "a"
    (tmp_path / "a").write_text("abcd")
    with pytest.raises(InputError, match=r"a: has 4 bytes, and had 3 when files were listed; see who"), known.here():
        pass
    (tmp_path / "a").unlink()
    with pytest.raises(InputError, match=r"a: is gone, and had 3 when files were listed"), known.here():
        pass
    with file.file().here() as path:
        assert not path.exists()


def test_without_an_engine_that_reaches_it_a_url_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^s3a://a/b: is a URL, which needs the engine on Spark"):
        LocalEngine().place("s3a://a/b")
    with pytest.raises(UsageError, match=r"^s3a://a/b: is a URL, which needs the engine on Spark"):
        Place.of("s3a://a/b").listed()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["flatten", "hdfs:///a", "--out", "HERE"], "SRC hdfs:///a: is a URL, which needs --engine spark; or copy it"),
        (["flatten", "HERE", "--out", "hdfs:///a"], "--out hdfs:///a: is a URL, which needs --engine spark; or give"),
        (["flatten", "s3a://a", "--shard-size", "1", "--out", "HERE"], "SRC s3a://a: is a URL, which needs"),
        (["assemble", "hdfs:///a", "--out", "HERE"], "DIR hdfs:///a: is a URL, which needs --engine spark; or copy it"),
        (["assemble", "HERE", "--timeline", "hdfs:///a", "--out", "HERE"], "--timeline hdfs:///a: is a URL, which"),
        (["assemble", "HERE", "--shard-size", "1", "--out", "hdfs:///a"], "--out hdfs:///a: is a URL, which needs"),
        (["generate", "--write", "tables", "--out", "hdfs:///a"], "--out hdfs:///a: is a URL, which needs --engine"),
    ],
)
def test_processes_of_this_machine_refuse_urls(tmp_path: Path, words: list[str], problem: str) -> None:
    done = CliRunner().invoke(cli, [word.replace("HERE", str(tmp_path / "here")) for word in words])
    assert isinstance(done.exception, UsageError)
    assert str(done.exception).startswith(problem)
    assert not list(tmp_path.iterdir())
