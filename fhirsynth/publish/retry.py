"""Send until a server that is busy, or a line that breaks, has had its chances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from fhirsynth.errors import PublishError

TEMPORARY: Final = frozenset({408, 409, 412, 425, 429, 500, 502, 503, 504})
"""Answers that another try may change; 409 and 412 are contention on resources that are shared."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long to wait.

    Parameters
    ----------
    tries
        Requests for one Bundle, the first one included.
    first, longest
        Seconds before the second try, doubled for each one after it, and the most that is ever waited; a server's
        ``Retry-After`` counts up to ``longest``.
    """

    tries: int = 6
    first: float = 0.5
    longest: float = 60.0

    def wait(self, retry: int, answer: httpx.Response | None) -> float:
        """Seconds to wait before the retry with this number (1, 2, …)."""
        asked = _retry_after(answer) if answer is not None else None
        return min(self.longest, asked if asked is not None else self.first * 2 ** (retry - 1))


def send(
    client: httpx.Client, url: str, body: bytes, patience: Patience, pause: Callable[[float], None]
) -> tuple[httpx.Response, int]:
    """POST ``body``; returns the last answer and how many retries it took.

    Raises
    ------
    PublishError
        When there was no answer at all in the end.
    """
    for retry in range(patience.tries):
        last = retry + 1 == patience.tries
        answer: httpx.Response | None = None
        try:
            answer = client.post(url, content=body)
            if last or answer.status_code not in TEMPORARY:
                return answer, retry
        except httpx.TransportError as error:
            if last:
                reason = str(error) or type(error).__name__
                raise PublishError(
                    f"{url}: no answer in {patience.tries} tries ({reason}); see whether the server runs, and call "
                    "again: what it took is not sent twice"
                ) from error
        pause(patience.wait(retry + 1, answer))
    raise PublishError(f"{url}: was not tried; allow at least one try")


def _retry_after(answer: httpx.Response) -> float | None:
    """Seconds that the server asks for: a number, or a date."""
    text = answer.headers.get("Retry-After", "").strip()
    if not text:
        return None
    if text.isdigit():
        return float(text)
    try:
        then = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max((then - datetime.now(UTC)).total_seconds(), 0.0) if then.tzinfo else None
