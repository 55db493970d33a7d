"""Logs of the HTTP libraries: they name addresses, and headers of answers, in which a server may repeat a secret."""

from __future__ import annotations

import logging
from typing import Final
from weakref import WeakSet

from fhirsynth.publish.access.secrets import Secrets

LOGGERS: Final = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)
"""A filter is asked for what its own logger gets, and not for what those below it get."""


class _Masking(logging.Filter):
    """Takes the secrets out of each record; those of an access that is gone are forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.known: WeakSet[Secrets] = WeakSet()

    def filter(self, record: logging.LogRecord) -> bool:
        text = plain = record.getMessage()
        for secrets in list(self.known):
            text = secrets.mask(text)
        if text != plain:
            record.msg, record.args = text, ()
        return True


_MASKING: Final = _Masking()


def keep_out_of_logs(secrets: Secrets) -> None:
    """From now on, mask these secrets in what httpx and httpcore log."""
    _MASKING.known.add(secrets)
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_MASKING)  # once only, however often
