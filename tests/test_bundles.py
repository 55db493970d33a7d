"""Reading FHIR in every shape, and refusing what is none with one line each."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import orjson
import pytest

from synthea_bridge import bundles, large
from synthea_bridge.bundles import Reader
from synthea_bridge.errors import InputError, UsageError
from synthea_bridge.flatten import flatten
from synthea_bridge.skips import SkipLog
from synthea_bridge.streams import Limits

PATIENT: dict[str, Any] = {"resourceType": "Patient", "id": "p1", "gender": "female", "birthDate": "1980-02-03"}


def bundle(*resources: dict[str, Any], kind: str = "collection") -> bytes:
    entries = [{"fullUrl": f"urn:uuid:{r.get('id')}", "resource": r} for r in resources]
    return orjson.dumps({"resourceType": "Bundle", "type": kind, "entry": entries})


def read(source: Path, limits: Limits | None = None) -> tuple[list[str], list[str]]:
    skips = SkipLog()
    reader = Reader(skips, limits=limits) if limits else Reader(skips)
    ids = [resource["id"] for document in reader.documents(source) for _, resource in document.entries]
    return ids, [str(item) for item in skips.items]


@pytest.mark.parametrize("kind", ["transaction", "collection", "batch", "searchset"])
def test_bundles_of_every_type(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.json").write_bytes(bundle(PATIENT, kind=kind))
    assert read(tmp_path) == (["p1"], [])


def test_every_container(tmp_path: Path) -> None:
    one = [{**PATIENT, "id": f"p{n}"} for n in range(9)]
    (tmp_path / "0.json").write_bytes(orjson.dumps(one[0]))
    (tmp_path / "1.ndjson").write_bytes(orjson.dumps(one[1]) + b"\n\n" + bundle(one[2]))
    (tmp_path / "2.json.gz").write_bytes(gzip.compress(bundle(one[3])))
    (tmp_path / "3.ndjson.gz").write_bytes(gzip.compress(orjson.dumps(one[4]) + b"\n"))
    with zipfile.ZipFile(tmp_path / "4.zip", "w") as archive:
        archive.writestr("b.ndjson", orjson.dumps(one[6]))
        archive.writestr("a/b.json", bundle(one[5]))
        archive.writestr("read.me", "x")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "5.json").write_bytes(b"\xef\xbb\xbf" + orjson.dumps(one[7]))
    (tmp_path / "6.json").write_bytes(orjson.dumps(one[8]) + b"\n" + orjson.dumps(one[0]) + b"\n")
    (tmp_path / ".hidden.json").write_text("nonsense")
    (tmp_path / "manifest.json").write_text("{}")
    ids, skips = read(tmp_path)
    assert sorted(set(ids)) == [f"p{n}" for n in range(9)]
    assert not skips


BAD = {
    "cut.json": (bundle(PATIENT)[:-9], "is JSON that is cut short"),
    "text.json": (b"hello", "is no JSON"),
    "empty.json": (b"", "is empty"),
    "list.json": (b"[1]", "is a JSON list, not an object"),
    "no-type.json": (b'{"id": "x"}', "has no resourceType"),
    "picture.json": (b"\x89PNG\r\n\x1a\n" + bytes(50), "is no JSON but a PNG picture"),
    "xml.json": (b"<Patient/>", "is no JSON but XML"),
    "cut.json.gz": (gzip.compress(bundle(PATIENT))[:-12], "is cut short"),
    "broken.zip": (b"PK\x03\x04 no zip", "is no whole zip archive"),
    "hole.json": (b'{"resourceType":"Bundle","entry":[3]}', "entry[0]: holds no resource"),
    "dstu2.json": (bundle(PATIENT, {"resourceType": "MedicationOrder", "id": "m"}), "is FHIR DSTU2, not R4"),
    "comments.json": (bundle({"resourceType": "Observation", "id": "o", "comments": "x"}), "is FHIR DSTU2, not R4"),
    "stu3.json": (bundle({"resourceType": "Condition", "id": "c", "clinicalStatus": "active"}), "is FHIR STU3"),
    "r5.json": (bundle({"resourceType": "Encounter", "id": "e", "class": [{}]}), "is FHIR R5, not R4"),
    "r5m.json": (bundle({"resourceType": "MedicationRequest", "id": "m", "medication": {}}), "is FHIR R5, not R4"),
    "profile.json": (
        bundle({**PATIENT, "meta": {"profile": ["http://fhir.example/STU3/Patient"]}}),
        "is FHIR STU3, not R4",
    ),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_bad_input_is_one_line_and_the_good_beside_it_is_read(tmp_path: Path, name: str) -> None:
    data, problem = BAD[name]
    (tmp_path / name).write_bytes(data)
    (tmp_path / "zz-good.json").write_bytes(orjson.dumps({**PATIENT, "id": "good"}))
    ids, skips = read(tmp_path)
    assert ids == ["good"]
    assert len(skips) == 1
    assert name in skips[0]
    assert problem in skips[0]
    assert "; " in skips[0]
    with pytest.raises(InputError, match=name):
        flatten(tmp_path, tmp_path.with_name("out"), strict=True)
    assert not tmp_path.with_name("out").exists()


@pytest.mark.parametrize("name", ["../a.json", "/a.json", "x/../../a.json", "..\\a.json", "C:/a.json"])
def test_zip_members_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, bundle({**PATIENT, "id": "evil"}))
        archive.writestr("good.json", bundle(PATIENT))
    ids, skips = read(tmp_path)
    assert ids == ["p1"]
    assert len(skips) == 1
    assert "leads out of the archive" in skips[0]


def test_archives_that_unpack_without_end_are_refused(tmp_path: Path) -> None:
    zeros = b'{"resourceType":"Patient","id":"' + b"0" * 8_000_000 + b'"}'
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.json", zeros)
        archive.writestr("good.json", bundle(PATIENT))
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(zeros))
    ids, skips = read(tmp_path)
    assert ids == ["p1"]
    assert ["more than 500 times" in skip for skip in skips] == [True, True]


def test_limits_on_members_sizes_and_lines(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}.json", bundle(PATIENT))
    (tmp_path / "b.ndjson").write_bytes(orjson.dumps(PATIENT))
    (tmp_path / "c.json").write_bytes(orjson.dumps(PATIENT))
    ids, skips = read(tmp_path, Limits(document=20, line=20, members=2))
    assert ids == []
    assert len(skips) == 3
    ids, skips = read(tmp_path / "a.zip", Limits(unpacked=100))
    assert "unpacks to more than 100 bytes" in skips[0]


def test_ndjson_of_another_version_is_told_once(tmp_path: Path) -> None:
    line = orjson.dumps({"resourceType": "Condition", "id": "c", "assertedDate": "2001"}) + b"\n"
    (tmp_path / "a.ndjson").write_bytes(orjson.dumps(PATIENT) + b"\n" + line * 100)
    ids, skips = read(tmp_path)
    assert ids == ["p1"]
    assert len(skips) == 2
    assert skips[0].startswith("a.ndjson:2, Condition/c: is FHIR STU3, not R4")


def test_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no FHIR resources found"):
        flatten(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(UsageError, match="there is no such file or folder"):
        flatten(tmp_path / "none", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def parts_of(folder: Path, skips: SkipLog, monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], int]]:
    """Ids and number of parts of every source, when everything counts as large."""
    monkeypatch.setattr(bundles, "LARGE", 16)
    monkeypatch.setattr(bundles, "PART", 7)
    monkeypatch.setattr(large, "WINDOW", 1000)
    found: dict[str, tuple[list[str], int]] = {}
    for document in Reader(skips, parts=True).documents(folder):
        ids, count = found.get(document.source, ([], 0))
        found[document.source] = (ids + [resource["id"] for _, resource in document.entries], count + 1)
    return list(found.values())


def test_a_large_bundle_is_read_in_parts_that_are_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resources = [{"resourceType": "Basic", "id": f"b{n}", "code": {"text": 'ä€𝄞{["\\'}} for n in range(40)]
    body = {
        "entry": [{"fullUrl": f"urn:uuid:{one['id']}", "resource": one} for one in resources],
        "resourceType": "Bundle",
        "type": "collection",
        "total": 12,
    }
    for name, text in (
        ("a.json", json.dumps(body)),
        ("b.json", json.dumps(body, indent=4, ensure_ascii=False)),
        ("c.json", "\ufeff" + json.dumps(body)),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "d.json.gz").write_bytes(gzip.compress(json.dumps(body).encode()))
    skips = SkipLog()
    assert parts_of(tmp_path, skips, monkeypatch) == [([f"b{n}" for n in range(40)], 6)] * 4
    assert skips.items == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Ba', "cut short"),
        ('{"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Basic"}}', "cut short"),
        ('{"resourceType": "Bundle", "entry": [{"resource" 12}], "x": "' + "y" * 9000 + '"}', "is no JSON"),
        ('{"resourceType": "Bundle", "entry": []} and more', "more behind its end"),
        ("\x89PNG and so on and on and on", "is no JSON"),
        ('{"resourceType": "Bundle", "entry": [{"resource": 5}, 6]} ', "holds no resource"),
    ],
)
def test_a_large_file_that_is_wrong_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, problem: str
) -> None:
    (tmp_path / "a.json").write_text(text, encoding="latin-1")
    skips = SkipLog()
    assert parts_of(tmp_path, skips, monkeypatch) == []
    assert problem in skips.items[0].problem
