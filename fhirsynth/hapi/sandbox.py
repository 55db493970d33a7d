"""A real FHIR R4 server on 127.0.0.1: HAPI's JPA server on an in-memory database, gone when it is left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from synthea_bridge.errors import HelperError
from synthea_bridge.jvm import class_path, launch
from synthea_bridge.progress import Progress, silent

LOCK: Final = "hapi"
HEAP: Final = "2g"


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running server; ``url`` is its FHIR base."""

    url: str


@contextmanager
def sandbox(port: int = 0, heap: str = HEAP, progress: Progress = silent) -> Iterator[Sandbox]:
    """Start a server and yield it when it answers; it ends with the block, and with this process.

    Parameters
    ----------
    port
        Where it listens, on 127.0.0.1 only; 0 takes a free one.
    heap
        Largest heap of its JVM, as for ``-Xmx``.
    progress
        Called while its libraries (397 MB) are fetched, which happens once a user.

    Raises
    ------
    ArtifactError
        When its libraries cannot be fetched.
    HelperError
        When it does not start, with its last lines.
    """
    jars = class_path(LOCK, "Sandbox", progress)
    with launch("Sandbox", jars, [str(port)], heap) as child:
        word, _, number = child.stdout.readline().decode().strip().partition(" ")
        if word != "ready":
            child.process.wait()
            raise HelperError(f"the FHIR server did not start; it said:\n{child.said()}")
        yield Sandbox(f"http://127.0.0.1:{number}/fhir")
