"""What happens at visits: items, batches of items that happen together, and sets of batches by kind and age."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from fhirsynth.assemble.learning.conditions import Sorts
from fhirsynth.assemble.learning.orders import lasting_orders
from fhirsynth.assemble.learning.source import (
    Frame,
    Source,
    bands,
    between,
    common,
    concepts,
    days,
    only_sex,
    quantiles,
)
from fhirsynth.assemble.learning.visits import Visits
from fhirsynth.assemble.timeline import BANDS, FEWEST, Content, Cycle, Item, Kind, Together

ALIKE: Final = 0.9
"""Jaccard index from which on two items are of one batch."""
MOST_SETS: Final = 60
ENOUGH: Final = 10
"""Visits of a kind in an age band below which those of all ages stand in."""
SIDE: Final = 5
"""Patients on either side of a condition that splits a kind's contents."""
SPLIT: Final = 0.3
"""Difference of shares from which on it does."""
NEARLY: Final = 0.8
SELDOM: Final = 1.5
REGULAR: Final = 0.35
"""What such a share of the patients has, with gaps so many times those of the visits, which vary by no more than such a
part of their mean, has a rhythm of its own."""
TOGETHER: Final = 0.5
"""Jaccard index from which on two batches have one rhythm."""
MOSTLY: Final = 0.8
"""Whether episodes end is asked of those that are known for longer than this share of the ended ones lasted."""
ROUNDS: Final = 200
"""Of the estimation of what comes before what."""
SAID: Final = 0.5
"""Share of the entries that must name a reason for it to be that of the item."""


Turns = dict[tuple[str, str], float]
"""When something happens in the course of a visit, by table and code."""


@dataclass(frozen=True, slots=True)
class Done:
    """Kinds with their contents, and what these speak of."""

    kinds: tuple[Kind, ...]
    items: tuple[Item, ...]
    batches: tuple[tuple[int, ...], ...]
    turns: Turns


def learn_items(source: Source, sorts: Sorts, visits: Visits) -> Done:
    """Learn what happens at which visits."""
    entries = _entries(source, sorts)
    entries = entries[entries["encounter_id"].isin(visits.of.index)]
    counted = common(entries, ["table", "code"]).sort_values(["table", "code"])
    keys = list(zip(counted["table"], counted["code"], strict=True))
    number = {key: place for place, key in enumerate(keys)}
    place = [number.get(key, -1) for key in zip(entries["table"], entries["code"], strict=True)]
    entries = entries.assign(item=place)[np.array(place, dtype=np.int64) >= 0]
    turns = _turns(source)
    describe = _Describer(entries, sorts, source, turns)
    items = tuple(describe.item(place, table) for place, (table, _) in enumerate(keys))
    frame = source.encounters[source.encounters["encounter_id"].isin(visits.of.index)].drop_duplicates("encounter_id")
    present = _matrix(entries, frame["encounter_id"], len(items))
    batches = _alike(present, ALIKE)
    done = _done(present, batches)
    late = source.late(frame["patient_id"], frame["start"])
    kind = frame["encounter_id"].map(visits.of).to_numpy(dtype=np.int64)
    happened = _Happened(frame, late, done, kind, bands(frame["age"]))
    cases = _Cases.of(source, sorts, frame)
    kinds = tuple(
        one.model_copy(update=happened.of_kind(happened.kind == place, cases)) for place, one in enumerate(visits.kinds)
    )
    return Done(kinds, items, batches, turns)


@dataclass(frozen=True, slots=True)
class _Cases:
    """Who has which lasting condition at which visit: ``holds`` of shape (visits, codes), sparse."""

    codes: tuple[str, ...]
    holds: Any

    @classmethod
    def of(cls, source: Source, sorts: Sorts, frame: Frame) -> _Cases:
        known = source.conditions[source.conditions["code"].isin(sorts.needed)]
        first = known.groupby(["patient_id", "code"])["onset"].min().reset_index()
        codes = tuple(sorted(map(str, first["code"].unique())))
        visits = frame[["patient_id", "start"]].assign(row=np.arange(len(frame)))
        both = visits.merge(first, on="patient_id")
        both = both[both["onset"] <= both["start"]]
        column = pd.Series(np.arange(len(codes)), index=list(codes))
        places = (both["row"].to_numpy(), column.reindex(both["code"]).to_numpy())
        return cls(codes, sparse.csr_matrix((np.ones(len(both)), places), shape=(len(frame), len(codes))))


@dataclass(frozen=True, slots=True)
class _Happened:
    """What happened at all visits (``frame``): batches (visits × batches, sparse), kind, and number of the age band."""

    frame: Frame
    late: Any
    done: Any
    kind: Any
    band: Any

    @property
    def people(self) -> pd.Series[Any]:
        """Whose each visit is."""
        return self.frame["patient_id"]

    def of_kind(self, mine: Any, cases: _Cases) -> dict[str, Any]:
        """What a kind knows of it."""
        if not mine.any():
            return {}
        split = self._split(mine, cases)
        if split is None:
            contents, given = self._contents(mine), {}
        else:
            holds = cases.holds[:, split].toarray()[:, 0] > 0
            contents, given = (self._contents(mine & side) for side in (~holds, holds))
        return {
            "contents": contents,
            "split": None if split is None else cases.codes[split],
            "given": given,
            "again": self._again(mine),
            "cycles": self._cycles(mine),
        }

    def _cycles(self, mine: Any) -> tuple[Cycle, ...]:
        """Batches that happen at some visits of the kind only, but to all patients and regularly."""
        done, frame = self.done[mine], self.frame[mine]
        people, start = frame["patient_id"].to_numpy(), frame["start"].to_numpy()
        usual = _gaps(people, start)
        able = [batch for batch, happens in enumerate(_columns(done)) if _is_regular(happens, people, start, usual)]
        found = []
        for batches in _alike(done[:, able], TOGETHER) if able else ():
            chosen = [able[place] for place in batches]
            happens = np.asarray(done[:, chosen].sum(axis=1)).ravel() > 0
            found.append(Cycle(batches=tuple(chosen), gaps=quantiles(_gaps(people[happens], start[happens]))))
        return tuple(found)

    def _split(self, mine: Any, cases: _Cases) -> int | None:
        """The condition whose presence changes most what happens, if it does so much."""
        holds, done = cases.holds[mine], self.done[mine]
        people = pd.factorize(self.people[mine])[0]
        who = sparse.csr_matrix((np.ones(len(people)), (people, np.arange(len(people)))))
        some = np.asarray(((who @ holds) > 0).sum(axis=0)).ravel()
        others = np.asarray(((who @ _ones_like(holds) - who @ holds) > 0).sum(axis=0)).ravel()
        visits = np.asarray(holds.sum(axis=0)).ravel()
        enough = (some >= SIDE) & (others >= SIDE)
        if not enough.any():
            return None
        both = np.asarray((done.T @ holds).todense())
        whole = np.asarray(done.sum(axis=0)).ravel()[:, None]
        apart = np.abs(both / np.maximum(visits, 1) - (whole - both) / np.maximum(len(people) - visits, 1))
        share = visits / len(people)
        score = np.where(enough & (apart.max(axis=0) >= SPLIT), apart.sum(axis=0) * np.sqrt(share * (1 - share)), 0)
        best = int(score.argmax())
        return best if score[best] > 0 else None

    def _contents(self, mine: Any) -> dict[int, Content]:
        """By age band: the sets of the last years, or else of all; a band with few visits has those of all ages."""
        if not mine.any():
            return {}
        whole = self._content(mine)
        found = {BANDS[0]: whole} if whole is not None else {}
        for place, low in enumerate(BANDS):
            here = self._content(mine & (self.band == place))
            if here is not None:
                found[low] = here
            elif place and whole is not None and (mine & (self.band == place)).any():
                found[low] = whole
        return found

    def _content(self, here: Any) -> Content | None:
        people = self.people.to_numpy()
        for chosen in (here & self.late, here):
            if chosen.sum() >= ENOUGH and len(np.unique(people[chosen])) >= FEWEST:
                return _content(self.done[chosen], people[chosen])
        return None

    def _again(self, mine: Any) -> float:
        """How often all is as at the visit before, beyond what chance would give."""
        done, people = self.done[mine], self.people[mine].to_numpy()
        keys = pd.factorize(pd.Series(_sets(done)))[0]
        next_to = people[1:] == people[:-1]
        if next_to.sum() < ENOUGH:
            return 0.0
        same = float((keys[1:] == keys[:-1])[next_to].mean())
        chance = float(((np.bincount(keys) / len(keys)) ** 2).sum())
        return round(max(0.0, (same - chance) / max(1 - chance, 1e-9)), 3)


def _columns(done: Any) -> Iterator[Any]:
    """Where each batch happens, shape (visits,)."""
    columns = done.tocsc()
    for start, end in pairwise(columns.indptr):
        happens = np.zeros(done.shape[0], dtype=np.bool_)
        happens[columns.indices[start:end]] = True
        yield happens


def _is_regular(happens: Any, people: Any, start: Any, usual: Any) -> bool:
    """Whether a batch happens to nearly all patients, at some of the visits and with gaps that are alike."""
    if happens.sum() < ENOUGH or happens.mean() > 0.5 or not len(usual):
        return False
    gaps = _gaps(people[happens], start[happens])
    all_of_them = len(np.unique(people[happens])) >= NEARLY * len(np.unique(people))
    seldom = len(gaps) >= ENOUGH and np.median(gaps) >= SELDOM * np.median(usual)
    return bool(all_of_them and seldom and gaps.std() <= REGULAR * gaps.mean())


def _gaps(people: Any, start: Any) -> Any:
    """Days between a patient's visits, which are in order."""
    same = people[1:] == people[:-1]
    return ((start[1:] - start[:-1]) / np.timedelta64(1, "D"))[same]


def _ones_like(matrix: Any) -> Any:
    return sparse.csr_matrix(np.ones(matrix.shape))


def _sets(done: Any) -> list[tuple[int, ...]]:
    """The batches of each visit."""
    return [tuple(sorted(done.indices[start:end].tolist())) for start, end in pairwise(done.indptr)]


def _entries(source: Source, sorts: Sorts) -> Frame:
    """Everything that happens at an encounter: ``table``, ``code`` and what is said of it, a row an entry."""
    measured = source.observations
    whole = measured[measured["component"] == 0]
    parts = set(measured.loc[measured["component"] > 0, "observation_id"])
    whole = whole[whole["value_type"].notna() | whole["observation_id"].isin(parts)]
    reasons = source.conditions.drop_duplicates("condition_id").set_index("condition_id")["code"]
    begun = source.conditions[source.conditions["code"].isin(sorts.episodes)]
    usual = ["patient_id", "encounter_id", "system", "code", "display", "age", "sex"]
    procedures = source.procedures
    orders = source.medications[~source.medications["code"].isin(lasting_orders(source))]
    frames = [
        whole[[*usual, "category"]].assign(table="observations"),
        procedures[usual].assign(
            table="procedures",
            why=procedures["reason_id"].map(reasons),
            lasted=1440 * days(procedures["end"] - procedures["start"]),
        ),
        orders[usual].assign(table="medications", why=orders["reason_id"].map(reasons)),
        begun[[*usual, "category"]].assign(
            table="conditions",
            lasted=days(begun["abatement"] - begun["onset"]),
            known=days(source.people["ends"].reindex(begun["patient_id"]).set_axis(begun.index) - begun["onset"]),
            late=begun["abatement"].isna() | source.late(begun["patient_id"], begun["abatement"]),
        ),
    ]
    every = pd.concat([frame for frame in frames if not frame.empty] or frames[:1], ignore_index=True)
    every = every.dropna(subset=["encounter_id", "system", "code"])
    for name in ("why", "lasted", "category", "known", "late"):
        if name not in every:
            every[name] = None
    return every


class _Describer:
    def __init__(self, entries: Frame, sorts: Sorts, source: Source, turns: Turns) -> None:
        self.turns = turns
        self.sorts, self.people = sorts, source.people
        self.parts = dict(list(entries.groupby("item")))
        self.names = {table: concepts(part) for table, part in entries.groupby("table")}

    def item(self, place: int, table: Any) -> Item:
        mine = self.parts[place]
        code = str(mine["code"].iloc[0])
        recent = mine[mine["late"].eq(True)]
        lasted = pd.to_numeric((recent if len(recent) >= ENOUGH else mine)["lasted"]).astype("float64")
        category = mine["category"].dropna()
        return Item(
            table=table,
            concept=self.names[table][code],
            category=None if category.empty else str(category.mode().iloc[0]),
            reason=self._reason(mine),
            span=quantiles(lasted[lasted >= 0]),
            ends=_ending(mine) if table == "conditions" else 1.0,
            only=only_sex(mine, self.people),
            ages=between(mine, self.people),
            turn=self.turns.get((str(table), code), 0.0),
        )

    def _reason(self, mine: Frame) -> str | None:
        named = mine["why"].dropna()
        if len(named) < SAID * len(mine):
            return None
        best = str(named.mode().iloc[0])
        return best if best in self.sorts.needed and (named == best).sum() >= SAID * len(mine) else None


def _ending(begun: Frame) -> float:
    """Share of episodes that end, of those that have been known for longer than most last."""
    lasted, known = (pd.to_numeric(begun[name]).astype("float64") for name in ("lasted", "known"))
    ended = lasted.notna()
    old = known > lasted.quantile(MOSTLY) if ended.any() else ended
    chosen = ended[old] if old.sum() >= ENOUGH else ended
    return round(float(chosen.mean()), 3)


def _turns(source: Source) -> Turns:
    """When procedures and orders come in a visit, from 0 to 1, by what comes before what (Bradley and Terry 1952)."""
    timed = (("procedures", source.procedures, "start"), ("medications", source.medications, "authored"))
    usual = ["patient_id", "encounter_id", "code"]
    frames = [frame[usual].assign(table=name, at=frame[time]) for name, frame, time in timed]
    every = pd.concat(frames).dropna(subset=["encounter_id", "code"])
    keys = list(zip(every["table"], every["code"], strict=True))
    people = every.groupby(["table", "code"])["patient_id"].nunique()
    names = [key for key in dict.fromkeys(keys) if people[key] >= FEWEST]
    if not names:
        return {}
    place = {key: at for at, key in enumerate(names)}
    every = every.assign(item=[place.get(key, -1) for key in keys])
    mine = every[every["item"] >= 0].drop_duplicates(["encounter_id", "item"])[["encounter_id", "item", "at"]]
    is_order = np.array([table == "medications" for table, _ in names], dtype=np.bool_)
    pairs = mine.merge(mine, on="encounter_id")
    # What is ordered when a procedure begins is ordered before it.
    same = (pairs["at_x"] == pairs["at_y"]) & is_order[pairs["item_x"]] & ~is_order[pairs["item_y"]]
    pairs = pairs[(pairs["at_x"] < pairs["at_y"]) | same]
    first = np.zeros((len(names), len(names)))
    np.add.at(first, (pairs["item_x"].to_numpy(), pairs["item_y"].to_numpy()), 1)
    both = first + first.T
    strength = np.ones(len(names))
    for _ in range(ROUNDS):
        weight = both / (strength[:, None] + strength[None, :])
        strength = (first.sum(axis=1) + 1) / (weight.sum(axis=1) + 2 / (1 + strength))
    turn = np.argsort(np.argsort(-strength, kind="stable"), kind="stable") / max(len(names) - 1, 1)
    return {name: round(float(one), 4) for name, one in zip(names, turn, strict=True)}


def _matrix(entries: Frame, encounters: pd.Series[Any], items: int) -> Any:
    """Whether each item happens at each encounter, shape (encounters, items), sparse."""
    row = pd.Series(np.arange(len(encounters)), index=encounters.to_numpy())
    pairs = entries.drop_duplicates(["encounter_id", "item"])
    places = (row.reindex(pairs["encounter_id"]).to_numpy(), pairs["item"].to_numpy())
    return sparse.csr_matrix((np.ones(len(pairs)), places), shape=(len(encounters), items))


def _alike(present: Any, jaccard: float) -> tuple[tuple[int, ...], ...]:
    """Columns that are there together, as groups."""
    both = np.asarray((present.T @ present).todense(), dtype=np.float64)
    often = np.diag(both)
    alike = both / np.maximum(often[:, None] + often[None, :] - both, 1) >= jaccard
    count, label = connected_components(sparse.csr_matrix(alike.astype(np.float64)), directed=False)
    return tuple(tuple(np.flatnonzero(label == one).tolist()) for one in range(count))


def _done(present: Any, batches: Sequence[tuple[int, ...]]) -> Any:
    """Whether at least half of each batch happens at each encounter, shape (encounters, batches), sparse."""
    columns = [place for batch in batches for place in batch]
    rows = np.repeat(np.arange(len(batches)), [len(batch) for batch in batches])
    weights = np.repeat([1 / len(batch) for batch in batches], [len(batch) for batch in batches])
    share = present @ sparse.csr_matrix((weights, (columns, rows)), shape=(present.shape[1], len(batches)))
    return (share >= 0.5).tocsr()


def _content(done: Any, people: Any) -> Content:
    counts: Counter[tuple[int, ...]] = Counter()
    who: dict[tuple[int, ...], set[Any]] = {}
    for key, patient in zip(_sets(done), people, strict=True):
        counts[key] += 1
        who.setdefault(key, set()).add(patient)
    kept = [key for key, _ in sorted(counts.items(), key=lambda one: (-one[1], one[0])) if len(who[key]) >= FEWEST]
    kept = kept[:MOST_SETS]
    rest = {key: count for key, count in counts.items() if key not in set(kept)}
    rare = sum(rest.values())
    alone: Counter[int] = Counter()
    for key, count in rest.items():
        for batch in key:
            alone[batch] += count
    return Content(
        sets=tuple(Together(batches=key, weight=float(counts[key])) for key in kept),
        rare=float(rare),
        alone={batch: round(count / rare, 4) for batch, count in sorted(alone.items())} if rare else {},
    )
