"""Tell the life of a synthetic row: everything that it says holds exactly, the rest is drawn from the timeline."""

from fhirsynth.assemble.telling.life import tell

__all__ = ["tell"]
