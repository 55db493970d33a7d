"""HAPI FHIR on a JVM of our own: a real server to load into, and the HL7 validator to ask."""

from fhirsynth.hapi.sandbox import Sandbox, sandbox
from fhirsynth.hapi.validate import validate

__all__ = ["Sandbox", "sandbox", "validate"]
