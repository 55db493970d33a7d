"""HAPI FHIR on a JVM of our own: a real server to load into."""

from fhirsynth.hapi.sandbox import Sandbox, sandbox

__all__ = ["Sandbox", "sandbox"]
