"""Strategies for charts: everything that a table can hold of a patient, whole and partial, in any script."""

from __future__ import annotations

import orjson
from hypothesis import strategies as st

from fhirsynth.assemble import codes
from fhirsynth.assemble.chart import (
    Chart,
    Code,
    Component,
    Condition,
    Encounter,
    Medication,
    Observation,
    Person,
    Procedure,
    Value,
)
from fhirsynth.assemble.read import UNKNOWN_RACE
from synthea_bridge.tables import LOINC, RXNORM, SNOMED

WORDS = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=12)
TEXTS = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)
CODES = st.from_regex(r"[A-Za-z0-9.\-]{1,12}", fullmatch=True)
SYSTEMS = st.sampled_from([SNOMED, LOINC, RXNORM, "urn:oid:1.2.3", "https://example.org/codes"])
DAYS = st.dates().map(str)
MOMENTS = st.builds(
    lambda day, clock, fraction, offset: f"{day}T{clock}{fraction}{offset}",
    DAYS,
    st.sampled_from(["00:00:00", "23:59:59", "04:33:02"]),
    st.sampled_from(["", ".1", ".067", ".123456"]),
    st.sampled_from(["Z", "+00:00", "-11:30", "+14:00"]),
)
TIMES = st.one_of(DAYS.map(lambda day: day[:4]), DAYS.map(lambda day: day[:7]), DAYS, MOMENTS)
NUMBERS = st.one_of(
    st.integers(-(10**9), 10**9).map(float), st.floats(-1e9, 1e9).map(lambda one: round(one, 4) + 0.0), st.just(1e22)
)
UNITS = st.sampled_from(["mg/dL", "10*3/uL", "mm[Hg]", "{score}", "/min", "tablets", "K/uL", "µg", "%"])
STATUS = st.none() | st.sampled_from(["final", "amended", "unknown"])


def maybe(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[str | None]:
    return st.none() | strategy


def concepts() -> st.SearchStrategy[Code]:
    """With a code, with a text alone, and with nothing."""
    return st.one_of(
        st.builds(Code, maybe(SYSTEMS), CODES, maybe(TEXTS)),
        st.builds(Code, SYSTEMS, st.none(), maybe(TEXTS)),
        st.builds(Code, st.none(), st.none(), maybe(TEXTS)),
    )


def said() -> st.SearchStrategy[Code | None]:
    return concepts().map(lambda code: None if code == (None, None, None) else code)


def values() -> st.SearchStrategy[Value | None]:
    """One of each kind that R4 allows in an Observation."""
    quantity = st.builds(
        lambda number, comparator, unit: Value("quantity", number, comparator, unit),
        st.none() | NUMBERS,
        st.none() | st.sampled_from(["<", "<=", ">=", ">"]),
        maybe(UNITS),
    )
    coded = concepts().map(lambda code: Value("code", system=code.system, code=code.code, text=code.display))
    whole = st.integers(-(2**31), 2**31 - 1).map(lambda one: Value("integer", number=float(one), text=str(one)))
    period = st.builds(lambda start, end: Value("period", text=as_json({"end": end, "start": start})), MOMENTS, MOMENTS)
    span = st.builds(
        lambda low, unit: Value("range", text=as_json({"low": {"unit": unit, "value": low}})), st.integers(0, 99), TEXTS
    )
    others = st.one_of(
        TEXTS.map(lambda text: Value("string", text=text)),
        st.sampled_from(["true", "false"]).map(lambda text: Value("boolean", text=text)),
        TIMES.map(lambda text: Value("dateTime", text=text)),
        st.sampled_from(["08:30:00", "23:59:59.5"]).map(lambda text: Value("time", text=text)),
    )
    return st.none() | quantity | coded | whole | period | span | others


def as_json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def people() -> st.SearchStrategy[Person]:
    known = st.sampled_from([Code(codes.CDC_RACE, *one) for one in codes.RACES.values()])
    races = st.one_of(
        st.just(()), known.map(lambda one: (one,)), known.map(lambda one: (one, UNKNOWN_RACE)), st.just((UNKNOWN_RACE,))
    )
    other = st.builds(Code, st.just(codes.CDC_RACE), CODES, maybe(TEXTS))
    return st.builds(
        person,
        gender=st.none() | st.sampled_from(["female", "male", "other", "unknown"]),
        birth_date=maybe(st.one_of(DAYS.map(lambda day: day[:4]), DAYS.map(lambda day: day[:7]), DAYS)),
        deceased=st.booleans(),
        deceased_at=maybe(TIMES),
        races=races | other.map(lambda one: (one,)),
        ethnicity=st.none() | other,
        birth_sex=st.none() | st.sampled_from(["F", "M", "UNK"]),
        marital_status=st.none() | st.sampled_from([*codes.MARITAL, "UNK", "X9"]),
        city=maybe(TEXTS),
        state=maybe(TEXTS),
        postal_code=maybe(CODES),
        country=maybe(TEXTS),
    )


def person(deceased_at: str | None, deceased: bool, races: tuple[Code, ...], **parts: object) -> Person:
    """The id is given later."""
    text = "multiple" if len(races) > 1 else None
    died = deceased or deceased_at is not None
    return Person("", deceased=died, deceased_at=deceased_at, races=races, race_text=text, **parts)  # type: ignore[arg-type]


@st.composite
def charts(draw: st.DrawFn) -> Chart:
    """A chart of any size up to a dozen resources, whose references all point to something in it."""
    uuids = st.uuids().map(str)
    names = iter(draw(st.lists(uuids | CODES.map(lambda one: f"x{one}"), min_size=13, max_size=13, unique=True)))

    def some(build: st.SearchStrategy[object]) -> list[object]:
        return draw(st.lists(build, max_size=2))

    def named(kind: type, **parts: st.SearchStrategy[object]) -> list[object]:
        found = some(st.builds(kind, id=st.just(""), **parts))
        for one in found:
            one.id = next(names)  # type: ignore[attr-defined]
        return found

    who = draw(people())
    who.id = next(names)
    providers = maybe(st.sampled_from(["Organization?identifier=https://example.org|7", "org-1"]) | uuids)
    encounters = named(
        Encounter,
        status=st.none() | st.sampled_from(["finished", "in-progress"]),
        class_code=st.none() | st.sampled_from(["AMB", "IMP", "XX"]),
        type=said(),
        start=maybe(TIMES),
        end=maybe(TIMES),
        reason=said(),
        discharge_code=st.none() | st.sampled_from(["01", "home", "other"]),
        provider=providers,
    )
    visits = st.sampled_from([None, *(one.id for one in encounters)])  # type: ignore[attr-defined]
    conditions = named(
        Condition,
        code=concepts(),
        encounter=visits,
        clinical_status=st.none() | st.sampled_from(["active", "resolved"]),
        verification_status=st.none() | st.sampled_from(["confirmed", "refuted"]),
        category=st.none() | st.sampled_from(["encounter-diagnosis", "problem-list-item", "local"]),
        onset=maybe(TIMES),
        abatement=maybe(TIMES),
        recorded=maybe(TIMES),
    )
    reasons = st.sampled_from([None, *(one.id for one in conditions)])  # type: ignore[attr-defined]
    absent = st.none() | st.sampled_from(["unknown", "not-performed"])
    parts = st.lists(st.builds(Component, concepts(), values(), absent), max_size=3).map(tuple)
    return Chart(
        who,
        encounters,  # type: ignore[arg-type]
        conditions,  # type: ignore[arg-type]
        named(  # type: ignore[arg-type]
            Observation,
            code=concepts(),
            encounter=visits,
            status=STATUS,
            category=st.none() | st.sampled_from([*codes.CATEGORIES, "local"]),
            effective=maybe(TIMES),
            value=values(),
            absent_reason=absent,
            components=parts,
        ),
        named(  # type: ignore[arg-type]
            Medication,
            code=concepts(),
            encounter=visits,
            status=st.none() | st.sampled_from(["active", "stopped", "completed"]),
            intent=st.none() | st.sampled_from(["order", "plan"]),
            authored=maybe(TIMES),
            reason=reasons,
        ),
        named(  # type: ignore[arg-type]
            Procedure,
            code=concepts(),
            encounter=visits,
            status=st.none() | st.sampled_from(["completed", "not-done"]),
            start=maybe(TIMES),
            end=maybe(TIMES),
            reason=reasons,
        ),
    )
