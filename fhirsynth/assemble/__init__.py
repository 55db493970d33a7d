"""Re-assembly: synthetic rows to lives, lives to valid FHIR R4 transaction Bundles."""

from fhirsynth.assemble.learning import learn
from fhirsynth.assemble.stage import AssembleResult, assemble
from fhirsynth.assemble.timeline import Timeline

__all__ = ["AssembleResult", "Timeline", "assemble", "learn"]
