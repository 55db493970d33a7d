"""How the data were made, as far as it is known: manifests of the stages, read leniently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

SIMULATED = (
    "The real side of this comparison comes from a simulator. Privacy figures on simulated input show whether the "
    "generator memorises; they are not the risk of any patient, because there is no patient behind the data."
)
UNKNOWN_SOURCE = (
    "Where the training data come from is not recorded here. If they come from a simulator, the privacy figures show "
    "whether the generator memorises and are not the risk of any patient; if they come from patients, the figures "
    "bound these attacks only, and a privacy review has to decide on a release."
)


def stage(provenance: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The manifest of a stage; empty when it is not there."""
    found = provenance.get(name)
    return found if isinstance(found, Mapping) else {}


def is_simulated(provenance: Mapping[str, Any]) -> bool:
    """Whether the training data are known to be a simulator's."""
    return bool(stage(provenance, "generated"))


def privacy_words(provenance: Mapping[str, Any]) -> str:
    """What privacy figures mean for this input."""
    return SIMULATED if is_simulated(provenance) else UNKNOWN_SOURCE


def simulator(provenance: Mapping[str, Any]) -> str:
    """Name of the simulator, with its version where that is recorded."""
    version = stage(provenance, "generated").get("synthea")
    return f"Synthea {version}" if version else "Synthea"


def source_words(provenance: Mapping[str, Any]) -> str:
    """Where the patients come from whom the generator learned from."""
    if is_simulated(provenance):
        return f"Its training patients were simulated with {simulator(provenance)}."
    return "Where its training patients come from is not recorded."


def model(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is recorded of the generator."""
    found = stage(provenance, "synthetic").get("model")
    return found if isinstance(found, Mapping) else ({"name": found} if found else {})


def generator(provenance: Mapping[str, Any]) -> str | None:
    """Name of the generator; None where it is not recorded."""
    found = model(provenance)
    name = found.get("model") or found.get("name")
    return str(name) if name else None


def versions(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Versions of the generator's libraries, by library (or by the generator's own name)."""
    found = model(provenance)
    own = {str(generator(provenance)): found["version"]} if found.get("version") else {}
    given = found.get("parameters")
    parameters = given if isinstance(given, Mapping) else {}
    return {name: str(value) for name, value in sorted({**own, **parameters}.items()) if name in LIBRARIES | own.keys()}


def parameters(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What the generator was set to, by dotted name, without versions of libraries and without candidates not taken."""
    found = model(provenance).get("parameters", stage(provenance, "synthetic").get("parameters"))
    said = {name: value for name, value in facts(found) if name and name not in LIBRARIES}
    return {name: value for name, value in said.items() if name.partition(".")[0] != "candidates"}


def seeds(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Seeds that are recorded, by what they decide."""
    spec = stage(provenance, "generated").get("spec")
    found = {
        "simulation": spec.get("seed") if isinstance(spec, Mapping) else None,
        "fit": model(provenance).get("seed"),
        "sample": stage(provenance, "synthetic").get("sample_seed"),
    }
    return {name: seed for name, seed in found.items() if seed is not None}


def model_kept(provenance: Mapping[str, Any]) -> bool | None:
    """Whether the fitted generator was saved; None where it is not recorded."""
    kept = stage(provenance, "synthetic").get("model_saved")
    return kept if isinstance(kept, bool) else None


def training_hashes(provenance: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 values of the training data that the manifests record, by their place; not those of a prior."""
    return {
        place: str(value)
        for place, value in facts(stage(provenance, "synthetic"))
        if ("sha256" in place or "hash" in place) and ".prior." not in f".{place}"
    }


def prior(provenance: Mapping[str, Any]) -> dict[str, Any] | None:
    """Rows that the generator learned from before the training data, and where they come from; None: there were none.

    None also where nothing is recorded of the generator.
    """
    found = model(provenance).get("prior")
    if not isinstance(found, Mapping):
        return None
    simulated = stage(provenance, "prior").get("generated")
    if isinstance(simulated, Mapping):
        return {**found, "source": f"simulated with Synthea {simulated.get('synthea', '')}".rstrip()}
    return dict(found)


def differential_privacy(provenance: Mapping[str, Any]) -> dict[str, Any] | None:
    """The guarantee that the generator was fitted with; None where it gives none."""
    given = model(provenance).get("parameters")
    if not isinstance(given, Mapping) or given.get("epsilon") is None or given.get("delta") is None:
        return None
    return {name: given[name] for name in GUARANTEE if given.get(name) is not None}


GUARANTEE = ("epsilon", "delta", "sigma", "sensitivity", "neighbouring", "not_covered", "mechanism", "noise")
"""Parameters of a generator that say what it guarantees, and how."""


LIBRARIES = frozenset({"sdv", "ctgan", "torch", "scikit-learn", "imbalanced-learn"})
"""Names among a generator's parameters that are versions of libraries and no settings."""

COUNTS = {
    "synthetic": ("rejected", "repaired", "rejected_rows", "drawn", "without_condition", "switched_off"),
    "tables": ("skipped", "skips", "unsupported", "dropped", "unresolved"),
    "bundles": ("skipped", "skips", "counts", "resources", "rejected"),
    "generated": ("kept", "let_go", "simulated"),
}


def counts(provenance: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What the stages counted: (stage, what, how many), for those that counted something."""
    rows = []
    for name, wanted in COUNTS.items():
        found = stage(provenance, name)
        for key in wanted:
            rows += [(name, place, str(value)) for place, value in facts({key: found[key]})] if key in found else []
    return rows


def facts(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings with their dotted place; lists are joined, mappings in them go by their name."""
    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield from facts(value[key], f"{place}.{key}" if place else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(one, Mapping) for one in value):
        for number, one in enumerate(value, 1):
            name = one.get("name", number) if isinstance(one, Mapping) else number
            yield from facts(one, f"{place}.{name}")
    elif isinstance(value, list | tuple):
        if value:
            yield place, ", ".join(map(str, value[:12])) + (f" … ({len(value)})" if len(value) > 12 else "")
    elif value is not None:
        yield place, value
