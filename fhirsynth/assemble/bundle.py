"""Resources to one transaction Bundle that can be POSTed again and again without a duplicate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from fhirsynth.assemble.identity import RECORD, resource_id


def transaction(run_id: str, name: str, resources: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A transaction Bundle: a conditional create (``ifNoneExist``) of each resource, by its first identifier.

    Parameters
    ----------
    name
        Tells the Bundles of a run apart: the patient's id, or ``shared``.
    """
    return {
        "resourceType": "Bundle",
        "id": resource_id(run_id, "Bundle", name),
        "type": "transaction",
        "entry": [_entry(resource, resource["identifier"][0]) for resource in resources],
    }


def _entry(resource: dict[str, Any], record: dict[str, str]) -> dict[str, Any]:
    uuid = record["value"] if record["system"] == RECORD else resource["id"]
    return {
        "fullUrl": f"urn:uuid:{uuid}",
        "resource": resource,
        "request": {
            "method": "POST",
            "url": resource["resourceType"],
            "ifNoneExist": f"identifier={record['system']}|{record['value']}",
        },
    }


def to_json(bundle: dict[str, Any]) -> bytes:
    """The bytes of a Bundle as they are written."""
    return orjson.dumps(bundle, option=orjson.OPT_INDENT_2) + b"\n"
