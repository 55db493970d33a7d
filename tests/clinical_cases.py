"""Patients that break a clinical rule, and patients that do not: of every rule at least one of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fhirsynth.clinical import load_rules

BORN = datetime(1950, 1, 1, tzinfo=UTC)
SNOMED, LOINC = "http://snomed.info/sct", "http://loinc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ANALYTES = load_rules().analytes
Make = Callable[[str, int], dict[str, Any]]
"""A resource from the patient's id and a number."""


def moment(age: float) -> str:
    """The instant at which somebody is so old, in years; to the minute."""
    return (BORN + timedelta(days=age * 365.25)).isoformat(timespec="minutes").replace("+00:00", ":00Z")


@dataclass(frozen=True)
class Case:
    """A patient, and whether the rule is broken."""

    rule: str
    broken: bool
    makes: tuple[Make, ...]
    sex: str = "female"
    died: float | None = None

    def resources(self, name: str) -> Iterable[dict[str, Any]]:
        patient: dict[str, Any] = {
            "resourceType": "Patient",
            "id": name,
            "gender": self.sex,
            "birthDate": BORN.date().isoformat(),
        }
        if self.died is not None:
            patient["deceasedDateTime"] = moment(self.died)
        return [patient, *(make(name, number) for number, make in enumerate(self.makes))]


def _about(kind: str, name: str, number: int, **rest: Any) -> dict[str, Any]:
    subject = {"reference": f"Patient/{name}"}
    return {"resourceType": kind, "id": f"{name}-{number}", "subject": subject} | {k: v for k, v in rest.items() if v}


def _concept(system: str, code: str | None, display: str | None) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code or "0", **({"display": display} if display else {})}]}


def value(analyte: str, number: float, at: float = 40, unit: str | None = None, code: str | None = None) -> Make:
    """A measured value, in the analyte's unit if no other is given."""
    known = ANALYTES[analyte]
    quantity = {"value": number, "code": unit or known.unit, "system": "http://unitsofmeasure.org"}
    return lambda name, place: _about(
        "Observation",
        name,
        place,
        status="final",
        code=_concept(LOINC, code or known.codes[0], None),
        effectiveDateTime=moment(at),
        valueQuantity=quantity,
    )


def state(
    code: str | None,
    display: str | None = None,
    at: float = 40,
    until: float | None = None,
    recorded: float | None = None,
) -> Make:
    """A condition."""
    return lambda name, place: _about(
        "Condition",
        name,
        place,
        code=_concept(SNOMED, code, display),
        onsetDateTime=moment(at),
        abatementDateTime=until and moment(until),
        recordedDate=recorded and moment(recorded),
    )


def drug(display: str, at: float = 40, reason: int | None = None, visit: int | None = None) -> Make:
    """An order; reason and visit are the places of a condition and an encounter in the case."""
    return lambda name, place: _about(
        "MedicationRequest",
        name,
        place,
        status="active",
        intent="order",
        authoredOn=moment(at),
        medicationCodeableConcept=_concept(RXNORM, None, display),
        reasonReference=None if reason is None else [{"reference": f"Condition/{name}-{reason}"}],
        encounter=None if visit is None else {"reference": f"Encounter/{name}-{visit}"},
    )


def act(
    code: str | None, display: str | None = None, at: float = 40, until: float | None = None, reason: int | None = None
) -> Make:
    """A procedure."""
    period = {"start": moment(at), "end": moment(at if until is None else until)}
    return lambda name, place: _about(
        "Procedure",
        name,
        place,
        status="completed",
        code=_concept(SNOMED, code, display),
        performedPeriod=period,
        reasonReference=None if reason is None else [{"reference": f"Condition/{name}-{reason}"}],
    )


def stay(at: float = 40, until: float = 40.01, code: str = "185349003") -> Make:
    """An encounter."""
    return lambda name, place: _about(
        "Encounter",
        name,
        place,
        status="finished",
        type=[_concept(SNOMED, code, None)],
        period={"start": moment(at), "end": moment(until)},
        **{"class": {"code": "AMB"}},
    )


def within(visit: int, make: Make) -> Make:
    """The same, in an encounter."""
    return lambda name, place: {**make(name, place), "encounter": {"reference": f"Encounter/{name}-{visit}"}}


def _bounds(prefix: str, analyte: str, possible: tuple[float, float], usual: tuple[float, float], good: float) -> Any:
    for rule, wrong in ((f"{prefix}-possible", possible), (f"{prefix}-usual", usual)):
        yield from (Case(rule, broken=True, makes=(value(analyte, one),)) for one in wrong)
        yield Case(rule, broken=False, makes=(value(analyte, good),))


BOUNDS = [
    case
    for row in (
        ("sodium", "sodium", (49, 226), (109, 171), 140),
        ("potassium", "potassium", (0.4, 15.5), (1.9, 8.5), 4.2),
        ("chloride", "chloride", (39, 201), (69, 141), 103),
        ("bicarbonate", "bicarbonate", (-1, 67), (4, 51), 24),
        ("calcium", "calcium", (0.9, 31), (4.9, 16.5), 9.4),
        ("magnesium", "magnesium", (-1, 23), (0.6, 6.5), 2),
        ("phosphate", "phosphate", (-1, 23), (0.6, 12.5), 3.5),
        ("glucose", "glucose", (1, 2300), (29, 950), 95),
        ("hba1c", "hba1c", (1.9, 25.5), (3.4, 17.5), 5.4),
        ("creatinine", "creatinine", (-0.1, 67), (0.05, 21), 0.9),
        ("egfr", "egfr", (-1, 301), (1, 201), 95),
        ("urea-nitrogen", "urea_nitrogen", (-1, 276), (0.5, 190), 14),
        ("albumin", "albumin", (0.1, 8.5), (0.9, 6.5), 4.2),
        ("globulin", "globulin", (0.05, 19), (0.7, 8.5), 2.8),
        ("protein", "protein", (0.9, 21), (2.9, 12.5), 7),
        ("bilirubin", "bilirubin", (-0.1, 81), (0.04, 46), 0.7),
        ("hemoglobin", "hemoglobin", (0.9, 31), (3.9, 24.5), 14),
        ("hematocrit", "hematocrit", (1, 91), (11, 71), 42),
        ("erythrocytes", "erythrocytes", (0.1, 12.5), (1.1, 8.6), 4.7),
        ("mcv", "mcv", (39, 171), (49, 141), 90),
        ("mch", "mch", (7, 61), (13, 49), 30),
        ("mchc", "mchc", (14, 51), (23, 41), 34),
        ("leukocytes", "leukocytes", (-1, 1101), (0.2, 151), 7),
        ("platelets", "platelets", (-1, 6001), (4, 1501), 250),
        ("total-cholesterol", "total_cholesterol", (4, 2501), (49, 551), 190),
        ("hdl", "hdl", (-1, 251), (9, 151), 50),
        ("ldl", "ldl", (-16, 1501), (9, 451), 110),
        ("triglycerides", "triglycerides", (0.5, 30001), (14, 3001), 120),
        ("arterial-ph", "arterial_ph", (6.2, 8.5), (6.7, 7.9), 7.4),
        ("arterial-pco2", "arterial_pco2", (0.5, 221), (9, 151), 40),
        ("arterial-po2", "arterial_po2", (0.5, 771), (24, 701), 90),
        ("arterial-bicarbonate", "arterial_bicarbonate", (-1, 67), (3, 56), 24),
        ("temperature", "temperature", (12, 48), (29, 42.5), 37),
        ("spo2", "spo2", (-1, 101), (59, 101), 97),
    )
    for case in _bounds(*row)
]

VALUES: dict[str, tuple[str, list[tuple[float, float, str]], list[tuple[float, float, str]]]] = {
    # rule: analyte, (value, age, sex) that break it, and that do not
    "heart-rate-possible": ("heart_rate", [(400, 40, "male"), (-1, 40, "male")], [(0, 80, "male"), (72, 40, "male")]),
    "respiratory-rate-possible": ("respiratory_rate", [(210, 1, "male")], [(14, 40, "male")]),
    "systolic-possible": ("systolic", [(380, 40, "male")], [(120, 40, "male")]),
    "diastolic-possible": ("diastolic", [(380, 40, "male")], [(80, 40, "male")]),
    "mean-pressure-possible": ("mean_pressure", [(380, 40, "male")], [(95, 40, "male")]),
    "heart-rate-usual": (
        "heart_rate",
        [(64, 0.1, "male"), (240, 0.5, "male"), (200, 3, "female"), (25, 40, "male"), (190, 40, "male")],
        [(140, 0.1, "male"), (180, 3, "female"), (72, 40, "male")],
    ),
    "respiratory-rate-usual": (
        "respiratory_rate",
        [(14, 0.1, "male"), (50, 40, "male")],
        [(40, 0.1, "male"), (14, 40, "male")],
    ),
    "systolic-usual": ("systolic", [(145, 0.02, "male"), (60, 40, "male")], [(70, 0.02, "male"), (145, 40, "male")]),
    "diastolic-usual": ("diastolic", [(84, 0.02, "male"), (25, 40, "male")], [(45, 0.02, "male"), (84, 40, "male")]),
    "height-for-age": (
        "height",
        [(120, 1, "male"), (60, 4, "female")],
        [(76, 1, "male"), (101, 4, "female"), (30, 0, "male")],
    ),
    "weight-for-age": (
        "weight",
        [(30, 1, "male"), (5, 6, "female")],
        [(10, 1, "male"), (20, 6, "female"), (0.6, 0, "male")],
    ),
    "head-for-age": ("head_circumference", [(30, 1, "male"), (60, 2, "female")], [(46, 1, "male"), (47, 2, "female")]),
    "height-possible": ("height", [(19, 0, "male"), (276, 40, "male")], [(175, 40, "male")]),
    "weight-possible": ("weight", [(0.1, 0, "male"), (651, 40, "male")], [(80, 40, "male")]),
    "bmi-possible": ("bmi", [(4, 40, "male"), (211, 40, "male")], [(25, 40, "male")]),
    "head-possible": ("head_circumference", [(14, 0, "male"), (101, 40, "male")], [(35, 0, "male")]),
    "adult-height": ("height", [(119, 40, "male"), (221, 40, "male")], [(175, 40, "male")]),
    "adult-weight": ("weight", [(29, 40, "male"), (251, 40, "male")], [(80, 40, "male")]),
    "adult-bmi": ("bmi", [(11, 40, "male"), (71, 40, "male")], [(25, 40, "male")]),
}
AGED = [
    Case(rule, broken, (value(analyte, number, at=age),), sex)
    for rule, (analyte, bad, good) in VALUES.items()
    for broken, rows in ((True, bad), (False, good))
    for number, age, sex in rows
]


def _pair(rule: str, bad: tuple[Make, ...], good: tuple[Make, ...], *sexes: str) -> list[Case]:
    """A patient who breaks the rule and one who does not; of that sex, or of the first and the second."""
    sex, other = (*sexes, *sexes)[:2] if sexes else ("female", "female")
    return [Case(rule, broken=True, makes=bad, sex=sex), Case(rule, broken=False, makes=good, sex=other)]


def _needs(rule: str, order: str, *reasons: Make) -> list[Case]:
    """An order of somebody who has only a cold, and one for each reason."""
    cold = state("82272006", "Common cold")
    wrong = Case(rule, broken=True, makes=(drug(order), cold))
    return [wrong, *(Case(rule, broken=False, makes=(drug(order), reason)) for reason in reasons)]


PREGNANT = state("72892002", "Normal pregnancy", at=30, until=30.7)
COUNT = (value("hemoglobin", 14), value("hematocrit", 42), value("erythrocytes", 4.7))
BLOOD_GAS = (value("arterial_bicarbonate", 24), value("arterial_pco2", 40))
LIPIDS = (value("hdl", 50), value("ldl", 120), value("triglycerides", 150))
SALTS = (value("chloride", 104), value("bicarbonate", 25))
SUGAR = (value("glucose", 97, at=39.8), value("glucose", 99, at=39.9))
STAY = stay(40, 40.01)

RELATIONS = [
    *_pair(
        "systolic-above-diastolic",
        (value("systolic", 70), value("diastolic", 78)),
        (value("systolic", 120), value("diastolic", 80)),
    ),
    *_pair(
        "pulse-pressure",
        (value("systolic", 86), value("diastolic", 80)),
        (value("systolic", 120), value("diastolic", 80)),
    ),
    Case("pulse-pressure", broken=True, makes=(value("systolic", 240), value("diastolic", 60))),
    *_pair(
        "mean-pressure",
        (value("mean_pressure", 60), value("systolic", 120), value("diastolic", 80)),
        (value("mean_pressure", 95), value("systolic", 120), value("diastolic", 80)),
    ),
    *_pair(
        "bmi-from-height-and-weight",
        (value("bmi", 30), value("height", 180), value("weight", 81)),
        (value("bmi", 25), value("height", 180), value("weight", 81)),
    ),
    # 1.0 mg/dL at 50: a man has 92 by CKD-EPI 2021, 87 by 2009, 79 by MDRD; a woman 68, 66, 59.
    *_pair(
        "egfr-from-creatinine",
        (value("creatinine", 1, 50), value("egfr", 30, 50)),
        (value("creatinine", 1, 50), value("egfr", 92, 50)),
        "male",
    ),
    *_pair(
        "egfr-from-creatinine",
        (value("creatinine", 1, 50), value("egfr", 140, 50)),
        (value("creatinine", 1, 50), value("egfr", 59, 50)),
    ),
    *_pair(
        "hematocrit-from-hemoglobin",
        (value("hemoglobin", 14), value("hematocrit", 30)),
        (value("hemoglobin", 14), value("hematocrit", 42)),
    ),
    *_pair("mcv-from-counts", (*COUNT, value("mcv", 70)), (*COUNT, value("mcv", 89))),
    *_pair("mch-from-counts", (*COUNT, value("mch", 24)), (*COUNT, value("mch", 30))),
    *_pair("mchc-from-counts", (*COUNT, value("mchc", 29)), (*COUNT, value("mchc", 33))),
    *_pair("hba1c-from-glucose", (*SUGAR, value("hba1c", 9)), (*SUGAR, value("hba1c", 5.2))),
    *_pair(
        "hdl-below-total",
        (value("total_cholesterol", 60), value("hdl", 70)),
        (value("total_cholesterol", 200), value("hdl", 70)),
    ),
    *_pair(
        "ldl-below-total",
        (value("total_cholesterol", 90), value("ldl", 120)),
        (value("total_cholesterol", 200), value("ldl", 120)),
    ),
    *_pair("friedewald", (*LIPIDS, value("total_cholesterol", 300)), (*LIPIDS, value("total_cholesterol", 200))),
    *_pair("anion-gap", (*SALTS, value("sodium", 125)), (*SALTS, value("sodium", 140))),
    Case("anion-gap", broken=True, makes=(*SALTS, value("sodium", 180))),
    *_pair("acid-base", (*BLOOD_GAS, value("arterial_ph", 7.0)), (*BLOOD_GAS, value("arterial_ph", 7.4))),
    *_pair(
        "protein-from-parts",
        (value("albumin", 4), value("globulin", 0.3), value("protein", 7)),
        (value("albumin", 4), value("globulin", 3), value("protein", 7)),
    ),
    *_pair(
        "height-never-falls",
        (value("height", 110, 5), value("height", 100, 6)),
        (value("height", 110, 5), value("height", 109, 6), value("height", 116, 7)),
    ),
    *_pair(
        "head-never-shrinks",
        (value("head_circumference", 46, 1), value("head_circumference", 43, 1.5)),
        (value("head_circumference", 46, 1), value("head_circumference", 47.5, 1.5)),
    ),
    *_pair(
        "adult-height-stays",
        (value("height", 170, 30), value("height", 171, 31), value("height", 180, 32)),
        (value("height", 170, 30), value("height", 171, 31), value("height", 172, 32)),
    ),
    *_pair(
        "adult-weight-in-a-month",
        (value("weight", 80, 30), value("weight", 110, 30.05)),
        (value("weight", 80, 30), value("weight", 82, 30.05), value("weight", 120, 35)),
    ),
]


def psa(name: str, place: int) -> dict[str, Any]:
    quantity = {"value": 2, "code": "ng/mL"}
    code = _concept(LOINC, "2857-1", "PSA")
    return _about("Observation", name, place, code=code, effectiveDateTime=moment(60), valueQuantity=quantity)


PEOPLE = [
    *_pair("pregnant-is-female", (PREGNANT,), (PREGNANT,), "male", "female"),
    *_pair(
        "obstetric-care-is-for-females",
        (stay(code="424441002"),),
        (act("66348005", "Childbirth", 30),),
        "male",
        "female",
    ),
    *_pair("pregnant-age", (state("72892002", "Normal pregnancy", at=7),), (PREGNANT,)),
    Case("pregnant-age", broken=True, makes=(state("72892002", "Normal pregnancy", at=61),)),
    *_pair("obstetric-care-age", (act("66348005", "Childbirth", 70),), (act("66348005", "Childbirth", 30),)),
    *_pair(
        "female-organs-of-females",
        (state(None, "Endometriosis of uterus"),),
        (act(None, "Hysterectomy"),),
        "male",
        "female",
    ),
    Case("female-organs-of-females", broken=True, sex="male", makes=(act("287664005", "Bilateral tubal ligation"),)),
    *_pair(
        "male-organs-of-males",
        (state("126906006", "Neoplasm of prostate"),),
        (act("22523008", "Vasectomy"),),
        "female",
        "male",
    ),
    *_pair("prostate-antigen-of-males", (psa,), (psa,), "female", "male"),
    *_pair(
        "prostate-cancer-age",
        (state("126906006", "Neoplasm of prostate", at=20),),
        (state("126906006", "Neoplasm of prostate", at=70),),
        "male",
    ),
    *_pair("menopause-age", (state(None, "Menopause present", at=20),), (state(None, "Menopause present", at=51),)),
    *_pair(
        "dementia-age",
        (state("26929004", "Alzheimer's disease", at=15),),
        (state("26929004", "Alzheimer's disease", at=80),),
    ),
    *_pair(
        "contraceptive-of-females", (drug("NuvaRing 0.12/0.015 MG"),), (drug("Errin 28 Day Pack"),), "male", "female"
    ),
    *_pair("contraceptive-age", (drug("Natazia 28 Day Pack", at=0.1),), (drug("Natazia 28 Day Pack", at=25),)),
    *_pair(
        "codeine-age",
        (drug("tramadol hydrochloride 50 MG Oral Tablet", at=6),),
        (drug("Codeine Phosphate 15 MG", at=30),),
    ),
    *_pair("aspirin-age", (drug("aspirin 81 MG Oral Tablet", at=0.7),), (drug("Aspirin 81 MG Oral Tablet", at=60),)),
    *_pair("tetracycline-age", (drug("tetracycline 250 MG Oral Capsule", at=5),), (drug("Minocycline 100 MG", at=16),)),
    *_pair("statin-age", (drug("Simvastatin 10 MG Oral Tablet", at=4),), (drug("atorvastatin 20 MG", at=50),)),
]

DIABETES = state("44054006", "Diabetes mellitus type 2 (disorder)", at=39)
HEART = state("414545008", "Ischemic heart disease (disorder)", at=39)
CANCER = state("254837009", "Malignant neoplasm of breast (disorder)", at=39)
ARRHYTHMIA = state("49436004", "Atrial fibrillation (disorder)", at=39)
REASONS = [
    *_needs(
        "insulin-has-reason", "insulin lispro 100 UNT/ML", DIABETES, state("427089005", "Diabetes from Cystic Fibrosis")
    ),
    # A reason that is recorded half a year later is none; three weeks later it is.
    Case("insulin-has-reason", broken=True, makes=(drug("insulin"), state("44054006", "Diabetes", at=40.5))),
    Case("insulin-has-reason", broken=False, makes=(drug("insulin"), state("44054006", "Diabetes", at=40.05))),
    *_needs("metformin-has-reason", "Metformin hydrochloride 500 MG", DIABETES, state("15777000", "Prediabetes")),
    *_needs("sulfonylurea-has-reason", "glipizide 5 MG Oral Tablet", DIABETES),
    *_needs("thyroxine-has-reason", "Levothyroxine Sodium 0.075 MG", state("21983002", "Hashimoto thyroiditis")),
    *_needs("antithyroid-has-reason", "methimazole 10 MG Oral Tablet", state(None, "Graves' disease")),
    *_needs(
        "anticoagulant-has-reason",
        "Warfarin Sodium 5 MG Oral Tablet",
        ARRHYTHMIA,
        act(None, "Replacement of aortic valve"),
    )[:2],
    *_needs(
        "renin-blocker-has-reason",
        "lisinopril 10 MG Oral Tablet",
        state("59621000", "Essential hypertension"),
        DIABETES,
    ),
    *_needs("statin-has-reason", "Simvastatin 10 MG Oral Tablet", state("55822004", "Hyperlipidemia"), HEART),
    *_needs("nitrate-has-reason", "Nitroglycerin 0.4 MG/ACTUAT", HEART),
    *_needs("digoxin-has-reason", "Digoxin 0.125 MG Oral Tablet", ARRHYTHMIA),
    *_needs("reliever-has-reason", "albuterol 0.83 MG/ML Inhalation Solution", state("233678006", "Childhood asthma")),
    *_needs(
        "antiretroviral-has-reason", "dolutegravir 50 MG", state("86406008", "Human immunodeficiency virus infection")
    ),
    *_needs("cftr-drug-has-reason", "Pulmozyme (Dornase Alfa)", state("190905008", "Cystic Fibrosis")),
    *_needs("fludrocortisone-has-reason", "fludrocortisone acetate 0.1 MG", state("363732003", "Addison's disease")),
    *_needs("urate-lowering-has-reason", "Allopurinol 100 MG Oral Tablet", state("90560007", "Gout")),
    *_needs("erythropoietin-has-reason", "Epoetin Alfa 4000 UNT/ML", state("46177005", "End-stage renal disease")),
    *_needs("antidementia-has-reason", "Galantamine 4 MG Oral Tablet", state("26929004", "Alzheimer's disease")),
    *_needs("bisphosphonate-has-reason", "Alendronic acid 10 MG", state("64859006", "Osteoporosis")),
    *_needs("immunosuppressant-has-reason", "tacrolimus 1 MG", state("161665007", "History of renal transplant")),
    *_needs(
        "stimulant-has-reason",
        "Methylphenidate Hydrochloride 20 MG",
        state("192127007", "Child attention deficit disorder"),
    ),
    *_needs("pyridostigmine-has-reason", "pyridostigmine bromide 60 MG", state("91637004", "Myasthenia gravis")),
    *_needs("sapropterin-has-reason", "sapropterin 100 MG", state("7573000", "Phenylketonuria")),
    *_needs("hydroxyurea-has-reason", "hydroxyurea 500 MG", state("127040003", "Sickle cell-hemoglobin SS disease")),
    *_needs("cytotoxic-has-reason", "Cisplatin 50 MG Injection", CANCER),
    *_needs("breast-drug-has-reason", "Tamoxifen 10 MG Oral Tablet", CANCER),
]


def _in_pregnancy(rule: str, order: str) -> list[Case]:
    """In pregnancy; after it; and more than 280 days after one of which no end is recorded."""
    endless = state("72892002", "Normal pregnancy", at=30)
    return [
        *_pair(rule, (PREGNANT, drug(order, at=30.3)), (PREGNANT, drug(order, at=30.9))),
        *_pair(rule, (endless, drug(order, at=30.3)), (endless, drug(order, at=31))),
    ]


CONTRADICTIONS = [
    *_in_pregnancy("warfarin-in-pregnancy", "Warfarin Sodium 5 MG Oral Tablet"),
    *_in_pregnancy("renin-blocker-in-pregnancy", "lisinopril 10 MG Oral Tablet"),
    *_in_pregnancy("teratogen-in-pregnancy", "isotretinoin 20 MG Oral Capsule"),
    *_in_pregnancy("methotrexate-in-pregnancy", "Methotrexate 2.5 MG Oral Tablet"),
    *_in_pregnancy("contraceptive-in-pregnancy", "Errin 28 Day Pack"),
    *_pair(
        "beta-blocker-in-asthma",
        (state("195967001", "Asthma", at=20), drug("propranolol hydrochloride 40 MG")),
        (state("195967001", "Asthma", at=20, until=22), drug("propranolol hydrochloride 40 MG")),
    ),
    *_pair(
        "metformin-in-kidney-failure",
        (value("egfr", 22, 39.9), drug("Metformin 500 MG")),
        (value("egfr", 22, 39.8), value("egfr", 55, 39.9), drug("Metformin 500 MG")),
    ),
    *_pair(
        "nsaid-in-kidney-failure",
        (value("egfr", 12, 39.9), drug("Ibuprofen 400 MG")),
        (value("egfr", 80, 39.9), drug("Ibuprofen 400 MG")),
    ),
    *_pair(
        "potassium-in-hyperkalemia",
        (value("potassium", 6.8, 39.99), drug("spironolactone 25 MG")),
        (value("potassium", 4.1, 39.99), drug("spironolactone 25 MG")),
    ),
]

TIMES = [
    *_pair("abatement-after-onset", (state("1", "A", at=40, until=39),), (state("1", "A", at=40, until=41),)),
    *_pair("encounter-ends-after-start", (stay(40, 39.9),), (STAY,)),
    *_pair("procedure-ends-after-start", (act("1", "A", 40, 39.9),), (act("1", "A", 40, 40.1),)),
    Case("death-after-birth", broken=True, makes=(STAY,), died=-1),
    Case("death-after-birth", broken=False, makes=(STAY,), died=80),
    *_pair("nothing-before-birth", (drug("A", at=-1),), (drug("A", at=0),)),
    Case("nothing-after-death", broken=True, makes=(value("sodium", 140, at=61),), died=60),
    Case("nothing-after-death", broken=False, makes=(value("sodium", 140, at=60.01),), died=60),
    Case("no-care-after-death", broken=True, makes=(act("1", "A", at=60.01),), died=60),
    Case("no-care-after-death", broken=False, makes=(act("1", "A", at=59.99),), died=60),
    *_pair(
        "observed-after-arrival",
        (STAY, within(0, value("sodium", 140, 39.9))),
        (STAY, within(0, value("sodium", 140, 40))),
    ),
    *_pair(
        "observed-before-leaving",
        (STAY, within(0, value("sodium", 140, 40.2))),
        (STAY, within(0, value("sodium", 140, 40.02))),
    ),
    *_pair(
        "ordered-after-onset",
        (state("1", "A"), drug("B", at=39, reason=0)),
        (state("1", "A"), drug("B", at=40, reason=0)),
    ),
    *_pair(
        "done-after-onset",
        (state("1", "A"), act("2", "B", at=39, reason=0)),
        (state("1", "A"), act("2", "B", at=40.1, reason=0)),
    ),
    *_pair("recorded-after-onset", (state("1", "A", recorded=38),), (state("1", "A", recorded=40.5),)),
]

CASES: list[Case] = [*BOUNDS, *AGED, *RELATIONS, *PEOPLE, *REASONS, *CONTRADICTIONS, *TIMES]
