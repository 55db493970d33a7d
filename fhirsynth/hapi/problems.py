"""What a validation found: distinct problems with their number and one example, codes that nobody could check."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any, Final

from fhirsynth.hapi.engine import Message
from synthea_bridge.bundles import Document
from synthea_bridge.skips import SkipLog

SEVERITIES: Final = ("fatal", "error", "warning", "information")
"""From the worst on."""
MILD: Final = frozenset({"warning", "information"})
OURS: Final = "urn:fhirsynth:"
"""Systems of our own tags, which are names and no terminology."""
LEVELS: Final = {"fatal": "error", "error": "error", "warning": "warning", "information": "note"}
"""SARIF's words for them."""
ENTRY: Final = re.compile(r"^Bundle\.entry\[(\d+)\](?:\.resource)?")
COMMENT: Final = re.compile(r"/\*.*?\*/")
INDEX: Final = re.compile(r"\[\d+\]")
VARIABLE: Final = re.compile(r"'[^']*'|\"[^\"]*\"|\d+(?:\.\d+)?|urn:[\w:.-]+|https?://[^\s'\"]+")
"""What differs between two messages about the same problem."""
UNKNOWN_SYSTEM: Final = re.compile(
    r"(?:CodeSystem is unknown and can't be validated: |A definition for CodeSystem '"
    r"|cannot apply filters .* because CodeSystem ')([^\s']+)"
)
UNKNOWN_VALUE_SET: Final = re.compile(r"ValueSet '?([^\s']+?)'? (?:could not be found|not found)")
ENGINE_FAILS: Final = "Error Cannot invoke"
NO_CODING: Final = ("None of the cod", "The code provided")
"""How a message begins that follows from a value set that could not be expanded."""


@dataclass(slots=True)
class Problem:
    """One distinct problem.

    Parameters
    ----------
    severity, code, message
        As the engine says, the message that of the example.
    where
        Path of the element, without indexes, as ``Observation.code``.
    count
        How often it was found.
    file, entry, path
        The example: file, entry of the Bundle, FHIRPath in that file.
    """

    severity: str
    code: str
    where: str
    message: str
    file: str
    entry: str
    path: str
    count: int = 0


@dataclass(slots=True)
class Report:
    """What was found in all documents.

    Parameters
    ----------
    skips
        What could not be read.
    unchecked
        By terminology that the engine does not have (SNOMED CT and LOINC cannot be shipped), the codes not checked.
    in_parts
        Bundles too large to be held, whose resources were checked one by one.
    """

    skips: SkipLog = field(default_factory=SkipLog)
    documents: int = 0
    resources: int = 0
    in_parts: set[str] = field(default_factory=set)
    unchecked: Counter[str] = field(default_factory=Counter)
    found: dict[tuple[str, ...], Problem] = field(default_factory=dict)

    def add(self, source: str, document: Document, number: int | None, messages: list[Message]) -> None:
        """Take what the engine said of a document, or of its resource with this number."""
        blind = {message.location: system for message in messages if (system := _unknown(message))}
        self.unchecked.update(system for system in blind.values() if not system.startswith(OURS))
        for message in messages:
            follows = message.location in blind and message.text.startswith(NO_CODING)
            if not _unknown(message) and not (follows and message.severity in MILD):
                self._count(source, document, number, message)

    def _count(self, source: str, document: Document, number: int | None, message: Message) -> None:
        path = COMMENT.sub("", message.location)
        place, inner = _place(document, number, path)
        key = (message.severity, message.code, INDEX.sub("", inner), VARIABLE.sub("…", message.text))
        problem = self.found.get(key)
        if problem is None:
            text = printable(message.text)
            problem = Problem(message.severity, message.code, key[2], text, source, printable(place), path)
            self.found[key] = problem
        problem.count += 1

    @property
    def problems(self) -> list[Problem]:
        """The worst first, then the most frequent, then in the order of the input."""
        return sorted(self.found.values(), key=lambda one: (SEVERITIES.index(one.severity), -one.count))

    def number(self, *severities: str) -> int:
        """How many messages there are of these severities."""
        return sum(problem.count for problem in self.found.values() if problem.severity in severities)

    @property
    def errors(self) -> int:
        """How many errors there are."""
        return self.number("fatal", "error")

    def outcome(self, lowest: str = "information") -> dict[str, Any]:
        """Counts and problems down to the severity ``lowest``, as JSON values."""
        return {
            "documents": self.documents,
            "resources": self.resources,
            "errors": self.errors,
            "warnings": self.number("warning"),
            "information": self.number("information"),
            "problems": [asdict(problem) for problem in self.down_to(lowest)],
            "codes_not_checked": dict(self.unchecked.most_common()),
            "read_in_parts": sorted(self.in_parts),
            "skipped": self.skips.counts(),
        }

    def down_to(self, lowest: str) -> list[Problem]:
        """The problems of that severity and worse."""
        shown = SEVERITIES[: SEVERITIES.index(lowest) + 1]
        return [problem for problem in self.problems if problem.severity in shown]

    def sarif(self, lowest: str = "information") -> dict[str, Any]:
        """The problems as a SARIF 2.1.0 log, a result for each distinct one.

        See https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html.
        """
        problems = self.down_to(lowest)
        rules = sorted({problem.code or "unnamed" for problem in problems})
        driver = {
            "name": "fhirsynth validate",
            "version": version("fhirsynth"),
            "rules": [{"id": rule} for rule in rules],
        }
        read = [
            {"level": "error", "message": {"text": str(skip)}, "locations": [_physical(skip.source)]}
            for skip in self.skips.items
        ]
        run = {
            "tool": {"driver": driver},
            "invocations": [{"executionSuccessful": not read, "toolExecutionNotifications": read}],
            "results": [_result(problem, rules) for problem in problems],
        }
        return {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}


def printable(text: str) -> str:
    """``text`` on one line, without what a terminal would obey."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in " ".join(text.split()))


def _physical(source: str) -> dict[str, Any]:
    name, _, line = source.rpartition(":")
    if not (name and line.isdigit()):
        return {"physicalLocation": {"artifactLocation": {"uri": source}}}
    return {"physicalLocation": {"artifactLocation": {"uri": name}, "region": {"startLine": int(line)}}}


def _result(problem: Problem, rules: list[str]) -> dict[str, Any]:
    rule = problem.code or "unnamed"
    logical = [{"fullyQualifiedName": problem.path, "kind": "member"}] if problem.path else []
    return {
        "ruleId": rule,
        "ruleIndex": rules.index(rule),
        "level": LEVELS[problem.severity],
        "message": {"text": problem.message},
        "locations": [{**_physical(problem.file), "logicalLocations": logical}],
        "occurrenceCount": problem.count,
    }


def _unknown(message: Message) -> str | None:
    """The terminology without which the engine could not check; None when it speaks of something else."""
    if message.severity not in MILD:
        return None
    if message.text.startswith(ENGINE_FAILS):
        return "codes on which the engine itself fails"
    found = UNKNOWN_SYSTEM.search(message.text) or UNKNOWN_VALUE_SET.search(message.text)
    return printable(found[1].rstrip(".,;")) if found else None


def _place(document: Document, number: int | None, path: str) -> tuple[str, str]:
    """The entry, and the path inside its resource."""
    if number is not None:
        return document.place(number), path
    found = ENTRY.match(path)
    if found is None:
        return (document.place(0) if not document.places else ""), path
    at = int(found[1])
    if at not in document.places:
        return f"entry[{at}]", path
    position = document.places.index(at)
    kind = document.entries[position][1]["resourceType"]
    return document.place(position), kind + path[found.end() :]
