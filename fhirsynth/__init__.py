"""Rare, valid and trustworthy synthetic FHIR patients."""

__version__ = "0.1.0"
