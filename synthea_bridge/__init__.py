"""Synthea on a bundled Java runtime, and FHIR R4 Bundles flattened into tables."""
