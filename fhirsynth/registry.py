"""Runs and reports below a folder, as far as their own manifests tell of them.

A run is a work folder of ``fhirsynth run`` (``manifest.json`` and a folder for each stage); any other folder with a
``report.json`` is listed as a report. Nothing is believed that was not checked for its type, and what cannot be read is
told: a problem is a file and what is wrong with it. Times of files are not used: a copy would change them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fhirsynth.errors import UsageError
from fhirsynth.workspace import MANIFEST
from synthea_bridge.files import sha256_of

DEPTH: Final = 8
"""Folders below the one that was named that are looked into."""

LARGEST: Final = 64 * 2**20
"""Bytes of the largest JSON file that is read: ours are far below a megabyte."""

REPORT: Final = "report.json"
STAGES: Final = ("generated", "tables", "synthetic", "bundles", "ndjson", "report")

GENERATED: Final = {"spec", "synthea"}
"""What the manifest of ``fhirsynth generate`` holds, which does not name its stage."""

Verdict = Literal["PASS", "FAIL", "UNDERPOWERED"]


class _Read(BaseModel):
    """What is believed of a JSON file of ours: the fields that are named, if their types are right."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class _Verdicts(_Read):
    utility: Verdict
    privacy: Verdict
    fidelity: Verdict


class _Sizes(_Read):
    train: int = Field(ge=0)
    holdout: int = Field(ge=0)
    synthetic: int = Field(ge=0)


class _Report(_Read):
    schema_version: int
    valid: bool
    verdicts: _Verdicts
    sizes: _Sizes
    cohort_title: str = ""
    fhirsynth: str | None = None
    run_id: str | None = None


class _Cohort(_Read):
    condition: str


class _Generate(_Read):
    cohorts: tuple[_Cohort, ...] = Field(default=(), strict=False)
    end_date: str | None = None


class _Parameters(_Read):
    fhirsynth: str | None = None
    model: str | None = None
    generate: _Generate = _Generate()


class _Run(_Read):
    run_id: str
    parameters: _Parameters


class _Model(_Read):
    model: str | None = None
    name: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    train_sha256: str | None = None


class _Synthetic(_Read):
    made: int = Field(ge=0)
    model: _Model


class _Bundles(_Read):
    patients: int = Field(ge=0)


class _Card(_Read):
    generator: _Model | None = None
    training_data_sha256: dict[str, str] | None = None


class _File(_Read):
    sha256: str | None = None
    encodingFormat: str | None = None  # noqa: N815 - the name is Croissant's


class _Croissant(_Read):
    distribution: tuple[_File, ...] = Field(default=(), strict=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """One run, or one report on its own; None: not recorded, or not there yet.

    Parameters
    ----------
    kind, path, run_id
        A run or a report; its folder below the one that was searched (``.``: that folder itself); and the run.
    condition, generator, version
        What the patients have, what made them, and its version.
    synthetic, share
        Synthetic patients, and their share of all patients that the run ships (0 to 1).
    share_compared
        Synthetic rows as a share of all rows that the report compares: training, holdout and synthetic ones.
    valid, utility, privacy, fidelity
        Whether the report's self-test held, and its verdicts.
    train_sha256, synthetic_sha256, bundles_sha256, report_sha256
        Hashes of the training data (as the generator recorded it), of the file of synthetic rows, of the manifest of
        the Bundles and of ``report.json``.
    fhirsynth
        Version that wrote it.
    index_date
        The day at which its patients are described: the one date that a run records.
    stages
        Stages of a run that are finished.
    """

    kind: Literal["run", "report"]
    path: str
    run_id: str | None = None
    condition: str | None = None
    generator: str | None = None
    version: str | None = None
    synthetic: int | None = None
    share: float | None = None
    share_compared: float | None = None
    valid: bool | None = None
    utility: Verdict | None = None
    privacy: Verdict | None = None
    fidelity: Verdict | None = None
    train_sha256: str | None = None
    synthetic_sha256: str | None = None
    bundles_sha256: str | None = None
    report_sha256: str | None = None
    fhirsynth: str | None = None
    index_date: str | None = None
    stages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """A file or folder that could not be read, below the folder that was searched, and what is wrong with it."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Registry:
    """What is below a folder, sorted by path."""

    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]


M = TypeVar("M", bound=_Read)


def registry(folder: Path, depth: int = DEPTH) -> Registry:
    """List the runs and reports in ``folder`` and below it; links are not followed.

    Parameters
    ----------
    folder
        Where to look.
    depth
        How many folders deep; that there is more is a problem, not a silence.

    Raises
    ------
    UsageError
        When there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: is no folder; give a folder that holds runs or reports")
    search = _Search(folder)
    entries = sorted(search.entries(folder, depth), key=lambda entry: (entry.path, entry.kind))
    search.tell_deeper(depth)
    return Registry(tuple(entries), tuple(sorted(set(search.problems))))


@dataclass(slots=True)
class _Search:
    root: Path
    problems: list[Problem] = field(default_factory=list)
    deeper: list[Path] = field(default_factory=list)

    def tell_deeper(self, depth: int) -> None:
        """Say once how many folders were not looked into."""
        if self.deeper:
            more = f" (and {len(self.deeper) - 1} more)" if len(self.deeper) > 1 else ""
            self._note(
                self.deeper[0], f"lies deeper than {depth} folders and was not looked into{more}; name it itself"
            )

    def entries(self, folder: Path, depth: int) -> Iterator[Entry]:
        """The entry of ``folder``, if it is one, and those of the folders in it."""
        run = self._run_in(folder)
        if run is not None:
            yield self._run(folder, run)
        elif self._is_there(folder / REPORT):
            entry = self._report(folder)
            if entry is not None:
                yield entry
        for child in self._folders(folder):
            if run is not None and child.name in STAGES:
                continue
            if depth < 1:
                self.deeper.append(child)
            else:
                yield from self.entries(child, depth - 1)

    def _run_in(self, folder: Path) -> _Run | None:
        """The manifest of a run; that of a stage on its own (of augment, say) is none, and no problem either."""
        path = folder / MANIFEST
        value = self._json(path) if self._is_there(path) else None
        if isinstance(value, dict) and "run_id" not in value and ("stage" in value or value.keys() >= GENERATED):
            return None
        return None if value is None else self._believed(_Run, value, path, "is no manifest of a run")

    def _run(self, folder: Path, run: _Run) -> Entry:
        stages = tuple(stage for stage in STAGES if self._is_there(folder / stage / MANIFEST))
        rows = self._read(_Synthetic, folder / "synthetic" / MANIFEST, "is no manifest of synthetic rows")
        bundles = self._read(_Bundles, folder / "bundles" / MANIFEST, "is no manifest of Bundles")
        asked = run.parameters.generate
        found: dict[str, Any] = {
            "run_id": run.run_id,
            "condition": ", ".join(cohort.condition for cohort in asked.cohorts) or None,
            "generator": run.parameters.model,
            "fhirsynth": run.parameters.fhirsynth,
            "index_date": asked.end_date,
            "stages": stages,
            "synthetic_sha256": self._hash(folder / "synthetic" / "synthetic.parquet"),
            "bundles_sha256": self._hash(folder / "bundles" / MANIFEST),
        }
        if rows is not None:
            found |= _made(rows.model)
            found |= {"synthetic": rows.made, "share": _share(rows.made, bundles.patients if bundles else rows.made)}
        report = self._read(_Report, folder / "report" / REPORT, "is no report of ours")
        judged = self._judged(folder / "report", report) if report is not None else {}
        return Entry(kind="run", path=self._place(folder), **{**judged, **found})

    def _report(self, folder: Path) -> Entry | None:
        report = self._read(_Report, folder / REPORT, "is no report of ours")
        if report is None:
            return None
        card = self._read(_Card, folder / "model-card.json", "is no model card of ours")
        files = self._read(_Croissant, folder / "croissant.json", "is no Croissant metadata")
        found: dict[str, Any] = {
            "run_id": report.run_id,
            "condition": report.cohort_title or None,
            "synthetic": report.sizes.synthetic,
            "share": _share(report.sizes.synthetic, report.sizes.synthetic),
            "fhirsynth": report.fhirsynth,
        }
        if card is not None and card.generator is not None:
            found |= _made(card.generator)
        if card is not None and card.training_data_sha256:
            found["train_sha256"] = next(iter(card.training_data_sha256.values()))
        if files is not None and files.distribution:
            found["synthetic_sha256"] = files.distribution[0].sha256
        return Entry(kind="report", path=self._place(folder), **{**self._judged(folder, report), **found})

    def _judged(self, folder: Path, report: _Report) -> dict[str, Any]:
        sizes = report.sizes
        return {
            "valid": report.valid,
            **report.verdicts.model_dump(),
            "share_compared": _share(sizes.synthetic, sizes.train + sizes.holdout + sizes.synthetic),
            "report_sha256": self._hash(folder / REPORT),
        }

    def _folders(self, folder: Path) -> list[Path]:
        """The real folders in ``folder``, by name, without those that a stage at work leaves behind."""
        try:
            with os.scandir(folder) as found:
                names = sorted(one.name for one in found if one.is_dir(follow_symlinks=False))
        except OSError as error:
            self._note(folder, f"cannot be read ({error.strerror})")
            return []
        return [folder / name for name in names if not name.startswith(".")]

    def _is_there(self, path: Path) -> bool:
        """Whether there is such a file; a link is not followed, and that is said."""
        try:
            for place in (path.parent, path):
                if place != self.root and place.is_symlink():
                    self._note(place, "is a link, which is not followed")
                    return False
            return path.is_file()
        except OSError as error:
            self._note(path, f"cannot be read ({error.strerror})")
            return False

    def _read(self, model: type[M], path: Path, otherwise: str) -> M | None:
        value = self._json(path) if self._is_there(path) else None
        return None if value is None else self._believed(model, value, path, otherwise)

    def _json(self, path: Path) -> Any:
        """The value in a JSON file; None, and a problem, where there is none."""
        try:
            size = path.stat().st_size
            if size > LARGEST:
                self._note(path, f"has {size:,} bytes and is not read: more than {LARGEST:,} is no file of ours")
                return None
            value = orjson.loads(path.read_bytes())
        except OSError as error:
            self._note(path, f"cannot be read ({error.strerror})")
            return None
        except orjson.JSONDecodeError as error:
            self._note(path, f"is not JSON ({error})")
            return None
        if value is None:
            self._note(path, "holds nothing (null)")
        return value

    def _believed(self, model: type[M], value: Any, path: Path, otherwise: str) -> M | None:
        try:
            return model.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            self._note(path, f"{otherwise} ({place}: {first['msg']})" if place else f"{otherwise} ({first['msg']})")
            return None

    def _hash(self, path: Path) -> str | None:
        if not self._is_there(path):
            return None
        try:
            return sha256_of(path)
        except OSError as error:
            self._note(path, f"cannot be read ({error.strerror})")
            return None

    def _place(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _note(self, path: Path, reason: str) -> None:
        self.problems.append(Problem(self._place(path), reason))


def _made(model: _Model) -> dict[str, Any]:
    """Name, version and training data of a generator, as far as they are recorded."""
    name = model.model or model.name
    version = model.parameters.get(name) if name else None
    library = model.parameters.get("sdv")
    if not isinstance(version, str):
        version = f"sdv {library}" if isinstance(library, str) else None
    return {"generator": name, "version": version, "train_sha256": model.train_sha256}


def _share(part: int, whole: int) -> float | None:
    return round(min(part, whole) / whole, 6) if whole else None
