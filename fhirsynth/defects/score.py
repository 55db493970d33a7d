"""How many planted defects a check has found, and how many of its findings are right."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from fhirsynth.defects.catalog import kinds
from fhirsynth.defects.edit import path_of
from fhirsynth.defects.journal import Defect
from fhirsynth.errors import UsageError

Level = Literal["file", "resource", "path"]
LEVELS: Final[tuple[Level, ...]] = ("file", "resource", "path")
Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has found.

    Parameters
    ----------
    file, number
        The file, and the number of the resource in it from 0, where they were said.
    resource
        Type and id, as ``Patient/123``, where it was said.
    path
        The element, as FHIRPath, where it was said.
    kind
        The kind of defect, where it was said.
    """

    file: str | None = None
    number: int | None = None
    resource: str | None = None
    path: str | None = None
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """Of one kind, or of all.

    Parameters
    ----------
    kind
        The kind; ``all`` for the sum, in which findings without a kind count too.
    planted, found
        Defects that there are, and those of them that at least one finding matches.
    reported, right
        Findings of this kind, and those of them that match at least one defect.
    """

    kind: str
    planted: int
    found: int
    reported: int
    right: int

    @property
    def recall(self) -> float | None:
        """The share of defects that was found; None without any."""
        return self.found / self.planted if self.planted else None

    @property
    def precision(self) -> float | None:
        """The share of findings that is right; None without any."""
        return self.right / self.reported if self.reported else None


def score(found: Sequence[Finding], truth: Sequence[Defect], level: Level = "resource") -> list[Score]:
    """Compare findings with what was planted.

    A finding matches a defect if it says no other kind, and, by ``level``:

    - ``file``: it names the file;
    - ``resource``: it names the resource by ``Type/id``, or else by file and number. A duplicate is also found by what
      it is a duplicate of, and by what came in with it; a truncated file by its name;
    - ``path``: as ``resource``, and its element is that of the defect, one inside it or one around it (but not the
      whole resource, unless the whole resource is the defect). Indices, and the type of ``value[x]``, do not count.

    Returns
    -------
    list of Score
        One a kind that was planted or reported, in the order of the catalogue, and the sum.
    """
    by_file, by_resource, by_place = _indexed(truth)
    matched: set[int] = set()
    right: list[bool] = []
    for one in found:
        near = by_resource.get(one.resource, []) if one.resource else by_place.get((one.file, one.number), [])
        whole = [number for number in by_file.get(one.file, []) if truth[number].number is None]
        options = by_file.get(one.file, []) if level == "file" else [*near, *whole]
        hits = [number for number in options if _agrees(one, truth[number], level)]
        matched.update(hits)
        right.append(bool(hits))
    said = {one.kind for one in truth} | {one.kind for one in found}
    scores = [_score(kind, found, right, truth, matched) for kind in kinds() if kind in said]
    total = Score("all", len(truth), len(matched), len(found), sum(right))
    return [*scores, total]


def _score(
    kind: str, found: Sequence[Finding], right: Sequence[bool], truth: Sequence[Defect], matched: set[int]
) -> Score:
    mine = [number for number, one in enumerate(truth) if one.kind == kind]
    said = [ok for one, ok in zip(found, right, strict=True) if one.kind == kind]
    return Score(kind, len(mine), len(matched & set(mine)), len(said), sum(said))


def _indexed(
    truth: Iterable[Defect],
) -> tuple[dict[str | None, list[int]], dict[str | None, list[int]], dict[tuple[str | None, int | None], list[int]]]:
    """Numbers of defects by file, by resource, and by file and number."""
    by_file: dict[str | None, list[int]] = {}
    by_resource: dict[str | None, list[int]] = {}
    by_place: dict[tuple[str | None, int | None], list[int]] = {}
    for number, one in enumerate(truth):
        for name in {one.file, *(file for file, _ in one.also)}:
            by_file.setdefault(name, []).append(number)
        for resource in {one.resource, one.of} - {None}:
            by_resource.setdefault(resource, []).append(number)
        if one.number is not None:
            for place in {(one.file, one.number), *one.also}:
                by_place.setdefault(place, []).append(number)
    return by_file, by_resource, by_place


def _agrees(one: Finding, defect: Defect, level: Level) -> bool:
    if one.kind not in (None, defect.kind):
        return False
    if level != "path" or defect.path is None:
        return True
    mine, theirs = element(one.path or ""), element(defect.path)
    if not theirs:
        return True
    short = min(len(mine), len(theirs))
    return bool(mine) and mine[:short] == theirs[:short]


def element(text: str) -> tuple[str, ...]:
    """The names in a FHIRPath below the resource, without indices and without the type of ``value[x]``.

    ``Observation.valueQuantity.unit``, ``Observation.value.ofType(Quantity).unit``, and what the HL7 validator says,
    ``Bundle.entry[3].resource/*Observation/1*/.value.ofType(Quantity).unit``, are the same.
    """
    inner = re.sub(r"/\*.*?\*/", "", text)
    inner = re.sub(r"^Bundle\.entry\[\d+\]\.resource(\.ofType\(\w+\))?", "Resource", inner)
    names = [step for step in path_of(re.sub(r"^\w+", "", inner)) if isinstance(step, str)]
    return tuple(
        re.sub(r"^(value|effective|onset|deceased|performed|medication)[A-Z]\w*$", r"\1", one) for one in names
    )


def read_findings(path: Path) -> list[Finding]:
    """Findings from JSON lines: ``file``, ``entry`` (from 0) or ``line`` (from 1), ``resource``, ``path``, ``kind``.

    Raises
    ------
    UsageError
        When the file cannot be read, with the first line that says too little, or a kind that there is not.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read ({error.strerror}); give one JSON object a finding and line"
        ) from error
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(_finding(orjson.loads(line)))
            except (ValueError, TypeError, AttributeError) as error:
                raise UsageError(f"{path}:{number}: {error}") from error
    return found


def _finding(body: Mapping[str, Any]) -> Finding:
    number = body["line"] - 1 if "line" in body else body.get("entry")
    one = Finding(body.get("file"), number, body.get("resource"), body.get("path"), body.get("kind"))
    if one.file is None and one.resource is None:
        raise ValueError('names neither a "file" nor a "resource"; say where, as defects.jsonl does')
    if one.kind not in (None, *kinds()):
        raise ValueError(f"there is no kind '{one.kind}'; leave it out, or see: fhirsynth defects kinds")
    return one
