"""A report with every picture and table filled in, made of numbers alone; and one full of hostile text."""

from __future__ import annotations

from typing import Any

import numpy as np

from fhirsynth.trilemma.lives.shown import Difference
from fhirsynth.trilemma.measure import (
    Attribute,
    Cohort,
    ColumnFidelity,
    Control,
    Dimension,
    Estimate,
    Finding,
    Measure,
    Natural,
    Pictures,
    Report,
    Rule,
    Sizes,
    TimelineMeasure,
    Uplift,
    UpliftArm,
    UpliftPoint,
    Verdict,
)
from tests.drawn import COLUMNS, association, bins, charts, code_shares, distances, panels, pca_map, rocs

HOSTILE = (
    "--><script>document.title='ran'</script>",
    '"><img src=x onerror="document.title=\'ran\'">',
    "</title></style></svg><script>document.title='ran'</script>",
    "]]> &amp; &lt; $x_1$ {{ 7 * 7 }} {% raw %}",
    "\u202eright to left override \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "\x00NUL\x07bell\x1b[31m\ud800half",
    "👩‍⚕️ 病院 " * 6,
    "name_without_a_place_to_break_" * 10,
    "two\nlines\u2028and three",
    "' onmouseover='document.title=1' x='",
)


def _estimate(value: float, half: float = 0.06) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half)


def _uplift(draw: np.random.Generator) -> Uplift:
    names = (
        ("none", "Real patients alone", 0),
        ("weights", "Class weights", 0),
        ("oversampling", "Oversampling", 2),
        ("smote", "SMOTE-NC", 2),
        ("ctgan", "CTGAN", 4),
        ("oracle", "Oracle: fresh draw of the simulator", 8),
        ("permuted", "Synthetic with permuted labels", 1),
    )
    arms = tuple(
        UpliftArm(
            name=name,
            title=title,
            ratio=ratio,
            auroc=_estimate(0.86 + index / 100, 0.04),
            auprc=_estimate(0.41 + index / 50),
            recall=_estimate(0.5 + index / 60),
            brier=_estimate(0.05, 0.01),
            slope=_estimate(0.9 + index / 40, 0.2),
            gain=None if name == "none" else _estimate(index / 50, 0.05),
            gap_closed=None if name in ("none", "weights") else _estimate(index / 8, 0.3),
        )
        for index, (name, title, ratio) in enumerate(names)
    )
    curve = tuple(
        UpliftPoint(arm=name, ratio=ratio, auprc=value, low=value - 0.06, high=value + 0.05)
        for name in ("oversampling", "smote", "ctgan", "oracle", "permuted")
        for ratio in (0, 0.5, 1, 2, 4, 8)
        for value in (round(0.41 + ratio * draw.uniform(0.001, 0.015), 3),)
    )
    return Uplift(
        model="Logistic regression",
        positives=48,
        negatives=1430,
        holdout=800,
        holdout_positives=31,
        prevalence=0.039,
        specificity=0.95,
        arms=arms,
        curve=curve,
        sentence="Adding CTGAN's patients gains 0.08 in average precision (95 % interval 0.03 to 0.13), "
        "half of what a fresh draw of the simulator gains.",
        notes=("Permuted labels must gain nothing; they do not.",),
    )


def _attributes() -> tuple[Attribute, ...]:
    return tuple(
        Attribute(
            name=name,
            title=title,
            cohort=cohort,
            members=0.71 + leak,
            non_members=0.71,
            random=0.52,
            majority=0.68,
            real_trained=0.72 if cohort == "overall" else None,
            leak=leak,
            low=leak - half,
            high=leak + half,
            n=512,
        )
        for cohort, half in (("overall", 0.025), ("rare", 0.07))
        for name, title, leak in (
            ("race", "Race", 0.012),
            ("has_diabetes", "Diabetes", 0.061),
            ("has_copd", "COPD", -0.008),
        )
    )  # fmt: skip


RULES = (
    Rule(
        name="stay",
        title="A length of stay needs an admission",
        group="constraint",
        real_checked=412,
        real_broken=0,
        synthetic_checked=398,
        synthetic_broken=0,
        verdict="PASS",
    ),
    Rule(
        name="hba1c",
        title="HbA1c between 3 and 20 %",
        group="range",
        real_checked=1290,
        real_broken=2,
        synthetic_checked=1311,
        synthetic_broken=37,
        verdict="FAIL",
    ),
    Rule(
        name="death",
        title="Nothing happens after death",
        group="time",
        real_checked=0,
        real_broken=0,
        synthetic_checked=0,
        synthetic_broken=0,
    ),
)


def _timeline() -> tuple[TimelineMeasure, ...]:
    rows = (
        ("gap", "Time between encounters", "days", 41.0, 38.0, 0.14, 0.06, ""),
        ("encounters", "Encounters per year", "", 3.1, 3.0, 0.04, 0.06, ""),
        ("onset", "Age at onset", "years", None, 14.0, None, None, "Fewer than five real patients have an onset."),
    )
    return tuple(
        TimelineMeasure(
            name=name,
            title=title,
            unit=unit,
            real=real,
            synthetic=made,
            distance=distance,
            band=band,
            n_real=4120,
            n_synthetic=3988,
            patients_real=800,
            patients_synthetic=790,
            note=note,
            fresh=band,
            furthest=(Difference(title="Gap", real=0.1, synthetic=0.3, distance=0.2, band=0.1),) if distance else (),
        )
        for name, title, unit, real, made, distance, band, note in rows
    )


SENTENCES: dict[tuple[Dimension, Cohort], tuple[Verdict, str]] = {
    ("utility", "overall"): (
        "UNDERPOWERED",
        (
            "The holdout is too small to say whether synthetic patients teach as much: AUC 0.89 against 0.98 "
            "on real holdout patients, 81% of the signal (95 % interval 69% to 91%; needed: 80%)."
        ),
    ),
    ("utility", "rare"): (
        "PASS",
        (
            "Synthetic patients teach nearly as much as real ones: average precision 0.93 against 0.97 on real holdout "
            "patients, 95% of the signal (95 % interval 88% to 99%; needed: 80%)."
        ),
    ),
    ("privacy", "overall"): (
        "FAIL",
        (
            "The generator remembers training patients: the classifier attack tells them apart (AUC 0.68; chance "
            "0.50), and finds 6 % of them at 1 % false alarms."
        ),
    ),
    ("privacy", "rare"): (
        "UNDERPOWERED",
        (
            "No leak was found, but this sample is too small to rule one out. A membership AUC below "
            "0.67 would not have been noticed."
        ),
    ),
    ("fidelity", "overall"): (
        "PASS",
        (
            "Single columns, pairs and whole rows look like the real holdout's. Furthest from real: Age, "
            "Systolic blood pressure."
        ),
    ),
    ("fidelity", "rare"): (
        "FAIL",
        (
            "Synthetic rows do not look like real ones: a classifier tells them apart (AUC 0.88; by chance "
            "0.50). Furthest from real: Age, Sex, Systolic blood pressure."
        ),
    ),
}


def _measures() -> tuple[Measure, ...]:
    rows: tuple[tuple[str, Dimension, bool], ...] = (
        ("AUC trained on synthetic / AUC trained on real, logistic regression", "utility", True),
        ("Share of the real model's signal kept (AUC above chance)", "utility", False),
        ("Brier score, trained on synthetic", "utility", False),
        ("Calibration slope, trained on synthetic", "utility", False),
        ("Membership-inference AUC (distance attack)", "privacy", True),
        ("Largest of three membership attacks", "privacy", False),
        ("Members found at 1 % false alarms", "privacy", False),
        ("Attribute-inference accuracy", "privacy", True),
        ("Share of synthetic rows that sit beside a record because it was in the training data", "privacy", False),
        ("Share of columns with two-sample p > 0.05", "fidelity", True),
        ("Mean distance of columns beyond the noise floor (KS D, total variation)", "fidelity", False),
        ("Classifier two-sample test: AUC of telling synthetic from real rows", "fidelity", False),
    )
    verdicts: tuple[Verdict, ...] = ("PASS", "FAIL", "UNDERPOWERED")
    return tuple(
        Measure(
            name=f"measure_{index}",
            title=title,
            dimension=dimension,
            cohort=cohort,
            value=0.6 + index / 40,
            low=0.55 + index / 40,
            high=0.66 + index / 40,
            n=1200,
            target="≈ 0.50" if literal else "upper bound < 0.60",
            met=bool(index % 2),
            note="1,478 members (train) against 800 real non-members (holdout), by their distance to the nearest "
            "synthetic row, ties one half, within the cohort and outside of it separately.",
            literal=literal,
            verdict=None if literal else verdicts[index % 3],
            calibrated=verdicts[index % 3] if literal else None,
            misleads="An AUC near 0.50 in a small sample is no proof." if literal else "",
            p=0.00001 if index % 3 == 1 and not literal else None,
            detectable=0.57 if dimension == "privacy" and not literal else None,
        )
        for index, (title, dimension, literal) in enumerate(rows)
        for cohort in COHORTS
    )


COHORTS: tuple[Cohort, ...] = ("overall", "rare")


def _columns(draw: np.random.Generator, titles: dict[str, str]) -> tuple[ColumnFidelity, ...]:
    return tuple(
        ColumnFidelity(
            name=name,
            title=title,
            cohort=cohort,
            test="Kolmogorov-Smirnov",
            distance=round(float(draw.uniform(0.02, 0.16)), 3),
            band=0.07,
            p=0.0123,
            p_holm=0.2,
            ratio=2.1 if name == "has_chf" else None,
            beyond=name == "has_chf",
        )
        for cohort in COHORTS
        for name, title in titles.items()
    )


CONTROLS = (
    Control(
        name="Half of the holdout as synthetic data",
        must="not fail privacy or fidelity",
        got={"privacy": "PASS", "fidelity": "PASS"},
        ok=True,
    ),
    Control(
        name="The training data as synthetic data",
        must="fail privacy, or be UNDERPOWERED",
        got={"privacy": "FAIL"},
        ok=True,
        note="2,000 rows of each frame.",
    ),
)


def full_report(
    titles: dict[str, str] | None = None,
    races: tuple[str, ...] = ("white", "black", "asian", "native", "other"),
    **changes: Any,
) -> Report:
    """Every picture and table filled in; ``changes`` are fields of the report."""
    named, draw = titles or dict(COLUMNS), np.random.default_rng(5)
    fields: dict[str, Any] = {
        "valid": True,
        "verdicts": {"utility": "UNDERPOWERED", "privacy": "FAIL", "fidelity": "FAIL"},
        "findings": tuple(
            Finding(dimension=dimension, cohort=cohort, verdict=verdict, sentence=sentence)
            for (dimension, cohort), (verdict, sentence) in SENTENCES.items()
        ),
        "sizes": Sizes(train=1478, holdout=800, synthetic=1500, train_cases=48, holdout_cases=31, synthetic_cases=1500),
        "target": "has_cystic_fibrosis",
        "cohort_column": "has_cystic_fibrosis",
        "cohort_title": "Cystic fibrosis",
        "sensitive": ("race", "has_diabetes", "has_copd"),
        "seed": 7,
        "composition": "The synthetic rows hold only patients with the condition. For utility and fidelity of "
        "everybody they are completed with the real training patients without it.",
        "measures": _measures(),
        "columns": _columns(draw, named),
        "controls": CONTROLS,
        "warnings": (),
        "attributes": _attributes(),
        "rules": RULES,
        "timeline": _timeline(),
        "uplift": _uplift(draw),
        "natural": (Natural(name="age", title="Age", share=False, cohort=31.2, natural=44.8, n=2278),),
        "pictures": Pictures(
            cohort="rare",
            marginals=panels(draw, named, races),
            association=association(draw, named),
            rocs=rocs(),
            distances=distances(draw),
            map=pca_map(draw),
            timeline=(bins("Time between encounters (days)", "gap", draw, 5.0),),
            codes=code_shares(draw),
            charts=charts(),
            charts_note="Chosen by the number of entries, not by looks.",
        ),
    }
    return Report(**{**fields, **changes})


def hostile_report() -> Report:
    """Hostile text wherever data can bring it in."""
    texts = [HOSTILE[index % len(HOSTILE)] for index in range(len(COLUMNS))]
    plain = full_report({name: text for (name, _), text in zip(COLUMNS, texts, strict=True)}, HOSTILE)
    every = " ".join(HOSTILE)
    codes = plain.pictures.codes
    named = codes and codes.model_copy(
        update={"points": tuple(one.model_copy(update={"title": HOSTILE[1]}) for one in codes.points)}
    )
    far = Difference(title=every, real=0.1, synthetic=0.3, distance=0.2, band=0.1)
    return plain.model_copy(
        update={
            "valid": False,
            "cohort_title": HOSTILE[1],
            "target": HOSTILE[0],
            "sensitive": HOSTILE,
            "composition": every,
            "warnings": HOSTILE,
            "findings": tuple(one.model_copy(update={"sentence": every}) for one in plain.findings),
            "measures": tuple(one.model_copy(update={"note": every, "title": HOSTILE[2]}) for one in plain.measures),
            "attributes": tuple(one.model_copy(update={"title": HOSTILE[7]}) for one in plain.attributes),
            "rules": tuple(one.model_copy(update={"title": HOSTILE[0]}) for one in plain.rules),
            "timeline": tuple(
                one.model_copy(update={"title": HOSTILE[4], "note": every, "furthest": (far,)})
                for one in plain.timeline
            ),
            "pictures": plain.pictures.model_copy(
                update={"codes": named, "charts": charts(HOSTILE[2]), "charts_note": every}
            ),
            "controls": tuple(one.model_copy(update={"note": HOSTILE[5]}) for one in plain.controls),
            "natural": tuple(one.model_copy(update={"title": HOSTILE[6]}) for one in plain.natural),
            "uplift": plain.uplift and plain.uplift.model_copy(update={"sentence": every, "notes": HOSTILE}),
        }
    )
