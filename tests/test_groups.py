"""Tables do not depend on how documents are parsed, nor on how files are shared out."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from synthea_bridge import bundles, groups
from synthea_bridge.batches import Batch
from synthea_bridge.errors import InputError
from synthea_bridge.flatten import FlattenResult, write_tables
from synthea_bridge.groups import grouped
from synthea_bridge.skips import Skip, SkipLog
from synthea_bridge.streams import BOM
from tests.remake_golden import FIXTURES

CODE = {"coding": [{"system": "http://loinc.org", "code": "4548-4", "display": "HbA1c"}], "text": "ü"}
SEEN = {"resourceType": "Observation", "id": "o", "code": CODE, "subject": {"reference": "Patient/p"}}
ASKED = {"resourceType": "MedicationRequest", "id": "m", "subject": {"reference": "Patient/p"}}
ODD: dict[str, dict[str, Any]] = {
    "nothing odd": SEEN,
    "a ratio": {
        **SEEN,
        "valueRatio": {"numerator": {"value": 1.50, "unit": "é"}, "denominator": {"value": 12345678901}},
    },
    "false": {**SEEN, "valueBoolean": False},
    "a whole number beyond doubles": {**SEEN, "valueInteger": 2**60},
    "a quantity beyond doubles": {**SEEN, "valueQuantity": {"value": 2**60}},
    "a quantity in words": {**SEEN, "valueQuantity": {"value": "5"}},
    "two values": {**SEEN, "valueString": "x", "valueQuantity": {"value": 1}},
    "a value of no version": {**SEEN, "valueColour": "red", "component": 5},
    "components": {**SEEN, "component": [{"code": CODE, "valueString": ""}, {"code": CODE, "valueInteger": 3}]},
    "a code in words": {**SEEN, "code": "HbA1c"},
    "a code without codings": {**SEEN, "code": {"text": "HbA1c"}},
    "codings of which one is wrong": {**SEEN, "code": {"coding": [{"code": "1"}, {"code": 1}]}},
    "an element of DSTU2": {**SEEN, "comments": "x"},
    "a profile of STU3": {**SEEN, "meta": {"profile": ["http://hl7.org/fhir/STU3/observation"]}},
    "a resource of no version": {"resourceType": "Colour", "id": "c"},
    "a resource without a table": {"resourceType": "Questionnaire", "id": "q", "item": [1]},
    "a drug inside": {**ASKED, "medicationReference": {"reference": "#x"}, "contained": [{"id": "x", "code": CODE}]},
    "a drug that is not here": {**ASKED, "medicationReference": {"reference": "Medication/y", "display": "y"}},
    "a patient by identifier": {**SEEN, "subject": {"identifier": {"system": "s", "value": "1"}}},
    "no id": {key: value for key, value in SEEN.items() if key != "id"},
}
RAW = {
    "no UTF-8 in what no row needs": b'{"resourceType":"Observation","id":"o","note":"\xff"}',
    "half a character": b'{"resourceType":"Observation","id":"o","note":"\\ud800"}',
    "half a character in an id": b'{"resourceType":"Observation","id":"\\udc00"}',
    "the type at the end": b'{"id":"p","gender":"male","gender":"female","resourceType":"Patient"}',
    "a member with escapes": b'{"resourceType":"Patient","\\u0069d":"p\\u00e9"}',
    "depth": b'{"resourceType":"Patient","id":"p","x":' + b"[" * 900 + b"]" * 900 + b"}",
    "null": b'{"resourceType":"Patient","id":"p","address":null,"identifier":null}',
}


def made(source: Path | list[Path], out: Path, **options: Any) -> tuple[dict[str, bytes], FlattenResult, list[str]]:
    """The bytes of each table, what was made, and what was said."""
    out.mkdir(parents=True)
    skips = SkipLog()
    result = write_tables(source, out, skips, **options)
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}, result, [str(one) for one in skips.items]


def test_what_is_parsed_in_part_gives_what_is_parsed_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    patient = {"resourceType": "Patient", "id": "p", "identifier": [{"system": "s", "value": "1"}]}
    for name, resource in ODD.items():
        entries = [{"fullUrl": f"urn:uuid:{one.get('id')}", "resource": one} for one in (resource, patient)]
        bundle = {"resourceType": "Bundle", "entry": entries}
        (tmp_path / "in" / f"{name}.json").write_bytes(orjson.dumps(bundle))
        (tmp_path / "in" / f"{name}.ndjson").write_bytes(orjson.dumps(resource))
    for name, text in RAW.items():
        (tmp_path / "in" / f"{name}.json").write_bytes(text)
    for number, path in enumerate(sorted((tmp_path / "in").iterdir())):
        quick, whole = (_attempt(path, tmp_path / str(number) / word, word, monkeypatch) for word in ("quick", "whole"))
        assert quick == whole, path.name


def _attempt(path: Path, out: Path, word: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    with monkeypatch.context() as patch:
        if word == "whole":
            patch.setattr(bundles, "parsed", lambda data: None)
        try:
            return made(path, out)
        except InputError as error:
            return str(error)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Bundles of ours, some twice, and Medications that another file asks for."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number, path in enumerate(sorted((FIXTURES / "bundles").iterdir())[:3] * 2):
        (folder / f"{number}.json").write_bytes(gzip.decompress(path.read_bytes()))
    (folder / "Medication.ndjson").write_bytes(orjson.dumps({"resourceType": "Medication", "id": "y", "code": CODE}))
    (folder / "request.ndjson").write_bytes(
        orjson.dumps({**ASKED, "medicationReference": {"reference": "Medication/y"}})
    )
    (folder / "wrong.json").write_bytes(b"{")
    (folder / "read.me").write_bytes(b"")
    return folder


def test_groups_depend_on_sizes_only(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = bundles.Reader(SkipLog()).files(source)
    monkeypatch.setattr(groups, "SIZE", 1)
    assert [len(group) for group in grouped(files)] == [1] * len(files)
    monkeypatch.setattr(groups, "SIZE", 1 << 30)
    assert [len(group) for group in grouped(files)] == [len(files)]


def test_groups_one_after_the_other_are_the_whole(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = made(source, tmp_path / "whole")
    assert sum(whole[1].skipped.values()) > 1000
    monkeypatch.setattr(groups, "SIZE", 1)
    tables, result, said = made(source, tmp_path / "groups")
    drop = "skipped.ndjson"
    assert {name: data for name, data in tables.items() if name != drop} == {
        name: data for name, data in whole[0].items() if name != drop
    }
    assert (result, sorted(said)) == (whole[1], sorted(whole[2]))
    assert pq.read_table(tmp_path / "groups" / "medications.parquet")["code"].to_pylist()[-1] == "4548-4"


@pytest.mark.parametrize("end", [b"\n", b""])
def test_lines_that_are_shared_out_are_those_of_the_file(
    end: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [{"resourceType": "Patient", "id": f"p{number}", "gender": "female"} for number in range(9)]
    lines = [orjson.dumps(one) for one in people]
    lines[3:3] = [b"", b"{", orjson.dumps(SEEN), b"[]", lines[2]]
    (tmp_path / "people.ndjson").write_bytes(BOM + b"\r\n".join(lines) + end)
    whole = made(tmp_path / "people.ndjson", tmp_path / "whole")
    assert [text for text in whole[2] if "people.ndjson:5" in text or "people.ndjson:7" in text]
    for size in (1, 100, 300):
        monkeypatch.setattr(groups, "SIZE", size)
        (file,) = bundles.Reader(SkipLog()).files(tmp_path / "people.ndjson")
        assert len(grouped([file])) > 1
        assert made(tmp_path / "people.ndjson", tmp_path / str(size)) == whole


@pytest.mark.parametrize(
    "text",
    [
        gzip.compress(
            b"\n".join([orjson.dumps({"resourceType": "Patient", "id": str(number)}) for number in range(99)])
        ),
        b'{"resourceType":"Patient","id":"p","animal":{}}\n' * 99,
        b"<Patient/>\n" * 99,
    ],
)
def test_what_is_packed_or_wrong_as_a_whole_is_not_shared_out(
    text: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "people.ndjson").write_bytes(text)
    monkeypatch.setattr(groups, "SIZE", 20)
    (file,) = bundles.Reader(SkipLog()).files(tmp_path / "people.ndjson")
    assert grouped([file]) == [[file]]


def test_a_large_file_that_cannot_be_opened_is_left_to_whoever_tells_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "people.ndjson").write_bytes(b'{"resourceType":"Patient","id":"p"}\n' * 9)
    monkeypatch.setattr(groups, "SIZE", 20)
    (file,) = bundles.Reader(SkipLog()).files(tmp_path / "people.ndjson")

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "open", refuse)
    assert grouped([file]) == [[file]]


def test_groups_that_are_done_ahead_are_told_in_order_and_know_what_was_before(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "SIZE", 1)
    files = grouped(bundles.Reader(SkipLog()).files(source))
    assert _told(files, tmp_path, _here) == _told(files, tmp_path, _ahead)


def _told(files: Any, scratch: Path, work: Callable[..., Iterator[Any]]) -> list[Any]:
    known: dict[str, Any] = {}
    items: list[Any] = []
    for group, done in work(files, lambda item: items.append(_plain(item)), known, scratch):
        known |= done.medications
        items.append((group[0].name, done.tally))
    return items


def _here(files: Any, give: Callable[[Any], None], known: dict[str, Any], scratch: Path) -> Iterator[Any]:
    return groups.flatten_groups(files, give, known, 1)


def _ahead(files: Any, give: Callable[[Any], None], known: dict[str, Any], scratch: Path) -> Iterator[Any]:
    with ThreadPoolExecutor(1) as pool:
        yield from groups._in_order(files, give, known, pool, scratch, 4)


def _plain(item: Batch | Skip) -> Any:
    return str(item) if isinstance(item, Skip) else (item.table, item.data.to_pylist(), item.sources, item.numbers)


def test_a_list_of_files_is_read_in_its_order(source: Path, tmp_path: Path) -> None:
    files = [source / "1.json", source / "0.json"]
    made(files, tmp_path / "out", root=tmp_path)
    assert pq.read_table(tmp_path / "out" / "patients.parquet")["source"].to_pylist() == ["in/1.json", "in/0.json"]


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "SIZE", 1)
    assert made(source, tmp_path / "one", workers=1) == made(source, tmp_path / "two", workers=2)
