"""What lies around a report: its published schema, the datasheet, the model card, Croissant, and no patient in any."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest
from click.testing import CliRunner

from fhirsynth.augment.store import WARNING
from fhirsynth.cli import cli
from fhirsynth.errors import UsageError
from fhirsynth.schema import Feature, FeatureSchema, Source
from fhirsynth.trilemma import Report, evaluate
from fhirsynth.trilemma.documents import provenance as origin
from fhirsynth.trilemma.documents.croissant import TABLE, DataFile, croissant
from fhirsynth.trilemma.documents.datasheet import datasheet
from fhirsynth.trilemma.documents.modelcard import model_card
from fhirsynth.trilemma.documents.report import as_json, write_report
from fhirsynth.trilemma.documents.schema import DIALECT, PATH, SCHEMA_ID, report_schema
from fhirsynth.trilemma.measure import SCHEMA_VERSION, Estimate, Rule, TimelineMeasure, Uplift, UpliftArm, UpliftPoint
from synthea_bridge.files import sha256_of
from tests.frames import example_features, example_schema

CASE = "has_cystic_fibrosis"
COLUMNS = ["patient_id", "age", "sex", "spo2", "has_diabetes", CASE]
HOSTILE = '--><script>alert(1)</script> | [x](javascript:y) "'

PROVENANCE: dict[str, Any] = {
    "run_id": "4675893395df",
    "generated": {
        "spec": {"seed": 7, "population": 300, "modules": "/home/somebody/modules", "cohorts": [{"cases": 20}]},
        "synthea": "3.3.0",
        "index_date": "2026-01-01",
    },
    "synthetic": {
        "made": 80,
        "model": {
            "model": "ctgan",
            "parameters": {"batch_size": 80, "sdv": "2.0.0", "ctgan": "0.12.1", "torch": "2.15.0"},
            "seed": 11,
            "train_sha256": "ab" * 32,
        },
        "sample_seed": 12,
        "rejected": {"hba1c-means-diabetes": 19, "spo2-at-most-100": 0},
        "rejected_rows": 19,
        "model_saved": True,
    },
    "bundles": {"patients": 80, "resources": {"Patient": 80}},
}


def small(names: list[str] = COLUMNS) -> FeatureSchema:
    schema = example_schema()
    return schema.model_copy(update={"features": tuple(one for one in schema.features if one.name in names)})


@pytest.fixture(scope="module")
def real() -> Report:
    return evaluate(*(example_features(80, seed=seed)[COLUMNS] for seed in (1, 2, 3)), small(), seed=1)


@pytest.fixture(scope="module")
def full(real: Report) -> Report:
    """The same with everything in it that a report can hold, and markup in every text that can come from data."""
    some = Estimate(value=0.5, low=0.4, high=0.6)
    scores = dict.fromkeys(("auroc", "auprc", "recall", "brier", "slope"), some)
    uplift = Uplift(
        model="logistic regression",
        positives=20,
        negatives=60,
        holdout=80,
        holdout_positives=20,
        prevalence=0.25,
        specificity=0.95,
        arms=(UpliftArm(name="none", title="real patients alone", ratio=0, gain=some, **scores),),
        curve=(UpliftPoint(arm="ctgan", ratio=1, auprc=0.5, low=0.4, high=0.6),),
        sentence="Synthetic positives neither help nor harm.",
        notes=("No oracle was given.",),
    )
    rule = Rule(
        name="hba1c",
        title=f"HbA1c {HOSTILE}",
        group="constraint",
        real_checked=80,
        real_broken=1,
        synthetic_checked=79,
        synthetic_broken=5,
        verdict="FAIL",
    )
    time = TimelineMeasure(
        name="gap",
        title="Days between stays",
        unit="d",
        real=3.5,
        synthetic=None,
        distance=None,
        band=None,
        n_real=9,
        n_synthetic=0,
        patients_real=4,
        patients_synthetic=0,
    )
    told = {"warnings": (f"A warning {HOSTILE}",), "rules": (rule,), "timeline": (time,), "uplift": uplift}
    return real.model_copy(update={**told, "cohort_title": HOSTILE})


# ---------------------------------------------------------------- report.schema.json


def published() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        resources.files("fhirsynth.trilemma.documents").joinpath("report.schema.json").read_text()
    )
    return found


def refusals(body: Any) -> list[str]:
    """Where a report breaks the published schema."""
    validator = jsonschema.Draft202012Validator(published())
    return sorted(error.json_path for error in validator.iter_errors(body))


def test_the_published_schema_is_what_the_model_says() -> None:
    assert published() == report_schema(), "make it anew with: python -m fhirsynth.trilemma.documents.schema"
    assert PATH.read_bytes().endswith(b"}\n")


def test_the_published_schema_is_one_and_says_its_version() -> None:
    schema = published()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == DIALECT
    assert schema["$id"] == SCHEMA_ID == f"urn:fhirsynth:report:{SCHEMA_VERSION}"
    assert all(part["additionalProperties"] is False for part in (schema, *schema["$defs"].values()))
    assert all("description" in part for part in schema["properties"].values())
    assert "detectable" in schema["$defs"]["Measure"]["required"]
    assert schema["$defs"]["Measure"]["properties"]["low"]["description"].startswith("The estimate and its 95 %")


@pytest.mark.parametrize("name", ["real", "full"])
def test_reports_keep_to_the_published_schema(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    write_report(request.getfixturevalue(name), PROVENANCE, tmp_path)
    body = json.loads((tmp_path / "report.json").read_bytes())
    assert refusals(body) == []
    assert body["$schema"] == SCHEMA_ID
    assert body["valid"] in (True, False)
    assert set(body["verdicts"]) == {"utility", "privacy", "fidelity"}


def _set(place: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda body: body.__setitem__(place, value)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda body: body["verdicts"].update(privacy="GOOD"), "$.verdicts.privacy"),
        (lambda body: body["verdicts"].pop("privacy"), "$.verdicts"),
        (lambda body: body["findings"][0].update(verdict="MAYBE"), "$.findings[0].verdict"),
        (lambda body: body["measures"][0].pop("value"), "$.measures[0]"),
        (_set("valid", "yes"), "$.valid"),
        (_set("schema_version", SCHEMA_VERSION - 1), "$.schema_version"),
        (_set("$schema", "urn:fhirsynth:report:1"), "$['$schema']"),
        (_set("rows", []), "$"),
    ],
)
def test_what_is_no_report_is_refused(real: Report, change: Callable[[dict[str, Any]], None], place: str) -> None:
    body = json.loads(json.dumps(as_json(real, {})))
    assert refusals(body) == []
    change(body)
    assert place in [one.replace('"', "'") for one in refusals(body)]


# ---------------------------------------------------------------- datasheet and model card

PARTS = ["Motivation", "Composition", "Collection process", "Preprocessing, cleaning and labelling"]
PARTS += ["Uses", "Distribution", "Maintenance"]


@pytest.mark.parametrize("provenance", [{}, PROVENANCE], ids=["empty", "full"])
def test_the_datasheet_has_the_seven_parts_and_answers_every_question(full: Report, provenance: dict[str, Any]) -> None:
    text = datasheet(full, provenance)
    heads = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    assert [head for head in heads if head in PARTS] == PARTS
    asked = re.findall(r"^\*\*([^*]+\?)\*\*(.*)(?=\n\n(.*))", text, flags=re.MULTILINE)
    assert len(asked) > 20
    assert all(answer.strip() or below.startswith("- ") for _, answer, below in asked)
    assert not re.search(r"\b(None|nan|null)\b", text)


def test_the_datasheet_says_who_made_what_from_what(full: Report) -> None:
    file = DataFile("synthetic.parquet", "cd" * 32, 100, "application/x-parquet")
    text = datasheet(full, PROVENANCE, schema=small(), files=[file])
    glance = text[text.index("## At a glance") : text.index("## Motivation")]
    for fact in ("4675893395df", "ctgan 0.12.1, sdv 2.0.0", "batch\\_size 80", "Synthea 3.3.0", "ab" * 32, "cd" * 32):
        assert fact in glance
    assert "simulation 7, fit 11, sample 12, evaluate 1" in glance
    assert "100 % of these data; 33 % of all rows" in glance
    assert "rows drawn again (hba1c-means-diabetes): 19" in text
    assert "/home/somebody" not in text


def test_the_datasheet_repeats_what_the_report_warns_of(full: Report) -> None:
    text = datasheet(full, PROVENANCE)
    assert "A warning" in text
    assert "broken by 5 of 79 synthetic patients (real: 1 of 80)" in text
    assert "Synthetic positives neither help nor harm. No oracle was given." in text
    assert "noticed from (utility: below)" in text
    for one in full.measures:
        assert one.detectable is None or f"{one.detectable:.3f}" in text


def test_the_datasheet_says_what_is_not_recorded(real: Report) -> None:
    text = datasheet(real, {})
    for row in ("Generator", "Versions", "Parameters", "Source of the training data", "SHA-256 of the training data"):
        assert f"| {row} | not recorded |" in text
    assert "It is not recorded; whoever passes the data on has to state one." in text
    assert "It was not measured in this report." in text
    stated = datasheet(real, {"license": "CC0-1.0", "creator": "A hospital"})
    assert "**Under which licence?** CC0-1.0 " in stated
    assert "**Who maintains them?** A hospital." in stated


def test_the_datasheet_says_what_to_do_about_the_model(real: Report) -> None:
    told = WARNING.replace("_", "\\_")
    assert told in datasheet(real, {})
    assert told in datasheet(real, PROVENANCE)
    without = {"synthetic": {**PROVENANCE["synthetic"], "model_saved": False}}
    assert told not in datasheet(real, without)
    assert "**May the fitted model be passed on?** No model was left." in datasheet(real, without)


def test_without_a_cohort_nobody_is_said_to_have_the_condition(real: Report) -> None:
    assert "80 patients, 20 of them with the condition" in datasheet(real, {})
    assert "with the condition" not in datasheet(real.model_copy(update={"cohort_column": None}), {})


def test_text_from_data_is_only_text_in_the_datasheet(full: Report) -> None:
    hostile = {**PROVENANCE, "run_id": HOSTILE, "license": HOSTILE, "creator": HOSTILE}
    text = datasheet(full, hostile, files=[DataFile(HOSTILE, "00", 1, "text/csv")])
    assert not re.search(r"(?<!\\)[<>]", text)
    assert "](javascript" not in text.replace("\\]", "")
    for line in text.splitlines():
        assert not line.startswith("| ") or len(re.findall(r"(?<!\\)\|", line)) in (3, 5, 9)


def test_an_invalid_report_recommends_nothing(real: Report) -> None:
    passed = real.model_copy(update={"verdicts": dict.fromkeys(("utility", "privacy", "fidelity"), "PASS")})
    assert "developing models" in datasheet(passed.model_copy(update={"valid": True}), {})
    text = datasheet(passed.model_copy(update={"valid": False}), {})
    assert "developing models" not in text
    assert "release outside" in text
    assert "INVALID" in text


def test_the_model_card_tells_of_self_test_and_detectable_effects(full: Report) -> None:
    card = model_card(full, PROVENANCE)
    assert card["schema_version"] == 3
    assert card["version"] == {"ctgan": "0.12.1", "sdv": "2.0.0", "torch": "2.15.0"}
    assert card["seeds"] == {"simulation": 7, "fit": 11, "sample": 12, "evaluate": 1}
    assert [one["name"] for one in card["self_test"]] == [one.name for one in full.controls]
    noticed = card["minimum_detectable_effects"]
    assert noticed
    assert all(one["detectable"] is not None for one in noticed)
    assert card["rules_broken"] == {"hba1c": 5}
    assert card["uplift"] == "Synthetic positives neither help nor harm."
    assert card["leak_warning"] == WARNING
    assert "--no-model" in card["leak_warning"]
    assert card["model_saved"] is True


def test_manifests_of_other_shapes_are_read_leniently() -> None:
    assert origin.versions({"synthetic": {"model": {"name": "own", "version": "1.3"}}}) == {"own": "1.3"}
    assert origin.versions({"synthetic": {"model": "ctgan"}}) == {}
    assert origin.parameters({"synthetic": {"model": {"parameters": "many"}}}) == {}
    assert origin.seeds({"generated": {"spec": "seed"}, "synthetic": None}) == {}
    parts = {"parts": [{"name": "control", "kept": 3, "share": None}, {"kept": 4}]}
    assert list(origin.facts(parts)) == [
        ("parts.control.kept", 3),
        ("parts.control.name", "control"),
        ("parts.2.kept", 4),
    ]


# ---------------------------------------------------------------- Croissant


def loaded(body: dict[str, Any] | Path) -> Any:
    """The dataset as the reference implementation reads it; it raises where it finds an error."""
    import mlcroissant

    dataset = mlcroissant.Dataset(jsonld=str(body) if isinstance(body, Path) else json.loads(json.dumps(body)))
    assert not dataset.metadata.ctx.issues.errors
    assert not dataset.metadata.ctx.issues.warnings
    return dataset


def described(report: Report, frame: pd.DataFrame, path: Path, schema: FeatureSchema) -> Path:
    """A report in a folder beside the file of its rows; gives its croissant.json."""
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    out = path.parent.parent / "report"
    write_report(report, PROVENANCE, out, schema=schema, files=[DataFile.of(path, out)])
    return out / "croissant.json"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_records_come_out_of_the_metadata(real: Report, tmp_path: Path, kind: str) -> None:
    frame = example_features(12, seed=3)[COLUMNS]
    (tmp_path / "synthetic").mkdir()
    place = described(real, frame, tmp_path / "synthetic" / f"synthetic.{kind}", small())
    records = list(loaded(place).records(TABLE))
    assert len(records) == 12
    for found, (_, row) in zip(records, frame.iterrows(), strict=True):
        assert found[f"{TABLE}/age"] == row["age"]
        assert found[f"{TABLE}/sex"].decode() == row["sex"]
        assert found[f"{TABLE}/{CASE}"] == row[CASE]
        value = found[f"{TABLE}/spo2"]
        assert (value is None or value != value) if pd.isna(row["spo2"]) else value == pytest.approx(row["spo2"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
def test_an_altered_file_is_not_the_one_that_is_described(real: Report, tmp_path: Path) -> None:
    (tmp_path / "synthetic").mkdir()
    path = tmp_path / "synthetic" / "synthetic.csv"
    place = described(real, example_features(5)[COLUMNS], path, small())
    path.write_text(path.read_text() + "\n")
    with pytest.raises(Exception, match="Download") as raised:
        list(loaded(place).records(TABLE))
    assert "is not identical" in str(raised.value.__cause__)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("provenance", [{}, PROVENANCE, {"run_id": HOSTILE}], ids=["empty", "full", "hostile"])
def test_metadata_are_valid_whatever_is_known_and_whatever_columns_are_called(
    full: Report, provenance: dict[str, Any]
) -> None:
    odd = Feature(name=HOSTILE, title=HOSTILE, kind="category", nullable=True, source=Source(rule="derived"))
    schema = small().model_copy(update={"features": (*small().features, odd)})
    files = [
        DataFile("../ndjson/Patient.ndjson", "ab" * 32, 5, "application/fhir+ndjson"),
        DataFile("../synthetic/synthetic.parquet", "cd" * 32, 7, "application/x-parquet"),
    ]
    for given in ([], files[:1], files):
        body = croissant(full, provenance, schema, given)
        loaded(body)
        assert ("recordSet" in body) == (given == files)
    fields = body["recordSet"][0]["field"]
    assert [one["name"] for one in fields] == schema.columns
    assert {one["source"]["fileObject"]["@id"] for one in fields} == {body["distribution"][1]["@id"]}
    assert next(one for one in fields if one["name"] == CASE)["dataType"] == ["sc:Boolean", "cr:Label"]
    assert "unit % (UCUM)" in next(one for one in fields if one["name"] == "spo2")["description"]


def test_metadata_hold_what_a_catalogue_asks_for(real: Report) -> None:
    body = croissant(real, PROVENANCE, small(), [])
    assert body["conformsTo"][0] == "http://mlcommons.org/croissant/1.0"
    assert body["identifier"] == body["url"] == "urn:fhirsynth:run:4675893395df"
    assert body["version"].endswith("+4675893395df")
    assert body["datePublished"] == "2026-01-01"
    assert "Not recorded" in body["license"]
    assert "synthetic data" in body["keywords"]
    assert "simulated with Synthea 3.3.0" in body["rai:dataCollection"]
    guessed = small().model_copy(update={"index_date": pd.Timestamp("1970-01-01").date()})
    assert "datePublished" not in croissant(real, {"license": "CC0-1.0"}, guessed, [])
    assert croissant(real, {"license": "CC0-1.0"}, guessed, [])["license"] == "CC0-1.0"


def test_a_file_far_away_goes_by_its_name(tmp_path: Path) -> None:
    place = tmp_path / "data" / "deep" / "rows.csv.gz"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"x")
    near = DataFile.of(place, tmp_path / "data" / "report")
    assert near == DataFile("../deep/rows.csv.gz", sha256_of(place), 1, "text/csv")
    assert DataFile.of(place, tmp_path / "other" / "report").path == "rows.csv.gz"


def test_without_a_schema_there_is_no_croissant(real: Report, tmp_path: Path) -> None:
    write_report(real, {}, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.json",
        "report.html",
        "datasheet.md",
        "model-card.json",
    }


# ---------------------------------------------------------------- the saved model, and patients in outputs

IDENTIFIER = "Zq-91733107"
LABORATORY = 7319.402857
COUNT = 48611739
WORD = "Quillonish"
PLANTED = (IDENTIFIER, "91733107", "7319.4", "48611739", "48,611,739", WORD)
"""What stands in three training rows and must stand in no document."""


def planted() -> tuple[pd.DataFrame, FeatureSchema]:
    """Features in which each unmistakable value stands in one row of a patient without the condition."""
    own = {"nullable": True, "source": Source(rule="derived")}
    features = (
        *small().features,
        Feature(name="ferritin", title="Ferritin", kind="number", decimals=6, **own),
        Feature(name="steps", title="Steps", kind="count", **own),
        Feature(name="language", title="Language", kind="category", **own),
    )
    frame = example_features(240, seed=4)[COLUMNS]
    frame["ferritin"] = [20 + 1.37 * (number % 97) for number in range(len(frame))]
    frame["steps"] = pd.array([3000 + 7 * (number % 89) for number in range(len(frame))], dtype="Int64")
    frame["language"] = pd.array(["en", "es", "fr"] * (len(frame) // 3), dtype="string")
    schema = small().model_copy(update={"features": features})
    return frame, schema


def augmented(folder: Path, model: str, *more: str) -> Any:
    """``fhirsynth augment`` on tables whose training part holds the planted values."""
    from fhirsynth.cohort import split

    frame, schema = planted()
    held = set(split(frame, CASE, holdout=0.4, seed=3).holdout["patient_id"])
    rows = frame.index[~frame["patient_id"].isin(held) & ~frame[CASE].astype(bool)][:4]
    frame.loc[rows[0], "ferritin"] = LABORATORY
    frame.loc[rows[1], "steps"] = COUNT
    frame.loc[rows[2], "language"] = WORD
    tables = folder / "tables"
    tables.mkdir()
    frame.to_parquet(tables / "features.parquet")
    schema.save(tables / "schema.json")
    arguments = [str(tables), "--n", "40", "--model", model, "--seed", "3", "--out", str(folder / "out"), *more]
    return CliRunner().invoke(cli, ["augment", *arguments])


@pytest.mark.parametrize("model", ["marginals", pytest.param("gaussian-copula", marks=pytest.mark.slow)])
def test_no_training_patient_is_in_any_document(tmp_path: Path, model: str) -> None:
    done = augmented(tmp_path, model)
    assert done.exit_code == 0, done.exception
    out = tmp_path / "out"
    frames = {name: pd.read_parquet(out / f"{name}.parquet") for name in ("train", "holdout", "synthetic")}
    # The id is put in after the split, which goes by ids.
    frames["train"].loc[0, "patient_id"] = IDENTIFIER
    inside = frames["train"].astype(str).to_csv()
    assert all(one in inside for one in (IDENTIFIER, "7319.4", str(COUNT), WORD))
    schema = FeatureSchema.load(out / "schema.json")
    report = evaluate(*frames.values(), schema, seed=2)
    manifest = json.loads((out / "manifest.json").read_bytes())
    files = [DataFile.of(out / "synthetic.parquet", out / "report")]
    write_report(report, {"synthetic": manifest}, out / "report", schema=schema, files=files)
    documents = [path for path in out.rglob("*") if path.is_file() and path.suffix not in (".parquet", ".pkl")]
    assert {path.name for path in documents} >= {
        "report.json",
        "report.html",
        "datasheet.md",
        "model-card.json",
        "croissant.json",
        "model.json",
        "manifest.json",
    }
    for path in documents:
        text = path.read_text(encoding="utf-8")
        assert [value for value in PLANTED if value in text] == [], path


def test_augment_warns_of_the_model_that_it_saves(tmp_path: Path) -> None:
    done = augmented(tmp_path, "marginals")
    (line,) = [one for one in done.stderr.splitlines() if one.startswith("warning: ")]
    assert str(tmp_path / "out" / "model") in line
    assert "--no-model" in line
    told = json.loads((tmp_path / "out" / "model" / "model.json").read_bytes())["warning"]
    assert told == WARNING
    assert line.endswith(told)
    again = ["augment", "--resample", str(tmp_path / "out" / "model"), "--n", "5", "--out", str(tmp_path / "more")]
    assert "warning" not in CliRunner().invoke(cli, again).stderr


def test_augment_leaves_no_model_when_asked(tmp_path: Path) -> None:
    done = augmented(tmp_path, "marginals", "--no-model")
    assert done.exit_code == 0, done.exception
    assert "warning" not in done.stderr
    out = tmp_path / "out"
    assert not (out / "model").exists()
    manifest = json.loads((out / "manifest.json").read_bytes())
    assert manifest["model_saved"] is False
    assert manifest["model"]["model"] == "marginals"
    assert "warning" not in manifest["model"]
    rows = pd.read_parquet(out / "synthetic.parquet")
    kept = tmp_path / "kept"
    kept.mkdir()
    assert augmented(kept, "marginals").exit_code == 0
    pd.testing.assert_frame_equal(rows, pd.read_parquet(kept / "out" / "synthetic.parquet"))
    again = CliRunner().invoke(
        cli, ["augment", "--resample", str(out / "model"), "--n", "5", "--out", str(tmp_path / "x")]
    )
    assert isinstance(again.exception, UsageError)
    assert "model.json: cannot be read" in str(again.exception)
