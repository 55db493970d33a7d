"""Planting: choose, write, and list what was planted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fhirsynth.defects.catalog import TRUNCATED, Kind, Profile, kinds
from fhirsynth.defects.choose import Chosen, Proposal, choose
from fhirsynth.defects.edit import GONE, Change, Copy, Slot, fhirpath, look
from fhirsynth.defects.feed import Feed, open_feed
from fhirsynth.defects.journal import Defect, write_journal
from fhirsynth.seeds import derive, rng
from synthea_bridge.references import id_of


@dataclass(frozen=True, slots=True)
class Planted:
    """What was planted.

    Parameters
    ----------
    profile, seed
        What was asked for.
    defects
        Each of them, in the order of files and entries.
    short
        Why nothing was planted, or less than was asked for, by kind.
    """

    profile: str
    seed: int
    defects: tuple[Defect, ...]
    short: dict[str, str]

    @property
    def counts(self) -> dict[str, int]:
        """Number of defects by kind, in the order of the catalogue."""
        found = [one.kind for one in self.defects]
        return {name: found.count(name) for name in kinds() if name in found}

    @property
    def outcome(self) -> dict[str, Any]:
        """What a manifest should say."""
        return {
            "profile": self.profile,
            "seed": self.seed,
            "planted": self.counts,
            "added": sum(1 + len(one.also) for one in self.defects if one.of is not None),
            "short": self.short,
        }


def plant(folder: Path, profile: Profile, seed: int) -> Planted:
    """Plant defects into the Bundles or the NDJSON in ``folder``, and list them there in ``defects.jsonl``.

    Every resource gets one defect at most; everything else stays as it is, byte for byte.

    Parameters
    ----------
    folder
        A folder that ``export`` or ``assemble`` is writing (it is changed in place: give a scratch folder, as
        :func:`synthea_bridge.files.atomic_folder` does).
    profile
        Which kinds, and how frequent.
    seed
        The same folder, profile and seed give the same defects.
    """
    feed = open_feed(folder)
    chosen = choose(feed, profile, seed)
    defects = [*_changes(feed, chosen, seed), *_cuts(folder, chosen, seed)]
    ordered = sorted(defects, key=lambda one: (one.file, -1 if one.number is None else one.number))
    numbered = tuple(replace(one, id=f"defect-{number:04d}") for number, one in enumerate(ordered, 1))
    write_journal(folder, numbered)
    return Planted(profile.name, seed, numbered, dict(chosen.short))


def _changes(feed: Feed, chosen: Chosen, seed: int) -> list[Defect]:
    """Write what is changed and what comes in."""
    changes: dict[Slot, Change] = {}
    copies: list[tuple[Kind, Proposal, Copy]] = []
    defects = []
    for name, proposals in chosen.planted.items():
        for one in sorted(proposals, key=lambda one: one.slot):
            if isinstance(one.made, Change):
                changes[one.slot] = one.made
                defects.append(_changed(kinds()[name], one, one.made, feed.lined, seed))
            elif isinstance(one.made, Copy):
                copies.append((kinds()[name], one, one.made))
    additions = [(copy, derive(seed, "defects", "bundle", kind.id, one.key)) for kind, one, copy in copies]
    for (kind, one, copy), places in zip(copies, feed.write(changes, additions), strict=True):
        defects.append(_added(kind, one, copy, places, feed.lined, seed))
    return defects


def _changed(kind: Kind, one: Proposal, change: Change, lined: bool, seed: int) -> Defect:
    """The defect of a resource in which an element was changed."""
    taken = change.after is GONE
    return Defect(
        kind=kind.id,
        file=one.slot[0],
        number=one.slot[1],
        lined=lined,
        resource=one.key,
        path=fhirpath(str(one.resource["resourceType"]), change.path),
        before=look(one.resource, change.path),
        after=change.after,
        check=kind.check,
        seed=seed,
        position=list(look(one.resource, change.path[:-1])).index(change.path[-1]) if taken else None,
    )


def _added(kind: Kind, one: Proposal, copy: Copy, places: Sequence[Slot], lined: bool, seed: int) -> Defect:
    """The defect of a resource that came in."""
    resource = copy.entries[0]["resource"]
    return Defect(
        kind=kind.id,
        file=places[0][0],
        number=places[0][1],
        lined=lined,
        resource=f"{resource['resourceType']}/{id_of(copy.entries[0].get('fullUrl'), resource)}",
        path=str(resource["resourceType"]),
        before=GONE,
        after=resource,
        check=kind.check,
        seed=seed,
        of=one.key,
        also=tuple(places[1:]),
    )


def _cuts(folder: Path, chosen: Chosen, seed: int) -> list[Defect]:
    """Cut files somewhere between a third and nearly the end; in NDJSON within a line."""
    defects = []
    for one in chosen.planted.get(TRUNCATED, ()):
        path = folder / one.slot[0]
        body = path.read_bytes()
        size = int(len(body) * rng(seed, "defects", "cut", one.key).uniform(0.3, 0.95))
        while any(sign in b" \n" for sign in body[size - 1 : size + 1]):
            size -= 1
        path.write_bytes(body[:size])
        defects.append(
            Defect(
                kind=TRUNCATED,
                file=one.slot[0],
                before={"bytes": len(body)},
                after={"bytes": size},
                check=kinds()[TRUNCATED].check,
                seed=seed,
            )
        )
    return defects
