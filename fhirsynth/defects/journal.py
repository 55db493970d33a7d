"""``defects.jsonl``: what was planted where, a line a defect; and how it is taken out again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from fhirsynth.assemble.bundle import to_json
from fhirsynth.defects.edit import GONE, path_of, put
from fhirsynth.defects.feed import dump_line
from fhirsynth.errors import UsageError
from synthea_bridge.files import atomic_file

JOURNAL: Final = "defects.jsonl"


@dataclass(frozen=True, slots=True)
class Defect:
    """One defect that was planted.

    Parameters
    ----------
    kind
        As in ``kinds.toml``.
    file
        Where the resource is.
    before, after
        The element without and with the defect; :data:`~fhirsynth.defects.edit.GONE` where it was or is not there.
        Of a truncated file its number of bytes.
    check
        What a check should say.
    seed
        The seed of the call.
    id
        ``defect-0001``, in the order of files and entries.
    number
        That of the resource in ``Bundle.entry`` or among the lines, from 0; None where it is about the whole file.
    lined
        Whether the file is NDJSON.
    resource
        Its type and id, as ``Patient/123``.
    path
        The element, as FHIRPath.
    position
        The place among its siblings that an element had which was taken away.
    of
        The resource of which this one is a duplicate.
    also
        File and number of other entries that came in with it.
    """

    kind: str
    file: str
    before: Any
    after: Any
    check: str
    seed: int
    id: str = ""
    number: int | None = None
    lined: bool = False
    resource: str | None = None
    path: str | None = None
    position: int | None = None
    of: str | None = None
    also: tuple[tuple[str, int], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """A line of the journal: ``entry`` counts from 0, ``line`` from 1, and what does not apply is left out."""
        body = {
            "id": self.id,
            "kind": self.kind,
            "file": self.file,
            **({} if self.number is None else _place(self.number, self.lined)),
            "resource": self.resource,
            "path": self.path,
            "position": self.position,
            "of": self.of,
            "also": [{"file": name, **_place(number, self.lined)} for name, number in self.also] or None,
        }
        values = {key: value for key, value in (("before", self.before), ("after", self.after)) if value is not GONE}
        said = {"check": self.check, "seed": self.seed}
        return {key: value for key, value in body.items() if value is not None} | values | said

    @classmethod
    def of_json(cls, body: dict[str, Any]) -> Defect:
        """The inverse of :meth:`as_json`."""
        also = tuple((one["file"], _number(one)) for one in body.get("also", ()))
        return cls(
            **{name: body[name] for name in ("id", "kind", "file", "check", "seed")},
            resource=body.get("resource"),
            path=body.get("path"),
            position=body.get("position"),
            of=body.get("of"),
            number=_number(body) if {"entry", "line"} & set(body) else None,
            lined="line" in body,
            before=body.get("before", GONE),
            after=body.get("after", GONE),
            also=also,
        )


def _place(number: int, lined: bool) -> dict[str, int]:
    return {"line": number + 1} if lined else {"entry": number}


def _number(body: dict[str, Any]) -> int:
    return int(body["line"]) - 1 if "line" in body else int(body["entry"])


def write_journal(folder: Path, defects: Iterable[Defect]) -> None:
    """Write ``defects.jsonl`` into ``folder``."""
    with atomic_file(folder / JOURNAL) as scratch:
        scratch.write_bytes(b"".join(orjson.dumps(one.as_json()) + b"\n" for one in defects))


def read_journal(path: Path) -> list[Defect]:
    """The defects that a journal lists.

    Raises
    ------
    UsageError
        When it cannot be read, or is none of ours.
    """
    try:
        return [Defect.of_json(orjson.loads(line)) for line in path.read_bytes().splitlines()]
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); give the defects.jsonl of an export") from error
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path}: is no list of defects as export writes it; give its defects.jsonl") from error


def restore(folder: Path, defects: Sequence[Defect]) -> list[Defect]:
    """Take defects out of the Bundles or the NDJSON in ``folder``; the files are then as they were, byte for byte.

    Parameters
    ----------
    folder
        What ``export --defects`` has written, or a copy of it.
    defects
        All or some of its journal. Entries that came in are taken out last, so that numbers hold; with some of them
        left in, the numbers of those behind them no longer do.

    Returns
    -------
    list of Defect
        Those that cannot be taken out: what a truncated file has lost is lost.
    """
    lost = [one for one in defects if one.number is None]
    cut = {one.file for one in lost}
    for name in sorted({one.file for one in defects} | {name for one in defects for name, _ in one.also}):
        if name not in cut:
            _restore_file(folder / name, name, defects)
    return lost


def _restore_file(path: Path, name: str, defects: Sequence[Defect]) -> None:
    added = {place for one in defects if one.path and "." not in one.path for place in _places(one)}
    lined = any(one.lined for one in defects)
    lines = path.read_bytes().splitlines(keepends=True) if lined else []
    bundle: dict[str, Any] = {} if lined else orjson.loads(path.read_bytes())
    entries: list[Any] = lines if lined else bundle["entry"]
    for one in defects:
        if one.file == name and one.path and one.number is not None and (name, one.number) not in added:
            resource = orjson.loads(lines[one.number]) if lined else entries[one.number]["resource"]
            put(resource, path_of(one.path), one.before, one.position)
            if lined:
                lines[one.number] = dump_line(resource)
    left = [entry for number, entry in enumerate(entries) if (name, number) not in added]
    if not left and not lined:
        path.unlink()
    else:
        path.write_bytes(b"".join(left) if lined else to_json({**bundle, "entry": left}))


def _places(defect: Defect) -> list[tuple[str, int]]:
    return [*([] if defect.number is None else [(defect.file, defect.number)]), *defect.also]
