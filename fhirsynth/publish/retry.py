"""How often and how long to wait for a server that is busy, or a line that breaks."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

TEMPORARY: Final = frozenset({408, 409, 412, 425, 429, 500, 502, 503, 504})
"""Answers that another try may change; 409 and 412 are contention on resources that are shared."""
BUSY: Final = frozenset({429, 503})
"""Answers that ask for fewer requests at a time."""
DOUBTFUL: Final = frozenset({408, 500, 502, 503, 504})
"""Answers that leave open whether the server acted: a gateway may speak for it."""

Pause = Callable[[float], Awaitable[None]]
"""Waits for so many seconds; a seam for tests."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long to wait.

    Parameters
    ----------
    tries
        Requests for one piece, the first one included.
    first, longest
        The wait before the second try is anything up to ``first`` seconds, and the bound doubles for each one after it
        up to ``longest`` (exponential back-off with full jitter: clients that were refused together do not come back
        together). A server's ``Retry-After`` counts up to ``longest``, with as much jitter on top.
    rng
        Draws the jitter.
    """

    tries: int = 8
    first: float = 0.5
    longest: float = 60.0
    rng: random.Random = field(default_factory=random.Random, repr=False, compare=False)

    def wait(self, retry: int, answer: httpx.Response | None) -> float:
        """Seconds to wait before the retry with this number (1, 2, …)."""
        asked = retry_after(answer) if answer is not None else None
        if asked is not None:
            return min(self.longest, asked + self.rng.uniform(0, self.first))
        return self.rng.uniform(0, min(self.longest, self.first * 2 ** min(retry - 1, 30)))


def retry_after(answer: httpx.Response) -> float | None:
    """Seconds that the server asks for: a number, or a date."""
    text = answer.headers.get("Retry-After", "").strip()
    if not text:
        return None
    if text.isdecimal() and text.isascii():
        return float(text)
    try:
        then = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max((then - datetime.now(UTC)).total_seconds(), 0.0) if then.tzinfo else None
