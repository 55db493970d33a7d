"""The HL7 validator engine as a child process: resources go in, its messages come out in the same order."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from fhirsynth.errors import UsageError
from fhirsynth.hapi.packages import find_package, terminology_folder
from synthea_bridge.cores import cores
from synthea_bridge.errors import HelperError
from synthea_bridge.jvm import Child, class_path, launch
from synthea_bridge.progress import Progress, silent

LOCK: Final = "validator"
HEAP: Final = "2g"
NAME: Final = "the HL7 validator"
AHEAD: Final = 4
"""Resources that are under way for each thread, so that none waits for a slow one."""


@dataclass(frozen=True, slots=True)
class Message:
    """What the engine says of one place: ``severity`` is ``fatal``, ``error``, ``warning`` or ``information``."""

    severity: str
    code: str
    location: str
    text: str


@dataclass(slots=True)
class Engine:
    """A running engine; ``definitions`` counts what was loaded beside base R4."""

    child: Child
    threads: int
    definitions: int
    _answers: queue.SimpleQueue[dict[str, Any] | None] = field(default_factory=queue.SimpleQueue)

    def check(self, resources: Iterable[Any]) -> Iterator[list[Message]]:
        """The messages on each resource or Bundle, in the order in which they are given.

        Raises
        ------
        HelperError
            When the engine has ended, with the reason.
        """
        done: dict[int, list[Message]] = {}
        taken, sent = 0, 0
        for sent, resource in enumerate(resources, start=1):
            self._send(sent - 1, resource)
            while sent - taken >= AHEAD * self.threads:
                yield self._take(taken, done)
                taken += 1
        while taken < sent:
            yield self._take(taken, done)
            taken += 1

    def listen(self) -> None:
        """Collect answers, so that neither side waits for the other to read."""
        for line in self.child.stdout:
            self._answers.put(orjson.loads(line))
        self._answers.put(None)

    def _send(self, number: int, resource: Any) -> None:
        try:
            self.child.stdin.write(orjson.dumps({"id": number, "resource": resource}) + b"\n")
            self.child.stdin.flush()
        except BrokenPipeError as error:
            raise HelperError(self.child.obituary(NAME)) from error

    def _take(self, number: int, done: dict[int, list[Message]]) -> list[Message]:
        while number not in done:
            answer = self._answers.get()
            if answer is None:
                raise HelperError(self.child.obituary(NAME))
            done[answer["id"]] = _messages(answer)
        return done.pop(number)


@contextmanager
def engine(
    packages: Sequence[str] = (),
    terminology: Sequence[Path] = (),
    *,
    threads: int | None = None,
    heap: str = HEAP,
    brief: bool = False,
    progress: Progress = silent,
) -> Iterator[Engine]:
    """Start the engine with base R4 and what is given; it ends with the block, and with this process.

    Parameters
    ----------
    packages
        Implementation guides: paths of ``.tgz`` or ``name#version``.
    terminology
        Folders with more CodeSystems and ValueSets.
    threads
        Resources that are checked at a time; all cores by default.
    heap
        Largest heap of its JVM, as for ``-Xmx``.
    brief
        There is little to check (up to some ten thousand resources): a third faster then, and slower beyond.
    progress
        Called while its libraries (154 MB) are fetched, which happens once a user.

    Raises
    ------
    UsageError
        When a package or a folder is none.
    ArtifactError
        When its libraries cannot be fetched.
    HelperError
        When it does not start, with the reason.
    """
    given = [find_package(one) for one in packages] + [terminology_folder(one) for one in terminology]
    jars = class_path(LOCK, "Validate", progress)
    count = threads or cores()
    with launch(
        "Validate", jars, [str(count), *map(str, given)], heap, flags=["-XX:TieredStopAtLevel=1"] if brief else []
    ) as child:
        line = child.stdout.readline()
        if not line:
            raise HelperError(child.obituary(NAME))
        first = orjson.loads(line)
        if "unusable" in first:
            raise UsageError(f"{first['unusable']}; the validator cannot use it, fetch it again")
        empty = [path for path, loaded in zip(given, first["ready"], strict=True) if not loaded]
        if empty:
            raise UsageError(f"{empty[0]}: holds no StructureDefinition, ValueSet or CodeSystem; leave it out")
        running = Engine(child, count, sum(first["ready"]))
        threading.Thread(target=running.listen, daemon=True).start()
        yield running


def _messages(answer: dict[str, Any]) -> list[Message]:
    if "failed" in answer:
        return [Message("fatal", "failed", "", f"the validator could not read it: {answer['failed']}")]
    return [
        Message(one["severity"], one.get("code") or "", one.get("location") or "", one.get("message") or "")
        for one in answer["messages"]
    ]
