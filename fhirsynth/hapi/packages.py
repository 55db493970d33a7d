"""Implementation guides for the validator: FHIR packages by file or ``name#version``, checked before they are used."""

from __future__ import annotations

import os
import tarfile
import zlib
from pathlib import Path
from typing import Any, Final

import orjson

from fhirsynth.errors import UsageError

FOLDER_VARIABLE: Final = "FHIRSYNTH_FHIR_PACKAGES"
MANIFEST: Final = "package/package.json"
MEMBERS: Final = 100_000
UNPACKED: Final = 2 << 30
"""Files, and unpacked bytes, that a package may have; the largest known ones have a tenth of it."""


def folders() -> list[Path]:
    """Where ``name#version`` is looked for: ``FHIRSYNTH_FHIR_PACKAGES``, then the cache that FHIR tools share."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    return [*([Path(chosen)] if chosen else []), Path.home() / ".fhir" / "packages"]


def find_package(given: str) -> Path:
    """The ``.tgz``, or the unpacked folder, of a package.

    Parameters
    ----------
    given
        A path, or ``name#version``, as ``hl7.fhir.us.core#5.0.1``.

    Raises
    ------
    UsageError
        When there is none, or when it is no package for FHIR R4.
    """
    path = Path(given)
    if not path.exists():
        name, sign, version = given.partition("#")
        if not sign or not name or not version or "/" in given:
            raise UsageError(f"{given}: there is no such file; give a package.tgz, or name#version")
        path = _known(name, version)
    found = path / "package" if (path / MANIFEST).is_file() else path
    _check(path, _manifest(found))
    return found


def terminology_folder(path: Path) -> Path:
    """``path``, when it is a folder with JSON files.

    Raises
    ------
    UsageError
        When it is not.
    """
    if not path.is_dir() or not any(path.glob("*.json")):
        raise UsageError(f"{path}: is no folder with CodeSystems and ValueSets (*.json)")
    return path


def _known(name: str, version: str) -> Path:
    names = (f"{name}#{version}", f"{name}#{version}.tgz", f"{name}-{version}.tgz")
    for folder in folders():
        for candidate in (folder / one for one in names):
            if candidate.exists():
                return candidate
    places = " or ".join(map(str, folders()))
    raise UsageError(
        f"{name}#{version}: is not in {places}; save the package there, set {FOLDER_VARIABLE}, or give its .tgz"
    )


def _manifest(path: Path) -> Any:
    wrong = f"{path}: is no FHIR package (a .tgz with {MANIFEST}); give the package.tgz of an implementation guide"
    try:
        if path.is_dir():
            return orjson.loads((path / "package.json").read_bytes())
        return orjson.loads(_packed_manifest(path) or b"")
    except (OSError, EOFError, tarfile.TarError, zlib.error, orjson.JSONDecodeError) as error:
        raise UsageError(wrong) from error


def _packed_manifest(path: Path) -> bytes | None:
    """The manifest inside an archive, which is read to its end without unpacking, within limits."""
    found: bytes | None = None
    unpacked = 0
    with tarfile.open(path, "r|gz") as archive:
        for number, member in enumerate(archive):
            unpacked += member.size
            if number >= MEMBERS or unpacked > UNPACKED:
                raise UsageError(
                    f"{path}: unpacks to more than {MEMBERS:,} files or {UNPACKED:,} bytes; do not trust it"
                )
            if member.name == MANIFEST and member.isfile():
                stream = archive.extractfile(member)
                found = stream.read() if stream else None
    return found


def _check(path: Path, manifest: Any) -> None:
    if not isinstance(manifest, dict) or not isinstance(manifest.get("name"), str):
        raise UsageError(f"{path}: its package.json names no package; give the package.tgz of an implementation guide")
    versions = manifest.get("fhirVersions") or manifest.get("fhir-version-list")
    if not isinstance(versions, list):
        raise UsageError(f"{path}: its package.json names no FHIR version, so it is no FHIR package")
    if not any(str(version).startswith("4.0") for version in versions):
        raise UsageError(f"{path}: is for FHIR {', '.join(map(str, versions))}; give its release for R4 (4.0.1)")
