"""Pinned Maven artifacts: fetched once per user by jgo, and used only when their SHA-256 is the one in our lock files.

A lock file has one line an artifact, ``group:artifact:version[:classifier] SHA-256``, and no address. It is remade with
``python -m synthea_bridge.relock``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any

from synthea_bridge.errors import ArtifactError
from synthea_bridge.files import alone, read_json, sha256_of, write_json
from synthea_bridge.progress import Progress, silent

CONNECTIONS = 8
"""Downloads at a time: more do not help against one host."""
TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Artifact:
    """One pinned jar."""

    group: str
    name: str
    version: str
    classifier: str
    sha256: str

    def __str__(self) -> str:
        return ":".join(filter(None, (self.group, self.name, self.version, self.classifier)))


def cache_folder() -> Path:
    """Where jars and compiled helpers are kept: ``FHIRSYNTH_CACHE``, or the user's cache folder."""
    chosen = os.environ.get("FHIRSYNTH_CACHE")
    if chosen:
        return Path(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("fhirsynth", appauthor=False)


def lock_text(name: str) -> str:
    """The lock file ``name`` of this package."""
    return resources.files("synthea_bridge").joinpath("locks", f"{name}.lock").read_text(encoding="utf-8")


def parse_lock(text: str) -> tuple[Artifact, ...]:
    """The artifacts that a lock file pins.

    Raises
    ------
    ArtifactError
        When a line is not ``group:artifact:version[:classifier] SHA-256``.
    """
    artifacts = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        coordinates, _, digest = line.partition(" ")
        parts = coordinates.split(":")
        if len(parts) not in (3, 4) or len(digest) != 64:
            raise ArtifactError(f"lock file, line {number}: '{line}' is no pinned artifact; reinstall fhirsynth")
        group, artifact, version, classifier = (*parts, "")[:4]
        artifacts.append(Artifact(group, artifact, version, classifier, digest))
    return tuple(artifacts)


def locked(name: str) -> tuple[Artifact, ...]:
    """The artifacts of the lock file ``name``."""
    return parse_lock(lock_text(name))


def missing(artifacts: Iterable[Artifact]) -> list[Artifact]:
    """Those that are not on this machine yet (nothing is fetched or verified)."""
    return [artifact for artifact in artifacts if _on_disk(artifact) is None]


def fetch(name: str, progress: Progress = silent) -> list[Path]:
    """Paths of the jars of the lock file ``name``, in its order, each verified; fetches what is missing.

    A jar is hashed when it is first seen and whenever its size or time of change differ from then.

    Raises
    ------
    ArtifactError
        Without network, when an artifact is nowhere to be had, or when its content is not what the lock says.
    """
    text = lock_text(name)
    artifacts = parse_lock(text)
    marker = cache_folder() / "verified" / f"{name}-{sha256(text.encode()).hexdigest()[:16]}.json"
    if marker.exists():
        return _fetched(artifacts, marker, progress)
    with alone(cache_folder() / "fetch.lock"):
        return _fetched(artifacts, marker, progress)


def _fetched(artifacts: Sequence[Artifact], marker: Path, progress: Progress) -> list[Path]:
    known = _read_marker(marker)
    paths: dict[Artifact, Path] = {}
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        jobs = {pool.submit(_verified, artifact, known): artifact for artifact in artifacts}
        try:
            for done, job in enumerate(as_completed(jobs), start=1):
                paths[jobs[job]] = job.result()
                progress(done, len(artifacts), str(jobs[job]))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    found = {str(path): _stamp(path) for path in paths.values()}
    if found != known:
        write_json(marker, found)
    return [paths[artifact] for artifact in artifacts]


def _read_marker(marker: Path) -> dict[str, Any]:
    try:
        value = read_json(marker)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _stamp(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _verified(artifact: Artifact, known: dict[str, Any]) -> Path:
    path = _on_disk(artifact) or _download(artifact)
    if known.get(str(path)) != _stamp(path) and sha256_of(path) != artifact.sha256:
        raise ArtifactError(
            f"{artifact}: {path} is not the file that was pinned (its SHA-256 differs); "
            "remove it and try again with: fhirsynth doctor --fetch"
        )
    return path


def _maven(artifact: Artifact) -> Any:
    from jgo.maven import MavenContext

    own = cache_folder() / "maven"
    own.mkdir(parents=True, exist_ok=True)
    shared = Path(os.environ.get("M2_REPO") or Path.home() / ".m2" / "repository")
    context = MavenContext(repo_cache=own, local_repos=[shared], timeout=TIMEOUT_S)
    return context.project(artifact.group, artifact.name).at_version(artifact.version).artifact(artifact.classifier)


def _on_disk(artifact: Artifact) -> Path | None:
    classifier = f"-{artifact.classifier}" if artifact.classifier else ""
    tail = Path(*artifact.group.split("."), artifact.name, artifact.version)
    file = tail / f"{artifact.name}-{artifact.version}{classifier}.jar"
    shared = Path(os.environ.get("M2_REPO") or Path.home() / ".m2" / "repository")
    return next((base / file for base in (cache_folder() / "maven", shared) if (base / file).is_file()), None)


def _download(artifact: Artifact) -> Path:
    try:
        return Path(_maven(artifact).resolve())
    except Exception as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ArtifactError(
            f"{artifact}: cannot be fetched ({reason}); check the network, then run: fhirsynth doctor --fetch"
        ) from error
