"""Which resources get which defect: drawn for each by its id, so that neither files nor their order matter."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fhirsynth.defects.catalog import DONATED, PLANTERS, TRUNCATED, Kind, Profile, kinds
from fhirsynth.defects.edit import Change, Copy, Document, Donor, Site, Slot
from fhirsynth.defects.feed import Feed
from fhirsynth.seeds import derive, rng
from synthea_bridge.references import id_of

SPARE: Final = 40
"""Places beyond the rate that are kept in mind, for when those before them are taken."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A place for a defect.

    Parameters
    ----------
    draw
        Uniform in [0, 1): below the rate, it is planted.
    key
        Type and id of the resource.
    slot
        Where it is.
    made
        What is planted; None: the file ends in the middle.
    """

    draw: float
    key: str
    slot: Slot
    made: Change | Copy | None
    resource: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def order(self) -> tuple[float, str]:
        """Earlier ones are planted first."""
        return self.draw, self.key


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is to be planted, by kind.

    Parameters
    ----------
    planted
        Proposals by kind; no two need the same resource.
    short
        Why there are none of a kind, or fewer than at least.
    """

    planted: Mapping[str, Sequence[Proposal]]
    short: Mapping[str, str]


@dataclass(slots=True)
class _Pool:
    """Proposals of a kind: all below its rate, and the next few. ``place`` is that of its draw among all kinds'."""

    kind: Kind
    place: int
    rate: float
    spare: int
    sure: list[Proposal] = field(default_factory=list)
    more: list[tuple[float, str, Proposal]] = field(default_factory=list)

    def wants(self, draw: float) -> bool:
        return draw < self.rate or len(self.more) < self.spare or draw < -self.more[0][0]

    def add(self, one: Proposal) -> None:
        if one.draw < self.rate:
            self.sure.append(one)
            return
        heapq.heappush(self.more, (-one.draw, one.key, one))
        if len(self.more) > self.spare:
            heapq.heappop(self.more)

    def inside(self) -> list[Proposal]:
        """In the order of their draws."""
        return sorted([*self.sure, *(one for _, _, one in self.more)], key=lambda one: one.order)


def choose(feed: Feed, profile: Profile, seed: int) -> Chosen:
    """Draw for each kind that the profile wants, and leave no resource with two defects.

    Parameters
    ----------
    feed
        What is there, without defects.
    seed
        The same seed gives the same defects to the same resources, whatever else is in the feed, as long as nothing
        is planted for ``at_least`` alone and no two kinds want the same resource.
    """
    pools = {
        kind.id: _Pool(kind, place, profile.rate(kind), profile.at_least + SPARE)
        for place, kind in enumerate(kinds().values())
        if profile.wants(kind)
    }
    donors = _donors(feed.documents()) if DONATED & set(pools) else []
    by_type = _by_type(pools)
    for document in feed.documents():
        for number in range(len(document.entries)):
            _propose(Site(document, number, donors), by_type, seed)
    if TRUNCATED in pools:
        for key, name in feed.files().items():
            draw = derive(seed, "defects", TRUNCATED, key) / 2**63
            pools[TRUNCATED].add(Proposal(draw, key, (name, -1), None))
    taken: set[Slot] = set()
    cut: set[str] = set()
    planted = {name: _take(pool, profile.at_least, taken, cut) for name, pool in pools.items()}
    short = {
        name: _why(pool, profile.at_least, len(planted[name]))
        for name, pool in pools.items()
        if len(planted[name]) < max(1, profile.at_least)
    }
    return Chosen(planted, short)


def _why(pool: _Pool, at_least: int, planted: int) -> str:
    """Why so few of a kind were planted."""
    if not pool.sure and not pool.more:
        return f"there is nowhere {pool.kind.where}"
    if not pool.sure and not at_least:
        return "the rate drew none"
    return f"{planted} of at least {max(1, at_least)}, as other defects are in the other places, or there are no more"


def _by_type(pools: Mapping[str, _Pool]) -> dict[str, list[_Pool]]:
    found: dict[str, list[_Pool]] = {}
    for pool in pools.values():
        for kind in pool.kind.on:
            found.setdefault(kind, []).append(pool)
    return found


def _propose(site: Site, by_type: Mapping[str, Sequence[_Pool]], seed: int) -> None:
    pools = by_type.get(str(site.resource["resourceType"]), ())
    key = f"{site.resource['resourceType']}/{site.id}"
    draws = rng(seed, "defects", key).random(len(kinds())) if pools else ()
    for pool in pools:
        draw = float(draws[pool.place])
        if pool.wants(draw):
            made = PLANTERS[pool.kind.id](site, rng(seed, "defects", "plant", pool.kind.id, key))
            if made is not None:
                pool.add(Proposal(draw, key, site.slot, made, site.resource))


def _take(pool: _Pool, at_least: int, taken: set[Slot], cut: set[str]) -> list[Proposal]:
    """The first that are free; what they need is then taken."""
    found: list[Proposal] = []
    for one in pool.inside():
        if one.draw >= pool.rate and len(found) >= at_least:
            break
        needs = {one.slot, *(one.made.witnesses if one.made is not None else ())}
        if needs & taken or any(name in cut for name, _ in needs):
            continue
        found.append(one)
        taken |= needs
        if one.made is None:
            cut.add(one.slot[0])
    return found


def _donors(documents: Iterable[Document]) -> list[Donor]:
    """Every patient, in the order of their ids."""
    found = {}
    for document in documents:
        for number, entry in enumerate(document.entries):
            if entry["resource"]["resourceType"] == "Patient":
                site = Site(document, number)
                found[site.id] = Donor(site.id, site.slot, _named(site.resource), _visits(site))
    return [found[name] for name in sorted(found)]


def _named(resource: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """System and value of identifiers that have both."""
    found = resource.get("identifier")
    return tuple(
        (one["system"], one["value"])
        for one in (found if isinstance(found, list) else ())
        if isinstance(one, dict) and one.get("system") and isinstance(one.get("value"), str)
    )


def _visits(site: Site) -> tuple[tuple[str, str | None], ...]:
    """Up to three encounters: id, and ``system|value`` of the first identifier."""
    entries = [site.document.entries[number] for number in site.encounters[:3]]
    return tuple(
        (
            id_of(entry.get("fullUrl"), entry["resource"]) or "",
            next(("|".join(one) for one in _named(entry["resource"])), None),
        )
        for entry in entries
    )
