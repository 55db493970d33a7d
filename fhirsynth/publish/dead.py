"""What was refused, as a file that can be loaded alone: a Bundle a line, each entry with its OperationOutcome."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from fhirsynth.errors import PublishError

SOURCE: Final = "urn:fhirsynth:source"
"""System of the identifier of a dead letter: the file that it came from."""


@dataclass(slots=True)
class DeadLetters:
    """Refused entries on their way to ``path``, which is as it was until :meth:`close`."""

    path: Path
    letters: int = 0
    _handle: BinaryIO | None = field(default=None)

    def add(self, source: str, entries: list[dict[str, Any]]) -> None:
        """Take the refused entries of a Bundle.

        Raises
        ------
        PublishError
            When the file cannot be written.
        """
        letter = {
            "resourceType": "Bundle",
            "identifier": {"system": SOURCE, "value": source},
            "type": "transaction",
            "entry": entries,
        }
        try:
            if self._handle is None:
                self._handle = self._scratch.open("wb")
            self._handle.write(orjson.dumps(letter) + b"\n")
        except OSError as error:
            raise PublishError(
                f"{self.path}: cannot be written ({error.strerror}); say where it may be with --dead-letters"
            ) from error
        self.letters += 1

    def close(self, *, whole: bool) -> Path | None:
        """Put the file in its place, or remove the old one when there is nothing in it and the load came to its end."""
        if self._handle is not None:
            self._handle.close()
            self._scratch.replace(self.path)
            return self.path
        if whole:
            self.path.unlink(missing_ok=True)
        return None

    @property
    def _scratch(self) -> Path:
        return self.path.with_name(f".{self.path.name.lstrip('.')}.{os.getpid()}.part")


def outcome(words: str, code: str = "processing") -> dict[str, Any]:
    """An OperationOutcome with one error."""
    return {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": code, "diagnostics": words}],
    }
