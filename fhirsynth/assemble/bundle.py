"""Resources to one transaction Bundle that can be POSTed again and again without a duplicate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from fhirsynth.assemble.identity import RECORD, resource_id


def transaction(run_id: str, name: str, resources: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A transaction Bundle: a conditional create (``ifNoneExist``) of each resource.

    Parameters
    ----------
    name
        Tells the Bundles of a run apart: the patient's id, or ``shared``.
    """
    return {
        "resourceType": "Bundle",
        "id": resource_id(run_id, "Bundle", name),
        "type": "transaction",
        "entry": [
            {
                "fullUrl": f"urn:uuid:{resource['id']}",
                "resource": resource,
                "request": {
                    "method": "POST",
                    "url": resource["resourceType"],
                    "ifNoneExist": f"identifier={RECORD}|{resource['id']}",
                },
            }
            for resource in resources
        ],
    }


def to_json(bundle: dict[str, Any]) -> bytes:
    """A Bundle as it is written to disk."""
    return orjson.dumps(bundle, option=orjson.OPT_INDENT_2) + b"\n"
