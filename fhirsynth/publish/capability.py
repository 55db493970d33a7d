"""Preflight: what a server says of itself, and what of a load it will therefore not take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from fhirsynth.errors import PublishError
from fhirsynth.publish.answers import body_of, clean
from fhirsynth.publish.wire import Wire

VERSIONS: Final = ("4.0", "4.1")
"""What R4 is called."""


@dataclass(frozen=True, slots=True)
class Capability:
    """A CapabilityStatement as far as loading goes; what it does not say is taken as possible.

    Parameters
    ----------
    version
        ``fhirVersion``; empty when it is not known.
    types
        What it says of each type.
    system
        Interactions with the whole server: ``transaction``, ``batch``.
    """

    version: str = ""
    types: dict[str, dict[str, Any]] = field(default_factory=dict)
    system: frozenset[str] = frozenset()

    @property
    def known(self) -> bool:
        """Whether the server says anything of what it takes."""
        return bool(self.types)

    @property
    def transactions(self) -> bool:
        """Whether it takes transactions."""
        return not self.known or "transaction" in self.system

    @property
    def batches(self) -> bool:
        """Whether it says that it takes batches."""
        return "batch" in self.system

    def takes(self, kind: str, interaction: str) -> bool:
        """Whether resources of a type can be created or updated (``create``, ``update``, ``delete`` …)."""
        if not self.known:
            return True
        if kind not in self.types:
            return False
        said = self.types[kind].get("interaction")
        codes = {one.get("code") for one in said if isinstance(one, dict)} if isinstance(said, list) else set()
        return not codes or interaction in codes

    def conditional(self, kind: str) -> bool:
        """Whether it says that it takes a conditional create of a type: who does not know it creates doubles."""
        return not self.known or self.types.get(kind, {}).get("conditionalCreate") is True

    def own_ids(self, kind: str) -> bool:
        """Whether it says that it takes ids from a client."""
        return self.types.get(kind, {}).get("updateCreate") is True


async def preflight(wire: Wire) -> Capability:
    """Ask a server what it takes.

    Raises
    ------
    PublishError
        When it cannot be reached, refuses the credentials, or speaks another FHIR version.
    """
    answer = await wire.get("metadata", fresh=False)  # a server may take seconds to make it anew
    said = body_of(answer)
    if answer.is_redirect:
        there = wire.access.clean(answer.headers.get("Location", ""))
        raise PublishError(f"{wire.base}: sends elsewhere, to {there}; {wire.access.advice(answer.status_code)}")
    if not answer.is_success or said.get("resourceType") != "CapabilityStatement":
        if answer.status_code in (404, 410) or answer.is_success:
            raise PublishError(
                f"{wire.base}: is no FHIR base ({answer.status_code}: {wire.words(answer)}); give the address below "
                "which there is /metadata"
            )
        return Capability()
    version = str(said.get("fhirVersion") or "")
    if version and not version.startswith(VERSIONS):
        raise PublishError(f"{wire.base}: speaks FHIR {clean(version)}, not R4 (4.0.1); give the base of an R4 server")
    rests = said.get("rest")
    for rest in rests if isinstance(rests, list) else []:
        if isinstance(rest, dict) and rest.get("mode", "server") == "server":
            types = {one["type"]: one for one in rest.get("resource") or [] if isinstance(one, dict) and "type" in one}
            codes = (one.get("code") for one in rest.get("interaction") or [] if isinstance(one, dict))
            return Capability(version, types, frozenset(str(code) for code in codes))
    return Capability(version)
