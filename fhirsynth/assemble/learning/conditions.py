"""Which conditions last and which are episodes; who has them, from when on, and where they are found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from fhirsynth.assemble.learning.source import Frame, Source, bands, common, concepts, days, onset_ages, quantiles
from fhirsynth.assemble.timeline import BANDS, FEWEST, SEXES, Concept, Flagged, Lasting, Sex

if TYPE_CHECKING:
    from fhirsynth.assemble.learning.visits import Visits

ONCE: Final = 1.25
"""Records a patient has of a condition that lasts, at most."""
USUAL: Final = tuple(np.linspace(1, 70, 11))
"""Ages at onset where nothing is known of them."""
CELL: Final = 5
"""Patients below which a share is that of all of the sex."""
ASSOCIATED: Final = 0.2
"""Difference of shares from which on a condition is drawn given a flag."""


@dataclass(frozen=True, slots=True)
class Sorts:
    """Conditions by what they are.

    Parameters
    ----------
    flags
        Code → the flag of the rows that says whether it is present.
    lasting_codes, episodes
        Codes of the others.
    concepts
        Code → coding.
    """

    flags: Mapping[str, str]
    lasting_codes: frozenset[str]
    episodes: frozenset[str]
    concepts: Mapping[str, Concept]

    @property
    def needed(self) -> frozenset[str]:
        """Codes without which something may not happen."""
        return self.lasting_codes | frozenset(self.flags)

    def flagged(self, source: Source, visits: Visits) -> dict[str, Flagged]:
        """The conditions of the flags."""
        found = {}
        for feature in source.schema.features:
            if feature.source.rule != "present":
                continue
            mine = source.conditions[source.conditions["code"].isin(feature.source.codes)]
            counted = mine.groupby("code")["patient_id"].nunique()
            first = mine.drop_duplicates("patient_id")
            codes = tuple(
                (self.concepts[str(code)], float(count)) for code, count in counted.items() if count >= FEWEST
            )
            onset = onset_ages(first.set_index("patient_id")["age"], source.lived, USUAL)
            found[feature.name] = Flagged(codes=codes, onset=onset, kinds=visits.found_at(first))
        return found

    def lasting(self, source: Source, visits: Visits) -> tuple[Lasting, ...]:
        """The others that last, the commonest first."""
        frame = source.conditions[source.conditions["code"].isin(self.lasting_codes)]
        first = frame.drop_duplicates(["patient_id", "code"])
        have = _table(first, source.people.index)
        flags = self._flags(source)
        ordered = have.sum().sort_values(ascending=False, kind="stable").index
        return tuple(self._one(source, visits, str(code), first, have[code], flags) for code in ordered)

    def _one(
        self, source: Source, visits: Visits, code: str, first: Frame, has: pd.Series[Any], flags: Frame
    ) -> Lasting:
        mine = first[first["code"] == code]
        given = _associated(has, flags)
        ended = mine["abatement"].notna()
        return Lasting(
            concept=self.concepts[code],
            category=_commonest(mine["category"]),
            given=given,
            share=_shares(source.people, has, flags[given] if given else None),
            onset=onset_ages(mine.set_index("patient_id")["age"], source.lived),
            ends=round(float(ended.mean()), 3),
            span=quantiles(days(mine["abatement"] - mine["onset"])),
            kinds=visits.found_at(mine),
        )

    def _flags(self, source: Source) -> Frame:
        """Flag by patient, of the flags that vary."""
        frame = source.conditions[
            source.conditions["code"].isin(list(self.flags)) & source.conditions["abatement"].isna()
        ]
        named = frame.assign(code=frame["code"].map(self.flags))
        found = _table(named.drop_duplicates(["patient_id", "code"]), source.people.index)
        return found.loc[:, (found.sum() >= CELL) & ((~found).sum() >= CELL)]


def learn_conditions(source: Source) -> Sorts:
    """Tell conditions apart: those that the rows speak of, those that last, and episodes."""
    flags = {
        code: feature.name
        for feature in source.schema.features
        if feature.source.rule == "present"
        for code in feature.source.codes
    }
    frame = source.conditions[~source.conditions["code"].isin(list(flags))]
    counted = common(frame.dropna(subset=["code"]), ["code"]).set_index("code")
    ended = frame["abatement"].notna().astype("float64").groupby(frame["code"]).mean().reindex(counted.index)
    once = (counted["size"] / counted["people"] <= ONCE) & (ended < 0.5)
    return Sorts(
        flags=flags,
        lasting_codes=frozenset(map(str, counted.index[once])),
        episodes=frozenset(map(str, counted.index[~once])),
        concepts=concepts(source.conditions),
    )


def _table(frame: Frame, people: Any) -> Frame:
    """Whether each patient has each code."""
    if frame.empty:
        return pd.DataFrame(index=people)
    wide = pd.crosstab(frame["patient_id"], frame["code"]) > 0
    return wide.reindex(people, fill_value=False)


def _associated(has: pd.Series[Any], flags: Frame) -> str | None:
    """The flag whose presence changes the share most, if it does so much."""
    if flags.empty or has.sum() < CELL:
        return None
    apart = {str(name): abs(has[flags[name]].mean() - has[~flags[name]].mean()) for name in flags}
    best = max(apart, key=lambda name: (apart[name], name), default=None)
    return best if best is not None and apart[best] >= ASSOCIATED else None


def _shares(
    people: Frame, has: pd.Series[Any], flag: pd.Series[Any] | None
) -> dict[Sex, dict[int, tuple[float, float]]]:
    """By sex and age band at the end: the share without and with the flag (twice the same where there is none)."""
    age = days(people["ends"] - people["born"]) / 365.25
    band = bands(age)
    found: dict[Sex, dict[int, tuple[float, float]]] = {}
    for sex in SEXES:
        mine = (people["sex"] == sex).to_numpy()
        cells = {}
        for place, low in enumerate(BANDS):
            near = tuple(mine & (abs(band - place) <= away) for away in range(len(BANDS)))
            pair = [
                _share(has, near, None if flag is None else flag.to_numpy(dtype=np.bool_) == side)
                for side in (False, True)
            ]
            cells[low] = (pair[0], pair[1])
        found[sex] = cells
    return found


def _share(has: pd.Series[Any], places: tuple[Any, ...], side: Any) -> float:
    """The share in the first of these places with enough patients in it, on that side of the flag."""
    for here in places:
        chosen = here if side is None else here & side
        if chosen.sum() >= CELL:
            return round(float(has[chosen].mean()), 4)
    return round(float(has[places[-1]].mean()), 4) if places[-1].any() else round(float(has.mean()), 4)


def _commonest(values: pd.Series[Any]) -> str | None:
    known = values.dropna()
    return None if known.empty else str(known.mode().iloc[0])
