"""The work folder: one folder a stage, each with a manifest, written whole and resumed by what it was made from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from fhirsynth.errors import WorkspaceError
from synthea_bridge.files import atomic_folder, read_json, write_json

MANIFEST = "manifest.json"


def fingerprint(value: Any) -> str:
    """A hash of anything that is JSON, independent of the order of its keys."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


@dataclass(slots=True)
class StageWriter:
    """A stage at work: write into ``folder``, note in ``outcome`` what the manifest should say of it."""

    folder: Path
    outcome: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder with a ``manifest.json`` that says which run it belongs to, and one folder for each stage."""

    root: Path

    def claim(self, parameters: Mapping[str, Any]) -> str:
        """Take the folder for a run and return its ``run_id``.

        Parameters
        ----------
        parameters
            All that decides the result. The same ones resume; other ones are refused.

        Raises
        ------
        WorkspaceError
            When the folder belongs to a run with other parameters, or holds something else.
        """
        run_id = fingerprint(parameters)[:12]
        path = self.root / MANIFEST
        if path.exists():
            earlier = self._read(path)
            changed = _differences(earlier.get("parameters", {}), parameters)
            if changed:
                raise WorkspaceError(
                    f"{self.root}: was made with other parameters ({'; '.join(changed)}); "
                    "choose another folder with --out, or remove this one"
                )
        elif self.root.exists() and any(self.root.iterdir()):
            raise WorkspaceError(f"{self.root}: is not empty and has no {MANIFEST}; choose another folder with --out")
        else:
            write_json(path, {"run_id": run_id, "parameters": dict(parameters)})
        return run_id

    def manifest(self, stage: str) -> dict[str, Any] | None:
        """What a finished stage says of itself; None when it is not there."""
        path = self.root / stage / MANIFEST
        return self._read(path) if path.exists() else None

    def is_current(self, stage: str, made_from: Mapping[str, Any]) -> bool:
        """Whether ``stage`` is finished and was made from exactly this."""
        manifest = self.manifest(stage)
        return manifest is not None and manifest.get("made_from") == fingerprint(made_from)

    @contextmanager
    def stage(self, stage: str, made_from: Mapping[str, Any], *, goes_on: bool = False) -> Iterator[StageWriter]:
        """Write a stage: the folder appears whole, with its manifest, or not at all.

        Parameters
        ----------
        goes_on
            The stage can go on with what a kill has left of it.
        """
        with atomic_folder(self.root / stage, fingerprint(made_from) if goes_on else None) as folder:
            writer = StageWriter(folder)
            yield writer
            write_json(folder / MANIFEST, {"stage": stage, "made_from": fingerprint(made_from), **writer.outcome})

    @staticmethod
    def _read(path: Path) -> dict[str, Any]:
        try:
            manifest = read_json(path)
        except (OSError, orjson.JSONDecodeError) as error:
            raise WorkspaceError(f"{path}: cannot be read ({error}); remove it to start anew") from error
        if not isinstance(manifest, dict):
            raise WorkspaceError(f"{path}: is not a manifest; remove it to start anew")
        return manifest


def _differences(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Each parameter that differs, as ``name: was X, now Y``."""
    return [
        f"{name}: was {earlier.get(name)}, now {now.get(name)}"
        for name in sorted({*earlier, *now})
        if earlier.get(name) != now.get(name)
    ]
