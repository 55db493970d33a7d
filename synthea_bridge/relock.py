"""Remake the lock files: ``python -m synthea_bridge.relock`` (needs the network; for maintainers).

Resolves the pinned roots with jgo, fetches every jar and writes ``locks/NAME.lock``.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from synthea_bridge.files import atomic_file, sha256_of

ROOTS = {
    "synthea": "org.mitre.synthea:synthea:3.3.0",
    "ecj": "org.eclipse.jdt:ecj:3.44.0",
    "hapi": "ca.uhn.hapi.fhir:hapi-fhir-jpaserver-test-utilities:8.8.0",
    "validator": "+".join(
        f"ca.uhn.hapi.fhir:{name}:8.8.0"
        for name in (
            "hapi-fhir-validation",
            "hapi-fhir-structures-r4",
            "hapi-fhir-validation-resources-r4",
            "hapi-fhir-caching-caffeine",
        )
    ),
}
"""The lock files and the Maven coordinates (joined by ``+``) that each is about."""


def relock(name: str, root: str, folder: Path) -> int:
    """Write ``folder/NAME.lock`` for ``root`` and all that it needs at run time; returns the number of artifacts."""
    import jgo

    lines = []
    for artifact in jgo.resolve(root):
        parts = (artifact.groupId, artifact.artifactId, artifact.version, artifact.classifier)
        lines.append(f"{':'.join(filter(None, parts))} {sha256_of(artifact.resolve())}")
    with atomic_file(folder / f"{name}.lock") as scratch:
        scratch.write_text(f"# {root} and what it needs; SHA-256 of each jar\n" + "\n".join(lines) + "\n")
    return len(lines)


if __name__ == "__main__":
    with resources.as_file(resources.files("synthea_bridge").joinpath("locks")) as locks:
        for lock, coordinate in ROOTS.items():
            relock(lock, coordinate, locks)
