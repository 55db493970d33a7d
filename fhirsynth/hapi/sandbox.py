"""A real FHIR R4 server on 127.0.0.1: HAPI's JPA server on an in-memory database, gone when it is left."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from fhirsynth.errors import UsageError
from synthea_bridge.errors import HelperError
from synthea_bridge.jvm import Child, class_path, launch
from synthea_bridge.progress import Progress, silent

LOCK: Final = "hapi"
HEAP: Final = "2g"
FLAGS: Final = ("-XX:ReservedCodeCacheSize=512m", "-XX:SweeperThreshold=100")
"""By default all of the heap is collected each time that some 36 MB of code were compiled, which a FHIR server goes on
with for an hour: eight seconds of silence with a few hundred thousand resources."""
HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running server; ``url`` is its FHIR base."""

    url: str
    child: Child

    def wait(self) -> None:
        """Until it ends, which it does not by itself.

        Raises
        ------
        HelperError
            When it has ended, with the reason.
        """
        raise HelperError(self.child.obituary("the FHIR server"))

    def check(self) -> None:
        """See that it still runs.

        Raises
        ------
        HelperError
            When it has ended, with the reason.
        """
        if self.child.process.poll() is not None:
            self.wait()


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
    UsageError
        When the port is none, is taken, or may not be used.
    ArtifactError
        When its libraries cannot be fetched.
    HelperError
        When it does not start, with the reason.
    """
    check_port(port)
    jars = class_path(LOCK, "Sandbox", progress)
    with launch("Sandbox", jars, [str(port)], heap, flags=FLAGS) as child:
        word, _, number = child.stdout.readline().decode().strip().partition(" ")
        if word != "ready":
            raise HelperError(child.obituary("the FHIR server"))
        yield Sandbox(f"http://{HOST}:{number}/fhir", child)


def check_port(port: int) -> None:
    """See that a server can listen there, before half a minute is spent on its start.

    Raises
    ------
    UsageError
        When it cannot.
    """
    if not 0 <= port <= 65535:
        raise UsageError(f"port {port}: is none; give one from 1024 to 65535, or 0 for a free one")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            reason = {errno.EADDRINUSE: "is in use", errno.EACCES: "is reserved for the system"}.get(
                error.errno or 0, f"cannot be used ({error.strerror})"
            )
            raise UsageError(f"port {port}: {reason}; give another one, or 0 for a free one") from error
