"""Signing in to a FHIR server: who we are, whom we trust, and the way there; no secret is ever shown."""

from fhirsynth.publish.access.access import Access, access_from
from fhirsynth.publish.access.address import base_of
from fhirsynth.publish.access.flags import AccessFlags
from fhirsynth.publish.access.source import TokenUnreachable
from fhirsynth.publish.access.tls import FAILURES, Trouble, trouble

__all__ = ["FAILURES", "Access", "AccessFlags", "TokenUnreachable", "Trouble", "access_from", "base_of", "trouble"]
