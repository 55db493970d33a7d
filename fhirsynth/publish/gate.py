"""How many requests are under way: more while answers come quickly, fewer when the server asks for it."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Final

MOST: Final = 16
"""Requests at a time, at most: a FHIR server of one machine takes no more from more."""
START: Final = 4
WINDOW: Final = 12
"""Answers that are looked at together."""
STEADY: Final = 1.5
"""Seconds an entry, relative to the best there were, up to which one more request at a time is worth it."""
SLOW: Final = 6.0
"""Seconds an entry, relative to the best there were, from which on more requests only wait for each other."""


@dataclass(slots=True)
class Gate:
    """Additive increase, multiplicative decrease of the requests under way; ``reached`` is the most there were.

    Parameters
    ----------
    most
        Requests at a time, at most.
    """

    most: int = MOST
    limit: float = 0.0
    busy: int = 0
    reached: int = 0
    _waiting: deque[asyncio.Future[None]] = field(default_factory=deque)
    _recent: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _best: float | None = None
    _answers: int = 0
    _cut_at: int = -WINDOW

    def __post_init__(self) -> None:
        self.limit = float(min(START, self.most))

    async def enter(self) -> None:
        """Wait for a place."""
        while self.busy >= int(self.limit):
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._wake()
                raise
        self.busy += 1
        self.reached = max(self.reached, self.busy)

    def leave(self) -> None:
        """Give the place back."""
        self.busy -= 1
        self._wake()

    def good(self, seconds: float, entries: int) -> None:
        """An answer came after so many seconds."""
        self._answers += 1
        self._recent.append(seconds / max(entries, 1))
        mean = sum(self._recent) / len(self._recent)
        if len(self._recent) == WINDOW:
            self._best = mean if self._best is None else min(self._best, mean)
        if self._best is not None and mean > SLOW * self._best:
            self._cut(0.8)
        elif self._best is None or mean <= STEADY * self._best:
            self.limit = min(float(self.most), self.limit + 1 / self.limit)
            self._wake()

    def bad(self) -> None:
        """The server is busy, or did not answer in time."""
        self._answers += 1
        self._cut(0.5)

    def _cut(self, share: float) -> None:
        """At most once for the requests that were under way together."""
        if self._answers - self._cut_at >= self.limit:
            self._cut_at = self._answers
            self.limit = max(1.0, self.limit * share)

    def _wake(self) -> None:
        free = int(self.limit) - self.busy
        while self._waiting and free > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1
