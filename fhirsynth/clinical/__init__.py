"""Whether a clinician would believe a chart: rules in data, checked on the tables of any FHIR R4."""

from fhirsynth.clinical.catalogue import Catalogue, load_rules
from fhirsynth.clinical.checking import check, check_source
from fhirsynth.clinical.findings import Example, Finding, Findings

__all__ = ["Catalogue", "Example", "Finding", "Findings", "check", "check_source", "load_rules"]
