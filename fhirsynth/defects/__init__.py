"""Dirty on purpose: what real feeds contain, planted into Bundles or NDJSON, with a list of what was planted where.

Kinds and profiles are data (``kinds.toml``, ``profiles.toml``, ``units.toml``); a planter proposes a change of one
resource and changes nothing itself. Each resource gets one defect at most, drawn by seed, kind and its own id.

Examples
--------
>>> from fhirsynth.defects import plant, profile, read_journal, restore, score
>>> planted = plant(folder, profile("heavy"), seed=7)  # doctest: +SKIP
>>> score(findings, read_journal(folder / "defects.jsonl"))  # doctest: +SKIP
>>> restore(folder, planted.defects)  # doctest: +SKIP
"""

from fhirsynth.defects.catalog import Kind, Profile, kinds, profile, profiles
from fhirsynth.defects.journal import Defect, read_journal, restore
from fhirsynth.defects.plant import Planted, plant
from fhirsynth.defects.score import Finding, Score, read_findings, score

__all__ = [
    "Defect",
    "Finding",
    "Kind",
    "Planted",
    "Profile",
    "Score",
    "kinds",
    "plant",
    "profile",
    "profiles",
    "read_findings",
    "read_journal",
    "restore",
    "score",
]
