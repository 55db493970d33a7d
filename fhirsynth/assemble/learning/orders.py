"""Medications: which are taken again and again and by whom, at which visits they are ordered, and what is on order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from fhirsynth.assemble.learning.conditions import Sorts
from fhirsynth.assemble.learning.source import Frame, Source, between, concepts, days, only_sex, quantiles
from fhirsynth.assemble.learning.visits import Visits
from fhirsynth.assemble.timeline import FEWEST, Order, Quantiles

STANDBY: Final = 0.01
"""What somebody who once took a medication counts, beside one who takes it."""
SURE: Final = 0.995
"""Nothing is on order for certain."""
UNASKED: Final = 0.02
"""What is left of the share for those who have not what it is for."""
AGAIN: Final = 2.0
"""Orders a patient on average from which on a medication is taken again and again."""
TAKEN: Final = 0.2
"""Share of those who had it ordered in the last years that take it now, from which on it is."""
LEAST: Final = 0.02
"""Share of a kind's visits from which on a medication is ordered at it."""


def lasting_orders(source: Source) -> frozenset[str]:
    """Codes of the medications that are taken again and again, and not ordered now and then."""
    frame = source.medications.dropna(subset=["code"])
    late = source.late(frame["patient_id"], frame["authored"])
    by = frame[late | (frame["status"] == "active")].groupby("code")
    people = by["patient_id"].nunique()
    taken = frame[frame["status"] == "active"].groupby("code")["patient_id"].nunique().reindex(people.index).fillna(0)
    often = (people >= FEWEST) & (by.size() >= AGAIN * people) & (taken >= TAKEN * people)
    return frozenset(map(str, people.index[often]))


def learn_orders(
    source: Source, sorts: Sorts, visits: Visits, turns: Mapping[tuple[str, str], float]
) -> tuple[Order, ...]:
    """Medications that at least :data:`FEWEST` training patients ever had on order, the likeliest first."""
    frame = source.everybody.dropna(subset=["system", "code"])
    mine = frame["patient_id"].isin(source.people.index)
    active = frame["status"] == "active"
    now = frame[active & mine].groupby("code")["patient_id"].nunique()
    reasons = _reasons(source, frame)
    names, again = concepts(frame), lasting_orders(source)
    kind = source.encounters.set_index("encounter_id").index.to_series().map(visits.of)
    found = []
    for key, part in frame.groupby("code"):
        code, ever = str(key), part["patient_id"].nunique()
        if ever < FEWEST:
            continue
        reason = reasons.get(code)
        asked = reason if reason in sorts.needed else None
        own = part[part["patient_id"].isin(source.people.index)]
        able = max(_able(source, asked), own["patient_id"].nunique())
        weight = min(float(now.get(code, 0)) / max(able, 1) + STANDBY * ever / len(source.everyone), SURE)
        found.append(
            Order(
                concept=names[code],
                reason=asked,
                weight=round(weight, 5),
                without=round(weight if asked is None else UNASKED * weight, 6),
                stopped=_stopped(source, own, asked) if code in again else 0.0,
                at=_at(source, own, kind) if code in again else {},
                last=_last(source, own),
                turn=turns.get(("medications", code), 0.0),
                only=only_sex(part, source.everyone),
                ages=between(part, source.everyone),
            )
        )
    return tuple(sorted(found, key=lambda one: (-one.weight, one.concept.code)))


def _reasons(source: Source, frame: Frame) -> Mapping[str, str]:
    """Code → code of the condition that most orders name."""
    known = source.conditions.drop_duplicates("condition_id").set_index("condition_id")["code"]
    named = frame.assign(why=frame["reason_id"].map(known)).dropna(subset=["why"])
    counted = named.groupby(["code", "why"]).size().reset_index(name="size")
    best = counted.sort_values(["size", "why"], ascending=[False, True], kind="stable").drop_duplicates("code")
    return dict(zip(map(str, best["code"]), map(str, best["why"]), strict=True))


def _stopped(source: Source, own: Frame, reason: str | None) -> float:
    """Share of those who have the reason that had it ordered in the last years, and have it no more."""
    late = own[source.late(own["patient_id"], own["authored"])]
    had = set(late["patient_id"]) - set(own.loc[own["status"] == "active", "patient_id"])
    return round(len(had) / max(_able(source, reason), 1), 3) if len(had) >= FEWEST else 0.0


def _last(source: Source, own: Frame) -> Quantiles:
    """Days since it was ordered, of those who have it on order."""
    latest = own[own["status"] == "active"].groupby("patient_id")["authored"].max()
    return quantiles(days(source.people["ends"].reindex(latest.index) - latest).clip(lower=0))


def _able(source: Source, reason: str | None) -> int:
    """How many patients have the reason."""
    if reason is None:
        return len(source.people)
    return int(source.conditions.loc[source.conditions["code"] == reason, "patient_id"].nunique())


def _at(source: Source, own: Frame, kind: pd.Series[Any]) -> dict[int, float]:
    """At which share of the visits of each kind it is ordered, from the first order on."""
    first = own.groupby("patient_id")["authored"].min()
    since = source.encounters["patient_id"].map(first)
    later = source.encounters[since.notna() & (source.encounters["end"] >= since)]
    sort = later["encounter_id"].map(kind)
    ordered = later["encounter_id"].isin(set(own["encounter_id"]))
    counted = pd.DataFrame({"kind": sort, "ordered": ordered, "patient": later["patient_id"]}).dropna(subset=["kind"])
    shares = counted.groupby("kind")["ordered"].mean()
    people = counted[counted["ordered"]].groupby("kind")["patient"].nunique().reindex(shares.index).fillna(0)
    known = (shares >= LEAST) & (people >= FEWEST)
    return {int(one): round(float(share), 3) for one, share in zip(shares.index[known], shares[known], strict=True)}
