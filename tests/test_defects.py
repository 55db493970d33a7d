"""Defects on purpose: planted where the list says, nowhere else, and taken out again byte for byte."""

from __future__ import annotations

import json
import shutil
import unicodedata
from collections.abc import Callable
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fhirsynth.assemble import assemble
from fhirsynth.cli import cli
from fhirsynth.defects import (
    Defect,
    Finding,
    Planted,
    Profile,
    kinds,
    plant,
    profile,
    profiles,
    read_findings,
    read_journal,
    restore,
    score,
)
from fhirsynth.defects.catalog import PLANTERS, TRUNCATED
from fhirsynth.defects.codes import LOCAL, OIDS
from fhirsynth.defects.edit import GONE, fhirpath, look, path_of, put
from fhirsynth.defects.score import element
from fhirsynth.errors import UsageError
from fhirsynth.publish.disk import export
from fhirsynth.publish.shape import FORMATS
from synthea_bridge.dates import instant_of
from synthea_bridge.flatten import write_tables
from synthea_bridge.skips import SkipLog
from tests.frames import example_features, example_schema
from tests.lives import example_timeline

ROOT = Path(__file__).parent.parent
TWICE = Profile(name="twice", at_least=2)
PATIENTS = 24


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same patients in every format, and some of Synthea's as transactions."""
    out = tmp_path_factory.mktemp("clean")
    (out / "made").mkdir()
    assemble(example_features(PATIENTS), example_schema(), example_timeline(), run_id="r", out=out / "made", years=1)
    found = {}
    for form in FORMATS:
        (out / form).mkdir()
        export(out / "made", form, out / form)
        found[form] = out / form
    (out / "synthea").mkdir()
    export(ROOT / "fixtures" / "bundles", "transaction", out / "synthea")
    return found | {"made": out / "made", "synthea": out / "synthea"}


def copy(source: Path, target: Path) -> Path:
    return Path(shutil.copytree(source, target))


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "defects.jsonl")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def resources(folder: Path, file: str) -> list[dict[str, Any]]:
    body = (folder / file).read_bytes()
    if file.endswith(".ndjson"):
        return [orjson.loads(line) for line in body.splitlines()]
    return [entry["resource"] for entry in orjson.loads(body)["entry"]]


def everything(folder: Path) -> list[dict[str, Any]]:
    return [one for name in sorted(contents(folder)) for one in resources(folder, name)]


# ---------------------------------------------------------------- the catalogue


def test_every_kind_has_a_planter_and_words() -> None:
    assert set(kinds()) == {*PLANTERS, TRUNCATED}
    for kind in kinds().values():
        assert kind.title
        assert kind.check
        assert kind.where
        assert kind.rate > 0
        assert bool(kind.on) != (kind.id == TRUNCATED)
    assert set(profiles()) == {"light", "heavy", "all", *kinds()}


def test_a_truncated_file_is_planted_by_name_only() -> None:
    kind = kinds()[TRUNCATED]
    assert not any(profiles()[name].wants(kind) for name in ("light", "heavy", "all"))
    assert profile(TRUNCATED).wants(kind)


BAD = {
    "none": ("nonsense", "there is no such profile"),
    "missing": ("missing.toml", "cannot be read as TOML"),
    "toml": ("at_least = ", "cannot be read as TOML"),
    "kind": ("[rates]\nno-such-kind = 0.1", "there is no kind 'no-such-kind'"),
    "rate": ("[rates]\nmojibake = 2.0", "rates.mojibake: Input should be less than or equal to 1"),
    "field": ("often = 3", "often: Extra inputs"),
    "empty": ("title = 'nothing'", "asks for no defect"),
    "zero": ("[rates]\nmojibake = 0.0", "asks for no defect"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_profile_that_makes_no_sense_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    text, problem = BAD[name]
    given = text
    if name not in ("none", "missing"):
        given = str(tmp_path / "own.toml")
        Path(given).write_text(text)
    with pytest.raises(UsageError) as caught:
        profile(given)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_profile_of_ones_own(tmp_path: Path, clean: dict[str, Path]) -> None:
    (tmp_path / "mine.toml").write_text("[rates]\nv2-gender = 1.0\nmojibake = 0\n")
    mine = profile(str(tmp_path / "mine.toml"))
    planted = plant(copy(clean["transaction"], tmp_path / "x"), mine, 1)
    assert planted.counts == {"v2-gender": PATIENTS}
    assert planted.outcome == {
        "profile": "mine",
        "seed": 1,
        "planted": {"v2-gender": PATIENTS},
        "added": 0,
        "short": {},
    }


# ---------------------------------------------------------------- planting and taking out again


@pytest.mark.parametrize("form", [*FORMATS, "made", "synthea"])
def test_each_kind_is_where_the_list_says_and_comes_out_byte_for_byte(
    clean: dict[str, Path], tmp_path: Path, form: str
) -> None:
    folder = copy(clean[form], tmp_path / "dirty")
    before = contents(folder)
    planted = plant(folder, profile("all") if form == "synthea" else TWICE, seed=5)
    assert set(planted.counts) == set(PLANTERS)
    journal = read_journal(folder / "defects.jsonl")
    assert tuple(journal) == planted.defects
    assert len({one.resource for one in journal}) == len(journal)
    for one in journal:
        assert one.number is not None
        assert one.path is not None
        resource = resources(folder, one.file)[one.number]
        assert one.resource == f"{resource['resourceType']}/{resource['id']}"
        assert look(resource, path_of(one.path)) == one.after
        assert one.before != one.after
    touched = {one.file for one in journal}
    after = contents(folder)
    assert {name for name in after if after[name] != before.get(name)} == touched
    assert restore(folder, journal) == []
    assert contents(folder) == before


@pytest.mark.parametrize("kind", PLANTERS)
def test_everything_else_stays_as_it_was(clean: dict[str, Path], tmp_path: Path, kind: str) -> None:
    folder = copy(clean["ndjson"], tmp_path / "dirty")
    before = {one["id"]: one for one in everything(folder)}
    planted = plant(folder, profile(kind), seed=5)
    assert set(planted.counts) == {kind}
    after = everything(folder)
    touched = {str(one.resource).partition("/")[2] for one in planted.defects}
    touched |= {resources(folder, file)[at]["id"] for one in planted.defects for file, at in one.also}
    assert {one["id"] for one in after if one != before.get(one["id"])} == touched
    assert len({one["id"] for one in after}) == len(after) == len(before) + planted.outcome["added"]


@pytest.mark.parametrize("form", ["transaction", "ndjson"])
def test_the_seed_decides_and_not_the_files(clean: dict[str, Path], tmp_path: Path, form: str) -> None:
    def told(planted: Planted) -> set[bytes]:
        apart = ("id", "file", "entry", "line", "also")
        bodies = [{k: v for k, v in one.as_json().items() if k not in apart} for one in planted.defects]
        return {orjson.dumps(one) for one in bodies}

    first = copy(clean[form], tmp_path / "first")
    told_first = told(plant(first, profile("heavy"), 5))
    again = copy(clean[form], tmp_path / "again")
    plant(again, profile("heavy"), 5)
    assert contents(first) == contents(again)
    assert (first / "defects.jsonl").read_bytes() == (again / "defects.jsonl").read_bytes()
    turned = tmp_path / "turned"
    turned.mkdir()
    for name, body in contents(clean[form]).items():
        if form == "ndjson":
            (turned / name).write_bytes(b"".join(reversed(body.splitlines(keepends=True))))
        else:
            place = f"{900 - int(name[:6]):06d}.json" if name[:6].isdigit() else name
            (turned / place).write_bytes(body)
    assert told(plant(turned, profile("heavy"), 5)) == told_first
    other = copy(clean[form], tmp_path / "other")
    assert told(plant(other, profile("heavy"), 6)) != told_first


def test_bundles_and_lines_get_the_same_defects(clean: dict[str, Path], tmp_path: Path) -> None:
    same = ("transaction", "ndjson")
    found = [plant(copy(clean[form], tmp_path / form), profile("light"), 3).defects for form in same]
    assert {(one.kind, one.resource) for one in found[0] if not one.of} == {
        (one.kind, one.resource) for one in found[1] if not one.of
    }


def test_nothing_gives_a_defect_away(clean: dict[str, Path], tmp_path: Path) -> None:
    folder = copy(clean["transaction"], tmp_path / "dirty")
    plant(folder, TWICE, seed=5)
    assert b"efect" not in b"".join(contents(folder).values())
    marks = {orjson.dumps([one["meta"]["security"], one["meta"]["tag"]]) for one in everything(clean["transaction"])}
    assert {orjson.dumps([one["meta"]["security"], one["meta"]["tag"]]) for one in everything(folder)} == marks


def test_rates_are_shares_of_places(clean: dict[str, Path], tmp_path: Path) -> None:
    observations = resources(clean["ndjson"], "Observation.ndjson")
    asked = Profile(name="half", rates={"missing-subject": 0.5})
    planted = plant(copy(clean["ndjson"], tmp_path / "x"), asked, 1)
    among = sum("Observation" in str(one.resource) for one in planted.defects)
    assert 0.4 < among / len(observations) < 0.6


def test_what_cannot_be_planted_is_said(tmp_path: Path) -> None:
    person = {"resourceType": "Patient", "id": "a"}
    body = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": person}]}
    (tmp_path / "000001.json").write_bytes(orjson.dumps(body))
    planted = plant(tmp_path, profile("all"), 0)
    assert planted.counts == {"unknown-element": 1}
    assert planted.short["missing-birth-date"] == "there is nowhere a Patient with a birth date"
    assert len(planted.short) == len(PLANTERS) - 1
    two = plant(tmp_path, Profile(name="two", rates={"unknown-element": 1.0, "v2-gender": 0.5}, at_least=2), 0)
    assert two.short["v2-gender"].startswith("there is nowhere")


# ---------------------------------------------------------------- each is what it says it is

Check = Callable[[dict[str, Any], Defect], bool]


def texts(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def luhn(code: str) -> bool:
    digits = [int(sign) for sign in code.replace("-", "")][::-1]
    return sum(sum(divmod(2 * one, 10)) if at % 2 else one for at, one in enumerate(digits)) % 10 == 0


def verhoeff(code: str) -> bool:
    """The check digit of SNOMED CT: products in the dihedral group of ten, after permutations by place."""
    check, step = 0, (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)
    for at, sign in enumerate(reversed(code)):
        digit = int(sign)
        for _ in range(at % 8):
            digit = step[digit]
        turned = check - digit if check >= 5 else check + digit
        check = turned % 5 + 5 * ((check >= 5) != (digit >= 5))
    return check == 0


def period_ends_first(resource: dict[str, Any], _: Defect) -> bool:
    period = resource.get("period") or resource["performedPeriod"]
    start, end = instant_of(period["start"]), instant_of(period["end"])
    return start is not None and end is not None and end < start


CHECKS: dict[str, Check] = {
    "missing-birth-date": lambda one, _: "birthDate" not in one,
    "future-birth-date": lambda one, _: one["birthDate"] > "2045",
    "placeholder-birth-date": lambda one, _: one["birthDate"] == "1900-01-01",
    "swapped-names": lambda one, _: not one["name"][0]["family"][-1].isdigit(),
    "v2-gender": lambda one, _: one["gender"] in "FMOU",
    "mojibake": lambda one, _: "Ã" in texts(one),
    "replacement-character": lambda one, _: "\ufffd" in texts(one),
    "escaped-entity": lambda one, _: "&amp;" in texts(one),
    "control-character": lambda one, _: "\\u000b" in texts(one),
    "zero-width-character": lambda one, _: "\u200b" in texts(one),
    "decomposed-text": lambda one, _: unicodedata.normalize("NFC", texts(one)) != texts(one),
    "reversed-period": period_ends_first,
    "date-without-zone": lambda one, at: "T" in at.after and not at.after.endswith("+00:00"),
    "foreign-date-format": lambda one, at: instant_of(at.after) is None,
    "local-code": lambda one, _: f'"{LOCAL}"' in texts(one),
    "oid-system": lambda one, at: at.after in OIDS.values(),
    "text-only": lambda one, at: set(at.after) == {"text"},
    "padded-code": lambda one, at: at.after == f"{at.before} ",
    "mistyped-code": lambda one, at: not (luhn if "-" in at.after else verhoeff)(at.after),
    "missing-subject": lambda one, _: "subject" not in one,
    "wrong-unit": lambda one, at: at.after["value"] == at.before["value"] and at.after["code"] != at.before["code"],
    "missing-unit": lambda one, at: set(at.after) == {"value"},
    "implausible-value": lambda one, at: round(at.after / at.before) in (10, 100),
    "number-as-text": lambda one, at: isinstance(at.after, str),
    "empty-string": lambda one, at: at.after == "",
    "null-value": lambda one, at: at.after is None,
    "empty-array": lambda one, at: at.after == [],
    "missing-status": lambda one, _: "status" not in one,
    "unknown-element": lambda one, _: "sourceSystem" in one,
}


@pytest.mark.parametrize("kind", CHECKS)
def test_a_check_finds_the_defect_and_not_the_clean_resource(clean: dict[str, Path], tmp_path: Path, kind: str) -> None:
    folder = copy(clean["transaction"], tmp_path / "dirty")
    journal = plant(folder, profile(kind), seed=2).defects
    assert journal
    for one in journal:
        resource = resources(folder, one.file)[one.number or 0]
        assert CHECKS[kind](resource, one)
        put(resource, path_of(str(one.path)), one.before, one.position)
        unspoilt = Defect(**{**{f: getattr(one, f) for f in one.__slots__}, "after": one.before})
        try:
            assert not CHECKS[kind](resource, unspoilt)
        except (KeyError, TypeError):  # what the check looks at is not there
            assert one.before is GONE


@pytest.mark.parametrize("form", ["transaction", "ndjson"])
def test_the_same_person_twice(clean: dict[str, Path], tmp_path: Path, form: str) -> None:
    folder = copy(clean[form], tmp_path / "dirty")
    for one in plant(folder, profile("duplicate-patient"), seed=2).defects:
        people = {f"Patient/{person['id']}": person for person in everything(folder) if "birthDate" in person}
        again, person = people[str(one.resource)], people[str(one.of)]
        for same in ("birthDate", "gender", "meta"):
            assert again[same] == person[same]
        names = [them["name"][0]["family"] for them in (again, person)]
        assert names[0] != names[1]
        assert SequenceMatcher(None, *names).ratio() > 0.9
        assert again["identifier"] != person["identifier"]
        visits = [resources(folder, file)[number] for file, number in one.also]
        assert visits
        assert {visit["subject"]["reference"].replace("urn:uuid:", "Patient/") for visit in visits} == {one.resource}
        if form == "transaction":
            assert {file for file, _ in one.also} == {one.file}
            assert int(one.file[:6]) > PATIENTS
            text = (folder / one.file).read_text()
            assert str(one.of).partition("/")[2] not in text


def test_death_before_and_birth_after_encounters(clean: dict[str, Path], tmp_path: Path) -> None:
    for kind, key in (("deceased-then-seen", "deceasedDateTime"), ("birth-after-encounter", "birthDate")):
        folder = copy(clean["transaction"], tmp_path / kind)
        for one in plant(folder, profile(kind), seed=2).defects:
            inside = resources(folder, one.file)
            starts = [text for item in inside if (text := item.get("period", {}).get("start"))]
            moment = inside[one.number or 0][key]
            assert max(starts) > moment if kind == "deceased-then-seen" else min(starts) < moment


def test_links_to_what_is_anothers_or_not_there(clean: dict[str, Path], tmp_path: Path) -> None:
    folder = copy(clean["ndjson"], tmp_path / "links")
    journal = plant(folder, Profile(name="x", rates={"encounter-of-another": 0.1, "dangling-reference": 0.01}), 2)
    assert set(journal.counts) == {"encounter-of-another", "dangling-reference"}
    there = {f"{one['resourceType']}/{one['id']}": one for one in everything(folder)}
    for one in journal.defects:
        assert (one.after in there) == (one.kind == "encounter-of-another")
        assert one.before in there
        if one.kind == "encounter-of-another":
            assert there[one.after]["subject"] != there[str(one.resource)]["subject"]


def test_an_identifier_of_another(clean: dict[str, Path], tmp_path: Path) -> None:
    folder = copy(clean["synthea"], tmp_path / "x")
    for one in plant(folder, profile("identifier-of-another"), 2).defects:
        people = [them for them in everything(folder) if them["resourceType"] == "Patient"]
        named = [them["id"] for them in people if any(i.get("value") == one.after for i in them["identifier"])]
        assert len(set(named)) == 2


def test_the_same_observation_twice(clean: dict[str, Path], tmp_path: Path) -> None:
    folder = copy(clean["transaction"], tmp_path / "x")
    for one in plant(folder, profile("duplicate-observation"), 2).defects:
        entries = orjson.loads((folder / one.file).read_bytes())["entry"]
        first = next(entry for entry in entries if entry["resource"]["id"] == str(one.of).partition("/")[2])
        text = orjson.dumps(first).decode().replace(first["resource"]["id"], one.after["id"])
        assert orjson.loads(text) == entries[one.number or 0]


@pytest.mark.parametrize("form", ["transaction", "ndjson"])
def test_files_that_end_in_the_middle(clean: dict[str, Path], tmp_path: Path, form: str) -> None:
    folder = copy(clean[form], tmp_path / "cut")
    planted = plant(folder, Profile(name="x", rates={TRUNCATED: 0.1}, times=1, at_least=1), seed=4)
    cut = [one for one in planted.defects if one.kind == TRUNCATED]
    assert cut
    for one in cut:
        body = (folder / one.file).read_bytes()
        assert (clean[form] / one.file).read_bytes().startswith(body)
        assert one.after == {"bytes": len(body)}
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(body.splitlines()[-1] if form == "ndjson" else body)
        assert not [two for two in planted.defects if two.file == one.file and two is not one]
    assert restore(folder, planted.defects) == cut
    left = contents(folder)
    lost = {one.file for one in cut}
    assert {name: body for name, body in contents(clean[form]).items() if name not in lost} == {
        name: body for name, body in left.items() if name not in lost
    }


@pytest.mark.parametrize("form", FORMATS)
def test_flatten_reads_what_it_can_and_lists_the_rest(clean: dict[str, Path], tmp_path: Path, form: str) -> None:
    folder = copy(clean[form], tmp_path / "dirty")
    journal = plant(folder, Profile(name="x", times=3, rates={TRUNCATED: 0.1}, at_least=1), 1).defects
    skips = SkipLog()
    (tmp_path / "tables").mkdir()
    result = write_tables(folder, tmp_path / "tables", skips)
    assert result.rows["patients"] > PATIENTS / 2
    lines = " ".join(map(str, skips.items))
    assert "defects.jsonl" not in lines
    for one in journal:
        if one.kind in (TRUNCATED, "missing-subject", "number-as-text"):
            assert (str(one.resource) if one.resource else one.file) in lines


# ---------------------------------------------------------------- scoring


def found_by(defect: Defect, **more: Any) -> Finding:
    return Finding(defect.file, defect.number, defect.resource, defect.path, more.get("kind", defect.kind))


@pytest.fixture(scope="module")
def truth(clean: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> list[Defect]:
    folder = copy(clean["transaction"], tmp_path_factory.mktemp("truth") / "x")
    wanted = Profile(name="x", times=1, rates={TRUNCATED: 0.1}, at_least=1)
    return list(plant(folder, wanted, 3).defects)


@pytest.mark.parametrize("level", ["file", "resource", "path"])
def test_a_perfect_check_has_a_perfect_score(truth: list[Defect], level: Any) -> None:
    scores = score([found_by(one) for one in truth], truth, level)
    assert [one.kind for one in scores] == [*(kind for kind in kinds() if kind in {t.kind for t in truth}), "all"]
    assert {(one.recall, one.precision) for one in scores} == {(1.0, 1.0)}
    assert scores[-1].planted == len(truth)


def test_what_is_missed_and_what_is_wrong_counts(truth: list[Defect]) -> None:
    mine = [one for one in truth if one.kind == "text-only"]
    other = next(one for one in truth if one.kind == "mojibake")
    findings = [found_by(one) for one in mine[1:]]
    findings += [Finding(resource="Patient/nobody", kind="text-only"), found_by(other, kind="text-only")]
    findings += [found_by(other, kind=None)]
    scores = {one.kind: one for one in score(findings, truth)}
    one = scores["text-only"]
    assert (one.planted, one.found, one.reported, one.right) == (
        len(mine),
        len(mine) - 1,
        len(mine) + 1,
        len(mine) - 1,
    )
    assert (scores["mojibake"].found, scores["mojibake"].reported, scores["mojibake"].precision) == (1, 0, None)
    assert (scores["all"].reported, scores["all"].right) == (len(mine) + 2, len(mine))


def test_a_finding_matches_by_what_the_level_asks_for(truth: list[Defect]) -> None:
    one = next(one for one in truth if one.kind == "implausible-value")

    def hit(level: Any, **said: Any) -> bool:
        return score([Finding(**said)], truth, level)[-1].right == 1

    assert hit("file", file=one.file)
    assert not hit("resource", file=one.file)
    assert hit("resource", resource=one.resource)
    assert hit("resource", file=one.file, number=one.number)
    assert not hit("path", resource=one.resource)
    assert hit("path", resource=one.resource, path=one.path)
    assert not hit("path", resource=one.resource, path="Observation")
    assert not hit("path", resource=one.resource, path="Observation.code")
    around = str(one.path).rpartition(".")[0]
    assert hit("path", resource=one.resource, path=around)
    twice = next(one for one in truth if one.kind == "duplicate-patient")
    assert hit("resource", resource=twice.of)
    assert hit("resource", file=twice.also[0][0], number=twice.also[0][1])
    cut = next(one for one in truth if one.kind == TRUNCATED)
    assert hit("path", file=cut.file)


def test_paths_are_read_as_people_and_validators_write_them() -> None:
    ways = (
        "Observation.valueQuantity.unit",
        "Observation.value.ofType(Quantity).unit",
        "Bundle.entry[3].resource/*Observation/1*/.value.ofType(Quantity).unit",
        "Bundle.entry[3].resource.ofType(Observation).value.unit",
    )
    assert {element(way) for way in ways} == {("value", "unit")}
    assert element("Patient.name[0].given[1]") == ("name", "given")
    assert element("Patient") == element("Bundle.entry[0].resource/*Patient/1*/") == ()


STEPS = st.lists(st.sampled_from(["code", "valueQuantity", "deceasedDateTime", "name", "onsetAge", "div"]), min_size=1)


@given(STEPS, st.integers(0, 20))
def test_fhirpath_can_be_read_back(names: list[str], number: int) -> None:
    path = (*names, number)
    assert path_of(fhirpath("Observation", path)) == path


@given(st.dictionaries(st.text(min_size=1), st.integers(), min_size=1), st.data())
def test_what_is_taken_away_comes_back_to_its_place(body: dict[str, Any], data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(body)))
    before = list(body.items())
    position = put(body, (key,), GONE)
    assert key not in body
    put(body, (key,), dict(before)[key], position)
    assert list(body.items()) == before


def test_findings_that_say_too_little_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "found.jsonl"
    for line, problem in (
        ('{"kind": "mojibake"}', "names neither"),
        ('{"file": "a", "kind": "nonsense"}', "there is no kind 'nonsense'"),
        ("{", ":2: "),
        ("[1]", ":2: "),
    ):
        path.write_text('{"file": "a", "entry": 3}\n' + line + "\n")
        with pytest.raises(UsageError, match=r"found\.jsonl:2: ") as caught:
            read_findings(path)
        assert problem in str(caught.value)
    with pytest.raises(UsageError, match="cannot be read"):
        read_findings(tmp_path / "none")
    path.write_text('{"file": "a", "line": 3}\n\n')
    assert read_findings(path) == [Finding("a", 2)]
    with pytest.raises(UsageError, match="is no list of defects"):
        read_journal(path)


# ---------------------------------------------------------------- as a user calls it


def call(*arguments: object) -> Any:
    return CliRunner().invoke(cli, [str(one) for one in arguments])


@pytest.mark.parametrize("form", ["collection", "ndjson"])
def test_export_with_defects(clean: dict[str, Path], tmp_path: Path, form: str) -> None:
    out = tmp_path / "dirty"
    done = call("export", clean["made"], "--format", form, "--defects", "all", "--seed", 9, "--out", out)
    assert done.exit_code == 0, done.exception
    journal = read_journal(out / "defects.jsonl")
    assert f"{len(journal)} defects of {len(PLANTERS)} kinds" in done.stdout
    told = json.loads((out / "manifest.json").read_bytes())["defects"]
    assert (told["profile"], told["seed"]) == ("all", 9)
    assert told["planted"] == dict.fromkeys(PLANTERS, 1)
    again = tmp_path / "again"
    assert call("export", out, "--format", "ndjson", "--out", again).exit_code == 0
    assert not (again / "defects.jsonl").exists()
    assert call("flatten", out, "--out", tmp_path / "tables", "--index-date", "2026-01-01").exit_code == 1


@pytest.mark.slow
def test_assemble_with_defects(tmp_path: Path) -> None:
    rows = tmp_path / "rows"
    rows.mkdir()
    example_features(6).to_parquet(rows / "synthetic.parquet")
    example_schema().save(rows / "schema.json")
    example_timeline().save(rows / "timeline.json")
    for name, more in (("plain", []), ("dirty", ["--defects", "heavy"])):
        done = call("assemble", rows, "--workers", 1, "--seed", 4, *more, "--out", tmp_path / name)
        assert done.exit_code == 0, done.exception
    manifest = json.loads((tmp_path / "dirty" / "manifest.json").read_bytes())
    assert manifest["defects"]["seed"] == 4
    journal = read_journal(tmp_path / "dirty" / "defects.jsonl")
    assert {one.file.partition("/")[0] for one in journal} == {"transactions"}
    assert manifest["defects"]["planted"]["duplicate-patient"] >= 1
    restore(tmp_path / "dirty", journal)
    both = [contents(tmp_path / name) for name in ("plain", "dirty")]
    assert both[0].pop("manifest.json") != both[1].pop("manifest.json")
    assert both[0] == both[1]


def test_kinds_and_scores_are_printed(clean: dict[str, Path], tmp_path: Path) -> None:
    listed = call("defects", "kinds").stdout
    assert all(name in listed for name in profiles())
    assert [one["id"] for one in json.loads(call("defects", "kinds", "--json").stdout)] == list(kinds())
    out = tmp_path / "dirty"
    call("export", clean["made"], "--defects", "light", "--seed", 9, "--out", out)
    lines = (out / "defects.jsonl").read_bytes().splitlines()
    (tmp_path / "found.jsonl").write_bytes(b"\n".join(lines[: len(lines) // 2]))
    said = call("defects", "score", tmp_path / "found.jsonl", "--truth", out / "defects.jsonl", "--level", "path")
    total = said.stdout.splitlines()[-1].split()
    assert total[:3] == ["all", str(len(lines)), str(len(lines) // 2)]
    assert total[-1] == "100%"
    asked = call("defects", "score", tmp_path / "found.jsonl", "--truth", out / "defects.jsonl", "--json")
    assert json.loads(asked.stdout)[-1]["precision"] == 1.0


def test_a_wrong_profile_is_told_before_anything_is_written(clean: dict[str, Path], tmp_path: Path) -> None:
    done = call("export", clean["made"], "--defects", "nonsense", "--out", tmp_path / "out")
    assert isinstance(done.exception, UsageError)
    assert not (tmp_path / "out").exists()
