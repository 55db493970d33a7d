"""Fixtures for other people's integration tests; pytest finds them once fhirsynth is installed.

A test asks for ``fhir_server`` (a real FHIR R4 server, one for the whole session) or ``synthetic_bundles``
(twenty synthetic patients as transaction Bundles). Nothing is started, or imported, for tests that ask for neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fhirsynth.hapi import Sandbox


@pytest.fixture(scope="session")
def fhir_server() -> Iterator[Sandbox]:
    """A real, empty FHIR R4 server on 127.0.0.1; ``fhir_server.url`` is its base. It ends with the session."""
    from fhirsynth.hapi import sandbox

    with sandbox() as server:
        yield server


@pytest.fixture(scope="session")
def synthetic_bundles() -> list[dict[str, Any]]:
    """Transaction Bundles in the order in which to POST them: what patients share, then twenty patients, one each."""
    from fhirsynth.sample import sample_bundles

    return sample_bundles()
