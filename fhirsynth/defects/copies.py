"""Copies of entries under ids of their own, with the references among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import numpy as np

from fhirsynth.defects.edit import Copy, Document
from synthea_bridge.references import id_of

_NAMING: Final = frozenset({"id", "fullUrl", "reference", "url", "value", "ifNoneExist"})
"""Keys under which the id of a resource stands."""


def copied(document: Document, numbers: Sequence[int], random: np.random.Generator, *, alone: bool = False) -> Copy:
    """Copies of some entries; everything but their ids stays as it is."""
    entries = [document.entries[number] for number in numbers]
    names = {id_of(entry.get("fullUrl"), entry["resource"]) or "": new_id(random) for entry in entries}
    return Copy(
        entries=tuple(_renamed(entry, names, "") for entry in entries),
        originals=tuple(document.slots[number] for number in numbers),
        alone=alone,
    )


def new_id(random: np.random.Generator) -> str:
    """A UUID that looks like those of other resources."""
    return str(UUID(bytes=random.bytes(16), version=5))


def _renamed(value: Any, names: Mapping[str, str], key: str) -> Any:
    if isinstance(value, dict):
        return {one: _renamed(inner, names, one) for one, inner in value.items()}
    if isinstance(value, list):
        return [_renamed(inner, names, key) for inner in value]
    if not isinstance(value, str) or key not in _NAMING:
        return value
    tail = value[max(value.rfind(sign) for sign in "/:|") + 1 :]
    return value.removesuffix(tail) + names[tail] if tail in names and tail else value
