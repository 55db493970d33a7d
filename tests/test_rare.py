"""The experiment of the documentation: the same page from the same seed, gone on with where it was stopped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest

from benchmarks.rare.data import draw, people
from benchmarks.rare.pictures import tstr_picture, uplift_picture
from benchmarks.rare.plan import Job, Plan, Trial
from benchmarks.rare.summary import Summary, summarise
from benchmarks.rare.tables import page, write
from benchmarks.rare.trials import Bench, do
from benchmarks.rare.variants import ABLATION, GENERATORS, Variant
from benchmarks.rare.words import outcome
from benchmarks.rare.work import run
from fhirsynth.augment.baselines import Bootstrap, Marginals
from fhirsynth.augment.registry import TAKE_PRIOR
from fhirsynth.errors import EvaluateError, Shortfall
from fhirsynth.trilemma import learning
from fhirsynth.trilemma.uplift import trial, uplift
from tests.frames import example_features, example_schema

pytestmark = pytest.mark.slow

PLAN = Plan(("cystic-fibrosis",), (16,), 2, learn=60, judge=80, judge_cases=30, before=40, ablated=())
COPIES = Variant("bootstrap", "copies", lambda _seed: Bootstrap(), added=True)
APART = Variant("marginals", "columns alone", lambda _seed: Marginals(), added=True)


class Unable(Bootstrap):
    """Makes no cases."""

    def sample(self, n: int, *_: Any, **__: Any) -> pd.DataFrame:
        raise Shortfall(n, 0, "ask another")


UNABLE = Variant("unable", "one that makes no cases", lambda _seed: Unable(), added=True)
ABSENT = Variant("elsewhere", "one that is elsewhere", lambda _seed: Bootstrap(), model="not-registered")


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uplift, "DRAWS", 40)
        patch.setattr(trial, "REPEATS", 1)
        patch.setattr(trial, "SEEDS", 1)
        patch.setattr("fhirsynth.trilemma.uplift.arms.RATIOS", (1.0, 4.0, 8.0))
        patch.setattr(learning, "HALVES", 2)
        patch.delitem(learning.MODELS, "boosting")
        yield


def simulated(folder: Path) -> Path:
    """A work folder as after the simulation."""
    example_schema().save(folder / "cystic-fibrosis.schema.json")
    example_features(400, 0.45, seed=1).to_parquet(folder / "cystic-fibrosis.parquet", index=False)
    return folder


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated(tmp_path_factory.mktemp("rare"))


@pytest.fixture(scope="module")
def found(work: Path) -> Summary:
    return run(PLAN, work, 1, (COPIES, APART, UNABLE, ABSENT), ())


def lines(work: Path) -> list[Any]:
    (kept,) = work.glob("trials-*.jsonl")
    return [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]


# ---------------------------------------------------------------- who is drawn


def test_nobody_is_in_two_parts(work: Path) -> None:
    everybody = people(work, "cystic-fibrosis")
    numbered = replace(
        everybody,
        cases=everybody.cases.assign(age=range(len(everybody.cases))),
        others=everybody.others.assign(age=range(1000, 1000 + len(everybody.others))),
    )
    drawn = draw(numbered, PLAN, Trial("cystic-fibrosis", 16, 0))
    ages = [set(part["age"]) for part in (drawn.train, drawn.holdout, drawn.prior, drawn.oracle)]
    assert [len(part) for part in ages] == [16 + 60, 30 + 80, 40, 128]
    assert sum(map(len, ages)) == len(set.union(*ages))
    assert not drawn.prior[everybody.target].any()
    assert drawn.oracle[everybody.target].all()


def test_sizes_are_nested_and_share_their_holdout(work: Path) -> None:
    everybody = people(work, "cystic-fibrosis")
    few, many = (draw(everybody, PLAN, Trial("cystic-fibrosis", n, 0)) for n in (12, 16))
    pd.testing.assert_frame_equal(few.holdout, many.holdout)
    pd.testing.assert_frame_equal(few.train.head(12), many.train.head(12))
    other = draw(everybody, PLAN, Trial("cystic-fibrosis", 12, 1))
    assert not other.train.equals(few.train)


def test_too_few_patients_are_refused(work: Path) -> None:
    everybody = people(work, "cystic-fibrosis")
    with pytest.raises(EvaluateError, match="cystic-fibrosis: 180 cases and 220 others were simulated, 46 and 4140"):
        draw(everybody, replace(PLAN, before=4000), Trial("cystic-fibrosis", 12, 0))


# ---------------------------------------------------------------- what comes out


def test_copies_teach_and_are_caught(found: Summary) -> None:
    taught = {(one.variant, one.n, one.mode): one for one in found.taught}
    copies = taught["bootstrap", 16, "cases"]
    assert (copies.made, copies.draws) == (2, 2)
    assert copies.ratio is not None
    assert copies.low is not None
    assert copies.ratio > 0.9
    assert copies.low < copies.ratio
    assert taught["fresh", 16, "cases"].auroc_real == copies.auroc_real
    caught = {(one.variant, one.n, one.cohort): one for one in found.attacked}
    assert caught["bootstrap", 16, "overall"].verdicts == ("FAIL", "FAIL")
    assert "FAIL" not in caught["fresh", 16, "overall"].verdicts


def test_what_could_not_be_made_is_said(found: Summary) -> None:
    unable = [one for one in found.taught if one.variant == "unable"]
    assert unable
    assert all(one.made == 0 and one.ratio is None for one in unable)
    assert "unable" not in {one.arm for one in found.helped}
    told = "\n".join(outcome(found))
    assert "one that makes no cases (Cystic fibrosis, 16 cases: 2 of 2)" in told
    assert "one that is elsewhere" in told


def test_arms_are_those_of_the_uplift_with_the_ceiling(found: Summary) -> None:
    arms = {one.arm for one in found.helped}
    assert {"none", "weights", "oversampling", "smote", "bootstrap", "marginals", "oracle", "permuted"} == arms
    assert all(len(one.ratios) == 2 for one in found.helped)
    assert {one.n for one in found.mixing} == {16}
    assert all(one.trials == 2 for one in found.beyond)


def test_a_share_of_the_gap_is_given_only_where_there_is_one(found: Summary) -> None:
    for n in PLAN.sizes:
        arms = {one.arm: one for one in found.helped if one.n == n}
        closed = [one.closed for one in arms.values() if one.arm != "none"]
        assert all(one is None for one in closed) == (not arms["oracle"].helps)


def test_the_page_has_every_table_and_computed_sentences(found: Summary) -> None:
    text = page(found)
    for words in (
        "## What came out",
        "## Which generator?",
        "**Cystic fibrosis, cases added.**",
        "**Four to one.**",
        "too few cases made",
    ):
        assert words in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    tables = re.split(r"\n\n", text)
    assert len(rows) > 30
    for table in (one for one in tables if one.startswith("| ")):
        assert len({line.count("|") for line in table.splitlines()}) == 1
    assert "nan" not in text
    assert "None" not in text


def test_pictures_are_opaque_and_well_formed(found: Summary) -> None:
    for drawn in (tstr_picture(found), uplift_picture(found)):
        root = ElementTree.fromstring(drawn)
        space = "{http://www.w3.org/2000/svg}"
        paper = root.find(f"{space}rect")
        assert paper is not None
        assert (paper.get("width"), paper.get("height")) == (root.get("width"), root.get("height"))
        assert "nan" not in drawn
        assert len(root.findall(f".//{space}path")) > 4


# ---------------------------------------------------------------- again


def test_the_same_seed_gives_the_same_files(work: Path, found: Summary, tmp_path: Path) -> None:
    write(found, tmp_path / "first")
    cells = list(PLAN.trials())
    other = simulated(tmp_path)
    generators = {one.name: one for one in (COPIES, APART)}
    kept = dict(lines(work))
    for name in ("marginals", "bootstrap", "uplift"):
        key, result = do(Job(cells[0], name, PLAN), Bench(other, other / "rows", generators))
        assert {**result, "seconds": 0} == {**kept[key], "seconds": 0}
    write(run(PLAN, work, 1, (COPIES, APART, UNABLE, ABSENT), ()), tmp_path / "second")
    for name in ("rare.md", "results.json", "tstr.svg", "uplift.svg"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_a_stopped_run_goes_on(work: Path, found: Summary, monkeypatch: pytest.MonkeyPatch) -> None:
    (kept,) = work.glob("trials-*.jsonl")
    whole = kept.read_text(encoding="utf-8")
    last = whole.splitlines()[-1]
    kept.write_text(whole[: len(whole) - len(last) // 2], encoding="utf-8")
    done: list[str] = []

    def counted(job: Job, bench: Bench) -> tuple[str, Any]:
        done.append(job.key)
        return do(job, bench)

    monkeypatch.setattr("benchmarks.rare.work.do", counted)
    again = run(PLAN, work, 1, (COPIES, APART, UNABLE, ABSENT), ())
    assert done == [json.loads(last)[0]]
    assert again.values() == found.values()
    run(PLAN, work, 1, (COPIES, APART, UNABLE, ABSENT), ())
    assert len(done) == 1


def test_rows_that_changed_are_added_anew(work: Path, found: Summary, monkeypatch: pytest.MonkeyPatch) -> None:
    (place,) = work.glob("rows-*/cystic-fibrosis-16-0-marginals.parquet")
    before = place.read_bytes()
    rows = pd.read_parquet(place)
    rows.assign(age=rows["age"] + 1).to_parquet(place, index=False)
    asked: list[str] = []

    def noted(job: Job, _bench: Bench) -> tuple[str, Any]:
        asked.append(job.key)
        return job.key, {"rows": {}, "arms": {}, "curve": {}, "seconds": 0}

    (kept,) = work.glob("trials-*.jsonl")
    text = kept.read_text(encoding="utf-8")
    monkeypatch.setattr("benchmarks.rare.work.do", noted)
    run(PLAN, work, 1, (COPIES, APART, UNABLE, ABSENT), ())
    assert asked == ["cystic-fibrosis/16/0/uplift"]
    place.write_bytes(before)
    kept.write_text(text, encoding="utf-8")


# ---------------------------------------------------------------- words


def taught(ratio: float, low: float) -> dict[str, Any]:
    figures = {"auroc": 0.9 * ratio, "ap": 0.5 * ratio, "auroc_real": 0.9, "ap_real": 0.5, "ratio": ratio, "low": low}
    return {"made": 1, "all": figures, "cases": figures, "seconds": 0}


def added(gain: float, low: float, high: float) -> dict[str, Any]:
    none = {"ratio": 0.0, "auroc": [0.8, 0.7, 0.9], "ap": [0.5, 0.4, 0.6], "gain": None, "closed": None}
    arms = {
        "none": none,
        "cart": {**none, "ratio": 4.0, "gain": [gain, low, high]},
        "oracle": {**none, "ratio": 8.0, "gain": [0.2, 0.1, 0.3]},
    }
    curve = {"cart": [[0.0, 0.5, 0.4, 0.6], [4.0, 0.6, 0.5, 0.7], [8.0, 0.55, 0.5, 0.6]]}
    return {"arms": arms, "curve": curve, "rows": {}, "seconds": 0}


def told(results: dict[str, Any], sizes: tuple[int, ...]) -> str:
    plan = replace(PLAN, sizes=sizes, draws=1)
    names = ("cart", "ctgan", "ctgan-library")
    return "\n".join(outcome(summarise(results, plan, [one for one in GENERATORS if one.name in names], (), ())))


def test_sentences_follow_the_figures() -> None:
    results = {f"cystic-fibrosis/{n}/0/cart": taught(0.97, 0.93) for n in (25, 50)}
    results |= {f"cystic-fibrosis/{n}/0/ctgan": taught(0.90, 0.85) for n in (25, 50)}
    results |= {f"cystic-fibrosis/{n}/0/ctgan-library": taught(0.60, 0.5) for n in (25, 50)}
    results["cystic-fibrosis/25/0/uplift"] = added(0.1, 0.05, 0.15)
    results["cystic-fibrosis/50/0/uplift"] = added(-0.1, -0.15, -0.05)
    text = told(results, (25, 50))
    assert "With 25: CART (+0.100, 50% of the gap to further real cases) helps" in text
    assert "With 50: nothing helps; CART does harm" in text
    assert "Something helps at 25 cases, and from 50 on nothing does in every draw." in text
    assert "90% of it are kept for certain in every draw by cases of CART (25, 50)." in text
    (_, switch) = summarise(results, replace(PLAN, sizes=(25,), draws=1, ablated=(25,)), (), (), ()).switches
    assert [(one.mode, round(one.mean, 3), one.lower, one.trials) for one in switch.changes] == [
        ("all", -0.15, 1, 1),
        ("cases", -0.15, 1, 1),
    ]
    assert "Out of the box it reaches 0.60 of the real AUROC" in text
    assert "CART −0.050 (rises in 0 of 2)" in text
    assert "none of them is the best ratio on the holdout beyond four to one" in text


def test_privacy_counts_a_draw_once() -> None:
    verdicts = (("FAIL", "PASS"), ("PASS", "FAIL"), ("FAIL", "FAIL"), ("PASS", "PASS"))
    results: dict[str, Any] = {}
    for number, pair in enumerate(verdicts):
        figures = [{"auc": 0.6, "low": 0.5, "high": 0.7, "copied": 0.0, "verdict": one, "failed": []} for one in pair]
        privacy = dict(zip(("overall", "rare"), figures, strict=True))
        results[f"cystic-fibrosis/25/{number}/cart"] = {**taught(0.9, 0.8), "privacy": privacy}
    plan = replace(PLAN, sizes=(25,), draws=4)
    text = "\n".join(outcome(summarise(results, plan, [one for one in GENERATORS if one.name == "cart"], (), ())))
    assert "with rows of CART (3 of 4)" in text


def test_chance_is_no_help() -> None:
    text = told({"cystic-fibrosis/25/0/uplift": added(0.1, -0.05, 0.25)}, (25,))
    assert "With 25: nothing helps (further real cases: +0.200)." in text
    assert "At none of the sizes (25) does anything that was added help in every draw." in text


# ---------------------------------------------------------------- the table of generators


def test_names_are_unique_and_priors_are_taken() -> None:
    names = [one.name for one in (*GENERATORS, *ABLATION)]
    assert len(names) == len(set(names))
    assert all(one.model in TAKE_PRIOR for one in GENERATORS if one.prior)
    assert all(one.name.startswith("ctgan/") for one in ABLATION)
    assert sum(one.added for one in GENERATORS) >= 4


@pytest.mark.parametrize("name", [one.name for one in (*GENERATORS, *ABLATION)])
def test_every_generator_does_its_job(name: str, work: Path) -> None:
    variants = {one.name: one for one in (*GENERATORS, *ABLATION)}
    if not variants[name].is_here:
        pytest.skip(f"{name} is not registered")
    bench = Bench(work, work / "slow", variants)
    _, result = do(Job(Trial("cystic-fibrosis", 16, 0), name, replace(PLAN, steps=30)), bench)
    assert result["made"] in (0, 16 * (8 if variants[name].added else 1))
    assert result["made"] or "could make" in result["why"]
