"""The tags that say of a resource where it comes from: ``meta.tag`` with one of these systems."""

from __future__ import annotations

from typing import Final, Literal

RUN_TAG: Final = "urn:fhirsynth:tag/run"
"""``code`` is the ``run_id``; ends in ``/run``, as the tags of other generators that name their run do."""
ORIGIN_TAG: Final = "urn:fhirsynth:tag/origin"
"""``code`` is an :data:`Origin`."""
TEST_DATA: Final = ("http://terminology.hl7.org/CodeSystem/v3-ActReason", "HTEST", "test health data")
"""The security label of every synthetic resource: system, code, display."""

Origin = Literal["simulated", "augmented"]
"""Made by a simulation, or drawn from a generator that has learned."""


def is_run(text: str) -> bool:
    """Whether a run can be called so: a server can be asked for it."""
    return bool(text) and text == text.strip() and text.isprintable() and not any(sign in text for sign in "|,\\$")
