"""Kinds of visits: why they are made, how often, how long they last, and which of them follow something else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from fhirsynth.assemble.learning.conditions import Sorts
from fhirsynth.assemble.learning.source import (
    RECENT,
    Frame,
    Source,
    bands,
    between,
    common,
    concepts,
    days,
    instants,
    quantiles,
    weighted_quantiles,
)
from fhirsynth.assemble.timeline import BANDS, FEWEST, LEVELS, SEXES, Concept, Follow, Group, Kind, Pace, Quantiles
from synthea_bridge.tables import SNOMED

ENOUGH: Final = 10
"""Patients that an age band needs; with fewer it is pooled with the bands below."""
LEAST_YEARS: Final = 0.25
"""Years in an age band below which a patient says nothing of its pace."""
LEAST_GAP: Final = 0.5
"""Days between two visits that are not of one event."""
SEVERAL: Final = 3
"""Gaps that a patient needs to say something of the rhythm."""
RHYTHMIC: Final = 5
"""Patients that must say something of it; with fewer, visits know nothing of each other."""
FOLLOWING: Final = 365.0
"""Days after an onset within which a visit for the same reason follows it."""
FOUND: Final = 0.5
"""Share of a kind's visits at which a lasting condition begins, from which on it happens only there."""
SEASONAL: Final = 120
"""Visits from which on a kind has months of its own."""
DEFAULTS: Final[dict[Group, tuple[str, Concept, Quantiles]]] = {
    "routine": (
        "AMB",
        Concept(system=SNOMED, code="185349003", display="Encounter for check up (procedure)"),
        tuple(np.linspace(15, 30, 11)),
    ),
    "emergency": (
        "EMER",
        Concept(system=SNOMED, code="50849002", display="Emergency room admission (procedure)"),
        tuple(np.linspace(60, 180, 11)),
    ),
    "stay": (
        "IMP",
        Concept(system=SNOMED, code="32485007", display="Hospital admission (procedure)"),
        tuple(np.linspace(1440, 10080, 11)),
    ),
}
"""Stands in for a group that the training patients have too few encounters of."""


@dataclass(frozen=True, slots=True)
class Visits:
    """What was learned of visits.

    Parameters
    ----------
    kinds
        Without what happens at them.
    of
        By ``encounter_id``: the number of its kind; encounters of no kind are not there.
    follows
        Visits that follow an episode, by its code.
    """

    kinds: tuple[Kind, ...]
    of: pd.Series[Any]
    follows: dict[str, tuple[Follow, ...]]

    def found_at(self, onsets: Frame) -> dict[int, float]:
        """Kinds of visits at which these conditions were found, with weights."""
        at = onsets["encounter_id"].map(self.of)
        people = onsets["patient_id"].groupby(at).nunique()
        counted = at.value_counts()
        return {int(kind): float(counted[kind]) for kind in sorted(people.index) if people[kind] >= FEWEST}


def learn_kinds(source: Source, sorts: Sorts) -> Visits:
    """Tell kinds of visits apart, and how often each is made."""
    frame = _keyed(source.encounters)
    keys = ["class_code", "type_code", "why"]
    named = common(frame, keys).sort_values(["size", *keys], ascending=[False, True, True, True], kind="stable")
    number = {tuple(key): place for place, key in enumerate(named[keys].itertuples(index=False, name=None))}
    kind = pd.Series([number.get(key, -1) for key in frame[keys].itertuples(index=False, name=None)], index=frame.index)
    frame = frame.assign(kind=kind)[kind >= 0]
    onsets = _Onsets.of(source, sorts)
    learner = _Learner(source, sorts, frame, onsets)
    kinds = [learner.kind(place, key) for key, place in number.items()]
    kinds += [
        Kind(group=group, class_code=one, concept=concept, minutes=minutes, paces=_usual(group))
        for group, (one, concept, minutes) in DEFAULTS.items()
        if not any(kind.group == group and kind.paces and kind.needs is None for kind in kinds)
    ]
    return Visits(tuple(kinds), frame.set_index("encounter_id")["kind"], learner.follows())


def _usual(group: Group) -> dict[int, Pace]:
    """A visit a year where nothing is known; no emergency and no stay but those of the rows."""
    usual = Pace(makes=dict.fromkeys(SEXES, 1.0), rates=(1.0,) * len(LEVELS))
    return dict.fromkeys(BANDS, usual) if group == "routine" else {}


def _keyed(frame: Frame) -> Frame:
    """Encounters with ``why``: the reason where it is common for that class and type, and otherwise empty."""
    known = frame.dropna(subset=["class_code", "type_code"])
    known = known.assign(why=known["reason_code"].fillna(""))
    people = known.groupby(["class_code", "type_code", "why"])["patient_id"].transform("nunique")
    return known.assign(why=known["why"].where(people >= FEWEST, ""))


@dataclass(frozen=True, slots=True)
class _Onsets:
    """Where and when conditions begin: encounters at which lasting ones do, episodes, and first days of the needed."""

    lasting_at: frozenset[str]
    episodes: Frame
    first: Mapping[str, pd.Series[Any]]

    @classmethod
    def of(cls, source: Source, sorts: Sorts) -> _Onsets:
        frame = source.conditions
        needed = frame[frame["code"].isin(sorts.needed)]
        first = {str(code): part.groupby("patient_id")["onset"].min() for code, part in needed.groupby("code")}
        episodes = frame.loc[frame["code"].isin(sorts.episodes), ["patient_id", "code", "onset", "encounter_id"]]
        return cls(frozenset(needed["encounter_id"].dropna()), episodes, first)


class _Learner:
    def __init__(self, source: Source, sorts: Sorts, frame: Frame, onsets: _Onsets) -> None:
        self.source, self.sorts, self.onsets = source, sorts, onsets
        self.frame = frame.assign(**self._after(frame))
        self.types = concepts(source.encounters, "type")
        self.reasons = concepts(source.encounters, "reason")
        self.years: dict[tuple[str | None, bool], tuple[Frame, dict[int, list[int]]]] = {}
        self.by_kind = dict(list(self.frame.groupby("kind")))

    def _after(self, frame: Frame) -> dict[str, Any]:
        """Which visits follow an episode of their reason, and how many days after its onset."""
        follow = np.zeros(len(frame), dtype=np.bool_)
        delay = np.full(len(frame), np.nan)
        for code, began in self.onsets.episodes.groupby("code"):
            places = np.flatnonzero((frame["why"] == code).to_numpy())
            if not len(places):
                continue
            visits = frame.iloc[places]
            opens = visits["encounter_id"].isin(set(began["encounter_id"])).to_numpy()
            late = _since_onset(visits, began)
            after = ~opens & (late >= 0) & (late <= FOLLOWING)
            follow[places], delay[places] = after, late
        return {"follows": follow, "delay": delay}

    def kind(self, place: int, key: tuple[Any, ...]) -> Kind:
        """One kind, with its paces unless it happens only where something else does."""
        one, type_code, why = (str(part) for part in key)
        mine = self.by_kind[place]
        needs = why if why in self.sorts.needed else None
        lasted = 1440 * days(mine["end"] - mine["start"])
        group: Group = mine["group"].iloc[0]
        return Kind(
            group=group,
            class_code=one,
            concept=self.types[type_code],
            reason=self.reasons.get(why),
            needs=needs,
            minutes=quantiles(lasted[lasted >= 0], DEFAULTS[group][2]),
            months=self._months(mine, group),
            rhythm=self._rhythm(mine),
            ages=between(mine, self.source.people),
            paces={} if self._only_found(mine) else self._paces(mine[~mine["follows"]], needs),
        )

    def _only_found(self, mine: Frame) -> bool:
        found = mine["encounter_id"].isin(self.onsets.lasting_at).mean()
        return bool(found >= FOUND and len(mine) <= 1.3 * mine["patient_id"].nunique())

    def _months(self, mine: Frame, group: Group) -> tuple[float, ...]:
        whole = mine if len(mine) >= SEASONAL else self.frame[self.frame["group"] == group]
        counts = np.bincount(whole["start"].dt.month, minlength=13)[1:] + 1.0
        return tuple(round(float(one), 3) for one in counts / counts.mean())

    def _paces(self, mine: Frame, needs: str | None) -> dict[int, Pace]:
        """By age band: who makes them, and how often, in the last years where enough patients were of that age then."""
        since = self.onsets.first.get(needs) if needs is not None else None
        recent = self.source.people["ends"] - RECENT
        late = (
            recent if since is None else since.where(since > recent.reindex(since.index), recent.reindex(since.index))
        )
        newer = mine[instants(mine["start"]) >= instants(late.reindex(mine["patient_id"]))]
        found = {}
        for frame, begin in ((newer, late), (mine, since)):
            years, pools = self._years((needs, frame is newer), begin)
            counts = _by_band(frame)
            for low, pool in pools.items():
                known = years[pool].sum(axis=1)
                known = known[known >= LEAST_YEARS]
                visits = counts[pool].sum(axis=1).reindex(known.index).fillna(0)
                if (
                    low not in found
                    and len(known) >= (ENOUGH if frame is newer else FEWEST)
                    and (visits > 0).sum() >= FEWEST
                ):
                    found[low] = self._pace(visits, known)
        return dict(sorted(found.items()))

    def _years(self, key: tuple[str | None, bool], since: pd.Series[Any] | None) -> tuple[Frame, dict[int, list[int]]]:
        """Years by patient and age band, and with which others each band is looked at."""
        if key not in self.years:
            years = self.source.exposure(since)
            self.years[key] = years, {low: _pool(years, low) for low in BANDS}
        return self.years[key]

    def _pace(self, visits: pd.Series[Any], years: pd.Series[Any]) -> Pace:
        some = visits > 0
        sex = self.source.people["sex"].reindex(visits.index)
        share = {one: years[(sex == one) & some].sum() / max(years[sex == one].sum(), LEAST_YEARS) for one in SEXES}
        rates = visits[some] / years[some]
        # Nobody alone decides how often it can be.
        rates = rates.clip(upper=rates.nlargest(2).min())
        return Pace(
            makes={one: round(float(share[one]), 4) for one in SEXES}, rates=weighted_quantiles(rates, years[some])
        )

    def _rhythm(self, mine: Frame) -> Quantiles:
        """Gaps as parts of the mean gap of their patient, of those with several."""
        gaps = days(mine.groupby("patient_id")["start"].diff())
        known = pd.DataFrame({"patient": mine["patient_id"], "gap": gaps})[gaps >= LEAST_GAP]
        by = known.groupby("patient")["gap"]
        known = known[by.transform("size") >= SEVERAL]
        if known["patient"].nunique() < RHYTHMIC:
            return ()
        parts = known["gap"] / known.groupby("patient")["gap"].transform("mean")
        return weighted_quantiles(parts, np.ones(len(parts)))

    def follows(self) -> dict[str, tuple[Follow, ...]]:
        """Visits after an episode, by its code."""
        late = self.frame[self.frame["follows"]]
        episodes = self.onsets.episodes["code"].value_counts().to_dict()
        found: dict[str, list[Follow]] = {}
        for (why, number), part in late.groupby(["why", "kind"]):
            code, kind = str(why), int(str(number))
            if part["patient_id"].nunique() >= FEWEST:
                count = round(len(part) / episodes[code], 3)
                found.setdefault(code, []).append(Follow(kind=kind, count=count, delays=quantiles(part["delay"])))
        return {code: tuple(ones) for code, ones in found.items()}


def _by_band(frame: Frame) -> Frame:
    """How often each patient made a visit in each age band."""
    band = np.array(BANDS)[bands(frame["age"])]
    return pd.crosstab(frame["patient_id"], band).reindex(columns=list(BANDS), fill_value=0)


def _pool(years: Frame, low: int) -> list[int]:
    """An age band, with those below it (or above the lowest) until enough patients were of that age."""
    place = BANDS.index(low)
    pool = [low]
    for other in (*reversed(BANDS[:place]), *BANDS[place + 1 :]):
        if (years[pool].sum(axis=1) >= LEAST_YEARS).sum() >= ENOUGH:
            break
        pool.append(other)
    return pool


def _since_onset(visits: Frame, began: Frame) -> Any:
    """Days since the latest onset before each visit, shape (visits,); NaN where there is none."""
    left = visits[["patient_id", "start"]].reset_index(drop=True).reset_index().sort_values("start", kind="stable")
    right = began[["patient_id", "onset"]].sort_values("onset", kind="stable").assign(at=lambda one: one["onset"])
    joined = pd.merge_asof(left, right, left_on="start", right_on="onset", by="patient_id")
    return days(
        joined.set_index("index").sort_index()["start"] - joined.set_index("index").sort_index()["at"]
    ).to_numpy()
